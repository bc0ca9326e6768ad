//! The random part of the interval between packets (RFC 5880 section 6.8.7): without it, systems that begin together
//! send together for ever.

use std::time::Duration;

/// Draws are in thousandths of the interval.
const WHOLE: u32 = 1000;
const LEAST: u32 = 750;
/// With a multiplier of 1 the neighbour takes one packet that is late for a failure.
const MOST_OF_ONE: u32 = 900;

/// How much of the interval is waited for this time.
#[derive(Debug, Clone)]
pub(super) struct Jitter {
    state: u64,
    drawn: u32,
}

impl Jitter {
    pub(super) fn new(seed: u64) -> Self {
        Self { state: seed, drawn: LEAST }
    }

    /// Draws for the next interval.
    pub(super) fn draw(&mut self, multiplier: u8) {
        let most = if multiplier == 1 { MOST_OF_ONE } else { WHOLE };
        let span = u64::from(most - LEAST + 1);
        let part = u32::try_from(self.next() % span).unwrap_or(0);
        self.drawn = LEAST + part;
    }

    /// The interval as drawn.
    pub(super) fn apply(&self, interval: Duration) -> Duration {
        interval * self.drawn / WHOLE
    }

    /// SplitMix64: even, short, and no secret depends on it.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
