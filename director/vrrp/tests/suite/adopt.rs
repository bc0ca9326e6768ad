//! One process goes on where another left off.

use std::collections::BTreeMap;
use std::time::Duration;

use fairway_config::{Auth, Preempt, Priority, VrrpVersion};
use fairway_vrrp::{Cause, Force, GroupConfig, Input, Output, Place, Saved, Secret, State};

use crate::rig::{Did, INTERVAL, Rig, address, adverts, config, down, instance, ms, skew, when};

/// Written by the first release that could. It must be understood for as long as releases exist that write it.
const FIRST_RELEASE: &str = include_str!("saved-1.json");

/// The rig after a hand-over to a process that starts `pause` later, with `config`.
fn hand_over(rig: &Rig, pause: Duration, config: GroupConfig) -> Rig {
    let text = serde_json::to_string(&rig.save().expect("something to go on with")).unwrap();
    let saved: Saved = serde_json::from_str(&text).unwrap();
    rig.successor(&saved, pause, config)
}

fn restarted(rig: &Rig, pause: Duration) -> Rig {
    hand_over(rig, pause, rig.group.config().clone())
}

/// Master for so long that everything has been announced.
fn settled(preempt: Preempt) -> Rig {
    let mut rig = Rig::master(100, preempt);
    rig.advance(ms(10_000));
    rig
}

#[test]
fn a_master_goes_on_at_once_and_nobody_notices() {
    let before = settled(Preempt::Always);
    let became = before.group.instances()[0].counters().became_master;
    let mut rig = restarted(&before, ms(300));
    assert_eq!(rig.group.state(), State::Master);
    // The kernel is made to agree; no transition, no announcement.
    let did: Vec<_> = rig.outputs.iter().map(crate::rig::did).collect();
    assert_eq!(did, [Did::Vips(0, Place::Interface)]);
    let began = rig.now;
    assert_eq!(
        rig.advance(3 * INTERVAL / 2),
        [(began, Did::Advert(0, 100)), (began + INTERVAL, Did::Advert(0, 100))]
    );
    assert_eq!(rig.group.instances()[0].counters().became_master, became);
    assert!(matches!(rig.group.cause(), Cause::Before(cause) if cause.contains("no master heard")));
}

#[test]
fn backups_are_told_to_wait_and_then_back_to_the_usual() {
    let mut before = Rig::master(100, Preempt::Always);
    let intervals = |rig: &Rig| -> Vec<Duration> {
        rig.outputs
            .iter()
            .filter_map(|output| match output {
                Output::Send { payload, .. } => {
                    Some(ms(10) * u32::from(u16::from_be_bytes([payload[4] & 0xf, payload[5]])))
                }
                _ => None,
            })
            .collect()
    };
    before.input(Input::Bridge(ms(1_000)));
    assert_eq!(intervals(&before), [ms(1_000)]);
    assert_eq!(adverts(&before.advance(ms(900))), [], "an advert of the usual kind takes it back");
    before.input(Input::Bridge(ms(1_000)));
    assert_eq!(intervals(&before), [ms(1_000)]);
    let mut rig = restarted(&before, ms(2_900));
    rig.advance(Duration::ZERO);
    assert_eq!(intervals(&rig), [INTERVAL]);
    assert_eq!(rig.group.state(), State::Master);

    // Neither longer than its own, nor more than an advert can say.
    let mut slow = config(1, 100, Preempt::Always);
    slow.group.instances[0].advert_interval = fairway_config::Period::from_secs(3);
    let mut rig = Rig::started(slow);
    rig.advance(ms(12_000));
    rig.input(Input::Bridge(ms(1_000)));
    assert_eq!(intervals(&rig), [ms(3_000)]);
    rig.input(Input::Bridge(Duration::from_secs(100)));
    assert_eq!(intervals(&rig), [ms(40_950)]);

    // Backups that wait for fewer adverts than three wait as long all the same.
    for (adverts, interval) in [(1, 3_000), (2, 1_500), (3, 1_000), (9, 1_000)] {
        let mut few = config(1, 100, Preempt::Always);
        few.group.instances[0].down_timer_adverts = adverts;
        let mut rig = Rig::started(few);
        rig.advance(ms(12_000));
        rig.input(Input::Bridge(ms(1_000)));
        assert_eq!(intervals(&rig), [ms(interval)], "{adverts}");
    }
}

#[test]
fn a_backup_of_ours_waits_through_the_gap() {
    for bridged in [true, false] {
        let mut backup = Rig::backup(100, Preempt::Always);
        backup.hear(0, 99, 200);
        if bridged {
            backup.hear_every(0, 99, 200, ms(1_000));
        }
        let taken_over = when(&backup.advance(ms(900)), Did::To(State::Master)).is_some();
        assert_eq!(taken_over, !bridged, "an interval of 100 ms alone allows for 360 ms");
    }
}

#[test]
fn version_2_repeats_its_advert_so_that_the_gap_begins_with_it() {
    let mut config = config(1, 100, Preempt::Always);
    config.group.instances[0].version = VrrpVersion::V2;
    config.group.instances[0].advert_interval = fairway_config::Period::from_secs(1);
    let mut rig = Rig::started(config);
    rig.advance(ms(4_500));
    assert_eq!(rig.group.state(), State::Master);
    assert_eq!(rig.input(Input::Bridge(ms(1_000))), [Did::Advert(0, 100)]);
    let Some(Output::Send { payload, .. }) = rig.outputs.first() else { panic!("{:?}", rig.outputs) };
    assert_eq!(payload[5], 1, "seconds");
    let mut rig = restarted(&rig, ms(2_900));
    assert_eq!(rig.advance(ms(0)).first().map(|(_, did)| *did), Some(Did::Advert(0, 100)));
}

#[test]
fn only_a_master_tells_backups_to_wait() {
    assert_eq!(Rig::backup(100, Preempt::Always).input(Input::Bridge(ms(1_000))), []);
}

#[test]
fn a_gap_beyond_what_was_promised_is_a_stall() {
    let mut before = settled(Preempt::Never);
    before.input(Input::Bridge(ms(1_000)));
    let patience = 10 * down(100);
    let mut rig = restarted(&before, patience - ms(1));
    assert_eq!(rig.advance(ms(0)), [(rig.now, Did::Advert(0, 100))]);

    let mut rig = restarted(&before, patience);
    assert_eq!(rig.group.state(), State::Master, "the VIPs stay");
    let did: Vec<_> = rig.outputs.iter().map(crate::rig::did).collect();
    assert_eq!(did, [Did::Event, Did::Vips(0, Place::Interface)]);
    let began = rig.now;
    let all = rig.advance(INTERVAL);
    assert_eq!(all, [(began + INTERVAL, Did::Advert(0, 100)), (began + INTERVAL, Did::Announce(0))]);

    // Who took over in the meantime keeps them.
    let mut rig = restarted(&before, patience);
    assert!(rig.hear(0, 99, 50).contains(&Did::To(State::Backup)));
}

#[test]
fn a_better_master_in_the_queue_is_heard_before_the_first_advert() {
    let mut rig = restarted(&Rig::master(100, Preempt::Always), ms(300));
    assert_eq!(rig.hear(0, 99, 200), [Did::Vips(0, Place::Lo), Did::Advert(0, 100), Did::To(State::Backup)]);
}

#[test]
fn a_backup_keeps_its_deadline_but_gives_the_master_an_interval() {
    // Heard 150 ms before the hand-over.
    let mut before = Rig::backup(100, Preempt::Always);
    before.hear(0, 99, 200);
    before.advance(ms(150));
    let mut rig = restarted(&before, ms(10));
    let began = rig.now;
    assert_eq!(rig.group.state(), State::Backup);
    assert_eq!(rig.group.instances()[0].master(), Some(address(0, 99)));
    let all = rig.advance(ms(1_000));
    assert_eq!(when(&all, Did::To(State::Master)), Some(began + down(100) - ms(160)));
    assert_eq!(rig.group.cause(), &Cause::Silence(down(100)), "as if it had been one process");

    // Its deadline is over: one interval, and the skew time.
    let mut rig = restarted(&before, ms(5_000));
    let began = rig.now;
    let all = rig.advance(ms(1_000));
    assert_eq!(when(&all, Did::To(State::Master)), Some(began + INTERVAL + skew(100)));

    // The master is heard meanwhile.
    let mut rig = restarted(&before, ms(5_000));
    rig.hear(0, 99, 200);
    assert_eq!(when(&rig.advance(down(100) - ms(1)), Did::To(State::Master)), None);
}

#[test]
fn orders_and_policies_outlive_the_process() {
    let mut before = Rig::master(100, Preempt::Always);
    before.force(Force::Backup);
    before.hear(0, 99, 50);
    before.advance(ms(2_000));
    assert_eq!(before.group.state(), State::Backup);
    let mut rig = restarted(&before, ms(100));
    assert_eq!(rig.group.forced(), Force::Backup);
    assert_eq!(when(&rig.advance(ms(5_000)), Did::To(State::Master)), None);

    let mut before = Rig::master(100, Preempt::Always);
    before.force(Force::Master);
    let mut rig = restarted(&before, ms(100));
    assert_eq!(adverts(&rig.advance(ms(0))), [(rig.now, 255)]);

    // After a failover it leaves the new master alone.
    let mut before = Rig::master(200, Preempt::Always);
    before.input(Input::Failover);
    before.hear(0, 99, 50);
    let mut rig = restarted(&before, ms(100));
    rig.hear(0, 99, 50);
    assert_eq!(when(&rig.advance(ms(200)), Did::To(State::Master)), None);
    assert_eq!(rig.group.state(), State::Backup);
}

#[test]
fn a_failover_under_way_goes_on() {
    let mut before = Rig::master(100, Preempt::Always);
    before.input(Input::Failover);
    let mut rig = restarted(&before, ms(20));
    assert_eq!(rig.group.state(), State::Master);
    assert_eq!(adverts(&rig.advance(ms(0))), [(rig.now, 0)]);
    rig.hear(0, 99, 50);
    assert_eq!(rig.group.state(), State::Backup);
}

#[test]
fn parked_addresses_are_removed_in_time() {
    let mut before = Rig::master(100, Preempt::Always);
    for _ in 0..2 {
        before.hear(0, 99, 200);
        before.advance(ms(200));
    }
    let mut rig = restarted(&before, ms(100));
    assert_eq!(rig.outputs.iter().map(crate::rig::did).collect::<Vec<_>>(), [Did::Vips(0, Place::Lo)]);
    let began = rig.now;
    rig.hear(0, 99, 200);
    let mut all = rig.advance(ms(300));
    rig.hear(0, 99, 200);
    all.extend(rig.advance(ms(300)));
    assert_eq!(when(&all, Did::Vips(0, Place::Nowhere)), Some(began + ms(500)));
}

#[test]
fn a_link_that_went_down_meanwhile_is_a_fault() {
    let mut rig = restarted(&Rig::master(100, Preempt::Always), ms(100));
    assert!(rig.link(0, false).contains(&Did::To(State::Fault)));
    // And one that came back ends it.
    let mut before = Rig::backup(100, Preempt::Always);
    before.link(0, false);
    let mut rig = restarted(&before, ms(100));
    assert_eq!(rig.group.state(), State::Fault);
    assert!(rig.link(0, true).contains(&Did::To(State::Backup)));
}

#[test]
fn an_instance_that_was_added_meanwhile_is_served_too() {
    let mut rig = hand_over(&settled(Preempt::Always), ms(100), config(2, 100, Preempt::Always));
    let did: Vec<_> = rig.outputs.iter().map(crate::rig::did).collect();
    assert_eq!(did, [Did::Vips(0, Place::Interface), Did::Vips(1, Place::Interface)]);
    assert_eq!(rig.link(1, true)[..], [Did::Advert(0, 100), Did::Advert(1, 100), Did::Announce(1)]);
}

#[test]
fn another_priority_counts_from_now() {
    let mut other = config(1, 100, Preempt::Always);
    other.group.instances[0].priority = Priority::new(50).unwrap();
    let mut rig = hand_over(&Rig::master(100, Preempt::Always), ms(100), other);
    assert_eq!(adverts(&rig.advance(ms(0))), [(rig.now, 50)]);
}

#[test]
fn nothing_is_adopted_for_other_virtual_routers() {
    let saved = Rig::master(100, Preempt::Always).save().unwrap();
    let mut other = config(1, 100, Preempt::Always);
    other.group.instances[0] = instance(3, 100).into();
    let mut rig = Rig::new(other);
    assert!(!rig.adopt(&saved, ms(100)));
    // It can start as usual.
    rig.links_up();
    rig.input(Input::Start { holding: true });
    assert_eq!(when(&rig.advance(INTERVAL), Did::To(State::Master)), Some(INTERVAL));
}

#[test]
fn nothing_is_saved_before_the_start_and_while_stopping() {
    assert_eq!(Rig::new(config(1, 100, Preempt::Always)).save(), None);
    let mut rig = Rig::master(100, Preempt::Always);
    rig.input(Input::Stop);
    assert_eq!(rig.save(), None);
}

#[test]
fn numbers_of_the_authentication_header_go_on() {
    let sealed = |password: &[u8; 8]| {
        let mut config = config(1, 100, Preempt::Always);
        let instance = &mut config.group.instances[0];
        instance.version = VrrpVersion::V2;
        instance.advert_interval = fairway_config::Period::from_secs(1);
        instance.auth = Some(Auth::Ah(fairway_config::KeyFile { key_file: "/unread".into() }));
        config.secrets = BTreeMap::from([(instance.name.clone(), Secret::Password(*password))]);
        config
    };
    let number = |rig: &Rig| match rig.outputs.first() {
        Some(Output::Send { payload, .. }) => u32::from_be_bytes(payload[8..12].try_into().unwrap()),
        other => panic!("{other:?}"),
    };
    let mut before = Rig::started(sealed(b"s3cret\0\0"));
    before.advance(ms(10_000));
    before.input(Input::Bridge(ms(1_000)));
    let last = number(&before);
    assert!(last > 1);
    let mut rig = restarted(&before, ms(100));
    rig.advance(ms(0));
    assert_eq!(number(&rig), last + 1);
    // With another secret they begin anew.
    let mut rig = hand_over(&before, ms(100), sealed(b"other\0\0\0"));
    rig.advance(ms(0));
    assert_eq!(number(&rig), 1);
}

#[test]
fn what_the_first_release_wrote_is_understood() {
    let saved: Saved = serde_json::from_str(FIRST_RELEASE).unwrap();
    let mut rig = Rig::new(config(1, 100, Preempt::Always));
    assert!(rig.adopt(&saved, ms(100)));
    assert_eq!(rig.group.state(), State::Master);
    assert_eq!(rig.group.forced(), Force::Auto);
    assert_eq!(adverts(&rig.advance(ms(0))), [(rig.now, 100)]);
    assert_eq!(rig.group.instances()[0].counters().became_master, 7);
}

#[test]
fn senseless_times_do_no_harm() {
    let text =
        FIRST_RELEASE.replace("-50000", &i64::MIN.to_string()).replace("1000000", &u64::MAX.to_string());
    assert_ne!(text, FIRST_RELEASE);
    let saved: Saved = serde_json::from_str(&text).unwrap();
    let mut rig = Rig::new(config(1, 100, Preempt::Always));
    assert!(rig.adopt(&saved, ms(100)));
    rig.advance(ms(1_000));
    assert_eq!(rig.group.state(), State::Master);
}
