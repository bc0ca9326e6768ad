//! How packets reach the real servers of a service.

use std::fmt;

use fairway_config::{Family, Tunnel, TunnelChecksum, TunnelKind};
use indexmap::IndexMap;

use super::hosts::ETHERNET_MTU;
use super::{Host, Listen, Network, ServerAddress};

/// How packets reach the real servers of a service, and how replies get back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Forward {
    /// The frame goes to the server's MAC address; the server answers as the virtual IP.
    Direct,
    /// The destination becomes the server; its replies come back through the director, its router.
    Nat,
    /// The destination becomes the server and the source the director, to which replies therefore go.
    FullNat,
    /// The packet travels inside another one to the server, which answers as the virtual IP.
    Tunnel(Tunnel),
}

/// The UDP port of GUE unless another one is written. IANA assigned it to GUE.
pub const GUE_PORT: u16 = 6080;

impl Forward {
    /// Every kind, with the usual settings.
    pub const KINDS: [Self; 4] = [
        Self::Direct,
        Self::Nat,
        Self::FullNat,
        Self::Tunnel(Tunnel { kind: TunnelKind::Ipip, port: None, checksum: TunnelChecksum::None }),
    ];

    /// The word in the topology.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Nat => "nat",
            Self::FullNat => "full-nat",
            Self::Tunnel(_) => "tunnel",
        }
    }

    /// What it means for packets, as a sentence.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Direct => {
                "direct: the director passes packets on unchanged; replies go from the server to the client"
            }
            Self::Nat => {
                "nat: the director changes the destination to the server's; replies come back through it"
            }
            Self::FullNat => {
                "full-nat: the director changes destination and source; servers see the director's address, not \
                 the client's"
            }
            Self::Tunnel(_) => {
                "tunnel: the director wraps packets for servers anywhere; replies go from the server to the client"
            }
        }
    }

    /// Whether requests arrive at the server with the virtual IP as their destination, and on its port.
    pub const fn keeps_destination(self) -> bool {
        matches!(self, Self::Direct | Self::Tunnel(_))
    }

    /// Whether replies pass the director.
    pub const fn replies_pass_director(self) -> bool {
        !self.keeps_destination()
    }

    /// Whether servers may be in networks that the directors are not in.
    pub const fn is_routed(self) -> bool {
        matches!(self, Self::FullNat | Self::Tunnel(_))
    }

    /// What the kernel's IPVS is told. It does not know the source address's part of full NAT, which is netfilter's.
    pub const fn for_director(self) -> fairway_config::Forward {
        match self {
            Self::Direct => fairway_config::Forward::Direct,
            Self::Nat | Self::FullNat => fairway_config::Forward::Nat,
            Self::Tunnel(tunnel) => fairway_config::Forward::Tunnel(tunnel),
        }
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The bytes that a tunnel adds to each packet, as `ip_vs_xmit.c` counts them: the outer IP header, and of GRE
/// (RFC 2784) its header, of GUE those of UDP and GUE.
pub const fn overhead(tunnel: Tunnel, outer: Family) -> u32 {
    let header = match outer {
        Family::Ipv4 => 20,
        Family::Ipv6 => 40,
    };
    header
        + match (tunnel.kind, tunnel.checksum) {
            (TunnelKind::Ipip, _) => 0,
            (TunnelKind::Gre, TunnelChecksum::None) => 4,
            (TunnelKind::Gre, _) => 8,
            (TunnelKind::Gue, TunnelChecksum::Remote) => 20,
            (TunnelKind::Gue, _) => 12,
        }
}

/// The largest packet on the way from the directors to a real server, in bytes, as far as the topology knows: that of
/// the server's network, and of the directors' own where they are not in it.
pub fn path_mtu(
    networks: &IndexMap<String, Network>,
    hosts: &IndexMap<String, Host>,
    listen: &Listen,
    at: &ServerAddress,
) -> u32 {
    let server = at.network.as_deref();
    let directors = listen.directors.iter().filter_map(|name| hosts.get(name));
    let away = directors.filter(|host| server.is_none_or(|network| host.interface_in(network).is_none()));
    let passed = away.flat_map(|host| host.interfaces.iter().map(|i| i.network.as_str())).chain(server);
    let mtus = passed.filter_map(|name| networks.get(name)).map(Network::largest_packet);
    mtus.min().unwrap_or(ETHERNET_MTU)
}

/// The bytes of a TCP header and of the address family's, without options.
pub const fn tcp_headers(family: Family) -> u32 {
    match family {
        Family::Ipv4 => 40,
        Family::Ipv6 => 60,
    }
}
