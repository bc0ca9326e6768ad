//! The operator's command line, a pure D-Bus client of the director.

mod client;
mod model;
mod render;
mod statistics;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::bail;
use clap::{Parser, Subcommand, ValueEnum};

use self::client::Client;

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
    /// Give a server no new connections
    Drain {
        /// Virtual service
        service: String,
        /// Real server
        server: String,
    },
    /// Undo a drain
    Resume {
        /// Virtual service
        service: String,
        /// Real server
        server: String,
    },
    /// Read the configuration again; returns when it is in force
    Reload,
    /// Show counters
    Statistics {
        /// As JSON, with stable keys
        #[arg(long)]
        json: bool,
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
    let client = Client::connect().await?;
    match verb {
        Verb::Status { json } => {
            let director = client.director().await?;
            let text = if json { to_json(&director)? } else { render::status(&director, SystemTime::now()) };
            print(&text)?;
        }
        Verb::Statistics { json } => {
            let (counters, missing) = client.statistics().await?;
            print(&if json { to_json(&counters)? } else { counters.render() })?;
            if let Some(first) = missing.first() {
                let others = missing.len() - 1;
                bail!("{first}{}", if others > 0 { format!(" (and {others} more)") } else { String::new() });
            }
        }
        Verb::Force { group, state } => client.force(&group, state.word()).await?,
        Verb::Failover { group } => client.failover(&group).await?,
        Verb::Drain { service, server } => client.drain(&service, &server).await?,
        Verb::Resume { service, server } => client.resume(&service, &server).await?,
        Verb::Reload => client.reload().await?,
    }
    Ok(())
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
