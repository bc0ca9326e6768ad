//! A topology that can be put in force on this machine, or what is wrong with it.

use fairway_config::provision::{Refused, Source};
use fairway_gen::render::{Files, Renderer};
use fairway_gen::{Plans, Topology};

use crate::machine::Machine;
use crate::source::{Broken, Given, Secrets};

/// Where topologies say that secrets are.
const SECRETS: &str = "/etc/fairway/secrets/";

/// A topology, and this host's part of it.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// Where it came from.
    pub source: Source,
    /// SHA-256 of the text.
    pub sha256: String,
    /// The text.
    pub text: String,
    /// The cluster.
    pub cluster: String,
    /// This host.
    pub host: String,
    /// `director`, `real-server`.
    pub roles: Vec<String>,
    /// This host's files, below its root.
    pub files: Files,
    /// Secrets by name.
    pub secrets: Secrets,
    /// What the generator warns of.
    pub warnings: Vec<String>,
}

impl Prepared {
    /// Checks a topology and generates this machine's files.
    ///
    /// # Errors
    /// Everything that is wrong, with file, line, key and remedy.
    pub fn new(given: Given, machine: &Machine) -> Result<Self, Broken> {
        let refused = Refused { source: given.source, sha256: given.sha256() };
        let sha256 = refused.sha256.clone();
        let fail = |errors: Vec<String>| Broken { refused: refused.clone(), errors };
        let one = |error: String| fail(vec![format!("{}: {error}", given.name)]);
        let (topology, warnings) =
            Topology::load(&given.name, &given.text).map_err(|report| fail(report.lines()))?;
        let host = machine.identify(&topology, given.host.as_deref()).map_err(one)?;
        let plans = Plans::new(&topology);
        let plan = plans.host(&host).expect("the topology has this host");
        let files = Renderer::new().files(&plan).map_err(|error| one(error.to_string()))?;
        let missing = missing_secrets(&given, &files);
        if !missing.is_empty() {
            return Err(fail(missing));
        }
        let roles = [("director", plans.is_director(&host)), ("real-server", plans.is_real_server(&host))];
        Ok(Self {
            source: given.source,
            sha256,
            cluster: topology.cluster.clone(),
            roles: roles.iter().filter(|(_, is)| *is).map(|(role, _)| (*role).to_owned()).collect(),
            host,
            files,
            warnings: warnings.lines(),
            text: given.text,
            secrets: given.secrets,
        })
    }

    /// Whether the director runs on this host.
    pub fn is_director(&self) -> bool {
        self.files.contains_key("etc/fairway/director.toml")
    }
}

/// Key files that the host's director reads and nobody gave.
fn missing_secrets(given: &Given, files: &Files) -> Vec<String> {
    let Some(director) = files.get("etc/fairway/director.toml") else { return Vec::new() };
    let Ok(director) = director.parse::<toml::Table>() else { return Vec::new() };
    let mut named = Vec::new();
    strings(&toml::Value::Table(director), &mut named);
    named.sort();
    named.dedup();
    let missing = named.iter().filter_map(|path| path.strip_prefix(SECRETS));
    missing
        .filter(|name| !given.secrets.contains_key(*name))
        .map(|name| {
            let at = given.text.lines().position(|line| line.contains(&format!("{SECRETS}{name}")));
            let at = at.map_or(String::new(), |line| format!("{}:", line + 1));
            format!(
                "{}:{at} {SECRETS}{name} is named, and there is no such secret; give the credential \
                 fairway.secret.{name}, or secrets/{name} on the file system labelled FAIRWAY",
                given.name
            )
        })
        .collect()
}

/// Every string below a value.
fn strings(value: &toml::Value, found: &mut Vec<String>) {
    match value {
        toml::Value::String(text) => found.push(text.clone()),
        toml::Value::Array(values) => values.iter().for_each(|value| strings(value, found)),
        toml::Value::Table(table) => table.values().for_each(|value| strings(value, found)),
        _ => {}
    }
}
