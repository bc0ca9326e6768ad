//! The director daemon: VRRP, IPVS and health checks under D-Bus control.

mod bfd;
mod bus;
mod config;
mod descriptors;
mod exec;
mod inbox;
mod lock;
mod log;
mod memory;
mod notifications;
mod notify;
mod release;
mod reload;
mod run;
mod services;
mod status;
mod summary;
mod sync;
mod table;
mod takeover;
mod track;
mod vrrp;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// `EX_CONFIG` of sysexits.h: restarting does not help, a new configuration does.
const CONFIG_UNUSABLE: u8 = 78;

/// The director of a Fairway cluster: VRRP, IPVS and health checks
#[derive(Debug, Parser)]
#[command(
    name = "fairway-director",
    version,
    after_help = "Signals (run): SIGTERM, SIGINT hand over and stop; SIGHUP reads the configuration again;\n\
                  SIGUSR1 exits and leaves virtual IPs and IPVS to the next director.\n\
                  Exit codes: 0 done, 1 failed, 2 wrong usage, 78 the configuration cannot be used."
)]
struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// The configuration
    #[arg(long, global = true, value_name = "PATH", default_value = fairway_config::DEFAULT_PATH)]
    config: PathBuf,
    /// What to log: error, warn, info, debug, trace, or a filter as RUST_LOG takes it [default: $RUST_LOG or info]
    #[arg(long, global = true, value_name = "FILTER")]
    log_level: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
enum Verb {
    /// Run the director (the default)
    Run {
        /// Take VRRP sockets and state from the director that runs, which ends, so that nobody else takes over: a
        /// restart without systemd
        #[arg(long)]
        take_over: bool,
    },
    /// Say whether the configuration can be used, and change nothing
    Check,
    /// Remove what a dead director left: virtual IPs and IPVS services
    Release,
    /// Give up all rights and run a script (the director uses this itself)
    #[command(hide = true)]
    Exec {
        /// The program and its arguments
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // It logs nothing and needs no thread for that.
    if let Some(Verb::Exec { command }) = &arguments.verb {
        return exec::run_script(command).unwrap_or_else(|error| {
            eprintln!("fairway-director: {}", with_causes(&error));
            ExitCode::FAILURE
        });
    }
    let (log, events) = match log::init(arguments.log_level.as_deref()) {
        Ok(started) => started,
        Err(error) => {
            eprintln!("fairway-director: {error:#}");
            return ExitCode::from(2);
        }
    };
    let verb = arguments.verb.unwrap_or(Verb::Run { take_over: false });
    let result = match &verb {
        Verb::Run { take_over } => run::run(&arguments.config, *take_over, events),
        Verb::Check => config::load(&arguments.config, None)
            .map(|_| println!("{}: valid", arguments.config.display()))
            .map_err(anyhow::Error::from),
        Verb::Exec { .. } => Ok(()), // has been done
        Verb::Release => release::release(&arguments.config),
    };
    let Err(error) = result else { return ExitCode::SUCCESS };
    if matches!(verb, Verb::Run { .. }) {
        tracing::error!("{}", with_causes(&error));
    } else {
        eprintln!("fairway-director: {}", with_causes(&error));
    }
    drop(log);
    if error.is::<config::Error>() { ExitCode::from(CONFIG_UNUSABLE) } else { ExitCode::FAILURE }
}

/// The error and its causes; a cause that an error already tells is not told again.
fn with_causes(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}
