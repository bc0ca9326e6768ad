//! Trackers: what a failover group depends on besides its own interfaces.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::TrackedBfd;
use crate::types::{IfName, Period};

/// Something that is watched for a failover group. Exactly one kind is given.
///
/// While it fails, `weight` is added to the group's priority; without a weight the group is in fault.
// Tables come last: TOML wants them there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Tracker {
    /// Added to the priority while it fails, -253 to 253 and not 0; absent: the group is in fault while it fails.
    /// The result stays within 1 to 254.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<i16>,
    /// What it counts as until its first result.
    #[serde(skip_serializing_if = "Initial::is_default")]
    pub initial: Initial,
    /// Time between the starts of two looks. Most kinds are also looked at as soon as the kernel, systemd or the
    /// director itself tells of a change.
    #[serde(skip_serializing_if = "is_usual")]
    pub every: Period,
    /// A script that takes longer is killed and has failed; a ping that takes longer has failed. Absent means 1s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Period>,
    /// Consecutive passes that end a failure.
    #[serde(skip_serializing_if = "is_one")]
    pub rise: u32,
    /// Consecutive failures that count.
    #[serde(skip_serializing_if = "is_one")]
    pub fall: u32,
    /// `interface = "eth1"`: it is there, up and has carrier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<IfName>,
    /// `unit = "haproxy.service"`: systemd has it active.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// `ping = "192.0.2.1"`: the address answers ICMP echo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ping: Option<IpAddr>,
    /// `bfd = {..}`: a BFD session with a neighbour is up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bfd: Option<TrackedBfd>,
    /// `services = ["web"]`: these virtual services of this director have their quorum.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<String>,
    /// `script = {..}`: a program exits with status 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script: Option<TrackedScript>,
    /// `file = {..}`: a file is there, or is not, or holds a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<TrackedFile>,
    /// `process = {..}`: enough processes of a name run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<TrackedProcess>,
}

/// What a tracker counts as before its first result. A director that is restarted and still holds the virtual IPs,
/// and a tracker that a reload adds, count as passing in any case: neither is a reason for a failover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Initial {
    /// As failing: the group waits for the result.
    #[default]
    Wait,
    /// As passing.
    Pass,
}

impl Initial {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A program that says by its exit status whether all is well. It runs without any right of the director's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TrackedScript {
    /// The program, by absolute path, and its arguments. Nothing is expanded.
    pub command: Vec<String>,
}

/// A file on the director.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TrackedFile {
    /// The file, by absolute path.
    pub path: PathBuf,
    /// What is expected of it.
    #[serde(default, skip_serializing_if = "Expected::is_default")]
    pub expect: Expected,
}

/// What a tracked file has to be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expected {
    /// To be there.
    #[default]
    Present,
    /// Not to be there, such as a file that somebody touches for maintenance.
    Absent,
    /// To hold a whole number, which is added to the priority; -254 or less is a fault. No file, or an empty one, is
    /// 0; what is no number leaves the last one in force.
    Number,
}

impl Expected {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Processes of a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TrackedProcess {
    /// The name of the program, as `ps -o comm` shows it. Of a name longer than 15 bytes the last part of the path it
    /// was started by has to be the same, too.
    pub name: String,
    /// How many have to run.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub quorum: u32,
}

fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_one(number: &u32) -> bool {
    *number == 1
}

const USUAL: Period = Period::from_secs(1);

fn is_usual(every: &Period) -> bool {
    *every == USUAL
}

impl Default for Tracker {
    /// The usual pace, and nothing to watch.
    fn default() -> Self {
        Self {
            weight: None,
            initial: Initial::default(),
            every: USUAL,
            timeout: None,
            rise: 1,
            fall: 1,
            interface: None,
            unit: None,
            ping: None,
            bfd: None,
            services: Vec::new(),
            script: None,
            file: None,
            process: None,
        }
    }
}

/// What a [`Tracker`] watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracked<'a> {
    /// An interface.
    Interface(&'a IfName),
    /// A systemd unit.
    Unit(&'a str),
    /// An address that answers ICMP echo.
    Ping(IpAddr),
    /// A neighbour with which a BFD session is up.
    Bfd(&'a TrackedBfd),
    /// Virtual services.
    Services(&'a [String]),
    /// A program's exit status.
    Script(&'a TrackedScript),
    /// A file.
    File(&'a TrackedFile),
    /// Processes.
    Process(&'a TrackedProcess),
}

impl Tracked<'_> {
    /// The name of the kind, which is its key.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Interface(_) => "interface",
            Self::Unit(_) => "unit",
            Self::Ping(_) => "ping",
            Self::Bfd(_) => "bfd",
            Self::Services(_) => "services",
            Self::Script(_) => "script",
            Self::File(_) => "file",
            Self::Process(_) => "process",
        }
    }
}

impl Tracker {
    /// The keys of all kinds.
    pub const KINDS: [&'static str; 8] =
        ["interface", "unit", "ping", "bfd", "services", "script", "file", "process"];

    /// Every kind that is given.
    pub fn kinds(&self) -> impl Iterator<Item = Tracked<'_>> {
        [
            self.interface.as_ref().map(Tracked::Interface),
            self.unit.as_deref().map(Tracked::Unit),
            self.ping.map(Tracked::Ping),
            self.bfd.as_ref().map(Tracked::Bfd),
            (!self.services.is_empty()).then_some(Tracked::Services(&self.services)),
            self.script.as_ref().map(Tracked::Script),
            self.file.as_ref().map(Tracked::File),
            self.process.as_ref().map(Tracked::Process),
        ]
        .into_iter()
        .flatten()
    }

    /// What is watched, if exactly one kind is given.
    pub fn kind(&self) -> Option<Tracked<'_>> {
        let mut kinds = self.kinds();
        let kind = kinds.next()?;
        kinds.next().is_none().then_some(kind)
    }

    /// How long one look may take.
    pub fn timeout(&self) -> Period {
        self.timeout.unwrap_or(Period::from_secs(1))
    }

    /// Whether it holds a number that is added to the priority.
    pub fn is_number(&self) -> bool {
        self.file.as_ref().is_some_and(|file| file.expect == Expected::Number)
    }
}
