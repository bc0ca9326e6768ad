//! VIPs that are held although others may have taken over: a restarted process, a stalled one.

use fairway_config::{Period, Preempt};
use fairway_vrrp::{Cause, Event, Force, Input, Output, Place, State};

use crate::rig::{Did, INTERVAL, Rig, address, config, down, ms, skew, when};

fn holding(networks: usize, priority: u8, preempt: Preempt) -> Rig {
    let mut rig = Rig::new(config(networks, priority, preempt));
    rig.links_up();
    rig.input(Input::Start { holding: true });
    rig
}

#[test]
fn a_restarted_master_is_silent_for_one_interval_and_goes_on() {
    let mut rig = Rig::new(config(1, 100, Preempt::Always));
    rig.links_up();
    assert_eq!(rig.input(Input::Start { holding: true }), [Did::Vips(0, Place::Interface)]);
    assert_eq!(rig.group.state(), State::Init);
    let all = rig.advance(INTERVAL);
    let did: Vec<_> = all.iter().map(|(_, did)| *did).collect();
    assert_eq!(did, [Did::Advert(0, 100), Did::To(State::Master), Did::Announce(0)]);
    assert!(all.iter().all(|(at, _)| *at == INTERVAL));
    assert_eq!(rig.group.cause(), &Cause::Kept);
}

#[test]
fn the_owner_listens_too_while_it_holds() {
    let mut rig = holding(1, 255, Preempt::Always);
    assert_eq!(rig.group.state(), State::Init);
    let all = rig.advance(INTERVAL);
    assert_eq!(when(&all, Did::To(State::Master)), Some(INTERVAL));
}

#[test]
fn a_restarted_master_leaves_the_vips_to_a_better_one() {
    let mut rig = holding(1, 100, Preempt::Always);
    rig.sleep(ms(50));
    assert_eq!(rig.hear(0, 99, 200), [Did::Vips(0, Place::Lo), Did::Advert(0, 100), Did::To(State::Backup)]);
}

#[test]
fn a_restarted_master_takes_back_from_a_lower_one_if_it_preempts() {
    let mut rig = holding(1, 100, Preempt::Always);
    let did = rig.hear(0, 99, 50);
    assert_eq!(did, [Did::Advert(0, 100), Did::To(State::Master), Did::Announce(0)]);
    assert_eq!(rig.group.cause(), &Cause::Preempting { master: address(0, 99), priority: 50 });
}

#[test]
fn a_restarted_master_leaves_them_to_a_lower_one_if_it_does_not() {
    for preempt in [Preempt::Never, Preempt::After(Period::from_secs(2))] {
        let mut rig = holding(1, 100, preempt);
        // Priority 0, for its own would look like a better master's.
        assert_eq!(rig.hear(0, 99, 50), [Did::Vips(0, Place::Lo), Did::Advert(0, 0), Did::To(State::Backup)]);
        assert_eq!(rig.group.cause(), &Cause::OtherMaster { master: address(0, 99), priority: 50 });
        let mut all = Vec::new();
        for _ in 0..30 {
            rig.hear(0, 99, 50);
            all.extend(rig.advance(INTERVAL));
        }
        let back = when(&all, Did::To(State::Master));
        assert_eq!(back, (preempt != Preempt::Never).then_some(ms(2_000)));
    }
}

#[test]
fn holding_and_ordered_to_be_backup_lets_go() {
    let mut rig = Rig::new(config(1, 100, Preempt::Always));
    rig.links_up();
    rig.force(Force::Backup);
    assert_eq!(
        rig.input(Input::Start { holding: true }),
        [Did::Vips(0, Place::Nowhere), Did::To(State::Backup)]
    );
    let mut rig = holding(1, 100, Preempt::Always);
    assert_eq!(
        rig.force(Force::Backup),
        [Did::Advert(0, 0), Did::Vips(0, Place::Nowhere), Did::To(State::Backup)]
    );
}

#[test]
fn holding_and_ordered_to_be_master_does_not_wait() {
    let mut rig = holding(1, 100, Preempt::Always);
    assert_eq!(rig.force(Force::Master)[0], Did::Advert(0, 255));
    assert_eq!(rig.group.state(), State::Master);
}

#[test]
fn holding_and_stopped_lets_go() {
    let mut rig = holding(1, 100, Preempt::Always);
    let did = rig.input(Input::Stop);
    assert_eq!(did, [Did::Advert(0, 0), Did::Vips(0, Place::Nowhere), Did::Stopped]);
}

#[test]
fn holding_and_losing_a_link_lets_go() {
    let mut rig = holding(2, 100, Preempt::Always);
    let did = rig.link(1, false);
    assert_eq!(did[0], Did::Advert(0, 0));
    assert!(did.contains(&Did::Vips(0, Place::Nowhere)) && did.contains(&Did::To(State::Fault)), "{did:?}");
}

#[test]
fn a_holder_waits_until_all_links_are_known() {
    let mut rig = Rig::new(config(2, 100, Preempt::Always));
    assert_eq!(rig.input(Input::Start { holding: true }), []);
    rig.link(0, true);
    rig.sleep(ms(300));
    assert_eq!(rig.link(1, true), [Did::Vips(0, Place::Interface), Did::Vips(1, Place::Interface)]);
    let all = rig.advance(INTERVAL);
    assert_eq!(when(&all, Did::To(State::Master)), Some(ms(300) + INTERVAL));
}

fn stalled(preempt: Preempt) -> Rig {
    let mut rig = Rig::master(100, preempt);
    rig.advance(ms(10_000));
    rig.sleep(ms(2_000));
    rig
}

#[test]
fn a_stalled_master_listens_and_goes_on_with_announcements() {
    let mut rig = stalled(Preempt::Always);
    assert_eq!(rig.input(Input::Stalled), [Did::Event]);
    assert_eq!(rig.outputs, [Output::Event(Event::Stalled)]);
    assert_eq!(rig.input(Input::Timer), []);
    let since = rig.now;
    let all = rig.advance(INTERVAL);
    assert_eq!(all, [(since + INTERVAL, Did::Advert(0, 100)), (since + INTERVAL, Did::Announce(0))]);
    assert_eq!(rig.group.state(), State::Master);
}

#[test]
fn a_stalled_master_steps_down_for_a_better_one() {
    let mut rig = stalled(Preempt::Always);
    rig.input(Input::Stalled);
    rig.hear(0, 99, 200);
    assert_eq!(rig.group.state(), State::Backup);
}

#[test]
fn a_packet_from_the_queue_of_a_stall_decides_before_word_of_it() {
    // The other one took over rightly, and is not to be preempted.
    let mut rig = stalled(Preempt::Never);
    assert_eq!(
        rig.hear(0, 99, 50),
        [Did::Event, Did::Vips(0, Place::Lo), Did::Advert(0, 0), Did::To(State::Backup)]
    );
    // It is to be preempted.
    let mut rig = stalled(Preempt::Always);
    assert_eq!(rig.hear(0, 99, 50), [Did::Event, Did::Advert(0, 100), Did::Announce(0)]);
    // A master that was not away keeps what it has.
    let mut rig = Rig::master(100, Preempt::Never);
    rig.hear(0, 99, 50);
    assert_eq!(rig.group.state(), State::Master);
}

#[test]
fn a_stall_while_listening_starts_the_listening_again() {
    let mut rig = holding(1, 100, Preempt::Always);
    rig.sleep(ms(500));
    rig.input(Input::Stalled);
    let all = rig.advance(ms(1_000));
    assert_eq!(when(&all, Did::To(State::Master)), Some(ms(500) + INTERVAL));
}

#[test]
fn a_stalled_backup_gives_the_master_an_interval_to_be_heard() {
    let mut rig = Rig::backup(100, Preempt::Always);
    rig.hear(0, 99, 200);
    rig.sleep(ms(3_000));
    assert_eq!(rig.input(Input::Stalled), []);
    assert_eq!(rig.input(Input::Timer), []);
    let all = rig.advance(ms(5_000));
    assert_eq!(when(&all, Did::To(State::Master)), Some(ms(3_000) + INTERVAL + skew(100)));
}

#[test]
fn a_stalled_backup_that_hears_the_master_follows_it() {
    let mut rig = Rig::backup(100, Preempt::Always);
    rig.sleep(ms(3_000));
    rig.input(Input::Stalled);
    rig.sleep(ms(100));
    rig.hear(0, 99, 200);
    let all = rig.advance(ms(5_000));
    assert_eq!(when(&all, Did::To(State::Master)), Some(ms(3_100) + down(100)));
}
