//! What the kernel's IPVS table holds, as values.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;

/// An IPVS table: services by key.
///
/// Services sit behind an [`Arc`], so that a snapshot of a large table costs one map of pointers and a
/// comparison of unchanged services one pointer each.
pub type Table = BTreeMap<ServiceKey, Arc<Service>>;

/// The address family of a service (`IPVS_SVC_ATTR_AF`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
        })
    }
}

/// An IP protocol number. The kernel balances TCP, UDP and SCTP; it also stores others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(pub u16);

impl Protocol {
    /// TCP (6).
    pub const TCP: Self = Self(6);
    /// UDP (17).
    pub const UDP: Self = Self(17);
    /// SCTP (132).
    pub const SCTP: Self = Self(132);
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TCP => f.write_str("tcp"),
            Self::UDP => f.write_str("udp"),
            Self::SCTP => f.write_str("sctp"),
            Self(other) => write!(f, "protocol-{other}"),
        }
    }
}

/// What the kernel tells services apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceKey {
    /// Packets to an address and port.
    Address {
        /// The virtual IP.
        address: IpAddr,
        /// The port; 0 takes every port no other service has.
        port: u16,
        /// The transport.
        protocol: Protocol,
    },
    /// Packets that carry a firewall mark.
    Mark {
        /// The mark.
        mark: NonZeroU32,
        /// IPv4 and IPv6 packets of one mark are two services.
        family: Family,
    },
}

impl ServiceKey {
    /// The address family of the service.
    pub const fn family(&self) -> Family {
        match self {
            Self::Address { address, .. } => Family::of(*address),
            Self::Mark { family, .. } => *family,
        }
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { address, port, protocol } => {
                write!(f, "{}/{protocol}", SocketAddr::new(*address, *port))
            }
            Self::Mark { mark, family } => write!(f, "fwmark {mark} ({family})"),
        }
    }
}

/// A kernel name of at most 15 bytes: a scheduler or a persistence engine (`IP_VS_SCHEDNAME_MAXLEN`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    len: u8,
    bytes: [u8; Name::MAX],
}

impl Name {
    /// The longest name in bytes; the kernel's buffers hold one more for the end mark.
    pub const MAX: usize = 15;

    /// Scheduler `rr`, round robin.
    pub const RR: Self = Self { len: 2, bytes: *b"rr\0\0\0\0\0\0\0\0\0\0\0\0\0" };

    /// A name.
    ///
    /// # Errors
    /// [`BadName`] when it is empty, longer than [`Name::MAX`] bytes, or contains a zero byte.
    pub fn new(name: &str) -> Result<Self, BadName> {
        if name.is_empty() || name.len() > Self::MAX || name.contains('\0') {
            return Err(BadName(name.to_owned()));
        }
        let mut bytes = [0; Self::MAX];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        Ok(Self { len: name.len() as u8, bytes })
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Not a name the kernel can hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no scheduler or engine name: 1 to 15 bytes are needed")]
pub struct BadName(pub String);

/// Flags of a service (`IP_VS_SVC_F_*`) other than persistence, which [`Settings::persistence`] carries, and
/// the kernel's own mark for hashed entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Flags(u32);

impl Flags {
    pub(crate) const PERSISTENT: u32 = 0x01;
    const HASHED: u32 = 0x02;
    /// `IP_VS_SVC_F_ONEPACKET`: every UDP datagram is scheduled on its own.
    pub const ONE_PACKET: Self = Self(0x04);
    /// `IP_VS_SVC_F_SCHED1`; `sh` and `mh`: fall back when the hashed server has weight 0.
    pub const SCHEDULER_1: Self = Self(0x08);
    /// `IP_VS_SVC_F_SCHED2`; `sh` and `mh`: hash the source port too.
    pub const SCHEDULER_2: Self = Self(0x10);
    /// `IP_VS_SVC_F_SCHED3`.
    pub const SCHEDULER_3: Self = Self(0x20);

    /// The flags among `bits` that this type carries.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits & !(Self::PERSISTENT | Self::HASHED))
    }

    /// The bits as the kernel numbers them.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether all flags of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl std::ops::BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl std::ops::BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// Which clients persistence takes for one (`IPVS_SVC_ATTR_NETMASK`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Netmask {
    /// IPv4: a mask, which the kernel does not require to be contiguous.
    V4(Ipv4Addr),
    /// IPv6: a prefix length, 1 to 128.
    V6(u32),
}

impl Netmask {
    /// Every client on its own.
    pub const fn host(family: Family) -> Self {
        match family {
            Family::V4 => Self::V4(Ipv4Addr::BROADCAST),
            Family::V6 => Self::V6(128),
        }
    }

    /// Clients of one network of this prefix length, cut to what the family has.
    pub const fn prefix(family: Family, length: u8) -> Self {
        match family {
            Family::V4 if length == 0 => Self::V4(Ipv4Addr::UNSPECIFIED),
            Family::V4 if length >= 32 => Self::V4(Ipv4Addr::BROADCAST),
            Family::V4 => Self::V4(Ipv4Addr::from_bits(u32::MAX << (32 - length))),
            Family::V6 if length > 128 => Self::V6(128),
            Family::V6 => Self::V6(length as u32),
        }
    }
}

/// Keeping a client on one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Persistence {
    /// How long a client is remembered after its last connection, in seconds.
    pub timeout: u32,
    /// Which clients count as one. Its family must be the service's.
    pub netmask: Netmask,
}

/// What can be changed about a service while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Settings {
    /// The scheduler, by the kernel's name; `none` in a dump means the service has none.
    pub scheduler: Name,
    /// Scheduler and one-packet flags.
    pub flags: Flags,
    /// Persistence, if any.
    pub persistence: Option<Persistence>,
    /// The persistence engine, if any; the kernel has `sip`.
    pub engine: Option<Name>,
}

impl Settings {
    /// A service with this scheduler and nothing else.
    pub const fn new(scheduler: Name) -> Self {
        Self { scheduler, flags: Flags(0), persistence: None, engine: None }
    }
}

/// A virtual service with its destinations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// What can be changed about it.
    pub settings: Settings,
    /// Its real servers.
    pub destinations: BTreeMap<DestinationKey, Destination>,
}

impl Service {
    /// A service without destinations.
    pub const fn new(settings: Settings) -> Self {
        Self { settings, destinations: BTreeMap::new() }
    }
}

/// What the kernel tells the destinations of a service apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DestinationKey {
    /// The real server's address.
    pub address: IpAddr,
    /// Its port. With direct routing and tunnels packets keep the port they came with.
    pub port: u16,
}

impl fmt::Display for DestinationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::new(self.address, self.port).fmt(f)
    }
}

/// A real server of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination {
    /// How packets reach it.
    pub forward: Forward,
    /// Its share of new connections; 0 takes none. The kernel refuses more than `i32::MAX`.
    pub weight: u32,
    /// No new connections above this many; 0 means no limit.
    pub upper_threshold: u32,
    /// New connections again below this many; 0 means three quarters of the upper threshold. The kernel
    /// refuses one above the upper threshold.
    pub lower_threshold: u32,
}

impl Destination {
    /// A destination without thresholds.
    pub const fn new(forward: Forward, weight: u32) -> Self {
        Self { forward, weight, upper_threshold: 0, lower_threshold: 0 }
    }
}

/// How IPVS hands a packet to a real server (`IP_VS_CONN_F_FWD_MASK`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Forward {
    /// Address translation.
    Nat,
    /// Direct routing.
    Direct,
    /// Encapsulated.
    Tunnel(Tunnel),
    /// A method no configuration asks for: 1 local node, 4 bypass.
    Other(u8),
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nat => f.write_str("nat"),
            Self::Direct => f.write_str("direct"),
            Self::Tunnel(tunnel) => write!(f, "tunnel/{}", tunnel.encapsulation),
            Self::Other(method) => write!(f, "method-{method}"),
        }
    }
}

/// How packets are encapsulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tunnel {
    /// The kind of tunnel.
    pub encapsulation: Encapsulation,
    /// UDP port of the server's end; GUE needs one, the others 0.
    pub port: u16,
    /// Checksum flags of GUE and GRE.
    pub flags: TunnelFlags,
}

/// Kinds of tunnels (`IP_VS_CONN_F_TUNNEL_TYPE_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Encapsulation(pub u8);

impl Encapsulation {
    /// IP in IP, the only one before Linux 5.2.
    pub const IPIP: Self = Self(0);
    /// Generic UDP encapsulation, since Linux 5.2.
    pub const GUE: Self = Self(1);
    /// Generic routing encapsulation, since Linux 5.3.
    pub const GRE: Self = Self(2);
}

impl fmt::Display for Encapsulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::IPIP => f.write_str("ipip"),
            Self::GUE => f.write_str("gue"),
            Self::GRE => f.write_str("gre"),
            Self(other) => write!(f, "type-{other}"),
        }
    }
}

/// Checksums in a tunnel (`IP_VS_TUNNEL_ENCAP_FLAG_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TunnelFlags(pub u16);

impl TunnelFlags {
    /// No checksum.
    pub const NO_CHECKSUM: Self = Self(0);
    /// A checksum over the packet.
    pub const CHECKSUM: Self = Self(1);
    /// Remote checksum offload (GUE).
    pub const REMOTE_CHECKSUM: Self = Self(2);
}

/// Connection timeouts in whole seconds (`IPVS_CMD_ATTR_TIMEOUT_*`). `None` leaves one as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timeouts {
    /// Established TCP connections.
    pub tcp: Option<NonZeroU32>,
    /// TCP connections after a FIN.
    pub tcp_fin: Option<NonZeroU32>,
    /// UDP "connections".
    pub udp: Option<NonZeroU32>,
}

/// What a synchronisation daemon of the kernel does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SyncRole {
    /// Tells others of this host's connections (`IP_VS_STATE_MASTER`).
    Master,
    /// Takes in what others tell (`IP_VS_STATE_BACKUP`).
    Backup,
}

impl fmt::Display for SyncRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Master => "master",
            Self::Backup => "backup",
        })
    }
}

/// One of the kernel's two synchronisation daemons (`IPVS_DAEMON_ATTR_*`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncDaemon {
    /// What it does.
    pub role: SyncRole,
    /// The interface it sends or listens on.
    pub interface: String,
    /// Daemons with the same number talk to each other: 0 to 255.
    pub id: u32,
    /// The multicast group; `None`: the kernel's choice, or a kernel before 4.3, which does not say.
    pub group: Option<IpAddr>,
    /// The UDP port; `None` as of the group.
    pub port: Option<u16>,
    /// The time to live of packets; `None` as of the group.
    pub ttl: Option<u8>,
    /// The largest message in bytes; `None` as of the group.
    pub max_length: Option<u16>,
}

impl SyncDaemon {
    /// One with the kernel's choice of everything else.
    pub fn new(role: SyncRole, interface: impl Into<String>, id: u32) -> Self {
        Self { role, interface: interface.into(), id, group: None, port: None, ttl: None, max_length: None }
    }
}

/// The kernel's IPVS as a whole (`IPVS_CMD_GET_INFO`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Info {
    /// `IP_VS_VERSION_CODE`, for example 0x010201 for 1.2.1.
    pub version: u32,
    /// Buckets of the connection hash table.
    pub connection_table_size: u32,
}

impl fmt::Display for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [_, major, minor, patch] = self.version.to_be_bytes();
        write!(f, "IPVS {major}.{minor}.{patch} (connection table {})", self.connection_table_size)
    }
}

/// Traffic counters (`IPVS_STATS_ATTR_*`, 64 bits where the kernel has them).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Connections scheduled.
    pub connections: u64,
    /// Packets from clients.
    pub packets_in: u64,
    /// Packets to clients; only address translation sees them.
    pub packets_out: u64,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
    /// Connections a second, now.
    pub connection_rate: u64,
    /// Packets from clients a second, now.
    pub packet_rate_in: u64,
    /// Packets to clients a second, now.
    pub packet_rate_out: u64,
    /// Bytes from clients a second, now.
    pub byte_rate_in: u64,
    /// Bytes to clients a second, now.
    pub byte_rate_out: u64,
}

/// Counters of a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DestinationCounters {
    /// Traffic.
    pub traffic: Counters,
    /// Connections in an active state (established, for TCP).
    pub active_connections: u32,
    /// Connections in other states.
    pub inactive_connections: u32,
    /// Persistence templates that point here.
    pub persistent_connections: u32,
}

/// Counters of a service and its destinations.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Statistics {
    /// The service as a whole.
    pub service: Counters,
    /// Each destination.
    pub destinations: BTreeMap<DestinationKey, DestinationCounters>,
}
