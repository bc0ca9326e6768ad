//! No election without a cause: what a router says it became master for must be what happened to it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use fairway_config::{FailoverGroup, Preempt};
use fairway_vrrp::Cause;

/// What a process has heard since it started.
#[derive(Debug, Default)]
pub struct Ears {
    /// Whose address it is.
    names: BTreeMap<IpAddr, usize>,
    /// The last advert of each master, its priority, and the interval in its configuration.
    masters: BTreeMap<usize, (Duration, u8, Duration)>,
    /// Who said farewell.
    farewells: BTreeSet<usize>,
}

impl Ears {
    /// An advert of a router has arrived. A farewell on one network is one on all.
    pub fn hear(&mut self, from: usize, source: IpAddr, now: Duration, priority: u8, interval: Duration) {
        self.names.insert(source, from);
        if priority == 0 {
            self.masters.remove(&from);
            self.farewells.insert(from);
        } else {
            // Another that is not better is about to yield.
            self.masters.retain(|_, (_, theirs, _)| *theirs > priority);
            self.masters.insert(from, (now, priority, interval));
        }
    }

    /// What came while it was not fit to be master does not count.
    pub fn listen_anew(&mut self) {
        self.masters.clear();
    }

    /// # Panics
    /// A router with this `priority` has no reason to become master for this cause.
    pub fn confirm(&self, router: usize, now: Duration, group: &FailoverGroup, priority: u8, cause: &Cause) {
        let preempt = group.preempt;
        let story = || format!("router {router} at {now:?}: {cause}; {self:?}");
        match cause {
            Cause::Silence(_) => {
                // A lower one that is to be replaced is not waited for. Of several masters the best is followed, at its
                // interval.
                let followed = |(_, theirs, _): &&(Duration, u8, Duration)| {
                    preempt == Preempt::Never || *theirs >= priority
                };
                let masters = || self.masters.values().filter(followed);
                let last = masters().map(|(at, ..)| *at).max();
                let shortest = masters().map(|(.., interval)| *interval).min();
                if let (Some(last), Some(shortest)) = (last, shortest) {
                    let adverts = group.instances[0].down_timer_adverts;
                    assert!(last + u32::from(adverts) * shortest <= now, "a master is there: {}", story());
                }
            }
            Cause::Resigned(master) => {
                let said = self.names.get(master).is_some_and(|router| self.farewells.contains(router));
                assert!(said, "it said no farewell: {}", story());
            }
            Cause::Preempting { master, .. } => {
                assert!(self.names.contains_key(master), "nobody there to replace: {}", story());
                assert!(preempt != Preempt::Never || priority == 255, "not to be replaced: {}", story());
            }
            Cause::Owner => assert_eq!(priority, 255, "{}", story()),
            Cause::Kept | Cause::Before(_) | Cause::Forced(_) | Cause::HandedOver(_) => {}
            _ => panic!("no reason to become master: {}", story()),
        }
    }
}
