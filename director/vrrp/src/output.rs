//! What goes into a [`Group`](crate::Group) and what comes out.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use fairway_config::{Checksum, Family};
use serde::{Deserialize, Serialize};

use crate::auth::Carrier;
use crate::group::GroupConfig;
use crate::packet::PacketError;

/// State of a group (RFC 9568 section 6.4; it calls `Master` "Active").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Not started, or stopped.
    Init,
    /// Listening to the master.
    Backup,
    /// Holding the VIPs.
    Master,
    /// An interface cannot be used, or a tracker without a weight fails; left as soon as that is over.
    Fault,
}

impl State {
    /// The state as a lower-case word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Backup => "backup",
            Self::Master => "master",
            Self::Fault => "fault",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The operator's standing order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Force {
    /// Follow the election.
    #[default]
    Auto,
    /// Take mastership with priority 255.
    Master,
    /// Hand over and stay backup.
    Backup,
}

impl Force {
    /// The order as a lower-case word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Master => "master",
            Self::Backup => "backup",
        }
    }
}

impl fmt::Display for Force {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why an instance can take no part in the election.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LinkProblem {
    /// There is no such interface.
    Missing,
    /// Somebody has it down.
    Down,
    /// It is up, and has no carrier.
    NoCarrier,
    /// It has no address of this family that adverts could come from.
    NoAddress(Family),
    /// The configured source is none of its addresses.
    NoSource(IpAddr),
    /// Duplicate address detection for this address has not ended.
    Tentative(IpAddr),
    /// Another host has this address, as duplicate address detection found.
    Duplicate(IpAddr),
    /// The host is the owner of this address, and does not have it.
    NotOwned(IpAddr),
    /// There is no socket for adverts.
    NoSocket,
    /// The interface with the virtual MAC address cannot be made.
    NoVirtualMac,
}

impl LinkProblem {
    /// Whether the network may still be reached, only not from the address that adverts came from.
    pub const fn is_of_addresses(self) -> bool {
        matches!(
            self,
            Self::NoAddress(_)
                | Self::NoSource(_)
                | Self::Tentative(_)
                | Self::Duplicate(_)
                | Self::NotOwned(_)
        )
    }

    /// What is wrong with this interface, in words.
    pub fn on(self, interface: &str) -> String {
        match self {
            Self::Missing => format!("there is no interface {interface}"),
            Self::Down => format!("{interface} is down"),
            Self::NoCarrier => format!("{interface} has no carrier"),
            Self::NoAddress(Family::Ipv4) => format!("{interface} has no IPv4 address of its own"),
            Self::NoAddress(Family::Ipv6) => format!("{interface} has no IPv6 link-local address of its own"),
            Self::NoSource(source) => format!("{interface} does not have the configured source {source}"),
            Self::Tentative(address) => {
                format!("{interface} still looks whether another host has {address}")
            }
            Self::Duplicate(address) => {
                format!("another host has {address} of {interface}: duplicate address detection failed")
            }
            Self::NotOwned(address) => {
                format!("{interface} does not have {address}, which this host is to own: add it there")
            }
            Self::NoSocket => format!("there is no socket for adverts on {interface}"),
            Self::NoVirtualMac => {
                format!("there is no interface with the virtual MAC address on {interface}")
            }
        }
    }
}

/// A packet of IP protocol 112 or 51, as received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received<'a> {
    /// Source address of the IP header.
    pub source: IpAddr,
    /// Destination address of the IP header.
    pub destination: IpAddr,
    /// TTL or hop limit of the IP header.
    pub ttl: u8,
    /// What the IP header says about what follows it.
    pub carrier: Carrier,
    /// What follows the IP header.
    pub payload: &'a [u8],
}

/// What happened. Instances are numbered as in the group's configuration.
#[derive(Debug, Clone)]
pub enum Input<'a> {
    /// The sockets are open.
    Start {
        /// Our VIPs are still on the interfaces, left by a predecessor that was killed.
        holding: bool,
    },
    /// [`next_deadline`](crate::Group::next_deadline) has come; a spurious one is harmless.
    Timer,
    /// An interface came, went or changed its address.
    Link {
        /// Which instance.
        instance: usize,
        /// Our address there, or why it cannot take part.
        source: Result<IpAddr, LinkProblem>,
    },
    /// A packet came in on the instance's interface.
    Packet {
        /// Which instance.
        instance: usize,
        /// The packet.
        packet: Received<'a>,
    },
    /// The time now: UTC since the Unix epoch. Time goes on from there until told otherwise.
    Clock(Duration),
    /// The operator's standing order.
    Force(Force),
    /// Hand mastership to the best backup, once.
    Failover,
    /// Adverts will pause for up to this long, because another process goes on from here: as master, have the
    /// backups wait for it. Once more a moment later, in case an advert is lost.
    Bridge(Duration),
    /// Stop gracefully; ends with [`Output::Stopped`].
    Stop,
    /// A tracker of the group has a result.
    Track {
        /// Its name; one that is not configured is ignored.
        tracker: &'a str,
        /// The result.
        verdict: Verdict,
        /// What was seen, for people.
        detail: String,
    },
    /// The driver was away longer than the master-down interval and has fed the queued packets since.
    Stalled,
    /// A new configuration.
    Reconfigure(GroupConfig),
}

/// What a tracker says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// All is well.
    Passing,
    /// It is not: the tracker's weight is added to the priority, or without one the group is in fault.
    Failing,
    /// To be added to the priority; -254 or less is a fault.
    Number(i16),
}

/// Where the VIPs of an instance belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// On their interfaces: the network sees them.
    Interface,
    /// Parked on `lo`: what stale neighbour caches still send here is served, nothing answers ARP or ND.
    Lo,
    /// On no interface.
    Nowhere,
}

impl Place {
    /// The place as a lower-case word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Interface => "interface",
            Self::Lo => "lo",
            Self::Nowhere => "nowhere",
        }
    }
}

/// What to do, in the order given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send an advert from the instance's address with TTL 255.
    Send {
        /// Which instance.
        instance: usize,
        /// 224.0.0.18 or ff02::12, or a unicast peer.
        destination: IpAddr,
        /// What the IP header says about what follows it.
        carrier: Carrier,
        /// What follows the IP header.
        payload: Vec<u8>,
    },
    /// Make the kernel agree: the instance's VIPs are at this place and at no other. Level-triggered.
    Vips {
        /// Which instance.
        instance: usize,
        /// Where its VIPs belong.
        place: Place,
    },
    /// Announce every VIP of the instance to its neighbours once, now.
    Announce {
        /// Which instance.
        instance: usize,
    },
    /// The group changed its state.
    Transition {
        /// Before.
        from: State,
        /// After.
        to: State,
        /// Why.
        cause: Cause,
    },
    /// Something worth a log line.
    Event(Event),
    /// The graceful stop is complete: nothing is held any more.
    Stopped,
}

/// Why a group is in its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// It has just been configured.
    New,
    /// It was started.
    Started,
    /// Its priority is 255: it owns the addresses.
    Owner,
    /// No master was heard for this long, on any instance.
    Silence(Duration),
    /// The master announced that it stops.
    Resigned(IpAddr),
    /// The master heard ranks lower.
    Preempting {
        /// Its address.
        master: IpAddr,
        /// Its priority.
        priority: u8,
    },
    /// The VIPs were still held and nobody better was heard.
    Kept,
    /// A better master was heard.
    Better {
        /// Its address.
        master: IpAddr,
        /// Its priority.
        priority: u8,
    },
    /// Another master was heard, and this group does not take over from a working one.
    OtherMaster {
        /// Its address.
        master: IpAddr,
        /// Its priority.
        priority: u8,
    },
    /// The operator asked for it.
    Forced(Force),
    /// The operator asked for a failover, and this router took over.
    HandedOver(IpAddr),
    /// An instance can take no part in the election.
    LinkDown {
        /// Its interface.
        interface: String,
        /// Why.
        problem: LinkProblem,
    },
    /// All interfaces are back.
    LinkUp,
    /// A tracker without a weight fails, or has no result yet.
    Tracker {
        /// Its name.
        name: String,
        /// What was seen.
        detail: String,
    },
    /// No tracker keeps the group in fault any more.
    TrackersPass,
    /// It was stopped.
    Stopped,
    /// What the process before this one said.
    Before(String),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New => f.write_str("configured"),
            Self::Started => f.write_str("started"),
            Self::Owner => f.write_str("priority 255 owns the addresses"),
            Self::Silence(length) => write!(f, "no master heard for {} ms", length.as_millis()),
            Self::Resigned(master) => write!(f, "{master} resigned"),
            Self::Preempting { master, priority } => {
                write!(f, "better than {master} with priority {priority}")
            }
            Self::Kept => f.write_str("still held the addresses and heard nobody better"),
            Self::Better { master, priority } => write!(f, "{master} with priority {priority} is better"),
            Self::OtherMaster { master, priority } => {
                write!(f, "{master} with priority {priority} is master already")
            }
            Self::Forced(force) => write!(f, "forced: {force}"),
            Self::HandedOver(master) => write!(f, "failover: handed over to {master}"),
            Self::LinkDown { interface, problem } => f.write_str(&problem.on(interface)),
            Self::LinkUp => f.write_str("all interfaces are back"),
            Self::Tracker { name, detail } => write!(f, "tracker {name}: {detail}"),
            Self::TrackersPass => f.write_str("the trackers pass"),
            Self::Stopped => f.write_str("stopped"),
            Self::Before(cause) => f.write_str(cause),
        }
    }
}

/// Something worth a log line. Counted every time, reported at most once in ten seconds for each instance, kind and
/// router it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A packet was dropped.
    BadPacket {
        /// Which instance.
        instance: usize,
        /// Where it came from.
        source: IpAddr,
        /// Why.
        error: PacketError,
    },
    /// An advert of a virtual router that is not configured here.
    ForeignVrid {
        /// The instance that was handed the packet.
        instance: usize,
        /// Where it came from.
        source: IpAddr,
        /// The identifier in it.
        vrid: u8,
    },
    /// Dropped: a v2 advert with another interval than ours. Both sides will be master.
    IntervalMismatch {
        /// Which instance.
        instance: usize,
        /// Where it came from.
        source: IpAddr,
        /// The interval in it.
        theirs: Duration,
        /// The interval configured here.
        ours: Duration,
    },
    /// The advertised addresses differ from ours.
    VipMismatch {
        /// Which instance.
        instance: usize,
        /// Where it came from.
        source: IpAddr,
        /// Advertised there, not configured here.
        unknown: Vec<IpAddr>,
        /// Configured here, not advertised there.
        missing: Vec<IpAddr>,
    },
    /// Two masters, and the other one forms its IPv4 v3 checksum differently: it may be dropping our adverts.
    ChecksumMismatch {
        /// Which instance.
        instance: usize,
        /// Where it came from.
        source: IpAddr,
        /// The form it uses.
        theirs: Checksum,
    },
    /// A lower-ranked router is master too; it is told at once.
    LowerMaster {
        /// Which instance.
        instance: usize,
        /// Its address.
        source: IpAddr,
        /// Its priority.
        priority: u8,
    },
    /// Nobody took over within this time, so the group stays master.
    NoSuccessor(Duration),
    /// The driver was away so long that others may have taken over; listening before going on as master.
    Stalled,
}

impl Event {
    /// The instance that has seen it.
    pub fn instance(&self) -> Option<usize> {
        match self {
            Self::BadPacket { instance, .. }
            | Self::ForeignVrid { instance, .. }
            | Self::IntervalMismatch { instance, .. }
            | Self::VipMismatch { instance, .. }
            | Self::ChecksumMismatch { instance, .. }
            | Self::LowerMaster { instance, .. } => Some(*instance),
            Self::NoSuccessor(_) | Self::Stalled => None,
        }
    }

    /// The router that it is about.
    pub fn source(&self) -> Option<IpAddr> {
        match self {
            Self::BadPacket { source, .. }
            | Self::ForeignVrid { source, .. }
            | Self::IntervalMismatch { source, .. }
            | Self::VipMismatch { source, .. }
            | Self::ChecksumMismatch { source, .. }
            | Self::LowerMaster { source, .. } => Some(*source),
            Self::NoSuccessor(_) | Self::Stalled => None,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadPacket { source, error, .. } => write!(f, "dropped a packet from {source}: {error}"),
            Self::ForeignVrid { source, vrid, .. } => {
                write!(f, "{source} runs virtual router {vrid}, which is not configured here")
            }
            Self::IntervalMismatch { source, theirs, ours, .. } => write!(
                f,
                "{source} advertises every {theirs:?}, this router every {ours:?}; VRRPv2 needs the same interval \
                 on all routers, and both are master until then"
            ),
            Self::VipMismatch { source, unknown, missing, .. } => write!(
                f,
                "{source} advertises other addresses: not configured here {unknown:?}, missing there {missing:?}"
            ),
            Self::ChecksumMismatch { source, theirs, .. } => write!(
                f,
                "two masters: {source} forms its checksum as {}, this router does not; set the same checksum on \
                 both",
                match theirs {
                    Checksum::Rfc9568 => "rfc9568",
                    Checksum::Rfc5798 => "rfc5798",
                }
            ),
            Self::LowerMaster { source, priority, .. } => {
                write!(f, "{source} with priority {priority} is master too; asserting our own mastership")
            }
            Self::NoSuccessor(waited) => {
                write!(f, "no other router took over within {waited:?}; staying master")
            }
            Self::Stalled => f.write_str("was stalled; listening before going on as master"),
        }
    }
}
