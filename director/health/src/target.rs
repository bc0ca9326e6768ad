//! Where a probe goes, and which way.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use socket2::SockRef;

/// An address that is probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Target {
    /// The address and port that the probe connects to.
    pub address: SocketAddr,
    /// How its packets get to one certain server, where the address alone does not say which.
    pub detour: Option<Detour>,
}

/// The way of a probe to a virtual IP: its packets carry a mark, and IPVS has a service of that mark with one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Detour {
    /// The mark (`SO_MARK`, which needs `CAP_NET_ADMIN`).
    pub mark: u32,
    /// The server's own address. Probes come from the address that this machine uses towards it: on a director
    /// that has the virtual IP the kernel would choose that one, and nobody answers it.
    pub server: IpAddr,
}

impl Target {
    /// Makes a socket take the detour. Returns the address it is to be bound to.
    pub(crate) fn prepare(&self, socket: SockRef<'_>) -> io::Result<Option<SocketAddr>> {
        let Some(detour) = self.detour else { return Ok(None) };
        socket.set_mark(detour.mark)?;
        own_address(detour.server).map(Some)
    }
}

/// The address this machine uses towards another; any port of it.
fn own_address(peer: IpAddr) -> io::Result<SocketAddr> {
    let any: IpAddr =
        if peer.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    // Sends nothing: the kernel only looks up the route. Any port but 0 will do; this is that of discard.
    socket.connect((peer, 9))?;
    let mut own = socket.local_addr()?;
    own.set_port(0);
    Ok(own)
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.detour {
            None => self.address.fmt(f),
            Some(detour) => write!(f, "{} on {}", self.address, detour.server),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_address_towards_oneself_is_that_address() {
        assert_eq!(
            own_address(Ipv4Addr::LOCALHOST.into()).unwrap(),
            SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
        );
        assert_eq!(
            own_address(Ipv6Addr::LOCALHOST.into()).unwrap(),
            SocketAddr::from((Ipv6Addr::LOCALHOST, 0))
        );
    }

    #[test]
    fn a_detour_is_named() {
        let address = SocketAddr::from(([10, 0, 0, 100], 80));
        let straight = Target { address, detour: None };
        let detour = Some(Detour { mark: 1, server: [10, 0, 0, 21].into() });
        assert_eq!(straight.to_string(), "10.0.0.100:80");
        assert_eq!(Target { detour, ..straight }.to_string(), "10.0.0.100:80 on 10.0.0.21");
    }
}
