//! Sequences of operations nobody thought of: invariants after each step.

use std::time::Duration;

use fairway_config::{Family, Initial, Period, Preempt, Tracker, VrrpVersion};
use fairway_vrrp::{
    Advert, Authentication, Carrier, Event, Force, Group, GroupConfig, Input, Output, Place, Received, State,
    Verdict, group_address,
};
use proptest::prelude::*;

use crate::rig::{INTERVAL, address, config, link, ms, origin, vip};

#[derive(Debug, Clone)]
enum Operation {
    Wait(u64),
    /// Until the next timer, and so much longer.
    Timer(u64),
    Start(bool),
    Link(usize, bool),
    Advert {
        instance: usize,
        router: u8,
        priority: u8,
        centiseconds: u64,
    },
    Bytes(usize, u8, Vec<u8>),
    Force(Force),
    Failover,
    Stop,
    Stalled,
    Track(usize, Verdict),
    Reconfigure(GroupConfig),
}

/// One of a fault and two of weights.
const TRACKERS: [&str; 3] = ["proxy", "uplink", "spare"];

fn preempt() -> impl Strategy<Value = Preempt> {
    prop_oneof![
        Just(Preempt::Always),
        Just(Preempt::Never),
        (0..2_000_u64).prop_map(|millis| Preempt::After(Period::from_millis(millis)))
    ]
}

fn any_config() -> impl Strategy<Value = GroupConfig> {
    (1..=3_usize, prop_oneof![Just(100_u8), Just(255), 1..=255_u8], preempt(), 1..=30_u64, any::<bool>())
        .prop_map(|(networks, priority, preempt, centiseconds, v2)| {
            let mut config = config(networks, priority, preempt);
            let tracker = |weight| Tracker { weight, initial: Initial::Pass, ..Tracker::default() };
            let trackers = TRACKERS.into_iter().zip([None, Some(-90), Some(60)]);
            config.group.track = trackers.map(|(name, weight)| (name.to_owned(), tracker(weight))).collect();
            for instance in &mut config.group.instances {
                if v2 {
                    instance.version = VrrpVersion::V2;
                    instance.advert_interval = Period::from_secs(1);
                } else {
                    instance.advert_interval = Period::from_millis(centiseconds * 10);
                }
            }
            config
        })
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        4 => (0..600_u64).prop_map(Operation::Wait),
        8 => prop_oneof![4 => Just(0), 1 => 0..400_u64].prop_map(Operation::Timer),
        2 => any::<bool>().prop_map(Operation::Start),
        3 => (0..4_usize, prop::bool::weighted(0.8)).prop_map(|(instance, up)| Operation::Link(instance, up)),
        8 => (0..4_usize, 5..16_u8, prop_oneof![Just(0), Just(100), Just(255), any::<u8>()], 1..50_u64).prop_map(
            |(instance, router, priority, centiseconds)| Operation::Advert { instance, router, priority, centiseconds }
        ),
        1 => (0..4_usize, any::<u8>(), prop::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(instance, ttl, bytes)| Operation::Bytes(instance, ttl, bytes)),
        1 => prop_oneof![Just(Force::Auto), Just(Force::Master), Just(Force::Backup)].prop_map(Operation::Force),
        1 => Just(Operation::Failover),
        1 => Just(Operation::Stop),
        1 => Just(Operation::Stalled),
        2 => (0..TRACKERS.len(), prop_oneof![1 => Just(Verdict::Failing), 3 => Just(Verdict::Passing)])
            .prop_map(|(tracker, verdict)| Operation::Track(tracker, verdict)),
        1 => any_config().prop_map(Operation::Reconfigure),
    ]
}

/// What the driver and the kernel would know.
struct World {
    group: Group,
    origin: std::time::Instant,
    now: Duration,
    state: State,
    places: Vec<Option<Place>>,
    /// Between `Start` and `Stopped`.
    running: bool,
    stopping: bool,
}

impl World {
    fn new(config: GroupConfig) -> Self {
        let places = vec![None; config.group.instances.len()];
        Self {
            group: Group::new(config),
            origin: origin(),
            now: Duration::ZERO,
            state: State::Init,
            places,
            running: false,
            stopping: false,
        }
    }

    fn apply(&mut self, operation: Operation) {
        match operation {
            Operation::Wait(millis) => self.now += ms(millis),
            Operation::Timer(late) => {
                if let Some(deadline) = self.group.next_deadline() {
                    let due = deadline.saturating_duration_since(self.origin);
                    self.now = self.now.max(due) + ms(late);
                }
                self.input(Input::Timer);
                self.timers_come_to_rest();
            }
            Operation::Start(holding) => {
                self.running = true;
                self.input(Input::Start { holding });
            }
            Operation::Link(instance, up) => {
                self.input(Input::Link { instance, source: link(up, address(instance, 10)) });
            }
            Operation::Advert { instance, router, priority, centiseconds } => {
                let instances = self.group.instances().len();
                let version = self.group.config().group.instances[instance % instances].version;
                let interval = match version {
                    VrrpVersion::V2 => Duration::from_secs(1),
                    VrrpVersion::V3 => ms(centiseconds * 10),
                };
                let advert = Advert {
                    version,
                    vrid: 51,
                    priority,
                    interval,
                    addresses: vec![vip(instance)],
                    authentication: Authentication::None,
                };
                let (source, destination) = (address(instance, router), group_address(Family::Ipv4));
                let payload = advert.encode(source, destination, Default::default());
                let packet =
                    Received { source, destination, ttl: 255, carrier: Carrier::Vrrp, payload: &payload };
                self.input(Input::Packet { instance, packet });
            }
            Operation::Bytes(instance, ttl, payload) => {
                let packet = Received {
                    source: address(0, 9),
                    destination: group_address(Family::Ipv4),
                    ttl,
                    carrier: Carrier::Vrrp,
                    payload: &payload,
                };
                self.input(Input::Packet { instance, packet });
            }
            Operation::Force(force) => {
                self.input(Input::Force(force));
                assert_eq!(self.group.forced(), force);
            }
            Operation::Failover => self.input(Input::Failover),
            Operation::Stop => {
                self.stopping = true;
                self.input(Input::Stop);
            }
            Operation::Stalled => self.input(Input::Stalled),
            Operation::Track(tracker, verdict) => {
                let detail = "seen".to_owned();
                self.input(Input::Track { tracker: TRACKERS[tracker], verdict, detail });
            }
            Operation::Reconfigure(config) => {
                self.places = vec![None; config.group.instances.len()];
                self.input(Input::Reconfigure(config));
                assert!(self.places.iter().all(Option::is_some), "a place was not repeated");
                for instance in 0..self.places.len() {
                    let source = self.group.instances()[instance].master();
                    assert!(source.is_none_or(|source| source.is_ipv4()));
                }
            }
        }
    }

    /// A timer that was served is not due again, except for the rounds of a burst without interval.
    fn timers_come_to_rest(&mut self) {
        for _ in 0..10 {
            let due = self.group.next_deadline().is_some_and(|deadline| deadline <= self.origin + self.now);
            if !due {
                return;
            }
            self.input(Input::Timer);
        }
        panic!("a timer is due again at once, forever");
    }

    fn input(&mut self, input: Input<'_>) {
        let outputs = self.group.handle(self.origin + self.now, input);
        for output in &outputs {
            self.check(output);
        }
        assert_eq!(self.state, self.group.state(), "a transition was not reported");
        self.invariants();
    }

    fn check(&mut self, output: &Output) {
        match output {
            Output::Transition { from, to, cause } => {
                assert_eq!(*from, self.state);
                assert_ne!(from, to);
                assert!(!matches!((from, to), (State::Fault, State::Master)), "it listens first");
                assert!(!cause.to_string().is_empty());
                self.state = *to;
            }
            Output::Vips { instance, place } => self.places[*instance] = Some(*place),
            Output::Send { instance, destination, payload, .. } => {
                let source = self.group.instances()[*instance].master();
                assert_eq!(*destination, group_address(Family::Ipv4));
                let decoded = Advert::decode(payload, address(*instance, 10), *destination).unwrap();
                assert!(
                    source.is_some() || self.group.state() != State::Master || decoded.advert.priority == 0
                );
            }
            Output::Announce { instance } => {
                assert_eq!(self.places[*instance], Some(Place::Interface), "announced what is not held");
            }
            Output::Event(event) => {
                assert!(!event.to_string().is_empty());
                assert!(!matches!(event, Event::BadPacket { source, .. } if source.is_ipv6()));
            }
            Output::Stopped => {
                assert!(self.places.iter().flatten().all(|place| *place == Place::Nowhere));
                (self.running, self.stopping) = (false, false);
            }
        }
    }

    /// VIPs are on the interfaces of a master (until a successor is heard), of a group that holds what its
    /// predecessor left (state init), and nowhere else.
    fn invariants(&self) {
        let held = self.places.iter().flatten().filter(|place| **place == Place::Interface).count();
        match self.group.state() {
            State::Master => assert!(held > 0, "a master without VIPs"),
            State::Init => {}
            State::Backup | State::Fault => assert_eq!(held, 0, "VIPs held in {}", self.group.state()),
        }
        if let (State::Backup, Force::Backup) = (self.group.state(), self.group.forced()) {
            let parked = self.places.contains(&Some(Place::Lo));
            assert!(parked || self.group.next_deadline().is_none(), "a forced backup waits for something");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_keeps_the_invariants(
        config in any_config(),
        links in any::<bool>(),
        operations in prop::collection::vec(operation(), 1..80),
    ) {
        let mut world = World::new(config);
        if links {
            for instance in 0..3 {
                world.apply(Operation::Link(instance, true));
            }
            world.apply(Operation::Start(false));
        }
        for operation in operations {
            world.apply(operation);
        }
    }

    /// Whatever came before: with its links up, set free and alone, it becomes master; stopped, it lets go.
    #[test]
    fn any_sequence_can_be_recovered_from(
        config in any_config(),
        operations in prop::collection::vec(operation(), 1..40),
        stop in any::<bool>(),
    ) {
        let mut world = World::new(config);
        world.apply(Operation::Start(false));
        for operation in operations {
            world.apply(operation);
        }
        if stop {
            world.apply(Operation::Stop);
        } else {
            let stopping = world.stopping;
            for _ in 0..usize::from(stopping) * 200 {
                world.apply(Operation::Timer(0));
            }
            world.apply(Operation::Start(false));
            for instance in 0..world.places.len() {
                world.apply(Operation::Link(instance, true));
            }
            world.apply(Operation::Force(Force::Auto));
            for tracker in 0..TRACKERS.len() {
                world.apply(Operation::Track(tracker, Verdict::Passing));
            }
        }
        let end = world.now + ms(20_000) + 10 * INTERVAL;
        while let Some(deadline) = world.group.next_deadline()
            && deadline <= world.origin + end
            && (!stop || world.running)
        {
            world.apply(Operation::Timer(0));
        }
        if stop {
            prop_assert!(!world.running, "it never stopped");
        } else {
            prop_assert_eq!(world.group.state(), State::Master);
        }
    }
}
