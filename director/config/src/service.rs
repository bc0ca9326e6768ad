//! Virtual services: what IPVS balances, and over what.

mod form;

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::types::{Family, Period};
use form::ServiceForm;

/// One IPVS virtual service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ServiceForm", into = "ServiceForm")]
pub struct Service {
    /// Name, unique on this director.
    pub name: String,
    /// What it answers on.
    pub listen: Listen,
    /// How connections are spread.
    pub scheduler: Scheduler,
    /// Scheduler flags.
    pub scheduler_flags: Vec<SchedulerFlag>,
    /// Clients stay with their server.
    pub persistence: Option<Persistence>,
    /// Schedule every UDP datagram on its own.
    pub one_packet: bool,
    /// Names of the checks that must all pass; none means servers are always up.
    pub checks: Vec<String>,
    /// What a server new to the table is until its first check has passed.
    pub start: StartHealth,
    /// The machines that do the work.
    pub real_servers: Vec<RealServer>,
}

/// What a virtual service answers on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Listen {
    /// The VIP.
    pub address: IpAddr,
    /// The port; 0 means every port, which needs persistence.
    pub port: u16,
    /// The transport.
    pub protocol: Protocol,
}

impl Listen {
    /// The address family of the service.
    pub const fn family(&self) -> Family {
        Family::of(self.address)
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", std::net::SocketAddr::new(self.address, self.port), self.protocol)
    }
}

/// The transports IPVS balances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// The kernel's IPVS schedulers (`net/netfilter/ipvs/ip_vs_*.c`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheduler {
    /// Round robin.
    Rr,
    /// Weighted round robin.
    Wrr,
    /// Least connections.
    Lc,
    /// Weighted least connections, the kernel tools' own default.
    #[default]
    Wlc,
    /// Locality-based least connections.
    Lblc,
    /// Locality-based least connections with replication.
    Lblcr,
    /// Source hashing.
    Sh,
    /// Maglev hashing.
    Mh,
    /// Destination hashing.
    Dh,
    /// Weighted fail-over: the heaviest server that is up.
    Fo,
    /// Weighted overflow.
    Ovf,
    /// Shortest expected delay.
    Sed,
    /// Never queue.
    Nq,
    /// Power of two choices.
    Twos,
}

impl Scheduler {
    /// Every scheduler, in the order of the kernel's documentation.
    pub const ALL: [Self; 14] = [
        Self::Rr,
        Self::Wrr,
        Self::Lc,
        Self::Wlc,
        Self::Lblc,
        Self::Lblcr,
        Self::Sh,
        Self::Mh,
        Self::Dh,
        Self::Fo,
        Self::Ovf,
        Self::Sed,
        Self::Nq,
        Self::Twos,
    ];

    /// The kernel's name, which is also the name in the configuration. Its module is `ip_vs_<name>`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rr => "rr",
            Self::Wrr => "wrr",
            Self::Lc => "lc",
            Self::Wlc => "wlc",
            Self::Lblc => "lblc",
            Self::Lblcr => "lblcr",
            Self::Sh => "sh",
            Self::Mh => "mh",
            Self::Dh => "dh",
            Self::Fo => "fo",
            Self::Ovf => "ovf",
            Self::Sed => "sed",
            Self::Nq => "nq",
            Self::Twos => "twos",
        }
    }
}

impl fmt::Display for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Flags of the hashing schedulers (`IP_VS_SVC_F_SCHED1..3`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SchedulerFlag {
    /// `sh`: when the hashed server has weight 0, choose another.
    ShFallback,
    /// `sh`: hash the source port too.
    ShPort,
    /// `mh`: when the hashed server has weight 0, choose another.
    MhFallback,
    /// `mh`: hash the source port too.
    MhPort,
}

/// Keeping a client on one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Persistence {
    /// How long after its last connection a client is remembered. Whole seconds.
    pub timeout: Period,
    /// Clients of one network of this prefix length count as one; absent means a host prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<u8>,
}

/// What a server is before any check has run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StartHealth {
    /// Down: no traffic before the first pass.
    #[default]
    Pessimistic,
    /// Up: traffic until the first verdict.
    Optimistic,
}

impl StartHealth {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// One machine behind a virtual service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RealServer {
    /// Name, unique within the service.
    pub name: String,
    /// Its address (RIP).
    pub address: IpAddr,
    /// Its port; direct routing needs the service's own.
    pub port: u16,
    /// How packets reach it.
    pub forward: Forward,
    /// Share of connections; 0 takes no new ones.
    pub weight: u32,
    /// No new connections above this many; 0 means no limit.
    pub upper_threshold: u32,
    /// New connections again below this many; 0 means three quarters of the upper threshold.
    pub lower_threshold: u32,
}

/// How IPVS hands a packet to a real server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Forward {
    /// Direct routing: the frame goes to the server's MAC, replies bypass the director.
    Direct,
    /// Address translation: replies come back through the director.
    Nat,
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Nat => "nat",
        })
    }
}
