//! What one process leaves the next, so that a restart is no failover: the sockets adverts go through, and a
//! document with the state of each group.
//!
//! The document has a version, and says the oldest version of a reader that can use it. What is only added, with a
//! default, leaves both as they are: older readers do not see it, newer ones do not miss it. A document that cannot
//! be used costs nothing but the memory: VIPs and sockets are then taken for what a crash left.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::linux::fs::MetadataExt as _;
use std::time::{Duration, SystemTime};

use fairway_vrrp::Saved;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::sockets::AdvertSocket;
use crate::descriptors::Named;

/// Of the documents written here.
const VERSION: u32 = 1;
/// The oldest reader that understands them.
const READABLE_BY: u32 = 1;
/// The oldest document that is understood here.
const OLDEST: u32 = 1;

/// Names that descriptors are passed under.
const STATE: &str = "vrrp-state";
const SOCKET: &str = "vrrp-socket";
/// All of them. Their order is part of what processes tell each other.
pub const NAMES: [&str; 4] = [STATE, SOCKET, crate::bfd::STATE, crate::services::STATE];

/// Older state says nothing about now.
const OLDEST_STATE: Duration = Duration::from_secs(60);
/// More is not a document of ours: a thousand instances need a quarter of it.
const LONGEST: u64 = 8 * 1024 * 1024;

/// The state of all groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Document {
    version: u32,
    readable_by: u32,
    /// `CLOCK_MONOTONIC` in microseconds.
    saved_at: u64,
    /// Sockets and interfaces belong to a network namespace; this is its inode.
    network_namespace: u64,
    pub(super) groups: BTreeMap<String, SavedMember>,
}

/// The state of one group, and what the thread knows around it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct SavedMember {
    /// Time of the last transition, in microseconds since the Unix epoch.
    pub(super) since: u64,
    pub(super) machine: Saved,
    /// The thread's counters by the name of the instance.
    #[serde(default)]
    pub(super) counters: BTreeMap<String, BTreeMap<String, u64>>,
    /// Those of the group as a whole.
    #[serde(default)]
    pub(super) shared: BTreeMap<String, u64>,
}

/// What is looked at first.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Versions {
    version: u32,
    readable_by: u32,
}

/// Why a document is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("it is damaged: {0}")]
    Damaged(#[from] serde_json::Error),
    #[error("it is of version {0}, and this release understands {OLDEST} to {VERSION}")]
    Version(u32),
    #[error("it was saved {} s ago, or by another boot", .0.as_secs())]
    Old(Duration),
    #[error("it belongs to another network namespace")]
    Namespace,
}

/// What a predecessor left, sorted.
#[derive(Debug, Default)]
pub(super) struct Inheritance {
    /// The state, and how old it is.
    pub(super) state: Option<(Document, Duration)>,
    pub(super) sockets: Vec<AdvertSocket>,
}

impl Inheritance {
    /// Takes what is of use and closes the rest.
    pub(super) fn take(descriptors: Vec<Named>) -> Self {
        let mut sockets = Vec::new();
        let mut state = None;
        for (name, descriptor) in descriptors {
            match name.as_str() {
                STATE => state = Some(Document::read(descriptor)),
                SOCKET => sockets.push(descriptor),
                _ => tracing::debug!(name, "closing a descriptor of another release"),
            }
        }
        match state {
            None => Self::default(),
            Some(Err(error)) => {
                tracing::warn!(
                    %error,
                    "cannot use the state that the process before left ({error}); virtual IPs stay, and it is taken \
                     for a crash"
                );
                Self::default()
            }
            Some(Ok(state)) => {
                let inherit = |descriptor| {
                    AdvertSocket::inherit(descriptor)
                        .inspect_err(
                            |error| tracing::info!(%error, "cannot use a socket of the process before"),
                        )
                        .ok()
                };
                Self { state: Some(state), sockets: sockets.into_iter().filter_map(inherit).collect() }
            }
        }
    }
}

impl Document {
    pub(super) fn new(groups: BTreeMap<String, SavedMember>) -> io::Result<Self> {
        Ok(Self {
            version: VERSION,
            readable_by: READABLE_BY,
            saved_at: uptime()?,
            network_namespace: network_namespace()?,
            groups,
        })
    }

    /// The descriptor of a memory file with the document in it, ready to be stored.
    pub(super) fn write(&self) -> io::Result<Named> {
        let mut file = File::from(memfd_create(c"fairway-vrrp-state", MFdFlags::MFD_CLOEXEC)?);
        file.write_all(&serde_json::to_vec(self)?)?;
        Ok((STATE.to_owned(), file.into()))
    }

    /// The document, and how long ago it was saved.
    fn read(descriptor: OwnedFd) -> Result<(Self, Duration), Unusable> {
        let mut file = File::from(descriptor);
        let mut text = Vec::new();
        file.rewind()?; // the one who wrote it left the position at its end
        file.take(LONGEST).read_to_end(&mut text)?;
        let document = Self::parse(&text)?;
        if document.network_namespace != network_namespace()? {
            return Err(Unusable::Namespace);
        }
        let now = Duration::from_micros(uptime()?);
        let saved = Duration::from_micros(document.saved_at);
        match now.checked_sub(saved) {
            Some(age) if age <= OLDEST_STATE => Ok((document, age)),
            _ => Err(Unusable::Old(now.abs_diff(saved))),
        }
    }

    fn parse(text: &[u8]) -> Result<Self, Unusable> {
        // Of another version only this much can be relied on.
        let Versions { version, readable_by } = serde_json::from_slice(text)?;
        if readable_by > VERSION || version < OLDEST {
            return Err(Unusable::Version(version));
        }
        Ok(serde_json::from_slice(text)?)
    }
}

/// A socket, ready to be stored.
pub(super) fn socket(socket: &AdvertSocket) -> io::Result<Named> {
    Ok((SOCKET.to_owned(), socket.share()?))
}

/// `CLOCK_MONOTONIC` in microseconds, which is what `Instant` counts.
fn uptime() -> io::Result<u64> {
    let uptime = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC)?);
    u64::try_from(uptime.as_micros()).map_err(io::Error::other)
}

fn network_namespace() -> io::Result<u64> {
    Ok(std::fs::metadata("/proc/thread-self/ns/net")?.st_ino())
}

/// A time of day as it is saved.
pub(super) fn since_epoch(time: SystemTime) -> u64 {
    let length = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(length.as_micros()).unwrap_or_default()
}

/// A time of day as it was saved; now, if it makes no sense.
pub(super) fn time_of_day(micros: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros(micros)).unwrap_or_else(SystemTime::now)
}

#[cfg(test)]
#[path = "tests/passing.rs"]
mod tests;
