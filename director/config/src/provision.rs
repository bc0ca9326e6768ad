//! What the provisioning of an appliance says about itself: `fairway-provision` writes it, `fairwayctl` shows it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where it is, as JSON.
pub const RECORD: &str = "/run/fairway/provision.json";

/// Where a topology came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The systemd credential `fairway.topology`.
    Credential,
    /// A file system labelled FAIRWAY.
    Disk,
    /// The copy of the last one that was good.
    Kept,
    /// `fairwayctl apply`.
    Applied,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Credential => "the credential fairway.topology",
            Self::Disk => "the file system labelled FAIRWAY",
            Self::Kept => "the last good copy",
            Self::Applied => "fairwayctl apply",
        })
    }
}

/// What became of the newest topology.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is in force.
    Ok,
    /// It is not: an older one is, or none.
    Refused,
    /// There is no topology.
    #[default]
    None,
}

/// The record. What is not known is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provision {
    /// What became of the newest topology.
    pub state: State,
    /// Name of this host in the topology in force.
    #[serde(default)]
    pub host: String,
    /// Name of its cluster.
    #[serde(default)]
    pub cluster: String,
    /// `director`, `real-server`, both, or none of them.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Where the topology in force came from.
    #[serde(default)]
    pub source: Option<Source>,
    /// SHA-256 of the topology in force.
    #[serde(default)]
    pub sha256: String,
    /// SHA-256 of the topology that the machine was given at boot.
    #[serde(default)]
    pub given: String,
    /// When this was written, in UTC, by this machine's clock.
    #[serde(default)]
    pub time: String,
    /// What was refused.
    #[serde(default)]
    pub refused: Vec<Refused>,
    /// Why: file, line, key and remedy.
    #[serde(default)]
    pub errors: Vec<String>,
    /// What should be looked at.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// A topology that is not in force because something is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Where it came from.
    pub source: Source,
    /// SHA-256 of what was there.
    pub sha256: String,
}
