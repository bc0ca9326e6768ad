//! Start, links, adverts, and who is master.

use std::net::IpAddr;
use std::time::Instant;

use super::peers::Peer;
use super::router::{Dropped, Link};
use super::{Group, OWNER, PARK, Phase};
use crate::output::{Cause, Event, Force, LinkProblem, Output, Place, Received};
use crate::packet::Advert;

impl Group {
    pub(super) fn start(&mut self, now: Instant, holding: bool) {
        if self.phase == Phase::Idle {
            self.phase = Phase::Waiting { holding };
            self.delayed_until = Some(now + self.config.group.start_delay.get());
            self.begin(now, holding);
        }
    }

    /// Leaves [`Phase::Waiting`] once every link is known.
    pub(super) fn begin(&mut self, now: Instant, holding: bool) {
        if self.routers.is_empty() || self.routers.iter().any(|r| r.link == Link::Unknown) {
            return;
        }
        if holding {
            self.trust_trackers();
        }
        let holding = holding && self.all_links_up() && self.force != Force::Backup;
        let holding = holding && self.tracker_fault().is_none();
        for router in &mut self.routers {
            router.place = if holding { Place::Interface } else { Place::Nowhere };
        }
        self.repeat_places();
        if let Some(cause) = self.link_fault() {
            self.enter(now, Phase::Fault, cause);
        } else if let Some(cause) = self.tracker_fault() {
            self.enter(now, Phase::Fault, cause);
        } else if holding {
            self.delayed_until = None;
            let until = now + self.longest_interval();
            self.enter(now, Phase::Listening { until, fresh: true }, Cause::Started);
        } else {
            self.become_backup(now, Cause::Started);
        }
    }

    /// Listens for a whole master-down interval, or not at all as the owner of the addresses.
    pub(super) fn become_backup(&mut self, now: Instant, cause: Cause) {
        let owner = self.priority() == OWNER && !self.hold_off;
        for router in &mut self.routers {
            if owner {
                router.listen = None;
            } else if router.peers.best().is_none() {
                router.listen_from(now);
            }
        }
        self.lower_since = None;
        self.not_before = None;
        self.enter(now, Phase::Backup, cause);
        self.settle(now);
    }

    pub(super) fn link(&mut self, now: Instant, instance: usize, source: Result<IpAddr, LinkProblem>) {
        let Some(router) = self.routers.get_mut(instance) else { return };
        let source = match source {
            Ok(source) => source,
            Err(problem) => return self.link_lost(now, instance, problem),
        };
        let before = std::mem::replace(&mut router.link, Link::Up(source));
        if matches!(before, Link::Up(_)) {
            return;
        }
        router.peers.clear();
        router.listen_from(now);
        match self.phase {
            Phase::Waiting { holding } => self.begin(now, holding),
            Phase::Fault if self.is_fit() => self.become_backup(now, Cause::LinkUp),
            Phase::Master => self.serve(now, instance),
            Phase::Backup => self.settle(now),
            Phase::Fault => self.name_link_fault(),
            Phase::Idle | Phase::Listening { .. } | Phase::HandingOver { .. } | Phase::Leaving => {}
        }
    }

    fn link_lost(&mut self, now: Instant, instance: usize, problem: LinkProblem) {
        let serving =
            matches!(self.phase, Phase::Master | Phase::HandingOver { .. } | Phase::Listening { .. });
        if serving && !self.is_stopping() {
            // While the link is up, the others still hear from the address it had that this router goes.
            if !problem.is_of_addresses() {
                self.routers[instance].link = Link::Down(problem);
            }
            self.resign(now);
        }
        let router = &mut self.routers[instance];
        router.link = Link::Down(problem);
        router.peers.clear();
        router.listen = None;
        let cause = Cause::LinkDown { interface: router.config.interface.to_string(), problem };
        match self.phase {
            Phase::Waiting { holding } => self.begin(now, holding),
            Phase::HandingOver { .. } if self.is_stopping() => self.abandon(now, instance),
            Phase::Master | Phase::HandingOver { .. } | Phase::Listening { .. } => {
                self.place_all(Place::Nowhere);
                self.enter(now, Phase::Fault, cause);
            }
            Phase::Backup => self.enter(now, Phase::Fault, cause),
            Phase::Fault => self.name_link_fault(),
            Phase::Idle | Phase::Leaving => {}
        }
    }

    /// In fault, the cause is what is wrong now.
    fn name_link_fault(&mut self) {
        if let Some(cause) = self.link_fault() {
            self.cause = cause;
        }
    }

    /// Tells everybody that this router is no longer master. Instances handed over already have a successor.
    pub(super) fn resign(&mut self, now: Instant) {
        self.silence();
        for instance in 0..self.routers.len() {
            if self.routers[instance].place == Place::Interface {
                self.send(now, instance, 0);
            }
        }
    }

    pub(super) fn packet(&mut self, now: Instant, instance: usize, packet: &Received<'_>) {
        if self.phase == Phase::Idle || instance >= self.routers.len() {
            return;
        }
        let source = packet.source;
        let clock = self.utc(now);
        let decoded = match self.routers[instance].accept(instance, packet, clock) {
            Ok(decoded) => decoded,
            Err(Dropped(event)) => {
                if let Some(event) = event {
                    self.report(now, instance, event);
                }
                return;
            }
        };
        let advert = &decoded.advert;
        if let Some(event) = self.routers[instance].vip_mismatch(instance, source, advert) {
            self.routers[instance].counters.vip_mismatch += 1;
            self.report(now, instance, event);
        }
        let two_masters = self.phase == Phase::Master && advert.priority > 0;
        if two_masters && self.routers[instance].differs_in_checksum(&decoded) {
            let theirs = decoded.checksum;
            self.report(now, instance, Event::ChecksumMismatch { instance, source, theirs });
        }
        if advert.priority == 0 {
            self.heard_resignation(now, instance, source);
        } else {
            self.heard_master(now, instance, source, advert);
        }
    }

    /// A master stops. As backup: wait for the skew time only, so that the best backup is first.
    fn heard_resignation(&mut self, now: Instant, instance: usize, source: IpAddr) {
        if self.phase == Phase::Master {
            // Its stale traces in neighbour caches point nowhere now.
            self.reassert(now, instance);
        }
        let router = &mut self.routers[instance];
        let mut resigned = None;
        let mut others = false;
        let (patience, priority) = (router.patience(), router.priority);
        for peer in router.peers.iter_mut() {
            if peer.source == source {
                let skew = crate::timing::skew(patience.version, priority, peer.down.interval());
                peer.down.cut(now + skew, source);
                resigned = Some(peer.priority);
            } else {
                others |= peer.down.until(patience, priority) > now;
            }
        }
        // A resignation from somebody who was not the master says nothing about the master.
        if !others {
            let skew = router.skew(router.own_interval());
            if let Some(listen) = &mut router.listen {
                listen.cut(now + skew, source);
            }
        }
        if let Some(priority) = resigned {
            self.resigned_elsewhere(now, instance, source, priority);
        }
    }

    /// The group of the resigning router is one unit as ours is: it is gone on the other networks too, even if
    /// its goodbye could not be sent there. Should that be wrong, the next advert, within an interval, says so.
    fn resigned_elsewhere(&mut self, now: Instant, instance: usize, source: IpAddr, its_priority: u8) {
        for (other, router) in self.routers.iter_mut().enumerate() {
            let (version, priority) = (router.config.version, router.priority);
            for peer in
                router.peers.iter_mut().filter(|peer| other != instance && peer.priority == its_priority)
            {
                let interval = peer.down.interval();
                peer.down.cut(now + interval + crate::timing::skew(version, priority, interval), source);
            }
        }
    }

    fn heard_master(&mut self, now: Instant, instance: usize, source: IpAddr, advert: &Advert) {
        let priority = advert.priority;
        self.routers[instance].peers.heard(now, source, priority, advert.interval);
        let outranks = self.outranks_us(instance, (priority, source));
        match self.phase {
            Phase::Master if priority == self.priority() => self.heard_equal_master(now, instance, source),
            Phase::Master if outranks => {
                self.step_down(now, instance, Cause::Better { master: source, priority });
            }
            Phase::Master => self.heard_lower_master(now, instance, source, priority),
            Phase::Listening { .. } if outranks => {
                self.step_down(now, instance, Cause::Better { master: source, priority });
            }
            Phase::Listening { .. } if self.preempts(now) => {
                self.take_over(now, Cause::Preempting { master: source, priority });
            }
            Phase::Listening { .. } => {
                self.step_down(now, instance, Cause::OtherMaster { master: source, priority });
            }
            Phase::HandingOver { .. } => self.heard_successor(now, instance, source),
            Phase::Backup | Phase::Fault | Phase::Waiting { .. } => {
                self.note_master(now, instance, priority);
            }
            Phase::Idle | Phase::Leaving => {}
        }
    }

    /// As backup: follow it, unless it is to be replaced.
    fn note_master(&mut self, now: Instant, instance: usize, priority: u8) {
        let follow = if priority >= self.priority() {
            self.lower_since = None;
            true
        } else {
            self.lower_since.get_or_insert(now);
            !self.preempts(now)
        };
        if follow {
            self.routers[instance].listen = None;
        }
    }

    fn heard_lower_master(&mut self, now: Instant, instance: usize, source: IpAddr, priority: u8) {
        self.routers[instance].counters.lower_masters += 1;
        self.report(now, instance, Event::LowerMaster { instance, source, priority });
        // After a stall the other router may rightly have become master.
        if self.routers[instance].is_overdue(now) && !self.preempts(now) {
            self.step_down(now, instance, Cause::OtherMaster { master: source, priority });
        } else {
            self.reassert(now, instance);
        }
    }

    /// A tie is decided by address, and addresses may rank differently on each network. So the first instance
    /// that hears the other router decides for the group; a verdict on a later one waits until the first has
    /// had the time to hear it.
    fn heard_equal_master(&mut self, now: Instant, instance: usize, source: IpAddr) {
        let priority = self.priority();
        if !self.outranks_us(instance, (priority, source)) {
            self.heard_lower_master(now, instance, source, priority);
        } else if instance == 0 {
            self.step_down(now, instance, Cause::Better { master: source, priority });
        } else if self.tie_lost_at.is_none() {
            let interval =
                self.routers[instance].peers.best().map_or(self.longest_interval(), |p| p.down.interval());
            self.tie_lost_at = Some(now + interval * 3 / 2);
            for other in 0..self.routers.len() {
                self.reassert(now, other);
            }
        }
    }

    /// Whether an earlier instance hears a router of our priority that loses the tie.
    fn wins_tie_before(&self, now: Instant, instance: usize) -> bool {
        (0..instance).any(|earlier| {
            self.equal_masters(now, earlier).any(|peer| !self.outranks_us(earlier, peer.rank()))
        })
    }

    fn equal_masters(&self, now: Instant, instance: usize) -> impl Iterator<Item = &Peer> {
        let (router, priority) = (&self.routers[instance], self.priority());
        router.peers.iter().filter(move |peer| peer.priority == priority && router.ends(&peer.down) > now)
    }

    pub(super) fn decide_tie(&mut self, now: Instant) {
        self.tie_lost_at = None;
        let lost = (0..self.routers.len()).find_map(|instance| {
            // One that has stepped down meanwhile falls silent: yielding to it would leave nobody.
            let mut speaking = self.equal_masters(now, instance).filter(|peer| !peer.down.is_late(now));
            let peer = speaking.find(|peer| self.outranks_us(instance, peer.rank()))?;
            (!self.wins_tie_before(now, instance)).then_some((instance, *peer))
        });
        if let Some((instance, peer)) = lost {
            self.step_down(now, instance, Cause::Better { master: peer.source, priority: peer.priority });
        }
    }

    /// Tells another master, and all neighbours, who is master.
    fn reassert(&mut self, now: Instant, instance: usize) {
        let priority = self.priority();
        let router = &mut self.routers[instance];
        // Not once for each advert of a queue, or of a flood: what was answered just now has been heard.
        if router.answered.is_none_or(|then| now >= then + router.own_interval() / 10) {
            router.answered = Some(now);
            router.advert_due = Some(now + router.own_interval());
            self.send(now, instance, priority);
        }
        for router in &mut self.routers {
            let announce = router.config.announce;
            router.announcer.restart_after_lower(now, &announce);
        }
        self.send_due(now);
    }

    /// Another master is there: leave it the VIPs. It hears one last advert of ours, from which it learns that
    /// there were two masters and that its announcements are due once more. A lower-ranked master must not take
    /// that for a better one, so it gets priority 0, which has the same effect.
    fn step_down(&mut self, now: Instant, instance: usize, cause: Cause) {
        self.silence();
        self.place_all(Place::Lo);
        self.parked_until = Some(now + PARK);
        let to_lower = matches!(cause, Cause::OtherMaster { .. });
        let priority = if to_lower { 0 } else { self.priority() };
        for (other, router) in self.routers.iter_mut().enumerate() {
            router.listen = None;
            if other != instance {
                router.listen_from(now);
            }
        }
        for instance in 0..self.routers.len() {
            self.send(now, instance, priority);
        }
        self.lower_since = to_lower.then_some(now);
        self.enter(now, Phase::Backup, cause);
    }

    /// When this backup takes over, as things are: when every instance has stopped hearing a master that is
    /// not to be replaced.
    pub(super) fn takeover_at(&self) -> Option<Instant> {
        if self.phase != Phase::Backup || self.force == Force::Backup || !self.all_links_up() {
            return None;
        }
        let timers = self.routers.iter().flat_map(|router| {
            let listen = router.listen.map(|listen| router.ends(&listen));
            let peers = router.peers.iter().filter_map(|peer| {
                if peer.priority >= self.priority() {
                    Some(router.ends(&peer.down))
                } else {
                    self.lower_master_blocks_until(router, peer)
                }
            });
            listen.into_iter().chain(peers)
        });
        timers.chain(self.not_before).chain(self.delayed_until).chain(self.entered).max()
    }

    /// Takes over if nothing speaks against it.
    pub(super) fn settle(&mut self, now: Instant) {
        if self.takeover_at().is_some_and(|at| at <= now) {
            let cause = self.takeover_cause(now);
            self.take_over(now, cause);
        }
    }

    fn takeover_cause(&self, now: Instant) -> Cause {
        if self.force == Force::Master {
            return Cause::Forced(Force::Master);
        }
        let living =
            self.routers.iter().flat_map(|r| r.peers.iter().filter(|p| r.ends(&p.down) > now)).next();
        if let Some(peer) = living {
            return Cause::Preempting { master: peer.source, priority: peer.priority };
        }
        let last = self
            .routers
            .iter()
            .flat_map(|r| r.peers.iter().map(|peer| peer.down).chain(r.listen).map(move |timer| (r, timer)))
            .max_by_key(|(router, timer)| router.ends(timer));
        match last {
            Some((router, timer)) => timer.cut_by().map_or_else(
                || Cause::Silence(timer.length(router.patience(), router.priority)),
                Cause::Resigned,
            ),
            None if self.priority() == OWNER => Cause::Owner,
            None => {
                let since = self.entered.unwrap_or(now);
                Cause::Silence(now.saturating_duration_since(since))
            }
        }
    }

    /// Becomes master: adverts first, so that no other backup does, then the VIPs, then the neighbours.
    pub(super) fn take_over(&mut self, now: Instant, cause: Cause) {
        let priority = self.priority();
        for instance in 0..self.routers.len() {
            self.send(now, instance, priority);
            let router = &mut self.routers[instance];
            router.listen = None;
            router.advert_due = router.is_up().then(|| now + router.own_interval());
        }
        self.parked_until = None;
        self.place_all(Place::Interface);
        for router in &mut self.routers {
            let announce = router.config.announce;
            router.announcer.start(now, &announce);
        }
        self.hold_off = false;
        self.lower_since = None;
        self.not_before = None;
        self.tie_lost_at = None;
        self.enter(now, Phase::Master, cause);
        self.send_due(now);
    }

    /// Starts serving on an instance whose link came while the group is master.
    fn serve(&mut self, now: Instant, instance: usize) {
        let router = &mut self.routers[instance];
        router.listen = None;
        router.advert_due = Some(now);
        let announce = router.config.announce;
        router.announcer.start(now, &announce);
        self.send_due(now);
    }

    /// The driver was away. Whoever is master now has the time of one interval to say so.
    pub(super) fn stalled(&mut self, now: Instant) {
        match self.phase {
            Phase::Master => {
                self.silence();
                self.outputs.push(Output::Event(Event::Stalled));
                let until = now + self.longest_interval();
                self.enter(now, Phase::Listening { until, fresh: false }, Cause::Kept);
            }
            Phase::Listening { fresh, .. } => {
                self.phase = Phase::Listening { until: now + self.longest_interval(), fresh };
            }
            Phase::Backup => {
                let grace = self.routers.iter().map(|r| r.interval() + r.skew(r.interval())).max();
                self.not_before = grace.map(|grace| now + grace);
            }
            Phase::Idle
            | Phase::Waiting { .. }
            | Phase::HandingOver { .. }
            | Phase::Fault
            | Phase::Leaving => {}
        }
    }
}
