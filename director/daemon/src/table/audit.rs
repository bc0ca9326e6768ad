//! The audit: walks the kernel's table a few services a tick, and repairs what others changed.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fairway_ipvs::{Error, Operation, Service, ServiceKey, plan};
use tracing::warn;

use super::kernel::{Connect, Kernel};
use super::worker::Worker;

/// The audit looks at the kernel no more often than this; with many services it takes several a tick.
const SHORTEST_TICK: Duration = Duration::from_millis(100);
/// And no more seldom than this, so that a moment in the future always exists.
const LONGEST_PERIOD: Duration = Duration::from_secs(24 * 3600);

/// Where the audit is.
#[derive(Debug, Default)]
pub(super) struct Audit {
    /// When the next tick is due.
    pub(super) at: Option<Instant>,
    /// The service looked at last; `None` at the beginning of a round.
    after: Option<ServiceKey>,
}

impl<C: Connect> Worker<C> {
    /// One tick of the audit: compares a few services with the image, and repairs what differs.
    pub(super) fn audit(&mut self) {
        let mut drifted = false;
        for _ in 0..self.services_a_tick() {
            match self.audit_next() {
                Ok(differs) => drifted |= differs,
                Err(failure) => {
                    self.lost(&failure);
                    break;
                }
            }
            if self.audit.after.is_none() {
                break;
            }
        }
        if drifted {
            self.reconcile();
        }
        self.schedule_audit();
    }

    /// Looks at the next service; returns whether it differed. After the last one looks for foreign services
    /// and at the timeouts.
    fn audit_next(&mut self) -> Result<bool, Error> {
        let Some(kernel) = &mut self.kernel else { return Ok(false) };
        let next = match self.audit.after {
            Some(last) => self.owned.range((Bound::Excluded(last), Bound::Unbounded)).next(),
            None => self.owned.first(),
        };
        self.audit.after = next.copied().filter(|key| Some(key) != self.owned.last());
        let Some(&key) = next else {
            self.look_around()?;
            return Ok(false);
        };
        let present = kernel.service(&key)?;
        let differs = present.as_ref() != self.image.get(&key).map(AsRef::as_ref);
        if differs {
            warn!(event = "ipvs", service = %key, restoring = difference(key, present.as_ref(), self.image.get(&key)),
                "the kernel's table was changed behind the director's back");
            match present {
                Some(service) => self.image.insert(key, Arc::new(service)),
                None => self.image.remove(&key),
            };
        }
        if self.audit.after.is_none() {
            self.look_around()?;
        }
        Ok(differs)
    }

    fn look_around(&mut self) -> Result<(), Error> {
        let Some(kernel) = &mut self.kernel else { return Ok(()) };
        let mut foreign: BTreeSet<_> = kernel.services()?.into_keys().collect();
        foreign.retain(|key| !self.owned.contains(key));
        self.dirty |= foreign != self.foreign;
        self.foreign = foreign;
        self.tell_foreign();
        self.keep_timeouts()
    }

    /// So many that a round takes no longer than the audit period.
    fn services_a_tick(&self) -> usize {
        let ticks = self.audit_period().as_nanos() / SHORTEST_TICK.as_nanos();
        self.owned.len().div_ceil(usize::try_from(ticks).unwrap_or(usize::MAX).max(1)).max(1)
    }

    /// Sets the time of the next tick.
    pub(super) fn schedule_audit(&mut self) {
        let services = u32::try_from(self.owned.len()).unwrap_or(u32::MAX).max(1);
        self.audit.at = Some(Instant::now() + (self.audit_period() / services).max(SHORTEST_TICK));
    }

    fn audit_period(&self) -> Duration {
        self.desired
            .as_ref()
            .map_or(LONGEST_PERIOD, |desired| desired.audit_period.clamp(SHORTEST_TICK, LONGEST_PERIOD))
    }
}

/// What it takes to undo a change, for the log.
fn difference(key: ServiceKey, present: Option<&Service>, image: Option<&Arc<Service>>) -> String {
    let table = |service: Option<Arc<Service>>| service.map(|service| (key, service)).into_iter().collect();
    let operations: Vec<_> =
        plan(&table(image.cloned()), &table(present.cloned().map(Arc::new)), &BTreeSet::from([key]))
            .iter()
            .map(Operation::to_string)
            .collect();
    operations.join("; ")
}
