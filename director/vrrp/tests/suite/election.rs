//! Election of a single instance: RFC 9568 section 6.4, RFC 3768 section 6.4.

use std::time::Duration;

use fairway_config::{Announce, Period, Preempt, Priority, VrrpVersion};
use fairway_vrrp::{Cause, Force, Input, LinkProblem, Output, Place, State};

use crate::rig::{Did, INTERVAL, Rig, address, adverts, config, down, ms, skew, when};

#[test]
fn a_backup_takes_over_exactly_after_the_master_down_interval() {
    for priority in [1, 100, 101, 200, 254] {
        let mut rig = Rig::backup(priority, Preempt::Always);
        rig.sleep(ms(37));
        rig.hear(0, 99, 254);
        let heard = rig.now;
        let all = rig.advance(ms(10_000));
        assert_eq!(when(&all, Did::To(State::Master)), Some(heard + down(priority.into())), "{priority}");
    }
}

#[test]
fn a_take_over_is_advert_then_vips_then_announcement() {
    let mut rig = Rig::backup(100, Preempt::Always);
    let all = rig.advance(down(100));
    let did: Vec<_> = all.into_iter().map(|(_, did)| did).collect();
    assert_eq!(
        did,
        [Did::Advert(0, 100), Did::Vips(0, Place::Interface), Did::To(State::Master), Did::Announce(0)]
    );
    assert_eq!(rig.group.cause(), &Cause::Silence(down(100)));
    assert_eq!(rig.group.instances()[0].master(), Some(address(0, 10)));
}

#[test]
fn nothing_happens_before_the_timer_is_due() {
    let mut rig = Rig::backup(100, Preempt::Always);
    rig.sleep(down(100) - Duration::from_nanos(1));
    assert_eq!(rig.input(Input::Timer), []);
    assert_eq!(rig.next(), Some(Duration::from_nanos(1)));
}

#[test]
fn skew_in_version_2_is_a_part_of_a_second() {
    let mut config = config(1, 100, Preempt::Always);
    config.group.instances[0].version = VrrpVersion::V2;
    config.group.instances[0].advert_interval = Period::from_secs(2);
    let mut rig = Rig::started(config);
    rig.hear(0, 99, 200);
    let all = rig.advance(ms(20_000));
    // 3 * 2 s + (256 - 100) / 256 s.
    assert_eq!(when(&all, Did::To(State::Master)), Some(Duration::from_micros(6_609_375)));
}

#[test]
fn a_backup_adopts_the_masters_interval() {
    let mut rig = Rig::backup(100, Preempt::Always);
    rig.hear_every(0, 99, 200, ms(400));
    assert_eq!(rig.group.instances()[0].interval(), ms(400));
    let all = rig.advance(ms(10_000));
    assert_eq!(when(&all, Did::To(State::Master)), Some(3 * ms(400) + ms(400) * 156 / 256));
    // As master it is its own interval again.
    assert_eq!(rig.group.instances()[0].interval(), INTERVAL);
    let sent = adverts(&all);
    assert_eq!(sent[1].0 - sent[0].0, INTERVAL);
}

#[test]
fn a_shorter_interval_is_adopted_too() {
    let mut rig = Rig::backup(100, Preempt::Always);
    rig.hear_every(0, 99, 200, ms(10));
    let all = rig.advance(ms(1_000));
    assert_eq!(when(&all, Did::To(State::Master)), Some(ms(30) + ms(10) * 156 / 256));
}

#[test]
fn a_lower_master_that_is_to_be_replaced_changes_no_interval() {
    let mut rig = Rig::backup(100, Preempt::Always);
    rig.hear_every(0, 99, 50, ms(4_000));
    let all = rig.advance(ms(10_000));
    assert_eq!(when(&all, Did::To(State::Master)), Some(down(100)));
}

#[test]
fn adverts_of_the_master_keep_a_backup_quiet() {
    for priority in [100, 101, 255] {
        let mut rig = Rig::backup(100, Preempt::Always);
        for _ in 0..50 {
            assert_eq!(rig.hear(0, 5, priority), []);
            assert_eq!(rig.advance(INTERVAL), []);
        }
        assert_eq!(rig.group.instances()[0].master(), Some(address(0, 5)));
    }
}

#[test]
fn adverts_do_not_drift() {
    let mut config = config(1, 100, Preempt::Always);
    let none = Period::from_secs(0);
    config.group.instances[0].announce =
        Announce { repeat: 1, interval: none, delay: none, refresh: none, ..Announce::default() };
    let mut rig = Rig::started(config);
    rig.advance(down(100));
    for (turn, late) in (1..).zip([0, 3, 30, 0, 99, 1, 50, 50]) {
        rig.sleep(rig.next().unwrap() + ms(late));
        assert_eq!(rig.input(Input::Timer), [Did::Advert(0, 100)]);
        assert_eq!(rig.now, down(100) + turn * INTERVAL + ms(late));
    }
}

#[test]
fn a_master_far_behind_sends_one_advert_not_all() {
    let mut rig = Rig::master(100, Preempt::Always);
    rig.sleep(ms(1_042));
    let late = rig.now;
    assert_eq!(rig.input(Input::Timer).iter().filter(|did| **did == Did::Advert(0, 100)).count(), 1);
    let sent = adverts(&rig.advance(ms(250)));
    assert_eq!(sent, [(late + ms(100), 100), (late + ms(200), 100)]);
}

#[test]
fn priority_zero_shortens_the_wait_to_the_skew_time() {
    let mut rig = Rig::backup(100, Preempt::Always);
    rig.hear(0, 99, 200);
    rig.sleep(ms(20));
    rig.hear(0, 99, 0);
    let at = rig.now;
    let all = rig.advance(ms(1_000));
    assert_eq!(when(&all, Did::To(State::Master)), Some(at + skew(100)));
    assert_eq!(rig.group.cause(), &Cause::Resigned(address(0, 99)));
}

#[test]
fn repeated_priority_zero_does_not_push_the_take_over_out() {
    let mut rig = Rig::backup(1, Preempt::Always);
    rig.hear(0, 99, 200);
    rig.hear(0, 99, 0);
    rig.sleep(ms(60));
    rig.hear(0, 99, 0);
    let all = rig.advance(ms(1_000));
    assert_eq!(when(&all, Did::To(State::Master)), Some(skew(1)));
}

#[test]
fn priority_zero_before_any_other_advert_counts() {
    let mut rig = Rig::backup(100, Preempt::Always);
    rig.hear(0, 99, 0);
    let all = rig.advance(ms(1_000));
    assert_eq!(when(&all, Did::To(State::Master)), Some(skew(100)));
}

#[test]
fn priority_zero_of_somebody_else_is_not_the_masters() {
    let mut rig = Rig::backup(100, Preempt::Always);
    rig.hear(0, 99, 200);
    rig.hear(0, 7, 0);
    let all = rig.advance(ms(1_000));
    assert_eq!(when(&all, Did::To(State::Master)), Some(down(100)));
}

#[test]
fn a_master_that_resigned_and_speaks_again_is_master() {
    let mut rig = Rig::backup(100, Preempt::Always);
    rig.hear(0, 99, 200);
    rig.hear(0, 99, 0);
    rig.sleep(ms(10));
    rig.hear(0, 99, 200);
    let all = rig.advance(ms(1_000));
    assert_eq!(when(&all, Did::To(State::Master)), Some(ms(10) + down(100)));
}

#[test]
fn a_tie_goes_to_the_higher_address() {
    let mut rig = Rig::master(100, Preempt::Always);
    let did = rig.hear(0, 11, 100);
    assert_eq!(rig.group.state(), State::Backup, "{did:?}");
    let mut rig = Rig::master(100, Preempt::Always);
    rig.hear(0, 9, 100);
    assert_eq!(rig.group.state(), State::Master);
}

#[test]
fn a_yielding_master_takes_its_vips_away_and_sends_one_last_advert() {
    let mut rig = Rig::master(100, Preempt::Always);
    rig.advance(ms(3_000));
    let did = rig.hear(0, 99, 101);
    assert_eq!(did, [Did::Vips(0, Place::Lo), Did::Advert(0, 100), Did::To(State::Backup)]);
    assert_eq!(rig.group.cause(), &Cause::Better { master: address(0, 99), priority: 101 });
    // It follows the winner, and what was parked goes after a second.
    let mut all = Vec::new();
    for _ in 0..20 {
        rig.hear(0, 99, 101);
        all.extend(rig.advance(INTERVAL));
    }
    assert_eq!(all, [(ms(3_000) + down(100) + ms(1_000), Did::Vips(0, Place::Nowhere))]);
}

#[test]
fn a_lower_master_is_told_at_once_and_the_neighbours_too() {
    let mut rig = Rig::master(100, Preempt::Always);
    rig.advance(ms(3_030));
    let did = rig.hear(0, 99, 50);
    assert_eq!(did, [Did::Event, Did::Advert(0, 100), Did::Announce(0)]);
    let heard = rig.now;
    let sent = adverts(&rig.advance(ms(150)));
    assert_eq!(sent, [(heard + INTERVAL, 100)]);
}

#[test]
fn a_master_that_hears_priority_zero_announces_itself() {
    let mut rig = Rig::master(100, Preempt::Always);
    rig.advance(ms(3_030));
    assert_eq!(rig.hear(0, 99, 0), [Did::Advert(0, 100), Did::Announce(0)]);
}

#[test]
fn preempting_replaces_a_lower_master_after_listening() {
    let mut rig = Rig::backup(100, Preempt::Always);
    let mut all = Vec::new();
    for _ in 0..4 {
        rig.hear(0, 99, 50);
        all.extend(rig.advance(INTERVAL));
    }
    assert_eq!(when(&all, Did::To(State::Master)), Some(down(100)));
    assert_eq!(rig.group.cause(), &Cause::Preempting { master: address(0, 99), priority: 50 });
}

#[test]
fn without_preemption_a_lower_master_stays() {
    let mut rig = Rig::backup(100, Preempt::Never);
    for _ in 0..50 {
        assert_eq!(rig.hear(0, 99, 50), []);
        assert_eq!(rig.advance(INTERVAL), []);
    }
    let all = rig.advance(ms(1_000));
    assert_eq!(when(&all, Did::To(State::Master)), Some(ms(4_900) + down(100)));
}

#[test]
fn delayed_preemption_waits_for_the_delay() {
    let mut rig = Rig::backup(100, Preempt::After(Period::from_secs(2)));
    rig.advance(ms(55));
    let mut all = Vec::new();
    for _ in 0..25 {
        rig.hear(0, 99, 50);
        all.extend(rig.advance(INTERVAL));
    }
    assert_eq!(when(&all, Did::To(State::Master)), Some(ms(2_055)));
    assert_eq!(rig.group.cause(), &Cause::Preempting { master: address(0, 99), priority: 50 });
}

#[test]
fn a_better_master_restarts_the_delay_of_preemption() {
    let mut rig = Rig::backup(100, Preempt::After(Period::from_secs(1)));
    let mut all = Vec::new();
    for turn in 0..25 {
        rig.hear(0, 99, if turn == 5 { 200 } else { 50 });
        all.extend(rig.advance(INTERVAL));
    }
    assert_eq!(when(&all, Did::To(State::Master)), Some(ms(600) + ms(1_000)));
}

#[test]
fn a_lower_master_that_dies_is_replaced_before_the_delay() {
    let mut rig = Rig::backup(100, Preempt::After(Period::from_secs(60)));
    rig.hear(0, 99, 50);
    let all = rig.advance(ms(1_000));
    assert_eq!(when(&all, Did::To(State::Master)), Some(down(100)));
}

#[test]
fn how_many_adverts_may_be_missed_is_configured() {
    for adverts in [1, 2, 7, 100] {
        let mut config = config(1, 100, Preempt::Always);
        config.group.instances[0].down_timer_adverts = adverts;
        let mut rig = Rig::started(config);
        rig.hear(0, 99, 200);
        let all = rig.advance(INTERVAL * 102);
        let expected = down(100) - 3 * INTERVAL + u32::from(adverts) * INTERVAL;
        assert_eq!(when(&all, Did::To(State::Master)), Some(expected), "{adverts}");
    }
}

#[test]
fn nobody_is_master_before_the_delay_after_the_start() {
    let mut config = config(1, 100, Preempt::Always);
    config.group.start_delay = Period::from_secs(30);
    let mut rig = Rig::started(config.clone());
    let all = rig.advance(ms(40_000));
    assert_eq!(when(&all, Did::To(State::Master)), Some(ms(30_000)));
    // Whatever comes after it is not delayed.
    rig.link(0, false);
    rig.sleep(ms(1_000));
    rig.link(0, true);
    let at = rig.now;
    let all = rig.advance(ms(40_000));
    assert_eq!(when(&all, Did::To(State::Master)), Some(at + down(100)));

    config.group.instances[0].priority = Priority::new(255).unwrap();
    assert_eq!(Rig::started(config.clone()).group.state(), State::Backup);
    let mut rig = Rig::started(config.clone());
    rig.input(Input::Force(Force::Master));
    assert_eq!(rig.group.state(), State::Master, "an operator does not wait");
    // Virtual IPs that a predecessor left go on being served.
    let mut rig = Rig::new(config);
    rig.links_up();
    rig.input(Input::Start { holding: true });
    rig.advance(down(100));
    assert_eq!(rig.group.state(), State::Master);
}

#[test]
fn the_owner_of_the_addresses_does_not_wait() {
    for preempt in [Preempt::Always, Preempt::Never, Preempt::After(Period::from_secs(9))] {
        let rig = Rig::started(config(1, 255, preempt));
        assert_eq!(rig.group.state(), State::Master);
        assert_eq!(rig.group.cause(), &Cause::Owner);
    }
}

#[test]
fn two_owners_settle_by_address() {
    let mut rig = Rig::started(config(1, 255, Preempt::Always));
    rig.hear(0, 99, 255);
    assert_eq!(rig.group.state(), State::Backup);
    for _ in 0..50 {
        rig.hear(0, 99, 255);
        assert_eq!(adverts(&rig.advance(INTERVAL)), []);
    }
}

#[test]
fn the_better_of_two_masters_counts() {
    let mut rig = Rig::backup(100, Preempt::Always);
    // 150 speaks last, with a long interval, but yields to 200, who then falls silent.
    rig.hear(0, 99, 200);
    rig.hear_every(0, 98, 150, ms(5_000));
    rig.sleep(ms(50));
    rig.hear(0, 99, 200);
    let all = rig.advance(ms(9_000));
    assert_eq!(when(&all, Did::To(State::Master)), Some(ms(50) + down(100)));
}

#[test]
fn a_better_master_that_lives_counts_though_a_lower_one_spoke_last() {
    let mut rig = Rig::backup(100, Preempt::Always);
    rig.hear_every(0, 99, 200, ms(1_000));
    rig.sleep(ms(50));
    rig.hear_every(0, 98, 150, ms(10));
    let all = rig.advance(ms(9_000));
    assert_eq!(when(&all, Did::To(State::Master)), Some(ms(3_000) + ms(1_000) * 156 / 256));
}

#[test]
fn a_flood_of_masters_is_bounded() {
    let mut rig = Rig::backup(100, Preempt::Always);
    for router in 11..=250 {
        rig.hear(0, router, 251 - router / 2);
    }
    let all = rig.advance(ms(9_000));
    assert_eq!(when(&all, Did::To(State::Master)), Some(down(100)));
}

#[test]
fn forced_master_takes_over_at_once_with_priority_255() {
    let mut rig = Rig::backup(100, Preempt::Never);
    rig.hear(0, 99, 200);
    let did = rig.force(Force::Master);
    assert_eq!(did[0], Did::Advert(0, 255));
    assert_eq!(rig.group.state(), State::Master);
    assert_eq!(rig.group.cause(), &Cause::Forced(Force::Master));
    assert_eq!(rig.group.forced(), Force::Master);
    assert_eq!(rig.hear(0, 99, 254)[0], Did::Event);
    assert_eq!(rig.group.state(), State::Master);
    // Two forced masters are a tie.
    rig.hear(0, 99, 255);
    assert_eq!(rig.group.state(), State::Backup);
}

#[test]
fn a_forced_master_set_free_yields_to_the_better_one() {
    let mut rig = Rig::backup(100, Preempt::Always);
    rig.force(Force::Master);
    rig.advance(ms(20));
    assert_eq!(rig.force(Force::Auto)[0], Did::Advert(0, 100));
    assert_eq!(rig.group.state(), State::Master);
    rig.hear(0, 99, 200);
    assert_eq!(rig.group.state(), State::Backup);
}

#[test]
fn forced_backup_never_takes_over() {
    let mut rig = Rig::backup(100, Preempt::Always);
    rig.force(Force::Backup);
    assert_eq!(rig.advance(ms(60_000)), []);
    assert_eq!(rig.next(), None);
    // Set free it has listened for long enough.
    rig.force(Force::Auto);
    assert_eq!(rig.group.state(), State::Master);
}

#[test]
fn forced_backup_set_free_respects_a_living_master() {
    let mut rig = Rig::backup(100, Preempt::Always);
    rig.force(Force::Backup);
    rig.advance(ms(10_000));
    rig.hear(0, 99, 200);
    rig.force(Force::Auto);
    assert_eq!(rig.group.state(), State::Backup);
    let all = rig.advance(ms(1_000));
    assert_eq!(when(&all, Did::To(State::Master)), Some(ms(10_000) + down(100)));
}

#[test]
fn before_the_start_nothing_matters() {
    let mut rig = Rig::new(config(1, 100, Preempt::Always));
    rig.links_up();
    assert_eq!(rig.hear(0, 99, 200), []);
    assert_eq!(rig.input(Input::Timer), []);
    assert_eq!(rig.input(Input::Stalled), []);
    assert_eq!(rig.input(Input::Failover), []);
    assert_eq!(rig.next(), None);
    assert_eq!(rig.input(Input::Stop), [Did::Vips(0, Place::Nowhere), Did::Stopped]);
}

#[test]
fn an_instance_that_does_not_exist_is_ignored() {
    let mut rig = Rig::master(100, Preempt::Always);
    assert_eq!(rig.input(Input::Link { instance: 7, source: Err(LinkProblem::Down) }), []);
    let packet = fairway_vrrp::Received {
        source: address(0, 9),
        destination: address(0, 9),
        ttl: 255,
        carrier: fairway_vrrp::Carrier::Vrrp,
        payload: &[],
    };
    assert_eq!(rig.receive(7, packet), []);
}

#[test]
fn a_changed_priority_moves_a_running_timer() {
    let mut rig = Rig::backup(100, Preempt::Always);
    rig.hear(0, 99, 250);
    let mut config = config(1, 100, Preempt::Always);
    config.group.instances[0].priority = Priority::new(200).unwrap();
    rig.input(Input::Reconfigure(config));
    let all = rig.advance(ms(5_000));
    assert_eq!(when(&all, Did::To(State::Master)), Some(down(200)));
    assert!(rig.outputs.iter().any(|o| matches!(o, Output::Send { payload, .. } if payload[2] == 200)));
}
