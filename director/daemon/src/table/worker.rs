//! The thread: desired state in, operations out, and the audit in between.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fairway_ipvs::{Error, Info, Service, ServiceKey, Statistics, Table, Timeouts, plan};
use tokio::sync::watch;
use tracing::{debug, error, info};

use super::audit::Audit;
use super::inbox::{Inbox, Request};
use super::kernel::{Connect, Kernel, delete};
use super::{Desired, KernelStatus, TableStatus, is_probe};
use crate::status::Refused;

/// Pause before the first new try after a failure; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause between tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Pauses between tries: growing while they fail.
#[derive(Debug, Default)]
struct Retry {
    pause: Option<Duration>,
    at: Option<Instant>,
}

impl Retry {
    fn failed(&mut self) {
        let pause = self.pause.map_or(FIRST_PAUSE, |pause| (pause * 2).min(LONGEST_PAUSE));
        self.pause = Some(pause);
        self.at = Some(Instant::now() + pause);
    }

    fn is_due(&self) -> bool {
        self.at.is_some_and(|at| at <= Instant::now())
    }
}

/// A service the kernel refused, so that it is not tried again at every other change.
#[derive(Debug)]
struct Refusal {
    /// What was wanted then; another wish is tried at once. `None`: its deletion.
    wanted: Option<Arc<Service>>,
    error: String,
}

/// The thread's state.
pub(super) struct Worker<C: Connect> {
    connect: C,
    inbox: Arc<Inbox>,
    status: watch::Sender<TableStatus>,
    pub(super) kernel: Option<C::Kernel>,
    info: Result<Info, String>,
    initial: Option<Arc<Table>>,
    pub(super) desired: Option<Desired>,
    generation: u64,
    /// Ours in the kernel: the last dump and all that succeeded since.
    pub(super) image: Table,
    pub(super) owned: BTreeSet<ServiceKey>,
    pub(super) foreign: BTreeSet<ServiceKey>,
    /// The foreign part of a dump just made, to adopt from.
    unclaimed: Table,
    refused: BTreeMap<ServiceKey, Refusal>,
    timeouts_error: Option<String>,
    reconnect: Retry,
    again: Retry,
    pub(super) audit: Audit,
    /// Foreign services the log has told of.
    told: BTreeSet<ServiceKey>,
    /// There is something to publish.
    pub(super) dirty: bool,
}

impl<C: Connect> Worker<C> {
    pub(super) fn new(connect: C, inbox: Arc<Inbox>, status: watch::Sender<TableStatus>) -> Self {
        Self {
            connect,
            inbox,
            status,
            kernel: None,
            info: Ok(Info::default()),
            initial: None,
            desired: None,
            generation: 0,
            image: Table::new(),
            owned: BTreeSet::new(),
            foreign: BTreeSet::new(),
            unclaimed: Table::new(),
            refused: BTreeMap::new(),
            timeouts_error: None,
            reconnect: Retry::default(),
            again: Retry::default(),
            audit: Audit::default(),
            told: BTreeSet::new(),
            dirty: false,
        }
    }

    /// Works until it is told to stop, or nobody is left who could.
    pub(super) fn run(mut self) {
        self.open();
        loop {
            if std::mem::take(&mut self.dirty) {
                self.publish();
            }
            let work = self.inbox.wait(self.deadline());
            let mut pending = false;
            if let Some((generation, desired)) = work.desired {
                self.take(generation, desired);
                pending = true;
            }
            if self.kernel.is_none() && self.reconnect.is_due() {
                self.open();
                pending = true;
            }
            if self.again.is_due() {
                self.refused.clear();
                self.again.at = None;
                pending = true;
            }
            if pending {
                self.reconcile();
            }
            if self.audit.at.is_some_and(|at| at <= Instant::now()) {
                self.audit();
            }
            for request in work.requests {
                match request {
                    Request::Statistics { service, reply } => {
                        // An asker who is gone needs no answer.
                        let _gone = reply.send(self.statistics(&service));
                    }
                    Request::Zero { services, reply } => {
                        let _gone = reply.send(self.zero(&services));
                    }
                    Request::Stop { keep, reply } => {
                        let result = if keep { Ok(()) } else { self.delete_ours() };
                        self.inbox.end();
                        let _gone = reply.send(result);
                        return;
                    }
                }
            }
            if work.abandoned {
                debug!("nobody uses the IPVS table any more");
                return;
            }
        }
    }

    /// When to look up even if nothing comes in.
    fn deadline(&self) -> Option<Instant> {
        if self.kernel.is_none() {
            return self.reconnect.at;
        }
        self.again.at.into_iter().chain(self.audit.at).min()
    }

    /// Takes over a new desired state. What it names is ours from now on.
    fn take(&mut self, generation: u64, desired: Desired) {
        let period_changed = self.desired.as_ref().is_none_or(|old| old.audit_period != desired.audit_period);
        self.owned.extend(desired.services.keys());
        self.generation = generation;
        self.desired = Some(desired);
        if period_changed || self.audit.at.is_none() {
            self.schedule_audit();
        }
    }

    /// Connects and reads the whole table.
    fn open(&mut self) {
        let opened = self.connect.connect().and_then(|mut kernel| {
            let info = kernel.info()?;
            let table = kernel.dump()?;
            Ok((kernel, info, table))
        });
        match opened {
            Ok((kernel, kernel_info, table)) => {
                info!(services = table.len(), version = %kernel_info, "the kernel's IPVS table is read");
                self.kernel = Some(kernel);
                self.info = Ok(kernel_info);
                self.reconnect = Retry::default();
                if self.initial.is_none() {
                    self.initial = Some(Arc::new(table.clone()));
                }
                self.sort(table);
                self.dirty = true;
            }
            Err(failure) => self.lost(&failure),
        }
    }

    /// Gives up the connection; what the table holds is unknown until the next dump.
    pub(super) fn lost(&mut self, failure: &Error) {
        let text = with_sources(failure);
        if self.info.as_ref().err() == Some(&text) {
            debug!(error = text, "IPVS is still not usable");
        } else {
            error!(event = "ipvs", error = text, "IPVS is not usable; trying again with growing pauses");
        }
        self.info = Err(text);
        self.kernel = None;
        self.reconnect.failed();
        self.dirty = true;
    }

    /// Takes a dump apart into ours and foreign ones. What an earlier director's probes needed is ours.
    fn sort(&mut self, table: Table) {
        self.owned.extend(table.keys().filter(|key| is_probe(key)));
        (self.image, self.unclaimed) = table.into_iter().partition(|(key, _)| self.owned.contains(key));
        self.foreign = self.unclaimed.keys().copied().collect();
    }

    /// Tells the log of services that are not ours, once each.
    pub(super) fn tell_foreign(&mut self) {
        for service in self.foreign.difference(&self.told) {
            info!(%service, "a service that is not ours is in the kernel; it is left alone");
        }
        self.told.clone_from(&self.foreign);
    }

    /// Makes the kernel agree with the desired state.
    pub(super) fn reconcile(&mut self) {
        // The first try works with the image; if something is refused the image was wrong, so the second
        // works with a fresh dump, and what is refused then is really refused.
        self.dirty = true;
        for fresh in [false, true] {
            match self.attempt(fresh) {
                Ok(()) => break,
                Err(Attempt::Refused) if fresh => self.again.failed(),
                Err(Attempt::Refused) => {}
                Err(Attempt::Lost(failure)) => return self.lost(&failure),
            }
        }
        // Whatever became of the services: one that is refused is no reason to leave these as they are.
        if let Err(failure) = self.keep_timeouts() {
            return self.lost(&failure);
        }
        self.tell_foreign();
    }

    fn attempt(&mut self, fresh: bool) -> Result<(), Attempt> {
        if fresh && let Some(kernel) = &mut self.kernel {
            let table = kernel.dump()?;
            self.sort(table);
        }
        let (Some(kernel), Some(desired)) = (&mut self.kernel, &self.desired) else { return Ok(()) };
        // Adopt what was foreign so far. What an older look around found may have changed.
        let mut unclaimed = std::mem::take(&mut self.unclaimed);
        let mut adopted = 0;
        for key in desired.services.keys().filter(|key| self.foreign.contains(key)) {
            let present = match unclaimed.remove(key) {
                Some(service) => Some(service),
                None => kernel.service(key)?.map(Arc::new),
            };
            if let Some(service) = present {
                adopted += 1;
                self.image.insert(*key, service);
            }
        }
        if adopted > 0 {
            info!(services = adopted, "adopted services that were in the kernel already");
        }
        self.foreign.retain(|key| !self.owned.contains(key));

        self.refused.retain(|key, refusal| same(refusal.wanted.as_ref(), desired.services.get(key)));
        let mut operations = plan(&desired.services, &self.image, &self.owned);
        operations.retain(|operation| !self.refused.contains_key(operation.service()));
        let failures = kernel.apply(&operations)?;
        let mut failed = BTreeMap::new();
        for failure in failures {
            // What follows from a first failure (no service, so no servers) need not be told.
            failed.entry(*failure.operation.service()).or_insert(failure);
        }
        if !operations.is_empty() {
            debug!(operations = operations.len(), refused = failed.len(), fresh, "IPVS table changed");
        }
        let done: BTreeSet<_> = operations.iter().map(|operation| *operation.service()).collect();
        for key in done.into_iter().filter(|key| !failed.contains_key(key)) {
            match desired.services.get(&key) {
                Some(service) => {
                    self.image.insert(key, Arc::clone(service));
                }
                None => {
                    self.image.remove(&key);
                }
            }
        }
        if failed.is_empty() {
            // What is neither wanted nor in the kernel is not ours any more.
            self.owned.retain(|key| desired.services.contains_key(key) || self.image.contains_key(key));
            if self.refused.is_empty() {
                self.again = Retry::default();
            }
            return Ok(());
        }
        if fresh {
            for (key, failure) in failed {
                error!(event = "ipvs", service = %key, error = %failure, "the kernel refuses a change");
                let wanted = desired.services.get(&key).cloned();
                self.refused.insert(key, Refusal { wanted, error: failure.to_string() });
                match kernel.service(&key)? {
                    Some(present) => self.image.insert(key, Arc::new(present)),
                    None => self.image.remove(&key),
                };
            }
        } else {
            for failure in failed.values() {
                debug!(error = %failure, "refused; reading the table anew");
            }
        }
        Err(Attempt::Refused)
    }

    /// Makes the timeouts what they are to be. A refusal is told once and tried again with the next round.
    pub(super) fn keep_timeouts(&mut self) -> Result<(), Error> {
        let (Some(kernel), Some(desired)) = (&mut self.kernel, &self.desired) else { return Ok(()) };
        if desired.timeouts == Timeouts::default() {
            return Ok(());
        }
        let present = kernel.timeouts()?;
        let differs = |wanted: Option<_>, present| wanted.is_some() && wanted != present;
        let Timeouts { tcp, tcp_fin, udp } = desired.timeouts;
        if !differs(tcp, present.tcp) && !differs(tcp_fin, present.tcp_fin) && !differs(udp, present.udp) {
            self.timeouts_error = None;
            return Ok(());
        }
        match kernel.set_timeouts(&desired.timeouts) {
            Ok(()) => self.timeouts_error = None,
            Err(failure @ Error::Refused { .. }) => {
                let text = failure.to_string();
                if self.timeouts_error.as_ref() != Some(&text) {
                    error!(error = text, timeouts = ?desired.timeouts, "the kernel refuses the IPVS timeouts");
                }
                self.timeouts_error = Some(text);
            }
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    fn statistics(&mut self, service: &ServiceKey) -> Result<Statistics, Refused> {
        let Some(kernel) = &mut self.kernel else {
            return Err(Refused(self.info.as_ref().err().cloned().unwrap_or_default()));
        };
        match kernel.statistics(service) {
            Ok(Some(statistics)) => Ok(statistics),
            Ok(None) => Err(Refused(format!("the kernel does not have service {service}"))),
            Err(failure) => {
                let text = with_sources(&failure);
                self.lost(&failure);
                Err(Refused(text))
            }
        }
    }

    fn zero(&mut self, services: &[ServiceKey]) -> Result<(), Refused> {
        for service in services {
            let Some(kernel) = &mut self.kernel else {
                return Err(Refused(self.info.as_ref().err().cloned().unwrap_or_default()));
            };
            match kernel.zero(service) {
                Ok(true) => {}
                Ok(false) => return Err(Refused(format!("the kernel does not have service {service}"))),
                Err(failure) => {
                    let text = with_sources(&failure);
                    self.lost(&failure);
                    return Err(Refused(text));
                }
            }
        }
        Ok(())
    }

    /// Deletes what is ours. Foreign services stay.
    fn delete_ours(&mut self) -> Result<(), Refused> {
        if self.kernel.is_none() && !self.owned.is_empty() {
            self.open();
        }
        let Some(kernel) = &mut self.kernel else {
            // Without IPVS there is nothing of ours in the kernel.
            return Ok(());
        };
        let started = Instant::now();
        match delete(kernel, &self.owned) {
            Ok((deleted, failures)) if failures.is_empty() => {
                info!(services = deleted, took = ?started.elapsed(), "our IPVS services are deleted");
                Ok(())
            }
            Ok((_, failures)) => {
                let texts: Vec<_> = failures.iter().map(ToString::to_string).collect();
                Err(Refused(texts.join("; ")))
            }
            Err(failure) => Err(Refused(with_sources(&failure))),
        }
    }

    fn publish(&self) {
        let errors = self.refused.iter().map(|(key, refusal)| (*key, refusal.error.clone())).collect();
        self.status.send_replace(TableStatus {
            kernel: match &self.info {
                Ok(info) => KernelStatus::Ready(*info),
                Err(text) => KernelStatus::Unavailable(text.clone()),
            },
            initial: self.initial.clone(),
            installed: Arc::new(self.image.clone()),
            errors: Arc::new(errors),
            foreign: Arc::new(self.foreign.clone()),
            generation: if self.kernel.is_some() { self.generation } else { 0 },
        });
    }
}

/// Why an attempt did not succeed.
enum Attempt {
    Refused,
    Lost(Error),
}

impl From<Error> for Attempt {
    fn from(error: Error) -> Self {
        Self::Lost(error)
    }
}

/// Whether two wishes for a service are the same.
fn same(one: Option<&Arc<Service>>, other: Option<&Arc<Service>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other) || one == other,
        (None, None) => true,
        _ => false,
    }
}

/// An error with all its causes in one line.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
