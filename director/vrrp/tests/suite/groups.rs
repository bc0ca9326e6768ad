//! Groups of several instances: one verdict for all networks.

use fairway_config::{Period, Preempt, Priority};
use fairway_vrrp::{Cause, Input, LinkProblem, Place, State};

use crate::rig::{Did, INTERVAL, Rig, address, config, down, ms, skew, when};

fn group(networks: usize, priority: u8, preempt: Preempt) -> Rig {
    Rig::started(config(networks, priority, preempt))
}

fn master(networks: usize, priority: u8, preempt: Preempt) -> Rig {
    let mut rig = group(networks, priority, preempt);
    rig.advance(down(priority.into()) + ms(5_500));
    assert_eq!(rig.group.state(), State::Master);
    rig
}

#[test]
fn it_takes_over_on_all_networks_at_once() {
    let mut rig = group(2, 100, Preempt::Always);
    let did: Vec<_> = rig.advance(down(100)).into_iter().map(|(_, did)| did).collect();
    assert_eq!(
        did,
        [
            Did::Advert(0, 100),
            Did::Advert(1, 100),
            Did::Vips(0, Place::Interface),
            Did::Vips(1, Place::Interface),
            Did::To(State::Master),
            Did::Announce(0),
            Did::Announce(1),
        ]
    );
}

#[test]
fn a_master_on_one_network_keeps_the_whole_group_backup() {
    let mut rig = group(2, 100, Preempt::Always);
    for _ in 0..50 {
        rig.hear(1, 99, 200);
        assert_eq!(rig.advance(INTERVAL), []);
    }
    // It is the last network that decides when.
    let all = rig.advance(ms(1_000));
    assert_eq!(when(&all, Did::To(State::Master)), Some(ms(4_900) + down(100)));
}

#[test]
fn a_better_master_on_one_network_takes_the_whole_group_to_backup() {
    let mut rig = master(2, 100, Preempt::Always);
    let did = rig.hear(1, 99, 200);
    assert_eq!(
        did,
        [
            Did::Vips(0, Place::Lo),
            Did::Vips(1, Place::Lo),
            Did::Advert(0, 100),
            Did::Advert(1, 100),
            Did::To(State::Backup)
        ]
    );
}

#[test]
fn a_lower_master_on_one_network_is_answered_there_and_announced_everywhere() {
    let mut rig = master(2, 100, Preempt::Always);
    assert_eq!(rig.hear(1, 99, 50), [Did::Event, Did::Advert(1, 100), Did::Announce(0), Did::Announce(1)]);
}

#[test]
fn a_lost_link_takes_the_whole_group_down_with_a_goodbye_on_the_others() {
    let mut rig = master(3, 100, Preempt::Always);
    let did = rig.link(1, false);
    assert_eq!(
        did,
        [
            Did::Advert(0, 0),
            Did::Advert(2, 0),
            Did::Vips(0, Place::Nowhere),
            Did::Vips(1, Place::Nowhere),
            Did::Vips(2, Place::Nowhere),
            Did::To(State::Fault)
        ]
    );
    assert_eq!(
        rig.group.cause(),
        &Cause::LinkDown { interface: "eth1".to_owned(), problem: LinkProblem::NoCarrier }
    );
    // Fault lasts as long as any link is down.
    rig.link(2, false);
    rig.link(1, true);
    assert_eq!(rig.group.state(), State::Fault);
    rig.link(2, true);
    assert_eq!(rig.group.state(), State::Backup);
}

#[test]
fn a_goodbye_on_one_network_counts_for_the_networks_the_master_lost() {
    let mut rig = group(2, 100, Preempt::Always);
    rig.hear(0, 99, 200);
    rig.hear(1, 99, 200);
    rig.sleep(ms(10));
    rig.hear(0, 99, 0);
    let all = rig.advance(ms(1_000));
    // One interval to hear otherwise, and the skew.
    assert_eq!(when(&all, Did::To(State::Master)), Some(ms(10) + INTERVAL + skew(100)));
}

#[test]
fn a_goodbye_on_one_network_does_not_bury_a_master_that_lives_on_another() {
    let mut rig = group(2, 100, Preempt::Always);
    for turn in 0..20 {
        rig.hear(1, 99, 200);
        if turn == 5 {
            rig.hear(0, 99, 0);
        }
        assert_eq!(rig.advance(INTERVAL), []);
    }
}

#[test]
fn the_lowest_priority_of_its_instances_is_the_groups() {
    let mut config = config(2, 200, Preempt::Always);
    config.group.instances[1].priority = Priority::new(90).unwrap();
    let mut rig = Rig::started(config);
    assert!(rig.group.instances().iter().all(|router| router.priority() == 90));
    let all = rig.advance(ms(1_000));
    assert_eq!(when(&all, Did::To(State::Master)), Some(down(90)));
    assert!(all.contains(&(down(90), Did::Advert(0, 90))));
}

// On network 0 router 99 ranks above us, router 5 below. A pair whose addresses contradict each other is 99 on one
// network and 5 on the other.

#[test]
fn a_tie_is_lost_at_once_on_the_first_network() {
    let mut rig = master(2, 100, Preempt::Always);
    rig.hear(0, 99, 100);
    assert_eq!(rig.group.state(), State::Backup);
}

#[test]
fn a_tie_that_was_won_on_the_first_network_is_not_lost_on_another() {
    let mut rig = master(2, 100, Preempt::Always);
    rig.hear(0, 5, 100);
    let did = rig.hear(1, 99, 100);
    assert!(did.contains(&Did::Advert(1, 100)), "{did:?}");
    rig.advance(ms(250));
    assert_eq!(rig.group.state(), State::Master);
    // The victory lasts as long as the other one is heard.
    rig.advance(ms(1_000));
    for _ in 0..2 {
        rig.hear(1, 99, 100);
        rig.advance(INTERVAL);
    }
    assert_eq!(rig.group.state(), State::Backup);
}

#[test]
fn a_tie_lost_on_another_network_waits_for_the_first() {
    let mut rig = master(2, 100, Preempt::Always);
    let did = rig.hear(1, 99, 100);
    assert_eq!(did[..2], [Did::Advert(0, 100), Did::Announce(0)], "tells the other on the first network");
    rig.advance(ms(20));
    rig.hear(0, 5, 100);
    rig.advance(ms(250));
    assert_eq!(rig.group.state(), State::Master);
}

#[test]
fn a_tie_lost_on_another_network_counts_if_the_first_is_cut() {
    let mut rig = master(2, 100, Preempt::Always);
    rig.hear(1, 99, 100);
    let since = rig.now;
    rig.advance(INTERVAL);
    rig.hear(1, 99, 100);
    let all = rig.advance(ms(400));
    assert_eq!(when(&all, Did::To(State::Backup)), Some(since + INTERVAL * 3 / 2));
    assert_eq!(rig.group.cause(), &Cause::Better { master: address(1, 99), priority: 100 });
}

#[test]
fn a_tie_is_not_lost_to_a_router_that_has_fallen_silent() {
    let mut rig = master(2, 100, Preempt::Always);
    // It waits for the first network as we do, and steps down there before we hear it again.
    rig.hear(1, 99, 100);
    let all = rig.advance(ms(1_000));
    assert_eq!(when(&all, Did::To(State::Backup)), None);
    // The next tie is decided like the first.
    for _ in 0..2 {
        rig.hear(1, 99, 100);
        rig.advance(INTERVAL);
    }
    assert_eq!(rig.group.state(), State::Backup);
}

#[test]
fn a_better_priority_does_not_wait_for_the_first_network() {
    let mut rig = master(2, 100, Preempt::Always);
    rig.hear(0, 5, 100);
    rig.hear(1, 99, 101);
    assert_eq!(rig.group.state(), State::Backup);
}

#[test]
fn instances_keep_their_own_rhythm() {
    let mut config = config(2, 100, Preempt::Always);
    config.group.instances[1].advert_interval = Period::from_millis(250);
    let mut rig = Rig::started(config);
    let all = rig.advance(ms(10_000));
    let count = |instance| all.iter().filter(|(_, did)| *did == Did::Advert(instance, 100)).count();
    let start = when(&all, Did::To(State::Master)).unwrap();
    let span = (ms(10_000) - start).as_millis();
    assert_eq!(start, 3 * ms(250) + ms(250) * 156 / 256);
    assert_eq!(count(0) as u128, 1 + span / 100);
    assert_eq!(count(1) as u128, 1 + span / 250);
}

#[test]
fn the_better_master_on_one_network_outweighs_the_lower_on_another() {
    let mut rig = group(2, 100, Preempt::Always);
    for _ in 0..30 {
        rig.hear(0, 5, 50);
        rig.hear(1, 99, 200);
        assert_eq!(rig.advance(INTERVAL), []);
    }
    rig.input(Input::Timer);
    assert_eq!(rig.group.state(), State::Backup);
}
