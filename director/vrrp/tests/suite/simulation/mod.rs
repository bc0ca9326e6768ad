//! Routers on simulated networks, with a seeded scheduler. Every assertion names the seed.

mod causes;
pub mod chaos;
mod lan;
mod models;
mod partitions;
mod random;

use std::time::Duration;

use fairway_config::{Period, Preempt};
use fairway_vrrp::{Input, Place, State};

use crate::rig::{INTERVAL, config, down, ms, skew};
use lan::{FAIR, Lan, Seen, Weather};
use random::Random;

const SEEDS: u64 = 60;

/// Routers with these priorities on `networks` networks, settled.
fn settled(seed: u64, networks: usize, priorities: &[u8], preempt: Preempt) -> Lan {
    let configs = priorities.iter().map(|priority| config(networks, *priority, preempt)).collect();
    let mut lan = Lan::new(seed, configs);
    lan.start_all();
    lan.run_for(ms(2_000) + lan.random.clone().time(INTERVAL));
    assert_eq!(lan.masters().len(), 1, "seed {seed}");
    lan
}

fn priorities(random: &mut Random, count: usize) -> Vec<u8> {
    let mut all: Vec<u8> = Vec::new();
    while all.len() < count {
        let priority = 1 + u8::try_from(random.below(254)).unwrap();
        if !all.contains(&priority) {
            all.push(priority);
        }
    }
    all
}

#[test]
fn the_best_backup_replaces_a_dead_master_on_time() {
    for seed in 0..SEEDS {
        let mut random = Random::new(seed);
        let count = 2 + random.below(4);
        let mut priorities = priorities(&mut random, count);
        priorities.sort_unstable();
        let mut lan = settled(seed, 1 + random.below(2), &priorities, Preempt::Always);
        assert_eq!(lan.masters(), [count - 1], "seed {seed}");
        lan.power_off(count - 1);
        let died = lan.now;
        lan.run_for(ms(1_000));
        let last =
            lan.log.iter().rev().find(|(_, who, seen)| *who == count - 1 && matches!(seen, Seen::Advert(..)));
        let heard = last.unwrap().0 + FAIR.delay;
        let to = lan.transitions_since(died);
        let expected = (heard + down(priorities[count - 2].into()), count - 2, Seen::To(State::Master));
        assert_eq!(to, [&expected], "seed {seed}");
    }
}

#[test]
fn duplicated_and_reordered_adverts_change_nothing() {
    for seed in 0..SEEDS {
        let mut random = Random::new(seed);
        let count = 2 + random.below(4);
        let priorities = priorities(&mut random, count);
        let mut lan = settled(seed, 1 + random.below(2), &priorities, random.pick(&MODES));
        lan.weather = Weather { loss: 0, duplication: 300, delay: ms(1), jitter: ms(190) };
        let since = lan.now;
        lan.run_for(ms(20_000));
        assert!(lan.transitions_since(since).is_empty(), "seed {seed}: {:?}", lan.transitions_since(since));
    }
}

#[test]
fn two_lost_adverts_in_a_row_change_nothing() {
    for seed in 0..SEEDS {
        let mut lan = settled(seed, 1, &[200, 254, 1], Preempt::Always);
        for _ in 0..20 {
            let at = lan.random.time(ms(500));
            lan.run_for(at);
            let since = lan.now;
            // One advert before, and the next two.
            lan.hears[0][1].fill(false);
            lan.run_for(2 * INTERVAL);
            lan.join();
            lan.run_for(ms(400));
            assert!(lan.transitions_since(since).is_empty(), "seed {seed}");
        }
    }
}

const MODES: [Preempt; 3] = [Preempt::Always, Preempt::Never, Preempt::After(Period::from_millis(700))];

/// Whether at least one router held the VIP of each network on its interface all the time since `since`.
fn always_held(lan: &Lan, since: Duration) -> bool {
    (0..lan.networks()).all(|network| {
        let mut held = vec![false; lan.routers.len()];
        let mut gaps = 0;
        for (at, router, seen) in &lan.log {
            if let Seen::Place(on, place) = seen
                && *on == network
            {
                held[*router] = *place == Place::Interface;
                // The successor's advert precedes its VIPs by nothing; look between moments, not within one.
                let end_of_moment = !lan.log.iter().any(|(other, _, s)| {
                    other == at && matches!(s, Seen::Place(n, Place::Interface) if *n == network)
                });
                gaps += usize::from(*at >= since && end_of_moment && held.iter().all(|held| !held));
            }
        }
        gaps == 0
    })
}

#[test]
fn a_graceful_stop_leaves_no_gap() {
    for seed in 0..SEEDS {
        let mut random = Random::new(seed);
        let mut lan = settled(seed, 1 + random.below(3), &[100, 200, 150], random.pick(&MODES));
        lan.weather.jitter = ms(random.below(20) as u64);
        lan.weather.loss = random.pick(&[0, 0, 300]);
        let master = lan.masters()[0];
        let since = lan.now;
        lan.input(master, Input::Stop);
        lan.run_for(ms(3_000));
        assert!(always_held(&lan, since), "seed {seed}: {:#?}", lan.log);
        assert!(lan.routers[master].group.is_none(), "seed {seed}: did not stop");
        assert!(lan.routers[master].places.iter().all(|place| *place == Place::Nowhere), "seed {seed}");
        if lan.weather.loss == 0 {
            let to = lan.transitions_since(since);
            let mut masters = to.iter().filter(|(.., seen)| *seen == Seen::To(State::Master));
            let best = [100, 200, 150].into_iter().enumerate().filter(|(router, _)| *router != master);
            let (successor, priority) = best.max_by_key(|(_, priority)| *priority).unwrap();
            let (at, who, _) = masters.next().unwrap();
            assert_eq!((*who, masters.next()), (successor, None), "seed {seed}");
            // The goodbye came, and the skew time passed.
            let took = *at - since;
            let soonest = FAIR.delay + skew(priority);
            assert!(took >= soonest && took <= soonest + lan.weather.jitter, "seed {seed}: {took:?}");
        }
    }
}

#[test]
fn a_failover_leaves_no_gap_and_stays() {
    for seed in 0..SEEDS {
        let mut random = Random::new(seed);
        let mut lan = settled(seed, 1 + random.below(2), &[100, 200, 150], random.pick(&MODES));
        let master = lan.masters()[0];
        let since = lan.now;
        lan.input(master, Input::Failover);
        lan.run_for(ms(10_000));
        assert!(always_held(&lan, since), "seed {seed}");
        let successor = lan.masters();
        assert_eq!(successor.len(), 1, "seed {seed}");
        assert_ne!(successor[0], master, "seed {seed}");
        // Until the successor goes away.
        lan.power_off(successor[0]);
        lan.run_for(ms(1_000));
        assert_eq!(lan.masters().len(), 1, "seed {seed}");
    }
}

#[test]
fn a_failover_with_nobody_there_keeps_the_master() {
    let mut lan = settled(1, 2, &[100], Preempt::Always);
    let since = lan.now;
    lan.input(0, Input::Failover);
    lan.run_for(ms(2_000));
    assert!(lan.transitions_since(since).is_empty());
    assert!(always_held(&lan, since));
}

#[test]
fn a_healed_split_leaves_the_neighbours_with_the_winner() {
    for seed in 0..SEEDS {
        let mut random = Random::new(seed);
        let networks = 1 + random.below(2);
        let mut lan = settled(seed, networks, &[100, 200], random.pick(&MODES));
        (0..networks).for_each(|network| lan.cut_both(network, 0, 1));
        lan.run_for(3 * down(100) + lan.random.clone().time(INTERVAL));
        assert_eq!(lan.masters(), [0, 1], "seed {seed}");
        lan.join();
        let healed = lan.now;
        lan.run_for(INTERVAL + 4 * FAIR.delay);
        assert_eq!(lan.masters(), [1], "seed {seed}");
        for network in 0..networks {
            let gone = lan.log.iter().find(|(at, router, seen)| {
                *at > healed && *router == 0 && *seen == Seen::Place(network, Place::Lo)
            });
            let gone = gone.unwrap_or_else(|| panic!("seed {seed}: network {network}")).0;
            let announced = lan
                .log
                .iter()
                .any(|(at, router, seen)| *at >= gone && *router == 1 && *seen == Seen::Announce(network));
            assert!(announced, "seed {seed}: {:#?}", lan.log);
        }
    }
}

#[test]
fn a_process_that_follows_another_disturbs_nobody() {
    for seed in 0..SEEDS {
        let mut random = Random::new(seed);
        let mut lan = settled(seed, 1 + random.below(3), &[100, 200, 150], random.pick(&MODES));
        let since = lan.now;
        for _ in 0..3 {
            // The master, or a backup.
            let router = random.below(3);
            lan.input(router, Input::Bridge(ms(1_000)));
            lan.run_for(ms(50));
            lan.input(router, Input::Bridge(ms(1_000)));
            let gap = random.time(ms(2_900));
            lan.pass_on(router, gap);
            lan.run_for(gap + random.time(ms(2_000)));
        }
        assert!(lan.transitions_since(since).is_empty(), "seed {seed}: {:#?}", lan.log);
        assert!(always_held(&lan, since), "seed {seed}: {:#?}", lan.log);
        assert!(lan.routers.iter().all(|router| router.group.is_some()), "seed {seed}");
    }
}

#[test]
fn a_process_that_follows_too_late_respects_the_new_master() {
    for seed in 0..SEEDS {
        let mut random = Random::new(seed);
        let mut lan = settled(seed, 1 + random.below(2), &[100, 200], Preempt::Never);
        let master = lan.masters()[0];
        lan.input(master, Input::Bridge(ms(1_000)));
        lan.pass_on(master, ms(4_000) + random.time(ms(2_000)));
        lan.run_for(ms(8_000));
        assert_eq!(lan.masters(), [1 - master], "seed {seed}: {:#?}", lan.log);
        assert_eq!(lan.holders(0), [1 - master], "seed {seed}");
    }
}

#[test]
fn a_killed_process_that_comes_back_in_time_disturbs_nobody() {
    for seed in 0..SEEDS {
        let mut lan = settled(seed, 2, &[100, 200], Preempt::Always);
        lan.kill(1);
        let since = lan.now;
        let away = lan.random.time(ms(100));
        lan.run_for(away);
        lan.start(1);
        lan.run_for(ms(5_000));
        let to: Vec<_> =
            lan.transitions_since(since).into_iter().map(|(_, who, seen)| (*who, seen.clone())).collect();
        assert_eq!(to, [(1, Seen::To(State::Master))], "seed {seed}");
        assert!(always_held(&lan, since), "seed {seed}");
    }
}

#[test]
fn a_killed_process_that_comes_back_late_respects_the_new_master() {
    for preempt in [Preempt::Never, Preempt::After(Period::from_secs(60))] {
        let mut lan = settled(3, 1, &[100, 200], preempt);
        let master = lan.masters()[0];
        lan.kill(master);
        lan.run_for(ms(1_000));
        assert_eq!(lan.holders(0).len(), 2);
        lan.start(master);
        lan.run_for(ms(1_000));
        assert_eq!(lan.masters(), [1 - master], "{:#?}", lan.log);
        assert_eq!(lan.holders(0), [1 - master]);
    }
}

#[test]
fn a_stalled_master_does_not_fight_its_successor() {
    for seed in 0..SEEDS {
        let mut random = Random::new(seed);
        let mode = random.pick(&MODES[..2]);
        let mut lan = settled(seed, 1 + random.below(2), &[100, 200], mode);
        let master = lan.masters()[0];
        let since = lan.now;
        lan.pause(master, ms(1_000) + random.time(ms(1_000)), random.chance(500));
        lan.run_for(ms(4_000));
        let masters = lan.masters();
        assert_eq!(masters.len(), 1, "seed {seed}");
        let count = lan.transitions_since(since).len();
        match mode {
            // The successor keeps it, one change each.
            Preempt::Never => assert_eq!((masters[0], count), (1 - master, 2), "seed {seed}: {:#?}", lan.log),
            // The successor comes and goes; the stalled one never left.
            _ => assert_eq!((masters[0], count), (master, 2), "seed {seed}: {:#?}", lan.log),
        }
    }
}
