//! Where directors tell each other of their connections.

use std::collections::BTreeSet;
use std::ops::Range;

use fairway_config::Family;
use indexmap::IndexMap;
use serde_spanned::Spanned;

use super::super::raw::RawSync;
use super::super::{ConnectionSync, Forward, Service};
use super::services::Parts;
use super::vrid::fnv1a;
use super::{title, unknown};
use crate::report::{Problems, Rule};

/// Key of the table.
const KEY: &str = "connection-sync";

pub fn resolve(
    parts: &Parts<'_>,
    services: &IndexMap<String, Service>,
    problems: &mut Problems,
) -> Option<ConnectionSync> {
    let raw = parts.raw.connection_sync.as_ref()?;
    survivors(parts, services, raw.span(), problems);
    let groups =
        parts.groups.values().flat_map(|group| group.directors.iter().map(|(name, _)| name.as_str()));
    let listens = services.values().flat_map(|service| &service.listens);
    let directors: BTreeSet<&str> =
        groups.chain(listens.flat_map(|listen| listen.directors.iter().map(String::as_str))).collect();
    let network = match &raw.get_ref().network {
        Some(name) if !parts.raw.networks.contains_key(name.get_ref()) => {
            let kind = (Rule::UnknownNetwork, "network", "networks");
            let key = format!("{KEY}.network");
            unknown(problems, kind, &key, name.span(), name.get_ref(), &parts.raw.networks);
            return None;
        }
        Some(name) => {
            let left_out = directors.iter().find(|director| !reaches(parts, director, name.get_ref()));
            if let Some(director) = left_out {
                refuse(
                    problems,
                    name.span(),
                    format!("{director} has no IPv4 address in network \"{}\"", name.get_ref()),
                );
                return None;
            }
            name.get_ref().clone()
        }
        None => {
            let shared =
                |network: &&String| directors.iter().all(|director| reaches(parts, director, network));
            let Some(network) = parts.raw.networks.keys().find(shared) else {
                let names = directors.iter().copied().collect::<Vec<_>>().join(", ");
                refuse(
                    problems,
                    raw.span(),
                    format!("no network has IPv4 addresses of all directors, {names}"),
                );
                return None;
            };
            network.clone()
        }
    };
    let cluster = parts.raw.cluster.as_ref().map_or("", |name| name.get_ref());
    let id = raw.get_ref().id.as_ref().map(Spanned::get_ref).copied();
    let id = id.unwrap_or_else(|| i64::from(fnv1a([cluster]) % 255) + 1);
    let id = u8::try_from(id).expect("the reader allows 0 to 255");
    let RawSync { group, port, ttl, max_length, .. } = raw.get_ref();
    let group = group.as_ref().map(|group| *group.get_ref());
    Some(ConnectionSync { network, id, group, port: *port, ttl: *ttl, max_length: *max_length })
}

/// Services whose connections do not go on after a take-over, whatever is shared of them.
fn survivors(
    parts: &Parts<'_>,
    services: &IndexMap<String, Service>,
    sync: Range<usize>,
    problems: &mut Problems,
) {
    let directors = |service: &Service| -> BTreeSet<String> {
        service.listens.iter().flat_map(|listen| listen.directors.iter().cloned()).collect()
    };
    // nf_conntrack_tcp_loose=0, which a SYN proxy needs, is for all of a director.
    let strict: BTreeSet<String> = services.values().filter(|s| s.syn_proxy).flat_map(directors).collect();
    for (name, service) in services {
        let entry = &parts.raw.services[name];
        let families = service.listens.iter().map(|listen| Family::of(listen.address));
        for family in families.collect::<BTreeSet<_>>() {
            for server in &service.servers {
                if server.address(family).is_none_or(|at| Family::of(at.address) == family) {
                    continue;
                }
                let servers = entry.value.real_servers.get(&server.name);
                let span = servers.or_else(|| entry.value.sorry_server.get(&server.name));
                problems
                    .add(
                        Rule::SyncAndFamilies,
                        format!("{}.real-servers.{}", entry.key, server.name),
                        span.map_or(entry.span.clone(), |server| server.span.clone()),
                        format!("{} is reached by a tunnel of the other address family", server.name),
                        format!(
                            "the kernel refuses this together with connection-sync: give it an {} address, or remove \
                             connection-sync",
                            title(family)
                        ),
                    )
                    .see(sync.clone(), "connections are shared here");
            }
        }
        let why = if service.syn_proxy {
            "its connections do not survive a take-over: the sequence numbers that the SYN proxy changes are not shared"
        } else if service.forward == Forward::FullNat && !directors(service).is_disjoint(&strict) {
            "its connections do not survive a take-over: with a SYN proxy on its directors, they take up no connection \
             that they have not seen open"
        } else {
            continue;
        };
        problems.warn(
            Rule::SyncAndSynProxy,
            &entry.key,
            entry.span.clone(),
            why,
            "take syn-proxy out if they should, or expect clients to connect again",
        );
    }
}

/// Whether a director has an IPv4 address there, or one that is someone else's to give.
fn reaches(parts: &Parts<'_>, director: &str, network: &str) -> bool {
    let Some(host) = parts.hosts.hosts.get(director).filter(|_| parts.hosts.sound.contains(director)) else {
        return true; // what is wrong with it has been reported
    };
    host.interface_in(network).is_some_and(|i| i.address(Family::Ipv4).is_some() || !i.manage)
}

fn refuse(problems: &mut Problems, span: Range<usize>, text: String) {
    let remedy = "connections are shared by IPv4 multicast: name a network in which every director has an IPv4 address";
    problems.add(Rule::ConnectionSync, KEY, span, text, remedy);
}
