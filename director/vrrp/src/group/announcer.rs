//! When to announce the VIPs to their neighbours.

use std::time::Instant;

use fairway_config::{Announce, Period};

use crate::saved::{Moment, SavedAnnouncer};

/// Timers of the neighbour announcements of one instance: a burst on take-over, a second one later, then now
/// and again for as long as it is master.
#[derive(Debug, Clone, Default)]
pub(crate) struct Announcer {
    /// Announcements left in the running burst, and when the next one is due.
    burst: Option<(u8, Instant)>,
    /// Announcements of the second burst, and when it is due.
    second_burst: Option<(u8, Instant)>,
    refresh: Option<Instant>,
    restarted: Option<Instant>,
}

impl Announcer {
    /// Starts a burst that is due at once.
    pub(crate) fn start(&mut self, now: Instant, config: &Announce) {
        self.start_with(now, config, config.repeat, config.delay);
    }

    fn start_with(&mut self, now: Instant, config: &Announce, repeat: u8, delay: Period) {
        let after = |period: Period| (!period.get().is_zero()).then(|| now + period.get());
        *self = Self {
            burst: Some((repeat, now)),
            second_burst: after(delay).map(|due| (repeat, due)),
            refresh: after(config.refresh),
            restarted: None,
        };
    }

    /// Starts again because somebody may have spoiled what the first burst did. A flood of reasons does not
    /// become a flood of announcements: at most one restart in each interval.
    pub(crate) fn restart(&mut self, now: Instant, config: &Announce) {
        self.restart_with(now, config, config.repeat, config.delay);
    }

    /// The same, because of a master with a lower priority.
    pub(crate) fn restart_after_lower(&mut self, now: Instant, config: &Announce) {
        let repeat = config.lower_priority_repeat.unwrap_or(config.repeat);
        if repeat > 0 {
            self.restart_with(now, config, repeat, config.lower_priority_delay.unwrap_or(config.delay));
        }
    }

    fn restart_with(&mut self, now: Instant, config: &Announce, repeat: u8, delay: Period) {
        if self.restarted.is_none_or(|last| last + config.interval.get() <= now) {
            self.start_with(now, config, repeat, delay);
            self.restarted = Some(now);
        }
    }

    /// As it is passed on to the next process.
    pub(crate) fn save(&self, now: Instant) -> SavedAnnouncer {
        SavedAnnouncer {
            burst: self.burst.map(|(left, due)| (left, Moment::of(due, now))),
            second_burst: self.second_burst.map(|(_, due)| Moment::of(due, now)),
            second_repeat: self.second_burst.map(|(repeat, _)| repeat),
            refresh: self.refresh.map(|due| Moment::of(due, now)),
        }
    }

    /// As it was at `then`.
    pub(crate) fn adopt(saved: &SavedAnnouncer, then: Instant) -> Self {
        let repeat = saved.second_repeat.unwrap_or(Announce::default().repeat);
        Self {
            burst: saved.burst.map(|(left, due)| (left, due.instant(then))),
            second_burst: saved.second_burst.map(|due| (repeat, due.instant(then))),
            refresh: saved.refresh.map(|due| due.instant(then)),
            restarted: None,
        }
    }

    pub(crate) fn stop(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        [self.burst.map(|(_, due)| due), self.second_burst.map(|(_, due)| due), self.refresh]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether to announce now.
    pub(crate) fn due(&mut self, now: Instant, config: &Announce) -> bool {
        let mut announce = false;
        if self.refresh.is_some_and(|due| due <= now) {
            announce = true;
            let left = config.refresh_repeat.saturating_sub(1);
            if self.burst.is_none() && left > 0 {
                self.burst = Some((left, now + config.interval.get()));
            }
            self.refresh = (!config.refresh.get().is_zero()).then(|| now + config.refresh.get());
        }
        if let Some((repeat, _)) = self.second_burst.take_if(|(_, due)| *due <= now) {
            self.burst = Some((repeat, now));
        }
        if let Some((left, due)) = self.burst
            && due <= now
        {
            announce = true;
            self.burst = (left > 1).then(|| (left - 1, now + config.interval.get()));
        }
        announce
    }
}
