//! Waits until IPv6 addresses that were just added receive packets.
//!
//! The kernel acknowledges a new IPv6 address before it does: the local route is made by a work item that runs
//! later, even without duplicate address detection (`addrconf_dad_work` in `net/ipv6/addrconf.c`). Usually that
//! takes microseconds, under load milliseconds. A VIP that is moved must not be taken from its old interface, nor
//! announced on its new one, before that route is there.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv};
use rtnetlink::sys::protocols::NETLINK_ROUTE;
use rtnetlink::sys::{Socket, SocketAddr};

use super::netlink::{Change, attributes, ip, messages, u32_at};

/// The longest wait. Far above what a loaded kernel needs, and short beside a master-down interval of 100 ms
/// adverts.
const LIMIT: Duration = Duration::from_millis(200);
/// Multicast group bit (`RTMGRP_IPV6_ROUTE`), message type, table and attributes (`linux/rtnetlink.h`).
const ROUTE_GROUP: u32 = 0x400;
const RTM_NEWROUTE: u16 = 24;
const RT_TABLE_LOCAL: u8 = 255;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
/// Length of `struct rtmsg`, and where it has the table.
const ROUTE_HEADER: usize = 12;
const TABLE: usize = 4;

/// A subscription to the kernel's new IPv6 routes: opened before addresses are added, waited for afterwards.
#[derive(Debug)]
pub(super) struct LocalRoutes {
    socket: Socket,
}

impl LocalRoutes {
    pub(super) fn subscribe() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind(&SocketAddr::new(0, ROUTE_GROUP))?;
        socket.set_non_blocking(true)?;
        Ok(Self { socket })
    }

    /// Returns when each of the addresses that `added` gave to an interface has its local route, or after
    /// [`LIMIT`].
    pub(super) fn wait(&self, added: &[Change]) {
        let mut missing: BTreeSet<(u32, Ipv6Addr)> = added.iter().filter_map(place).collect();
        let deadline = Instant::now() + LIMIT;
        let mut buffer = vec![0; 16 * 1024];
        while !missing.is_empty() {
            match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(length) => {
                    for message in messages(&buffer[..length]) {
                        if message.kind == RTM_NEWROUTE
                            && let Some(found) = local_route(message.payload)
                        {
                            missing.remove(&found);
                        }
                    }
                }
                Err(Errno::EAGAIN) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
                    let mut ready = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
                    if left == PollTimeout::ZERO || poll(&mut ready, left) == Ok(0) {
                        return;
                    }
                }
                Err(Errno::EINTR) => {}
                // Routes come faster than they are read, ours may be among those that were dropped.
                Err(_) => return,
            }
        }
    }
}

/// Where a change gives a host an IPv6 address.
fn place(change: &Change) -> Option<(u32, Ipv6Addr)> {
    match change.address {
        IpAddr::V6(address) if change.add => Some((change.index, address)),
        _ => None,
    }
}

/// Interface and address of a route in the local table.
fn local_route(payload: &[u8]) -> Option<(u32, Ipv6Addr)> {
    if *payload.get(TABLE)? != RT_TABLE_LOCAL {
        return None;
    }
    let (mut address, mut index) = (None, None);
    for (kind, value) in attributes(payload.get(ROUTE_HEADER..)?) {
        match kind {
            RTA_DST => address = ip(value),
            RTA_OIF => index = u32_at(value, 0),
            _ => {}
        }
    }
    match address? {
        IpAddr::V6(address) => Some((index?, address)),
        IpAddr::V4(_) => None,
    }
}

#[cfg(test)]
#[path = "tests/settle.rs"]
mod tests;
