//! Anything goes wrong for a while, then it stops: exactly one master remains, in time, and nobody flaps.

use std::time::Duration;

use fairway_config::{Period, Preempt, Priority, Tracker, VrrpVersion};
use fairway_vrrp::{Force, GroupConfig, Input, State, Verdict};

use super::lan::{FAIR, Lan, Seen, Weather};
use super::random::Random;
use crate::rig::{config, ms};

const SEEDS: u64 = 300;

/// What every group depends on, and its weight.
const TRACKERS: [(&str, Option<i16>); 2] = [("proxy", None), ("uplink", Some(-100))];

/// What a run is made of.
struct Scene {
    lan: Lan,
    preempt: Preempt,
    /// The longest advert interval of all routers.
    longest: Duration,
    shortest: Duration,
    /// The longest master-down interval anybody can have.
    down: Duration,
    ties: bool,
    /// An operator asked for a failover: the best router may rightly not be master.
    failed_over: bool,
    stopping: Vec<bool>,
    /// Backups may have been told to wait longer.
    bridged: bool,
}

fn scene(seed: u64) -> Scene {
    let mut random = Random::new(seed);
    let count = 2 + random.below(4);
    let networks = 1 + random.below(3);
    let preempt = match random.below(4) {
        0 | 1 => Preempt::Always,
        2 => Preempt::Never,
        _ => Preempt::After(Period(random.time(ms(2_000)))),
    };
    let ties = random.chance(300);
    let version = if random.chance(200) { VrrpVersion::V2 } else { VrrpVersion::V3 };
    let common = random.pick(&[10, 100, 250, 1_000]);
    let mixed = random.chance(300);
    let mut priorities: Vec<u8> = Vec::new();
    while priorities.len() < count {
        let priority = 1 + u8::try_from(random.below(if ties { 3 } else { 255 })).unwrap();
        if ties || !priorities.contains(&priority) {
            priorities.push(priority);
        }
    }
    let configs: Vec<GroupConfig> = priorities
        .iter()
        .map(|priority| {
            let mut config = config(networks, *priority, preempt);
            config.group.track = TRACKERS
                .into_iter()
                .map(|(name, weight)| (name.to_owned(), Tracker { weight, ..Tracker::default() }))
                .collect();
            let interval = match version {
                VrrpVersion::V2 => 1_000,
                VrrpVersion::V3 if mixed => random.pick(&[10, 100, 250, 1_000]),
                VrrpVersion::V3 => common,
            };
            for instance in &mut config.group.instances {
                instance.version = version;
                instance.advert_interval = Period::from_millis(interval);
                instance.priority = Priority::new(*priority).unwrap();
            }
            config
        })
        .collect();
    let intervals = || configs.iter().map(|c| c.group.instances[0].advert_interval.get());
    let (shortest, longest) = (intervals().min().unwrap(), intervals().max().unwrap());
    let lowest = u32::from(*priorities.iter().min().unwrap());
    let down = 3 * longest + longest * (256 - lowest) / 256;
    let mut lan = Lan::new(seed, configs);
    lan.contradictory = random.chance(500);
    Scene {
        stopping: vec![false; count],
        lan,
        preempt,
        longest,
        shortest,
        down,
        ties,
        failed_over: false,
        bridged: false,
    }
}

fn say(lan: &mut Lan, router: usize, tracker: &str, verdict: Verdict) {
    lan.input(router, Input::Track { tracker, verdict, detail: "seen".to_owned() });
}

fn pass(lan: &mut Lan, router: usize) {
    TRACKERS.iter().for_each(|(tracker, _)| say(lan, router, tracker, Verdict::Passing));
}

/// Starts a router whose trackers pass.
fn start(lan: &mut Lan, router: usize) {
    lan.start(router);
    pass(lan, router);
}

impl Scene {
    /// One thing goes wrong.
    fn trouble(&mut self, seed: u64) {
        let lan = &mut self.lan;
        let mut random = lan.random.clone();
        let (router, other) = (random.below(lan.routers.len()), random.below(lan.routers.len()));
        let network = random.below(lan.networks());
        match random.below(19) {
            0 | 1 => lan.cut(network, router, other),
            2 | 3 => lan.cut_both(network, router, other),
            4 => (0..lan.networks()).for_each(|network| lan.cut_both(network, router, other)),
            5 => lan.join(),
            6 => lan.pause(router, random.time(6 * self.longest), random.chance(500)),
            7 => lan.kill(router),
            8 => lan.power_off(router),
            9 | 10 => {
                for router in 0..lan.routers.len() {
                    if lan.state(router).is_none() {
                        self.stopping[router] = false;
                        start(lan, router);
                    }
                }
            }
            11 => {
                let up = random.chance(600);
                lan.set_link(router, network, up);
            }
            12 => {
                self.stopping[router] = lan.state(router).is_some();
                lan.input(router, Input::Stop);
            }
            13 => {
                self.failed_over |= lan.state(router) == Some(State::Master);
                lan.input(router, Input::Failover);
            }
            14 => {
                let force = random.pick(&[Force::Auto, Force::Auto, Force::Master, Force::Backup]);
                lan.input(router, Input::Force(force));
            }
            15 => {
                let pause = random.time(2 * self.longest);
                lan.input(router, Input::Bridge(pause));
                lan.pass_on(router, random.time(3 * self.longest));
                self.bridged = true;
            }
            16 | 17 => {
                let (tracker, _) = random.pick(&TRACKERS);
                let verdict = random.pick(&[Verdict::Failing, Verdict::Passing]);
                say(lan, router, tracker, verdict);
            }
            _ => {
                lan.weather = Weather {
                    loss: random.next() % 400,
                    duplication: random.next() % 300,
                    delay: FAIR.delay,
                    jitter: random.time(2 * self.shortest),
                };
            }
        }
        assert!(lan.routers.len() > 1, "seed {seed}");
        lan.random = random;
    }

    /// All is well again.
    fn heal(&mut self) {
        let lan = &mut self.lan;
        lan.join();
        lan.weather = FAIR;
        lan.resume();
        // What was under way arrives.
        lan.run_for(2 * self.shortest + 2 * FAIR.delay);
        for router in 0..lan.routers.len() {
            if self.stopping[router] {
                lan.kill(router);
            }
            for network in 0..lan.networks() {
                lan.set_link(router, network, true);
            }
            if lan.state(router).is_none() {
                lan.start(router);
            }
            pass(lan, router);
            lan.input(router, Input::Force(Force::Auto));
        }
    }

    /// How long the protocol may take to agree: a master-down interval for a backup that must notice a death, one
    /// interval for two masters to meet, one for a router that listens before it goes on.
    fn bound(&self) -> Duration {
        let slack = 2 * self.shortest + 10 * FAIR.delay;
        let ties = if self.ties { 2 * self.longest } else { Duration::ZERO };
        let preempt = if let Preempt::After(delay) = self.preempt { delay.get() } else { Duration::ZERO };
        // Four of the longest intervals that a backup can have been told.
        let bridged = if self.bridged { 4 * 2 * self.longest } else { Duration::ZERO };
        self.down + 2 * self.longest + slack + ties + preempt + bridged
    }
}

#[test]
fn one_master_remains_after_any_trouble() {
    for seed in 0..SEEDS {
        let mut scene = scene(seed);
        for router in 0..scene.lan.routers.len() {
            if scene.lan.random.chance(900) {
                start(&mut scene.lan, router);
            }
            let later = scene.lan.random.time(scene.longest);
            scene.lan.run_for(later);
        }
        for _ in 0..scene.lan.random.clone().below(30) {
            scene.trouble(seed);
            let later = scene.lan.random.time(2 * scene.longest);
            scene.lan.run_for(later);
        }
        scene.heal();
        check_healed(seed, scene);
    }
}

fn check_healed(seed: u64, mut scene: Scene) {
    let healed = scene.lan.now;
    let bound = scene.bound();
    scene.lan.run_for(bound);
    let lan = &mut scene.lan;
    let story = |lan: &Lan| {
        let seen = lan.log.iter().filter(|(at, _, seen)| *at >= healed && !matches!(seen, Seen::Announce(_)));
        seen.map(|(at, who, seen)| format!("{:?} {who} {seen:?}\n", *at - healed)).collect::<String>()
    };
    let masters = lan.masters();
    assert_eq!(masters.len(), 1, "seed {seed}, {:?}, bound {bound:?}: {}", scene.preempt, story(lan));
    for network in 0..lan.networks() {
        assert_eq!(lan.holders(network), masters, "seed {seed}: {}", story(lan));
    }
    if scene.preempt == Preempt::Always && !scene.failed_over {
        let priority = |router: usize| lan.routers[router].config.group.instances[0].priority;
        let best = (0..lan.routers.len()).map(priority).max();
        assert_eq!(Some(priority(masters[0])), best, "seed {seed}: {}", story(lan));
    }
    for router in 0..lan.routers.len() {
        let times = lan.transitions_since(healed);
        let times = times.iter().filter(|(_, who, seen)| *who == router && *seen == Seen::To(State::Master));
        assert!(times.count() <= 1, "seed {seed}: {router} flapped: {}", story(lan));
    }
    let quiet = lan.now;
    lan.weather.jitter = scene.shortest / 4;
    lan.weather.duplication = 100;
    lan.run_for(10 * scene.longest);
    assert!(lan.transitions_since(quiet).is_empty(), "seed {seed}: flaps: {}", story(lan));
}
