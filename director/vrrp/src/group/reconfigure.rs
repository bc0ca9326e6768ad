//! A new configuration for a running group.

use std::time::Instant;

use super::router::VirtualRouter;
use super::{Group, GroupConfig, Phase};
use crate::output::{Cause, Place};

impl Group {
    /// Takes over a new configuration. What is the same virtual router on the wire keeps its timers, what it
    /// heard, and its counters.
    pub(super) fn reconfigure(&mut self, now: Instant, config: GroupConfig) {
        let mut before = std::mem::take(&mut self.routers);
        let place = match self.phase {
            Phase::Master | Phase::Listening { .. } => Place::Interface,
            _ => Place::Nowhere,
        };
        for instance in &config.group.instances {
            let secret = config.secrets.get(&instance.name);
            let router = match before.iter().position(|router| router.is_same(instance)) {
                Some(kept) => {
                    let mut router = before.swap_remove(kept);
                    let other_vips = !router.config.addresses().eq(instance.addresses())
                        || router.config.virtual_mac != instance.virtual_mac;
                    router.reconfigure(instance.clone(), secret);
                    // A shorter interval counts from now, a longer one from the next advert.
                    let soonest = now + router.own_interval();
                    router.advert_due = router.advert_due.map(|due| due.min(soonest));
                    if other_vips && self.phase == Phase::Master {
                        let announce = router.config.announce;
                        router.announcer.start(now, &announce);
                    }
                    router
                }
                None => {
                    let mut router = VirtualRouter::new(instance.clone(), secret);
                    router.place = place;
                    router
                }
            };
            self.routers.push(router);
        }
        self.follow_trackers(&config.group);
        self.config = config;
        self.forget_orders_of_an_owner();
        self.apply_priority();
        self.repeat_places();
        if self.routers.iter().all(|router| router.place != Place::Lo) {
            self.unpark();
        }
        match self.phase {
            Phase::Waiting { holding } => self.begin(now, holding),
            Phase::Fault if self.is_fit() => self.become_backup(now, Cause::LinkUp),
            Phase::HandingOver { .. } => self.finish_handover_if_done(now, None),
            _ => self.send_due(now),
        }
    }
}
