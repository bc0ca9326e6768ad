//! What is promised: 2,000 services with 50 real servers each over 200 hosts are checked and rendered in 2 seconds
//! and 500 MB, and ten times the services take twelve times as long at most. Fails if that is not so.

mod cluster;

use std::process::{Command, ExitCode};
use std::time::Instant;

const LONGEST_SECONDS: f64 = 2.0;
const MOST_MEGABYTES: f64 = 500.0;
const STEEPEST: f64 = 12.0;

/// Generates once and prints the seconds and megabytes it took, in a process of its own as the command does.
fn once(services: &str) -> Option<()> {
    let text = cluster::topology(services.parse().ok()?, 200);
    let start = Instant::now();
    cluster::generate(&text);
    let seconds = start.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: f64 = peak.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    println!("{seconds} {}", kilobytes / 1024.0);
    Some(())
}

/// Seconds and megabytes of one run.
fn run(services: usize) -> Option<(f64, f64)> {
    let this = std::env::current_exe().ok()?;
    let output = Command::new(this).args(["--once", &services.to_string()]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (seconds, megabytes) = text.trim().split_once(' ')?;
    Some((seconds.parse().ok()?, megabytes.parse().ok()?))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, services] = arguments.as_slice()
        && flag == "--once"
    {
        return if once(services).is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("limits are for optimised builds: run cargo bench");
        return ExitCode::SUCCESS;
    }
    let (mut small, mut big, mut ratios, mut megabytes) = (Vec::new(), Vec::new(), Vec::new(), 0.0);
    for _ in 0..9 {
        // One after the other, so that other work on the machine is about the same for both.
        let (Some((short, _)), Some((long, peak))) = (run(200), run(2000)) else {
            eprintln!("a run failed");
            return ExitCode::FAILURE;
        };
        small.push(short);
        big.push(long);
        ratios.push(long / short);
        megabytes = f64::max(megabytes, peak);
    }
    let (small, big, ratio) = (median(small), median(big), median(ratios));
    println!("200 services: {small:.3} s; 2000 services: {big:.3} s (at most {LONGEST_SECONDS} s)");
    println!(
        "ratio: {ratio:.1} (at most {STEEPEST}); memory: {megabytes:.0} MB (at most {MOST_MEGABYTES} MB)"
    );
    if big <= LONGEST_SECONDS && ratio <= STEEPEST && megabytes <= MOST_MEGABYTES {
        ExitCode::SUCCESS
    } else {
        eprintln!("a limit is broken");
        ExitCode::FAILURE
    }
}
