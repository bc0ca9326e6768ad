//! What the kernel says of links and addresses. It is parsed by hand, attribute by attribute, so that something a newer
//! kernel adds to a message can never hide an interface from us.

use std::ffi::CStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nix::errno::Errno;
use rtnetlink::packet_core::NLA_TYPE_MASK;

/// `IFA_F_*` flags (`linux/if_addr.h`) that are looked at.
pub(in crate::vrrp) const IFA_F_SECONDARY: u32 = 0x01;
/// Duplicate address detection failed.
pub(in crate::vrrp) const IFA_F_DADFAILED: u32 = 0x08;
/// Duplicate address detection still runs.
pub(in crate::vrrp) const IFA_F_TENTATIVE: u32 = 0x40;

/// Message types (`linux/rtnetlink.h`).
pub(super) const RTM_NEWLINK: u16 = 16;
pub(super) const RTM_DELLINK: u16 = 17;
pub(super) const RTM_NEWADDR: u16 = 20;
pub(super) const RTM_DELADDR: u16 = 21;
/// Extended acknowledgement attributes follow, and one of them is a text.
pub(super) const NLM_F_ACK_TLVS: u16 = 0x200;
pub(super) const NLMSGERR_ATTR_MSG: u16 = 1;
/// Attributes (`linux/if_link.h`, `linux/if_addr.h`).
pub(super) const IFLA_ADDRESS: u16 = 1;
pub(super) const IFLA_IFNAME: u16 = 3;
const IFLA_LINK: u16 = 5;
const IFLA_QDISC: u16 = 6;
const IFLA_LINKINFO: u16 = 18;
const IFLA_IFALIAS: u16 = 20;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_MACVLAN_MODE: u16 = 1;
pub(super) const IFA_ADDRESS: u16 = 1;
pub(super) const IFA_LOCAL: u16 = 2;
pub(super) const IFA_FLAGS: u16 = 8;
pub(super) const IFA_PROTO: u16 = 11;
/// The queueing discipline that drops everything (`net/sched/sch_blackhole.c`).
pub(in crate::vrrp) const BLACKHOLE: &str = "blackhole";
/// Length of `struct nlmsghdr`, and of the fixed parts of link and address messages.
pub(super) const HEADER: usize = 16;
const LINK_HEADER: usize = 16;
pub(super) const ADDRESS_HEADER: usize = 8;

/// A network interface.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::vrrp) struct Link {
    pub(in crate::vrrp) index: u32,
    pub(in crate::vrrp) name: String,
    /// `IFF_*` flags.
    pub(in crate::vrrp) flags: u32,
    /// `ARPHRD_*`.
    pub(in crate::vrrp) hardware: u16,
    /// Link-layer address, where it is a MAC address.
    pub(in crate::vrrp) mac: Option<[u8; 6]>,
    /// What a macvlan interface is on.
    pub(in crate::vrrp) macvlan: Option<Macvlan>,
    /// Nothing that it is to send leaves it: its queueing discipline is [`BLACKHOLE`].
    pub(in crate::vrrp) mute: bool,
    /// What somebody wrote about it; empty for nothing.
    pub(in crate::vrrp) alias: String,
}

/// A macvlan interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::vrrp) struct Macvlan {
    /// Index of the interface below.
    pub(in crate::vrrp) base: u32,
    /// `MACVLAN_MODE_*`.
    pub(in crate::vrrp) mode: u32,
}

/// An address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::vrrp) struct Address {
    pub(in crate::vrrp) index: u32,
    pub(in crate::vrrp) address: IpAddr,
    pub(in crate::vrrp) prefix: u8,
    /// `RT_SCOPE_*`: 0 is the whole world, more is nearer.
    pub(in crate::vrrp) scope: u8,
    /// `IFA_F_*` flags.
    pub(in crate::vrrp) flags: u32,
    /// `IFA_PROTO`, 0 where the kernel does not tell.
    pub(in crate::vrrp) protocol: u8,
}

/// Something the kernel told about links or addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::vrrp) enum Event {
    Link(Link),
    LinkGone(u32),
    Address(Address),
    AddressGone(Address),
}

/// A netlink message: the header fields used here, and what follows the header.
#[derive(Debug, Clone, Copy)]
pub(in crate::vrrp) struct Message<'a> {
    pub(in crate::vrrp) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    pub(in crate::vrrp) payload: &'a [u8],
}

/// Splits a datagram into messages; stops at the first that does not fit.
pub(in crate::vrrp) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
        let payload = bytes.get(HEADER..length)?;
        let message = Message {
            kind: u16_at(bytes, 4)?,
            flags: u16_at(bytes, 6)?,
            sequence: u32_at(bytes, 8)?,
            payload,
        };
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// What an `NLMSG_ERROR` says: 0 is success.
pub(super) fn verdict(payload: &[u8]) -> Result<(), Errno> {
    match payload.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes)) {
        Some(0) => Ok(()),
        Some(code) => Err(Errno::from_raw(code.saturating_neg())),
        None => Err(Errno::EBADMSG),
    }
}

/// The text the kernel adds to an error. With capped acknowledgements the attributes follow the echoed header.
pub(super) fn error_text(message: &Message<'_>) -> Option<String> {
    if message.flags & NLM_F_ACK_TLVS == 0 {
        return None;
    }
    attributes(message.payload.get(4 + HEADER..)?)
        .find_map(|(kind, value)| (kind == NLMSGERR_ATTR_MSG).then(|| text(value)))
}

/// Reads what a link or address message says; `None` for everything else.
pub(super) fn parse(message: &Message<'_>) -> Option<Event> {
    match message.kind {
        RTM_NEWLINK | RTM_DELLINK => parse_link(message),
        RTM_NEWADDR => parse_address(message.payload).map(Event::Address),
        RTM_DELADDR => parse_address(message.payload).map(Event::AddressGone),
        _ => None,
    }
}

fn parse_link(message: &Message<'_>) -> Option<Event> {
    let bytes = message.payload;
    // A bridge speaks of its ports in messages of family AF_BRIDGE: those are not about the link itself.
    if *bytes.first()? != 0 {
        return None;
    }
    let index = u32_at(bytes, 4)?;
    if message.kind == RTM_DELLINK {
        return Some(Event::LinkGone(index));
    }
    let mut link = Link { index, flags: u32_at(bytes, 8)?, hardware: u16_at(bytes, 2)?, ..Link::default() };
    let (mut base, mut mode) = (None, None);
    for (kind, value) in attributes(bytes.get(LINK_HEADER..)?) {
        match kind {
            IFLA_IFNAME => link.name = text(value),
            IFLA_ADDRESS => link.mac = value.try_into().ok(),
            IFLA_IFALIAS => link.alias = text(value),
            IFLA_QDISC => link.mute = text(value) == BLACKHOLE,
            IFLA_LINK => base = u32_at(value, 0),
            IFLA_LINKINFO => mode = macvlan_mode(value),
            _ => {}
        }
    }
    link.macvlan = base.zip(mode).map(|(base, mode)| Macvlan { base, mode });
    (!link.name.is_empty()).then_some(Event::Link(link))
}

/// The mode of a macvlan interface; `None` for other kinds.
fn macvlan_mode(info: &[u8]) -> Option<u32> {
    let of = |bytes, wanted| attributes(bytes).find_map(|(kind, value)| (kind == wanted).then_some(value));
    if text(of(info, IFLA_INFO_KIND)?) != "macvlan" {
        return None;
    }
    u32_at(of(of(info, IFLA_INFO_DATA)?, IFLA_MACVLAN_MODE)?, 0)
}

fn parse_address(bytes: &[u8]) -> Option<Address> {
    let (mut local, mut peer) = (None, None);
    let mut flags = u32::from(*bytes.get(2)?);
    let mut protocol = 0;
    for (kind, value) in attributes(bytes.get(ADDRESS_HEADER..)?) {
        match kind {
            IFA_LOCAL => local = ip(value),
            IFA_ADDRESS => peer = ip(value),
            IFA_FLAGS => flags = u32_at(value, 0)?,
            IFA_PROTO => protocol = *value.first()?,
            _ => {}
        }
    }
    // On a point-to-point link IFA_ADDRESS is the other end; IPv6 gives only IFA_ADDRESS otherwise.
    let address = local.or(peer)?;
    Some(Address { index: u32_at(bytes, 4)?, address, prefix: bytes[1], scope: bytes[3], flags, protocol })
}

/// Attributes as (type without flag bits, value); stops at the first malformed one.
pub(in crate::vrrp) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        let attribute = (u16_at(bytes, 2)? & NLA_TYPE_MASK, bytes.get(4..length)?);
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(attribute)
    })
}

fn text(value: &[u8]) -> String {
    CStr::from_bytes_until_nul(value)
        .map_or_else(|_| String::from_utf8_lossy(value), CStr::to_string_lossy)
        .into_owned()
}

pub(in crate::vrrp) fn ip(value: &[u8]) -> Option<IpAddr> {
    if let Ok(bytes) = <[u8; 4]>::try_from(value) {
        return Some(Ipv4Addr::from(bytes).into());
    }
    <[u8; 16]>::try_from(value).ok().map(|bytes| Ipv6Addr::from(bytes).into())
}

pub(super) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    bytes.get(offset..)?.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes))
}

pub(in crate::vrrp) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}
