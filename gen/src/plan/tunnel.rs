//! The servers' end of tunnels: interfaces that unwrap packets, and TCP segments that fit.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use fairway_config::{Family, TunnelKind};

use super::Roles;
use crate::topology::{Forward, Topology, overhead, path_mtu, tcp_headers};

/// What a host needs to unwrap packets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tunnels {
    /// Interfaces on which the unwrapped packets arrive.
    pub devices: Vec<Device>,
    /// UDP ports that take GUE.
    pub ports: BTreeSet<u16>,
    /// The largest TCP segments, for each virtual IP.
    pub segments: Vec<Segments>,
}

/// An interface on which unwrapped packets arrive.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// The kind, as networkd and `ip link` call it.
    pub kind: &'static str,
    /// The address it takes packets for.
    pub local: IpAddr,
    /// The IPv4 virtual IPs whose packets come out of it. It needs an address: on an interface without any, every
    /// check of the return path fails, the loose one too (`__fib_validate_source`).
    pub vips: BTreeSet<IpAddr>,
    /// Whether IPv6 packets come out of it.
    pub ipv6: bool,
}

/// The largest TCP segments that clients of some virtual IPs may send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segments {
    /// The largest segment, in bytes.
    pub mss: u32,
    /// The virtual IPs, all of one family.
    pub vips: BTreeSet<IpAddr>,
}

/// The kind of interface that unwraps packets of a family from another.
const fn device_kind(kind: TunnelKind, outer: Family, inner: Family) -> &'static str {
    match (kind, outer, inner) {
        (TunnelKind::Gre, Family::Ipv4, _) => "gre",
        (TunnelKind::Gre, Family::Ipv6, _) => "ip6gre",
        // Behind its UDP port GUE carries what IP in IP does.
        (_, Family::Ipv4, Family::Ipv4) => "ipip",
        (_, Family::Ipv4, Family::Ipv6) => "sit",
        (_, Family::Ipv6, _) => "ip6tnl",
    }
}

/// The kernel modules of these kinds of interface.
pub(super) fn modules(tunnels: &Tunnels) -> BTreeSet<&'static str> {
    let devices = tunnels.devices.iter().map(|device| match device.kind {
        "gre" => "ip_gre",
        "ip6gre" => "ip6_gre",
        "ip6tnl" => "ip6_tunnel",
        other => other,
    });
    devices.chain((!tunnels.ports.is_empty()).then_some("fou")).collect()
}

/// "fairway-ipip", "fairway-ipip2" and so on.
fn name(kind: &str, number: usize) -> String {
    if number == 1 { format!("fairway-{kind}") } else { format!("fairway-{kind}{number}") }
}

/// What a host needs for the tunnels that end at it.
pub(super) fn tunnels(topology: &Topology, roles: &Roles<'_>) -> Tunnels {
    let mut ends: BTreeMap<(&'static str, IpAddr), BTreeSet<IpAddr>> = BTreeMap::new();
    let mut ports = BTreeSet::new();
    let mut largest: BTreeMap<IpAddr, u32> = BTreeMap::new();
    for (service, listen, server) in &roles.serves {
        let Forward::Tunnel(tunnel) = service.forward else { continue };
        let inner = Family::of(listen.address);
        let Some(at) = server.address(inner) else { continue };
        let outer = Family::of(at.address);
        ends.entry((device_kind(tunnel.kind, outer, inner), at.address)).or_default().insert(listen.address);
        if tunnel.kind == TunnelKind::Gue {
            ports.extend(tunnel.port);
        }
        let room = path_mtu(&topology.networks, &topology.hosts, listen, at) - overhead(tunnel, outer);
        let mss = room - tcp_headers(inner);
        largest.entry(listen.address).and_modify(|m| *m = mss.min(*m)).or_insert(mss);
    }
    let mut segments: BTreeMap<(Family, u32), BTreeSet<IpAddr>> = BTreeMap::new();
    for (vip, mss) in largest {
        segments.entry((Family::of(vip), mss)).or_default().insert(vip);
    }
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    let devices = ends.into_iter().map(|((kind, local), vips)| {
        let number = numbers.entry(kind).or_default();
        *number += 1;
        let ipv6 = vips.iter().any(IpAddr::is_ipv6);
        let vips = vips.into_iter().filter(IpAddr::is_ipv4).collect();
        Device { name: name(kind, *number), kind, local, vips, ipv6 }
    });
    Tunnels {
        devices: devices.collect(),
        ports,
        segments: segments.into_iter().map(|((_, mss), vips)| Segments { mss, vips }).collect(),
    }
}
