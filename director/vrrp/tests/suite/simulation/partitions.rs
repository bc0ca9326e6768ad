//! Every way in which routers can hear each other or not: it settles, stays settled, and heals.

use std::time::Duration;

use fairway_config::{Period, Preempt};
use fairway_vrrp::State;

use super::MODES;
use super::lan::Lan;
use super::random::Random;
use crate::rig::{INTERVAL, config, down, ms};

/// Longest time until routers agree whose agreement depends on `depth` others one after the other.
fn bound(depth: usize) -> Duration {
    u32::try_from(depth).unwrap() * (down(1) + 2 * INTERVAL) + ms(10)
}

/// Cuts the directed connections whose bit is not set; `pattern` numbers (network, from, to).
fn apply(lan: &mut Lan, pattern: usize) {
    let mut bit = 0;
    for network in 0..lan.networks() {
        for from in 0..lan.routers.len() {
            for to in (0..lan.routers.len()).filter(|to| *to != from) {
                lan.hears[network][from][to] = pattern >> bit & 1 == 1;
                bit += 1;
            }
        }
    }
}

fn hears(lan: &Lan, listener: usize, speaker: usize) -> bool {
    lan.hears.iter().any(|network| network[speaker][listener])
}

/// Of two masters that hear each other one must go; who is no master must hear one.
fn check(lan: &Lan, what: &str) {
    let masters = lan.masters();
    for a in 0..lan.routers.len() {
        for b in 0..a {
            let both = masters.contains(&a) && masters.contains(&b);
            assert!(!(both && lan.adjacent(a, b)), "{what}: {a} and {b} are master and hear each other");
        }
        let led = masters.contains(&a) || masters.iter().any(|master| hears(lan, a, *master));
        assert!(led, "{what}: {a} hears no master among {masters:?} and is {:?}", lan.state(a));
    }
}

/// With preemption it follows from the ranks alone who is master: whoever hears no better master.
fn expected(lan: &Lan) -> Vec<usize> {
    let mut masters: Vec<usize> = Vec::new();
    for router in (0..lan.routers.len()).rev() {
        if !masters.iter().any(|better| hears(lan, router, *better)) {
            masters.push(router);
        }
    }
    masters.reverse();
    masters
}

/// Starts routers of rising priority under a pattern, or lets it come over a running network; then heals it.
fn run(what: &str, networks: usize, priorities: &[u8], preempt: Preempt, pattern: usize, late: bool) {
    let configs = priorities.iter().map(|priority| config(networks, *priority, preempt)).collect();
    let mut lan = Lan::new(pattern as u64, configs);
    let count = priorities.len();
    let delay = if let Preempt::After(delay) = preempt { delay.get() } else { Duration::ZERO };
    let wait = bound(count) + u32::try_from(count).unwrap() * delay;
    if !late {
        apply(&mut lan, pattern);
    }
    for router in 0..count {
        lan.start(router);
        let pause = lan.random.time(ms(200));
        lan.run_for(pause);
    }
    lan.run_for(wait);
    if late {
        assert_eq!(lan.masters().len(), 1, "{what}");
        apply(&mut lan, pattern);
        lan.run_for(wait);
    }
    check(&lan, what);
    if preempt == Preempt::Always {
        assert_eq!(lan.masters(), expected(&lan), "{what}");
    }
    let since = lan.now;
    lan.run_for(ms(3_000));
    assert!(lan.transitions_since(since).is_empty(), "{what}: flaps: {:?}", lan.transitions_since(since));
    lan.join();
    lan.run_for(bound(1) + delay);
    assert_eq!(lan.masters().len(), 1, "{what}: healed");
    let since = lan.now;
    lan.run_for(ms(1_000));
    assert!(lan.transitions_since(since).is_empty(), "{what}: flaps after the heal");
    assert!((0..count).all(|router| lan.state(router) != Some(State::Init)));
}

#[test]
fn two_routers_on_two_networks_in_every_partition() {
    for preempt in MODES {
        for pattern in 0..16 {
            for late in [false, true] {
                for priorities in [[100, 200], [199, 200]] {
                    let what = format!("{preempt:?}, pattern {pattern:04b}, late {late}, {priorities:?}");
                    run(&what, 2, &priorities, preempt, pattern, late);
                }
            }
        }
    }
}

#[test]
fn three_routers_on_one_network_in_every_partition() {
    for preempt in MODES {
        for pattern in 0..64 {
            for late in [false, true] {
                let what = format!("{preempt:?}, pattern {pattern:06b}, late {late}");
                run(&what, 1, &[50, 100, 200], preempt, pattern, late);
            }
        }
    }
}

#[test]
fn more_routers_on_more_networks_in_some_partitions() {
    for seed in 0..150 {
        let mut random = Random::new(seed);
        let networks = 1 + random.below(3);
        let mut priorities = super::priorities(&mut random, 3 + networks % 2);
        priorities.sort_unstable();
        let preempt = random.pick(&MODES);
        let pattern = random.next() as usize;
        let late = random.chance(500);
        run(&format!("seed {seed}, {preempt:?}"), networks, &priorities, preempt, pattern, late);
    }
}

/// Equal priorities whose addresses contradict each other from one network to the next.
#[test]
fn ties_on_contradictory_networks_are_settled_once() {
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let configs = vec![config(2, 100, Preempt::Always); 2];
        let mut lan = Lan::new(seed, configs);
        lan.contradictory = true;
        (0..2).for_each(|network| lan.cut_both(network, 0, 1));
        lan.start(0);
        lan.run_for(random.time(INTERVAL));
        lan.start(1);
        lan.run_for(ms(1_000));
        assert_eq!(lan.masters(), [0, 1], "seed {seed}");
        let since = lan.now;
        // One network heals before the other, or at the same time.
        let first = random.below(2);
        (lan.hears[first][0][1], lan.hears[first][1][0]) = (true, true);
        lan.run_for(random.pick(&[Duration::ZERO, ms(30), ms(1_000)]));
        lan.join();
        lan.run_for(2 * INTERVAL);
        assert_eq!(lan.masters().len(), 1, "seed {seed}: {:#?}", lan.transitions_since(since));
        lan.run_for(ms(2_000));
        assert_eq!(lan.transitions_since(since).len(), 1, "seed {seed}: {:#?}", lan.transitions_since(since));
    }
}

/// The delay of preemption, exactly, on a running network.
#[test]
fn a_returning_better_router_waits_for_its_delay() {
    let after = Preempt::After(Period::from_secs(3));
    for preempt in [Preempt::Always, after, Preempt::Never] {
        let configs = [100, 200].map(|priority| config(1, priority, preempt)).to_vec();
        let mut lan = Lan::new(1, configs);
        lan.start(0);
        lan.run_for(ms(1_000));
        let back = lan.now;
        lan.start(1);
        lan.run_for(ms(10_000));
        let to = lan.transitions_since(back);
        let master = to.iter().find(|(_, who, seen)| *who == 1 && *seen == super::Seen::To(State::Master));
        let took = master.map(|(at, ..)| *at - back);
        match preempt {
            Preempt::Always => assert_eq!(took, Some(down(200))),
            Preempt::Never => assert_eq!(took, None),
            Preempt::After(delay) => {
                let took = took.unwrap();
                assert!(took >= delay.get() && took <= delay.get() + INTERVAL, "{took:?}");
            }
        }
    }
}
