//! The program: `fairway-provision boot`, `fairway-provision apply`.

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use clap::{CommandFactory as _, Parser, Subcommand};
use fairway_config::provision::Provision;
use fairway_provision::apply::{Wish, apply};
use fairway_provision::places::Places;
use fairway_provision::{boot, lease, machine, tell};

/// Makes an appliance the host of its topology that it is.
#[derive(Debug, Parser)]
#[command(name = "fairway-provision", version, about)]
struct Arguments {
    /// Work below this directory as if it were the root; nothing is mounted or started
    #[arg(long, value_name = "DIR", default_value = "/", global = true)]
    root: PathBuf,
    /// A directory that stands for the file system labelled FAIRWAY
    #[arg(long, value_name = "DIR", global = true)]
    medium: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Put the newest good topology in force: from the credential fairway.topology, the file system labelled FAIRWAY, or
    /// the copy of the last good one; exit 1 if there is none
    Boot,
    /// Where nothing is in force, try again with the names that DHCP servers have given
    Lease,
    /// Check a topology, show what it changes on all hosts, and put it in force on this one, without a restart; if
    /// anything refuses it, the one before stays
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
    /// Write the manual pages, one for each command
    Man {
        /// The directory, which must be there
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

fn main() -> ExitCode {
    let Arguments { root, medium, verb } = Arguments::parse();
    let places = Places::new(root, medium);
    let machine = places.is_machine();
    let mut run = |words: &[&str]| if machine { run(words) } else { Ok(()) };
    match verb {
        Verb::Boot => {
            let record = report(&places, boot::boot(&places));
            if record.source.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        // That the name is no host's is told, and no failure: the next lease may have another.
        Verb::Lease => {
            if let Some(record) = lease::provision(&places, &mut run) {
                report(&places, record);
            }
            ExitCode::SUCCESS
        }
        Verb::Apply { topology, dry_run, yes, diff, secrets } => {
            let wish = Wish { topology, secrets, dry_run, yes, diff };
            exit(apply(&places, &wish, &mut run))
        }
        Verb::Man { out } => exit(clap_mangen::generate_to(Arguments::command(), out).map_err(Into::into)),
    }
}

/// Calls the machine what it is, and tells what has come of it.
fn report(places: &Places, mut record: Provision) -> Provision {
    if places.is_machine() {
        record.warnings.extend(machine::call(&record.host).err());
    }
    tell::tell(places, &record);
    if let Err(error) = tell::write_record(places, &record) {
        eprintln!("fairway-provision: {error}");
    }
    record
}

fn exit(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fairway-provision: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a command; what it says when it fails is the error.
fn run(words: &[&str]) -> Result<(), String> {
    let done = Command::new(words[0]).args(&words[1..]).stdin(Stdio::null()).output();
    let done = done.map_err(|error| error.to_string())?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(if done.stderr.is_empty() { &done.stdout } else { &done.stderr });
    Err(match said.trim() {
        "" => done.status.to_string(),
        said => said.to_owned(),
    })
}
