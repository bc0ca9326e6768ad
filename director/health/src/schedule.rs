//! When the next probe starts.

use std::time::{Duration, Instant};

/// Start times of one check's probes. Pure: time is a value.
///
/// Until the first verdict, probes follow each other quickly (a fifth of `every`, kept between 200 ms and
/// 1 s), so that a fresh start is not slow. From then on they lie on a grid of exactly `every`, measured from
/// start to start, whose phase differs from check to check: thousands of checks that began together do not
/// stay together. A probe that runs past a grid point skips it. While the last result and the verdict differ,
/// probes follow each other at `retry_every`, if there is one. `jitter` delays each probe by up to that much.
///
/// With a clock, probes start at its ticks: the machine wakes up once for all that are due within a tick.
#[derive(Debug, Clone)]
pub struct Schedule {
    every: Duration,
    retry_every: Option<Duration>,
    jitter: Duration,
    clock: Option<Clock>,
    /// A grid point, in the past or in the future.
    grid: Instant,
    /// When the next probe is due before jitter, and after it and the wait for a tick.
    slot: Instant,
    next: Instant,
    decided: bool,
    random: u64,
}

/// Ticks that schedules have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// One of them.
    pub origin: Instant,
    /// The time between two, for checks that are seldom enough; others have more ticks.
    pub tick: Duration,
}

impl Clock {
    /// The first tick at or after `at`, for a check that is made `every` so often. There are at least a hundred ticks
    /// between two of its probes, but for those of a timer, at a millisecond.
    fn next(self, at: Instant, every: Duration) -> Instant {
        let tick = self.tick.min(every / 100).max(Duration::from_millis(1)).as_nanos();
        let past = at.saturating_duration_since(self.origin).as_nanos();
        let wait = (tick - past % tick) % tick;
        at + Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX))
    }
}

impl Schedule {
    /// The first probe is due at `first`; `phase` (from 0 up to 1) places the grid.
    pub fn new(first: Instant, every: Duration, phase: f64) -> Self {
        let every = every.max(Duration::from_millis(1));
        Self {
            every,
            retry_every: None,
            jitter: Duration::ZERO,
            clock: None,
            grid: first + every.mul_f64(phase.clamp(0.0, 1.0)),
            slot: first,
            next: first,
            decided: false,
            random: phase.to_bits(),
        }
    }

    /// Probes at this pace while a verdict is in doubt.
    #[must_use]
    pub fn retry_every(self, retry_every: Option<Duration>) -> Self {
        Self { retry_every, ..self }
    }

    /// Delays probes by up to this much.
    #[must_use]
    pub fn jitter(self, jitter: Duration) -> Self {
        Self { jitter, ..self }
    }

    /// Starts probes at the ticks of this clock, and measures the grid's phase from its origin: phases are spread
    /// evenly, and first probes too, but their sums need not be.
    #[must_use]
    pub fn clock(self, clock: Clock) -> Self {
        let grid = clock.origin + (self.grid - self.slot);
        Self { clock: Some(clock), grid, next: clock.next(self.next, self.every), ..self }
    }

    /// When the next probe is due.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// The probe that was due has ended at `now`; `decided` says whether there is a verdict, `in_doubt` whether
    /// this probe spoke against it.
    pub fn advance(&mut self, now: Instant, decided: bool, in_doubt: bool) {
        self.slot = match self.retry_every {
            Some(retry) if in_doubt && decided => now.max(self.slot + retry),
            _ if self.decided => self.grid_point(now.max(self.slot + self.every)),
            // Not right after the probe that gave the verdict, nor much later than `every`.
            _ if decided => self.grid_point(now.max(self.slot + self.every / 2)),
            _ => now.max(self.slot + self.retry()),
        };
        self.decided |= decided;
        let next = self.slot + self.jitter.mul_f64(self.draw());
        self.next = self.clock.map_or(next, |clock| clock.next(next, self.every));
    }

    fn retry(&self) -> Duration {
        (self.every / 5).clamp(Duration::from_millis(200), Duration::from_secs(1)).min(self.every)
    }

    /// A number from 0 up to 1: Knuth's linear congruential generator, good enough to spread probes.
    fn draw(&mut self) -> f64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from((self.random >> 32) as u32) / 2f64.powi(32)
    }

    /// The first grid point at or after `from`.
    fn grid_point(&self, from: Instant) -> Instant {
        let every = self.every.as_nanos();
        let wait = match from.checked_duration_since(self.grid) {
            Some(past) => (every - past.as_nanos() % every) % every,
            None => (self.grid - from).as_nanos() % every,
        };
        from + Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX))
    }
}

/// When each of `count` new checks makes its first probe: spread at 1 ms each, over at most a second and at
/// most the shortest `every` that follows. Gives the delay of check number `index`.
pub(crate) fn first_delay(index: usize, count: usize, every: Duration) -> Duration {
    let window = Duration::from_millis(count as u64).min(Duration::from_secs(1)).min(every);
    window.mul_f64(index as f64 / count.max(1) as f64)
}

/// The grid phase of the `n`th check: the golden-ratio sequence, which spreads any number of checks evenly.
pub(crate) fn phase(n: u64) -> f64 {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    n.wrapping_mul(GOLDEN) as f64 / 2f64.powi(64)
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
