//! Reads and writes the kernel's IPVS table through the crate, in the words of `ipvsadm`.
//!
//! ```text
//! ipvs-table dump                     the table as `ipvsadm -Sn` prints it, with thresholds (-x, -y)
//! ipvs-table apply [--all] < FILE     make the table FILE (same form); other services stay, or go with --all
//! ipvs-table plan [--all] < FILE      the operations that apply would carry out
//! ipvs-table info                     version
//! ipvs-table timeouts [TCP FIN UDP]   connection timeouts in seconds; 0 leaves one as it is
//! ipvs-table statistics               counters of every service and server
//! ipvs-table bench SERVICES SERVERS   times of loading and reading so many
//! ```
//!
//! Exit code 1: the kernel refused something, which is on stderr; 2: bad arguments or input.

mod bench;
mod text;

use std::collections::BTreeSet;
use std::io::Read as _;
use std::num::NonZeroU32;
use std::process::ExitCode;

use fairway_ipvs::{Client, Table, Timeouts, plan};

type Outcome = Result<ExitCode, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        ["dump"] => dump(),
        ["apply"] => apply(false),
        ["apply", "--all"] => apply(true),
        ["plan"] => show_plan(false),
        ["plan", "--all"] => show_plan(true),
        ["info"] => info(),
        ["timeouts"] => show_timeouts(),
        ["timeouts", tcp, fin, udp] => set_timeouts(tcp, fin, udp),
        ["statistics"] => statistics(),
        ["bench", services, servers] => bench::run(services, servers),
        _ => Err("usage: ipvs-table dump|apply|plan|info|timeouts|statistics|bench; see the source".into()),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("ipvs-table: {error}");
        let mut source = error.source();
        while let Some(cause) = source {
            eprintln!("  because: {cause}");
            source = cause.source();
        }
        ExitCode::from(if error.is::<fairway_ipvs::Error>() { 1 } else { 2 })
    })
}

fn dump() -> Outcome {
    print!("{}", text::print(&Client::connect()?.dump()?));
    Ok(ExitCode::SUCCESS)
}

/// Desired from stdin, observed from the kernel, and what is ours.
fn read(
    client: &mut Client,
    all: bool,
) -> Result<(Table, Table, BTreeSet<fairway_ipvs::ServiceKey>), String> {
    let mut input = String::new();
    std::io::stdin().read_to_string(&mut input).map_err(|error| error.to_string())?;
    let desired = text::parse(&input)?;
    let observed = client.dump().map_err(|error| error.to_string())?;
    let owned = if all { observed.keys().chain(desired.keys()).copied().collect() } else { BTreeSet::new() };
    Ok((desired, observed, owned))
}

fn show_plan(all: bool) -> Outcome {
    let (desired, observed, owned) = read(&mut Client::connect()?, all)?;
    for operation in plan(&desired, &observed, &owned) {
        println!("{operation}");
    }
    Ok(ExitCode::SUCCESS)
}

fn apply(all: bool) -> Outcome {
    let mut client = Client::connect()?;
    let (desired, observed, owned) = read(&mut client, all)?;
    let operations = plan(&desired, &observed, &owned);
    let failures = client.apply(&operations)?;
    println!("{} operations, {} refused", operations.len(), failures.len());
    for failure in &failures {
        eprintln!("{failure}");
    }
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn info() -> Outcome {
    println!("{}", Client::connect()?.info()?);
    Ok(ExitCode::SUCCESS)
}

fn show_timeouts() -> Outcome {
    let timeouts = Client::connect()?.timeouts()?;
    let shown = |value: Option<NonZeroU32>| value.map_or(0, NonZeroU32::get);
    println!("{} {} {}", shown(timeouts.tcp), shown(timeouts.tcp_fin), shown(timeouts.udp));
    Ok(ExitCode::SUCCESS)
}

fn set_timeouts(tcp: &str, fin: &str, udp: &str) -> Outcome {
    let timeouts = Timeouts {
        tcp: NonZeroU32::new(tcp.parse()?),
        tcp_fin: NonZeroU32::new(fin.parse()?),
        udp: NonZeroU32::new(udp.parse()?),
    };
    Client::connect()?.set_timeouts(&timeouts)?;
    Ok(ExitCode::SUCCESS)
}

fn statistics() -> Outcome {
    let mut client = Client::connect()?;
    for service in client.services()?.into_keys() {
        let Some(statistics) = client.statistics(&service)? else { continue };
        println!("{service} {:?}", statistics.service);
        for (key, counters) in statistics.destinations {
            println!("{service} -> {key} {counters:?}");
        }
    }
    Ok(ExitCode::SUCCESS)
}
