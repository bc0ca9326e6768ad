//! Neighbour announcements: gratuitous ARP and unsolicited neighbour advertisements, built here and sent as
//! Ethernet frames, so that they go out of the right interface whatever the routing table says.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, sendto, socket};

type Mac = [u8; 6];

const BROADCAST: Mac = [0xff; 6];
/// The Ethernet form of `ff02::1` (RFC 2464 section 7).
const ALL_NODES_MAC: Mac = [0x33, 0x33, 0, 0, 0, 1];
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ICMPV6: u8 = 58;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
/// Flags of a neighbour advertisement (RFC 4861 section 4.4).
const ROUTER: u8 = 0x80;
const OVERRIDE: u8 = 0x20;
const OPTION_TARGET_ADDRESS: u8 = 2;

/// ARP operations (RFC 826).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arp {
    Request = 1,
    Reply = 2,
}

/// Sends announcements.
#[derive(Debug)]
pub(super) struct Announcer {
    socket: OwnedFd,
    /// Where frames for an interface go, by its index.
    devices: BTreeMap<u32, LinkAddr>,
}

impl Announcer {
    /// Opens the packet socket. It is of protocol 0: nothing is ever received on it.
    pub(super) fn open() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Packet, SockType::Raw, flags, None)?;
        Ok(Self { socket, devices: BTreeMap::new() })
    }

    /// Learns the packet address of the interface `index`, so that an announcement later needs no look-up.
    pub(super) fn learn(&mut self, index: u32) -> io::Result<()> {
        if self.devices.contains_key(&index) {
            return Ok(());
        }
        for interface in getifaddrs()? {
            if let Some(device) = interface.address.as_ref().and_then(|address| address.as_link_addr())
                && u32::try_from(device.ifindex()).is_ok_and(|found| found == index)
            {
                self.devices.insert(index, *device);
                return Ok(());
            }
        }
        Err(io::Error::new(io::ErrorKind::NotFound, "the interface is gone"))
    }

    /// Forgets interfaces that are no longer there.
    pub(super) fn retain(&mut self, keep: impl Fn(u32) -> bool) {
        self.devices.retain(|index, _| keep(*index));
    }

    /// Tells the neighbours on interface `index` that `address` is at `mac` now: for IPv4 an ARP request and an
    /// ARP reply, as some only learn from one of them; for IPv6 a neighbour advertisement. Never blocks.
    pub(super) fn announce(&mut self, index: u32, mac: Mac, address: IpAddr, router: bool) -> io::Result<()> {
        self.learn(index)?;
        match address {
            IpAddr::V4(address) => {
                self.send(index, &arp(Arp::Request, mac, address))?;
                self.send(index, &arp(Arp::Reply, mac, address))
            }
            IpAddr::V6(address) => self.send(index, &neighbour_advertisement(mac, address, router)),
        }
    }

    fn send(&self, index: u32, frame: &[u8]) -> io::Result<()> {
        let device = self.devices.get(&index).ok_or(io::ErrorKind::NotFound)?;
        sendto(self.socket.as_raw_fd(), frame, device, MsgFlags::MSG_DONTWAIT)?;
        Ok(())
    }
}

fn ethernet(destination: Mac, source: Mac, kind: u16) -> Vec<u8> {
    let mut frame = Vec::with_capacity(86);
    frame.extend(destination);
    frame.extend(source);
    frame.extend(kind.to_be_bytes());
    frame
}

/// A gratuitous ARP packet (RFC 5944 section 4.6): sender and target are the announced address.
fn arp(operation: Arp, mac: Mac, address: Ipv4Addr) -> Vec<u8> {
    let mut frame = ethernet(BROADCAST, mac, ETHERTYPE_ARP);
    frame.extend([0, 1, 8, 0, 6, 4, 0, operation as u8]); // Ethernet, IPv4, their lengths, operation
    frame.extend(mac);
    frame.extend(address.octets());
    // A reply names the same target hardware address as its sender; a request has none to name.
    frame.extend(if operation == Arp::Reply { mac } else { [0; 6] });
    frame.extend(address.octets());
    frame
}

/// An unsolicited neighbour advertisement (RFC 4861 section 7.2.6, RFC 9568 section 8.2.3) that overrides what
/// the neighbours have cached.
fn neighbour_advertisement(mac: Mac, address: Ipv6Addr, router: bool) -> Vec<u8> {
    let mut icmp = vec![NEIGHBOUR_ADVERTISEMENT, 0, 0, 0];
    icmp.extend([OVERRIDE | if router { ROUTER } else { 0 }, 0, 0, 0]);
    icmp.extend(address.octets());
    icmp.extend([OPTION_TARGET_ADDRESS, 1]); // length in units of 8 bytes
    icmp.extend(mac);
    let sum = icmpv6_checksum(address, ALL_NODES, &icmp);
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());

    let mut frame = ethernet(ALL_NODES_MAC, mac, ETHERTYPE_IPV6);
    frame.extend([0x60, 0, 0, 0]); // version 6
    frame.extend([0, 32]); // length of what follows the header
    frame.extend([ICMPV6, 255]); // hop limit 255: proof that no router forwarded it
    frame.extend(address.octets());
    frame.extend(ALL_NODES.octets());
    frame.extend(icmp);
    frame
}

/// The Internet checksum over the IPv6 pseudo-header (RFC 8200 section 8.1) and an ICMPv6 message of even length.
fn icmpv6_checksum(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> u16 {
    let words = |bytes: &[u8]| -> u32 {
        bytes.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum()
    };
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut sum =
        words(&source.octets()) + words(&destination.octets()) + length + u32::from(ICMPV6) + words(message);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(u16::try_from(sum).unwrap_or(u16::MAX))
}

#[cfg(test)]
#[path = "tests/announce.rs"]
mod tests;
