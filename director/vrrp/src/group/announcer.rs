//! When to announce the VIPs to their neighbours.

use std::time::Instant;

use fairway_config::Announce;

use crate::saved::{Moment, SavedAnnouncer};

/// Timers of the neighbour announcements of one instance: a burst on take-over, a second one later, then now
/// and again for as long as it is master.
#[derive(Debug, Clone, Default)]
pub(crate) struct Announcer {
    /// Announcements left in the running burst, and when the next one is due.
    burst: Option<(u8, Instant)>,
    second_burst: Option<Instant>,
    refresh: Option<Instant>,
    restarted: Option<Instant>,
}

impl Announcer {
    /// Starts a burst that is due at once.
    pub(crate) fn start(&mut self, now: Instant, config: &Announce) {
        let after = |period: fairway_config::Period| (!period.get().is_zero()).then(|| now + period.get());
        *self = Self {
            burst: Some((config.repeat, now)),
            second_burst: after(config.delay),
            refresh: after(config.refresh),
            restarted: None,
        };
    }

    /// Starts again because somebody may have spoiled what the first burst did. A flood of reasons does not
    /// become a flood of announcements: at most one restart in each interval.
    pub(crate) fn restart(&mut self, now: Instant, config: &Announce) {
        if self.restarted.is_none_or(|last| last + config.interval.get() <= now) {
            self.start(now, config);
            self.restarted = Some(now);
        }
    }

    /// As it is passed on to the next process.
    pub(crate) fn save(&self, now: Instant) -> SavedAnnouncer {
        SavedAnnouncer {
            burst: self.burst.map(|(left, due)| (left, Moment::of(due, now))),
            second_burst: self.second_burst.map(|due| Moment::of(due, now)),
            refresh: self.refresh.map(|due| Moment::of(due, now)),
        }
    }

    /// As it was at `then`.
    pub(crate) fn adopt(saved: &SavedAnnouncer, then: Instant) -> Self {
        Self {
            burst: saved.burst.map(|(left, due)| (left, due.instant(then))),
            second_burst: saved.second_burst.map(|due| due.instant(then)),
            refresh: saved.refresh.map(|due| due.instant(then)),
            restarted: None,
        }
    }

    pub(crate) fn stop(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        [self.burst.map(|(_, due)| due), self.second_burst, self.refresh].into_iter().flatten().min()
    }

    /// Whether to announce now.
    pub(crate) fn due(&mut self, now: Instant, config: &Announce) -> bool {
        if self.second_burst.is_some_and(|due| due <= now) {
            self.second_burst = None;
            self.burst = Some((config.repeat, now));
        }
        let mut announce = false;
        if let Some((left, due)) = self.burst
            && due <= now
        {
            announce = true;
            self.burst = (left > 1).then(|| (left - 1, now + config.interval.get()));
        }
        if self.refresh.is_some_and(|due| due <= now) {
            announce = true;
            self.refresh = (!config.refresh.get().is_zero()).then(|| now + config.refresh.get());
        }
        announce
    }
}
