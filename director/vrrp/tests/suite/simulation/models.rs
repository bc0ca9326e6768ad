//! Scenarios as data: `tests/models/*.jsonl`. Each file is a story of routers on simulated networks, one JSON object a
//! line, in the order in which things happen:
//!
//! - the first line says what the story is about, and what the routers are;
//! - a line with `do` is something that happens to them: [`Act`];
//! - a line with `saw` is what they then did: this is what the test compares.
//!
//! Times are milliseconds since the beginning. Adverts that come an interval after one like it are left out.
//!
//! `FAIRWAY_BLESS=1 cargo test -p fairway-vrrp models` writes the answers anew: to add a scenario, write a file with
//! the first line and the lines with `do`, the last of them `end`, and have the rest written.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fairway_config::{Period, Preempt, Priority, Tracker, VrrpVersion};
use fairway_vrrp::{Force, Input, Place, Verdict};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::lan::{Lan, Seen};
use crate::rig::config;

/// The first line.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Story {
    about: String,
    /// The routers' priorities.
    priorities: Vec<u8>,
    #[serde(default = "one")]
    networks: usize,
    #[serde(default = "three")]
    version: u8,
    advert_interval: Period,
    /// How many adverts in a row may be missed.
    #[serde(default = "three")]
    down_timer_adverts: u8,
    preempt: Preempt,
    /// On every other network the addresses rank the other way round.
    #[serde(default)]
    contradictory: bool,
    /// What every router depends on, and the weights; 0: it is a fault.
    #[serde(default)]
    trackers: BTreeMap<String, i16>,
}

fn one() -> usize {
    1
}

fn three() -> u8 {
    3
}

/// Something that happens.
#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
enum Act {
    /// The process starts; its trackers pass.
    Start { router: usize },
    /// The process is killed; its VIPs stay.
    Kill { router: usize },
    /// The machine loses power.
    PowerOff { router: usize },
    /// SIGTERM.
    Stop { router: usize },
    /// `fairwayctl failover`.
    Failover { router: usize },
    /// `fairwayctl force`.
    Force { router: usize, to: To },
    /// Two routers no longer hear each other on a network.
    Cut { network: usize, routers: [usize; 2] },
    /// One router no longer hears another one.
    Deafen { network: usize, from: usize, to: usize },
    /// Everybody hears everybody.
    Join,
    /// The link of a router.
    Link { router: usize, network: usize, up: bool },
    /// The process stands still for a while, and then finds the packets of that time, unless the machine did, too.
    Pause { router: usize, milliseconds: u64, frozen: bool },
    /// The process tells the backups to wait, and leaves its state and sockets to one that starts after a gap.
    Restart { router: usize, gap: u64 },
    /// A tracker's result.
    Track { router: usize, tracker: String, passes: bool },
    /// A reload with another priority.
    Priority { router: usize, priority: u8 },
    /// The last line.
    End,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum To {
    Auto,
    Master,
    Backup,
}

/// A line with `do`.
#[derive(Debug, Deserialize)]
struct Moment {
    at: f64,
    #[serde(flatten)]
    act: Act,
}

impl Story {
    fn lan(&self) -> Lan {
        let tracker = |(name, weight): (&String, &i16)| {
            let weight = (*weight != 0).then_some(*weight);
            (name.clone(), Tracker { weight, ..Tracker::default() })
        };
        let configs = self.priorities.iter().map(|priority| {
            let mut config = config(self.networks, *priority, self.preempt);
            config.group.track = self.trackers.iter().map(tracker).collect();
            for instance in &mut config.group.instances {
                instance.advert_interval = self.advert_interval;
                instance.down_timer_adverts = self.down_timer_adverts;
                instance.version = match self.version {
                    2 => VrrpVersion::V2,
                    3 => VrrpVersion::V3,
                    other => panic!("there is no VRRP version {other}"),
                };
            }
            config
        });
        let mut lan = Lan::new(0, configs.collect());
        lan.contradictory = self.contradictory;
        lan
    }

    fn act(&self, lan: &mut Lan, act: Act) {
        let track = |lan: &mut Lan, router, tracker: &str, passes| {
            let verdict = if passes { Verdict::Passing } else { Verdict::Failing };
            lan.input(router, Input::Track { tracker, verdict, detail: "told".to_owned() });
        };
        match act {
            Act::Start { router } => {
                lan.start(router);
                self.trackers.keys().for_each(|tracker| track(lan, router, tracker, true));
            }
            Act::Kill { router } => lan.kill(router),
            Act::PowerOff { router } => lan.power_off(router),
            Act::Stop { router } => lan.input(router, Input::Stop),
            Act::Failover { router } => lan.input(router, Input::Failover),
            Act::Force { router, to } => {
                let force = match to {
                    To::Auto => Force::Auto,
                    To::Master => Force::Master,
                    To::Backup => Force::Backup,
                };
                lan.input(router, Input::Force(force));
            }
            Act::Cut { network, routers: [a, b] } => lan.cut_both(network, a, b),
            Act::Deafen { network, from, to } => lan.cut(network, from, to),
            Act::Join => lan.join(),
            Act::Link { router, network, up } => lan.set_link(router, network, up),
            Act::Pause { router, milliseconds, frozen } => {
                lan.pause(router, Duration::from_millis(milliseconds), frozen);
            }
            Act::Restart { router, gap } => {
                lan.input(router, Input::Bridge(Duration::from_secs(1)));
                lan.pass_on(router, Duration::from_millis(gap));
            }
            Act::Track { router, tracker, passes } => track(lan, router, &tracker, passes),
            Act::Priority { router, priority } => {
                let config = &mut lan.routers[router].config;
                for instance in &mut config.group.instances {
                    instance.priority = Priority::new(priority).unwrap();
                }
                let config = config.clone();
                lan.input(router, Input::Reconfigure(config));
            }
            Act::End => {}
        }
    }
}

/// A line with `saw`.
#[derive(Debug, Default, Serialize)]
struct Answer {
    at: f64,
    router: usize,
    saw: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'static str>,
}

/// Writes down what the routers do.
struct Observer {
    told: usize,
    /// Each router's last advert on each network: when, and its priority.
    adverts: BTreeMap<(usize, usize), (Duration, u8)>,
    interval: Duration,
    lines: Vec<String>,
}

impl Observer {
    /// Takes in what is new in the log.
    fn look(&mut self, lan: &Lan) {
        for (at, router, seen) in &lan.log[self.told..] {
            let answer = Answer { at: at.as_micros() as f64 / 1e3, router: *router, ..Answer::default() };
            let answer = match seen {
                Seen::Advert(network, priority) => {
                    let before = self.adverts.insert((*router, *network), (*at, *priority));
                    if before == Some((at.saturating_sub(self.interval), *priority)) {
                        continue;
                    }
                    Answer { saw: "advert", network: Some(*network), priority: Some(*priority), ..answer }
                }
                Seen::To(state) => Answer { saw: "transition", to: Some(state.as_str()), ..answer },
                Seen::Place(network, place) => {
                    let place = match place {
                        Place::Interface => "interface",
                        Place::Lo => "lo",
                        Place::Nowhere => "nowhere",
                    };
                    Answer { saw: "vips", network: Some(*network), on: Some(place), ..answer }
                }
                Seen::Announce(network) => Answer { saw: "announcement", network: Some(*network), ..answer },
                Seen::Stopped => Answer { saw: "end of process", ..answer },
            };
            self.lines.push(serde_json::to_string(&answer).unwrap());
        }
        self.told = lan.log.len();
    }
}

/// The story as it goes now.
fn tell(text: &str) -> String {
    let mut lines = text.lines();
    let head = lines.next().expect("a first line");
    let story: Story = serde_json::from_str(head).expect("the first line");
    assert!(!story.about.is_empty(), "the first line says what the story is about");
    let mut lan = story.lan();
    let (told, adverts, interval) = (0, BTreeMap::new(), story.advert_interval.get());
    let mut observer = Observer { told, adverts, interval, lines: vec![head.to_owned()] };
    let mut ended = false;
    for line in lines {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        if value.get("do").is_none() {
            continue;
        }
        assert!(!ended, "{line}: after the end");
        let moment: Moment = serde_json::from_value(value).unwrap_or_else(|error| panic!("{line}: {error}"));
        let at = Duration::from_secs_f64(moment.at / 1e3);
        assert!(at >= lan.now, "{line}: it is {:?} already", lan.now);
        lan.run_until(at);
        observer.look(&lan);
        observer.lines.push(line.to_owned());
        ended = matches!(moment.act, Act::End);
        story.act(&mut lan, moment.act);
        observer.look(&lan);
    }
    assert!(ended, "the last line must be an end");
    observer.lines.join("\n") + "\n"
}

#[test]
fn the_stories_go_as_they_are_written() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models");
    let entries = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|e| e == "jsonl")).collect();
    files.sort();
    assert!(files.len() >= 16, "stories are missing in {}", directory.display());
    let mut wrong = Vec::new();
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let now = tell(&text);
        assert!(now.lines().any(|line| line.contains("\"saw\"")), "{}: nothing happens", path.display());
        if std::env::var_os("FAIRWAY_BLESS").is_some() {
            fs::write(&path, now).unwrap();
        } else if now != text {
            let number = now.lines().zip(text.lines()).take_while(|(now, text)| now == text).count();
            let at = |text: &str| text.lines().nth(number).unwrap_or("the end").to_owned();
            wrong.push(format!(
                "{}:{}:\n  written: {}\n  goes:    {}",
                path.display(),
                number + 1,
                at(&text),
                at(&now)
            ));
        }
    }
    assert!(wrong.is_empty(), "{}\nFAIRWAY_BLESS=1 writes them anew", wrong.join("\n"));
}
