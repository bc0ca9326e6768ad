//! Networks, routers on them, and a clock, all in memory.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use fairway_config::Family;
use fairway_vrrp::{
    Carrier, Cause, Group, GroupConfig, Input, Output, Place, Received, Saved, State, group_address,
};

use super::causes::Ears;
use super::random::Random;
use crate::rig::{address, link, origin};

/// What the networks do to packets.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    /// Lost, of a thousand.
    pub loss: u64,
    /// Delivered twice, of a thousand.
    pub duplication: u64,
    pub delay: Duration,
    /// Added to the delay at random; above the time between two packets it reorders them.
    pub jitter: Duration,
}

pub const FAIR: Weather =
    Weather { loss: 0, duplication: 0, delay: Duration::from_micros(200), jitter: Duration::ZERO };

/// Something a router did that an observer sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    To(State),
    Place(usize, Place),
    Announce(usize),
    Advert(usize, u8),
    Stopped,
}

/// One director.
pub struct Router {
    pub config: GroupConfig,
    /// `None` while the process does not run.
    pub group: Option<Group>,
    /// Where its VIPs are, whether or not the process runs.
    pub places: Vec<Place>,
    pub links: Vec<bool>,
    /// Nothing is processed until then.
    paused_until: Option<Duration>,
    /// The pause is longer than its master-down interval.
    stalled: bool,
    /// The whole machine stands still: packets are lost, not queued.
    frozen: bool,
    /// Packets that came in the meantime.
    queue: Vec<Packet>,
    /// What the process left for the next one, and when.
    saved: Option<(Saved, Duration)>,
    /// What it heard, as the network knows it.
    pub ears: Ears,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Packet {
    network: usize,
    from: usize,
    payload: Vec<u8>,
}

type Delivery = (Duration, u64, usize, Packet);

pub struct Lan {
    origin: Instant,
    pub now: Duration,
    pub random: Random,
    pub weather: Weather,
    /// On every other network the addresses rank the other way round.
    pub contradictory: bool,
    pub routers: Vec<Router>,
    /// `hears[network][from][to]`.
    pub hears: Vec<Vec<Vec<bool>>>,
    in_flight: BinaryHeap<Reverse<Delivery>>,
    sequence: u64,
    /// When, which router, what.
    pub log: Vec<(Duration, usize, Seen)>,
}

impl Lan {
    /// Nothing runs yet, everybody would hear everybody.
    pub fn new(seed: u64, configs: Vec<GroupConfig>) -> Self {
        let (routers, networks) = (configs.len(), configs[0].group.instances.len());
        Self {
            origin: origin(),
            now: Duration::ZERO,
            random: Random::new(seed),
            weather: FAIR,
            contradictory: false,
            routers: configs
                .into_iter()
                .map(|config| Router {
                    config,
                    group: None,
                    places: vec![Place::Nowhere; networks],
                    links: vec![true; networks],
                    paused_until: None,
                    stalled: false,
                    frozen: false,
                    queue: Vec::new(),
                    saved: None,
                    ears: Ears::default(),
                })
                .collect(),
            hears: vec![vec![vec![true; routers]; routers]; networks],
            in_flight: BinaryHeap::new(),
            sequence: 0,
            log: Vec::new(),
        }
    }

    pub fn networks(&self) -> usize {
        self.hears.len()
    }

    /// Starts the process; VIPs that are still there are adopted.
    pub fn start(&mut self, router: usize) {
        let it = &mut self.routers[router];
        it.group = Some(Group::new(it.config.clone()));
        (it.paused_until, it.saved) = (None, None);
        it.ears = Ears::default();
        it.queue.clear();
        let holding = it.places.contains(&Place::Interface);
        for network in 0..self.networks() {
            self.tell_link(router, network);
        }
        self.input(router, Input::Start { holding });
    }

    pub fn start_all(&mut self) {
        for router in 0..self.routers.len() {
            self.start(router);
        }
    }

    /// The process is killed; its VIPs stay where they are.
    pub fn kill(&mut self, router: usize) {
        let it = &mut self.routers[router];
        (it.group, it.paused_until, it.saved) = (None, None, None);
    }

    /// The process leaves its state and its sockets to one that starts after `gap`.
    pub fn pass_on(&mut self, router: usize, gap: Duration) {
        let (now, moment) = (self.now, self.origin + self.now);
        let it = &mut self.routers[router];
        if it.paused_until.is_none()
            && let Some(saved) = it.group.as_ref().and_then(|group| group.save(moment))
        {
            (it.group, it.saved, it.paused_until) = (None, Some((saved, now)), Some(now + gap));
            (it.stalled, it.frozen) = (false, false);
        }
    }

    fn adopt(&mut self, router: usize, saved: &Saved, age: Duration) {
        let now = self.origin + self.now;
        let mut group = Group::new(self.routers[router].config.clone());
        let outputs = group.adopt(now, saved, age).expect("the same virtual routers");
        self.routers[router].group = Some(group);
        for output in outputs {
            self.carry_out(router, output);
        }
        for network in 0..self.networks() {
            self.tell_link(router, network);
        }
    }

    /// The machine is switched off.
    pub fn power_off(&mut self, router: usize) {
        self.kill(router);
        for network in 0..self.networks() {
            self.set_place(router, network, Place::Nowhere);
        }
    }

    pub fn set_link(&mut self, router: usize, network: usize, up: bool) {
        self.routers[router].links[network] = up;
        self.tell_link(router, network);
    }

    fn tell_link(&mut self, router: usize, network: usize) {
        let up = self.routers[router].links[network];
        let source = link(up, self.address(network, router));
        self.input(router, Input::Link { instance: network, source });
    }

    /// The process, or the whole machine if `frozen`, does not run for a while.
    pub fn pause(&mut self, router: usize, length: Duration, frozen: bool) {
        if self.routers[router].group.is_some() {
            let stalled = length > self.patience(router);
            let it = &mut self.routers[router];
            (it.paused_until, it.stalled, it.frozen) = (Some(self.now + length), stalled, frozen);
        }
    }

    /// Ends every pause.
    pub fn resume(&mut self) {
        for router in &mut self.routers {
            router.paused_until = router.paused_until.map(|until| until.min(self.now));
        }
    }

    /// The longest master-down interval of the router's own settings.
    pub fn patience(&self, router: usize) -> Duration {
        let instances = &self.routers[router].config.group.instances;
        let down = instances.iter().map(|i| {
            let interval = i.advert_interval.get();
            u32::from(i.down_timer_adverts) * interval + interval * (256 - u32::from(i.priority.get())) / 256
        });
        down.max().unwrap()
    }

    pub fn cut(&mut self, network: usize, from: usize, to: usize) {
        self.hears[network][from][to] = false;
    }

    pub fn cut_both(&mut self, network: usize, a: usize, b: usize) {
        self.cut(network, a, b);
        self.cut(network, b, a);
    }

    /// Everybody hears everybody again.
    pub fn join(&mut self) {
        for network in &mut self.hears {
            for from in network {
                from.fill(true);
            }
        }
    }

    pub fn input(&mut self, router: usize, input: Input<'_>) {
        let now = self.origin + self.now;
        let Some(group) = &mut self.routers[router].group else { return };
        let before = group.state();
        let outputs = group.handle(now, input);
        assert_legal(before, group.state(), &outputs);
        for output in outputs {
            self.carry_out(router, output);
        }
        self.check_members(router);
    }

    /// The members of a group agree: who is backup, or not fit to be master, has no VIP on any network.
    fn check_members(&self, router: usize) {
        let places = &self.routers[router].places;
        if let Some(state @ (State::Backup | State::Fault)) = self.state(router) {
            assert!(
                !places.contains(&Place::Interface),
                "router {router} is {state} and has VIPs: {places:?}"
            );
        }
    }

    fn carry_out(&mut self, router: usize, output: Output) {
        let seen = match output {
            Output::Send { instance, destination, payload, .. } => {
                assert_eq!(destination, group_address(Family::Ipv4));
                let priority = payload[2];
                self.transmit(Packet { network: instance, from: router, payload });
                Seen::Advert(instance, priority)
            }
            Output::Vips { instance, place } => return self.set_place(router, instance, place),
            Output::Announce { instance } => Seen::Announce(instance),
            Output::Transition { from, to, cause } => {
                if from == State::Fault {
                    self.routers[router].ears.listen_anew();
                }
                if to == State::Master {
                    self.check_cause(router, &cause);
                }
                Seen::To(to)
            }
            Output::Event(_) => return,
            Output::Stopped => {
                self.routers[router].group = None;
                Seen::Stopped
            }
        };
        self.log.push((self.now, router, seen));
        assert!(self.log.len() < 100_000, "routers keep answering each other");
    }

    fn set_place(&mut self, router: usize, network: usize, place: Place) {
        if std::mem::replace(&mut self.routers[router].places[network], place) != place {
            self.log.push((self.now, router, Seen::Place(network, place)));
        }
    }

    fn transmit(&mut self, packet: Packet) {
        for to in 0..self.routers.len() {
            let reachable = self.hears[packet.network][packet.from][to]
                && self.routers[packet.from].links[packet.network]
                && to != packet.from;
            if !reachable || self.random.chance(self.weather.loss) {
                continue;
            }
            let copies = 1 + usize::from(self.random.chance(self.weather.duplication));
            for _ in 0..copies {
                let at = self.now + self.weather.delay + self.random.time(self.weather.jitter);
                self.sequence += 1;
                self.in_flight.push(Reverse((at, self.sequence, to, packet.clone())));
            }
        }
    }

    /// Runs until `end`.
    pub fn run_until(&mut self, end: Duration) {
        while let Some(at) = self.next_moment()
            && at <= end
        {
            self.now = self.now.max(at);
            self.resume_paused();
            self.deliver_due();
            self.serve_timers();
        }
        self.now = end;
    }

    pub fn run_for(&mut self, length: Duration) {
        self.run_until(self.now + length);
    }

    fn timer_of(&self, router: &Router) -> Option<Duration> {
        if router.paused_until.is_some() {
            return router.paused_until;
        }
        let deadline = router.group.as_ref()?.next_deadline()?;
        Some(deadline.saturating_duration_since(self.origin))
    }

    fn next_moment(&self) -> Option<Duration> {
        let delivery = self.in_flight.peek().map(|Reverse((at, ..))| *at);
        self.routers.iter().map(|router| self.timer_of(router)).chain([delivery]).flatten().min()
    }

    fn deliver_due(&mut self) {
        while let Some(Reverse((at, ..))) = self.in_flight.peek()
            && *at <= self.now
        {
            let Some(Reverse((_, _, to, packet))) = self.in_flight.pop() else { return };
            if !self.routers[to].links[packet.network] {
                continue;
            }
            if self.routers[to].paused_until.is_some() {
                if !self.routers[to].frozen {
                    self.routers[to].queue.push(packet);
                }
            } else {
                self.deliver(to, &packet);
            }
        }
    }

    /// No election without a cause: who becomes master has a reason that the network can confirm.
    fn check_cause(&self, router: usize, cause: &Cause) {
        let it = &self.routers[router];
        let priority = it.group.as_ref().map_or(0, |group| group.instances()[0].priority());
        it.ears.confirm(router, self.now, &it.config.group, priority, cause);
    }

    fn deliver(&mut self, to: usize, packet: &Packet) {
        let interval = self.routers[packet.from].config.group.instances[packet.network].advert_interval.get();
        let source = self.address(packet.network, packet.from);
        self.routers[to].ears.hear(packet.from, source, self.now, packet.payload[2], interval);
        let received = Received {
            source: self.address(packet.network, packet.from),
            destination: group_address(Family::Ipv4),
            ttl: 255,
            carrier: Carrier::Vrrp,
            payload: &packet.payload,
        };
        self.input(to, Input::Packet { instance: packet.network, packet: received });
    }

    /// As the driver does: the queued packets first, then word of the stall, then timers.
    fn resume_paused(&mut self) {
        for router in 0..self.routers.len() {
            if self.routers[router].paused_until.is_some_and(|until| until <= self.now) {
                self.routers[router].paused_until = None;
                if let Some((saved, at)) = self.routers[router].saved.take() {
                    self.adopt(router, &saved, self.now - at);
                }
                for packet in std::mem::take(&mut self.routers[router].queue) {
                    self.deliver(router, &packet);
                }
                if self.routers[router].stalled {
                    self.input(router, Input::Stalled);
                }
            }
        }
    }

    fn serve_timers(&mut self) {
        for router in 0..self.routers.len() {
            let mut turns = 0;
            while self.routers[router].paused_until.is_none()
                && self.timer_of(&self.routers[router]).is_some_and(|at| at <= self.now)
            {
                self.input(router, Input::Timer);
                turns += 1;
                assert!(turns < 8, "router {router} is due again at once, forever");
            }
        }
    }

    pub fn state(&self, router: usize) -> Option<State> {
        self.routers[router].group.as_ref().map(Group::state)
    }

    pub fn masters(&self) -> Vec<usize> {
        (0..self.routers.len()).filter(|router| self.state(*router) == Some(State::Master)).collect()
    }

    /// Who has the VIP of a network on the interface.
    pub fn holders(&self, network: usize) -> Vec<usize> {
        (0..self.routers.len()).filter(|r| self.routers[*r].places[network] == Place::Interface).collect()
    }

    /// Whether two routers hear each other, on any network.
    pub fn adjacent(&self, a: usize, b: usize) -> bool {
        (0..self.networks()).any(|n| self.hears[n][a][b] && self.hears[n][b][a])
    }

    fn address(&self, network: usize, router: usize) -> IpAddr {
        let turned = self.contradictory && network % 2 == 1;
        let place = if turned { self.routers.len() - 1 - router } else { router };
        address(network, 10 + u8::try_from(place).unwrap())
    }

    /// State changes since a time.
    pub fn transitions_since(&self, since: Duration) -> Vec<&(Duration, usize, Seen)> {
        self.log.iter().filter(|(at, _, seen)| *at > since && matches!(seen, Seen::To(_))).collect()
    }
}

/// Only transitions that exist are taken, and each is reported.
fn assert_legal(before: State, after: State, outputs: &[Output]) {
    let mut state = before;
    for output in outputs {
        if let Output::Transition { from, to, .. } = output {
            assert_eq!(*from, state, "a transition from a state it was not in");
            assert_ne!(from, to);
            let legal = !matches!(
                (from, to),
                (State::Fault, State::Master) | (State::Fault, State::Fault) | (State::Backup, State::Backup)
            );
            assert!(legal, "{from} to {to}");
            state = *to;
        }
    }
    assert_eq!(state, after, "a transition was not reported");
}
