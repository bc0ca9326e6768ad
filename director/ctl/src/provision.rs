//! What an appliance is, by the record of its provisioning; and another topology for it.

use std::fmt::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, anyhow, bail};
use fairway_config::provision::{Provision, RECORD, State};
use serde::Serialize;

use crate::model::Director;

/// The program that does what needs root and the generator.
const PROGRAM: &str = "fairway-provision";

/// `status --json`: what the director shows, and what provisioning says where there is any.
#[derive(Debug, Serialize)]
pub struct Status<'d> {
    /// The director.
    #[serde(flatten)]
    pub director: Option<&'d Director>,
    /// On appliances.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provision: Option<&'d Provision>,
}

/// The record of this machine; nothing where it is no appliance.
///
/// # Errors
/// The record is there and cannot be read.
pub fn read() -> anyhow::Result<Option<Provision>> {
    read_from(Path::new(RECORD))
}

pub(crate) fn read_from(path: &Path) -> anyhow::Result<Option<Provision>> {
    let text = match std::fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        text => text.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let record = serde_json::from_slice(&text);
    record.map(Some).with_context(|| format!("{} was written by another version", path.display()))
}

/// The record of a machine that has to have one.
///
/// # Errors
/// No record.
pub fn read_own() -> anyhow::Result<Provision> {
    read()?.ok_or_else(|| {
        anyhow!(
            "this machine is no appliance, or fairway-provision.service has not run yet: there is no {RECORD}"
        )
    })
}

/// For people.
pub fn render(record: &Provision) -> String {
    let mut text = String::new();
    if let Some(source) = record.source {
        let Provision { host, cluster, sha256, time, .. } = record;
        let _ = writeln!(text, "{host} in cluster {cluster}: {}", roles(record));
        let _ = writeln!(text, "topology {} of {source}, since {time}", short(sha256));
    }
    text.push_str(&trouble(record));
    text
}

/// What is wrong, for people; nothing if nothing is.
pub fn trouble(record: &Provision) -> String {
    let mut text = String::new();
    let _ = match (record.state, record.source) {
        (State::Ok, _) => Ok(()),
        (State::None, _) => writeln!(
            text,
            "there is no topology: give this machine one (credential fairway.topology, file system labelled FAIRWAY), or \
             `fairwayctl apply`"
        ),
        (State::Refused, Some(_)) => {
            writeln!(
                text,
                "the newest topology is refused, topology {} stays in force:",
                short(&record.sha256)
            )
        }
        (State::Refused, None) => writeln!(text, "the topology is refused, and no other is in force:"),
    };
    for error in &record.errors {
        let _ = writeln!(text, "  {error}");
    }
    for warning in &record.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    text
}

/// What the host is.
pub fn roles(record: &Provision) -> String {
    if record.roles.is_empty() { "without a role".to_owned() } else { record.roles.join(" and ") }
}

/// Enough of a hash to tell topologies apart.
pub fn short(sha256: &str) -> &str {
    sha256.get(..12).unwrap_or(sha256)
}

/// Whether no director is to be expected here.
pub fn is_no_director(record: &Provision) -> bool {
    !record.roles.iter().any(|role| role == "director")
}

/// Becomes the program that applies topologies.
///
/// # Errors
/// It is not installed.
pub fn apply(topology: &Path, options: &[&str], secrets: Option<&Path>) -> anyhow::Result<()> {
    let mut command = Command::new(PROGRAM);
    command.arg("apply").args(options);
    if let Some(secrets) = secrets {
        command.arg("--secrets").arg(secrets);
    }
    let error = command.arg("--").arg(topology).exec();
    if error.kind() == std::io::ErrorKind::NotFound {
        bail!(
            "{PROGRAM} is not installed: only appliances apply topologies themselves. Elsewhere `fairway-gen host TOPOLOGY \
             HOST --out /` writes the files; on NixOS change services.fairway.topology"
        );
    }
    Err(anyhow!("cannot run {PROGRAM}: {error}"))
}
