//! The program: `fairway-provision boot`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use fairway_provision::places::Places;
use fairway_provision::{boot, tell};

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
}

fn main() -> ExitCode {
    let Arguments { root, medium, verb } = Arguments::parse();
    let places = Places::new(root, medium);
    match verb {
        Verb::Boot => {
            let record = boot::boot(&places);
            tell::tell(&places, &record);
            if let Err(error) = tell::write_record(&places, &record) {
                eprintln!("fairway-provision: {error}");
            }
            if record.source.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
    }
}
