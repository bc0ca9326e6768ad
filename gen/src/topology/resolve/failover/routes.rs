//! Virtual routes and rules: where they lead to and which addresses they mean.

use std::net::IpAddr;
use std::ops::Range;

use fairway_config::{Family, Prefix, VirtualRoute, VirtualRule};
use indexmap::IndexMap;
use serde_spanned::Spanned;

use super::super::hosts::Hosts;
use super::super::networks::NetworkIndex;
use super::super::{title, unknown};
use crate::reader::Entry;
use crate::report::{Problems, Rule};
use crate::topology::raw::{RawGroup, RawRoute, RawRule, RawTopology};
use crate::topology::{Group, GroupRoute, GroupRule, VirtualIp};

/// What routes and rules of a group are checked against.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    pub raw: &'a RawTopology,
    pub hosts: &'a Hosts,
    pub index: &'a NetworkIndex,
    pub virtual_ips: &'a IndexMap<String, VirtualIp>,
    pub entry: &'a Entry<RawGroup>,
}

/// What is wrong with a route or rule, and what to do.
type Wrong = (Range<usize>, String, String);

pub fn resolve(problems: &mut Problems, around: Around<'_>, group: &mut Group) {
    for route in &around.entry.value.routes {
        let key = format!("{}.routes", around.entry.key);
        match self::route(problems, around, group, route) {
            Ok(resolved) => group.routes.extend(resolved),
            Err((span, message, remedy)) => _ = problems.add(Rule::VirtualRoute, key, span, message, remedy),
        }
    }
    for rule in &around.entry.value.rules {
        let key = format!("{}.rules", around.entry.key);
        match self::rule(problems, around, group, rule) {
            Ok(resolved) => group.rules.extend(resolved),
            Err((span, message, remedy)) => _ = problems.add(Rule::VirtualRule, key, span, message, remedy),
        }
    }
}

/// `None` where the problem is another rule's.
fn route(
    problems: &mut Problems,
    around: Around<'_>,
    group: &Group,
    raw: &RawRoute,
) -> Result<Option<GroupRoute>, Wrong> {
    let Some(written) = &raw.destination else { return Ok(None) };
    let via = raw.via.as_ref().map(|via| via.get_ref().address);
    let destination = match (written.get_ref().as_str(), via) {
        ("default", Some(IpAddr::V4(_))) => "0.0.0.0/0".parse::<Prefix>(),
        ("default", Some(IpAddr::V6(_))) => "::/0".parse(),
        ("default", None) => {
            let text = "without via, \"default\" does not say which family".to_owned();
            return Err((written.span(), text, "write \"0.0.0.0/0\" or \"::/0\"".to_owned()));
        }
        (text, _) => text.parse(),
    };
    let destination = destination.map_err(|error| wrong_range(written, &error))?;
    let family = destination.family();
    if let (Some(via), Some(address)) = (&raw.via, via)
        && Family::of(address) != family
    {
        let text = format!("{address} is not {} like the destination {destination}", title(family));
        return Err((via.span(), text, "give a router of the same family".to_owned()));
    }
    let onlink = raw.onlink.as_ref().is_some_and(|onlink| *onlink.get_ref());
    if let (Some(onlink), None) = (raw.onlink.as_ref().filter(|_| onlink), via) {
        let text = "there is no via that could be on the link".to_owned();
        return Err((onlink.span(), text, "add via, or remove this".to_owned()));
    }
    let within = via.and_then(|via| around.index.find(via)).map(|(network, _)| network);
    let network = match (&raw.network, within) {
        (Some(network), _) if !around.raw.networks.contains_key(network.get_ref()) => {
            let key = format!("{}.routes", around.entry.key);
            let kind = (Rule::UnknownNetwork, "network", "networks");
            unknown(problems, kind, &key, network.span(), network.get_ref(), &around.raw.networks);
            return Ok(None);
        }
        (Some(network), within) if via.is_none() || onlink || within == Some(network.get_ref().as_str()) => {
            network.get_ref().clone()
        }
        (None, Some(within)) => within.to_owned(),
        (None, None) if via.is_none() => {
            let text = format!("the route to {destination} leads nowhere");
            return Err((raw.span.clone(), text, "add via, a router, or network, if it is there".to_owned()));
        }
        (network, _) => {
            let span = raw.via.as_ref().map_or(raw.span.clone(), Spanned::span);
            let via = via.map(|via| via.to_string()).unwrap_or_default();
            let place =
                network.as_ref().map_or("any network".to_owned(), |n| format!("network \"{}\"", n.get_ref()));
            let remedy =
                "give a router there; or, if it answers there all the same, network and onlink = true";
            return Err((span, format!("{via} is not in {place}"), remedy.to_owned()));
        }
    };
    let span = raw.network.as_ref().map_or(raw.span.clone(), Spanned::span);
    all_directors_are_in(around, group, &network, span)?;
    let source = match &raw.source {
        None => None,
        Some(source) => {
            let address = address_of(around, group, source)?;
            if Family::of(address) != family {
                let text = format!("{address} is not {} like the destination {destination}", title(family));
                return Err((source.span(), text, "give a virtual IP of the same family".to_owned()));
            }
            Some(address)
        }
    };
    let mtu = raw.mtu.as_ref().map(number);
    if let (Some(written), Family::Ipv6, true) = (&raw.mtu, family, mtu < Some(1280)) {
        let text = "IPv6 packets have 1280 bytes at least".to_owned();
        return Err((written.span(), text, "write 1280 or more".to_owned()));
    }
    if raw.table.as_ref().is_some_and(|table| *table.get_ref() == 255) {
        let span = raw.table.as_ref().map_or(raw.span.clone(), Spanned::span);
        let text = "255 is the kernel's table of the host's own addresses".to_owned();
        return Err((span, text, "use another; 254 is the main one, and the default".to_owned()));
    }
    let route = VirtualRoute {
        destination,
        via,
        interface: None,
        source,
        metric: raw.metric.as_ref().map(number),
        table: raw.table.as_ref().map(number),
        onlink,
        mtu,
    };
    Ok(Some(GroupRoute { route, network }))
}

/// One for each family that it is about.
fn rule(
    problems: &mut Problems,
    around: Around<'_>,
    group: &Group,
    raw: &RawRule,
) -> Result<Vec<GroupRule>, Wrong> {
    let (Some(table), Some(priority)) = (&raw.table, &raw.priority) else { return Ok(Vec::new()) };
    let from = raw.from.as_ref().map(|from| range(around, group, from)).transpose()?;
    let to = raw.to.as_ref().map(|to| range(around, group, to)).transpose()?;
    if let (Some(from), Some(to), Some(written)) = (from, to, &raw.to)
        && from.family() != to.family()
    {
        let text = format!("{to} is not {} like {from}", title(from.family()));
        return Err((written.span(), text, "give both of one family".to_owned()));
    }
    let network = match &raw.network {
        None => None,
        Some(network) if !around.raw.networks.contains_key(network.get_ref()) => {
            let key = format!("{}.rules", around.entry.key);
            let kind = (Rule::UnknownNetwork, "network", "networks");
            unknown(problems, kind, &key, network.span(), network.get_ref(), &around.raw.networks);
            return Ok(Vec::new());
        }
        Some(network) => {
            all_directors_are_in(around, group, network.get_ref(), network.span())?;
            Some(network.get_ref().clone())
        }
    };
    let families: Vec<Family> = match from.or(to) {
        Some(range) => vec![range.family()],
        None => [Family::Ipv4, Family::Ipv6].into_iter().filter(|family| group.has(*family)).collect(),
    };
    let each = families.into_iter().map(|family| GroupRule {
        rule: VirtualRule {
            family,
            priority: number(priority),
            table: number(table),
            from,
            to,
            fwmark: raw.fwmark.as_ref().map(number),
            incoming_interface: None,
        },
        network: network.clone(),
    });
    Ok(each.collect())
}

fn number(number: &Spanned<i64>) -> u32 {
    u32::try_from(*number.get_ref()).expect("the reader's bounds fit")
}

fn wrong_range(written: &Spanned<String>, error: &fairway_config::InvalidValue) -> Wrong {
    let text = error.to_string();
    let (message, remedy) = text.rsplit_once("; ").unwrap_or((&text, "write one such as \"10.9.0.0/16\""));
    (written.span(), message.to_owned(), remedy.to_owned())
}

/// A range of addresses, or the virtual IP of that name.
fn range(around: Around<'_>, group: &Group, written: &Spanned<String>) -> Result<Prefix, Wrong> {
    if around.virtual_ips.contains_key(written.get_ref()) {
        let address = address_of(around, group, written)?;
        return Ok(Prefix::new(address, Family::of(address).host_prefix()).expect("a host's own range"));
    }
    written.get_ref().parse().map_err(|error| wrong_range(written, &error))
}

/// The address of a virtual IP of the group.
fn address_of(around: Around<'_>, group: &Group, written: &Spanned<String>) -> Result<IpAddr, Wrong> {
    let text = written.get_ref();
    let named = group.virtual_ips.iter().find(|name| {
        *name == text
            || text.parse().is_ok_and(|address: IpAddr| around.virtual_ips[*name].address == address)
    });
    match named {
        Some(name) => Ok(around.virtual_ips[name].address),
        None => Err((
            written.span(),
            format!("\"{text}\" is no virtual IP of this group, so its master does not have it"),
            format!("name one of {}", group.virtual_ips.join(", ")),
        )),
    }
}

fn all_directors_are_in(
    around: Around<'_>,
    group: &Group,
    network: &str,
    span: Range<usize>,
) -> Result<(), Wrong> {
    let outside = group.directors.iter().find(|(name, _)| {
        let host = around.hosts.hosts.get(name).filter(|_| around.hosts.sound.contains(name));
        host.is_some_and(|host| host.interface_in(network).is_none())
    });
    match outside {
        None => Ok(()),
        Some((director, _)) => Err((
            span,
            format!("{director} has no interface in network \"{network}\""),
            format!("every director of the group needs one: add it to [hosts.{director}]"),
        )),
    }
}

/// On one director, the kernel has one route to a destination for each table and metric, and each rule once.
pub fn differ(problems: &mut Problems, raw: &RawTopology, groups: &IndexMap<String, Group>) {
    let mut routes: Vec<(&str, &VirtualRoute)> = Vec::new();
    let mut rules: Vec<(&str, &GroupRule)> = Vec::new();
    let meet = |one: &str, other: &str| {
        groups[one].directors.iter().any(|(director, _)| groups[other].priority(director).is_some())
    };
    let way = |route: &VirtualRoute| (route.destination, route.table(), route.metric());
    for (name, group) in groups {
        let entry = &raw.failover[name];
        for GroupRoute { route, .. } in &group.routes {
            let same = routes.iter().find(|(other, seen)| way(seen) == way(route) && meet(name, other));
            if let Some((other, _)) = same {
                problems
                    .add(
                        Rule::VirtualRoute,
                        format!("{}.routes", entry.key),
                        entry.span.clone(),
                        format!(
                            "\"{other}\" has a route to {} with metric {} in table {} already",
                            route.destination,
                            route.metric(),
                            route.table()
                        ),
                        "give each its own table, or metric",
                    )
                    .see(raw.failover[*other].span.clone(), "here");
            }
            routes.push((name, route));
        }
        for rule in &group.rules {
            if let Some((other, _)) = rules.iter().find(|(other, seen)| *seen == rule && meet(name, other)) {
                problems
                    .add(
                        Rule::VirtualRule,
                        format!("{}.rules", entry.key),
                        entry.span.clone(),
                        format!("\"{other}\" has the same rule, {}", rule.rule),
                        "remove one of them",
                    )
                    .see(raw.failover[*other].span.clone(), "here");
            }
            rules.push((name, rule));
        }
    }
}
