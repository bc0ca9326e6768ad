//! Interfaces: addresses, default routes, and the VIPs of direct-routing real servers.

use std::collections::BTreeSet;
use std::net::IpAddr;

use fairway_config::{Family, Forward};
use ipnet::IpNet;

use super::Roles;
use crate::topology::{Host, Interface, Topology};

/// A managed interface.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// Its own addresses.
    pub addresses: Vec<IpNet>,
    /// The routers of default routes through it.
    pub gateways: Vec<IpAddr>,
    /// Whether router advertisements must not add to its IPv6 addresses and routes.
    pub ignore_router_advertisements: bool,
    /// Whether networkd must keep addresses it did not make.
    pub keep_foreign: bool,
}

/// The managed interfaces of a host.
pub(super) fn links(topology: &Topology, (name, host): (&str, &Host), roles: &Roles<'_>) -> Vec<Link> {
    let mut links: Vec<Link> = host
        .interfaces
        .iter()
        .filter(|i| i.manage)
        .map(|i| Link {
            name: i.name.to_string(),
            addresses: i.addresses.clone(),
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
    host.interfaces.iter().find_map(|interface| {
        let gateway = topology.networks[&interface.network]
            .gateways
            .iter()
            .copied()
            .find(|g| Family::of(*g) == family)
            .filter(|g| !is_own(host, roles, *g))?;
        // Addresses that are not ours to set may not be known; their default route is not ours either.
        let reachable = interface.address(family).is_some() || !interface.manage;
        reachable.then_some((interface, gateway))
    })
}

/// Whether an address is, or may become, the host's own: then it is no way out.
fn is_own(host: &Host, roles: &Roles<'_>, address: IpAddr) -> bool {
    host.interfaces.iter().any(|i| i.addresses.iter().any(|a| a.addr() == address))
        || roles
            .groups
            .iter()
            .any(|(_, g)| g.instances.iter().any(|i| i.addresses.iter().any(|(a, _)| *a == address)))
}

/// VIPs a direct-routing real server accepts packets for, in order.
pub(super) fn dummy(roles: &Roles<'_>) -> Vec<IpAddr> {
    let vips: BTreeSet<IpAddr> = roles
        .serves
        .iter()
        .filter(|(service, _, _)| service.forward == Forward::Direct)
        .map(|(_, listen, _)| listen.address)
        .collect();
    vips.into_iter().collect()
}
