//! What the group depends on besides its interfaces: priority and fault as the trackers want them.

use std::collections::BTreeMap;
use std::time::Instant;

use fairway_config::{FailoverGroup, Initial, Tracker};

use super::{Group, OWNER, PARK, Phase};
use crate::output::{Cause, Force, Place, Verdict};

/// A number in a tracked file from which on the group is in fault, not only of low priority.
const NUMBER_OF_FAULT: i16 = -254;

/// What is known of the trackers, and what follows from it.
#[derive(Debug, Clone, Default)]
pub(super) struct Tracking {
    trackers: BTreeMap<String, Known>,
    /// The sum of the weights that count.
    offset: i32,
    /// The first tracker that demands a fault.
    fault: Option<String>,
}

#[derive(Debug, Clone)]
struct Known {
    config: Tracker,
    verdict: Option<Verdict>,
    detail: String,
    /// Counts as passing until the first result.
    trusted: bool,
}

impl Known {
    fn new(config: &Tracker, trusted: bool) -> Self {
        Self {
            config: config.clone(),
            verdict: None,
            detail: "no result yet".to_owned(),
            trusted: trusted || config.initial == Initial::Pass,
        }
    }

    fn fails(&self) -> bool {
        match self.verdict {
            None => !self.trusted,
            Some(Verdict::Failing) => true,
            Some(Verdict::Number(number)) => number <= NUMBER_OF_FAULT,
            Some(Verdict::Passing) => false,
        }
    }

    fn offset(&self) -> i32 {
        match (self.verdict, self.config.weight) {
            (Some(Verdict::Number(number)), None) => number.into(),
            (_, Some(weight)) if self.fails() => weight.into(),
            _ => 0,
        }
    }
}

impl Tracking {
    pub(super) fn new(group: &FailoverGroup) -> Self {
        let mut tracking = Self::default();
        tracking.follow(group, false);
        tracking
    }

    /// Takes over a configuration. What did not change keeps its result; what is new is `trusted`, or not.
    fn follow(&mut self, group: &FailoverGroup, trusted: bool) {
        let mut before = std::mem::take(&mut self.trackers);
        let known = |(name, config): (&String, &Tracker)| {
            let kept = before.remove(name).filter(|known| known.config == *config);
            (name.clone(), kept.unwrap_or_else(|| Known::new(config, trusted)))
        };
        self.trackers = group.track.iter().map(known).collect();
        self.sum_up();
    }

    fn sum_up(&mut self) {
        self.offset = self.trackers.values().map(Known::offset).sum();
        let fault = self.trackers.iter().find(|(_, known)| known.config.weight.is_none() && known.fails());
        self.fault = fault.map(|(name, _)| name.clone());
    }

    fn fault(&self) -> Option<Cause> {
        let name = self.fault.as_ref()?;
        let detail = self.trackers.get(name).map(|known| known.detail.clone()).unwrap_or_default();
        Some(Cause::Tracker { name: name.clone(), detail })
    }

    /// The priority with what the trackers add. That of the owner of the addresses never changes.
    pub(super) fn apply(&self, priority: u8) -> u8 {
        if priority == OWNER {
            return priority;
        }
        let sum = i32::from(priority).saturating_add(self.offset).clamp(1, 254);
        u8::try_from(sum).unwrap_or(priority)
    }
}

impl Group {
    /// The trackers by name: their configuration, the last result and what was seen.
    pub fn trackers(&self) -> impl Iterator<Item = (&str, &Tracker, Option<Verdict>, &str)> {
        let all = self.tracking.trackers.iter();
        all.map(|(name, known)| (name.as_str(), &known.config, known.verdict, known.detail.as_str()))
    }

    /// A director that still holds the VIPs was serving a moment ago: nothing that is only not known yet ends that.
    pub(super) fn trust_trackers(&mut self) {
        self.tracking.trackers.values_mut().for_each(|known| known.trusted = true);
        self.tracking.sum_up();
        self.apply_priority();
    }

    pub(super) fn save_trackers(&self) -> BTreeMap<String, (Verdict, String)> {
        let known = self.tracking.trackers.iter();
        known
            .filter_map(|(name, known)| Some((name.clone(), (known.verdict?, known.detail.clone()))))
            .collect()
    }

    /// What the process before saw counts until it is seen anew; what it did not watch counts as passing.
    pub(super) fn adopt_trackers(&mut self, saved: &BTreeMap<String, (Verdict, String)>) {
        for (name, (verdict, detail)) in saved {
            if let Some(known) = self.tracking.trackers.get_mut(name) {
                (known.verdict, known.detail) = (Some(*verdict), detail.clone());
            }
        }
        self.trust_trackers();
    }

    pub(super) fn follow_trackers(&mut self, group: &FailoverGroup) {
        self.tracking.follow(group, self.phase != Phase::Idle);
    }

    pub(super) fn track(&mut self, now: Instant, name: &str, verdict: Verdict, detail: String) {
        let Some(known) = self.tracking.trackers.get_mut(name) else { return };
        (known.verdict, known.detail) = (Some(verdict), detail);
        let before = self.priority();
        self.tracking.sum_up();
        self.apply_priority();
        if self.priority() == before || self.tracker_fault().is_some() {
            return;
        }
        match self.phase {
            // Who is better now need not wait for the next advert.
            Phase::Master => {
                for router in self.routers.iter_mut().filter(|router| router.advert_due.is_some()) {
                    router.advert_due = Some(now);
                }
                self.send_due(now);
            }
            Phase::Backup => self.settle(now),
            _ => {}
        }
    }

    /// The tracker that keeps the group from taking part. An order to be master overrides it: a broken tracker must
    /// not leave everybody without a master.
    pub(super) fn tracker_fault(&self) -> Option<Cause> {
        if self.force == Force::Master { None } else { self.tracking.fault() }
    }

    /// Makes the phase agree with the trackers. A hand-over is brought to its end first.
    pub(super) fn heed_trackers(&mut self, now: Instant) {
        match (self.phase, self.tracker_fault()) {
            (Phase::Master | Phase::Listening { .. }, Some(cause)) => {
                self.resign(now);
                // The links are up: what stale neighbour caches still send here is served meanwhile.
                self.place_all(Place::Lo);
                self.parked_until = Some(now + PARK);
                self.enter(now, Phase::Fault, cause);
            }
            (Phase::Backup, Some(cause)) => self.enter(now, Phase::Fault, cause),
            (Phase::Fault, Some(cause)) if self.all_links_up() => self.cause = cause,
            (Phase::Fault, None) if self.all_links_up() => self.become_backup(now, Cause::TrackersPass),
            _ => {}
        }
    }
}
