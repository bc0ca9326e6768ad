//! Leaving mastership on purpose: stop, failover, and the operator's orders.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::{Group, PARK, Phase, Purpose};
use crate::output::{Cause, Event, Force, Output, Place};
use crate::timing::master_down;

/// Beyond the slowest peer's master-down interval, for its advert to arrive.
const MARGIN: Duration = Duration::from_millis(50);

/// No hand-over waits longer, however slow the adverts are: a service manager waits for a stop, too.
const LONGEST_HANDOVER: Duration = Duration::from_secs(30);

impl Group {
    pub(super) fn is_stopping(&self) -> bool {
        matches!(self.phase, Phase::HandingOver { purpose: Purpose::Stop, .. } | Phase::Leaving)
    }

    pub(super) fn stop(&mut self, now: Instant) {
        match self.phase {
            Phase::Master | Phase::Listening { fresh: false, .. } => self.hand_over(now, Purpose::Stop),
            Phase::HandingOver { since, until, .. } => {
                self.phase = Phase::HandingOver { since, until, purpose: Purpose::Stop };
            }
            Phase::Leaving => {}
            Phase::Idle | Phase::Waiting { .. } | Phase::Listening { .. } | Phase::Backup | Phase::Fault => {
                self.resign(now);
                self.leave(now);
            }
        }
    }

    /// Holds nothing any more, except what is parked.
    fn leave(&mut self, now: Instant) {
        for router in &mut self.routers {
            if router.place == Place::Interface {
                router.place = Place::Nowhere;
            }
        }
        self.repeat_places();
        self.enter(now, Phase::Leaving, Cause::Stopped);
        if self.parked_until.is_none() {
            self.unpark();
        }
    }

    pub(super) fn failover(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Master | Phase::Listening { fresh: false, .. }) {
            if self.force == Force::Master {
                self.force = Force::Auto;
                self.apply_priority();
            }
            self.hand_over(now, Purpose::Failover);
        }
    }

    pub(super) fn order(&mut self, now: Instant, force: Force) {
        self.force = force;
        self.hold_off = false;
        self.apply_priority();
        match (force, self.phase) {
            (_, Phase::Idle | Phase::Waiting { .. } | Phase::Fault | Phase::Leaving)
            | (_, Phase::HandingOver { purpose: Purpose::Stop, .. })
            | (Force::Backup, Phase::Backup)
            | (Force::Auto, Phase::Listening { .. }) => {}
            (Force::Backup, Phase::HandingOver { since, until, .. }) => {
                self.phase = Phase::HandingOver { since, until, purpose: Purpose::Backup };
            }
            (Force::Backup, Phase::Listening { fresh: true, .. }) => {
                self.resign(now);
                self.place_all(Place::Nowhere);
                self.become_backup(now, Cause::Forced(force));
            }
            (Force::Backup, Phase::Master | Phase::Listening { .. }) => self.hand_over(now, Purpose::Backup),
            (Force::Auto | Force::Master, Phase::HandingOver { .. } | Phase::Master) => self.resume(now),
            (Force::Master, Phase::Listening { .. }) => self.take_over(now, Cause::Forced(force)),
            (Force::Master, Phase::Backup) => {
                (self.not_before, self.delayed_until) = (None, None);
                for router in &mut self.routers {
                    router.listen = None;
                }
                self.settle(now);
            }
            (Force::Auto, Phase::Backup) => self.settle(now),
        }
    }

    /// Says goodbye while still serving.
    fn hand_over(&mut self, now: Instant, purpose: Purpose) {
        self.silence();
        for instance in 0..self.routers.len() {
            self.send(now, instance, 0);
            let router = &mut self.routers[instance];
            router.advert_due = router.is_up().then(|| now + router.own_interval());
        }
        // The slowest peer has priority 1.
        let patience = self.routers.iter().map(|r| master_down(r.patience(), 1, r.own_interval())).max();
        let until = now + (patience.unwrap_or_default() + MARGIN).min(LONGEST_HANDOVER);
        self.phase = Phase::HandingOver { since: now, until, purpose };
    }

    /// Goes on as master, at once.
    fn resume(&mut self, now: Instant) {
        self.phase = Phase::Master;
        self.place_all(Place::Interface);
        for router in &mut self.routers {
            router.advert_due = router.is_up().then_some(now);
            let announce = router.config.announce;
            router.announcer.restart(now, &announce);
        }
        self.send_due(now);
    }

    /// A successor is master on this instance.
    pub(super) fn heard_successor(&mut self, now: Instant, instance: usize, source: IpAddr) {
        if self.routers[instance].place == Place::Interface {
            self.routers[instance].advert_due = None;
            self.place(instance, Place::Lo);
            self.finish_handover_if_done(now, Some(source));
        }
    }

    /// An instance lost its link during the hand-over: nobody can be served there.
    pub(super) fn abandon(&mut self, now: Instant, instance: usize) {
        self.routers[instance].advert_due = None;
        self.place(instance, Place::Nowhere);
        self.finish_handover_if_done(now, None);
    }

    pub(super) fn finish_handover_if_done(&mut self, now: Instant, successor: Option<IpAddr>) {
        if self.routers.iter().all(|router| router.place != Place::Interface) {
            self.finish_handover(now, successor);
        }
    }

    fn finish_handover(&mut self, now: Instant, successor: Option<IpAddr>) {
        let Phase::HandingOver { purpose, .. } = self.phase else { return };
        self.silence();
        self.parked_until = self.routers.iter().any(|r| r.place == Place::Lo).then_some(now + PARK);
        for router in self.routers.iter_mut().filter(|router| router.peers.best().is_none()) {
            router.listen_from(now);
        }
        let cause = match (purpose, successor) {
            (Purpose::Stop, _) => return self.leave(now),
            (Purpose::Failover, Some(successor)) => Cause::HandedOver(successor),
            (Purpose::Failover | Purpose::Backup, _) => Cause::Forced(Force::Backup),
        };
        self.hold_off = purpose == Purpose::Failover;
        self.lower_since = None;
        self.enter(now, Phase::Backup, cause);
    }

    /// The deadline of a hand-over came.
    pub(super) fn give_up_handover(&mut self, now: Instant) {
        let Phase::HandingOver { since, purpose, .. } = self.phase else { return };
        let parked = self.routers.iter().find(|router| router.place == Place::Lo);
        if let Some(successor) = parked.map(|router| router.peers.best().map(|peer| peer.source)) {
            // The group is one unit: who took over one instance has the others, though we cannot hear it.
            self.place_all(Place::Lo);
            self.finish_handover(now, successor);
        } else if purpose == Purpose::Failover {
            self.outputs.push(Output::Event(Event::NoSuccessor(now - since)));
            self.resume(now);
        } else {
            self.place_all(Place::Nowhere);
            self.finish_handover(now, None);
        }
    }
}
