//! Trackers: weights, faults, and what is not known yet.

use fairway_config::{Initial, Preempt, Tracker};
use fairway_vrrp::{Cause, Force, GroupConfig, Input, Place, State, Verdict};

use crate::rig::{Did, INTERVAL, Rig, config, down, ms, origin, skew};

/// A group of priority 200 with these trackers: name and weight.
fn tracking(trackers: &[(&str, Option<i16>)]) -> GroupConfig {
    let mut config = config(1, 200, Preempt::Always);
    config.group.track = trackers
        .iter()
        .map(|(name, weight)| ((*name).to_owned(), Tracker { weight: *weight, ..Tracker::default() }))
        .collect();
    config
}

fn say(rig: &mut Rig, tracker: &str, verdict: Verdict) -> Vec<Did> {
    rig.input(Input::Track { tracker, verdict, detail: format!("{tracker} says so") })
}

/// Started, with every tracker passing, and master.
fn master(trackers: &[(&str, Option<i16>)]) -> Rig {
    let mut rig = Rig::started(tracking(trackers));
    for (name, _) in trackers {
        say(&mut rig, name, Verdict::Passing);
    }
    rig.advance(2 * down(1));
    assert_eq!(rig.group.state(), State::Master);
    rig
}

fn priority(rig: &Rig) -> u8 {
    rig.group.instances()[0].priority()
}

#[test]
fn a_failing_weight_is_advertised_at_once_and_taken_back_likewise() {
    let mut rig = master(&[("proxy", Some(-120)), ("uplink", Some(-30))]);
    rig.advance(ms(10));
    assert_eq!(say(&mut rig, "proxy", Verdict::Failing), [Did::Advert(0, 80)]);
    assert_eq!(say(&mut rig, "uplink", Verdict::Failing), [Did::Advert(0, 50)]);
    assert_eq!(say(&mut rig, "uplink", Verdict::Failing), [], "the same again is no news");
    assert_eq!(say(&mut rig, "proxy", Verdict::Passing), [Did::Advert(0, 170)]);
    assert_eq!(say(&mut rig, "nobody", Verdict::Failing), [], "there is no such tracker");
    assert_eq!(rig.group.state(), State::Master);
    let adverts: Vec<_> = rig.advance(2 * INTERVAL).into_iter().map(|(_, did)| did).collect();
    assert_eq!(
        adverts,
        [Did::Advert(0, 170), Did::Advert(0, 170)],
        "the interval counts from the last advert"
    );
}

#[test]
fn the_sum_stays_between_1_and_254() {
    let mut rig = master(&[("a", Some(-253)), ("b", Some(100))]);
    say(&mut rig, "b", Verdict::Failing);
    assert_eq!(priority(&rig), 254);
    say(&mut rig, "a", Verdict::Failing);
    assert_eq!(priority(&rig), 47);
    say(&mut rig, "b", Verdict::Passing);
    assert_eq!(priority(&rig), 1);
}

#[test]
fn the_priority_of_the_owner_never_changes() {
    let mut config = tracking(&[("proxy", Some(-100))]);
    config.group.instances[0].priority = fairway_config::Priority::new(255).unwrap();
    let mut rig = Rig::started(config);
    say(&mut rig, "proxy", Verdict::Failing);
    assert_eq!((rig.group.state(), priority(&rig)), (State::Master, 255));
}

#[test]
fn a_backup_that_becomes_better_takes_over_without_waiting_for_an_advert() {
    let mut rig = Rig::started(tracking(&[("proxy", Some(-120))]));
    say(&mut rig, "proxy", Verdict::Failing);
    rig.hear(0, 9, 100);
    rig.advance(INTERVAL / 2);
    assert_eq!((rig.group.state(), priority(&rig)), (State::Backup, 80));
    let did = say(&mut rig, "proxy", Verdict::Passing);
    assert!(did.starts_with(&[Did::Advert(0, 200), Did::Vips(0, Place::Interface)]), "{did:?}");
    assert_eq!(rig.group.state(), State::Master);
}

#[test]
fn a_backup_that_must_not_preempt_stays_backup() {
    let mut config = tracking(&[("proxy", Some(-120))]);
    config.group.preempt = Preempt::Never;
    let mut rig = Rig::started(config);
    say(&mut rig, "proxy", Verdict::Failing);
    rig.hear(0, 9, 100);
    assert_eq!(say(&mut rig, "proxy", Verdict::Passing), []);
    assert_eq!(rig.group.state(), State::Backup);
}

#[test]
fn a_fault_is_told_once_and_what_still_comes_is_served_for_a_second() {
    let mut rig = master(&[("proxy", None)]);
    let did = say(&mut rig, "proxy", Verdict::Failing);
    assert_eq!(did, [Did::Advert(0, 0), Did::Vips(0, Place::Lo), Did::To(State::Fault)]);
    let detail = "proxy says so".to_owned();
    assert_eq!(*rig.group.cause(), Cause::Tracker { name: "proxy".to_owned(), detail });
    assert_eq!(rig.advance(ms(5_000)), [(rig.now - ms(4_000), Did::Vips(0, Place::Nowhere))]);
    rig.hear(0, 9, 100);
    // It is better than the master it has heard meanwhile.
    let did = say(&mut rig, "proxy", Verdict::Passing);
    assert!(did.starts_with(&[Did::To(State::Backup), Did::Advert(0, 200)]), "{did:?}");
    assert_eq!(rig.group.state(), State::Master);
}

#[test]
fn nobody_is_heard_after_a_fault_so_it_listens_for_a_whole_interval() {
    let mut rig = master(&[("proxy", None)]);
    say(&mut rig, "proxy", Verdict::Failing);
    rig.advance(ms(2_000));
    assert_eq!(say(&mut rig, "proxy", Verdict::Passing), [Did::To(State::Backup)]);
    assert_eq!(*rig.group.cause(), Cause::TrackersPass);
    rig.advance(down(200) - ms(1));
    assert_eq!(rig.group.state(), State::Backup);
    rig.advance(ms(1));
    assert_eq!(rig.group.state(), State::Master);
    assert!(skew(200) < INTERVAL);
}

#[test]
fn until_the_first_result_a_cold_start_waits() {
    let mut rig = Rig::started(tracking(&[("proxy", None), ("uplink", Some(-30))]));
    assert_eq!(rig.group.state(), State::Fault);
    assert_eq!(rig.group.cause().to_string(), "tracker proxy: no result yet");
    assert_eq!(priority(&rig), 170);
    rig.advance(ms(10_000));
    assert_eq!(rig.group.state(), State::Fault);
    say(&mut rig, "proxy", Verdict::Passing);
    assert_eq!(rig.group.state(), State::Backup);
    say(&mut rig, "uplink", Verdict::Passing);
    assert_eq!(priority(&rig), 200);
}

#[test]
fn what_passes_initially_waits_for_nothing() {
    let mut config = tracking(&[("proxy", None), ("uplink", Some(-30))]);
    config.group.track.values_mut().for_each(|tracker| tracker.initial = Initial::Pass);
    let rig = Rig::started(config);
    assert_eq!((rig.group.state(), priority(&rig)), (State::Backup, 200));
}

#[test]
fn a_restarted_master_does_not_give_up_for_want_of_a_result() {
    let mut rig = Rig::new(tracking(&[("proxy", None), ("uplink", Some(-130))]));
    rig.links_up();
    rig.input(Input::Start { holding: true });
    assert_eq!(priority(&rig), 200);
    rig.advance(INTERVAL);
    assert_eq!(rig.group.state(), State::Master);
    assert_eq!(say(&mut rig, "proxy", Verdict::Passing), []);
    say(&mut rig, "proxy", Verdict::Failing);
    assert_eq!(rig.group.state(), State::Fault, "what is known counts");
}

#[test]
fn the_next_process_goes_on_with_what_was_seen() {
    let mut rig = Rig::started(tracking(&[("proxy", None), ("uplink", Some(-120))]));
    say(&mut rig, "proxy", Verdict::Passing);
    say(&mut rig, "uplink", Verdict::Failing);
    rig.hear(0, 9, 100);
    let now = origin();
    let saved = rig.group.save(now).unwrap();
    let next = |config: GroupConfig| {
        let mut group = fairway_vrrp::Group::new(config);
        group.adopt(now, &saved, ms(5)).unwrap();
        let _ = group.handle(now, Input::Timer);
        (group.state(), group.instances()[0].priority())
    };
    // Else it would take over from the better master, only because it was restarted.
    assert_eq!(next(tracking(&[("proxy", None), ("uplink", Some(-120))])), (State::Backup, 80));
    assert_eq!(next(tracking(&[("new", None), ("uplink", Some(-120))])), (State::Backup, 80));
}

#[test]
fn a_reload_adds_and_removes_trackers_without_an_election() {
    let mut rig = master(&[("proxy", None), ("uplink", Some(-30))]);
    say(&mut rig, "uplink", Verdict::Failing);
    let places = [Did::Vips(0, Place::Interface)];
    let wanted = tracking(&[("new", None), ("proxy", None), ("uplink", Some(-30))]);
    assert_eq!(rig.input(Input::Reconfigure(wanted.clone())), places);
    assert_eq!((rig.group.state(), priority(&rig)), (State::Master, 170), "what is known stays known");
    say(&mut rig, "new", Verdict::Failing);
    assert_eq!(rig.group.state(), State::Fault);
    // Its removal ends what it did.
    let did = rig.input(Input::Reconfigure(tracking(&[("proxy", None)])));
    assert!(did.contains(&Did::To(State::Backup)), "{did:?}");
    assert_eq!(priority(&rig), 200);
    // A tracker that means something else now has to say so anew.
    rig.advance(down(200));
    rig.input(Input::Reconfigure(tracking(&[("proxy", Some(-100))])));
    assert_eq!((rig.group.state(), priority(&rig)), (State::Master, 200));
}

#[test]
fn an_order_to_be_master_overrides_trackers() {
    let mut rig = master(&[("proxy", None)]);
    say(&mut rig, "proxy", Verdict::Failing);
    assert_eq!(rig.group.state(), State::Fault);
    rig.input(Input::Force(Force::Master));
    assert_eq!((rig.group.state(), priority(&rig)), (State::Master, 255));
    let did = rig.input(Input::Force(Force::Auto));
    assert!(did.contains(&Did::Advert(0, 0)), "{did:?}");
    assert_eq!(rig.group.state(), State::Fault);
}

#[test]
fn a_hand_over_is_brought_to_its_end() {
    let mut rig = master(&[("proxy", None)]);
    rig.input(Input::Failover);
    assert_eq!(say(&mut rig, "proxy", Verdict::Failing), []);
    let did = rig.hear(0, 9, 100);
    assert_eq!(did, [Did::Vips(0, Place::Lo), Did::To(State::Backup), Did::To(State::Fault)]);
    let mut rig = master(&[("proxy", None)]);
    rig.input(Input::Failover);
    say(&mut rig, "proxy", Verdict::Failing);
    rig.advance(ms(5_000));
    assert_eq!(rig.group.state(), State::Fault, "without a successor it does not go on as if nothing were");
}

#[test]
fn a_link_and_a_tracker_have_to_be_back_both() {
    let mut rig = master(&[("proxy", None)]);
    rig.link(0, false);
    say(&mut rig, "proxy", Verdict::Failing);
    rig.link(0, true);
    assert_eq!(rig.group.state(), State::Fault);
    assert!(matches!(rig.group.cause(), Cause::Tracker { .. }));
    rig.link(0, false);
    say(&mut rig, "proxy", Verdict::Passing);
    assert_eq!(rig.group.state(), State::Fault);
    rig.link(0, true);
    assert_eq!(rig.group.state(), State::Backup);
}

#[test]
fn a_number_is_added_and_from_minus_254_on_a_fault() {
    let mut rig = master(&[("number", None)]);
    assert_eq!(say(&mut rig, "number", Verdict::Number(-20)), [Did::Advert(0, 180)]);
    assert_eq!(say(&mut rig, "number", Verdict::Number(30)), [Did::Advert(0, 230)]);
    say(&mut rig, "number", Verdict::Number(-253));
    assert_eq!((rig.group.state(), priority(&rig)), (State::Master, 1));
    say(&mut rig, "number", Verdict::Number(-254));
    assert_eq!(rig.group.state(), State::Fault);
}
