//! That the replies of real servers find their way.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Range;

use fairway_config::Family;

use super::super::raw::RawServer;
use super::super::{Forward, Listen, NatRoute, Server};
use super::servers::Around;
use super::title;
use crate::reader::Entry;
use crate::report::{Problems, Rule};

/// What services ask of the routes of real servers.
#[derive(Default)]
pub struct Routes {
    /// Default routes of NAT real servers, with the place that asked for each.
    nat: HashMap<(String, Family), (NatRoute, Range<usize>)>,
    /// How a host's replies go back, by the first service that uses it.
    ways: HashMap<(String, Family), (Forward, Range<usize>)>,
}

impl Routes {
    /// Without the places.
    pub fn into_routes(self) -> HashMap<(String, Family), NatRoute> {
        self.nat.into_iter().map(|(host, (route, _))| (host, route)).collect()
    }
}

impl Around<'_> {
    /// Replies of NAT real servers go through the director: its address in the server's network is the
    /// server's default route.
    pub(super) fn nat_routes(
        &self,
        problems: &mut Problems,
        resolved: &Server,
        server: &Entry<RawServer>,
        routes: &mut Routes,
    ) {
        if self.forward != Forward::Nat || !resolved.managed || !self.certain {
            return;
        }
        for listen in self.listens {
            let family = Family::of(listen.address);
            let Some(network) = resolved.address(family).and_then(|a| a.network.as_deref()) else { continue };
            let Some(gateway) = self.gateway(problems, listen, network, server) else { return };
            let route = NatRoute { network: network.to_owned(), gateway };
            let host = (resolved.name.clone(), family);
            if let Some((other, span)) = routes.nat.get(&host) {
                if *other != route {
                    problems
                        .add(
                            Rule::NatTwoGateways,
                            &server.key,
                            server.span.clone(),
                            format!(
                                "{} would need two default routes, {} and {gateway}",
                                resolved.name, other.gateway
                            ),
                            "put the virtual IPs of both services into one failover group, or use separate servers",
                        )
                        .see(span.clone(), format!("this one needs {}", other.gateway));
                    return;
                }
                continue;
            }
            self.warn_if_unmanaged(problems, resolved, server, &route);
            routes.nat.insert(host, (route, server.span.clone()));
        }
    }

    /// Replies of direct routing go out by the usual gateway, those of NAT by the director, which would drop
    /// packets from the VIP as its own.
    pub(super) fn one_way_back(
        &self,
        problems: &mut Problems,
        resolved: &Server,
        server: &Entry<RawServer>,
        routes: &mut Routes,
    ) {
        // Replies of full NAT go to the director's own address, whatever the default route.
        if !resolved.managed || self.forward == Forward::FullNat {
            return;
        }
        for family in &self.families {
            let host = (resolved.name.clone(), *family);
            match routes.ways.get(&host) {
                Some((other, span))
                    if other.replies_pass_director() != self.forward.replies_pass_director() =>
                {
                    problems
                        .add(
                            Rule::DirectAndNat,
                            &server.key,
                            server.span.clone(),
                            format!("{} is a real server with forward = \"{other}\" already", resolved.name),
                            "a server has one default route: NAT needs it through the director, direct routing and \
                             tunnels past it; use one of them for a host, or full NAT beside either",
                        )
                        .see(span.clone(), "here");
                    return;
                }
                Some(_) => {}
                None => _ = routes.ways.insert(host, (self.forward, server.span.clone())),
            }
        }
    }

    /// The address in the server's network that is always on the director that has the listen's address.
    fn gateway(
        &self,
        problems: &mut Problems,
        listen: &Listen,
        network: &str,
        server: &Entry<RawServer>,
    ) -> Option<IpAddr> {
        let family = Family::of(listen.address);
        let parts = self.parts;
        let here = |name: &&String| {
            let vip = &parts.virtual_ips[*name];
            vip.network.as_deref() == Some(network) && Family::of(vip.address) == family
        };
        let (found, remedy) = match &listen.group {
            Some(group) => {
                let inside = parts.groups[group].virtual_ips.iter().find(here);
                let elsewhere = parts.virtual_ips.keys().find(here);
                let remedy = match elsewhere {
                    Some(name) => format!("add \"{name}\" to the virtual-ips of the group \"{group}\""),
                    None => format!(
                        "define a virtual IP in network \"{network}\" and add it to the virtual-ips of the group \
                         \"{group}\"; it becomes the servers' default route"
                    ),
                };
                (inside.map(|name| parts.virtual_ips[name].address), remedy)
            }
            None => {
                let alone = match listen.directors.as_slice() {
                    [director] => {
                        parts.hosts.hosts[director].interface_in(network).and_then(|i| i.address(family))
                    }
                    _ => None,
                };
                let remedy = "replies must come back through the director that sent the request: put the virtual IP \
                              and one in the servers' network into a failover group";
                (alone, remedy.to_owned())
            }
        };
        if found.is_none() {
            problems.add(
                Rule::NatGateway,
                &server.key,
                server.span.clone(),
                format!(
                    "replies to {} have no {} way back: no virtual IP in network \"{network}\" moves with it",
                    listen.address,
                    title(family)
                ),
                remedy,
            );
        }
        found
    }

    fn warn_if_unmanaged(
        &self,
        problems: &mut Problems,
        resolved: &Server,
        server: &Entry<RawServer>,
        route: &NatRoute,
    ) {
        let interface = self.parts.hosts.hosts[&resolved.name].interface_in(&route.network);
        if let Some(interface) = interface.filter(|i| !i.manage) {
            problems.warn(
                Rule::UnmanagedGateway,
                &server.key,
                server.span.clone(),
                format!(
                    "{} of {} is not managed, but NAT needs its default route",
                    interface.name, resolved.name
                ),
                format!("set its default route to {} where its addresses are set", route.gateway),
            );
        }
    }
}
