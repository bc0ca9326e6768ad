//! What the nftables template is given: sets, matches on them, and rules as words.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use fairway_config::Protocol;
use minijinja::value::Serde;
use minijinja::{Value, context};
use serde::Serialize;

use crate::plan::{Firewall, Translation};

#[derive(Serialize)]
struct Set {
    name: String,
    r#type: String,
    elements: Vec<String>,
}

#[derive(Serialize)]
struct OutboundRule {
    inside: String,
    family: &'static str,
    subnet: String,
    outside: Vec<Way>,
}

#[derive(Serialize)]
struct Way {
    interface: String,
    /// nft's statement, where the source address changes.
    action: Option<String>,
}

/// nft's word for addresses of this family.
fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "ip" } else { "ip6" }
}

/// Sets that hold the sockets, and a match on each. One lookup serves any number of them.
fn sockets(
    name: &str,
    (address_key, port_key): (&str, &str),
    sockets: &BTreeSet<(IpAddr, Protocol, u16)>,
) -> (Vec<Set>, Vec<String>) {
    let mut sets: BTreeMap<(bool, bool), Vec<String>> = BTreeMap::new();
    for (address, protocol, port) in sockets {
        let element = match port {
            0 => format!("{address} . {protocol}"),
            port => format!("{address} . {protocol} . {port}"),
        };
        sets.entry((*port == 0, address.is_ipv6())).or_default().push(element);
    }
    let mut matches = Vec::new();
    let sets = sets
        .into_iter()
        .map(|((every_port, ipv6), elements)| {
            let (word, digit) = if ipv6 { ("ip6", 6) } else { ("ip", 4) };
            let kind = if ipv6 { "ipv6_addr" } else { "ipv4_addr" };
            let (name, kind, key) = if every_port {
                (
                    format!("{name}{digit}_all"),
                    format!("{kind} . inet_proto"),
                    format!("{word} {address_key} . meta l4proto"),
                )
            } else {
                (
                    format!("{name}{digit}"),
                    format!("{kind} . inet_proto . inet_service"),
                    format!("{word} {address_key} . meta l4proto . th {port_key}"),
                )
            };
            matches.push(format!("{key} @{name}"));
            Set { name, r#type: kind, elements }
        })
        .collect();
    (sets, matches)
}

/// The values of the template.
pub(super) fn context(header: &str, firewall: &Firewall) -> Value {
    let (mut sets, services) = sockets("services", ("daddr", "dport"), &firewall.services);
    let (reply_sets, replies) = sockets("replies", ("saddr", "sport"), &firewall.replies);
    sets.extend(reply_sets);
    let outbound: Vec<OutboundRule> = firewall
        .outbound
        .iter()
        .map(|o| OutboundRule {
            inside: o.inside.clone(),
            family: family(o.subnet.addr()),
            subnet: o.subnet.to_string(),
            outside: o
                .outside
                .iter()
                .map(|(interface, translation)| Way {
                    interface: interface.clone(),
                    action: match translation {
                        Translation::None => None,
                        Translation::To(source) => Some(format!("snat {} to {source}", family(*source))),
                        Translation::Masquerade => Some("masquerade".to_owned()),
                    },
                })
                .collect(),
        })
        .collect();
    let allow: Vec<String> =
        firewall.allow.iter().map(|(protocol, port)| format!("{protocol} dport {port}")).collect();
    context! {
        header,
        active => firewall.active,
        drop => firewall.drop,
        policy => if firewall.drop { "drop" } else { "accept" },
        sets => Serde(&sets),
        vrrp => Serde(&firewall.vrrp),
        services,
        replies,
        forward => firewall.drop || !firewall.replies.is_empty() || !outbound.is_empty(),
        translates => outbound.iter().flat_map(|o| &o.outside).any(|way| way.action.is_some()),
        outbound => Serde(&outbound),
        allow,
    }
}
