//! Rise and fall: from single probes to a verdict.

use std::fmt;

use crate::Outcome;

/// What is known about a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Health {
    /// The checks say it must not work.
    Down,
    /// No verdict yet.
    #[default]
    Unknown,
    /// The checks pass.
    Up,
}

impl Health {
    /// The word for it: `down`, `unknown` or `up`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Unknown => "unknown",
            Self::Up => "up",
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Turns a sequence of probes into a verdict.
///
/// - No verdict yet: the first pass is the verdict "up" (a fresh start serves at once), `fall` failures in a
///   row are the verdict "down". One lost packet right after a restart therefore does not take out a server
///   that was working, and a server that never passed has no verdict "up" either way.
/// - Up: `fall` failures in a row take it down.
/// - Down: `rise` passes in a row bring it up.
/// - With `fast_fail`, a refusal counts as `fall` failures.
///
/// Inconclusive probes count neither way and do not break a row.
#[derive(Debug, Clone)]
pub struct Judge {
    rise: u32,
    fall: u32,
    fast_fail: bool,
    health: Health,
    /// Probes in a row that speak against `health`.
    against: u32,
}

impl Judge {
    /// A judge without a verdict. Thresholds of 0 count as 1.
    pub fn new(rise: u32, fall: u32) -> Self {
        Self { rise: rise.max(1), fall: fall.max(1), fast_fail: false, health: Health::Unknown, against: 0 }
    }

    /// Goes on from a verdict that is known from before.
    #[must_use]
    pub fn knowing(self, health: Health) -> Self {
        Self { health, against: 0, ..self }
    }

    /// Whether a refusal is enough to take a server down.
    #[must_use]
    pub fn fast_fail(self, fast_fail: bool) -> Self {
        Self { fast_fail, ..self }
    }

    /// Whether the last probes speak against the verdict, or there is none yet.
    pub fn in_doubt(&self) -> bool {
        self.health == Health::Unknown || self.against > 0
    }

    /// The verdict so far.
    pub fn health(&self) -> Health {
        self.health
    }

    /// Takes one probe into account and gives the verdict after it.
    pub fn observe(&mut self, outcome: &Outcome) -> Health {
        let passed = match outcome {
            Outcome::Pass(_) | Outcome::Warn(_) | Outcome::Advice(..) => true,
            Outcome::Refused(_) if self.fast_fail => {
                self.health = Health::Down;
                self.against = 0;
                return self.health;
            }
            Outcome::Fail(_) | Outcome::Refused(_) => false,
            Outcome::Inconclusive(_) => return self.health,
        };
        let (confirms, next, threshold) = match self.health {
            Health::Unknown if passed => (false, Health::Up, 1),
            Health::Unknown => (false, Health::Down, self.fall),
            Health::Up => (passed, Health::Down, self.fall),
            Health::Down => (!passed, Health::Up, self.rise),
        };
        self.against = if confirms { 0 } else { self.against.saturating_add(1) };
        if self.against >= threshold {
            self.health = next;
            self.against = 0;
        }
        self.health
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
