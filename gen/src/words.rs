//! How services are spoken of, in pictures and explanations.

use std::collections::HashMap;
use std::net::IpAddr;

use fairway_config::{Family, TunnelKind};

use crate::topology::{Forward, Listen, Service, Topology};

/// Names of virtual IPs by address.
pub fn vip_names(topology: &Topology) -> HashMap<IpAddr, &str> {
    topology.virtual_ips.iter().map(|(name, vip)| (vip.address, name.as_str())).collect()
}

/// A forwarding kind: `direct`, or `tunnel gre`.
pub fn forward(forward: Forward) -> String {
    match forward {
        Forward::Tunnel(tunnel) => format!("tunnel {}", tunnel_name(tunnel.kind)),
        _ => forward.name().to_owned(),
    }
}

/// The word for a kind of tunnel.
pub fn tunnel_name(kind: TunnelKind) -> &'static str {
    match kind {
        TunnelKind::Ipip => "ipip",
        TunnelKind::Gre => "gre",
        TunnelKind::Gue => "gue",
    }
}

/// A listen as people say it: `shop 192.168.1.100:80/tcp`.
pub fn listen_text(names: &HashMap<IpAddr, &str>, service: &Service, listen: &Listen) -> String {
    let name = names.get(&listen.address).map_or(String::new(), |name| format!("{name} "));
    let address = match Family::of(listen.address) {
        Family::Ipv4 => listen.address.to_string(),
        Family::Ipv6 => format!("[{}]", listen.address),
    };
    if listen.ports.is_every() {
        format!("{name}{address} every {} port", service.protocol)
    } else {
        format!("{name}{address}:{}/{}", listen.ports, service.protocol)
    }
}
