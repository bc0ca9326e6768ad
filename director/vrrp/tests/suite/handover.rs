//! Stop, failover and orders: serving until somebody else does.

use fairway_config::{Period, Preempt, VrrpVersion};
use fairway_vrrp::{Cause, Event, Force, Input, Output, Place, State};

use crate::rig::{Did, INTERVAL, Rig, address, adverts, config, down, ms, when};

/// Longer than any peer's master-down interval: priority 1, and time for its advert to come.
fn deadline() -> std::time::Duration {
    down(1) + ms(50)
}

fn serving() -> Rig {
    let mut rig = Rig::master(100, Preempt::Always);
    rig.advance(ms(5_530));
    rig
}

#[test]
fn a_stopping_master_says_goodbye_and_keeps_serving() {
    let mut rig = serving();
    assert_eq!(rig.input(Input::Stop), [Did::Advert(0, 0)]);
    assert_eq!(rig.group.state(), State::Master);
    let since = rig.now;
    let all = rig.advance(ms(250));
    assert_eq!(all, [(since + INTERVAL, Did::Advert(0, 0)), (since + 2 * INTERVAL, Did::Advert(0, 0))]);
}

#[test]
fn the_successors_advert_parks_the_vips_for_a_second() {
    let mut rig = serving();
    rig.input(Input::Stop);
    rig.advance(ms(40));
    let did = rig.hear(0, 99, 50);
    assert_eq!(did, [Did::Vips(0, Place::Lo), Did::Vips(0, Place::Lo), Did::To(State::Init)]);
    let parked = rig.now;
    for _ in 0..5 {
        assert_eq!(rig.hear(0, 99, 50), []);
    }
    let all = rig.advance(ms(5_000));
    assert_eq!(all, [(parked + ms(1_000), Did::Vips(0, Place::Nowhere)), (parked + ms(1_000), Did::Stopped)]);
    assert_eq!(rig.group.cause(), &Cause::Stopped);
    assert_eq!(rig.next(), None);
}

#[test]
fn without_a_successor_the_stop_ends_by_itself() {
    let mut rig = serving();
    rig.input(Input::Stop);
    let since = rig.now;
    let all = rig.advance(ms(5_000));
    assert_eq!(when(&all, Did::Vips(0, Place::Nowhere)), Some(since + deadline()));
    assert_eq!(when(&all, Did::Stopped), Some(since + deadline()));
    assert!(adverts(&all).iter().all(|(_, priority)| *priority == 0));
}

#[test]
fn a_very_slow_group_still_stops_in_half_a_minute() {
    let mut config = config(1, 100, Preempt::Always);
    config.group.instances[0].advert_interval = Period::from_secs(40);
    let mut rig = Rig::started(config);
    rig.advance(ms(200_000));
    rig.input(Input::Stop);
    let since = rig.now;
    let all = rig.advance(ms(200_000));
    assert_eq!(when(&all, Did::Stopped), Some(since + ms(30_000)));
}

#[test]
fn version_2_waits_for_a_skew_of_a_second() {
    let mut config = config(1, 100, Preempt::Always);
    config.group.instances[0].version = VrrpVersion::V2;
    config.group.instances[0].advert_interval = Period::from_secs(1);
    let mut rig = Rig::started(config);
    rig.advance(ms(10_000));
    rig.input(Input::Stop);
    let since = rig.now;
    let all = rig.advance(ms(20_000));
    assert!(when(&all, Did::Stopped).unwrap() >= since + ms(3_996));
}

#[test]
fn a_goodbye_of_another_router_is_no_successor() {
    let mut rig = serving();
    rig.input(Input::Stop);
    assert_eq!(rig.hear(0, 99, 0), []);
    assert_eq!(rig.group.state(), State::Master);
}

#[test]
fn each_network_is_parked_when_its_successor_is_heard() {
    let mut rig = Rig::started(config(2, 100, Preempt::Always));
    rig.advance(ms(10_000));
    rig.input(Input::Stop);
    assert_eq!(rig.hear(1, 99, 50), [Did::Vips(1, Place::Lo)]);
    let all = rig.advance(ms(150));
    assert!(all.iter().all(|(_, did)| *did == Did::Advert(0, 0)), "{all:?}");
    rig.hear(0, 99, 50);
    assert_eq!(rig.group.state(), State::Init);
}

#[test]
fn a_successor_heard_on_one_network_only_gets_all_of_them_in_the_end() {
    let mut rig = Rig::started(config(2, 100, Preempt::Always));
    rig.advance(ms(10_000));
    rig.input(Input::Stop);
    rig.hear(1, 99, 50);
    let all = rig.advance(ms(5_000));
    let lo = when(&all, Did::Vips(0, Place::Lo)).unwrap();
    assert_eq!(when(&all, Did::Stopped), Some(lo + ms(1_000)));
}

#[test]
fn a_link_lost_while_stopping_is_not_waited_for() {
    let mut rig = Rig::started(config(2, 100, Preempt::Always));
    rig.advance(ms(10_000));
    rig.input(Input::Stop);
    assert_eq!(rig.link(0, false), [Did::Vips(0, Place::Nowhere)]);
    rig.hear(1, 99, 50);
    let all = rig.advance(ms(1_000));
    assert_eq!(all.last().unwrap().1, Did::Stopped);
}

#[test]
fn who_holds_nothing_stops_at_once() {
    let mut backup = Rig::backup(100, Preempt::Always);
    assert_eq!(backup.input(Input::Stop), [Did::Vips(0, Place::Nowhere), Did::To(State::Init), Did::Stopped]);
    let mut fault = Rig::backup(100, Preempt::Always);
    fault.link(0, false);
    assert_eq!(fault.input(Input::Stop), [Did::Vips(0, Place::Nowhere), Did::To(State::Init), Did::Stopped]);
}

#[test]
fn a_stop_while_vips_are_parked_lets_them_be() {
    let mut rig = serving();
    rig.hear(0, 99, 200);
    rig.advance(ms(100));
    assert_eq!(rig.input(Input::Stop), [Did::Vips(0, Place::Lo), Did::To(State::Init)]);
    let all = rig.advance(ms(900));
    assert_eq!(all.last().unwrap().1, Did::Stopped);
}

#[test]
fn after_a_stop_it_can_start_again() {
    let mut rig = serving();
    rig.input(Input::Stop);
    rig.advance(ms(5_000));
    rig.input(Input::Start { holding: false });
    assert_eq!(rig.group.state(), State::Backup);
    let since = rig.now;
    let all = rig.advance(ms(5_000));
    assert_eq!(when(&all, Did::To(State::Master)), Some(since + down(100)));
}

#[test]
fn a_failover_hands_over_and_does_not_preempt_straight_back() {
    let mut rig = serving();
    assert_eq!(rig.input(Input::Failover), [Did::Advert(0, 0)]);
    let did = rig.hear(0, 99, 50);
    assert_eq!(did, [Did::Vips(0, Place::Lo), Did::To(State::Backup)]);
    assert_eq!(rig.group.cause(), &Cause::HandedOver(address(0, 99)));
    for _ in 0..100 {
        rig.hear(0, 99, 50);
        assert!(rig.advance(INTERVAL).iter().all(|(_, did)| *did == Did::Vips(0, Place::Nowhere)));
    }
    // Until the new master goes away.
    let since = rig.now;
    let all = rig.advance(ms(2_000));
    assert_eq!(when(&all, Did::To(State::Master)), Some(since - INTERVAL + down(100)));
    // After that preemption is as configured.
    rig.hear(0, 99, 50);
    assert_eq!(rig.group.state(), State::Master);
}

#[test]
fn the_owner_hands_over_like_anybody_else() {
    let mut rig = Rig::started(config(1, 255, Preempt::Always));
    rig.advance(ms(10_000));
    rig.input(Input::Failover);
    rig.hear(0, 99, 50);
    for _ in 0..20 {
        rig.hear(0, 99, 50);
        rig.advance(INTERVAL);
        assert_eq!(rig.group.state(), State::Backup);
    }
}

#[test]
fn an_order_ends_the_hold_off_after_a_failover() {
    let mut rig = serving();
    rig.input(Input::Failover);
    rig.hear(0, 99, 50);
    rig.force(Force::Auto);
    assert_eq!(rig.group.state(), State::Master);
}

#[test]
fn a_failover_without_successor_stays_master() {
    let mut rig = serving();
    rig.input(Input::Failover);
    let since = rig.now;
    let all = rig.advance(deadline());
    assert!(rig.outputs.contains(&Output::Event(Event::NoSuccessor(deadline()))));
    assert_eq!(when(&all, Did::Advert(0, 100)), Some(since + deadline()));
    assert_eq!(rig.group.state(), State::Master);
    assert!(!all.iter().any(|(_, did)| matches!(did, Did::Vips(..))), "{all:?}");
}

#[test]
fn a_failover_elsewhere_changes_nothing() {
    let mut rig = Rig::backup(100, Preempt::Always);
    assert_eq!(rig.input(Input::Failover), []);
    let all = rig.advance(ms(1_000));
    assert_eq!(when(&all, Did::To(State::Master)), Some(down(100)));
}

#[test]
fn a_failover_of_a_forced_master_ends_the_order() {
    let mut rig = Rig::backup(100, Preempt::Always);
    rig.force(Force::Master);
    rig.advance(ms(10_000));
    rig.input(Input::Failover);
    assert_eq!(rig.group.forced(), Force::Auto);
    rig.hear(0, 99, 50);
    assert_eq!(rig.group.state(), State::Backup);
}

#[test]
fn forcing_a_master_to_be_backup_is_graceful() {
    let mut rig = serving();
    assert_eq!(rig.force(Force::Backup), [Did::Advert(0, 0)]);
    assert_eq!(rig.group.state(), State::Master);
    assert_eq!(rig.hear(0, 99, 50), [Did::Vips(0, Place::Lo), Did::To(State::Backup)]);
    assert_eq!(rig.group.cause(), &Cause::Forced(Force::Backup));
    let all = rig.advance(ms(60_000));
    assert_eq!(all.len(), 1, "{all:?}");
}

#[test]
fn forcing_a_master_to_be_backup_does_not_need_a_successor() {
    let mut rig = serving();
    rig.force(Force::Backup);
    let since = rig.now;
    let all = rig.advance(ms(60_000));
    assert_eq!(when(&all, Did::Vips(0, Place::Nowhere)), Some(since + deadline()));
    assert_eq!(when(&all, Did::To(State::Backup)), Some(since + deadline()));
}

#[test]
fn an_order_to_stay_master_ends_a_hand_over() {
    for (begin, order) in [
        (Input::Failover, Force::Auto),
        (Input::Failover, Force::Master),
        (Input::Force(Force::Backup), Force::Auto),
        (Input::Force(Force::Backup), Force::Master),
    ] {
        let mut rig = serving();
        rig.input(begin);
        rig.advance(ms(20));
        let did = rig.force(order);
        let priority = if order == Force::Master { 255 } else { 100 };
        assert_eq!(did, [Did::Advert(0, priority), Did::Announce(0)]);
        rig.advance(ms(5_000));
        assert_eq!(rig.group.state(), State::Master);
    }
}

#[test]
fn nothing_ends_a_stop() {
    for order in [Force::Auto, Force::Master, Force::Backup] {
        let mut rig = serving();
        rig.input(Input::Stop);
        assert_eq!(rig.force(order), []);
        assert_eq!(rig.input(Input::Failover), []);
        assert_eq!(rig.input(Input::Start { holding: true }), []);
        let all = rig.advance(ms(5_000));
        assert_eq!(all.last().unwrap().1, Did::Stopped);
    }
}

#[test]
fn a_stop_during_a_failover_is_a_stop() {
    let mut rig = serving();
    rig.input(Input::Failover);
    assert_eq!(rig.input(Input::Stop), []);
    rig.hear(0, 99, 50);
    assert_eq!(rig.group.state(), State::Init);
}

#[test]
fn a_link_lost_during_a_failover_is_a_fault() {
    let mut rig = serving();
    rig.input(Input::Failover);
    assert_eq!(rig.link(0, false), [Did::Vips(0, Place::Nowhere), Did::To(State::Fault)]);
}

#[test]
fn parked_vips_come_back_with_mastership() {
    let mut rig = serving();
    rig.hear(0, 99, 200);
    rig.hear(0, 99, 0);
    let all = rig.advance(ms(5_000));
    assert!(when(&all, Did::Vips(0, Place::Interface)).is_some());
    assert_eq!(when(&all, Did::Vips(0, Place::Nowhere)), None);
}
