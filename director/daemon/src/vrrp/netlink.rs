//! The kernel's route netlink family, as far as the VRRP thread needs it: links and addresses are read, VIPs
//! are written.
//!
//! Requests are synchronous. The kernel has always answered by the time `sendto` returns, so waiting for the
//! acknowledgement costs one more system call and keeps "address first, announcement after" true by
//! construction. What is read is parsed by hand, attribute by attribute, so that something a newer kernel
//! adds to a message can never hide an interface from us.

use std::ffi::CStr;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use rtnetlink::packet_core::{
    NLA_TYPE_MASK, NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage,
};
use rtnetlink::packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressProtocol, AddressScope, CacheInfo,
};
use rtnetlink::packet_route::link::LinkMessage;
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{Socket, SocketAddr};

use super::routes;
use super::settle::LocalRoutes;

/// What our addresses carry in `IFA_PROTO` (`linux/if_addr.h`, kernels since 5.18; older ones ignore it): the
/// protocol number of VRRP. `ip addr` shows it as `proto 112`.
pub(super) const ADDRESS_TAG: u8 = 112;

/// `IFA_F_*` flags (`linux/if_addr.h`) that are looked at.
pub(super) const IFA_F_SECONDARY: u32 = 0x01;
/// Duplicate address detection failed.
pub(super) const IFA_F_DADFAILED: u32 = 0x08;
/// Duplicate address detection still runs.
pub(super) const IFA_F_TENTATIVE: u32 = 0x40;

/// Message types (`linux/rtnetlink.h`, `linux/netlink.h`).
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
/// The dump was disturbed by a change and may be inconsistent.
const NLM_F_DUMP_INTR: u16 = 0x10;
/// Extended acknowledgement attributes follow, and one of them is a text.
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;
/// Legacy multicast group bits: `RTMGRP_LINK`, `RTMGRP_IPV4_IFADDR`, `RTMGRP_IPV6_IFADDR`; and where our routes and
/// rules are told of, `RTMGRP_IPV4_ROUTE`, `RTMGRP_IPV6_ROUTE`, `RTMGRP_IPV4_RULE` and the bit of
/// `RTNLGRP_IPV6_RULE`.
const MONITOR_GROUPS: u32 = 0x1 | 0x10 | 0x100 | 0x40 | 0x400 | 0x80 | 0x4_0000;
/// Attributes (`linux/if_link.h`, `linux/if_addr.h`).
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;
const IFA_PROTO: u16 = 11;
/// Length of `struct nlmsghdr`, and of the fixed parts of link and address messages.
const HEADER: usize = 16;
const LINK_HEADER: usize = 16;
const ADDRESS_HEADER: usize = 8;
/// How many changes go to the kernel in one `sendto`: their acknowledgements must fit into the receive buffer.
const BATCH: usize = 32;
/// How often a dump that was disturbed is repeated before it is taken as it is.
const DUMP_ATTEMPTS: usize = 5;

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    /// `IFF_*` flags.
    pub(super) flags: u32,
    /// `ARPHRD_*`.
    pub(super) hardware: u16,
    /// Link-layer address, where it is a MAC address.
    pub(super) mac: Option<[u8; 6]>,
}

/// An address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) index: u32,
    pub(super) address: IpAddr,
    pub(super) prefix: u8,
    /// `IFA_F_*` flags.
    pub(super) flags: u32,
    /// `IFA_PROTO`, 0 where the kernel does not tell.
    pub(super) protocol: u8,
}

/// Something the kernel told about links or addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    Link(Link),
    LinkGone(u32),
    Address(Address),
    AddressGone(Address),
}

/// One address to add or delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) add: bool,
    pub(super) index: u32,
    pub(super) address: IpAddr,
    pub(super) prefix: u8,
}

/// What became of a change the kernel accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    /// It was made.
    Changed,
    /// It was so already.
    Already,
}

/// A change the kernel refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// Its error number, and its text where it gave one.
    #[error("{0}{separator}{1}", separator = if .1.is_empty() { "" } else { ": " })]
    Kernel(Errno, String),
    /// The request or its answer was lost.
    #[error("no answer: {0}")]
    Lost(#[source] io::Error),
}

/// The socket for requests.
#[derive(Debug)]
pub(super) struct Requests {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Requests {
    /// Opens the socket.
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.set_non_blocking(true)?;
        // Both only make answers shorter or clearer: a kernel without them is as good.
        let _ = socket.set_cap_ack(true);
        let _ = socket.set_ext_ack(true);
        Ok(Self { socket, sequence: 0, buffer: vec![0; 64 * 1024] })
    }

    /// All links and addresses.
    pub(super) fn dump(&mut self) -> io::Result<Vec<Event>> {
        let mut events = self.dump_of(RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
        events.append(&mut self.dump_of(RouteNetlinkMessage::GetAddress(AddressMessage::default()))?);
        Ok(events)
    }

    fn dump_of(&mut self, request: RouteNetlinkMessage) -> io::Result<Vec<Event>> {
        self.dump_with(&request, parse)
    }

    /// What `read` makes of each message that the kernel answers `request` with.
    pub(super) fn dump_with<T>(
        &mut self,
        request: &RouteNetlinkMessage,
        read: impl Fn(&Message<'_>) -> Option<T>,
    ) -> io::Result<Vec<T>> {
        let mut found = Vec::new();
        for _ in 0..DUMP_ATTEMPTS {
            found.clear();
            let bytes = self.encode(request.clone(), NLM_F_REQUEST | NLM_F_DUMP);
            let sequence = self.sequence;
            self.socket.send(&bytes, 0)?;
            if !self.read_dump(sequence, &read, &mut found)? {
                break;
            }
        }
        Ok(found)
    }

    /// Reads one dump; true if it was disturbed.
    fn read_dump<T>(
        &mut self,
        sequence: u32,
        read: impl Fn(&Message<'_>) -> Option<T>,
        found: &mut Vec<T>,
    ) -> io::Result<bool> {
        let mut disturbed = false;
        loop {
            let length = recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::empty())?;
            for message in messages(&self.buffer[..length]) {
                if message.sequence != sequence {
                    continue; // the rest of an earlier dump that failed half way
                }
                disturbed |= message.flags & NLM_F_DUMP_INTR != 0;
                match message.kind {
                    NLMSG_DONE => return Ok(disturbed),
                    NLMSG_ERROR => verdict(message.payload)?,
                    _ => found.extend(read(&message)),
                }
            }
        }
    }

    /// Carries out changes in order, and returns the answer to each. What is so already is a success. After a row
    /// of additions, those to interfaces that are `running` receive packets before the next change is made.
    pub(super) fn apply(
        &mut self,
        changes: &[Change],
        running: impl Fn(u32) -> bool,
    ) -> Vec<Result<Done, Refusal>> {
        let mut answers = Vec::with_capacity(changes.len());
        for row in changes.chunk_by(|one, next| one.add == next.add) {
            let settling: Vec<Change> = row
                .iter()
                .filter(|change| change.add && change.address.is_ipv6() && running(change.index))
                .copied()
                .collect();
            // Without the subscription the addresses still come, only without the wait.
            let routes = (!settling.is_empty()).then(|| LocalRoutes::subscribe().ok()).flatten();
            let made = self.apply_row(row);
            if let Some(routes) = routes {
                let added = |change: &Change| {
                    let at = row.iter().position(|other| other == change);
                    at.is_some_and(|at| matches!(made[at], Ok(Done::Changed)))
                };
                routes.wait(&settling.into_iter().filter(added).collect::<Vec<_>>());
            }
            answers.extend(made);
        }
        answers
    }

    fn apply_row(&mut self, changes: &[Change]) -> Vec<Result<Done, Refusal>> {
        let requests = changes.iter().map(|change| (change.add, change.message())).collect();
        self.make(requests, &[Errno::EADDRNOTAVAIL, Errno::ENODEV])
    }

    /// Adds (`true`) and deletes what the messages say, in order, and returns the answer to each. What is there already
    /// is not replaced; the errors that `gone` lists say that what was to be deleted is not there.
    pub(super) fn make(
        &mut self,
        requests: Vec<(bool, RouteNetlinkMessage)>,
        gone: &[Errno],
    ) -> Vec<Result<Done, Refusal>> {
        let mut answers = Vec::with_capacity(requests.len());
        let mut requests = requests.into_iter().peekable();
        while requests.peek().is_some() {
            let first = self.sequence.wrapping_add(1);
            let mut bytes = Vec::new();
            let mut batch = Vec::with_capacity(BATCH);
            for (add, message) in requests.by_ref().take(BATCH) {
                let flags = NLM_F_REQUEST | NLM_F_ACK | if add { NLM_F_CREATE | NLM_F_EXCL } else { 0 };
                bytes.append(&mut self.encode(message, flags));
                batch.push(add);
            }
            let mut open: Vec<Option<Result<Done, Refusal>>> = batch.iter().map(|_| None).collect();
            let lost = match self.socket.send(&bytes, 0) {
                Ok(_) => self.read_answers(first, &mut open).err(),
                Err(error) => Some(error),
            };
            for (add, answer) in batch.into_iter().zip(open) {
                answers.push(match answer {
                    Some(Err(Refusal::Kernel(Errno::EEXIST, _))) if add => Ok(Done::Already),
                    Some(Err(Refusal::Kernel(errno, _))) if !add && gone.contains(&errno) => {
                        Ok(Done::Already)
                    }
                    Some(answer) => answer,
                    None => Err(Refusal::Lost(
                        lost.as_ref().map_or(io::ErrorKind::WouldBlock.into(), |error| error.kind().into()),
                    )),
                });
            }
        }
        answers
    }

    /// Reads acknowledgements until each of the messages numbered from `first` has one.
    fn read_answers(&mut self, first: u32, open: &mut [Option<Result<Done, Refusal>>]) -> io::Result<()> {
        while open.iter().any(Option::is_none) {
            let length = recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::empty())?;
            for message in messages(&self.buffer[..length]) {
                let place = usize::try_from(message.sequence.wrapping_sub(first)).unwrap_or(usize::MAX);
                if let Some(slot) = open.get_mut(place)
                    && message.kind == NLMSG_ERROR
                {
                    *slot =
                        Some(verdict(message.payload).map(|()| Done::Changed).map_err(|errno| {
                            Refusal::Kernel(errno, error_text(&message).unwrap_or_default())
                        }));
                }
            }
        }
        Ok(())
    }

    fn encode(&mut self, request: RouteNetlinkMessage, flags: u16) -> Vec<u8> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = NetlinkMessage::from(request);
        message.header.flags = flags;
        message.header.sequence_number = self.sequence;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }
}

impl Change {
    fn message(&self) -> RouteNetlinkMessage {
        let mut message = AddressMessage::default();
        message.header.index = self.index;
        message.header.prefix_len = self.prefix;
        message.header.scope = AddressScope::Universe;
        message.attributes =
            vec![AddressAttribute::Local(self.address), AddressAttribute::Address(self.address)];
        match self.address {
            IpAddr::V4(_) => message.header.family = AddressFamily::Inet,
            IpAddr::V6(_) => {
                message.header.family = AddressFamily::Inet6;
                if self.add {
                    // Usable at once, the master of the group being the only one to have it; and never chosen
                    // as the source of our own connections, which must survive a failover.
                    let mut lifetime = CacheInfo::default();
                    lifetime.ifa_preferred = 0;
                    lifetime.ifa_valid = u32::MAX;
                    message.attributes.push(AddressAttribute::CacheInfo(lifetime));
                    message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
                }
            }
        }
        if self.add {
            message.attributes.push(AddressAttribute::Protocol(AddressProtocol::Other(ADDRESS_TAG)));
            RouteNetlinkMessage::NewAddress(message)
        } else {
            RouteNetlinkMessage::DelAddress(message)
        }
    }
}

/// The socket that is told of every change of links and addresses.
#[derive(Debug)]
pub(super) struct Monitor {
    socket: Socket,
    buffer: Vec<u8>,
}

impl Monitor {
    /// Subscribes. Of routes only ours wake us: a host may learn a million others.
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket2::SockRef::from(&socket.as_fd()).attach_filter(&routes::own_routes_only())?;
        socket.set_rx_buf_sz(1024 * 1024)?;
        socket.bind(&SocketAddr::new(0, MONITOR_GROUPS))?;
        socket.set_non_blocking(true)?;
        Ok(Self { socket, buffer: vec![0; 64 * 1024] })
    }

    /// Everything queued so far, in order.
    ///
    /// # Errors
    /// `ENOBUFS` when the kernel had to drop some of it: a new dump is needed.
    pub(super) fn drain(&mut self) -> io::Result<Vec<Event>> {
        let mut events = Vec::new();
        loop {
            match recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::empty()) {
                Ok(length) => events.extend(messages(&self.buffer[..length]).filter_map(|m| parse(&m))),
                Err(Errno::EAGAIN) => return Ok(events),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A netlink message: the header fields used here, and what follows the header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message<'a> {
    pub(super) kind: u16,
    flags: u16,
    sequence: u32,
    pub(super) payload: &'a [u8],
}

/// Splits a datagram into messages; stops at the first that does not fit.
pub(super) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
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
fn verdict(payload: &[u8]) -> Result<(), Errno> {
    match payload.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes)) {
        Some(0) => Ok(()),
        Some(code) => Err(Errno::from_raw(code.saturating_neg())),
        None => Err(Errno::EBADMSG),
    }
}

/// The text the kernel adds to an error. With capped acknowledgements the attributes follow the echoed header.
fn error_text(message: &Message<'_>) -> Option<String> {
    if message.flags & NLM_F_ACK_TLVS == 0 {
        return None;
    }
    attributes(message.payload.get(4 + HEADER..)?)
        .find_map(|(kind, value)| (kind == NLMSGERR_ATTR_MSG).then(|| text(value)))
}

/// Reads what a link or address message says; `None` for everything else.
fn parse(message: &Message<'_>) -> Option<Event> {
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
    let mut link =
        Link { index, name: String::new(), flags: u32_at(bytes, 8)?, hardware: u16_at(bytes, 2)?, mac: None };
    for (kind, value) in attributes(bytes.get(LINK_HEADER..)?) {
        match kind {
            IFLA_IFNAME => link.name = text(value),
            IFLA_ADDRESS => link.mac = value.try_into().ok(),
            _ => {}
        }
    }
    (!link.name.is_empty()).then_some(Event::Link(link))
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
    Some(Address { index: u32_at(bytes, 4)?, address, prefix: bytes[1], flags, protocol })
}

/// Attributes as (type without flag bits, value); stops at the first malformed one.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
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

pub(super) fn ip(value: &[u8]) -> Option<IpAddr> {
    if let Ok(bytes) = <[u8; 4]>::try_from(value) {
        return Some(Ipv4Addr::from(bytes).into());
    }
    <[u8; 16]>::try_from(value).ok().map(|bytes| Ipv6Addr::from(bytes).into())
}

pub(super) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    bytes.get(offset..)?.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes))
}

pub(super) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

#[cfg(test)]
#[path = "tests/netlink.rs"]
mod tests;
