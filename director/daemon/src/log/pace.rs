//! Ten thousand servers that fail at once are one thing to say, not ten thousand: journald drops what a service says
//! beyond 10,000 records in 30 seconds (`RateLimitBurst=` of journald.conf(5)), and with it what matters. Records of one
//! kind are left out beyond a number a second, and the log says so. The events that others are told of are not affected,
//! nor are the levels below info, which somebody has asked for.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Filter};

use super::sink::Sink;

/// Of one kind, in a second. A flood of one kind stays below what journald takes.
const RECORDS: u32 = 250;
const SECOND: Duration = Duration::from_secs(1);

/// Lets so many records a second pass of each place in the code that makes some.
pub(super) struct Pace {
    sink: Sink,
    seen: Mutex<HashMap<Identifier, Second>>,
}

impl Pace {
    pub(super) fn new(sink: Sink) -> Self {
        Self { sink, seen: Mutex::default() }
    }
}

impl<S: Subscriber> Filter<S> for Pace {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::TRACE)
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if *metadata.level() > Level::INFO {
            return true;
        }
        let now = Instant::now();
        let verdict = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.entry(metadata.callsite()).or_insert_with(|| Second::new(now)).count(now)
        };
        if verdict == Verdict::FirstTooMany {
            let (target, level) = (metadata.target(), metadata.level());
            self.sink.note(format!(
                "more than {RECORDS} records of one kind ({level} of {target}) within a second: the others are left out"
            ));
        }
        verdict == Verdict::Pass
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Pass,
    FirstTooMany,
    TooMany,
}

/// The second in which records of one kind are counted.
struct Second {
    began: Instant,
    count: u32,
}

impl Second {
    fn new(now: Instant) -> Self {
        Self { began: now, count: 0 }
    }

    fn count(&mut self, now: Instant) -> Verdict {
        if now.saturating_duration_since(self.began) >= SECOND {
            *self = Self::new(now);
        }
        self.count = self.count.saturating_add(1);
        match self.count {
            ..=RECORDS => Verdict::Pass,
            count if count == RECORDS + 1 => Verdict::FirstTooMany,
            _ => Verdict::TooMany,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_off_and_told_of_once_a_second() {
        let start = Instant::now();
        let mut second = Second::new(start);
        for round in 0..3 {
            let now = start + SECOND * round;
            let verdicts: Vec<_> = (0..10_000).map(|_| second.count(now)).collect();
            assert_eq!(
                verdicts.iter().filter(|verdict| **verdict == Verdict::Pass).count(),
                RECORDS as usize
            );
            assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::FirstTooMany).count(), 1);
        }
    }

    #[test]
    fn a_steady_trickle_passes() {
        let start = Instant::now();
        let mut second = Second::new(start);
        for n in 0..10_000 {
            assert_eq!(second.count(start + Duration::from_millis(10) * n), Verdict::Pass);
        }
    }
}
