//! Virtual services: what IPVS balances, and over what.

mod form;

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::types::{Family, Period};
use form::{ListenForm, QuorumForm, ServiceForm};

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
    /// Names of the checks of its servers; none means servers are always up.
    pub checks: Vec<String>,
    /// How many of the checks must pass.
    pub checks_required: ChecksRequired,
    /// What a server new to the table is until its first check has passed.
    pub start: StartHealth,
    /// What happens to a server that is down.
    pub on_failure: OnFailure,
    /// The weight of a server that comes back grows to its full value over this time.
    pub slow_start: Option<Period>,
    /// Check the servers only while this director holds the VIP.
    pub suspend_on_backup: bool,
    /// When the director stops, those who are told of servers and quorums are told that they are down.
    pub down_on_stop: bool,
    /// How much weight must be up for the service to be up.
    pub quorum: Quorum,
    /// Who answers while the quorum is lost.
    pub sorry_server: Option<SorryServer>,
    /// The machines that do the work.
    pub real_servers: Vec<RealServer>,
}

impl Service {
    /// The checks of one of its servers: its own, or the service's.
    pub fn checks_of<'a>(&'a self, server: &'a RealServer) -> &'a [String] {
        server.checks.as_ref().unwrap_or(&self.checks)
    }

    /// What happens to one of its servers that is down.
    pub fn on_failure_of(&self, server: &RealServer) -> OnFailure {
        server.on_failure.unwrap_or(self.on_failure)
    }
}

/// What a virtual service answers on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "ListenForm", into = "ListenForm")]
pub enum Listen {
    /// `{ address = "192.0.2.1", port = 80, protocol = "tcp" }`.
    Address {
        /// The VIP.
        address: IpAddr,
        /// The port; 0 means every port, which needs persistence.
        port: u16,
        /// The transport.
        protocol: Protocol,
    },
    /// `{ fwmark = 1, family = "ipv4" }`: every packet that the packet filter has given this mark.
    Fwmark {
        /// The mark.
        mark: NonZeroU32,
        /// The family of the packets.
        family: Family,
    },
}

impl Listen {
    /// The address family of the service.
    pub const fn family(&self) -> Family {
        match self {
            Self::Address { address, .. } => Family::of(*address),
            Self::Fwmark { family, .. } => *family,
        }
    }

    /// The VIP, if it is one.
    pub const fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Address { address, .. } => Some(*address),
            Self::Fwmark { .. } => None,
        }
    }

    /// The port; 0 means every port, which is what a mark has.
    pub const fn port(&self) -> u16 {
        match self {
            Self::Address { port, .. } => *port,
            Self::Fwmark { .. } => 0,
        }
    }

    /// The transport; a mark can stand for several.
    pub const fn protocol(&self) -> Option<Protocol> {
        match self {
            Self::Address { protocol, .. } => Some(*protocol),
            Self::Fwmark { .. } => None,
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { address, port, protocol } => {
                write!(f, "{}/{protocol}", std::net::SocketAddr::new(*address, *port))
            }
            Self::Fwmark { mark, family } => write!(f, "fwmark {mark}/{family}"),
        }
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

impl Protocol {
    /// The name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
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
    /// What else tells clients apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<PersistenceEngine>,
}

/// The kernel's persistence engines (`net/netfilter/ipvs/ip_vs_pe_*.c`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PersistenceEngine {
    /// The Call-ID of SIP over UDP.
    Sip,
}

impl PersistenceEngine {
    /// The kernel's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sip => "sip",
        }
    }
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

/// How many of a server's checks must pass for it to be up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChecksRequired {
    /// All of them.
    #[default]
    All,
    /// One is enough.
    Any,
}

impl ChecksRequired {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What happens to a server that is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// It leaves the table: its connections break, and persistent clients are sent elsewhere.
    #[default]
    Remove,
    /// It stays with weight 0: connections and persistent clients stay with it, new ones go elsewhere.
    WeightZero,
}

impl OnFailure {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How much weight must be up for a service to be up: `quorum = 3`, or `{ up = 9, down = 5 }` so that it does
/// not flap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "QuorumForm", into = "QuorumForm")]
pub struct Quorum {
    /// The quorum is reached when the weights of the servers that are up add up to this.
    pub up: u32,
    /// It is lost when they add up to less than this.
    pub down: u32,
}

impl Default for Quorum {
    /// One server of weight 1 is enough.
    fn default() -> Self {
        Self { up: 1, down: 1 }
    }
}

impl Quorum {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Who answers while a service has no quorum: alone, in place of all real servers. It is not checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SorryServer {
    /// Its address.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// How packets reach it.
    pub forward: Forward,
    /// Whether it stays in the table, with weight 0, while it is not needed: then who was sent to it stays there
    /// until the connection ends.
    pub inhibit: bool,
}

/// One machine behind a virtual service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RealServer {
    /// Name, unique within the service.
    pub name: String,
    /// Its address (RIP).
    pub address: IpAddr,
    /// Its port; direct routing and tunnels need the service's own.
    pub port: u16,
    /// How packets reach it.
    pub forward: Forward,
    /// Share of connections; 0 takes no new ones.
    pub weight: u32,
    /// No new connections above this many; 0 means no limit.
    pub upper_threshold: u32,
    /// New connections again below this many; 0 means three quarters of the upper threshold.
    pub lower_threshold: u32,
    /// Names of its checks instead of the service's.
    pub checks: Option<Vec<String>>,
    /// What happens when it is down, where that differs from the service's.
    pub on_failure: Option<OnFailure>,
}

/// How IPVS hands a packet to a real server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Forward {
    /// Direct routing: the frame goes to the server's MAC, replies bypass the director.
    Direct,
    /// Address translation: replies come back through the director.
    Nat,
    /// The packet travels inside another one: the server may be anywhere, replies bypass the director.
    Tunnel(Tunnel),
}

impl Forward {
    /// The name of the kind.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Nat => "nat",
            Self::Tunnel(_) => "tunnel",
        }
    }

    /// Whether it can send to a port other than the service's.
    pub const fn maps_ports(self) -> bool {
        matches!(self, Self::Nat)
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How packets are wrapped for [`Forward::Tunnel`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Tunnel {
    /// The kind of encapsulation.
    #[serde(rename = "type", default)]
    pub kind: TunnelKind,
    /// GUE: the UDP port that the server decapsulates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// GRE and GUE: the checksum of the outer header.
    #[serde(default, skip_serializing_if = "TunnelChecksum::is_default")]
    pub checksum: TunnelChecksum,
}

/// Encapsulations (`IP_VS_CONN_F_TUNNEL_TYPE_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TunnelKind {
    /// IP in IP.
    #[default]
    Ipip,
    /// Generic routing encapsulation.
    Gre,
    /// Generic UDP encapsulation.
    Gue,
}

/// Checksum of a tunnel's outer header (`IP_VS_TUNNEL_ENCAP_FLAG_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TunnelChecksum {
    /// None.
    #[default]
    None,
    /// A full checksum.
    Full,
    /// GUE: remote checksum offload.
    Remote,
}

impl TunnelChecksum {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
