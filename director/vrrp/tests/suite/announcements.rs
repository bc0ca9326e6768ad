//! When neighbours are told.

use std::time::Duration;

use fairway_config::{Announce, Period, Preempt};

use crate::rig::{Did, Rig, config, down, ms};

fn with(announce: Announce) -> Rig {
    let mut config = config(1, 100, Preempt::Always);
    config.group.instances[0].announce = announce;
    Rig::started(config)
}

/// Times of the announcements in milliseconds since take-over.
fn times(rig: &mut Rig, length: Duration) -> Vec<u128> {
    let base = down(100);
    let all = rig.advance(length);
    all.into_iter()
        .filter(|(_, did)| *did == Did::Announce(0))
        .map(|(at, _)| (at - base).as_millis())
        .collect()
}

const ANNOUNCE: Announce = Announce {
    repeat: 3,
    interval: Period::from_millis(20),
    delay: Period::from_secs(5),
    refresh: Period::from_secs(12),
    refresh_repeat: 1,
    lower_priority_repeat: None,
    lower_priority_delay: None,
    pacing: Period::from_millis(0),
};

#[test]
fn two_bursts_and_a_refresh() {
    let mut rig = with(ANNOUNCE);
    let times = times(&mut rig, down(100) + ms(37_000));
    assert_eq!(times, [0, 20, 40, 5_000, 5_020, 5_040, 12_000, 24_000, 36_000]);
    assert_eq!(rig.group.instances()[0].counters().announcements, 9);
}

#[test]
fn the_second_burst_and_the_refresh_can_be_switched_off() {
    let never = Period::from_secs(0);
    let mut rig = with(Announce { delay: never, refresh: never, ..ANNOUNCE });
    assert_eq!(times(&mut rig, down(100) + ms(100_000)), [0, 20, 40]);
}

#[test]
fn a_burst_without_interval_comes_at_once() {
    let never = Period::from_secs(0);
    let mut rig = with(Announce { interval: never, delay: never, refresh: never, ..ANNOUNCE });
    assert_eq!(times(&mut rig, down(100) + ms(1_000)), [0, 0, 0]);
}

#[test]
fn a_refresh_may_be_a_burst() {
    let never = Period::from_secs(0);
    let mut rig = with(Announce { delay: never, refresh_repeat: 3, ..ANNOUNCE });
    let times = times(&mut rig, down(100) + ms(25_000));
    assert_eq!(times, [0, 20, 40, 12_000, 12_020, 12_040, 24_000, 24_020, 24_040]);
}

#[test]
fn a_lower_master_has_settings_of_its_own() {
    let delay = Some(Period::from_secs(2));
    let mut rig = with(Announce { lower_priority_repeat: Some(2), lower_priority_delay: delay, ..ANNOUNCE });
    times(&mut rig, down(100) + ms(6_000));
    assert!(rig.hear(0, 99, 50).contains(&Did::Announce(0)));
    assert_eq!(times(&mut rig, ms(5_000)), [6_020, 8_000, 8_020]);
    let mut rig = with(Announce { lower_priority_repeat: Some(0), ..ANNOUNCE });
    times(&mut rig, down(100) + ms(6_000));
    assert!(!rig.hear(0, 99, 50).contains(&Did::Announce(0)));
    assert_eq!(times(&mut rig, ms(5_000)), []);
}

#[test]
fn a_lower_master_starts_them_again() {
    let mut rig = with(ANNOUNCE);
    times(&mut rig, down(100) + ms(1_000));
    assert!(rig.hear(0, 99, 50).contains(&Did::Announce(0)));
    assert_eq!(times(&mut rig, ms(6_000)), [1_020, 1_040, 6_000, 6_020, 6_040]);
}

#[test]
fn a_lower_master_right_after_the_take_over_is_answered_too() {
    let mut rig = with(ANNOUNCE);
    times(&mut rig, down(100));
    rig.sleep(ms(1));
    assert!(rig.hear(0, 99, 50).contains(&Did::Announce(0)));
    assert_eq!(times(&mut rig, ms(100)), [21, 41]);
}

#[test]
fn a_flood_of_lower_adverts_is_no_flood_of_announcements() {
    let mut rig = with(ANNOUNCE);
    times(&mut rig, down(100) + ms(1_000));
    let mut count = 0;
    for _ in 0..1_000 {
        count += rig.hear(0, 99, 50).iter().filter(|did| **did == Did::Announce(0)).count();
        rig.sleep(Duration::from_micros(200));
    }
    assert!((5..=11).contains(&count), "{count} in 200 ms");
}

#[test]
fn no_announcement_outlives_mastership() {
    let mut rig = with(ANNOUNCE);
    times(&mut rig, down(100));
    rig.hear(0, 99, 200);
    rig.link(0, true);
    let mut all = Vec::new();
    for _ in 0..100 {
        rig.hear(0, 99, 200);
        all.extend(times(&mut rig, ms(100)));
    }
    assert_eq!(all, [] as [u128; 0]);
}
