//! What a group passes on to the process after it. Moments are counted from when it was saved.
//!
//! The form is read by other releases than the one that wrote it: a field that is added has a default, and one that
//! is taken away must not be missed by the release before.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use fairway_config::{Family, VrrpVersion};
use serde::{Deserialize, Serialize};

use crate::output::{Force, Place, Verdict};

/// Nothing that is saved is longer ago, or further ahead: it keeps arithmetic on damaged data within bounds.
const FARTHEST: Duration = Duration::from_secs(10 * 24 * 3600);

/// The state of a group, but for its configuration and its secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Saved {
    pub(crate) phase: SavedPhase,
    /// Why it is in its state, for people.
    #[serde(default)]
    pub(crate) cause: String,
    #[serde(default)]
    pub(crate) force: Force,
    #[serde(default)]
    pub(crate) hold_off: bool,
    #[serde(default)]
    pub(crate) lower_since: Option<Moment>,
    #[serde(default)]
    pub(crate) parked_until: Option<Moment>,
    pub(crate) routers: Vec<SavedRouter>,
    /// The last results of trackers, and what was seen.
    #[serde(default)]
    pub(crate) trackers: BTreeMap<String, (Verdict, String)>,
}

/// What the group was doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SavedPhase {
    Backup,
    Master,
    /// Holding VIPs, but listening before it goes on; `fresh`: not yet master as an observer sees it.
    Listening {
        fresh: bool,
    },
    /// A failover or an order to be backup was under way.
    HandingOver {
        since: Moment,
        until: Moment,
        to_stay_backup: bool,
    },
    Fault,
}

/// One virtual router. The first four fields say which one it is on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct SavedRouter {
    pub(crate) interface: String,
    pub(crate) family: Family,
    pub(crate) vrid: u8,
    pub(crate) version: VrrpVersion,
    /// Our address there; none while the link was down.
    pub(crate) source: Option<IpAddr>,
    pub(crate) place: Place,
    /// When the last advert was sent, and the interval in it in microseconds.
    #[serde(default)]
    pub(crate) advertised: Option<(Moment, u64)>,
    #[serde(default)]
    pub(crate) peers: Vec<SavedPeer>,
    #[serde(default)]
    pub(crate) listen: Option<SavedTimer>,
    #[serde(default)]
    pub(crate) announcing: SavedAnnouncer,
    #[serde(default)]
    pub(crate) seal: Option<SavedSeal>,
    #[serde(default)]
    pub(crate) counters: BTreeMap<String, u64>,
}

/// A master that was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct SavedPeer {
    pub(crate) source: IpAddr,
    pub(crate) priority: u8,
    pub(crate) down: SavedTimer,
}

/// A master-down timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct SavedTimer {
    pub(crate) from: Moment,
    /// In microseconds.
    pub(crate) interval: u64,
    #[serde(default)]
    pub(crate) cut: Option<(Moment, IpAddr)>,
}

/// What is left of a round of neighbour announcements.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct SavedAnnouncer {
    pub(crate) burst: Option<(u8, Moment)>,
    pub(crate) second_burst: Option<Moment>,
    /// Absent in what older releases saved.
    pub(crate) second_repeat: Option<u8>,
    pub(crate) refresh: Option<Moment>,
}

/// Numbers against replay. They mean something with the same secret only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct SavedSeal {
    /// Tells whether the secret is still the same, and does not tell the secret.
    pub(crate) key: u64,
    /// The last number of our own.
    pub(crate) number: u64,
    /// The last number of each sender.
    pub(crate) heard: Vec<(IpAddr, u64)>,
}

/// Microseconds after the state was saved; negative before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Moment(i64);

impl Moment {
    pub(crate) fn of(instant: Instant, saved: Instant) -> Self {
        let after = micros(instant.saturating_duration_since(saved));
        let before = micros(saved.saturating_duration_since(instant));
        Self(after.cast_signed().saturating_sub(before.cast_signed()))
    }

    pub(crate) fn instant(self, saved: Instant) -> Instant {
        let distance = Duration::from_micros(self.0.unsigned_abs()).min(FARTHEST);
        let moved = if self.0 < 0 { saved.checked_sub(distance) } else { saved.checked_add(distance) };
        moved.unwrap_or(saved)
    }
}

/// A length of time as it is saved.
pub(crate) fn micros(length: Duration) -> u64 {
    u64::try_from(length.min(FARTHEST).as_micros()).unwrap_or_default()
}

/// A length of time as it was saved.
pub(crate) fn length(micros: u64) -> Duration {
    Duration::from_micros(micros).min(FARTHEST)
}
