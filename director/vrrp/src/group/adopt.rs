//! Going on where the process before left off.

use std::time::{Duration, Instant};

use fairway_config::VrrpVersion;

use super::announcer::Announcer;
use super::peers::Peer;
use super::router::{Link, VirtualRouter};
use super::{Group, Phase, Purpose};
use crate::output::{Cause, Event, LinkProblem, Output, Place};
use crate::packet::LONGEST_INTERVAL;
use crate::saved::{Moment, Saved, SavedPeer, SavedPhase, SavedRouter, length, micros};
use crate::timing::{DownTimer, master_down};

impl Group {
    /// Adverts will pause for up to `pause`: as a VRRPv3 master, have the backups wait for at least one interval of
    /// that length, which is three before they take over. VRRPv2 knows one interval only, and at least one second.
    pub(super) fn bridge(&mut self, now: Instant, pause: Duration) {
        if self.phase != Phase::Master {
            return;
        }
        let priority = self.priority();
        for instance in 0..self.routers.len() {
            let router = &mut self.routers[instance];
            let own = router.own_interval();
            let interval = match router.config.version {
                VrrpVersion::V2 => own,
                // Who waits for fewer adverts than usual is told a longer interval.
                VrrpVersion::V3 => {
                    let few = router.patience().adverts.clamp(1, 3);
                    own.max(pause * 3 / u32::from(few)).min(LONGEST_INTERVAL)
                }
            };
            router.advert_due = router.is_up().then(|| now + interval);
            self.send_every(now, instance, priority, interval);
        }
    }

    /// What the next process needs to go on from here; `None` while there is nothing to go on with.
    pub fn save(&self, now: Instant) -> Option<Saved> {
        let moment = |instant| Moment::of(instant, now);
        let phase = match self.phase {
            Phase::Backup => SavedPhase::Backup,
            Phase::Master => SavedPhase::Master,
            Phase::Listening { fresh, .. } => SavedPhase::Listening { fresh },
            Phase::HandingOver { since, until, purpose: purpose @ (Purpose::Failover | Purpose::Backup) } => {
                SavedPhase::HandingOver {
                    since: moment(since),
                    until: moment(until),
                    to_stay_backup: purpose == Purpose::Backup,
                }
            }
            Phase::Fault => SavedPhase::Fault,
            Phase::Idle | Phase::Waiting { .. } | Phase::Leaving => return None,
            Phase::HandingOver { purpose: Purpose::Stop, .. } => return None,
        };
        Some(Saved {
            phase,
            cause: self.cause.to_string(),
            force: self.force,
            hold_off: self.hold_off,
            lower_since: self.lower_since.map(moment),
            parked_until: self.parked_until.map(moment),
            routers: self.routers.iter().map(|router| router.save(now)).collect(),
            trackers: self.save_trackers(),
        })
    }

    /// Goes on with what another process saved `age` ago, in place of [`Input::Start`](crate::Input::Start). A
    /// master advertises at the first [`Input::Timer`](crate::Input::Timer), so feed it what waits in the sockets
    /// before. `None`, and nothing is changed, if no instance is the one that was saved.
    pub fn adopt(&mut self, now: Instant, saved: &Saved, age: Duration) -> Option<Vec<Output>> {
        let then = now.checked_sub(age)?;
        let found = |router: &VirtualRouter| saved.routers.iter().position(|s| router.is_saved(s));
        if self.phase != Phase::Idle || !self.routers.iter().any(|router| found(router).is_some()) {
            return None;
        }
        self.force = saved.force;
        self.hold_off = saved.hold_off;
        self.forget_orders_of_an_owner();
        self.lower_since = saved.lower_since.map(|moment| moment.instant(then));
        self.parked_until = saved.parked_until.map(|moment| moment.instant(then));
        self.cause = Cause::Before(saved.cause.clone());
        self.entered = Some(now);
        self.adopt_trackers(&saved.trackers);
        let holding = matches!(saved.phase, SavedPhase::Master | SavedPhase::Listening { .. });
        for router in &mut self.routers {
            match found(router) {
                Some(place) => router.adopt(&saved.routers[place], then),
                // Configured since.
                None => router.place = if holding { Place::Interface } else { Place::Nowhere },
            }
        }
        self.adopt_phase(now, then, saved.phase);
        self.repeat_places();
        Some(std::mem::take(&mut self.outputs))
    }

    fn adopt_phase(&mut self, now: Instant, then: Instant, phase: SavedPhase) {
        let listen_until = now + self.longest_interval();
        self.phase = match phase {
            SavedPhase::Master if self.routers.iter().any(|router| router.kept_waiting(now)) => {
                self.silence();
                self.outputs.push(Output::Event(Event::Stalled));
                Phase::Listening { until: listen_until, fresh: false }
            }
            SavedPhase::Master => {
                for router in &mut self.routers {
                    router.listen = None;
                    router.advert_due = router.is_up().then_some(now);
                }
                Phase::Master
            }
            SavedPhase::Listening { fresh } => Phase::Listening { until: listen_until, fresh },
            SavedPhase::Backup => {
                // Adverts may have been missed.
                let grace = self.routers.iter().map(|r| r.interval() + r.skew(r.interval())).max();
                self.not_before = grace.map(|grace| now + grace);
                Phase::Backup
            }
            SavedPhase::HandingOver { since, until, to_stay_backup } => {
                for router in &mut self.routers {
                    router.advert_due = (router.is_up() && router.place == Place::Interface).then_some(now);
                }
                let purpose = if to_stay_backup { Purpose::Backup } else { Purpose::Failover };
                Phase::HandingOver { since: since.instant(then), until: until.instant(then), purpose }
            }
            SavedPhase::Fault => Phase::Fault,
        };
    }
}

impl VirtualRouter {
    fn is_saved(&self, saved: &SavedRouter) -> bool {
        let config = &self.config;
        (config.interface.as_str(), config.family, config.vrid.get(), config.version)
            == (saved.interface.as_str(), saved.family, saved.vrid, saved.version)
    }

    fn save(&self, now: Instant) -> SavedRouter {
        let peer = |peer: &Peer| SavedPeer {
            source: peer.source,
            priority: peer.priority,
            down: peer.down.save(now),
        };
        SavedRouter {
            interface: self.config.interface.to_string(),
            family: self.config.family,
            vrid: self.config.vrid.get(),
            version: self.config.version,
            source: self.source(),
            place: self.place,
            advertised: self.advertised.map(|(sent, interval)| (Moment::of(sent, now), micros(interval))),
            peers: self.peers.iter().map(peer).collect(),
            listen: self.listen.map(|listen| listen.save(now)),
            announcing: self.announcer.save(now),
            seal: self.seal.save(),
            counters: self.counters.iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        }
    }

    fn adopt(&mut self, saved: &SavedRouter, then: Instant) {
        // Why it was down, the driver is about to tell.
        self.link = saved.source.map_or(Link::Down(LinkProblem::Missing), Link::Up);
        self.place = saved.place;
        self.advertised = saved.advertised.map(|(sent, interval)| (sent.instant(then), length(interval)));
        self.peers.adopt(saved.peers.iter().map(|peer| Peer {
            source: peer.source,
            priority: peer.priority,
            down: DownTimer::adopt(&peer.down, then),
        }));
        self.listen = saved.listen.map(|listen| DownTimer::adopt(&listen, then));
        self.announcer = Announcer::adopt(&saved.announcing, then);
        if let Some(seal) = &saved.seal {
            self.seal.adopt(seal);
        }
        for (name, value) in &saved.counters {
            self.counters.set(name, *value);
        }
    }

    /// Whether our adverts have failed to come for so long that others may have taken over.
    fn kept_waiting(&self, now: Instant) -> bool {
        let patience = |interval| master_down(self.patience(), self.priority, interval);
        self.link != Link::Unknown
            && self.advertised.is_none_or(|(sent, interval)| sent + patience(interval) <= now)
    }
}
