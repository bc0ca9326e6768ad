//! The sockets adverts go through: one for each interface, address family and protocol, shared by all virtual
//! routers there. A socket belongs to an interface index: an interface that is created anew needs a new socket.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::num::NonZeroU32;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use fairway_config::Family;
use fairway_vrrp::{Carrier, group_address};
use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, recv, recvmsg, sendmsg,
    setsockopt, sockopt,
};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockFilter, Socket, Type};

/// IP protocol numbers of VRRP and of the authentication header.
const VRRP: u8 = 112;
const AUTHENTICATION_HEADER: u8 = 51;
/// Class selector 6, "internetwork control" (RFC 791), as other VRRP routers set it.
const INTERNETWORK_CONTROL: u8 = 0xc0;
/// Room for the packets that queue up while the loop is held up; beyond it the kernel drops the newest.
const RECEIVE_BUFFER: usize = 512 * 1024;

/// What a datagram's IP header said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    /// TTL or hop limit.
    pub(super) ttl: u8,
    pub(super) carrier: Carrier,
}

/// What a socket carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wire {
    /// IP protocol 112.
    Vrrp,
    /// IP protocol 51, IPv4 only. The IP header is ours, because the authentication header covers it.
    Header,
}

impl Wire {
    const fn protocol(self) -> u8 {
        match self {
            Self::Vrrp => VRRP,
            Self::Header => AUTHENTICATION_HEADER,
        }
    }

    /// What an advert with this carrier goes through.
    pub(super) const fn of(carrier: Carrier) -> Self {
        match carrier {
            Carrier::Vrrp => Self::Vrrp,
            Carrier::Header { .. } => Self::Header,
        }
    }
}

/// A received datagram.
#[derive(Debug)]
pub(super) enum Datagram<'a> {
    /// A whole one.
    Whole(Header, &'a [u8]),
    /// One whose IP header makes no sense or that came cut off.
    Malformed,
}

/// A raw socket of one protocol on one interface.
#[derive(Debug)]
pub(super) struct AdvertSocket {
    socket: Socket,
    family: Family,
    wire: Wire,
    index: u32,
    joined: bool,
    /// Whether the link ran when it was looked at last.
    running: bool,
}

impl AdvertSocket {
    /// Opens the socket on the interface `index` and joins the VRRP multicast group there.
    pub(super) fn open(index: u32, family: Family, wire: Wire) -> io::Result<Self> {
        let domain = match family {
            Family::Ipv4 => Domain::IPV4,
            Family::Ipv6 => Domain::IPV6,
        };
        let device = NonZeroU32::new(index);
        let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(i32::from(wire.protocol()))))?;
        match family {
            Family::Ipv4 => socket.bind_device_by_index_v4(device)?,
            Family::Ipv6 => socket.bind_device_by_index_v6(device)?,
        }
        Self::configured(socket, index, family, wire)
    }

    /// Takes over the socket of another process. What it is says the kernel, not who passed it on.
    pub(super) fn inherit(descriptor: OwnedFd) -> io::Result<Self> {
        let socket = Socket::from(descriptor);
        let other = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what.to_owned());
        let family = match socket.domain()? {
            Domain::IPV4 => Family::Ipv4,
            Domain::IPV6 => Family::Ipv6,
            _ => return Err(other("neither IPv4 nor IPv6")),
        };
        let protocol = socket.protocol()?.map(i32::from);
        let is = |wire: &Wire| protocol == Some(wire.protocol().into());
        let wire = [Wire::Vrrp, Wire::Header].into_iter().find(is).ok_or_else(|| other("not of VRRP"))?;
        let index = socket.device_index_v4()?.ok_or_else(|| other("bound to no interface"))?;
        if socket.r#type()? != Type::RAW {
            return Err(other("not a raw socket"));
        }
        Self::configured(socket, index.get(), family, wire)
    }

    /// Sets every option, so that a socket of another release is as good as one of ours. Adverts may come from an
    /// address that the interface does not have: a virtual MAC's from that of the interface below, and a goodbye from
    /// one that was just taken away.
    fn configured(socket: Socket, index: u32, family: Family, wire: Wire) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        match family {
            Family::Ipv4 => {
                socket.set_multicast_all_v4(false)?;
                socket.set_multicast_loop_v4(false)?;
                socket.set_multicast_ttl_v4(255)?;
                socket.set_ttl_v4(255)?;
                socket.set_header_included_v4(wire == Wire::Header)?;
                socket.set_tos_v4(INTERNETWORK_CONTROL.into())?;
                socket.set_ip_transparent_v4(true)?;
            }
            Family::Ipv6 => {
                socket.set_multicast_all_v6(false)?;
                socket.set_multicast_loop_v6(false)?;
                socket.set_multicast_hops_v6(255)?;
                socket.set_unicast_hops_v6(255)?;
                socket.set_multicast_if_v6(index)?;
                socket.set_tclass_v6(INTERNETWORK_CONTROL.into())?;
                socket.set_freebind_v6(true)?;
                setsockopt(&socket, sockopt::Ipv6RecvHopLimit, &true)?;
                setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
            }
        }
        let mut socket = Self { socket, family, wire, index, joined: false, running: true };
        socket.join();
        Ok(socket)
    }

    /// Makes it a socket of an interface with a virtual MAC: for what comes from another router with the same MAC. The kernel gives that to this interface alone; all else
    /// is heard on the interface below as well, and must not be heard twice.
    pub(super) fn of_virtual_mac(self, mac: [u8; 6]) -> io::Result<Self> {
        self.socket.attach_filter(&only_from(mac))?;
        Ok(self)
    }

    /// What it carries, besides the interface.
    pub(super) fn kind(&self) -> (Family, Wire) {
        (self.family, self.wire)
    }

    /// A descriptor of it for another process.
    pub(super) fn share(&self) -> io::Result<OwnedFd> {
        self.socket.try_clone().map(OwnedFd::from)
    }

    /// Index of the interface it is bound to.
    pub(super) fn index(&self) -> u32 {
        self.index
    }

    /// Takes note of whether the link runs. One that has come back may end at a switch that has forgotten who wants
    /// the group, and the kernel tells nobody of a membership that it has all along: then this leaves the group, for
    /// [`Self::join`] to tell the switch.
    pub(super) fn heed_link(&mut self, running: bool) {
        let ran = std::mem::replace(&mut self.running, running);
        if ran || !running || !self.joined {
            return;
        }
        let left = match group_address(self.family) {
            IpAddr::V4(group) => {
                self.socket.leave_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(self.index))
            }
            IpAddr::V6(group) => self.socket.leave_multicast_v6(&group, self.index),
        };
        self.joined = left.is_err();
    }

    /// Joins the VRRP multicast group, unless that is done. It fails while the interface has the address family
    /// switched off, so it is tried again whenever the interface changes.
    pub(super) fn join(&mut self) {
        if self.joined {
            return;
        }
        let joined = match group_address(self.family) {
            IpAddr::V4(group) => {
                self.socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(self.index))
            }
            IpAddr::V6(group) => self.socket.join_multicast_v6(&group, self.index),
        };
        match joined {
            Ok(()) => self.joined = true,
            // Of a socket that was passed on.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => self.joined = true,
            Err(error) => tracing::warn!(
                index = self.index, family = %self.family, %error,
                "cannot join the VRRP multicast group yet; is the address family enabled on the interface?"
            ),
        }
    }

    /// Sends one datagram from `source`. Never blocks.
    pub(super) fn send(
        &self,
        source: IpAddr,
        destination: IpAddr,
        carrier: Carrier,
        payload: &[u8],
    ) -> io::Result<()> {
        let header = match (carrier, source, destination) {
            (Carrier::Header { identification }, IpAddr::V4(source), IpAddr::V4(destination)) => {
                &header_v4(identification, source, destination)[..]
            }
            (Carrier::Header { .. }, ..) => return Err(io::ErrorKind::InvalidInput.into()),
            (Carrier::Vrrp, ..) => &[], // the kernel writes it
        };
        let (fd, data) = (self.socket.as_raw_fd(), [IoSlice::new(header), IoSlice::new(payload)]);
        let flags = MsgFlags::MSG_DONTWAIT;
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let info = libc::in_pktinfo {
                    ipi_ifindex: libc::c_int::try_from(self.index).map_err(io::Error::other)?,
                    ipi_spec_dst: libc::in_addr { s_addr: u32::from(source).to_be() },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                let to = SockaddrIn::from(SocketAddrV4::new(destination, 0));
                sendmsg(fd, &data, &[ControlMessage::Ipv4PacketInfo(&info)], flags, Some(&to))?;
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let info = libc::in6_pktinfo {
                    ipi6_addr: libc::in6_addr { s6_addr: source.octets() },
                    ipi6_ifindex: self.index,
                };
                let to = SockaddrIn6::from(SocketAddrV6::new(destination, 0, 0, self.index));
                sendmsg(fd, &data, &[ControlMessage::Ipv6PacketInfo(&info)], flags, Some(&to))?;
            }
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        }
        Ok(())
    }

    /// Takes one datagram from the queue; `None` when it is empty.
    pub(super) fn receive<'a>(&self, buffer: &'a mut [u8]) -> io::Result<Option<Datagram<'a>>> {
        let received = match self.family {
            Family::Ipv4 => self.receive_v4(buffer),
            Family::Ipv6 => self.receive_v6(buffer),
        };
        match received {
            Ok(datagram) => Ok(Some(datagram)),
            Err(Errno::EAGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn receive_v4<'a>(&self, buffer: &'a mut [u8]) -> nix::Result<Datagram<'a>> {
        // With MSG_TRUNC the length is that of the datagram, even if it did not fit.
        let length = recv(self.socket.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC)?;
        Ok(match buffer.get(..length).and_then(|datagram| split_v4(datagram, self.wire)) {
            Some((header, payload)) => Datagram::Whole(header, payload),
            None => Datagram::Malformed,
        })
    }

    fn receive_v6<'a>(&self, buffer: &'a mut [u8]) -> nix::Result<Datagram<'a>> {
        let mut control = cmsg_space!(libc::in6_pktinfo, libc::c_int);
        let (mut source, mut destination, mut ttl) = (None, None, None);
        let (length, cut) = {
            let mut data = [IoSliceMut::new(buffer)];
            let flags = MsgFlags::MSG_DONTWAIT;
            let fd = self.socket.as_raw_fd();
            let message = recvmsg::<SockaddrIn6>(fd, &mut data, Some(&mut control), flags)?;
            if let Some(address) = &message.address {
                source = Some(address.ip());
            }
            for item in message.cmsgs()? {
                match item {
                    ControlMessageOwned::Ipv6PacketInfo(info) => {
                        destination = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr));
                    }
                    ControlMessageOwned::Ipv6HopLimit(limit) => ttl = u8::try_from(limit).ok(),
                    _ => {}
                }
            }
            (message.bytes, message.flags.intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC))
        };
        Ok(match (source, destination, ttl) {
            (Some(source), Some(destination), Some(ttl)) if !cut => Datagram::Whole(
                Header {
                    source: source.into(),
                    destination: destination.into(),
                    ttl,
                    carrier: Carrier::Vrrp,
                },
                &buffer[..length],
            ),
            _ => Datagram::Malformed,
        })
    }
}

/// A filter (`linux/filter.h`) that lets frames with this source MAC address pass.
fn only_from(mac: [u8; 6]) -> [SockFilter; 6] {
    const LOAD_HALF: u16 = 0x28;
    const LOAD_WORD: u16 = 0x20;
    const JUMP_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    // Where the Ethernet header begins (SKF_LL_OFF), and where that has the source.
    const SOURCE: u32 = 0xffe0_0000 + 6;
    let [a, b, c, d, e, f] = mac;
    [
        SockFilter::new(LOAD_HALF, 0, 0, SOURCE),
        SockFilter::new(JUMP_EQUAL, 0, 3, u32::from(u16::from_be_bytes([a, b]))),
        SockFilter::new(LOAD_WORD, 0, 0, SOURCE + 2),
        SockFilter::new(JUMP_EQUAL, 0, 1, u32::from_be_bytes([c, d, e, f])),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

impl AsFd for AdvertSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// An IPv4 header (RFC 791 section 3.1) for an authentication header; the kernel fills in length and checksum.
fn header_v4(identification: u16, source: Ipv4Addr, destination: Ipv4Addr) -> [u8; 20] {
    let mut header = [0; 20];
    header[..2].copy_from_slice(&[0x45, INTERNETWORK_CONTROL]);
    header[4..6].copy_from_slice(&identification.to_be_bytes());
    header[8..10].copy_from_slice(&[255, AUTHENTICATION_HEADER]);
    header[12..16].copy_from_slice(&source.octets());
    header[16..].copy_from_slice(&destination.octets());
    header
}

/// Takes the IPv4 header (RFC 791 section 3.1) off a datagram. An authentication header covers options, which we
/// do not send and do not take.
fn split_v4(datagram: &[u8], wire: Wire) -> Option<(Header, &[u8])> {
    let fixed = datagram.first_chunk::<20>()?;
    let header_length = usize::from(fixed[0] & 0x0f) * 4;
    let total_length = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    if fixed[0] >> 4 != 4 || header_length < fixed.len() || fixed[9] != wire.protocol() {
        return None;
    }
    let carrier = match wire {
        Wire::Vrrp => Carrier::Vrrp,
        Wire::Header if header_length > fixed.len() => return None,
        Wire::Header => Carrier::Header { identification: u16::from_be_bytes([fixed[4], fixed[5]]) },
    };
    // What is beyond the total length is padding of the link layer.
    let payload = datagram.get(header_length..total_length)?;
    let address = |at: usize| Some(Ipv4Addr::from(*datagram.get(at..)?.first_chunk::<4>()?));
    let (source, destination) = (address(12)?.into(), address(16)?.into());
    Some((Header { source, destination, ttl: fixed[8], carrier }, payload))
}

#[cfg(test)]
#[path = "tests/sockets.rs"]
mod tests;
