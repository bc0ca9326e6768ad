//! Anything goes wrong for a while, then it stops: exactly one master remains, in time, and nobody flaps.

use std::num::NonZero;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fairway_config::{Period, Preempt, Priority, Tracker, VrrpVersion};
use fairway_vrrp::{Force, GroupConfig, Input, State, Verdict};

use super::lan::{FAIR, Lan, Seen, Weather};
use super::random::Random;
use crate::rig::{config, ms};

/// Schedules in a run of the tests, unless `FAIRWAY_SCHEDULES` says otherwise. `cargo bench -p fairway-vrrp --bench schedules` runs a million.
const SEEDS: u64 = 10_000;

/// What every group depends on, and its weight.
const TRACKERS: [(&str, Option<i16>); 2] = [("proxy", None), ("uplink", Some(-100))];

/// What a run is made of.
struct Scene {
    lan: Lan,
    preempt: Preempt,
    /// How many adverts in a row may be missed.
    adverts: u8,
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
    // Of its own, so that schedules are what they were: how many adverts in a row may be missed.
    let mut patience = Random::new(seed ^ 0x5bd1_e995);
    let adverts = if patience.chance(250) { patience.pick(&[2, 4, 5, 10]) } else { 3 };
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
                instance.down_timer_adverts = adverts;
                instance.priority = Priority::new(*priority).unwrap();
            }
            config
        })
        .collect();
    let intervals = || configs.iter().map(|c| c.group.instances[0].advert_interval.get());
    let (shortest, longest) = (intervals().min().unwrap(), intervals().max().unwrap());
    let down = down(adverts, longest, *priorities.iter().min().unwrap());
    let mut lan = Lan::new(seed, configs);
    lan.contradictory = random.chance(500);
    Scene {
        stopping: vec![false; count],
        lan,
        preempt,
        adverts,
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
    fn trouble(&mut self) {
        let lan = &mut self.lan;
        let mut random = lan.random.clone();
        let (router, other) = (random.below(lan.routers.len()), random.below(lan.routers.len()));
        let network = random.below(lan.networks());
        match random.below(21) {
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
            18 | 19 => self.change_priority(&mut random, router),
            _ => {
                lan.weather = Weather {
                    loss: random.next() % 400,
                    duplication: random.next() % 300,
                    delay: FAIR.delay,
                    jitter: random.time(2 * self.shortest),
                };
            }
        }
        self.lan.random = random;
    }

    /// Another configuration with another priority; none that two have, unless ties are what this is about.
    fn change_priority(&mut self, random: &mut Random, router: usize) {
        let lan = &mut self.lan;
        let priority = 1 + u8::try_from(random.below(if self.ties { 3 } else { 255 })).unwrap();
        if !self.ties && (0..lan.routers.len()).any(|other| priority_of(lan, other) == priority) {
            return;
        }
        let config = &mut lan.routers[router].config;
        for instance in &mut config.group.instances {
            instance.priority = Priority::new(priority).unwrap();
        }
        let config = config.clone();
        lan.input(router, Input::Reconfigure(config));
        self.down = self.down.max(lan.patience(router).max(down(self.adverts, self.longest, priority)));
    }

    /// Everything works again, but the routers are divided into groups that do not hear each other at all.
    fn divide(&mut self) {
        self.heal();
        let lan = &mut self.lan;
        let count = lan.routers.len();
        let island: Vec<usize> = (0..count).map(|_| lan.random.below(3)).collect();
        for (a, b) in (0..count).flat_map(|a| (0..a).map(move |b| (a, b))) {
            if island[a] != island[b] {
                (0..lan.networks()).for_each(|network| lan.cut_both(network, a, b));
            }
        }
        let bound = self.bound();
        let lan = &mut self.lan;
        lan.run_for(bound);
        for here in 0..3 {
            let of = |who: &[usize]| who.iter().copied().filter(|r| island[*r] == here).collect::<Vec<_>>();
            let masters = of(&lan.masters());
            assert_eq!(masters.len(), usize::from(island.contains(&here)), "island {here} of {island:?}");
            for network in 0..lan.networks() {
                assert_eq!(of(&lan.holders(network)), masters, "island {here} of {island:?}");
            }
        }
        let quiet = lan.now;
        lan.run_for(4 * self.longest);
        assert!(lan.transitions_since(quiet).is_empty(), "{:?}", lan.transitions_since(quiet));
    }

    /// A master that dies and comes back finds its successor master, and leaves it so.
    fn does_not_move_back(&mut self) {
        let master = self.lan.masters()[0];
        let bound = self.bound();
        self.lan.power_off(master);
        self.lan.run_for(bound);
        let successor = self.lan.masters();
        assert_eq!(successor.len(), 1, "one successor");
        let back = self.lan.now;
        start(&mut self.lan, master);
        self.lan.run_for(bound + 4 * self.longest);
        let moved =
            self.lan.transitions_since(back).into_iter().filter(|(_, who, _)| successor.contains(who));
        let log = || self.lan.log.iter().filter(|(at, ..)| *at >= back).collect::<Vec<_>>();
        assert_eq!(moved.count(), 0, "{successor:?} was master when {master} came back: {:#?}", log());
        assert_eq!(self.lan.masters(), successor);
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
        // As long as a backup waits that was told the longest interval.
        let told = 2 * self.longest * 3 / u32::from(self.adverts.min(3));
        let bridged = if self.bridged { (u32::from(self.adverts) + 1) * told } else { Duration::ZERO };
        self.down + 2 * self.longest + slack + ties + preempt + bridged
    }
}

/// Names the schedule that failed, and how to see it again.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let seed = self.0;
            eprintln!(
                "schedule {seed}; again: cargo bench -p fairway-vrrp --bench schedules -- --seed {seed}"
            );
        }
    }
}

/// When one worker fails, the others have no more to do.
struct EndsTheOthers<'a>(&'a AtomicU64);

impl Drop for EndsTheOthers<'_> {
    fn drop(&mut self) {
        self.0.store(u64::MAX / 2, Ordering::Relaxed);
    }
}

/// One schedule of trouble, the same at each run.
///
/// # Panics
/// An invariant does not hold.
pub fn run(seed: u64) {
    let _named = Named(seed);
    let mut scene = scene(seed);
    for router in 0..scene.lan.routers.len() {
        if scene.lan.random.chance(900) {
            start(&mut scene.lan, router);
        }
        let later = scene.lan.random.time(scene.longest);
        scene.lan.run_for(later);
    }
    for _ in 0..scene.lan.random.clone().below(30) {
        scene.trouble();
        let later = scene.lan.random.time(2 * scene.longest);
        scene.lan.run_for(later);
    }
    if seed.is_multiple_of(4) {
        scene.divide();
    }
    scene.heal();
    check_healed(seed, &mut scene);
    let owners = (0..scene.lan.routers.len()).any(|router| priority_of(&scene.lan, router) == 255);
    // Who waits for less than the master's interval hears nobody: intervals have to be the same for this.
    let same = scene.longest == scene.shortest;
    if scene.preempt == Preempt::Never && !scene.ties && !owners && same {
        scene.does_not_move_back();
    }
}

/// Runs schedules on all processors.
///
/// # Panics
/// An invariant does not hold in one of them.
pub fn run_all(seeds: Range<u64>) {
    let next = AtomicU64::new(seeds.start);
    let work = || {
        let _ends_the_others = EndsTheOthers(&next);
        while let seed = next.fetch_add(1, Ordering::Relaxed)
            && seed < seeds.end
        {
            run(seed);
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(work))));
}

#[test]
fn one_master_remains_after_any_trouble() {
    let count = std::env::var("FAIRWAY_SCHEDULES").map_or(SEEDS, |text| text.parse().expect("a number"));
    run_all(0..count);
}

fn priority_of(lan: &Lan, router: usize) -> u8 {
    lan.routers[router].config.group.instances[0].priority.get()
}

/// The master-down interval by the RFC's own formula.
fn down(adverts: u8, interval: Duration, priority: u8) -> Duration {
    u32::from(adverts) * interval + interval * (256 - u32::from(priority)) / 256
}

fn check_healed(seed: u64, scene: &mut Scene) {
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
        // What was said before, by a master that an order has just ended, is still under way.
        let times = lan.transitions_since(healed + 5 * FAIR.delay);
        let times = times.iter().filter(|(_, who, seen)| *who == router && *seen == Seen::To(State::Master));
        // Three of equal priority, whose addresses contradict each other, may need a second round.
        let rounds = 1 + usize::from(scene.ties);
        assert!(times.count() <= rounds, "seed {seed}: {router} flapped: {}", story(lan));
    }
    let quiet = lan.now;
    lan.weather.jitter = scene.shortest / 4;
    lan.weather.duplication = 100;
    lan.run_for(10 * scene.longest);
    assert!(lan.transitions_since(quiet).is_empty(), "seed {seed}: flaps: {}", story(lan));
}
