//! The kernel's route netlink family, as far as the VRRP thread needs it: links and addresses are read, VIPs
//! are written; `read` has the form of what it says.
//!
//! Requests are synchronous. The kernel has always answered by the time `sendto` returns, so waiting for the
//! acknowledgement costs one more system call and keeps "address first, announcement after" true by
//! construction.

pub(super) mod read;

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage,
};
use rtnetlink::packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressProtocol, AddressScope, CacheInfo,
};
use rtnetlink::packet_route::link::LinkMessage;
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{Socket, SocketAddr};

pub(super) use read::{
    Address, Event, IFA_F_DADFAILED, IFA_F_SECONDARY, IFA_F_TENTATIVE, Link, Message, attributes, ip,
    messages, u32_at,
};
use read::{error_text, parse, verdict};

use super::routes;
use super::settle::LocalRoutes;

/// What our addresses carry in `IFA_PROTO` (`linux/if_addr.h`, kernels since 5.18; older ones ignore it): the
/// protocol number of VRRP. `ip addr` shows it as `proto 112`.
pub(super) const ADDRESS_TAG: u8 = 112;

/// Message types (`linux/rtnetlink.h`, `linux/netlink.h`).
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// The dump was disturbed by a change and may be inconsistent.
const NLM_F_DUMP_INTR: u16 = 0x10;
/// Legacy multicast group bits: `RTMGRP_LINK`, `RTMGRP_IPV4_IFADDR`, `RTMGRP_IPV6_IFADDR`; and where our routes and
/// rules are told of, `RTMGRP_IPV4_ROUTE`, `RTMGRP_IPV6_ROUTE`, `RTMGRP_IPV4_RULE` and the bit of
/// `RTNLGRP_IPV6_RULE`.
const MONITOR_GROUPS: u32 = 0x1 | 0x10 | 0x100 | 0x40 | 0x400 | 0x80 | 0x4_0000;
/// How many changes go to the kernel in one `sendto`: their acknowledgements must fit into the receive buffer.
const BATCH: usize = 32;
/// How often a dump that was disturbed is repeated before it is taken as it is, for now.
const DUMP_ATTEMPTS: usize = 5;

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

/// All links and addresses.
#[derive(Debug, Default)]
pub(super) struct Dump {
    pub(super) events: Vec<Event>,
    /// Nothing changed while it was made. Otherwise it may miss what did not change, too.
    pub(super) whole: bool,
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
    pub(super) fn dump(&mut self) -> io::Result<Dump> {
        let links = RouteNetlinkMessage::GetLink(LinkMessage::default());
        let (mut events, links_whole) = self.dump_whole(&links, parse)?;
        let addresses = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        let (mut addresses, addresses_whole) = self.dump_whole(&addresses, parse)?;
        events.append(&mut addresses);
        Ok(Dump { events, whole: links_whole && addresses_whole })
    }

    /// What `read` makes of each message that the kernel answers `request` with.
    pub(super) fn dump_with<T>(
        &mut self,
        request: &RouteNetlinkMessage,
        read: impl Fn(&Message<'_>) -> Option<T>,
    ) -> io::Result<Vec<T>> {
        self.dump_whole(request, read).map(|(found, _)| found)
    }

    /// The same, and whether nothing disturbed it.
    fn dump_whole<T>(
        &mut self,
        request: &RouteNetlinkMessage,
        read: impl Fn(&Message<'_>) -> Option<T>,
    ) -> io::Result<(Vec<T>, bool)> {
        let mut found = Vec::new();
        for _ in 0..DUMP_ATTEMPTS {
            found.clear();
            let bytes = self.encode(request.clone(), NLM_F_REQUEST | NLM_F_DUMP);
            let sequence = self.sequence;
            self.socket.send(&bytes, 0)?;
            if !self.read_dump(sequence, &read, &mut found)? {
                return Ok((found, true));
            }
        }
        Ok((found, false))
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

#[cfg(test)]
#[path = "tests/netlink.rs"]
mod tests;
