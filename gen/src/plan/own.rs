//! Directors that are real servers of what they direct.
//!
//! The master hands some requests to the other directors, which have the same services: their IPVS would hand them on,
//! back and forth. Direct routing leaves the packets as they are, but for the MAC address of the sender. So every
//! director learns the MAC addresses of the others (their adverts and probes tell), and gives requests that come from
//! those its own address, before IPVS looks. Full NAT needs none of this: its requests are for the server's address.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use fairway_config::{Check, Family, Probe, Protocol};

use super::{Roles, Socket};
use crate::topology::{Forward, Host, Ports, Server, Service, Topology};

/// What other directors hand to this host, which is their real server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handed {
    /// The interface it comes in by.
    pub interface: String,
    /// The other directors' addresses there.
    pub directors: BTreeSet<IpAddr>,
    /// The host's address as a real server.
    pub server: IpAddr,
    /// Virtual IPs and ports.
    pub sockets: BTreeSet<Socket>,
}

/// Requests from other directors, by interface and address.
pub(super) fn handed(topology: &Topology, (name, host): (&str, &Host), roles: &Roles<'_>) -> Vec<Handed> {
    let mut found: BTreeMap<(&str, IpAddr), Handed> = BTreeMap::new();
    for (service, listen, server) in roles.own.iter().copied() {
        let Some(at) = server.address(Family::of(listen.address)) else { continue };
        let network = at.network.as_deref();
        let Some(interface) = network.and_then(|network| host.interface_in(network)) else { continue };
        if service.forward != Forward::Direct {
            continue;
        }
        let handed = found.entry((interface.name.as_str(), at.address)).or_insert_with(|| Handed {
            interface: interface.name.to_string(),
            directors: BTreeSet::new(),
            server: at.address,
            sockets: BTreeSet::new(),
        });
        let others = listen.directors.iter().filter(|other| *other != name);
        let others = others.filter_map(|other| topology.hosts[other].interface_in(&interface.network));
        let addresses = others.flat_map(|other| other.addresses.iter().map(ipnet::IpNet::addr));
        handed.directors.extend(addresses.filter(|address| Family::of(*address) == Family::of(at.address)));
        handed.sockets.insert((listen.address, service.protocol, listen.ports));
    }
    // A director that is alone has nobody to hand it anything.
    found.into_values().filter(|handed| !handed.directors.is_empty()).collect()
}

/// Where the host answers requests and probes as a real server of what it directs.
pub(super) fn served(topology: &Topology, roles: &Roles<'_>) -> BTreeSet<Socket> {
    let mut sockets = BTreeSet::new();
    for (service, listen, server) in roles.own.iter().copied() {
        let Some(at) = server.address(Family::of(listen.address)) else { continue };
        let ports = server.ports_for(listen);
        sockets.insert((at.address, service.protocol, ports));
        for check in checks(topology, service, server) {
            let asked = check.port.map_or(ports, Ports::one);
            sockets.extend(transports(check).iter().map(|protocol| (at.address, *protocol, asked)));
        }
    }
    sockets
}

fn checks<'t>(
    topology: &'t Topology,
    service: &'t Service,
    server: &'t Server,
) -> impl Iterator<Item = &'t Check> {
    let names = server.checks.as_ref().unwrap_or(&service.checks);
    names.iter().filter_map(|name| topology.checks.get(name))
}

/// What a check's packets are; ICMP is always let in.
fn transports(check: &Check) -> &'static [Protocol] {
    match check.probe() {
        Some(Probe::Ping(_) | Probe::Script(_) | Probe::File(_)) | None => &[],
        Some(Probe::Udp(_)) => &[Protocol::Udp],
        // Over TCP when the answer is long.
        Some(Probe::Dns(_)) => &[Protocol::Udp, Protocol::Tcp],
        Some(_) => &[Protocol::Tcp],
    }
}
