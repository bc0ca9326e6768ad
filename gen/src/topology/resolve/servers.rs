//! Real servers: who they are and where each is reached.

use std::net::IpAddr;

use fairway_config::{Family, TunnelKind};

use super::super::raw::{RawServer, RawService};
use super::super::{Forward, Host, Listen, Ports, Server, ServerAddress, Sorry};
use super::routes::Routes;
use super::services::Parts;
use super::title;
use crate::reader::{Entry, suggest};
use crate::report::{Problems, Rule};

/// What all servers of a service are measured against.
pub(super) struct Around<'a> {
    pub(super) parts: &'a Parts<'a>,
    pub(super) listens: &'a [Listen],
    pub(super) forward: Forward,
    /// Whether the director opens connections itself.
    syn_proxy: bool,
    /// Names of the directors.
    directors: Vec<&'a str>,
    /// Networks that all directors are in.
    shared: Vec<&'a str>,
    /// Networks of the virtual IPs listened on.
    fronts: Vec<&'a str>,
    /// Families of the listens.
    pub(super) families: Vec<Family>,
    /// The networks of the directors could all be read: what is not shared is not shared.
    pub(super) certain: bool,
}

pub fn resolve(
    problems: &mut Problems,
    parts: &Parts<'_>,
    entry: &Entry<RawService>,
    listens: &[Listen],
    routes: &mut Routes,
) -> Vec<Server> {
    let Some(forward) = entry.value.forward.as_ref().map(|f| *f.get_ref()) else { return Vec::new() };
    let around = Around::new(parts, entry, listens, forward);
    let mut servers = Vec::with_capacity(entry.value.real_servers.len());
    for (name, server) in &entry.value.real_servers {
        if let Some(resolved) = around.server(problems, name, server) {
            around.nat_routes(problems, &resolved, server, routes);
            around.one_way_back(problems, &resolved, server, routes);
            servers.push(resolved);
        }
    }
    for (name, server) in &entry.value.sorry_server {
        if let Some(resolved) = around.server(problems, name, server) {
            around.nat_routes(problems, &resolved, server, routes);
            around.one_way_back(problems, &resolved, server, routes);
            servers.push(Server { sorry: Some(Sorry { inhibit: server.value.inhibit }), ..resolved });
        }
    }
    servers
}

impl<'a> Around<'a> {
    fn new(parts: &'a Parts<'a>, entry: &Entry<RawService>, listens: &'a [Listen], forward: Forward) -> Self {
        let syn_proxy = entry.value.syn_proxy.as_ref().is_some_and(|s| *s.get_ref());
        let mut directors: Vec<&str> = Vec::new();
        let mut families = Vec::new();
        for listen in listens {
            for director in &listen.directors {
                if !directors.contains(&director.as_str()) {
                    directors.push(director);
                }
            }
            let family = Family::of(listen.address);
            if !families.contains(&family) {
                families.push(family);
            }
        }
        let hosts: Vec<&Host> = directors.iter().filter_map(|d| parts.hosts.hosts.get(*d)).collect();
        let shared = hosts.first().map_or(Vec::new(), |first| {
            let networks = first.interfaces.iter().map(|i| i.network.as_str());
            networks.filter(|n| hosts.iter().all(|h| h.interface_in(n).is_some())).collect()
        });
        let fronts =
            listens.iter().filter_map(|l| parts.index.find(l.address)).map(|(network, _)| network).collect();
        let certain = !directors.is_empty()
            && directors.iter().all(|d| parts.hosts.sound.contains(*d))
            && parts.index.complete();
        Self { parts, listens, forward, syn_proxy, directors, shared, fronts, families, certain }
    }

    fn server(&self, problems: &mut Problems, name: &str, server: &Entry<RawServer>) -> Option<Server> {
        let managed = self.is_managed(problems, name, server)?;
        if self.directors.contains(&name)
            && let Some(remedy) = self.refused_as_server()
        {
            let message = format!("{name} is a director of this service");
            problems.add(Rule::DirectorIsServer, &server.key, server.span.clone(), message, remedy);
            return None;
        }
        let addresses = self.addresses(problems, name, server, managed)?;
        let port = self.port(problems, server)?;
        let number = |n: &Option<serde_spanned::Spanned<i64>>, default| {
            n.as_ref().map_or(default, |n| u32::try_from(*n.get_ref()).expect("the reader keeps the bounds"))
        };
        Some(Server {
            name: name.to_owned(),
            managed,
            addresses,
            port,
            weight: number(&server.value.weight, 1),
            upper_threshold: number(&server.value.upper_threshold, 0),
            lower_threshold: number(&server.value.lower_threshold, 0),
            checks: None,
            on_failure: server.value.on_failure,
            sorry: None,
        })
    }

    /// What to do instead, where a director cannot be a real server too.
    fn refused_as_server(&self) -> Option<&'static str> {
        match self.forward {
            Forward::Direct => None,
            Forward::FullNat if !self.syn_proxy => None,
            Forward::FullNat => Some(
                "behind a SYN proxy the master would open the connection to itself: leave out syn-proxy, or use a machine \
                 that is not a director of the service",
            ),
            Forward::Nat => Some(
                "its replies would not come back through the master: use forward = \"full-nat\" or \"direct\", or a machine \
                 that is not a director of the service",
            ),
            Forward::Tunnel(_) => Some(
                "the other director would send it requests that its own IPVS sends on, round and round: use forward = \
                 \"direct\" or \"full-nat\", or a machine that is not a director of the service",
            ),
        }
    }

    fn is_managed(&self, problems: &mut Problems, name: &str, server: &Entry<RawServer>) -> Option<bool> {
        let is_host = self.parts.hosts.hosts.contains_key(name);
        let managed = server.value.managed.as_ref();
        match (is_host, managed.map(|m| *m.get_ref())) {
            (true, Some(false)) => {
                problems.add(
                    Rule::ForeignServer,
                    format!("{}.managed", server.key),
                    managed.map_or(server.span.clone(), serde_spanned::Spanned::span),
                    format!("{name} is one of [hosts]"),
                    "remove managed = false, or name the foreign machine differently",
                );
                None
            }
            (true, _) => Some(true),
            (false, Some(false)) if server.value.addresses.is_empty() => {
                if server.sound {
                    problems.add(
                        Rule::ForeignServer,
                        &server.key,
                        server.span.clone(),
                        format!("{name} is not managed and has no address"),
                        "add address = \"...\"",
                    );
                }
                None
            }
            (false, Some(false)) => Some(false),
            (false, _) => {
                let hosts = suggest(name, self.parts.hosts.hosts.keys().map(String::as_str), "The hosts are");
                problems.add(
                    Rule::UnknownHost,
                    &server.key,
                    server.span.clone(),
                    format!("there is no host \"{name}\""),
                    format!("for a machine that is not ours add managed = false and its address. {hosts}"),
                );
                None
            }
        }
    }

    /// One address for each family of the service.
    fn addresses(
        &self,
        problems: &mut Problems,
        name: &str,
        server: &Entry<RawServer>,
        managed: bool,
    ) -> Option<Vec<ServerAddress>> {
        let host = self.parts.hosts.hosts.get(name).filter(|_| managed);
        self.explicit_addresses_exist(problems, name, server, host)?;
        let mut addresses = Vec::new();
        for family in &self.families {
            let candidates = self.usable(server, host, *family);
            if candidates.is_empty() {
                if server.sound && (!managed || self.parts.hosts.sound.contains(name)) {
                    self.no_address_of_family(problems, name, server, *family);
                }
                return None;
            }
            let is_near = |c: &&Candidate<'_>| c.network.is_some_and(|n| self.shared.contains(&n));
            // NAT servers are behind the directors rather than beside them, where they have the choice.
            let behind = |c: &&Candidate<'_>| {
                self.forward.replies_pass_director()
                    && is_near(c)
                    && c.network.is_none_or(|n| !self.fronts.contains(&n))
            };
            let near = candidates.iter().find(behind).or_else(|| candidates.iter().find(is_near));
            let far_is_fine = match self.forward {
                Forward::Direct => false,
                Forward::Nat => !managed,
                Forward::FullNat => candidates.iter().any(|c| self.reach_each_other(name, c.family())),
                Forward::Tunnel(_) => candidates.iter().any(|c| self.reaches(name, c.family(), *family)),
            };
            match near.or(if far_is_fine { candidates.first() } else { None }) {
                Some(Candidate { address, network }) => {
                    addresses.push(ServerAddress {
                        family: *family,
                        address: *address,
                        network: network.map(str::to_owned),
                    });
                }
                None => {
                    if self.certain {
                        self.no_shared_network(problems, name, server, &candidates);
                    }
                    return None;
                }
            }
        }
        Some(addresses)
    }

    /// Whether the directors and a server of another network can send to each other.
    fn reach_each_other(&self, server: &str, family: Family) -> bool {
        self.directors.iter().all(|d| self.parts.is_routed(d, family)) && self.parts.is_routed(server, family)
    }

    /// Whether the directors reach a tunnel's server of another network, and it reaches the clients.
    fn reaches(&self, server: &str, outer: Family, inner: Family) -> bool {
        let beside =
            self.parts.hosts.hosts.get(server).is_some_and(|host| {
                host.interfaces.iter().any(|i| self.fronts.contains(&i.network.as_str()))
            });
        self.directors.iter().all(|d| self.parts.is_routed(d, outer))
            && (beside || self.parts.is_routed(server, inner))
    }

    /// Where a server may be reached for listens of a family. A tunnel may be of the other family, where the address that
    /// is written for the server is; networkd opens the UDP port of GUE for IPv4 only.
    fn usable(
        &self,
        server: &Entry<RawServer>,
        host: Option<&'a Host>,
        family: Family,
    ) -> Vec<Candidate<'a>> {
        let Forward::Tunnel(tunnel) = self.forward else { return self.candidates(server, host, family) };
        if host.is_some_and(|host| !answers(host, family)) {
            return Vec::new();
        }
        let written: Vec<Family> =
            server.value.addresses.iter().map(|a| Family::of(a.get_ref().address)).collect();
        let other = match family {
            Family::Ipv4 => Family::Ipv6,
            Family::Ipv6 => Family::Ipv4,
        };
        let order: &[Family] = match tunnel.kind {
            TunnelKind::Gue if host.is_some() => &[Family::Ipv4],
            _ => &[family, other],
        };
        let order = order.iter().filter(|family| written.is_empty() || written.contains(*family));
        let mut found = order.map(|family| self.candidates(server, host, *family));
        found.find(|candidates| !candidates.is_empty()).unwrap_or_default()
    }

    fn candidates(
        &self,
        server: &Entry<RawServer>,
        host: Option<&'a Host>,
        family: Family,
    ) -> Vec<Candidate<'a>> {
        let explicit = || {
            server.value.addresses.iter().map(|a| a.get_ref().address).filter(|a| Family::of(*a) == family)
        };
        let network = |address| self.parts.index.find(address).map(|(network, _)| network);
        match host {
            Some(host) if explicit().next().is_none() => host
                .interfaces
                .iter()
                .flat_map(|i| i.addresses.iter().map(|a| (a.addr(), i.network.as_str())))
                .filter(|(address, _)| Family::of(*address) == family)
                .map(|(address, network)| Candidate { address, network: Some(network) })
                .collect(),
            _ => explicit().map(|address| Candidate { address, network: network(address) }).collect(),
        }
    }

    /// An address written for one of our hosts is one it has, or may have where addresses are not ours.
    fn explicit_addresses_exist(
        &self,
        problems: &mut Problems,
        name: &str,
        server: &Entry<RawServer>,
        host: Option<&Host>,
    ) -> Option<()> {
        let mut families = Vec::new();
        for written in &server.value.addresses {
            let address = written.get_ref().address;
            let key = format!("{}.address", server.key);
            let family = Family::of(address);
            if families.contains(&family) {
                let message = format!("{name} has two {} addresses here", title(family));
                problems.add(Rule::Repeated, key, written.span(), message, "keep one for each family");
                return None;
            }
            families.push(family);
            let Some(host) = host else { continue };
            let network = self.parts.index.find(address).map(|(network, _)| network);
            let has = host.interfaces.iter().any(|i| {
                i.addresses.iter().any(|a| a.addr() == address)
                    || (!i.manage && Some(i.network.as_str()) == network)
            });
            if !has {
                problems.add(
                    Rule::ServerAddress,
                    key,
                    written.span(),
                    format!("{name} has no address {address}"),
                    format!("leave \"address\" out to use the host's own, or add it to [hosts.{name}]"),
                );
                return None;
            }
        }
        Some(())
    }

    fn no_address_of_family(
        &self,
        problems: &mut Problems,
        name: &str,
        server: &Entry<RawServer>,
        family: Family,
    ) {
        if matches!(self.forward, Forward::Tunnel(_))
            && self.parts.hosts.hosts.get(name).is_some_and(|host| answers(host, family))
        {
            problems.add(
                Rule::TunnelFamily,
                &server.key,
                server.span.clone(),
                format!("{name} has no IPv4 address for its end of a GUE tunnel"),
                "systemd-networkd opens the UDP port of GUE for IPv4 only, whatever is inside: give the host an IPv4 \
                 address, or use tunnel = \"ipip\" or \"gre\"",
            );
            return;
        }
        let listen = self.listens.iter().find(|l| Family::of(l.address) == family);
        let listen = listen.map_or_else(String::new, |l| l.address.to_string());
        problems.add(
            Rule::MixedFamilies,
            &server.key,
            server.span.clone(),
            format!("{name} has no {} address, but the service listens on {listen}", title(family)),
            format!(
                "give the host an {} address (address = \"...\" here where its addresses are not managed); {}",
                title(family),
                match self.forward {
                    Forward::Tunnel(_) => "a tunnel may be of the other family, but the server's answers are not",
                    _ => "direct routing and NAT keep the family",
                }
            ),
        );
    }

    fn no_shared_network(
        &self,
        problems: &mut Problems,
        name: &str,
        server: &Entry<RawServer>,
        candidates: &[Candidate<'_>],
    ) {
        let address = candidates[0].address;
        let (rule, remedy) = match self.forward {
            Forward::Direct => (
                Rule::DirectSubnet,
                "direct routing hands frames over within one network: give both an interface in the same one, or use \
                 forward = \"nat\" with a servers-side network",
            ),
            Forward::Nat => (
                Rule::NatGateway,
                "replies come back through the director, which therefore needs an interface and a virtual IP in the \
                 server's network",
            ),
            Forward::FullNat | Forward::Tunnel(_) => (
                Rule::ServerRoute,
                "give both a way to the other's network: an interface in it, or the gateway of a network of their own",
            ),
        };
        let apart: Vec<&str> = self
            .directors
            .iter()
            .copied()
            .filter(|d| {
                let host = &self.parts.hosts.hosts[*d];
                candidates.iter().all(|c| c.network.is_none_or(|n| host.interface_in(n).is_none()))
            })
            .collect();
        let apart = if apart.is_empty() { self.directors.join(", ") } else { apart.join(", ") };
        problems.add(
            rule,
            &server.key,
            server.span.clone(),
            format!("{name} ({address}) shares no network with {apart}"),
            remedy,
        );
    }

    /// The server's own port, where one is given.
    fn port(&self, problems: &mut Problems, server: &Entry<RawServer>) -> Option<Option<u16>> {
        let Some(port) = &server.value.port else { return Some(None) };
        let number = u16::try_from(*port.get_ref()).expect("the reader allows ports only");
        let key = format!("{}.port", server.key);
        let first = self.listens.first().map_or(number, |l| l.ports.first);
        let kept = match self.forward {
            Forward::Direct => Some((Rule::DirectPort, "direct routing")),
            Forward::Tunnel(_) => Some((Rule::TunnelPort, "a tunnel")),
            Forward::Nat | Forward::FullNat => None,
        };
        let refused = if let Some((rule, kind)) =
            kept.filter(|_| self.listens.iter().any(|l| l.ports != Ports::one(number)))
        {
            problems.add(
                rule,
                key,
                port.span(),
                format!("the service listens on port {first}, and {kind} cannot change ports"),
                "leave \"port\" out, or use forward = \"nat\" or \"full-nat\"",
            );
            true
        } else if self.listens.iter().any(|l| l.ports != Ports::one(first)) {
            problems.add(
                Rule::AmbiguousPort,
                key,
                port.span(),
                format!("the service listens on several ports, and all would go to {number}"),
                "write one service for each port",
            );
            true
        } else {
            false
        };
        (!refused).then_some(Some(number))
    }
}

/// Whether a host can answer clients of a family, as far as the topology knows.
fn answers(host: &Host, family: Family) -> bool {
    host.interfaces.iter().any(|i| i.address(family).is_some() || !i.manage)
}

/// An address a server may be reached at.
struct Candidate<'a> {
    address: IpAddr,
    network: Option<&'a str>,
}

impl Candidate<'_> {
    fn family(&self) -> Family {
        Family::of(self.address)
    }
}
