//! Interfaces: addresses, default routes, and the VIPs of direct-routing real servers.

use std::collections::BTreeSet;
use std::net::IpAddr;

use fairway_config::Family;
use ipnet::IpNet;

use super::Roles;
use crate::topology::{Host, Interface, ServerAddress, Topology};

/// A managed interface.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// The largest packet, in bytes, where the topology says it.
    pub mtu: Option<u32>,
    /// Its own addresses.
    pub addresses: Vec<IpNet>,
    /// Those of them, IPv6, that are virtual IPs, so that another host may have them when this one comes back.
    pub owned: Vec<IpNet>,
    /// The routers of default routes through it.
    pub gateways: Vec<IpAddr>,
    /// Whether router advertisements must not add to its IPv6 addresses and routes.
    pub ignore_router_advertisements: bool,
    /// Whether networkd must keep addresses it did not make.
    pub keep_foreign: bool,
}

/// The managed interfaces of a host.
pub(super) fn links(topology: &Topology, (name, host): (&str, &Host), roles: &Roles<'_>) -> Vec<Link> {
    let groups = || roles.groups.iter().filter(|(_, group)| group.owner.as_deref() == Some(name));
    let is_owned = |own: &IpNet| {
        own.addr().is_ipv6()
            && groups()
                .flat_map(|(_, group)| &group.instances)
                .any(|i| i.addresses.iter().any(|(vip, _)| *vip == own.addr()))
    };
    let mut links: Vec<Link> = host
        .interfaces
        .iter()
        .filter(|i| i.manage)
        .map(|i| Link {
            name: i.name.to_string(),
            mtu: topology.networks[&i.network].mtu,
            addresses: i.addresses.iter().filter(|own| !is_owned(own)).copied().collect(),
            owned: i.addresses.iter().filter(|own| is_owned(own)).copied().collect(),
            gateways: Vec::new(),
            ignore_router_advertisements: i.address(Family::Ipv6).is_some(),
            keep_foreign: roles.is_director(),
        })
        .collect();
    for family in [Family::Ipv4, Family::Ipv6] {
        if let Some((interface, gateway)) = default_route(topology, (name, host), roles, family)
            && let Some(link) = links.iter_mut().find(|l| l.name == interface.name.as_str())
        {
            link.gateways.push(gateway);
        }
    }
    links
}

/// The one default route of a family: through the director for NAT real servers, otherwise the gateway of the
/// first network that has one which the host can use.
fn default_route<'t>(
    topology: &Topology,
    (name, host): (&str, &'t Host),
    roles: &Roles<'_>,
    family: Family,
) -> Option<(&'t Interface, IpAddr)> {
    if let Some(route) = topology.nat_routes.get(&(name.to_owned(), family)) {
        return Some((host.interface_in(&route.network)?, route.gateway));
    }
    host.router(&topology.networks, family, |address| becomes_own(roles, address))
}

/// The interface by which a host reaches a real server.
pub(super) fn towards<'t>(
    topology: &'t Topology,
    (name, host): (&str, &'t Host),
    roles: &Roles<'_>,
    at: &ServerAddress,
) -> Option<&'t Interface> {
    let near = at.network.as_deref().and_then(|network| host.interface_in(network));
    near.or_else(|| Some(default_route(topology, (name, host), roles, Family::of(at.address))?.0))
}

/// Whether an address may become the host's own: then it is no way out.
fn becomes_own(roles: &Roles<'_>, address: IpAddr) -> bool {
    let mut instances = roles.groups.iter().flat_map(|(_, g)| &g.instances);
    instances.any(|i| i.addresses.iter().any(|(a, _)| *a == address))
}

/// VIPs a direct-routing real server accepts packets for, in order.
pub(super) fn dummy(roles: &Roles<'_>) -> Vec<IpAddr> {
    let vips: BTreeSet<IpAddr> = roles
        .serves
        .iter()
        .filter(|(service, _, _)| service.forward.keeps_destination())
        .map(|(_, listen, _)| listen.address)
        .collect();
    vips.into_iter().collect()
}
