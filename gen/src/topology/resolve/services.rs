//! Virtual services: what they listen on, their directors, checks and settings.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use fairway_config::{Check, Family, Protocol};
use indexmap::IndexMap;
use serde_spanned::Spanned;

use super::super::raw::{ListenTarget, ListenText, RawCheckUse, RawService, RawTopology};
use super::super::{Forward, Group, Listen, NatRoute, Network, Ports, Service, VirtualIp};
use super::hosts::Hosts;
use super::networks::NetworkIndex;
use super::{forwarding, marks, routes, servers, settings, title, unknown};
use crate::reader::Entry;
use crate::report::{Problems, Rule};

/// What services refer to.
pub struct Parts<'a> {
    pub raw: &'a RawTopology,
    pub index: &'a NetworkIndex,
    pub networks: &'a IndexMap<String, Network>,
    pub hosts: &'a Hosts,
    pub virtual_ips: &'a IndexMap<String, VirtualIp>,
    pub groups: &'a IndexMap<String, Group>,
}

/// What resolving services gives.
#[derive(Default)]
pub struct Resolved {
    pub checks: BTreeMap<String, Check>,
    pub services: IndexMap<String, Service>,
    pub nat_routes: HashMap<(String, Family), NatRoute>,
}

/// What one service may not share with another.
#[derive(Default)]
struct Taken<'a> {
    ports: marks::Taken<'a>,
    /// Names in director.toml: the service.
    names: HashMap<String, &'a str>,
}

/// Finds virtual IPs and the groups they are in.
struct Lookup<'a> {
    by_address: HashMap<IpAddr, &'a str>,
    group_of: HashMap<&'a str, &'a str>,
    /// Addresses that some service listens on.
    listened: HashSet<IpAddr>,
}

impl Lookup<'_> {
    /// How many address families the listens have.
    fn families(&self, parts: &Parts<'_>, listens: &[Spanned<ListenText>]) -> usize {
        let addresses = listens.iter().filter_map(|written| match &written.get_ref().target {
            ListenTarget::Name(name) => parts.virtual_ips.get(name).map(|vip| vip.address),
            ListenTarget::Address(address) => Some(*address),
        });
        addresses.map(|address| address.is_ipv4()).collect::<HashSet<_>>().len()
    }
}

pub fn resolve(parts: &Parts<'_>, problems: &mut Problems) -> Resolved {
    let raw = parts.raw;
    let lookup = Lookup {
        by_address: parts.virtual_ips.iter().map(|(name, v)| (v.address, name.as_str())).collect(),
        group_of: parts
            .groups
            .iter()
            .flat_map(|(group, g)| g.virtual_ips.iter().map(|v| (v.as_str(), group.as_str())))
            .collect(),
        listened: raw
            .services
            .values()
            .flat_map(|s| &s.value.listen)
            .filter_map(|l| match &l.get_ref().target {
                ListenTarget::Name(name) => parts.virtual_ips.get(name).map(|vip| vip.address),
                ListenTarget::Address(address) => Some(*address),
            })
            .collect(),
    };
    let mut resolved = Resolved::default();
    for (name, entry) in &raw.checks {
        if let Some(check) = &entry.value.check {
            resolved.checks.insert(name.clone(), (**check).clone());
        }
    }
    let marks = marks::allocate(problems, raw);
    let mut taken = Taken::default();
    let mut routes = routes::Routes::default();
    for (name, entry) in &raw.services {
        let fwmark = marks.get(name.as_str()).copied();
        let mut listens = listens(problems, parts, &lookup, (name, entry, fwmark.is_some()), &mut taken);
        forwarding::sources(problems, parts, entry, &lookup.listened, &mut listens);
        let mut service = Service {
            protocol: protocol(&entry.value),
            scheduler: entry.value.scheduler.as_ref().map(|s| *s.get_ref()).unwrap_or_default(),
            scheduler_flags: entry
                .value
                .scheduler_flags
                .as_ref()
                .map(|f| f.get_ref().clone())
                .unwrap_or_default(),
            forward: entry.value.forward.as_ref().map_or(Forward::Nat, |f| *f.get_ref()),
            syn_proxy: entry.value.syn_proxy.as_ref().is_some_and(|s| *s.get_ref()),
            persistence: entry
                .value
                .persistence
                .as_ref()
                .and_then(|p| p.timeout.as_ref())
                .map(|t| *t.get_ref()),
            persistence_prefix: prefixes(problems, entry, &listens),
            one_packet: entry.value.one_packet.as_ref().is_some_and(|o| *o.get_ref()),
            checks: checks(problems, raw, (name, &entry.key), &entry.value.checks, &mut resolved.checks),
            checks_required: entry.value.checks_required.unwrap_or_default(),
            on_failure: entry.value.on_failure.unwrap_or_default(),
            slow_start: entry.value.slow_start.as_ref().map(|s| *s.get_ref()),
            suspend_on_backup: entry.value.suspend_on_backup,
            down_on_stop: entry.value.down_on_stop,
            quorum: entry.value.quorum.as_ref().map(|q| *q.get_ref()).unwrap_or_default(),
            fwmark,
            persistence_engine: entry
                .value
                .persistence
                .as_ref()
                .and_then(|p| p.engine.as_ref())
                .map(|e| *e.get_ref()),
            start: entry.value.start.as_ref().map(|s| *s.get_ref()).unwrap_or_default(),
            servers: servers::resolve(problems, parts, entry, &listens, &mut routes),
            listens,
        };
        for server in &mut service.servers {
            let Some(written) = entry.value.real_servers.get(&server.name) else { continue };
            server.checks = written.value.checks.as_ref().map(|own| {
                checks(
                    problems,
                    raw,
                    (&format!("{name}-{}", server.name), &written.key),
                    own,
                    &mut resolved.checks,
                )
            });
        }
        settings::rules(problems, entry, &service, &resolved.checks);
        forwarding::rules(problems, parts, entry, &service, &resolved.checks);
        if let Some(written) = &entry.value.fwmark {
            marks::rules(problems, (&entry.key, written.span()), &service);
        }
        resolved.services.insert(name.clone(), service);
    }
    unused(problems, raw, &lookup);
    resolved.nat_routes = routes.into_routes();
    resolved
}

fn protocol(raw: &RawService) -> Protocol {
    raw.protocol.as_ref().map_or(Protocol::Tcp, |p| *p.get_ref())
}

fn listens<'a>(
    problems: &mut Problems,
    parts: &Parts<'a>,
    lookup: &Lookup<'a>,
    (name, entry, marked): (&'a str, &'a Entry<RawService>, bool),
    taken: &mut Taken<'a>,
) -> Vec<Listen> {
    let raw = &entry.value;
    let own = own_directors(problems, parts, entry);
    let mut own_used = false;
    let mut listens = Vec::with_capacity(raw.listen.len());
    let one_family = lookup.families(parts, &raw.listen) < 2;
    let wanted =
        raw.listen.iter().map(|written| expand(problems, entry, written, marked)).collect::<Vec<_>>();
    let total: usize = wanted.iter().map(Vec::len).sum();
    for (written, ports) in raw.listen.iter().zip(&wanted).flat_map(|(w, p)| p.iter().map(move |p| (w, *p))) {
        let Some((address, vip)) = target(problems, parts, lookup, entry, written) else { continue };
        let place = (name, written.span());
        if let Err((other, span)) = taken.ports.take((address, protocol(raw)), ports, place) {
            problems
                .add(
                    Rule::PortClash,
                    format!("{}.listen", entry.key),
                    written.span(),
                    format!("\"{other}\" listens on {address} port {ports}/{} already", protocol(raw)),
                    "give each service its own virtual IP or port",
                )
                .see(span, "here already");
            continue;
        }
        let group = vip.and_then(|v| lookup.group_of.get(v));
        let directors = match (group, &own) {
            (Some(group), _) => parts.groups[*group].directors.iter().map(|(host, _)| host.clone()).collect(),
            (None, Some(own)) => {
                own_used = true;
                own.clone()
            }
            (None, None) => {
                if groups_are_known(parts) {
                    problems.add(
                        Rule::NoDirectors,
                        format!("{}.listen", entry.key),
                        written.span(),
                        format!("no failover group has {address}"),
                        "add it to the virtual-ips of a group; or, if it is routed to the directors otherwise, \
                         add directors = [...] to the service",
                    );
                }
                continue;
            }
        };
        let label = vip.map_or_else(|| address.to_string(), str::to_owned);
        let listen_name = match marked {
            true => format!("{name}{}", if one_family { "" } else { family_suffix(address) }),
            false if total == 1 => name.to_owned(),
            false => format!("{name}-{label}-{ports}"),
        };
        if let Some(other) =
            taken.names.insert(listen_name.clone(), name).filter(|other| !marked || *other != name)
        {
            problems.add(
                Rule::BadName,
                &entry.key,
                entry.span.clone(),
                format!("\"{other}\" has a part named \"{listen_name}\" too"),
                "a service with several listens has parts named SERVICE-VIP-PORT: rename this one",
            );
        }
        let group = group.map(|g| (*g).to_owned());
        let network = match vip {
            Some(vip) => parts.virtual_ips[vip].network.clone(),
            None => parts.index.find(address).map(|(network, _)| network.to_owned()),
        };
        let sources = Vec::new();
        listens.push(Listen { name: listen_name, address, ports, network, sources, group, directors });
    }
    if let (Some(directors), false, true) = (&raw.directors, own_used, listens.len() == total) {
        problems.add(
            Rule::DirectorsTwice,
            format!("{}.directors", entry.key),
            directors.span(),
            "the directors follow from the failover group",
            "remove this line; it is for virtual IPs that no group has",
        );
    }
    listens
}

/// A port more than this in one range is one service with a mark, not hundreds without.
const MOST_PORTS: usize = 100;

/// The ports of which each is a listen of its own.
fn expand(
    problems: &mut Problems,
    entry: &Entry<RawService>,
    written: &Spanned<ListenText>,
    marked: bool,
) -> Vec<Ports> {
    let ports = &written.get_ref().ports;
    if marked {
        return ports.clone();
    }
    if let Some(wide) = ports.iter().find(|ports| ports.count() > MOST_PORTS) {
        problems.add(
            Rule::PortRange,
            format!("{}.listen", entry.key),
            written.span(),
            format!("each of the {} ports {wide} would be an IPVS service of its own", wide.count()),
            "add fwmark = true, which makes one service of them all",
        );
        return Vec::new();
    }
    ports.iter().flat_map(|ports| (ports.first..=ports.last).map(Ports::one)).collect()
}

fn family_suffix(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "-ipv4" } else { "-ipv6" }
}

/// Whether a virtual IP that is in no group is there because the file says so.
fn groups_are_known(parts: &Parts<'_>) -> bool {
    parts.raw.failover.values().all(|g| g.sound)
        && parts.groups.iter().all(|(name, g)| {
            let written = &parts.raw.failover[name].value;
            g.virtual_ips.len() == written.virtual_ips.len() + written.excluded.len()
        })
}

fn own_directors(
    problems: &mut Problems,
    parts: &Parts<'_>,
    entry: &Entry<RawService>,
) -> Option<Vec<String>> {
    let written = entry.value.directors.as_ref()?;
    let mut known = Vec::new();
    for name in written.get_ref() {
        if parts.hosts.hosts.contains_key(name.get_ref()) {
            known.push(name.get_ref().clone());
        } else {
            let key = format!("{}.directors", entry.key);
            let kind = (Rule::UnknownHost, "host", "hosts");
            unknown(problems, kind, &key, name.span(), name.get_ref(), &parts.raw.hosts);
        }
    }
    Some(known)
}

/// The address a service listens on, and its name if it has one.
fn target<'a>(
    problems: &mut Problems,
    parts: &Parts<'a>,
    lookup: &Lookup<'a>,
    entry: &Entry<RawService>,
    written: &'a Spanned<ListenText>,
) -> Option<(IpAddr, Option<&'a str>)> {
    match &written.get_ref().target {
        ListenTarget::Address(address) => Some((*address, lookup.by_address.get(address).copied())),
        ListenTarget::Name(name) => {
            if let Some(vip) = parts.virtual_ips.get(name) {
                return Some((vip.address, Some(name)));
            }
            // A virtual IP whose definition was refused is not unknown.
            if !parts.raw.virtual_ips.contains_key(name) {
                let kind = (Rule::UnknownVirtualIp, "virtual IP", "virtual-ips");
                let key = format!("{}.listen", entry.key);
                unknown(problems, kind, &key, written.span(), name, &parts.raw.virtual_ips);
            }
            None
        }
    }
}

/// Persistence prefixes: each needs a listen of its family.
fn prefixes(
    problems: &mut Problems,
    entry: &Entry<RawService>,
    listens: &[Listen],
) -> (Option<u8>, Option<u8>) {
    let Some(persistence) = &entry.value.persistence else { return (None, None) };
    let mut take = |written: &Option<Spanned<i64>>, family, name, other| {
        let written = written.as_ref()?;
        if !listens.is_empty() && listens.iter().all(|l| Family::of(l.address) != family) {
            problems.add(
                Rule::ServiceSetting,
                format!("{}.persistence.{name}", entry.key),
                written.span(),
                format!("the service does not listen on {}", title(family)),
                format!("use \"{other}\" instead"),
            );
        }
        u8::try_from(*written.get_ref()).ok()
    };
    (
        take(&persistence.prefix, Family::Ipv4, "prefix", "prefix6"),
        take(&persistence.prefix6, Family::Ipv6, "prefix6", "prefix"),
    )
}

/// Names of the service's checks; those written in place get names of their own.
fn checks(
    problems: &mut Problems,
    raw: &RawTopology,
    (name, key): (&str, &str),
    written: &[RawCheckUse],
    all: &mut BTreeMap<String, Check>,
) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut number = 0;
    for written in written {
        match written {
            RawCheckUse::Name(check) => {
                let key = format!("{key}.checks");
                if !raw.checks.contains_key(check.get_ref()) {
                    let kind = (Rule::UnknownCheck, "check", "checks");
                    unknown(problems, kind, &key, check.span(), check.get_ref(), &raw.checks);
                } else if names.contains(check.get_ref()) {
                    let message = format!("\"{}\" is listed twice", check.get_ref());
                    problems.add(Rule::Repeated, key, check.span(), message, "list it once");
                } else {
                    names.push(check.get_ref().clone());
                }
            }
            RawCheckUse::Inline(check) => {
                let Some(check) = &check.check else { continue };
                let free = loop {
                    number += 1;
                    let candidate = format!("{name}-{number}");
                    if !all.contains_key(&candidate) {
                        break candidate;
                    }
                };
                all.insert(free.clone(), (**check).clone());
                names.push(free);
            }
        }
    }
    names
}

fn unused(problems: &mut Problems, raw: &RawTopology, lookup: &Lookup<'_>) {
    let grouped = raw
        .failover
        .values()
        .flat_map(|g| g.value.virtual_ips.iter().chain(&g.value.excluded))
        .map(|v| v.get_ref().as_str());
    let listened =
        raw.services.values().flat_map(|s| &s.value.listen).filter_map(|l| match &l.get_ref().target {
            ListenTarget::Name(name) => Some(name.as_str()),
            ListenTarget::Address(address) => lookup.by_address.get(address).copied(),
        });
    let used: HashSet<&str> = grouped.chain(listened).collect();
    for (name, entry) in &raw.virtual_ips {
        if !used.contains(name.as_str()) {
            problems.warn(
                Rule::UnusedVirtualIp,
                &entry.key,
                entry.span.clone(),
                format!("nothing uses the virtual IP \"{name}\""),
                "add it to a failover group, or remove it",
            );
        }
    }
}
