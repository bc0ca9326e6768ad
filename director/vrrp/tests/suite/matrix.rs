//! Every phase against every stimulus: the state and the place of the VIPs after it.

use fairway_config::{Period, Preempt};
use fairway_vrrp::{Force, Input, Output, Place, State};

use crate::rig::{Rig, config, ms};

const PHASES: [&str; 9] =
    ["idle", "waiting", "holding", "backup", "master", "stalled", "failover", "stopping", "fault"];

fn phase(name: &str) -> Rig {
    let backup = || Rig::backup(100, Preempt::Always);
    let master = || Rig::master(100, Preempt::Always);
    let after = |mut rig: Rig, input| {
        rig.input(input);
        rig
    };
    match name {
        "idle" => after(Rig::new(config(1, 100, Preempt::Always)), Input::Timer),
        "waiting" => after(Rig::new(config(1, 100, Preempt::Always)), Input::Start { holding: false }),
        "holding" => {
            let mut rig = Rig::new(config(1, 100, Preempt::Always));
            rig.links_up();
            after(rig, Input::Start { holding: true })
        }
        "backup" => backup(),
        "master" => master(),
        "stalled" => after(master(), Input::Stalled),
        "failover" => after(master(), Input::Failover),
        "stopping" => after(master(), Input::Stop),
        "fault" => {
            let mut rig = backup();
            rig.link(0, false);
            rig
        }
        other => panic!("{other}"),
    }
}

fn stimulate(rig: &mut Rig, stimulus: &str) {
    match stimulus {
        "start" => rig.input(Input::Start { holding: false }),
        "early timer" => rig.input(Input::Timer),
        "better" => rig.hear(0, 99, 200),
        "tie, higher address" => rig.hear(0, 99, 100),
        "tie, lower address" => rig.hear(0, 5, 100),
        "lower" => rig.hear(0, 99, 50),
        "zero" => rig.hear(0, 99, 0),
        "link up" => rig.link(0, true),
        "link down" => rig.link(0, false),
        "force master" => rig.force(Force::Master),
        "force backup" => rig.force(Force::Backup),
        "force auto" => rig.force(Force::Auto),
        "failover" => rig.input(Input::Failover),
        "stop" => rig.input(Input::Stop),
        "stalled" => rig.input(Input::Stalled),
        "reconfigure" => {
            let after = Preempt::After(Period::from_secs(1));
            rig.input(Input::Reconfigure(config(1, 100, after)))
        }
        other => panic!("{other}"),
    };
}

/// State and place: `i`nit, `b`ackup, `m`aster, `f`ault; `I`nterface, `L`o, `-` nowhere. In the order of [`PHASES`].
const EXPECTED: [(&str, &str); 16] = [
    ("start", "i- i- iI b- mI mI mI mI f-"),
    ("early timer", "i- i- iI b- mI mI mI mI f-"),
    ("better", "i- i- bL b- bL bL bL iL f-"),
    ("tie, higher address", "i- i- bL b- bL bL bL iL f-"),
    ("tie, lower address", "i- i- mI b- mI mI bL iL f-"),
    ("lower", "i- i- mI b- mI mI bL iL f-"),
    ("zero", "i- i- iI b- mI mI mI mI f-"),
    ("link up", "i- b- iI b- mI mI mI mI b-"),
    ("link down", "i- f- f- f- f- f- f- i- f-"),
    ("force master", "i- i- mI mI mI mI mI mI f-"),
    ("force backup", "i- i- b- b- mI mI mI mI f-"),
    ("force auto", "i- i- iI b- mI mI mI mI f-"),
    ("failover", "i- i- iI b- mI mI mI mI f-"),
    ("stop", "i- i- i- i- mI mI mI mI i-"),
    ("stalled", "i- i- iI b- mI mI mI mI f-"),
    ("reconfigure", "i- i- iI b- mI mI mI mI f-"),
];

#[test]
fn every_phase_against_every_stimulus() {
    let mut wrong = Vec::new();
    for (stimulus, expected) in EXPECTED {
        for (name, expected) in PHASES.into_iter().zip(expected.split(' ')) {
            let mut rig = phase(name);
            let mut place = if ["idle", "waiting", "backup", "fault"].contains(&name) { '-' } else { 'I' };
            stimulate(&mut rig, stimulus);
            for output in &rig.outputs {
                if let Output::Vips { place: to, .. } = output {
                    place = match to {
                        Place::Interface => 'I',
                        Place::Lo => 'L',
                        Place::Nowhere => '-',
                    };
                }
            }
            let state = match rig.group.state() {
                State::Init => 'i',
                State::Backup => 'b',
                State::Master => 'm',
                State::Fault => 'f',
            };
            let found = format!("{state}{place}");
            if found != expected {
                wrong.push(format!("{stimulus} in {name}: {found}, not {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whatever happened, every phase ends where it must: alone, the group becomes master, unless stopped or at fault.
#[test]
fn every_phase_comes_to_rest() {
    for (name, rest) in [
        ("idle", State::Init),
        ("waiting", State::Init),
        ("holding", State::Master),
        ("backup", State::Master),
        ("master", State::Master),
        ("stalled", State::Master),
        ("failover", State::Master),
        ("stopping", State::Init),
        ("fault", State::Fault),
    ] {
        let mut rig = phase(name);
        rig.advance(ms(10_000));
        assert_eq!(rig.group.state(), rest, "{name}");
    }
}
