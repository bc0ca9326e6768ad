//! BFD sessions: a thread with sockets and a clock around the pure machines of `fairway-bfd`.
//!
//! | file | what |
//! |---|---|
//! | `thread` | the loop |
//! | `running` | a machine and what the thread knows about it |
//! | `sockets` | packets in and out |
//! | `passing` | what one process leaves the next |
//!
//! A thread of its own, because a session may count in tens of milliseconds: neither health checks nor D-Bus may hold it
//! up, and it may not hold up VRRP.

mod passing;
mod running;
mod sockets;
mod thread;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

use fairway_config::{AdminDown, BfdKey, BfdSession};
use fairway_health::{Outcome, Paths};
use tokio::sync::{mpsc, watch};

use crate::descriptors::Named;
use crate::status::{Reply, Statistics};

pub use passing::STATE;

/// What the thread publishes: one entry per session.
pub type BfdStatus = BTreeMap<BfdKey, SessionStatus>;

/// A session as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionStatus {
    /// `admin-down`, `down`, `init` or `up`.
    pub state: &'static str,
    /// The state that the neighbour told last.
    pub remote_state: &'static str,
    /// Why the session was last taken down.
    pub diagnostic: &'static str,
    /// Why the neighbour last took it down.
    pub remote_diagnostic: &'static str,
    /// Our name for the session.
    pub discriminator: u32,
    /// The neighbour's; 0 while it is not heard.
    pub remote_discriminator: u32,
    /// Time between our packets, in microseconds, before jitter.
    pub transmit_interval_us: u64,
    /// After how long a silence the neighbour counts as gone, in microseconds; 0 while it is unknown.
    pub detection_time_us: u64,
    /// What that means for those who depend on it.
    pub finding: Finding,
}

/// What a session means for those who depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// It has just begun, or is about to end: nothing can be said.
    Unknown,
    /// The neighbour is reached.
    Up,
    /// It is not.
    Down,
    /// It has switched BFD off.
    AdminDown,
}

/// Requests to the thread.
#[derive(Debug)]
pub enum BfdCommand {
    /// Have these sessions and no others. Those that are known keep their state.
    Configure { sessions: BTreeMap<BfdKey, BfdSession> },
    /// Counters of one session.
    Statistics { key: BfdKey, reply: Reply<Statistics> },
    /// Take all sessions down and tell the neighbours that this is no failure, then answer.
    Stop { reply: Reply<()> },
    /// Let another process go on from here.
    PassOn { reply: Reply<Vec<Named>> },
}

/// Starts the thread, which goes on with what `inherited` has of a process before. It ends after [`BfdCommand::Stop`] or
/// [`BfdCommand::PassOn`] has been carried out, or when the sending side of `commands` is gone.
///
/// # Errors
/// The kernel refuses a thread. Ports that are taken and interfaces that are missing are no errors: the thread waits
/// for them.
pub fn spawn(
    sessions: BTreeMap<BfdKey, BfdSession>,
    commands: mpsc::UnboundedReceiver<BfdCommand>,
    status: watch::Sender<BfdStatus>,
    inherited: Vec<Named>,
) -> io::Result<()> {
    let thread = thread::Thread::new(commands, status, passing::read(inherited))?;
    let builder = std::thread::Builder::new().name("bfd".to_owned());
    builder.spawn(move || thread.run(sessions)).map(drop)
}

/// What a session says about its neighbour.
pub fn outcome(key: &BfdKey, status: &BfdStatus, admin_down: AdminDown) -> Outcome {
    let neighbour = key.neighbour;
    let Some(session) = status.get(key) else {
        return Outcome::Inconclusive(format!("the session with {neighbour} has not begun").into());
    };
    match (session.finding, admin_down) {
        (Finding::Up, _) => Outcome::Pass(format!("the session with {neighbour} is up").into()),
        (Finding::Unknown, _) => {
            Outcome::Inconclusive(format!("nothing is known yet of the session with {neighbour}").into())
        }
        (Finding::AdminDown, AdminDown::Hold) => {
            Outcome::Inconclusive(format!("{neighbour} has switched BFD off").into())
        }
        (Finding::AdminDown, AdminDown::Fail) => {
            Outcome::Fail(format!("{neighbour} has switched BFD off").into())
        }
        (Finding::Down, _) => {
            Outcome::Fail(format!("the session with {neighbour} is down: {}", session.diagnostic).into())
        }
    }
}

/// What sessions say about real servers, for health checks. A server that has switched BFD off wants to be taken for
/// down.
pub fn paths(mut status: watch::Receiver<BfdStatus>) -> Paths {
    let (sender, paths) = Paths::new();
    tokio::spawn(async move {
        loop {
            let outcomes: BTreeMap<IpAddr, Outcome> = {
                let status = status.borrow_and_update();
                let plain = status.keys().filter(|key| key.interface.is_none());
                plain.map(|key| (key.neighbour, outcome(key, &status, AdminDown::Fail))).collect()
            };
            sender.send_if_modified(|known| {
                let differs = *known != outcomes;
                *known = outcomes;
                differs
            });
            if status.changed().await.is_err() {
                return;
            }
        }
    });
    paths
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::status::Handle;

    #[tokio::test]
    async fn a_thread_without_sessions_obeys() {
        let (handle, commands) = Handle::new();
        let (status, _published) = watch::channel(BfdStatus::new());
        spawn(BTreeMap::new(), commands, status, Vec::new()).unwrap();
        // It has settled down to wait for a command by then, or hears this one before; it must obey in either case.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let stopped = handle.ask(|reply| BfdCommand::Stop { reply });
        tokio::time::timeout(Duration::from_secs(30), stopped).await.expect("an answer").unwrap();
    }
}
