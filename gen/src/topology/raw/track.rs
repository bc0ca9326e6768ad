//! Trackers as written: the keys of `fairway_config::Tracker`, with its rules, but networks and services by their
//! names in the topology.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;

use fairway_config::{
    AdminDown, BfdCheck, Config, FailoverGroup, IfName, Initial, Period, Preempt, TrackedBfd, TrackedFile,
    TrackedProcess, TrackedScript, Tracker,
};
use serde::Deserialize;

use super::bare_config;
use crate::reader::{Part, Value};
use crate::report::{Problems, Rule};

/// `[failover.X.track.Y]`.
#[derive(Debug, Default)]
pub struct RawTracker {
    /// Absent if it could not be read.
    pub tracker: Option<Box<TrackerForm>>,
}

/// What is written of a tracker.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct TrackerForm {
    /// Each director's interface in this network.
    pub network: Option<String>,
    /// Services of the topology.
    pub services: Vec<String>,
    weight: Option<i16>,
    initial: Initial,
    every: Period,
    timeout: Option<Period>,
    rise: u32,
    fall: u32,
    unit: Option<String>,
    ping: Option<IpAddr>,
    /// A neighbour.
    pub bfd: Option<BfdForm>,
    script: Option<TrackedScript>,
    file: Option<TrackedFile>,
    process: Option<TrackedProcess>,
}

impl Default for TrackerForm {
    fn default() -> Self {
        let Tracker { weight, initial, every, timeout, rise, fall, .. } = Tracker::default();
        Self {
            network: None,
            services: Vec::new(),
            weight,
            initial,
            every,
            timeout,
            rise,
            fall,
            unit: None,
            ping: None,
            bfd: None,
            script: None,
            file: None,
            process: None,
        }
    }
}

/// What is written of a BFD session.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BfdForm {
    /// Its address.
    pub neighbour: IpAddr,
    /// The network that it is in.
    pub network: Option<String>,
    #[serde(default = "one_hop")]
    hops: u8,
    #[serde(default = "usual_interval")]
    min_tx: Period,
    #[serde(default = "usual_interval")]
    min_rx: Period,
    #[serde(default = "usual_multiplier")]
    multiplier: u8,
    #[serde(default)]
    passive: bool,
    #[serde(default)]
    admin_down: AdminDown,
}

fn one_hop() -> u8 {
    BfdCheck::default().hops
}

fn usual_interval() -> Period {
    BfdCheck::default().min_tx
}

fn usual_multiplier() -> u8 {
    BfdCheck::default().multiplier
}

impl BfdForm {
    /// Whether it is on a link of the director's.
    pub fn is_direct(&self) -> bool {
        self.hops == 1
    }

    /// The session of a director, with its interface and address towards the neighbour.
    pub fn tracked(&self, interface: Option<IfName>, local: Option<IpAddr>) -> TrackedBfd {
        TrackedBfd {
            neighbour: self.neighbour,
            local,
            interface,
            hops: self.hops,
            min_tx: self.min_tx,
            min_rx: self.min_rx,
            multiplier: self.multiplier,
            passive: self.passive,
            admin_down: self.admin_down,
        }
    }
}

impl TrackerForm {
    /// The tracker of a director, with its interface, its session and its names of the services.
    pub fn tracker(
        &self,
        interface: Option<IfName>,
        bfd: Option<TrackedBfd>,
        services: Vec<String>,
    ) -> Tracker {
        Tracker {
            weight: self.weight,
            initial: self.initial,
            every: self.every,
            timeout: self.timeout,
            rise: self.rise,
            fall: self.fall,
            interface,
            unit: self.unit.clone(),
            ping: self.ping,
            bfd,
            services,
            script: self.script.clone(),
            file: self.file.clone(),
            process: self.process.clone(),
        }
    }
}

pub(super) fn read_tracker(
    problems: &mut Problems,
    value: &Value<'_>,
    name: Range<usize>,
) -> Option<RawTracker> {
    let part = value.read_part::<TrackerForm>(problems, name.clone());
    if let Some(part) = &part {
        rules(problems, value, name, part);
    }
    Some(RawTracker { tracker: part.filter(|part| part.refused.is_empty()).map(|part| Box::new(part.value)) })
}

/// Asks the schema of director.toml, which owns the rules, and finds the place of what it says.
fn rules(problems: &mut Problems, value: &Value<'_>, name: Range<usize>, part: &Part<TrackerForm>) {
    let form = &part.value;
    let interface =
        |network: &Option<String>| network.as_ref().map(|_| "eth0".parse().expect("a proper name"));
    let bfd = form.bfd.as_ref().map(|bfd| bfd.tracked(interface(&bfd.network), None));
    let tracker = form.tracker(interface(&form.network), bfd, form.services.clone());
    let group = FailoverGroup {
        name: "x".to_owned(),
        preempt: Preempt::default(),
        start_delay: Period::default(),
        routes: Vec::new(),
        rules: Vec::new(),
        instances: Vec::new(),
        track: BTreeMap::from([("x".to_owned(), tracker)]),
    };
    let config = Config { failover: vec![group], ..bare_config() };
    let Err(fairway_config::Error::Invalid(found)) = config.validate() else { return };
    for problem in found {
        let Some(below) = problem.at.strip_prefix("failover.x.track.x") else { continue };
        // Services are looked up when all of them are known.
        if below == ".services" {
            continue;
        }
        let (key, span) = match value.below(below) {
            Some(place) if !below.is_empty() => place,
            // Without a place of its own it is about what the tracker lacks, which may be what was refused.
            _ if part.refused.is_empty() => (value.key.clone(), name.clone()),
            _ => continue,
        };
        // The topology names networks, not interfaces.
        let message = problem.message.replace("one of interface,", "one of network,");
        let message =
            message.replace("say with interface = .. on which link", "say with network = .. in which one");
        problems.add_text(Rule::TrackSetting, key, span, &message);
    }
}
