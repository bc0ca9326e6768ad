//! What one process leaves the next, so that neighbours see nothing of a restart: a document with the sessions. The
//! rules of its versions are those of the VRRP state.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::net::IpAddr;
use std::time::Duration;

use fairway_bfd::Saved;
use fairway_config::{BfdKey, IfName};
use nix::sys::memfd::{MFdFlags, memfd_create};
use serde::{Deserialize, Serialize};

use crate::descriptors::{Named, uptime};

/// The name it is passed under.
pub const STATE: &str = "bfd-state";

const VERSION: u32 = 1;
/// Neighbours wait for a few seconds; older sessions are gone on their side.
const OLDEST: Duration = Duration::from_secs(10);
/// More is not a document of ours.
const LONGEST: u64 = 8 * 1024 * 1024;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Document {
    /// Readers of another version begin anew, which costs a session its state and nothing else.
    version: u32,
    /// `CLOCK_MONOTONIC` in milliseconds.
    saved_at: u64,
    sessions: Vec<SavedSession>,
}

/// A session, and what the thread knows around it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct SavedSession {
    neighbour: IpAddr,
    interface: Option<IfName>,
    /// What its packets were sent from.
    pub(super) port: u16,
    pub(super) machine: Saved,
}

impl SavedSession {
    pub(super) fn new(key: &BfdKey, port: u16, machine: Saved) -> Self {
        Self { neighbour: key.neighbour, interface: key.interface.clone(), port, machine }
    }

    pub(super) fn key(&self) -> BfdKey {
        BfdKey { neighbour: self.neighbour, interface: self.interface.clone() }
    }
}

/// A memory file with the sessions in it.
pub(super) fn write(sessions: Vec<SavedSession>) -> io::Result<Named> {
    let document = Document { version: VERSION, saved_at: uptime()?, sessions };
    let mut file = File::from(memfd_create(c"fairway-bfd-state", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(&serde_json::to_vec(&document)?)?;
    Ok((STATE.to_owned(), file.into()))
}

/// The sessions of the process before, if it left them a moment ago.
pub(super) fn read(descriptors: Vec<Named>) -> Vec<SavedSession> {
    let mut sessions = Vec::new();
    for (_, descriptor) in descriptors {
        match parse(File::from(descriptor)) {
            Ok(found) => sessions = found,
            Err(error) => tracing::warn!(
                %error,
                "cannot use the BFD sessions that the process before left ({error}); they begin anew"
            ),
        }
    }
    sessions
}

fn parse(mut file: File) -> io::Result<Vec<SavedSession>> {
    let mut text = Vec::new();
    file.rewind()?; // the one who wrote it left the position at its end
    file.take(LONGEST).read_to_end(&mut text)?;
    let document: Document = serde_json::from_slice(&text)?;
    if document.version != VERSION {
        return Err(io::Error::other(format!("they are of version {}, not {VERSION}", document.version)));
    }
    match uptime()?.checked_sub(document.saved_at).map(Duration::from_millis) {
        Some(age) if age <= OLDEST => Ok(document.sessions),
        _ => Err(io::Error::other("they were saved too long ago, or by another boot")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Vec<Named> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        vec![(STATE.to_owned(), file.into())]
    }

    fn session() -> SavedSession {
        let now = std::time::Instant::now();
        let config = fairway_bfd::Config {
            min_tx: Duration::from_millis(50),
            min_rx: Duration::from_millis(50),
            multiplier: 3,
            passive: false,
        };
        let machine = fairway_bfd::Session::new(now, config, 7, 1);
        let key = BfdKey { neighbour: "fe80::1".parse().unwrap(), interface: Some("eth0".parse().unwrap()) };
        SavedSession::new(&key, 50000, machine.save())
    }

    #[test]
    fn sessions_go_from_one_process_to_the_next() {
        let written = write(vec![session()]).unwrap();
        assert_eq!(written.0, STATE);
        assert_eq!(read(vec![written]), [session()]);
    }

    #[test]
    fn what_is_no_document_of_a_moment_ago_is_left() {
        let document = |version: u32, saved_at: u64| {
            serde_json::to_string(&Document { version, saved_at, sessions: vec![session()] }).unwrap()
        };
        let now = uptime().unwrap();
        assert_eq!(read(file(&document(VERSION, now))).len(), 1);
        for text in [&document(2, now), &document(VERSION, now + 60_000), "{", ""] {
            assert_eq!(read(file(text)), [], "{text}");
        }
    }
}
