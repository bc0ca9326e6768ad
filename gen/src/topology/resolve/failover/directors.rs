//! The directors of a failover group: who they are, in which order, and with which interfaces and addresses.

use std::collections::HashMap;
use std::ops::Range;

use fairway_config::{Family, Priority};
use serde_spanned::Spanned;

use super::super::hosts::Hosts;
use super::super::{title, unknown};
use crate::reader::Entry;
use crate::report::{Problems, Rule};
use crate::topology::raw::{RawDirectors, RawGroup, RawTopology};
use crate::topology::{Group, Transport};

pub fn directors(
    problems: &mut Problems,
    raw: &RawTopology,
    entry: &Entry<RawGroup>,
) -> Vec<(String, Priority)> {
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
                            "use 1 to 254; the owner of the addresses, who has 255, is owner = \"...\" (RFC 9568 section 5.2.4)",
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

/// Every director needs an interface in every network of its group, with an address adverts can come from.
pub fn interfaces_exist(
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
pub fn senders(
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
