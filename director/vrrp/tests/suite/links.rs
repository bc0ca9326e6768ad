//! Interfaces and source addresses that come, go and change under an instance.

use fairway_config::{Family, Preempt};
use fairway_vrrp::{Cause, Input, LinkProblem, Place, State};

use crate::rig::{Did, Rig, address, config, down, ms, when};

#[test]
fn a_lost_link_is_a_fault_with_a_goodbye_and_heals() {
    let mut rig = Rig::master(100, Preempt::Always);
    assert_eq!(rig.link(0, false), [Did::Vips(0, Place::Nowhere), Did::To(State::Fault)]);
    assert_eq!(
        rig.group.cause(),
        &Cause::LinkDown { interface: "eth0".to_owned(), problem: LinkProblem::NoCarrier }
    );
    assert_eq!(rig.advance(ms(5_000)), []);
    let back = rig.now;
    assert_eq!(rig.link(0, true), [Did::To(State::Backup)]);
    let all = rig.advance(ms(5_000));
    assert_eq!(when(&all, Did::To(State::Master)), Some(back + down(100)));
}

#[test]
fn a_lost_address_is_a_fault_with_a_goodbye_from_it() {
    let lost = |problem| Input::Link { instance: 0, source: Err(problem) };
    let cause = |problem| Cause::LinkDown { interface: "eth0".to_owned(), problem };
    let gone = [LinkProblem::NoAddress(Family::Ipv4), LinkProblem::NoSource(address(0, 10))];
    for problem in gone {
        let mut rig = Rig::master(100, Preempt::Always);
        let did = [Did::Advert(0, 0), Did::Vips(0, Place::Nowhere), Did::To(State::Fault)];
        assert_eq!(rig.input(lost(problem)), did);
        assert_eq!(rig.group.cause(), &cause(problem));
        // Another reason is no transition, and is told.
        assert_eq!(rig.input(lost(LinkProblem::Missing)), []);
        assert_eq!(rig.group.cause(), &cause(LinkProblem::Missing));
    }
    for problem in
        [LinkProblem::Missing, LinkProblem::Down, LinkProblem::NoCarrier, LinkProblem::NoVirtualMac]
    {
        let mut rig = Rig::master(100, Preempt::Always);
        assert_eq!(rig.input(lost(problem)), [Did::Vips(0, Place::Nowhere), Did::To(State::Fault)]);
    }
    // A backup has nothing to say.
    let mut rig = Rig::new(config(1, 100, Preempt::Always));
    rig.links_up();
    rig.input(Input::Start { holding: false });
    assert_eq!(rig.input(lost(LinkProblem::NoSource(address(0, 10)))), [Did::To(State::Fault)]);
}

#[test]
fn the_cause_of_a_fault_is_the_link_that_is_still_down() {
    let mut rig = Rig::new(config(2, 100, Preempt::Always));
    rig.link(0, false);
    rig.link(1, false);
    rig.input(Input::Start { holding: false });
    let no_carrier = |interface: &str| Cause::LinkDown {
        interface: interface.to_owned(),
        problem: LinkProblem::NoCarrier,
    };
    assert_eq!(rig.group.cause(), &no_carrier("eth0"));
    rig.link(0, true);
    assert_eq!((rig.group.state(), rig.group.cause()), (State::Fault, &no_carrier("eth1")));
}

#[test]
fn a_changed_source_address_changes_nothing_else() {
    let mut rig = Rig::master(100, Preempt::Always);
    let did = rig.input(Input::Link { instance: 0, source: Ok(address(0, 77)) });
    assert_eq!(did, []);
    assert_eq!(rig.group.instances()[0].master(), Some(address(0, 77)));
}

#[test]
fn nothing_is_decided_before_all_links_are_known() {
    let mut rig = Rig::new(config(2, 100, Preempt::Always));
    assert_eq!(rig.input(Input::Start { holding: false }), []);
    assert_eq!(rig.link(1, true), []);
    assert_eq!(rig.group.state(), State::Init);
    rig.sleep(ms(5_000));
    let did = rig.link(0, true);
    assert_eq!(did, [Did::Vips(0, Place::Nowhere), Did::Vips(1, Place::Nowhere), Did::To(State::Backup)]);
    // And it listens from then on.
    let all = rig.advance(ms(9_000));
    assert_eq!(when(&all, Did::To(State::Master)), Some(ms(5_000) + down(100)));
}

#[test]
fn starting_without_a_link_is_a_fault() {
    let mut rig = Rig::new(config(1, 255, Preempt::Always));
    rig.link(0, false);
    let did = rig.input(Input::Start { holding: true });
    assert_eq!(did, [Did::Vips(0, Place::Nowhere), Did::To(State::Fault)]);
}
