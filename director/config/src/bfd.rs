//! Sessions of Bidirectional Forwarding Detection, as trackers and checks want them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::Config;
use crate::types::{IfName, Period};

const USUAL: Period = Period::from_millis(300);
const USUAL_MULTIPLIER: u8 = 3;

/// A neighbour that a tracker watches by BFD.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TrackedBfd {
    /// Its address.
    pub neighbour: IpAddr,
    /// Our own address towards it; absent means the one that the route to it prefers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<IpAddr>,
    /// The only interface that the session uses; absent means the one that the route to it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<IfName>,
    /// How many hops away it may be: 1 is a direct neighbour (RFC 5881, UDP port 3784), more is multihop (RFC 5883,
    /// 4784).
    #[serde(default = "direct", skip_serializing_if = "is_direct")]
    pub hops: u8,
    /// The shortest interval at which we would like to send.
    #[serde(default = "usual", skip_serializing_if = "is_usual")]
    pub min_tx: Period,
    /// The shortest interval between its packets that we can bear.
    #[serde(default = "usual", skip_serializing_if = "is_usual")]
    pub min_rx: Period,
    /// After how many of our intervals without a packet it takes the session down.
    #[serde(default = "usual_multiplier", skip_serializing_if = "is_usual_multiplier")]
    pub multiplier: u8,
    /// Send nothing before it has.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub passive: bool,
    /// What it means that the neighbour's BFD is switched off.
    #[serde(default, skip_serializing_if = "AdminDown::is_default")]
    pub admin_down: AdminDown,
}

/// What it means that a neighbour takes the session down by order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AdminDown {
    /// Nothing: what was known before still counts, as RFC 5882 section 3.2 has it.
    #[default]
    Hold,
    /// A failure.
    Fail,
}

impl AdminDown {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A real server's BFD session is up.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct BfdCheck {
    /// The shortest interval at which we would like to send.
    #[serde(skip_serializing_if = "is_usual")]
    pub min_tx: Period,
    /// The shortest interval between its packets that we can bear.
    #[serde(skip_serializing_if = "is_usual")]
    pub min_rx: Period,
    /// After how many of our intervals without a packet it takes the session down.
    #[serde(skip_serializing_if = "is_usual_multiplier")]
    pub multiplier: u8,
    /// How many hops away the server may be, as for trackers.
    #[serde(skip_serializing_if = "is_direct")]
    pub hops: u8,
}

impl Default for BfdCheck {
    fn default() -> Self {
        Self { min_tx: USUAL, min_rx: USUAL, multiplier: USUAL_MULTIPLIER, hops: 1 }
    }
}

/// What tells sessions apart: the neighbour, and where its address alone is not enough, the interface.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BfdKey {
    /// Address of the neighbour.
    pub neighbour: IpAddr,
    /// The interface, of a link-local address.
    pub interface: Option<IfName>,
}

impl fmt::Display for BfdKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.interface {
            Some(interface) => write!(f, "{}%{interface}", self.neighbour),
            None => self.neighbour.fmt(f),
        }
    }
}

/// A session that somebody wants.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BfdSession {
    /// Our own address towards the neighbour.
    pub local: Option<IpAddr>,
    /// The only interface that is used.
    pub interface: Option<IfName>,
    /// How many hops away it may be.
    pub hops: u8,
    /// The shortest interval at which we would like to send.
    pub min_tx: Period,
    /// The shortest interval between its packets that we can bear.
    pub min_rx: Period,
    /// After how many of our intervals without a packet the neighbour takes the session down.
    pub multiplier: u8,
    /// Send nothing before it has.
    pub passive: bool,
}

impl BfdSession {
    /// Takes what this one leaves open from another description of the same session.
    pub(crate) fn fill_in(&mut self, other: Self) {
        self.local = self.local.or(other.local);
        self.interface = self.interface.take().or(other.interface);
    }

    /// Whether two descriptions say the same, as far as both say something.
    pub fn agrees_with(&self, other: &Self) -> bool {
        let (mut one, mut two) = (self.clone(), other.clone());
        one.fill_in(other.clone());
        two.fill_in(self.clone());
        one == two
    }
}

impl TrackedBfd {
    /// What tells its session from others.
    pub fn key(&self) -> BfdKey {
        let local = matches!(self.neighbour, IpAddr::V6(address) if address.is_unicast_link_local());
        BfdKey { neighbour: self.neighbour, interface: self.interface.clone().filter(|_| local) }
    }

    /// The session it wants.
    pub fn session(&self) -> BfdSession {
        BfdSession {
            local: self.local,
            interface: self.interface.clone(),
            hops: self.hops,
            min_tx: self.min_tx,
            min_rx: self.min_rx,
            multiplier: self.multiplier,
            passive: self.passive,
        }
    }
}

impl BfdCheck {
    /// The session it wants with each server.
    pub fn session(&self) -> BfdSession {
        BfdSession {
            local: None,
            interface: None,
            hops: self.hops,
            min_tx: self.min_tx,
            min_rx: self.min_rx,
            multiplier: self.multiplier,
            passive: false,
        }
    }
}

impl Config {
    /// Every session that a tracker or a check wants, with who wants it, as a path of keys. One that several want
    /// comes several times.
    pub(crate) fn wanted_bfd_sessions(&self) -> Vec<(BfdKey, BfdSession, String)> {
        let mut wanted = Vec::new();
        for group in &self.failover {
            for (name, tracker) in &group.track {
                if let Some(bfd) = &tracker.bfd {
                    let at = format!("failover.{}.track.{name}.bfd", group.name);
                    wanted.push((bfd.key(), bfd.session(), at));
                }
            }
        }
        for service in &self.services {
            for server in &service.real_servers {
                for name in service.checks_of(server) {
                    if let Some(bfd) = self.checks.get(name).and_then(|check| check.bfd.as_ref()) {
                        let key = BfdKey { neighbour: server.address, interface: None };
                        let at = format!("checks.{name}.bfd, for server {} of {}", server.name, service.name);
                        wanted.push((key, bfd.session(), at));
                    }
                }
            }
        }
        wanted
    }

    /// The sessions that trackers and checks want.
    pub fn bfd_sessions(&self) -> BTreeMap<BfdKey, BfdSession> {
        let mut sessions: BTreeMap<BfdKey, BfdSession> = BTreeMap::new();
        for (key, session, _) in self.wanted_bfd_sessions() {
            match sessions.entry(key) {
                Entry::Vacant(place) => drop(place.insert(session)),
                Entry::Occupied(mut known) => known.get_mut().fill_in(session),
            }
        }
        sessions
    }
}

fn direct() -> u8 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_direct(hops: &u8) -> bool {
    *hops == 1
}

fn usual() -> Period {
    USUAL
}

fn is_usual(interval: &Period) -> bool {
    *interval == USUAL
}

fn usual_multiplier() -> u8 {
    USUAL_MULTIPLIER
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_usual_multiplier(multiplier: &u8) -> bool {
    *multiplier == USUAL_MULTIPLIER
}
