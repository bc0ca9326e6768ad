//! How long to wait for a master (RFC 9568 section 6.1, RFC 3768 section 6.1).

use std::net::IpAddr;
use std::time::{Duration, Instant};

use fairway_config::{Instance, VrrpVersion};

use crate::saved::{Moment, SavedTimer, length, micros};

/// Skew time: the lower the priority, the longer, so that the best backup is first.
///
/// v3: (256 - priority) / 256 of the master's interval; v2: (256 - priority) / 256 seconds.
pub(crate) fn skew(version: VrrpVersion, priority: u8, interval: Duration) -> Duration {
    let base = match version {
        VrrpVersion::V2 => Duration::from_secs(1),
        VrrpVersion::V3 => interval,
    };
    base * (256 - u32::from(priority)) / 256
}

/// What decides how long a router waits for a silent master, beside its priority and the master's interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patience {
    pub(crate) version: VrrpVersion,
    /// How many adverts may be missed: 3 in the standards.
    pub(crate) adverts: u8,
}

impl Patience {
    pub(crate) fn of(config: &Instance) -> Self {
        Self { version: config.version, adverts: config.down_timer_adverts }
    }
}

/// Master-down interval: three of the master's adverts, or as many as configured, and the skew time.
pub(crate) fn master_down(patience: Patience, priority: u8, interval: Duration) -> Duration {
    u32::from(patience.adverts) * interval + skew(patience.version, priority, interval)
}

/// A master-down timer. When it ends follows from our priority, which may change while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DownTimer {
    /// When it was set.
    from: Instant,
    /// The master's advert interval.
    interval: Duration,
    /// An earlier end, because this router said that it stops.
    cut: Option<(Instant, IpAddr)>,
}

impl DownTimer {
    pub(crate) fn new(from: Instant, interval: Duration) -> Self {
        Self { from, interval, cut: None }
    }

    /// As it is passed on to the next process.
    pub(crate) fn save(&self, now: Instant) -> SavedTimer {
        SavedTimer {
            from: Moment::of(self.from, now),
            interval: micros(self.interval),
            cut: self.cut.map(|(at, source)| (Moment::of(at, now), source)),
        }
    }

    /// As it was at `then`.
    pub(crate) fn adopt(saved: &SavedTimer, then: Instant) -> Self {
        Self {
            from: saved.from.instant(then),
            interval: length(saved.interval),
            cut: saved.cut.map(|(at, source)| (at.instant(then), source)),
        }
    }

    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }

    /// When the master counts as gone.
    pub(crate) fn until(&self, patience: Patience, priority: u8) -> Instant {
        let down = self.from + master_down(patience, priority, self.interval);
        self.cut.map_or(down, |(cut, _)| cut.min(down))
    }

    /// Whether the master should have spoken again by now.
    pub(crate) fn is_late(&self, now: Instant) -> bool {
        now > self.from + self.interval * 5 / 4
    }

    /// How long that is from the last advert.
    pub(crate) fn length(&self, patience: Patience, priority: u8) -> Duration {
        self.until(patience, priority).saturating_duration_since(self.from)
    }

    /// Who ended it early.
    pub(crate) fn cut_by(&self) -> Option<IpAddr> {
        self.cut.map(|(_, source)| source)
    }

    /// Ends it at `at` because of what `source` said, unless it ends before.
    pub(crate) fn cut(&mut self, at: Instant, source: IpAddr) {
        if self.cut.is_none_or(|(before, _)| at < before) {
            self.cut = Some((at, source));
        }
    }
}
