//! The VRRP thread: sockets, addresses and links around the pure machines of `fairway-vrrp`.
//!
//! | file | what |
//! |---|---|
//! | `thread` | the loop |
//! | `start` | what a process before has left |
//! | `commands` | what operators ask for, reload |
//! | `kernel` | carries out what the machines ask for |
//! | `member` | a machine and what the thread knows about it: sources, counters, status |
//! | `roll` | the machines, and what a turn asks of all of them |
//! | `sockets` | adverts in and out |
//! | `addresses` | where VIPs are and belong; leftovers |
//! | `routes` | routes and rules that move with a group |
//! | `links` | carrier and source addresses |
//! | `picture` | keeps them what the kernel has |
//! | `virtual_mac` | macvlan interfaces with the virtual routers' MAC addresses |
//! | `announce` | gratuitous ARP, neighbour advertisements |
//! | `pacing` | announcements that wait for each other |
//! | `netlink` | the wire form of links and addresses |
//! | `passing` | what one process leaves the next |
//! | `secrets` | passwords and keys |
//! | `link_watch` | links, for the rest of the daemon |
//! | `realtime` | priority, locked memory |

mod addresses;
mod announce;
mod commands;
mod kernel;
mod link_watch;
mod links;
mod member;
mod netlink;
mod pacing;
mod passing;
mod picture;
mod realtime;
mod roll;
mod routes;
mod secrets;
mod settle;
mod sockets;
mod start;
mod thread;
mod virtual_mac;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fairway_config::FailoverGroup;
use tokio::sync::{mpsc, watch};

use crate::descriptors::Named;
use crate::status::{VrrpCommand, VrrpStatus};

pub use link_watch::LinkWatch;
pub use passing::NAMES;
pub(crate) use realtime::raise_priority;
pub use secrets::read_secret;

/// Why the VRRP thread could not start, or why leftovers could not be removed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused something the thread cannot do without.
    #[error("{what}: {source}")]
    System {
        /// What was being done, and what to do about it.
        what: String,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// Leftover addresses could not be removed.
    #[error("cannot remove leftover addresses ({0}); the director needs CAP_NET_ADMIN")]
    Release(String),
    /// Leftover routes or rules could not be removed.
    #[error("cannot remove leftover routes and rules ({0}); the director needs CAP_NET_ADMIN")]
    ReleaseRoutes(String),
    /// Leftover interfaces with virtual MACs could not be removed.
    #[error("cannot remove leftover interfaces ({0}); the director needs CAP_NET_ADMIN")]
    ReleaseVirtualMacs(String),
    /// A password or key cannot be used.
    #[error("instance {instance}: secret file {}: {problem}", .file.display())]
    Secret {
        /// The instance.
        instance: String,
        /// The file.
        file: PathBuf,
        /// What is wrong with it, and what to do.
        problem: String,
    },
}

/// A sign of life of the VRRP loop: set each turn, at least every 500 ms, and read by the watchdog.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    base: Instant,
    /// Milliseconds since `base` on the monotonic clock.
    last: Arc<AtomicU64>,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self { base: Instant::now(), last: Arc::default() }
    }
}

impl Heartbeat {
    /// Records that the loop was alive at `now`.
    fn beat(&self, now: Instant) {
        let millis = now.saturating_duration_since(self.base).as_millis();
        self.last.store(u64::try_from(millis).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How long ago the loop was last known to be alive.
    pub fn age(&self) -> Duration {
        self.base.elapsed().saturating_sub(Duration::from_millis(self.last.load(Ordering::Relaxed)))
    }
}

/// Finds what keeps the groups of a configuration from being run, beyond what `Config::validate` knows: secret
/// files that cannot be used.
///
/// # Errors
/// [`Error::Secret`] for the first of them.
pub fn verify(groups: &[FailoverGroup]) -> Result<(), Error> {
    secrets::load(groups.to_vec()).map(drop)
}

/// Starts the VRRP thread, which goes on with what `inherited` has of a process before. It ends after
/// [`VrrpCommand::Stop`] has been carried out, or, keeping the VIPs where they are, after [`VrrpCommand::PassOn`] or
/// when the sending side of `commands` is gone.
///
/// # Errors
/// [`Error`] when a secret file cannot be used or the kernel refuses a socket or a thread. Missing interfaces
/// and addresses are no errors: the thread waits for them.
pub fn spawn(
    groups: Vec<FailoverGroup>,
    commands: mpsc::UnboundedReceiver<VrrpCommand>,
    status: watch::Sender<VrrpStatus>,
    heartbeat: Heartbeat,
    inherited: Vec<Named>,
) -> Result<JoinHandle<()>, Error> {
    let (news, inbox) = std::sync::mpsc::channel();
    let thread = thread::Thread::new(secrets::load(groups)?, commands, news, heartbeat, inherited)?;
    // The value of a watch channel is behind a lock. This thread waits for its readers, so that VRRP never does;
    // it ends with the VRRP thread.
    start("vrrp-status", move || {
        for changes in inbox {
            status.send_modify(|known| apply(known, changes));
        }
    })?;
    start("vrrp", move || {
        realtime::acquire();
        thread.run();
    })
}

fn apply(known: &mut VrrpStatus, changes: thread::StatusChanges) {
    for (group, status) in changes {
        match status {
            Some(status) => drop(known.insert(group, status)),
            None => drop(known.remove(&group)),
        }
    }
}

fn start(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    let what = || format!("cannot start the {name} thread");
    let builder = std::thread::Builder::new().name(name.to_owned());
    builder.spawn(run).map_err(|source| Error::System { what: what(), source })
}

/// Removes the routes and rules that a dead director left behind: all that carry our tag. Returns how many.
///
/// # Errors
/// [`Error::System`] when routes and rules cannot be read, [`Error::ReleaseRoutes`] with the first that could not be
/// removed; the rest is.
pub fn release_routes() -> Result<usize, Error> {
    let refused = |source| Error::System { what: "cannot read routes and rules".to_owned(), source };
    let mut requests = netlink::Requests::open().map_err(refused)?;
    match routes::release(&mut requests).map_err(refused)? {
        (count, None) => Ok(count),
        (_, Some(refusal)) => Err(Error::ReleaseRoutes(refusal.to_string())),
    }
}

/// Removes the interfaces with virtual MACs that a dead director left behind. Returns how many.
///
/// # Errors
/// [`Error::System`] when links cannot be read, [`Error::ReleaseVirtualMacs`] with those that could not be removed.
pub fn release_virtual_macs() -> Result<usize, Error> {
    let refused = |source| Error::System { what: "cannot read links and addresses".to_owned(), source };
    let mut requests = netlink::Requests::open().map_err(refused)?;
    let links = links::Links::from_dump(requests.dump().map_err(refused)?.events);
    let left = virtual_mac::ours(&links);
    let count = left.len();
    let stay = virtual_mac::delete(&mut requests, left.into_iter());
    if stay.is_empty() {
        return Ok(count);
    }
    let text = |(name, refusal): &(String, netlink::Refusal)| format!("{name}: {refusal}");
    Err(Error::ReleaseVirtualMacs(stay.iter().map(text).collect::<Vec<_>>().join("; ")))
}

/// Removes what a dead director left behind: every address that carries our tag, and the VIPs of `groups` on
/// their interfaces and on `lo`. Returns how many addresses were removed.
///
/// # Errors
/// [`Error::System`] when links and addresses cannot be read, [`Error::Release`] with everything that could not
/// be removed; the rest is.
pub fn release(groups: &[FailoverGroup]) -> Result<usize, Error> {
    let refused = |source| Error::System { what: "cannot read links and addresses".to_owned(), source };
    let mut requests = netlink::Requests::open().map_err(refused)?;
    let links = links::Links::from_dump(requests.dump().map_err(refused)?.events);
    let leftovers = addresses::leftovers(&links, groups, true);
    let count = leftovers.len();
    let failures = addresses::apply(&mut requests, leftovers, &links);
    if failures.is_empty() {
        return Ok(count);
    }
    let text = |failure: &addresses::Failure| {
        format!("{} on {}: {}", failure.change.address, links.name(failure.change.index), failure.refusal)
    };
    Err(Error::Release(failures.iter().map(text).collect::<Vec<_>>().join("; ")))
}
