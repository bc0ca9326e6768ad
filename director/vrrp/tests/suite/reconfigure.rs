//! A new configuration for a running group: what did not change does not notice.

use fairway_config::{IfName, Period, Preempt, Priority, VirtualIp, VirtualMac, Vrid};
use fairway_vrrp::{Cause, Force, GroupConfig, Input, Output, Place, State};

use crate::rig::{Did, INTERVAL, Rig, address, adverts, config, down, instance, ms, when};

fn change(change: impl FnOnce(&mut GroupConfig)) -> GroupConfig {
    let mut config = config(2, 100, Preempt::Always);
    change(&mut config);
    config
}

fn backup() -> Rig {
    Rig::started(change(|_| ()))
}

fn master() -> Rig {
    let mut rig = backup();
    rig.advance(down(100) + ms(6_000));
    rig
}

#[test]
fn nothing_new_changes_nothing() {
    let mut rig = master();
    rig.advance(ms(30));
    let next = rig.next();
    let places = [Did::Vips(0, Place::Interface), Did::Vips(1, Place::Interface)];
    assert_eq!(rig.input(Input::Reconfigure(change(|_| ()))), places);
    rig.links_up();
    assert_eq!((rig.next(), rig.outputs.len()), (next, 0));
    let mut rig = backup();
    rig.hear(0, 99, 200);
    rig.advance(ms(30));
    let next = rig.next();
    rig.input(Input::Reconfigure(change(|_| ())));
    assert_eq!(rig.next(), next);
    assert_eq!(rig.group.instances()[0].master(), Some(address(0, 99)));
}

#[test]
fn new_addresses_are_placed_advertised_and_announced() {
    let mut rig = master();
    let vip = VirtualIp { address: "10.0.0.253".parse().unwrap(), prefix: None, interface: None };
    let did = rig.input(Input::Reconfigure(change(|c| c.group.instances[0].virtual_ips.push(vip))));
    // Only the instance whose list changed is announced.
    assert_eq!(did, [Did::Vips(0, Place::Interface), Did::Vips(1, Place::Interface), Did::Announce(0)]);
    rig.advance(INTERVAL);
    let count = rig.outputs.iter().find_map(|output| match output {
        Output::Send { instance: 0, payload, .. } => Some(payload[3]),
        _ => None,
    });
    assert_eq!(count, Some(2));
}

#[test]
fn another_mac_address_is_announced() {
    let mut rig = master();
    let mac =
        VirtualMac { interface: IfName::try_from("vrrp4-51".to_owned()).unwrap(), transmit_from_base: false };
    let did = rig.input(Input::Reconfigure(change(|c| c.group.instances[1].virtual_mac = Some(mac))));
    assert_eq!(did, [Did::Vips(0, Place::Interface), Did::Vips(1, Place::Interface), Did::Announce(1)]);
}

#[test]
fn excluded_addresses_are_placed_and_announced_but_not_advertised() {
    let mut rig = master();
    let vip = VirtualIp { address: "2001:db8::1".parse().unwrap(), prefix: None, interface: None };
    let did = rig.input(Input::Reconfigure(change(|c| c.group.instances[0].excluded_ips.push(vip))));
    assert_eq!(did, [Did::Vips(0, Place::Interface), Did::Vips(1, Place::Interface), Did::Announce(0)]);
    rig.advance(INTERVAL);
    let count = rig.outputs.iter().find_map(|output| match output {
        Output::Send { instance: 0, payload, .. } => Some(payload[3]),
        _ => None,
    });
    assert_eq!(count, Some(1));
}

#[test]
fn a_shorter_interval_counts_from_now_and_a_longer_from_the_next_advert() {
    let both = |millis| {
        change(|c| c.group.instances.iter_mut().for_each(|i| i.advert_interval = Period::from_millis(millis)))
    };
    let mut rig = master();
    let last = rig.now - (INTERVAL - rig.next().unwrap());
    let since = rig.now;
    rig.input(Input::Reconfigure(both(10)));
    assert_eq!(adverts(&rig.advance(ms(15)))[0].0, (since + ms(10)).min(last + INTERVAL));
    let mut rig = master();
    let next = rig.now + rig.next().unwrap();
    rig.input(Input::Reconfigure(both(1_000)));
    let times: Vec<_> = adverts(&rig.advance(ms(2_500))).into_iter().map(|(at, _)| at).collect();
    assert_eq!((times[0], times[2]), (next, next + ms(1_000)));
}

#[test]
fn an_instance_that_comes_is_served_as_soon_as_its_link_is_known() {
    let mut rig = Rig::started(change(|c| {
        c.group.instances.pop();
    }));
    rig.advance(down(100) + ms(6_000));
    let did = rig.input(Input::Reconfigure(change(|_| ())));
    assert_eq!(did, [Did::Vips(0, Place::Interface), Did::Vips(1, Place::Interface)]);
    assert_eq!(rig.group.state(), State::Master);
    let all = rig.advance(ms(250));
    assert!(all.iter().all(|(_, did)| *did == Did::Advert(0, 100)), "{all:?}");
    assert_eq!(rig.link(1, true), [Did::Advert(1, 100), Did::Announce(1)]);
}

#[test]
fn an_instance_that_comes_without_a_link_is_a_fault() {
    let mut rig = master();
    let add = change(|c| c.group.instances.push(instance(2, 100).into()));
    rig.input(Input::Reconfigure(add));
    let did = rig.link(2, false);
    assert_eq!(did.last(), Some(&Did::To(State::Fault)));
}

#[test]
fn a_backup_waits_for_an_instance_that_comes() {
    let mut rig = backup();
    rig.input(Input::Reconfigure(change(|c| c.group.instances.push(instance(2, 100).into()))));
    assert_eq!(rig.advance(ms(5_000)), []);
    rig.link(2, true);
    let since = rig.now;
    let all = rig.advance(ms(5_000));
    assert_eq!(when(&all, Did::To(State::Master)), Some(since + down(100)));
}

#[test]
fn an_instance_that_goes_takes_its_timers_and_its_fault_with_it() {
    let mut rig = backup();
    rig.hear(1, 99, 200);
    rig.sleep(ms(200));
    rig.hear(1, 99, 200);
    let one = || {
        change(|c| {
            c.group.instances.pop();
        })
    };
    rig.input(Input::Reconfigure(one()));
    let all = rig.advance(ms(5_000));
    assert_eq!(when(&all, Did::To(State::Master)), Some(down(100)));
    let mut rig = backup();
    rig.link(1, false);
    rig.input(Input::Reconfigure(one()));
    assert_eq!((rig.group.state(), rig.group.cause()), (State::Backup, &Cause::LinkUp));
}

#[test]
fn another_identifier_or_interface_is_another_instance() {
    for other in [
        change(|c| c.group.instances[1].vrid = Vrid::new(52).unwrap()),
        change(|c| c.group.instances[1].interface = IfName::try_from("eth7".to_owned()).unwrap()),
    ] {
        let mut rig = backup();
        rig.hear(1, 99, 200);
        rig.input(Input::Reconfigure(other));
        assert_eq!(rig.group.instances()[1].counters().adverts_received, 0);
        assert_eq!(rig.group.instances()[1].master(), None);
        assert_eq!(rig.next(), None, "its link is not known");
    }
}

#[test]
fn instances_are_recognised_in_any_order() {
    let mut rig = backup();
    rig.hear(1, 99, 200);
    rig.input(Input::Reconfigure(change(|c| c.group.instances.reverse())));
    let names: Vec<_> = rig.group.instances().iter().map(|router| (router.name(), router.master())).collect();
    assert_eq!(names, [("net1", Some(address(1, 99))), ("net0", None)]);
}

#[test]
fn a_changed_mode_of_preemption_counts_for_what_was_heard() {
    let mut rig = Rig::backup(100, Preempt::Never);
    for _ in 0..10 {
        rig.hear(0, 99, 50);
        rig.advance(INTERVAL);
    }
    rig.hear(0, 99, 50);
    rig.input(Input::Reconfigure(config(1, 100, Preempt::Always)));
    rig.advance(ms(0));
    assert_eq!(rig.group.state(), State::Master);
}

#[test]
fn an_order_outlives_a_reconfiguration() {
    let mut rig = master();
    rig.force(Force::Master);
    rig.advance(INTERVAL);
    rig.input(Input::Reconfigure(change(|c| {
        c.group.instances.iter_mut().for_each(|i| i.priority = Priority::new(7).unwrap());
    })));
    assert_eq!(rig.group.forced(), Force::Master);
    assert!(adverts(&rig.advance(INTERVAL)).iter().all(|(_, priority)| *priority == 255));
    rig.force(Force::Auto);
    assert!(adverts(&rig.advance(INTERVAL)).iter().all(|(_, priority)| *priority == 7));
}

#[test]
fn a_hand_over_goes_on() {
    let mut rig = master();
    rig.input(Input::Stop);
    rig.hear(1, 99, 50);
    rig.input(Input::Reconfigure(change(|c| {
        c.group.instances.remove(0);
    })));
    assert_eq!(rig.group.state(), State::Init);
    assert_eq!(rig.advance(ms(1_000)).last().unwrap().1, Did::Stopped);
}

#[test]
fn before_the_start_it_is_only_remembered() {
    let mut rig = Rig::new(change(|_| ()));
    rig.input(Input::Reconfigure(config(1, 100, Preempt::Never)));
    assert_eq!((rig.group.instances().len(), rig.group.state()), (1, State::Init));
    assert_eq!(rig.group.config().group.preempt, Preempt::Never);
    assert_eq!(rig.group.name(), "edge");
}

#[test]
fn an_order_from_before_takes_nothing_from_the_owner() {
    let owner = || {
        change(|c| {
            for instance in &mut c.group.instances {
                instance.priority = Priority::new(255).unwrap();
            }
        })
    };
    let mut rig = master();
    rig.input(Input::Force(Force::Backup));
    rig.advance(ms(20_000));
    assert_eq!(rig.group.state(), State::Backup);
    rig.input(Input::Reconfigure(owner()));
    rig.advance(ms(1));
    assert_eq!((rig.group.state(), rig.group.forced()), (State::Master, Force::Auto));
}
