//! What one process leaves the next of what it knows of servers, so that a restart is none for their clients: a server
//! that was down does not get its chance of a new one, and one that starts slowly goes on where it was.
//!
//! The rules of the document's versions are those of the VRRP state. Without one, servers in the kernel's table keep
//! their weight until their first verdict.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::time::Duration;

use fairway_health::{Advice, Health, Verdict};
use nix::sys::memfd::{MFdFlags, memfd_create};
use serde::{Deserialize, Serialize};

use super::desired::QuorumState;
use crate::descriptors::{Named, uptime};

/// The name it is passed under.
pub const STATE: &str = "health-state";

const VERSION: u32 = 1;
/// Older verdicts say nothing about now.
const OLDEST: Duration = Duration::from_secs(60);
/// More is not a document of ours: ten thousand servers need a twentieth of it.
const LONGEST: u64 = 32 * 1024 * 1024;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Document {
    version: u32,
    /// `CLOCK_MONOTONIC` in milliseconds.
    saved_at: u64,
    #[serde(flatten)]
    saved: Saved,
}

/// What is known of servers and services.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Saved {
    /// By [`fairway_health::Subject::fingerprint`]. What has no verdict is not there.
    #[serde(default)]
    pub(super) checks: BTreeMap<String, SavedVerdict>,
    /// By the service's name. What is not known is not there.
    #[serde(default)]
    pub(super) quorums: BTreeMap<String, Quorum>,
    /// For how many milliseconds servers have been starting slowly, by service and server.
    #[serde(default)]
    pub(super) rising: BTreeMap<String, BTreeMap<String, u64>>,
}

/// A check's verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct SavedVerdict {
    up: bool,
    detail: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    percent: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weight: Option<u32>,
}

/// A service's quorum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Quorum {
    Up,
    Down,
}

impl Quorum {
    pub(super) fn of(state: QuorumState) -> Option<Self> {
        match state {
            QuorumState::Unknown => None,
            QuorumState::Up => Some(Self::Up),
            QuorumState::Down => Some(Self::Down),
        }
    }

    pub(super) fn state(self) -> QuorumState {
        match self {
            Self::Up => QuorumState::Up,
            Self::Down => QuorumState::Down,
        }
    }
}

impl SavedVerdict {
    /// `None`, if there is none yet.
    pub(super) fn of(verdict: &Verdict) -> Option<Self> {
        let up = match verdict.health {
            Health::Unknown => return None,
            Health::Up => true,
            Health::Down => false,
        };
        let (percent, weight) = match verdict.advice {
            None => (None, None),
            Some(Advice::Percent(percent)) => (Some(percent), None),
            Some(Advice::Weight(weight)) => (None, Some(weight)),
        };
        Some(Self { up, detail: verdict.detail.clone(), percent, weight })
    }

    fn verdict(&self) -> Verdict {
        Verdict {
            health: if self.up { Health::Up } else { Health::Down },
            detail: self.detail.clone(),
            advice: self.percent.map(Advice::Percent).or(self.weight.map(Advice::Weight)),
        }
    }
}

impl Saved {
    /// Verdicts of checks, by their subjects' fingerprints.
    pub(super) fn verdicts(&self) -> HashMap<String, Verdict> {
        self.checks.iter().map(|(subject, saved)| (subject.clone(), saved.verdict())).collect()
    }

    /// In a memory file.
    ///
    /// # Errors
    /// No memory.
    pub fn write(self) -> io::Result<Named> {
        let document = Document { version: VERSION, saved_at: uptime()?, saved: self };
        let mut file = File::from(memfd_create(c"fairway-health-state", MFdFlags::MFD_CLOEXEC)?);
        file.write_all(&serde_json::to_vec(&document)?)?;
        Ok((STATE.to_owned(), file.into()))
    }

    /// What the process before left a moment ago; nothing, if it did not.
    pub fn read(descriptors: Vec<Named>) -> Self {
        let mut saved = Self::default();
        for (_, descriptor) in descriptors {
            match parse(File::from(descriptor)) {
                Ok(found) => saved = found,
                Err(error) => tracing::warn!(
                    %error,
                    "cannot use what the process before knew of servers' health; they are checked anew"
                ),
            }
        }
        saved
    }
}

fn parse(mut file: File) -> io::Result<Saved> {
    let mut text = Vec::new();
    file.rewind()?; // the one who wrote it left the position at its end
    file.take(LONGEST).read_to_end(&mut text)?;
    let Document { version, saved_at, mut saved } = serde_json::from_slice(&text)?;
    if version != VERSION {
        return Err(io::Error::other(format!("it is of version {version}, not {VERSION}")));
    }
    let age = uptime()?.checked_sub(saved_at).map(Duration::from_millis);
    let Some(age) = age.filter(|age| *age <= OLDEST) else {
        return Err(io::Error::other("it was saved too long ago, or by another boot"));
    };
    let age = u64::try_from(age.as_millis()).map_err(io::Error::other)?;
    for risen in saved.rising.values_mut().flat_map(BTreeMap::values_mut) {
        *risen = risen.saturating_add(age);
    }
    Ok(saved)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved() -> Saved {
        let verdict = |health, advice| Verdict { health, detail: "as seen".to_owned(), advice };
        let checks = [
            verdict(Health::Up, None),
            verdict(Health::Up, Some(Advice::Percent(50))),
            verdict(Health::Down, Some(Advice::Weight(7))),
        ];
        let names = ["a", "b", "c"].map(str::to_owned);
        let quorums = [QuorumState::Up, QuorumState::Down].map(|state| Quorum::of(state).unwrap());
        Saved {
            checks: names.clone().into_iter().zip(checks.iter().filter_map(SavedVerdict::of)).collect(),
            quorums: names.into_iter().zip(quorums).collect(),
            rising: BTreeMap::from([("web".to_owned(), BTreeMap::from([("web1".to_owned(), 12_000)]))]),
        }
    }

    fn file(text: &str) -> Vec<Named> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        vec![(STATE.to_owned(), file.into())]
    }

    #[test]
    fn what_is_known_goes_from_one_process_to_the_next() {
        let written = saved().write().unwrap();
        assert_eq!(written.0, STATE);
        let read = Saved::read(vec![written]);
        assert_eq!((&read.checks, &read.quorums), (&saved().checks, &saved().quorums));
        assert!(read.rising["web"]["web1"] >= 12_000);
        assert_eq!(read.verdicts()["b"].advice, Some(Advice::Percent(50)));
        assert_eq!(
            (read.verdicts()["c"].health, read.verdicts()["c"].advice),
            (Health::Down, Some(Advice::Weight(7)))
        );
        assert_eq!(
            (read.quorums["a"].state(), read.quorums["b"].state()),
            (QuorumState::Up, QuorumState::Down)
        );
        assert_eq!(SavedVerdict::of(&Verdict::default()), None, "what is not known is not told");
    }

    #[test]
    fn what_is_no_document_of_a_moment_ago_is_left() {
        let document = |version: u32, saved_at: u64| {
            serde_json::to_string(&Document { version, saved_at, saved: saved() }).unwrap()
        };
        let now = uptime().unwrap();
        assert_eq!(Saved::read(file(&document(VERSION, now))).checks, saved().checks);
        // Of a later release, which knows more.
        let more = document(VERSION, now).replacen('{', "{\"more\":1,", 1);
        assert_eq!(Saved::read(file(&more)).checks, saved().checks);
        for text in [&document(2, now), &document(VERSION, now + 61_000), "{", ""] {
            assert_eq!(Saved::read(file(text)), Saved::default(), "{text}");
        }
        assert_eq!(Saved::read(Vec::new()), Saved::default());
    }
}
