//! A program on the director exits with status 0.

use std::net::SocketAddr;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::{Advice, Outcome, Stage, cannot_probe, describe};
use crate::program::Program;

/// Programs that run at the same time; thousands of them would not leave the director its turn.
const AT_ONCE: usize = 32;
static RUNNING: Semaphore = Semaphore::const_new(AT_ONCE);

/// What is run.
#[derive(Debug)]
pub(crate) struct Script {
    /// What runs the command with fewer rights, and its arguments; see [`Launcher`](crate::Launcher).
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

pub(super) async fn probe(target: SocketAddr, spec: &Script, stage: &mut Stage) -> Outcome {
    *stage = Stage("running the script");
    // A script that is about no server is told of none.
    let server = (!target.ip().is_unspecified())
        .then(|| [("FAIRWAY_ADDRESS", target.ip().to_string()), ("FAIRWAY_PORT", target.port().to_string())]);
    let environment = server.into_iter().flatten().map(|(name, value)| (name.to_owned(), value)).collect();
    let program =
        Program { launcher: &spec.launcher, command: &spec.command, environment, input: Vec::new() };
    let ended = match program.run().await {
        Ok(ended) => ended,
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return cannot_probe(&error),
        Err(error) => {
            let program = spec.launcher.first().or(spec.command.first()).map_or("nothing", String::as_str);
            return Outcome::Fail(format!("{program} cannot be run: {}", describe(&error)).into());
        }
    };
    match ended.status.code() {
        Some(0) => Outcome::Pass(ended.words().into()),
        Some(code @ 2..=255) if spec.weight => {
            let weight = u32::try_from(code - 2).unwrap_or_default();
            let said = ended.said.map_or_else(String::new, |line| format!(": {line}"));
            Outcome::Advice(Advice::Weight(weight), format!("weight {weight}{said}").into())
        }
        _ => Outcome::Fail(ended.words().into()),
    }
}
