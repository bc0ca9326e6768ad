//! The command line of `fairway-gen`.

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let failure = cli.failure();
    match cli.run() {
        Ok(code) => code,
        Err(cli::Error::Topology(report)) => {
            cli::print_report(&report);
            failure
        }
        Err(error) => {
            eprintln!("fairway-gen: {error}");
            failure
        }
    }
}
