//! The operator's command line: a D-Bus client of the director, and on appliances what shows and applies their topology.

mod client;
mod console;
mod doctor;
mod exporter;
mod metrics;
mod model;
mod provision;
mod render;
mod statistics;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};
use fairway_config::provision::State;

use self::client::{Client, Order};

#[derive(Debug, Parser)]
#[command(
    name = "fairwayctl",
    version,
    about = "Control the Fairway director on this host",
    after_help = "Exit codes: 0 done, 1 refused or no director to be reached, 2 wrong usage.\n\
                  The director is looked for on the system bus, or on the bus that\n\
                  DBUS_SYSTEM_BUS_ADDRESS names."
)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show groups, services and servers
    Status {
        /// As JSON, with stable keys
        #[arg(long)]
        json: bool,
    },
    /// Make a group master or backup whatever is heard, or follow the election again
    Force {
        /// Failover group
        group: String,
        /// What it shall be
        state: Force,
    },
    /// Hand the mastership of a group to the best backup
    Failover {
        /// Failover group
        group: String,
    },
    /// Give a server no new connections, and take it out of the table when it has none left
    Drain {
        /// Virtual service
        service: String,
        /// Real server
        server: String,
        /// Take it out after this long, connections or not (for example 5m)
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        deadline: Option<Duration>,
        /// Use it again after this long
        #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
        duration: Option<Duration>,
    },
    /// Take a server out of the table at once
    Disable {
        /// Virtual service
        service: String,
        /// Real server
        server: String,
        /// Use it again after this long
        #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
        duration: Option<Duration>,
    },
    /// Give a server another weight than the configured one
    Weight {
        /// Virtual service
        service: String,
        /// Real server
        server: String,
        /// The weight
        weight: u32,
        /// Go back to the configured weight after this long
        #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
        duration: Option<Duration>,
    },
    /// Take back a drain, disable or weight
    #[command(visible_alias = "resume")]
    Enable {
        /// Virtual service
        service: String,
        /// Real server
        server: String,
    },
    /// Run the checks of a server once, now, and say what they see; the verdict does not change
    Probe {
        /// Virtual service
        service: String,
        /// Real server
        server: String,
        /// This check only
        check: Option<String>,
        /// Print the digests of what an HTTP check gets, for its `digest`
        #[arg(long)]
        print_digest: bool,
    },
    /// Look at the whole way of a packet on this director, and say what is wrong and what to do
    Doctor {
        /// As JSON, with stable keys
        #[arg(long)]
        json: bool,
        /// Compare the files on this host with what this topology makes
        #[arg(long, value_name = "PATH")]
        topology: Option<PathBuf>,
    },
    /// On an appliance: check a topology, show what it changes on all hosts, and put it in force on this one
    Apply {
        /// The topology; - is standard input
        topology: PathBuf,
        /// Only show what would change
        #[arg(long)]
        dry_run: bool,
        /// Do not ask; nobody is asked either where standard input is no terminal
        #[arg(long)]
        yes: bool,
        /// Show every line that changes
        #[arg(long)]
        diff: bool,
        /// Replace the secrets by the files in this directory
        #[arg(long, value_name = "DIR")]
        secrets: Option<PathBuf>,
    },
    /// On an appliance: show which host it is, of which topology, and what was wrong with others
    Provision {
        /// As JSON, with stable keys
        #[arg(long)]
        json: bool,
    },
    /// Show who this machine is and how its services are, refreshed live: the screen of an appliance
    Console {
        /// Show it once
        #[arg(long)]
        once: bool,
    },
    /// Read the configuration again; returns when it is in force
    Reload,
    /// Show counters
    Statistics {
        /// Set the counters of all services, or of the named one, to zero afterwards
        #[arg(long, value_name = "SERVICE", num_args = 0..=1, default_missing_value = "")]
        zero: Option<String>,
        /// As JSON, with stable keys
        #[arg(long)]
        json: bool,
    },
    /// Print everything with a number as OpenMetrics text, for Prometheus
    Metrics {
        /// Answer one HTTP request on standard input, a socket, as fairway-metrics.socket passes it
        #[arg(long)]
        http: bool,
    },
    /// Print what a shell needs to complete these commands
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages, one for each command
    Man {
        /// The directory, which must be there
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Force {
    /// Be master whatever is heard
    Master,
    /// Stay backup
    Backup,
    /// Follow the election
    Auto,
}

impl Force {
    /// As D-Bus spells it.
    fn word(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Backup => "backup",
            Self::Auto => "auto",
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse().verb).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fairwayctl: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(verb: Verb) -> anyhow::Result<()> {
    if let Verb::Metrics { http: true } = verb {
        return exporter::answer().await;
    }
    match verb {
        Verb::Apply { topology, dry_run, yes, diff, secrets } => {
            let options = [("--dry-run", dry_run), ("--yes", yes), ("--diff", diff)];
            let options: Vec<_> = options.iter().filter(|(_, is)| *is).map(|(word, _)| *word).collect();
            return provision::apply(&topology, &options, secrets.as_deref());
        }
        Verb::Provision { json } => {
            let record = provision::read_own()?;
            print(&if json { to_json(&record)? } else { provision::render(&record) })?;
            match record.state {
                State::Ok => return Ok(()),
                State::Refused => bail!("the newest topology is refused"),
                State::None => bail!("there is no topology"),
            }
        }
        Verb::Status { json } => return status(json).await,
        Verb::Console { once } => return console::run(once).await,
        Verb::Completions { shell } => return Ok(print(&completions(shell)?)?),
        Verb::Man { out } => return man(&out),
        _ => {}
    }
    let client = Client::connect().await?;
    match verb {
        // Done already.
        Verb::Status { .. }
        | Verb::Apply { .. }
        | Verb::Provision { .. }
        | Verb::Console { .. }
        | Verb::Completions { .. }
        | Verb::Man { .. } => {}
        Verb::Statistics { json, zero } => {
            let (counters, missing) = client.statistics().await?;
            print(&if json { to_json(&counters)? } else { counters.render() })?;
            if let Some(first) = missing.first() {
                let others = missing.len() - 1;
                bail!("{first}{}", if others > 0 { format!(" (and {others} more)") } else { String::new() });
            }
            if let Some(service) = zero {
                client.zero(&service).await?;
            }
        }
        Verb::Force { group, state } => client.force(&group, state.word()).await?,
        Verb::Failover { group } => client.failover(&group).await?,
        Verb::Drain { service, server, deadline, duration } => {
            client.order(&service, &server, Order { word: "drain", weight: 0, deadline, duration }).await?;
        }
        Verb::Disable { service, server, duration } => {
            let order = Order { word: "disable", weight: 0, deadline: None, duration };
            client.order(&service, &server, order).await?;
        }
        Verb::Weight { service, server, weight, duration } => {
            client
                .order(&service, &server, Order { word: "weight", weight, deadline: None, duration })
                .await?;
        }
        Verb::Enable { service, server } => client.enable(&service, &server).await?,
        Verb::Probe { service, server, check, print_digest } => {
            let check = check.unwrap_or_default();
            if print_digest {
                print(&client.digests(&service, &server, &check).await?)?;
                return Ok(());
            }
            let seen = client.probe(&service, &server, &check).await?;
            print(&render::probes(&seen))?;
            if seen.iter().any(|probe| !probe.passed()) {
                bail!("not every check passes");
            }
        }
        Verb::Doctor { json, topology } => {
            let findings = doctor::examine(&client, topology.as_deref()).await?;
            print(&if json { to_json(&findings)? } else { findings.render() })?;
            match findings.count() {
                0 => {}
                1 => bail!("1 finding"),
                more => bail!("{more} findings"),
            }
        }
        Verb::Reload => client.reload().await?,
        Verb::Metrics { .. } => {
            let (counters, _) = client.statistics().await?;
            print(&metrics::render(Some((&client.director().await?, &counters)))?)?;
        }
    }
    Ok(())
}

/// What the director shows, below what is wrong with the topology. Real servers have no director.
async fn status(json: bool) -> anyhow::Result<()> {
    let record = provision::read()?;
    let asked = async { Client::connect().await?.director().await }.await;
    let director = match (asked, &record) {
        (Ok(director), _) => Some(director),
        (Err(_), Some(record)) if provision::is_no_director(record) => None,
        (Err(error), record) => {
            if let Some(record) = record.as_ref().filter(|_| !json) {
                print(&provision::render(record))?;
            }
            return Err(error);
        }
    };
    let text = match (&director, &record) {
        _ if json => to_json(&provision::Status { director: director.as_ref(), provision: record.as_ref() })?,
        (Some(director), record) => {
            let trouble = record.as_ref().map(provision::trouble).unwrap_or_default();
            trouble + &render::status(director, SystemTime::now())
        }
        (None, Some(record)) => provision::render(record),
        (None, None) => String::new(),
    };
    Ok(print(&text)?)
}

fn completions(shell: clap_complete::Shell) -> anyhow::Result<String> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "fairwayctl", &mut script);
    Ok(String::from_utf8(script)?)
}

fn man(directory: &Path) -> anyhow::Result<()> {
    clap_mangen::generate_to(Arguments::command(), directory)
        .with_context(|| format!("cannot write {}", directory.display()))
}

fn to_json<T: serde::Serialize>(value: &T) -> anyhow::Result<String> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    Ok(text)
}

/// A reader that has seen enough (`fairwayctl status | head`) is no failure.
fn print(text: &str) -> io::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests;
