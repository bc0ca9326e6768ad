//! What the forwarding kinds ask of a service as a whole.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;
use std::ops::Range;

use fairway_config::{Check, Family, Protocol, Tunnel, TunnelChecksum, TunnelKind, Via};

use super::super::raw::RawService;
use super::super::{Forward, Host, Interface, Listen, ServerAddress, Service, overhead, path_mtu};
use super::services::Parts;
use super::{title, unknown};
use crate::reader::Entry;
use crate::report::{Problems, Rule};

impl Parts<'_> {
    /// The default router of a host: none of those it is, or may become, itself.
    pub(super) fn router<'h>(&self, name: &str, host: &'h Host, family: Family) -> Option<&'h Interface> {
        let becomes = |address| {
            let mut groups = self.groups.values().filter(|g| g.priority(name).is_some());
            groups.any(|g| g.instances.iter().any(|i| i.addresses.iter().any(|(a, _)| *a == address)))
        };
        host.router(self.networks, family, becomes).map(|(interface, _)| interface)
    }

    /// Whether a host can send to other networks, as far as the topology knows.
    pub(super) fn is_routed(&self, name: &str, family: Family) -> bool {
        let Some(host) = self.hosts.hosts.get(name) else { return true };
        host.interfaces.iter().any(|i| !i.manage) || self.router(name, host, family).is_some()
    }
}

/// The virtual IPs that full NAT's requests come from: those written, or those of the group that nothing listens on.
pub(super) fn sources(
    problems: &mut Problems,
    parts: &Parts<'_>,
    entry: &Entry<RawService>,
    listened: &HashSet<IpAddr>,
    listens: &mut [Listen],
) {
    let full_nat = entry.value.forward.as_ref().is_some_and(|f| *f.get_ref() == Forward::FullNat);
    let key = format!("{}.source-addresses", entry.key);
    let Some(written) = &entry.value.source_addresses else {
        if full_nat {
            for listen in listens {
                let Some(group) = &listen.group else { continue };
                let free = parts.groups[group].virtual_ips.iter().map(|name| &parts.virtual_ips[name]);
                let free = free.filter(|vip| !listened.contains(&vip.address));
                listen.sources = of_family(free.map(|v| (&v.network, v.address)), listen.address);
            }
        }
        return;
    };
    if !full_nat {
        problems.add(
            Rule::SourceAddresses,
            key,
            written.span(),
            "only full NAT changes the source of requests",
            "remove this line, or use forward = \"full-nat\"",
        );
        return;
    }
    for name in written.get_ref() {
        let Some(vip) = parts.virtual_ips.get(name.get_ref()) else {
            if !parts.raw.virtual_ips.contains_key(name.get_ref()) {
                let kind = (Rule::UnknownVirtualIp, "virtual IP", "virtual-ips");
                unknown(problems, kind, &key, name.span(), name.get_ref(), &parts.raw.virtual_ips);
            }
            continue;
        };
        let mut moves = false;
        for listen in listens.iter_mut() {
            let Some(group) = &listen.group else { continue };
            if parts.groups[group].virtual_ips.contains(name.get_ref()) {
                moves = true;
                let mut found = of_family(std::iter::once((&vip.network, vip.address)), listen.address);
                listen.sources.append(&mut found);
            }
        }
        if !moves && !listens.is_empty() {
            problems.add(
                Rule::SourceAddresses,
                &key,
                name.span(),
                format!("\"{}\" does not move with the virtual IPs of the service", name.get_ref()),
                "replies go to this address and must find the director that sent the request: add it to the virtual-ips \
                 of the service's failover group",
            );
        }
    }
}

fn of_family<'v>(
    vips: impl Iterator<Item = (&'v Option<String>, IpAddr)>,
    listen: IpAddr,
) -> Vec<(String, IpAddr)> {
    let same = vips.filter(|(_, address)| address.is_ipv4() == listen.is_ipv4());
    same.filter_map(|(network, address)| Some((network.clone()?, address))).collect()
}

/// The rules of a resolved service.
pub(super) fn rules(
    problems: &mut Problems,
    parts: &Parts<'_>,
    entry: &Entry<RawService>,
    service: &Service,
    checks: &BTreeMap<String, Check>,
) {
    directors_serve(problems, parts, entry, service, checks);
    syn_proxy_fits(problems, entry, service);
    tunnel_setting_fits(problems, entry);
    match service.forward {
        Forward::FullNat => full_nat_fits(problems, parts, entry, service),
        Forward::Tunnel(tunnel) => tunnel_has_room(problems, parts, entry, service, tunnel),
        Forward::Direct | Forward::Nat => {}
    }
}

/// Directors that are real servers of the service with direct routing: each tells by the sender's MAC address what
/// another director hands to it.
fn directors_serve(
    problems: &mut Problems,
    parts: &Parts<'_>,
    entry: &Entry<RawService>,
    service: &Service,
    checks: &BTreeMap<String, Check>,
) {
    if service.forward != Forward::Direct {
        return;
    }
    let directors: BTreeSet<&String> = service.listens.iter().flat_map(|l| &l.directors).collect();
    for server in service.servers.iter().filter(|server| directors.contains(&server.name)) {
        let raw = [&entry.value.real_servers, &entry.value.sorry_server];
        let Some(written) = raw.into_iter().find_map(|servers| servers.get(&server.name)) else { continue };
        let mut refuse = |message: String, remedy: &str| {
            problems.add(Rule::DirectorIsServer, &written.key, written.span.clone(), message, remedy);
        };
        let own = server.checks.as_ref().unwrap_or(&service.checks);
        if let Some(check) = own.iter().find(|name| checks.get(*name).is_some_and(|c| c.via == Via::Vip)) {
            refuse(
                format!("{} is a director, and \"{check}\" asks at the virtual IP", server.name),
                "the master cannot send itself what clients would send: give this server checks without via = \"vip\"",
            );
        }
        for at in &server.addresses {
            let Some(network) = &at.network else { continue };
            let hidden = directors.iter().filter(|other| ***other != server.name).find(|other| {
                let host = parts.hosts.hosts.get(**other);
                host.and_then(|host| host.interface_in(network))
                    .is_some_and(|i| i.address(at.family).is_none())
            });
            if let Some(other) = hidden {
                refuse(
                    format!(
                        "{} is a director, and the address of {other} in {network} is not known",
                        server.name
                    ),
                    "what another director hands over is told by who sends it: write that address down",
                );
            }
        }
    }
}

fn tunnel_setting_fits(problems: &mut Problems, entry: &Entry<RawService>) {
    let (Some(written), Some(forward)) = (&entry.value.tunnel, &entry.value.forward) else { return };
    let raw = written.get_ref();
    let (span, message, remedy) = if !matches!(forward.get_ref(), Forward::Tunnel(_)) {
        let message = format!("forward = \"{}\" has no tunnel", forward.get_ref());
        (written.span(), message, "remove this line, or use forward = \"tunnel\"")
    } else if let Some(port) = raw.port.as_ref().filter(|_| raw.tunnel.kind != TunnelKind::Gue) {
        (port.span(), "only GUE has a port".to_owned(), "leave \"port\" out, or use type = \"gue\"")
    } else if let Some(checksum) = raw
        .checksum
        .as_ref()
        .filter(|c| *c.get_ref() != TunnelChecksum::None && raw.tunnel.kind != TunnelKind::Gue)
    {
        (
            checksum.span(),
            "IP in IP has no checksum, and systemd-networkd makes no GRE interface that takes one".to_owned(),
            "leave \"checksum\" out, or use type = \"gue\"",
        )
    } else {
        return;
    };
    problems.add(Rule::TunnelSetting, format!("{}.tunnel", entry.key), span, message, remedy);
}

/// The least that every IPv6 network must take (RFC 8200 section 5), and every IPv4 host (RFC 791 section 3.1).
const fn least_mtu(family: Family) -> u32 {
    match family {
        Family::Ipv4 => 576,
        Family::Ipv6 => 1280,
    }
}

fn tunnel_has_room(
    problems: &mut Problems,
    parts: &Parts<'_>,
    entry: &Entry<RawService>,
    service: &Service,
    tunnel: Tunnel,
) {
    for server in &service.servers {
        let Some(raw) = entry.value.real_servers.get(&server.name) else { continue };
        for listen in &service.listens {
            let inner = Family::of(listen.address);
            let Some(at) = server.address(inner) else { continue };
            let mtu = path_mtu(parts.networks, &parts.hosts.hosts, listen, at);
            let wrapping = overhead(tunnel, Family::of(at.address));
            let least = least_mtu(inner);
            if mtu < least + wrapping {
                problems.add(
                    Rule::TunnelMtu,
                    &raw.key,
                    raw.span.clone(),
                    format!(
                        "the tunnel to {} takes {wrapping} of {mtu} bytes, and leaves too little for {}",
                        server.name,
                        title(inner)
                    ),
                    format!("networks on the way need an mtu of {} at least", least + wrapping),
                );
                return;
            }
        }
    }
}

fn syn_proxy_fits(problems: &mut Problems, entry: &Entry<RawService>, service: &Service) {
    let raw = &entry.value;
    let Some(written) = raw.syn_proxy.as_ref().filter(|_| service.syn_proxy) else { return };
    let mut refuse = |message: String, remedy: &str| {
        problems.add(Rule::SynProxy, format!("{}.syn-proxy", entry.key), written.span(), message, remedy);
    };
    if !service.forward.replies_pass_director() {
        refuse(
            format!(
                "with forward = \"{}\" the director never sees the server's part of a connection",
                service.forward
            ),
            "use \"nat\" or \"full-nat\"; or run a SYN proxy on the router in front of the directors; or leave floods \
             to the servers' own SYN cookies (net.ipv4.tcp_syncookies, on by default)",
        );
    } else if service.protocol != Protocol::Tcp {
        refuse(
            format!("{} opens no connections that could be answered first", service.protocol),
            "remove this line",
        );
    } else if service.listens.iter().any(|l| l.ports.is_every()) {
        refuse(
            "a director would answer on every port, open on the servers or not".to_owned(),
            "let the service listen on its ports one by one",
        );
    }
}

fn full_nat_fits(problems: &mut Problems, parts: &Parts<'_>, entry: &Entry<RawService>, service: &Service) {
    if let Some(one_packet) = entry.value.one_packet.as_ref().filter(|_| service.one_packet) {
        problems.add(
            Rule::FullNatOnePacket,
            format!("{}.one-packet", entry.key),
            one_packet.span(),
            "every datagram would go to another server, but netfilter translates whole flows",
            "use forward = \"nat\" or \"direct\", or leave one-packet out",
        );
    }
    for (server, raw) in
        service.servers.iter().filter_map(|s| Some((s, entry.value.real_servers.get(&s.name)?)))
    {
        for listen in &service.listens {
            let Some(at) = server.address(Family::of(listen.address)) else { continue };
            for director in &listen.directors {
                if !source_is_known(problems, parts, entry, (listen, at), director, (&raw.key, &raw.span)) {
                    return;
                }
            }
        }
    }
}

/// Whether it is known which address of a director a server will see.
fn source_is_known(
    problems: &mut Problems,
    parts: &Parts<'_>,
    entry: &Entry<RawService>,
    (listen, at): (&Listen, &ServerAddress),
    director: &str,
    (key, span): (&str, &Range<usize>),
) -> bool {
    let Some(host) = parts.hosts.hosts.get(director) else { return true };
    let family = Family::of(at.address);
    let near = at.network.as_deref().and_then(|network| host.interface_in(network));
    let (message, remedy) = match near.or_else(|| parts.router(director, host, family)) {
        None => (
            format!("it is not known by which interface {director} reaches {}", at.address),
            format!("give one of the networks of {director} its {} gateway", title(family)),
        ),
        Some(interface) => {
            let network = &interface.network;
            let pool = listen.sources_in(network, family).next().is_some();
            match &entry.value.source_addresses {
                Some(written) if !pool => {
                    problems.add(
                        Rule::SourceAddresses,
                        format!("{}.source-addresses", entry.key),
                        written.span(),
                        format!(
                            "none of them is an {} address in network \"{network}\", by which {} is reached",
                            title(family),
                            at.address
                        ),
                        "name a virtual IP of that network, or leave this line out for the director's own address",
                    );
                    return false;
                }
                None if !pool && interface.address(family).is_none() => (
                    format!(
                        "the server would see an {} address of {director} in network \"{network}\" that is not known",
                        title(family)
                    ),
                    format!(
                        "write the addresses of {} of {director} (manage = false may stay), or put a virtual IP of \
                         that network into the failover group",
                        interface.name
                    ),
                ),
                _ => return true,
            }
        }
    };
    problems.add(Rule::SourceAddresses, key, span.clone(), message, remedy);
    false
}
