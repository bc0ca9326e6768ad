//! Full NAT's source addresses, and the SYN proxy in front of services whose replies pass the director.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use fairway_config::{Family, Protocol};

use super::{Roles, links};
use crate::topology::{Forward, Host, Topology, tcp_headers};

/// Requests of full NAT that leave by one interface and get their source from the same addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceNat {
    /// The interface towards the servers.
    pub interface: String,
    /// What the source becomes; clients are spread over several.
    pub addresses: Vec<IpAddr>,
    /// The services, all of one family.
    pub services: TranslatedServices,
}

/// Services: protocol, address, port (0 is every port).
type TranslatedServices = BTreeSet<(Protocol, IpAddr, u16)>;

/// Services whose connections are opened by the director first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SynProxy {
    /// The largest segment the servers can take, in bytes.
    pub mss: u32,
    /// The services, all of one family.
    pub services: BTreeSet<(IpAddr, u16)>,
}

/// What a full-NAT director's source address becomes, by interface.
pub(super) fn source_nat(
    topology: &Topology,
    (name, host): (&str, &Host),
    roles: &Roles<'_>,
) -> Vec<SourceNat> {
    let mut found: BTreeMap<(String, Vec<IpAddr>), TranslatedServices> = BTreeMap::new();
    for (service, listen, _, at) in roles.servers(|forward| forward == Forward::FullNat) {
        let family = Family::of(at.address);
        let Some(interface) = links::towards(topology, (name, host), roles, at) else { continue };
        let pool: Vec<IpAddr> = listen.sources_in(&interface.network, family).collect();
        let addresses = if pool.is_empty() { interface.address(family).into_iter().collect() } else { pool };
        let key = (interface.name.to_string(), addresses);
        found.entry(key).or_default().insert((service.protocol, listen.address, listen.ports.first));
    }
    found
        .into_iter()
        .map(|((interface, addresses), services)| SourceNat { interface, addresses, services })
        .collect()
}

/// The services with a SYN proxy, by the segment size that is offered to their clients.
pub(super) fn syn_proxy(topology: &Topology, roles: &Roles<'_>) -> Vec<SynProxy> {
    let mut found: BTreeMap<(Family, u32), BTreeSet<(IpAddr, u16)>> = BTreeMap::new();
    for (service, listen) in roles.directs.iter().filter(|(service, _)| service.syn_proxy) {
        let family = Family::of(listen.address);
        let servers = service.servers.iter().filter_map(|server| server.address(family)?.network.as_deref());
        let mtu = topology.smallest_mtu(listen.network.as_deref().into_iter().chain(servers));
        found
            .entry((family, mtu - tcp_headers(family)))
            .or_default()
            .insert((listen.address, listen.ports.first));
    }
    found.into_iter().map(|((_, mss), services)| SynProxy { mss, services }).collect()
}
