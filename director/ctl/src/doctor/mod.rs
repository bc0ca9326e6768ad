//! `fairwayctl doctor`: looks at the whole way of a packet on a director, and says of everything that is wrong what it
//! is and what to do.
//!
//! | file | what it looks at |
//! |---|---|
//! | `cluster` | the director, its groups and services, adverts, IPVS |
//! | `host` | sysctls, interfaces and modules against the generated files; the topology |
//! | `firewall` | packet filters that drop adverts or clients |
//! | `reach` | who answers for virtual IPs, and whether servers take packets for them |
//! | `wire` | sends and hears frames for that |
//! | `frames` | what is in them |

mod cluster;
mod firewall;
mod frames;
mod host;
mod reach;
mod wire;

#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use fairway_config::Config;
use serde::Serialize;

use crate::client::Client;
use crate::model::Director;

/// Adverts are listened for at most this long.
const LONGEST: Duration = Duration::from_secs(10);
/// And at least this long.
const SHORTEST: Duration = Duration::from_secs(2);

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// Which check found it; scripts may rely on it.
    pub check: &'static str,
    /// What it is about, such as a virtual IP.
    pub about: String,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub remedy: String,
}

/// What was found.
#[derive(Debug, Default, Serialize)]
pub struct Findings {
    findings: Vec<Finding>,
}

impl Findings {
    fn add(
        &mut self,
        check: &'static str,
        about: impl Into<String>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let finding = Finding { check, about: about.into(), problem: problem.into(), remedy: remedy.into() };
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.findings.len()
    }

    /// For people.
    pub fn render(&self) -> String {
        let mut text = String::new();
        for Finding { check, about, problem, remedy } in &self.findings {
            let _ = writeln!(text, "{check}: {about}\n  {problem}\n  do: {remedy}");
        }
        if self.findings.is_empty() {
            text.push_str("nothing is wrong\n");
        }
        text
    }
}

/// Looks at everything. `topology` is compared with what is on this host, where it is given.
///
/// # Errors
/// Not root, or no configuration to look at.
pub async fn examine(client: &Client, topology: Option<&Path>) -> anyhow::Result<Findings> {
    if !nix::unistd::geteuid().is_root() {
        bail!("the doctor asks neighbours and reads packet filters: run it as root");
    }
    let mut findings = Findings::default();
    let director = match client.director().await {
        Ok(director) => Some(director),
        Err(error) => {
            let remedy =
                "start it with `systemctl start fairway-director`, and see its log if it does not stay";
            findings.add("director", "fairway-director", format!("it does not answer: {error:#}"), remedy);
            None
        }
    };
    let path = director.as_ref().map_or(fairway_config::DEFAULT_PATH, |director| &director.config_file);
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    let config = Config::from_toml(&text).with_context(|| format!("{path} cannot be used"))?;

    let began = Instant::now();
    let before = client.statistics().await.ok();
    host::examine(&mut findings, &config, topology);
    firewall::examine(&mut findings, &config);
    cluster::ipvs(&mut findings, &config);
    let (own_config, seen) = (config.clone(), director.clone());
    // Sockets are read with time limits, not by the runtime.
    let reached = tokio::task::spawn_blocking(move || {
        let mut findings = Findings::default();
        reach::examine(&mut findings, &own_config, seen.as_ref());
        findings
    });
    findings.findings.extend(reached.await?.findings);
    if let Some(before) = before {
        tokio::time::sleep(listening(&config).saturating_sub(began.elapsed())).await;
        // As it is now: what is only passing is no finding.
        if let (Ok(director), Ok((after, _))) = (client.director().await, client.statistics().await) {
            let listened = began.elapsed();
            cluster::examine(&mut findings, &director);
            cluster::adverts(&mut findings, &director, (&before.0, &after), listened);
        }
    }
    Ok(findings)
}

/// How long adverts are listened for: a backup hears some in this time.
fn listening(config: &Config) -> Duration {
    let instances = config.failover.iter().flat_map(|group| &group.instances);
    let slowest = instances.map(|instance| instance.advert_interval.get()).max().unwrap_or_default();
    (slowest * 4).clamp(SHORTEST, LONGEST)
}

/// The group that has a virtual IP, and its state.
fn holder<'d>(director: Option<&'d Director>, address: &str) -> Option<&'d crate::model::Instance> {
    let instances = director?.groups.iter().flat_map(|group| &group.instances);
    instances.into_iter().find(|instance| {
        instance.virtual_addresses.iter().chain(&instance.excluded_addresses).any(|vip| vip == address)
    })
}
