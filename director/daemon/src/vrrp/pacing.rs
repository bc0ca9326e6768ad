//! Announcements that wait for each other: one address at a time on each interface, where `pacing` says so.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::addresses::{Owner, Spot};

/// What waits for one interface.
#[derive(Debug)]
struct Queue {
    /// When the next one may go.
    next: Instant,
    waiting: VecDeque<(Owner, Spot, Duration)>,
}

/// The queues of all interfaces. One stays until its last pause is over.
#[derive(Debug, Default)]
pub(super) struct Pacer(BTreeMap<String, Queue>);

impl Pacer {
    /// Has an address announced when it is its turn, `pacing` after the one before it. One that waits already does not
    /// wait twice.
    pub(super) fn push(&mut self, now: Instant, owner: &Owner, spot: Spot, pacing: Duration) {
        let queue = self
            .0
            .entry(spot.interface.clone())
            .or_insert_with(|| Queue { next: now, waiting: VecDeque::new() });
        if !queue.waiting.iter().any(|(_, waiting, _)| *waiting == spot) {
            queue.waiting.push_back((owner.clone(), spot, pacing));
        }
    }

    /// Those whose turn it is.
    pub(super) fn due(&mut self, now: Instant) -> Vec<(Owner, Spot)> {
        self.0.retain(|_, queue| queue.next > now || !queue.waiting.is_empty());
        let ready = self.0.values_mut().filter(|queue| queue.next <= now);
        ready
            .filter_map(|queue| {
                let (owner, spot, pacing) = queue.waiting.pop_front()?;
                queue.next = now + pacing;
                Some((owner, spot))
            })
            .collect()
    }

    /// When the next one may go.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.0.values().filter(|queue| !queue.waiting.is_empty()).map(|queue| queue.next).min()
    }
}

#[cfg(test)]
#[path = "tests/pacing.rs"]
mod tests;
