//! A program on the director exits with status 0.
//!
//! It gets a process group of its own, which is killed with all that is in it at the timeout, when the check is
//! stopped, and when the program has ended and left something behind.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{Advice, Outcome, Stage, cannot_probe, describe};

/// Programs that run at the same time; thousands of them would not leave the director its turn.
const AT_ONCE: usize = 32;
static RUNNING: Semaphore = Semaphore::const_new(AT_ONCE);

/// The first bytes of the output that are kept; the rest is read and dropped.
const OUTPUT: usize = 512;

/// What is run.
#[derive(Debug)]
pub(crate) struct Script {
    /// What runs the command with fewer rights, and its arguments; empty: nothing.
    pub(crate) launcher: Vec<String>,
    /// The program and its arguments.
    pub(crate) command: Vec<String>,
    /// Whether exit statuses from 2 on are weights.
    pub(crate) weight: bool,
}

/// Waits for its turn. Not part of the probe: waiting is not held against the server.
pub(super) async fn turn() -> Option<SemaphorePermit<'static>> {
    RUNNING.acquire().await.ok()
}

/// Kills a process group when it goes out of scope.
struct Group(Pid);

impl Drop for Group {
    fn drop(&mut self) {
        // Gone already, most of the time.
        let _gone = killpg(self.0, Signal::SIGKILL);
    }
}

pub(super) async fn probe(target: SocketAddr, spec: &Script, stage: &mut Stage) -> Outcome {
    *stage = Stage("running the script");
    let mut words = spec.launcher.iter().chain(&spec.command);
    let Some(program) = words.next() else {
        return Outcome::Inconclusive("there is nothing to run".into());
    };
    // A script that is about no server is told of none.
    let server = (!target.ip().is_unspecified())
        .then(|| [("FAIRWAY_ADDRESS", target.ip().to_string()), ("FAIRWAY_PORT", target.port().to_string())]);
    let spawned = Command::new(program)
        .args(words)
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/run/current-system/sw/bin",
        )
        .env("LANG", "C.UTF-8")
        .envs(server.into_iter().flatten())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return cannot_probe(&error),
        Err(error) => {
            return Outcome::Fail(format!("{program} cannot be run: {}", describe(&error)).into());
        }
    };
    let group = child.id().and_then(|id| i32::try_from(id).ok()).map(|id| Group(Pid::from_raw(id)));
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (mut said, mut complained) = (Vec::new(), Vec::new());
    let reading = async {
        tokio::join!(read(stdout, &mut said), read(stderr, &mut complained));
        // Closing its output does not end a program.
        std::future::pending::<Infallible>().await
    };
    let ended = tokio::select! {
        // First what it has said, then how it ended.
        biased;
        never = reading => match never {},
        ended = child.wait() => ended,
    };
    drop(group);
    let said = line(&said).or_else(|| line(&complained)).map_or_else(String::new, |line| format!(": {line}"));
    match ended {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(0), _) => Outcome::Pass(format!("exit status 0{said}").into()),
            (Some(code @ 2..=255), _) if spec.weight => {
                let weight = u32::try_from(code - 2).unwrap_or_default();
                Outcome::Advice(Advice::Weight(weight), format!("weight {weight}{said}").into())
            }
            (Some(code), _) => Outcome::Fail(format!("exit status {code}{said}").into()),
            (None, Some(signal)) => Outcome::Fail(format!("killed by signal {signal}{said}").into()),
            (None, None) => Outcome::Fail("ended without an exit status".into()),
        },
        Err(error) => cannot_probe(&error),
    }
}

/// Reads to the end and keeps the beginning.
async fn read(from: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut from) = from else { return };
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        kept.extend_from_slice(&buffer[..count.min(OUTPUT - kept.len())]);
    }
}

/// The first line, for people.
fn line(output: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(output);
    let line: String = text.trim().lines().next()?.chars().filter(|c| !c.is_control()).take(120).collect();
    (!line.is_empty()).then_some(line)
}
