//! What the kernel answers, as values. Unknown attributes are skipped: newer kernels add some.

use std::ffi::CStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;

use neli::consts::genl::CtrlAttr;
use neli::consts::nl::NlmsgerrAttr;

use super::constants::{
    AF_INET, AF_INET6, CommandAttr, DaemonAttr, DestAttr, InfoAttr, ServiceAttr, StatsAttr, forward,
    sync_state,
};
use super::read::{Attributes, MESSAGE_HEADER, Message, array};
use crate::error::DecodeError;
use crate::model::{
    Counters, Destination, DestinationCounters, DestinationKey, Encapsulation, Family, Flags, Forward, Info,
    Name, Netmask, Persistence, Protocol, ServiceKey, Settings, SyncDaemon, SyncRole, Timeouts, Tunnel,
    TunnelFlags,
};

/// `NLM_F_CAPPED`: the error message carries only the header of the request.
const CAPPED: u16 = 0x100;
/// `NLM_F_ACK_TLVS`: attributes follow the request in an error message.
const ACK_TLVS: u16 = 0x200;

/// An answer of type `NLMSG_ERROR`: the error number (0: acknowledged) and the kernel's words, if it has any.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) errno: i32,
    pub(crate) message: Option<String>,
}

/// Reads `struct nlmsgerr` and the extended acknowledgement behind it.
pub(crate) fn answer(message: &Message<'_>) -> Result<Answer, DecodeError> {
    let code = i32::from_ne_bytes(array(message.payload, 0).ok_or(truncated("error number"))?);
    let errno = code.checked_neg().unwrap_or(i32::MAX);
    Ok(Answer { errno, message: extended(message) })
}

/// The text of an extended acknowledgement. It only helps people, so what cannot be read is left out.
fn extended(message: &Message<'_>) -> Option<String> {
    if message.flags & ACK_TLVS == 0 {
        return None;
    }
    let length = u32::from_ne_bytes(array(message.payload, 4)?) as usize;
    let request = if message.flags & CAPPED == 0 { length } else { MESSAGE_HEADER };
    let attributes = message.payload.get(request.checked_next_multiple_of(4)?.checked_add(4)?..)?;
    let (_, text) = Attributes(attributes)
        .filter_map(Result::ok)
        .find(|(kind, _)| NlmsgerrAttr::from(*kind) == NlmsgerrAttr::Msg)?;
    let text = CStr::from_bytes_until_nul(text).ok()?.to_str().ok()?;
    Some(text.to_owned())
}

/// The family's number, from the controller's answer.
pub(crate) fn family_id(message: &Message<'_>) -> Result<u16, DecodeError> {
    for attribute in message.attributes()? {
        let (kind, payload) = attribute?;
        if CtrlAttr::from(kind) == CtrlAttr::FamilyId {
            return number(payload, "CTRL_ATTR_FAMILY_ID").map(u16::from_ne_bytes);
        }
    }
    Err(DecodeError::Missing { what: "CTRL_ATTR_FAMILY_ID" })
}

/// `IPVS_CMD_GET_INFO`'s answer.
pub(crate) fn info(message: &Message<'_>) -> Result<Info, DecodeError> {
    let mut info = Info::default();
    for attribute in message.attributes()? {
        let (kind, payload) = attribute?;
        match InfoAttr::from(kind) {
            InfoAttr::Version => info.version = u32::from_ne_bytes(number(payload, "version")?),
            InfoAttr::ConnTabSize => {
                info.connection_table_size = u32::from_ne_bytes(number(payload, "connection table size")?);
            }
            InfoAttr::UnrecognizedConst(_) => {}
        }
    }
    Ok(info)
}

/// `IPVS_CMD_GET_CONFIG`'s answer.
pub(crate) fn timeouts(message: &Message<'_>) -> Result<Timeouts, DecodeError> {
    let mut timeouts = Timeouts::default();
    for attribute in message.attributes()? {
        let (kind, payload) = attribute?;
        let field = match CommandAttr::from(kind) {
            CommandAttr::TimeoutTcp => &mut timeouts.tcp,
            CommandAttr::TimeoutTcpFin => &mut timeouts.tcp_fin,
            CommandAttr::TimeoutUdp => &mut timeouts.udp,
            _ => continue,
        };
        *field = NonZeroU32::new(u32::from_ne_bytes(number(payload, "timeout")?));
    }
    Ok(timeouts)
}

/// A synchronisation daemon as the kernel dumps it.
pub(crate) fn sync_daemon(message: &Message<'_>) -> Result<SyncDaemon, DecodeError> {
    let (mut role, mut interface, mut id) = (None, None, 0);
    let (mut group, mut port, mut ttl, mut max_length) = (None, None, None, None);
    for attribute in nested(message, CommandAttr::Daemon)? {
        let (kind, payload) = attribute?;
        match DaemonAttr::from(kind) {
            DaemonAttr::State => {
                role = match u32::from_ne_bytes(number(payload, "state of a daemon")?) {
                    sync_state::MASTER => Some(SyncRole::Master),
                    sync_state::BACKUP => Some(SyncRole::Backup),
                    _ => None,
                };
            }
            DaemonAttr::Interface => {
                let text =
                    CStr::from_bytes_until_nul(payload).map_err(|_| truncated("interface of a daemon"))?;
                interface = Some(text.to_string_lossy().into_owned());
            }
            DaemonAttr::SyncId => id = u32::from_ne_bytes(number(payload, "number of a daemon")?),
            DaemonAttr::MaxLength => {
                max_length = Some(u16::from_ne_bytes(number(payload, "length of a daemon's messages")?));
            }
            DaemonAttr::Group => group = Some(IpAddr::from(number::<4>(payload, "group of a daemon")?)),
            DaemonAttr::Group6 => {
                group = Some(IpAddr::from(number::<16>(payload, "group of a daemon")?));
            }
            DaemonAttr::Port => port = Some(u16::from_ne_bytes(number(payload, "port of a daemon")?)),
            DaemonAttr::Ttl => {
                ttl = Some(u8::from_ne_bytes(number(payload, "time to live of a daemon's packets")?));
            }
            DaemonAttr::UnrecognizedConst(_) => {}
        }
    }
    Ok(SyncDaemon {
        group,
        port,
        ttl,
        max_length,
        role: role.ok_or(DecodeError::Missing { what: "IPVS_DAEMON_ATTR_STATE" })?,
        interface: interface.ok_or(DecodeError::Missing { what: "IPVS_DAEMON_ATTR_MCAST_IFN" })?,
        id,
    })
}

/// The nested attribute `wanted` of the first level.
fn nested<'a>(message: &Message<'a>, wanted: CommandAttr) -> Result<Attributes<'a>, DecodeError> {
    for attribute in message.attributes()? {
        let (kind, payload) = attribute?;
        if CommandAttr::from(kind) == wanted {
            return Ok(Attributes(payload));
        }
    }
    Err(DecodeError::Missing { what: "IPVS_CMD_ATTR_SERVICE, IPVS_CMD_ATTR_DEST or IPVS_CMD_ATTR_DAEMON" })
}

/// A service as the kernel dumps it.
pub(crate) fn service(message: &Message<'_>) -> Result<(ServiceKey, Settings, Counters), DecodeError> {
    let (mut family, mut protocol, mut address, mut port, mut mark) = (None, None, None, None, None);
    let (mut scheduler, mut engine, mut bits, mut timeout, mut netmask) = (None, None, 0, 0, None);
    let mut counters = Counters::default();
    for attribute in nested(message, CommandAttr::Service)? {
        let (kind, payload) = attribute?;
        match ServiceAttr::from(kind) {
            ServiceAttr::Family => family = Some(self::family(payload)?),
            ServiceAttr::Protocol => {
                protocol = Some(Protocol(u16::from_ne_bytes(number(payload, "protocol")?)))
            }
            ServiceAttr::Address => address = Some(number::<16>(payload, "service address")?),
            ServiceAttr::Port => port = Some(u16::from_be_bytes(number(payload, "service port")?)),
            ServiceAttr::Mark => mark = NonZeroU32::new(u32::from_ne_bytes(number(payload, "fwmark")?)),
            ServiceAttr::Scheduler => scheduler = Some(name(payload, "scheduler")?),
            ServiceAttr::Engine => engine = Some(name(payload, "persistence engine")?),
            ServiceAttr::Flags => {
                let [a, b, c, d, ..] = number::<8>(payload, "flags")?;
                bits = u32::from_ne_bytes([a, b, c, d]);
            }
            ServiceAttr::Timeout => timeout = u32::from_ne_bytes(number(payload, "persistence timeout")?),
            ServiceAttr::Netmask => netmask = Some(number::<4>(payload, "netmask")?),
            ServiceAttr::Stats | ServiceAttr::Stats64 => read_counters(payload, &mut counters)?,
            ServiceAttr::UnrecognizedConst(_) => {}
        }
    }
    let family = family.ok_or(missing("IPVS_SVC_ATTR_AF"))?;
    let key = match mark {
        Some(mark) => ServiceKey::Mark { mark, family },
        None => ServiceKey::Address {
            address: ip(family, address.ok_or(missing("IPVS_SVC_ATTR_ADDR"))?),
            port: port.ok_or(missing("IPVS_SVC_ATTR_PORT"))?,
            protocol: protocol.ok_or(missing("IPVS_SVC_ATTR_PROTOCOL"))?,
        },
    };
    let persistence = (bits & Flags::PERSISTENT != 0).then(|| Persistence {
        timeout,
        netmask: match (family, netmask) {
            (family, None) => Netmask::host(family),
            (Family::V4, Some(mask)) => Netmask::V4(Ipv4Addr::from(mask)),
            (Family::V6, Some(length)) => Netmask::V6(u32::from_ne_bytes(length)),
        },
    });
    let settings = Settings {
        scheduler: scheduler.ok_or(missing("IPVS_SVC_ATTR_SCHED_NAME"))?,
        flags: Flags::from_bits(bits),
        persistence,
        engine,
    };
    Ok((key, settings, counters))
}

/// A destination as the kernel dumps it, of a service of `service` family.
pub(crate) fn destination(
    message: &Message<'_>,
    service: Family,
) -> Result<(DestinationKey, Destination, DestinationCounters), DecodeError> {
    let (mut family, mut address, mut port) = (service, None, None);
    let (mut method, mut weight, mut upper_threshold, mut lower_threshold) = (None, None, 0, 0);
    let mut tunnel = Tunnel::default();
    let mut counters = DestinationCounters::default();
    for attribute in nested(message, CommandAttr::Dest)? {
        let (kind, payload) = attribute?;
        match DestAttr::from(kind) {
            DestAttr::Family => family = self::family(payload)?,
            DestAttr::Address => address = Some(number::<16>(payload, "destination address")?),
            DestAttr::Port => port = Some(u16::from_be_bytes(number(payload, "destination port")?)),
            DestAttr::Forward => method = Some(u32::from_ne_bytes(number(payload, "forwarding method")?)),
            DestAttr::Weight => weight = Some(u32::from_ne_bytes(number(payload, "weight")?)),
            DestAttr::UpperThreshold => upper_threshold = u32::from_ne_bytes(number(payload, "threshold")?),
            DestAttr::LowerThreshold => lower_threshold = u32::from_ne_bytes(number(payload, "threshold")?),
            DestAttr::ActiveConns => {
                counters.active_connections = u32::from_ne_bytes(number(payload, "connection count")?);
            }
            DestAttr::InactConns => {
                counters.inactive_connections = u32::from_ne_bytes(number(payload, "connection count")?);
            }
            DestAttr::PersistConns => {
                counters.persistent_connections = u32::from_ne_bytes(number(payload, "connection count")?);
            }
            DestAttr::Stats | DestAttr::Stats64 => read_counters(payload, &mut counters.traffic)?,
            DestAttr::TunnelType => {
                let [kind] = number(payload, "tunnel type")?;
                tunnel.encapsulation = Encapsulation(kind);
            }
            DestAttr::TunnelPort => tunnel.port = u16::from_be_bytes(number(payload, "tunnel port")?),
            DestAttr::TunnelFlags => {
                tunnel.flags = TunnelFlags(u16::from_ne_bytes(number(payload, "tunnel flags")?));
            }
            DestAttr::UnrecognizedConst(_) => {}
        }
    }
    let key = DestinationKey {
        address: ip(family, address.ok_or(missing("IPVS_DEST_ATTR_ADDR"))?),
        port: port.ok_or(missing("IPVS_DEST_ATTR_PORT"))?,
    };
    let method = method.ok_or(missing("IPVS_DEST_ATTR_FWD_METHOD"))?;
    let destination = Destination {
        forward: match (method & forward::MASK) as u8 {
            forward::MASQ => Forward::Nat,
            forward::TUNNEL => Forward::Tunnel(tunnel),
            forward::DROUTE => Forward::Direct,
            other => Forward::Other(other),
        },
        weight: weight.ok_or(missing("IPVS_DEST_ATTR_WEIGHT"))?,
        upper_threshold,
        lower_threshold,
    };
    Ok((key, destination, counters))
}

/// Counters of either form: the 64-bit one follows the 32-bit one and wins.
fn read_counters(payload: &[u8], counters: &mut Counters) -> Result<(), DecodeError> {
    for attribute in Attributes(payload) {
        let (kind, value) = attribute?;
        let field = match StatsAttr::from(kind) {
            StatsAttr::Conns => &mut counters.connections,
            StatsAttr::InPackets => &mut counters.packets_in,
            StatsAttr::OutPackets => &mut counters.packets_out,
            StatsAttr::InBytes => &mut counters.bytes_in,
            StatsAttr::OutBytes => &mut counters.bytes_out,
            StatsAttr::ConnRate => &mut counters.connection_rate,
            StatsAttr::InPacketRate => &mut counters.packet_rate_in,
            StatsAttr::OutPacketRate => &mut counters.packet_rate_out,
            StatsAttr::InByteRate => &mut counters.byte_rate_in,
            StatsAttr::OutByteRate => &mut counters.byte_rate_out,
            StatsAttr::UnrecognizedConst(_) => continue,
        };
        *field = match (array(value, 0), array(value, 0)) {
            (Some(wide), _) => u64::from_ne_bytes(wide),
            (None, Some(narrow)) => u64::from(u32::from_ne_bytes(narrow)),
            (None, None) => return Err(truncated("counter")),
        };
    }
    Ok(())
}

fn family(payload: &[u8]) -> Result<Family, DecodeError> {
    match u16::from_ne_bytes(number(payload, "address family")?) {
        AF_INET => Ok(Family::V4),
        AF_INET6 => Ok(Family::V6),
        other => Err(DecodeError::Family(other)),
    }
}

fn ip(family: Family, union: [u8; 16]) -> IpAddr {
    match family {
        Family::V4 => {
            let [a, b, c, d, ..] = union;
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
        Family::V6 => IpAddr::V6(Ipv6Addr::from(union)),
    }
}

fn name(payload: &[u8], what: &'static str) -> Result<Name, DecodeError> {
    CStr::from_bytes_until_nul(payload)
        .ok()
        .and_then(|text| text.to_str().ok())
        .and_then(|text| Name::new(text).ok())
        .ok_or(DecodeError::Name { what })
}

fn number<const N: usize>(payload: &[u8], what: &'static str) -> Result<[u8; N], DecodeError> {
    array(payload, 0).ok_or(truncated(what))
}

const fn truncated(what: &'static str) -> DecodeError {
    DecodeError::Truncated { what }
}

const fn missing(what: &'static str) -> DecodeError {
    DecodeError::Missing { what }
}
