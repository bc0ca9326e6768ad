//! What checking costs: checks N addresses for a while, each every so many seconds, against a server in another process,
//! and prints the processor time and the memory that the checking process used. Checks run on one thread, as in the
//! director.
//!
//! ```text
//! cargo run --profile dist -p fairway-health --example load -- 1000 [tcp|http] [EVERY]
//! for n in 100 1000 10000; do cargo run --profile dist -p fairway-health --example load -- $n tcp 5; done
//! ```

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fairway_config::{Check, HttpCheck, Period, TcpCheck};
use fairway_health::{Health, Launcher, Monitor, Spec, Subject};
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::sys::time::TimeValLike;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Rounds that are measured: each check is made so often.
const ROUNDS: u64 = 10;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    let mut arguments = std::env::args().skip(1);
    let count = arguments.next().unwrap_or_else(|| "1000".to_owned());
    if count == "serve" {
        return serve().await;
    }
    let http = arguments.next().is_some_and(|kind| kind == "http");
    let every = arguments.next().map_or(Ok(1), |every| every.parse())?;
    let mut server = Command::new(std::env::current_exe()?).arg("serve").stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(server.stdout.take().ok_or("no output")?).read_line(&mut line)?;
    let result = load(count.parse()?, http, every, line.trim().parse()?).await;
    server.kill()?;
    server.wait()?;
    result
}

/// One check of each of `count` addresses every `every` seconds.
async fn load(count: u32, http: bool, every: u64, port: u16) -> Result<(), Box<dyn Error>> {
    let check = Check {
        every: Period::from_secs(every),
        timeout: Period::from_millis(900),
        tcp: (!http).then(TcpCheck::default),
        http: http.then(HttpCheck::default),
        ..Check::default()
    };
    let spec = Arc::new(Spec::new(&check, &Launcher::default())?);
    let first = u32::from(Ipv4Addr::new(127, 1, 0, 1));
    let subjects = (0..count)
        .map(|n| Subject::new(SocketAddr::new(Ipv4Addr::from(first + n).into(), port), spec.clone()))
        .collect::<Result<Vec<_>, _>>()?;
    let (start, before) = (Instant::now(), processor_ms()?);
    let (mut monitor, mut reports) = Monitor::new(tokio::runtime::Handle::current());
    monitor.watch(&subjects);
    let mut up = 0;
    while up < count {
        let report = reports.recv().await.ok_or("the monitor has ended")?;
        up += u32::from(report.verdict.health == Health::Up);
    }
    println!("all {count} up after {:?}, {} ms of processor time", start.elapsed(), processor_ms()? - before);
    // They join their grid: the second check of each comes within one and a half rounds.
    tokio::time::sleep(Duration::from_secs(2 * every)).await;
    let (start, before) = (Instant::now(), processor_ms()?);
    let (end, mut changes) = (start + Duration::from_secs(ROUNDS * every), 0);
    // A server that cannot keep up shows here.
    while tokio::time::timeout_at(end.into(), reports.recv()).await.is_ok_and(|report| report.is_some()) {
        changes += 1;
    }
    let (wall, used) = (start.elapsed(), processor_ms()? - before);
    let share = used as f64 / wall.as_millis() as f64;
    println!(
        "{count} checks every {every} s: {:.2} % of a processor, {:.0} us a check, {changes} changes reported, {}",
        share * 100.0,
        share * 1e6 * every as f64 / f64::from(count),
        resident()?
    );
    Ok(())
}

/// The memory of this process.
fn resident() -> Result<String, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(format!("RSS {}", line.trim()))
}

/// Processor time of this process so far, in milliseconds.
fn processor_ms() -> nix::Result<i64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    Ok(usage.user_time().num_milliseconds() + usage.system_time().num_milliseconds())
}

/// Answers every connection on every loopback address; prints its port.
async fn serve() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("0.0.0.0:0").await?;
    println!("{}", listener.local_addr()?.port());
    loop {
        // A check may have reset the connection before it was accepted.
        let Ok((mut stream, _)) = listener.accept().await else { continue };
        tokio::spawn(async move {
            let mut request = [0; 1024];
            if stream.read(&mut request).await.is_ok_and(|n| n > 0) {
                let _gone = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            }
        });
    }
}
