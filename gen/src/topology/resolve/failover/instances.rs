//! Names and virtual router identifiers of the instances of all groups.

use std::collections::HashMap;
use std::ops::Range;

use fairway_config::Vrid;
use indexmap::IndexMap;
use serde_spanned::Spanned;

use super::super::unknown;
use super::super::vrid::Vrids;
use crate::reader::Entry;
use crate::report::{Problems, Rule};
use crate::topology::Group;
use crate::topology::raw::{RawGroup, RawTopology, RawVrid};

pub fn instance_names_differ(problems: &mut Problems, raw: &RawTopology, groups: &IndexMap<String, Group>) {
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

pub fn allocate_vrids(problems: &mut Problems, raw: &RawTopology, groups: &mut IndexMap<String, Group>) {
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
