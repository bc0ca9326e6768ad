//! Failover groups: their directors, instances and identifiers.

use std::collections::HashMap;
use std::ops::Range;

use fairway_config::{Checksum, Config, Family, Period, Priority, SCHEMA_VERSION, Vrid, VrrpVersion};
use indexmap::IndexMap;
use serde_spanned::Spanned;

use super::super::raw::{RawDirectors, RawGroup, RawTopology, RawVrid};
use super::super::{Group, GroupInstance, Host, Transport, VirtualIp};
use super::hosts::Hosts;
use super::networks::NetworkIndex;
use super::vrid::Vrids;
use super::{title, unknown};
use crate::reader::Entry;
use crate::report::{Problems, Rule};

/// The advert interval unless one is given.
const ADVERT_INTERVAL: Period = Period::from_millis(250);

/// An IPv6 advert (RFC 9568 section 5.1: 40 bytes of IPv6, 8 of VRRP, 16 an address) fits 1500 bytes.
const MAX_IPV6: usize = (1500 - 40 - 8) / 16;

/// The count field of an advert is one byte (RFC 9568 section 5.2.5).
const MAX_IPV4: usize = 255;

pub fn resolve(
    raw: &RawTopology,
    hosts: &Hosts,
    virtual_ips: &IndexMap<String, VirtualIp>,
    index: &NetworkIndex,
    problems: &mut Problems,
) -> IndexMap<String, Group> {
    let mut members = HashMap::new();
    let mut groups = IndexMap::with_capacity(raw.failover.len());
    for (name, entry) in &raw.failover {
        let mut group = Group {
            virtual_ips: members_of(problems, (raw, virtual_ips, index), (name, entry), &mut members),
            directors: directors(problems, raw, entry),
            advert_interval: entry.value.advert_interval.as_ref().map_or(ADVERT_INTERVAL, |i| *i.get_ref()),
            version: entry.value.version.as_ref().map_or(VrrpVersion::V3, |v| *v.get_ref()),
            checksum: entry.value.checksum.as_ref().map_or(Checksum::default(), |c| *c.get_ref()),
            preempt: entry.value.preempt.as_ref().map(|p| *p.get_ref()).unwrap_or_default(),
            auth: entry.value.auth.as_ref().map(|a| a.get_ref().clone()),
            transport: entry.value.transport.as_ref().map(|t| *t.get_ref()).unwrap_or_default(),
            announce: entry.value.announce.as_ref().map(|a| *a.get_ref()).unwrap_or_default(),
            instances: Vec::new(),
        };
        group.instances = instances(problems, (name, entry), &group, virtual_ips);
        interfaces_exist(problems, (raw, hosts), entry, &group);
        if group.transport == Transport::Unicast {
            senders(problems, (raw, hosts), entry, &mut group);
        }
        protocol_rules(problems, (name, entry), &group);
        groups.insert(name.clone(), group);
    }
    instance_names_differ(problems, raw, &groups);
    allocate_vrids(problems, raw, &mut groups);
    groups
}

/// The group's virtual IPs: known, in a network, in no other group.
fn members_of<'r>(
    problems: &mut Problems,
    (raw, virtual_ips, index): (&RawTopology, &IndexMap<String, VirtualIp>, &NetworkIndex),
    (name, entry): (&'r str, &'r Entry<RawGroup>),
    members: &mut HashMap<&'r str, (&'r str, Range<usize>)>,
) -> Vec<String> {
    let key = format!("{}.virtual-ips", entry.key);
    let mut found = Vec::new();
    for vip in &entry.value.virtual_ips {
        let Some(definition) = raw.virtual_ips.get(vip.get_ref()) else {
            let kind = (Rule::UnknownVirtualIp, "virtual IP", "virtual-ips");
            unknown(problems, kind, &key, vip.span(), vip.get_ref(), &raw.virtual_ips);
            continue;
        };
        let Some(resolved) = virtual_ips.get(vip.get_ref()) else { continue };
        if let Some((other, span)) = members.insert(vip.get_ref(), (name, vip.span())) {
            problems
                .add(
                    Rule::VirtualIpInTwoGroups,
                    &key,
                    vip.span(),
                    format!("\"{}\" is in the group \"{other}\" already", vip.get_ref()),
                    "an address moves with one group: remove it from one of them",
                )
                .see(span, "here already");
            continue;
        }
        if resolved.network.is_none() {
            if index.complete() {
                problems.add(
                    Rule::VirtualIpOutsideNetworks,
                    &definition.key,
                    definition.value.address.as_ref().map_or(definition.span.clone(), Spanned::span),
                    format!("{} is in none of the networks", resolved.address),
                    format!("choose an address inside a network, or add its subnet; the group \"{name}\" sends its adverts there"),
                );
            }
            continue;
        }
        found.push(vip.get_ref().clone());
    }
    found
}

fn directors(problems: &mut Problems, raw: &RawTopology, entry: &Entry<RawGroup>) -> Vec<(String, Priority)> {
    let key = format!("{}.directors", entry.key);
    let known = |problems: &mut Problems, name: &str, span: Range<usize>| {
        let known = raw.hosts.contains_key(name);
        if !known {
            unknown(problems, (Rule::UnknownHost, "host", "hosts"), &key, span, name, &raw.hosts);
        }
        known
    };
    let directors = match &entry.value.directors {
        RawDirectors::Preference(names) => {
            let listed = (0u8..20).map(|place| 200 - 10 * place);
            let found = names
                .iter()
                .zip(listed)
                .filter(|(name, _)| known(problems, name.get_ref(), name.span()))
                .filter_map(|(name, priority)| Some((name.get_ref().clone(), Priority::new(priority).ok()?)))
                .collect();
            if let Some(first) = names.get(20) {
                problems.add(
                    Rule::TooManyDirectors,
                    &key,
                    first.span(),
                    format!("{} directors are more than a list of preference holds", names.len()),
                    "list at most 20, or give priorities: { lb1 = 200, lb2 = 199 }",
                );
            }
            found
        }
        RawDirectors::Priorities(table) => {
            let mut found: Vec<(String, Priority)> = Vec::new();
            let mut by_priority: HashMap<i64, &str> = HashMap::new();
            for (name, director) in table {
                let is_known = known(problems, name, director.span.clone());
                let Some(priority) = &director.value else { continue };
                let value = *priority.get_ref();
                match u8::try_from(value).ok().filter(|v| *v < 255).and_then(|v| Priority::new(v).ok()) {
                    None => {
                        problems.add(
                            Rule::PriorityRange,
                            &director.key,
                            priority.span(),
                            format!("{value} is not a priority a director can have"),
                            "use 1 to 254; 0 and 255 have meanings of their own (RFC 9568 section 5.2.4)",
                        );
                    }
                    Some(priority) if is_known => found.push((name.clone(), priority)),
                    Some(_) => {}
                }
                if let Some(other) = by_priority.insert(value, name) {
                    problems.add(
                        Rule::PriorityTie,
                        &director.key,
                        priority.span(),
                        format!("{name} and {other} have the same priority"),
                        "give each its own, the preferred one the higher",
                    );
                }
            }
            // Best first; the sort is stable and priorities differ.
            found.sort_by_key(|(_, priority)| std::cmp::Reverse(*priority));
            found
        }
    };
    let written = match &entry.value.directors {
        RawDirectors::Preference(names) => names.len(),
        RawDirectors::Priorities(table) => table.len(),
    };
    // With unicast it is an error of its own.
    let unicast = entry.value.transport.as_ref().is_some_and(|t| *t.get_ref() == Transport::Unicast);
    if written == 1 && directors.len() == 1 && !unicast {
        problems.warn(
            Rule::SingleDirector,
            &key,
            entry.span.clone(),
            format!("the group has one director, {}", directors[0].0),
            "nothing takes over from it; add a second director",
        );
    }
    directors
}

/// One instance for each network and family, in the order in which the virtual IPs name them.
fn instances(
    problems: &mut Problems,
    (name, entry): (&str, &Entry<RawGroup>),
    group: &Group,
    virtual_ips: &IndexMap<String, VirtualIp>,
) -> Vec<GroupInstance> {
    let mut instances: IndexMap<(&str, Family), GroupInstance> = IndexMap::new();
    for vip in &group.virtual_ips {
        let VirtualIp { address, prefix, network } = &virtual_ips[vip];
        let Some(network) = network else { continue };
        let family = Family::of(*address);
        let instance = instances.entry((network, family)).or_insert_with(|| GroupInstance {
            name: match family {
                Family::Ipv4 => format!("{name}-{network}"),
                Family::Ipv6 => format!("{name}-{network}-ipv6"),
            },
            network: network.clone(),
            family,
            // Replaced when all groups are known.
            vrid: Vrid::new(255).expect("255 is not zero"),
            addresses: Vec::new(),
            senders: Vec::new(),
        });
        instance.addresses.push((*address, *prefix));
    }
    for instance in instances.values() {
        let fit = match instance.family {
            Family::Ipv4 => MAX_IPV4,
            Family::Ipv6 => MAX_IPV6,
        };
        if instance.addresses.len() > fit {
            problems.add(
                Rule::TooManyVirtualIps,
                format!("{}.virtual-ips", entry.key),
                entry.span.clone(),
                format!(
                    "{} {} addresses in network \"{}\" do not fit one advert",
                    instance.addresses.len(),
                    title(instance.family),
                    instance.network
                ),
                format!("use at most {fit}, and put the others into another group"),
            );
        }
    }
    instances.into_values().collect()
}

/// Every director needs an interface in every network of its group, with an address adverts can come from.
fn interfaces_exist(
    problems: &mut Problems,
    (raw, hosts): (&RawTopology, &Hosts),
    entry: &Entry<RawGroup>,
    group: &Group,
) {
    for (director, _) in &group.directors {
        let Some(host) = hosts.hosts.get(director).filter(|_| hosts.sound.contains(director)) else {
            continue;
        };
        for instance in &group.instances {
            let problem = match host.interface_in(&instance.network) {
                None => format!("{director} has no interface in network \"{}\"", instance.network),
                Some(i)
                    if i.manage && instance.family == Family::Ipv4 && i.address(Family::Ipv4).is_none() =>
                {
                    format!("{director} has no IPv4 address in network \"{}\"", instance.network)
                }
                Some(_) => continue,
            };
            problems
                .add(
                    Rule::MissingInterface,
                    format!("{}.directors", entry.key),
                    entry.span.clone(),
                    problem,
                    format!(
                        "the group's {} virtual IPs are there: add it to [hosts.{director}]",
                        title(instance.family)
                    ),
                )
                .see(raw.hosts[director].span.clone(), "this host");
        }
    }
}

/// With unicast every director needs an address in every network of the group that the others know.
fn senders(
    problems: &mut Problems,
    (raw, hosts): (&RawTopology, &Hosts),
    entry: &Entry<RawGroup>,
    group: &mut Group,
) {
    let key = format!("{}.transport", entry.key);
    let span = entry.value.transport.as_ref().map_or(entry.span.clone(), Spanned::span);
    if let [(only, _)] = &group.directors[..] {
        problems.add(
            Rule::UnicastPeers,
            &key,
            span.clone(),
            format!("{only} is the only director, so there is nobody to send adverts to"),
            "add a second director, or use transport = \"multicast\"",
        );
    }
    for (director, _) in &group.directors {
        let Some(host) = hosts.hosts.get(director).filter(|_| hosts.sound.contains(director)) else {
            continue;
        };
        for instance in &mut group.instances {
            let Some(interface) = host.interface_in(&instance.network) else { continue };
            match interface.address(instance.family) {
                Some(address) => instance.senders.push((director.clone(), address)),
                // Without an IPv4 address it is no director here, and `interfaces_exist` says so.
                None if instance.family == Family::Ipv4 && interface.manage => {}
                None => {
                    let family = title(instance.family);
                    problems
                        .add(
                            Rule::UnicastSource,
                            &key,
                            span.clone(),
                            format!(
                                "{director} has no {family} address in network \"{}\" that the other \
                                 directors know",
                                instance.network
                            ),
                            format!(
                                "add its {family} address to hosts.{director}.interfaces.{}, or use transport = \
                                 \"multicast\"",
                                interface.name
                            ),
                        )
                        .see(raw.hosts[director].span.clone(), "this host");
                }
            }
        }
    }
}

/// The rules of the protocol, as the schema of director.toml has them.
fn protocol_rules(problems: &mut Problems, (name, entry): (&str, &Entry<RawGroup>), group: &Group) {
    let raw = &entry.value;
    if let (VrrpVersion::V2, Some(checksum)) = (group.version, &raw.checksum) {
        problems.add(
            Rule::Version2Checksum,
            format!("{}.checksum", entry.key),
            checksum.span(),
            "VRRPv2 has one form of checksum",
            "remove this, or use version = 3",
        );
    }
    let version = raw.version.as_ref().map_or(entry.span.clone(), Spanned::span);
    for problem in schema_problems(name, group) {
        let place = problem.at.rsplit('.').next().unwrap_or_default();
        let at = |span: Option<Range<usize>>| span.unwrap_or_else(|| version.clone());
        let (rule, key, span) = match place {
            "advert-interval" => {
                (Rule::AdvertInterval, "advert-interval", at(raw.advert_interval.as_ref().map(Spanned::span)))
            }
            "version" => (Rule::Version2Ipv6, "version", version.clone()),
            "auth" => {
                let rule =
                    if group.version == VrrpVersion::V3 { Rule::Version3Auth } else { Rule::Version2Auth };
                (rule, "auth", at(raw.auth.as_ref().map(Spanned::span)))
            }
            "active" | "window" => (Rule::HmacSetting, "auth.hmac", at(raw.auth.as_ref().map(Spanned::span))),
            "after" => (Rule::PreemptDelay, "preempt.after", at(raw.preempt.as_ref().map(Spanned::span))),
            "repeat" => {
                (Rule::AnnounceRepeat, "announce.repeat", at(raw.announce.as_ref().map(Spanned::span)))
            }
            // The rest follows from what resolving has checked.
            _ => continue,
        };
        let text = match (rule, &raw.advert_interval) {
            (Rule::AdvertInterval, None) => format!("the default of {}", problem.message),
            _ => problem.message,
        };
        problems.add_text(rule, format!("{}.{key}", entry.key), span, &text);
    }
}

/// What the schema says about the group, once for each rule.
fn schema_problems(name: &str, group: &Group) -> Vec<fairway_config::Problem> {
    let interface: fairway_config::IfName = "eth0".parse().expect("a proper name");
    let host = Host {
        interfaces: group
            .instances
            .iter()
            .map(|i| super::super::Interface {
                name: interface.clone(),
                network: i.network.clone(),
                addresses: Vec::new(),
                manage: true,
            })
            .collect(),
    };
    let priority = Priority::new(100).expect("100 is a priority");
    let config = Config {
        version: SCHEMA_VERSION,
        cluster: String::new(),
        host: String::new(),
        ipvs: fairway_config::Ipvs::default(),
        connection_sync: None,
        checks: std::collections::BTreeMap::new(),
        failover: vec![group.for_director(name, ("", &host), priority)],
        services: Vec::new(),
    };
    let Err(fairway_config::Error::Invalid(mut found)) = config.validate() else { return Vec::new() };
    let mut seen = std::collections::HashSet::new();
    found.retain(|p| seen.insert(p.at.rsplit('.').next().unwrap_or_default().to_owned()));
    found
}

fn instance_names_differ(problems: &mut Problems, raw: &RawTopology, groups: &IndexMap<String, Group>) {
    let mut names: HashMap<&str, &str> = HashMap::new();
    for (name, group) in groups {
        for instance in &group.instances {
            if let Some(other) = names.insert(&instance.name, name) {
                let entry = &raw.failover[name];
                problems
                    .add(
                        Rule::InstanceNameClash,
                        &entry.key,
                        entry.span.clone(),
                        format!("its instance \"{}\" has the name of one of \"{other}\"", instance.name),
                        "instances are named GROUP-NETWORK: rename this group",
                    )
                    .see(raw.failover[other].span.clone(), "the other group");
            }
        }
    }
}

fn allocate_vrids(problems: &mut Problems, raw: &RawTopology, groups: &mut IndexMap<String, Group>) {
    let cluster = raw.cluster.as_ref().map_or("", |c| c.get_ref());
    let mut vrids = Vrids::default();
    let networks: IndexMap<&str, Vec<&str>> = raw
        .failover
        .keys()
        .map(|name| {
            let mut networks: Vec<&str> = Vec::new();
            for instance in &groups[name].instances {
                let known = raw.networks.get_key_value(&instance.network).map(|(n, _)| n.as_str());
                networks.extend(known.filter(|n| !networks.contains(n)));
            }
            (name.as_str(), networks)
        })
        .collect();
    let mut chosen: HashMap<(&str, &str), u8> = HashMap::new();
    for (name, networks) in &networks {
        let entry = &raw.failover[*name];
        for (network, vrid, span) in given(problems, raw, entry, networks) {
            match vrids.take(network, name, vrid) {
                Ok(()) => _ = chosen.insert((name, network), vrid),
                Err(other) => {
                    problems
                        .add(
                            Rule::VridClash,
                            format!("{}.vrid", entry.key),
                            span,
                            format!("\"{other}\" has {vrid} in network \"{network}\" already"),
                            "choose another, or leave it out to have one chosen",
                        )
                        .see(raw.failover[other].span.clone(), "the other group");
                }
            }
        }
    }
    for (name, networks) in &networks {
        for network in networks {
            if chosen.contains_key(&(*name, *network)) {
                continue;
            }
            match vrids.choose(cluster, network, name) {
                Some(vrid) => _ = chosen.insert((name, network), vrid),
                None => {
                    let entry = &raw.failover[*name];
                    problems.add(
                        Rule::VridOverflow,
                        &entry.key,
                        entry.span.clone(),
                        format!("network \"{network}\" has no virtual router identifier left"),
                        "at most 255 groups share a network: join some groups, or split the network",
                    );
                }
            }
        }
    }
    for (name, group) in groups {
        for instance in &mut group.instances {
            if let Some(vrid) = chosen.get(&(name.as_str(), instance.network.as_str())) {
                instance.vrid = Vrid::new(*vrid).expect("1 to 255");
            }
        }
    }
}

/// The numbers given by hand: network, number, place.
fn given<'r>(
    problems: &mut Problems,
    raw: &'r RawTopology,
    entry: &'r Entry<RawGroup>,
    networks: &[&'r str],
) -> Vec<(&'r str, u8, Range<usize>)> {
    let key = format!("{}.vrid", entry.key);
    let number = |n: &Spanned<i64>| u8::try_from(*n.get_ref()).expect("the reader allows 1 to 255");
    match (&entry.value.vrid, networks) {
        (None, _) => Vec::new(),
        (Some(RawVrid::One(n)), [network]) => vec![(*network, number(n), n.span())],
        (Some(RawVrid::One(_)), []) => Vec::new(),
        (Some(RawVrid::One(n)), _) => {
            let each = networks.iter().map(|n| format!("{n} = ...")).collect::<Vec<_>>().join(", ");
            problems.add(
                Rule::VridPlace,
                key,
                n.span(),
                format!("the group is in {} networks", networks.len()),
                format!("give one for each network: vrid = {{ {each} }}"),
            );
            Vec::new()
        }
        (Some(RawVrid::PerNetwork(table)), _) => {
            let mut given = Vec::new();
            for (network, vrid) in table {
                if !raw.networks.contains_key(network) {
                    let kind = (Rule::UnknownNetwork, "network", "networks");
                    unknown(problems, kind, &vrid.key, vrid.span.clone(), network, &raw.networks);
                } else if !networks.contains(&network.as_str()) {
                    if entry.sound {
                        problems.add(
                            Rule::VridPlace,
                            &vrid.key,
                            vrid.span.clone(),
                            format!("the group has no virtual IP in network \"{network}\""),
                            format!("remove this; the group is in {}", networks.join(", ")),
                        );
                    }
                } else if let Some(n) = &vrid.value {
                    given.push((network.as_str(), number(n), n.span()));
                }
            }
            given
        }
    }
}
