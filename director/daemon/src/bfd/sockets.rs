//! UDP sockets: one to listen on for each address family and port, one to send from for each session.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};

use fairway_config::{BfdKey, BfdSession, Family};
use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, RecvMsg, SockaddrIn, SockaddrIn6, SockaddrLike, recvmsg, setsockopt,
    sockopt,
};
use socket2::{Domain, Protocol, Socket, Type};

/// RFC 5881 section 4, RFC 5883 section 5.
const SINGLE_HOP: u16 = 3784;
const MULTIHOP: u16 = 4784;
/// RFC 5881 section 4: what packets are sent from.
const SOURCE_PORTS: std::ops::RangeInclusive<u16> = 49152..=65535;
/// Ports that are tried before a session waits for another turn.
const ATTEMPTS: u16 = 64;
/// Class selector 6, "internetwork control", as other routers set it.
const INTERNETWORK_CONTROL: u32 = 0xc0;
/// RFC 5881 section 5.
const TTL: u32 = 255;
/// Larger than any packet with authentication; what is longer is no packet.
const PAYLOAD: usize = 256;
/// Room for the packets that queue up while the loop is held up.
const RECEIVE_BUFFER: usize = 512 * 1024;

/// Where packets come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Inlet {
    pub(super) family: Family,
    pub(super) multihop: bool,
}

impl Inlet {
    /// The one that the packets of a session come through.
    pub(super) fn of(key: &BfdKey, session: &BfdSession) -> Self {
        let family = if key.neighbour.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 };
        Self { family, multihop: session.hops > 1 }
    }

    pub(super) const fn port(self) -> u16 {
        if self.multihop { MULTIHOP } else { SINGLE_HOP }
    }
}

/// A packet as it came.
#[derive(Debug)]
pub(super) struct Datagram {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    /// The interface it came in by.
    pub(super) index: u32,
    /// TTL or hop limit.
    pub(super) ttl: u8,
    payload: [u8; PAYLOAD],
    length: usize,
}

impl Datagram {
    pub(super) fn payload(&self) -> &[u8] {
        &self.payload[..self.length]
    }
}

/// A socket that listens at a port for everybody.
#[derive(Debug)]
pub(super) struct Listener {
    socket: Socket,
    family: Family,
}

impl Listener {
    pub(super) fn open(inlet: Inlet) -> io::Result<Self> {
        let (domain, any): (_, IpAddr) = match inlet.family {
            Family::Ipv4 => (Domain::IPV4, Ipv4Addr::UNSPECIFIED.into()),
            Family::Ipv6 => (Domain::IPV6, Ipv6Addr::UNSPECIFIED.into()),
        };
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        match inlet.family {
            Family::Ipv4 => {
                setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
                setsockopt(&socket, sockopt::Ipv4RecvTtl, &true)?;
            }
            Family::Ipv6 => {
                socket.set_only_v6(true)?;
                setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
                setsockopt(&socket, sockopt::Ipv6RecvHopLimit, &true)?;
            }
        }
        socket.bind(&SocketAddr::new(any, inlet.port()).into())?;
        Ok(Self { socket, family: inlet.family })
    }

    /// Takes one datagram from the queue; `None` when it is empty.
    pub(super) fn receive(&self) -> io::Result<Option<Datagram>> {
        let received = match self.family {
            Family::Ipv4 => self.receive_as(|address: &SockaddrIn| address.ip().into()),
            Family::Ipv6 => self.receive_as(|address: &SockaddrIn6| address.ip().into()),
        };
        match received {
            Ok(datagram) => Ok(Some(datagram)),
            Err(Errno::EAGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn receive_as<A: SockaddrLike>(&self, ip: impl FnOnce(&A) -> IpAddr) -> nix::Result<Datagram> {
        let mut control = cmsg_space!(libc::in6_pktinfo, libc::c_int);
        let mut payload = [0; PAYLOAD];
        let mut data = [IoSliceMut::new(&mut payload)];
        let fd = self.socket.as_raw_fd();
        let message = recvmsg::<A>(fd, &mut data, Some(&mut control), MsgFlags::MSG_DONTWAIT)?;
        let source = message.address.as_ref().map(ip);
        let (destination, index, ttl) = arrival(&message)?;
        let length = message.bytes;
        Ok(Datagram {
            source: source.unwrap_or(Ipv4Addr::UNSPECIFIED.into()),
            destination: destination.unwrap_or(Ipv4Addr::UNSPECIFIED.into()),
            index,
            // Without one it counts as one that comes from afar.
            ttl: ttl.unwrap_or(0),
            payload,
            length,
        })
    }
}

fn arrival<A>(message: &RecvMsg<'_, '_, A>) -> nix::Result<(Option<IpAddr>, u32, Option<u8>)> {
    let (mut destination, mut index, mut ttl) = (None, 0, None);
    for item in message.cmsgs()? {
        match item {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                destination = Some(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)).into());
                index = u32::try_from(info.ipi_ifindex).unwrap_or(0);
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                destination = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into());
                index = info.ipi6_ifindex;
            }
            ControlMessageOwned::Ipv4Ttl(limit) | ControlMessageOwned::Ipv6HopLimit(limit) => {
                ttl = u8::try_from(limit).ok();
            }
            _ => {}
        }
    }
    Ok((destination, index, ttl))
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A socket that the packets of one session are sent from.
#[derive(Debug)]
pub(super) struct Outlet {
    socket: Socket,
    destination: SocketAddr,
    /// The port it sends from.
    pub(super) port: u16,
}

impl Outlet {
    /// Opens it at `port` (RFC 5881 section 4: it stays the same), or, if that is taken, at one after it.
    pub(super) fn open(key: &BfdKey, session: &BfdSession, port: u16) -> io::Result<Self> {
        let inlet = Inlet::of(key, session);
        let scope = match &session.interface {
            Some(name) => if_nametoindex(name.as_str())?,
            None => 0,
        };
        let at = |address: IpAddr, port: u16| match address {
            IpAddr::V4(_) => SocketAddr::new(address, port),
            IpAddr::V6(address) => {
                let scope = if address.is_unicast_link_local() { scope } else { 0 };
                SocketAddrV6::new(address, port, 0, scope).into()
            }
        };
        let domain = if key.neighbour.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        match inlet.family {
            Family::Ipv4 => {
                socket.set_ttl_v4(TTL)?;
                socket.set_tos_v4(INTERNETWORK_CONTROL)?;
            }
            Family::Ipv6 => {
                socket.set_unicast_hops_v6(TTL)?;
                socket.set_tclass_v6(INTERNETWORK_CONTROL)?;
            }
        }
        if let Some(interface) = &session.interface {
            socket.bind_device(Some(interface.as_str().as_bytes()))?;
        }
        let unspecified: IpAddr = match inlet.family {
            Family::Ipv4 => Ipv4Addr::UNSPECIFIED.into(),
            Family::Ipv6 => Ipv6Addr::UNSPECIFIED.into(),
        };
        let local = session.local.unwrap_or(unspecified);
        let mut outcome = Err(io::ErrorKind::AddrInUse.into());
        for port in (0..ATTEMPTS).map(|offset| nth_source_port(port, offset)) {
            outcome = socket.bind(&at(local, port).into()).map(|()| port);
            if !matches!(&outcome, Err(error) if error.kind() == io::ErrorKind::AddrInUse) {
                break;
            }
        }
        Ok(Self { socket, destination: at(key.neighbour, inlet.port()), port: outcome? })
    }

    /// Sends one packet. Never blocks.
    pub(super) fn send(&self, payload: &[u8]) -> io::Result<()> {
        self.socket.send_to(payload, &self.destination.into()).map(drop)
    }
}

/// A port of the range that packets may be sent from, `offset` after `port`.
pub(super) fn nth_source_port(port: u16, offset: u16) -> u16 {
    let (first, count) = (*SOURCE_PORTS.start(), SOURCE_PORTS.end() - SOURCE_PORTS.start() + 1);
    first + port.wrapping_sub(first).wrapping_add(offset) % count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_sent_from_the_ports_of_the_rfc() {
        for port in [0, 1, 3784, 49151, 49152, 60000, 65535] {
            for offset in [0, 1, ATTEMPTS] {
                assert!(SOURCE_PORTS.contains(&nth_source_port(port, offset)), "{port} + {offset}");
            }
        }
        assert_eq!(nth_source_port(50000, 0), 50000);
        assert_eq!(nth_source_port(65535, 1), 49152);
    }
}
