//! What the nftables template is given: sets, matches on them, and rules as words.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use fairway_config::Protocol;
use minijinja::value::Serde;
use minijinja::{Value, context};
use serde::Serialize;

use crate::plan::{Firewall, Handed, Segments, Socket, SourceNat, SynProxy, Translation};

#[derive(Serialize)]
struct Set {
    name: String,
    r#type: String,
    /// Whether an element may be a range.
    interval: bool,
    elements: Vec<String>,
}

/// Requests that other directors hand to this one.
#[derive(Serialize)]
struct HandedRules {
    interface: String,
    family: &'static str,
    directors: String,
    server: IpAddr,
    /// The requests.
    matches: Vec<String>,
}

fn handed(handed: &[Handed]) -> (Vec<Set>, Vec<HandedRules>) {
    let mut sets = Vec::new();
    let mut rules = Vec::new();
    for handed in handed {
        let word = family(handed.server);
        // Told apart by the server's address, so that one service's sets have the same names with and without others.
        let server = handed.server.to_string().replace(['.', ':'], "_");
        let (found, matches) = sockets(&format!("handed_{server}_"), ("daddr", "dport"), &handed.sockets);
        sets.extend(found);
        rules.push(HandedRules {
            interface: handed.interface.clone(),
            family: word,
            directors: handed.directors.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            server: handed.server,
            matches,
        });
    }
    (sets, rules)
}

#[derive(Serialize)]
struct OutboundRule {
    inside: Vec<String>,
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
    sockets: &BTreeSet<Socket>,
) -> (Vec<Set>, Vec<String>) {
    let mut sets: BTreeMap<(bool, bool), (Vec<String>, bool)> = BTreeMap::new();
    for (address, protocol, ports) in sockets {
        let (elements, interval) = sets.entry((ports.is_every(), address.is_ipv6())).or_default();
        if ports.is_every() {
            elements.push(format!("{address} . {protocol}"));
        } else {
            elements.push(format!("{address} . {protocol} . {ports}"));
            *interval |= ports.count() > 1;
        }
    }
    let mut matches = Vec::new();
    let sets = sets
        .into_iter()
        .map(|((every_port, ipv6), (elements, interval))| {
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
            Set { name, r#type: kind, interval, elements }
        })
        .collect();
    (sets, matches)
}

/// The largest segments that are offered to clients of these virtual IPs.
fn clamps(segments: &[Segments]) -> (Vec<Set>, Vec<String>) {
    let rules = segments.iter().filter_map(|segments| {
        let first = segments.vips.first()?;
        let digit = if first.is_ipv4() { 4 } else { 6 };
        let name = format!("tunnel{digit}_{}", segments.mss);
        let rule = format!(
            "{} saddr @{name} tcp flags syn / syn,rst tcp option maxseg size set {}",
            family(*first),
            segments.mss
        );
        let elements = segments.vips.iter().map(ToString::to_string).collect();
        Some((Set { name, r#type: format!("ipv{digit}_addr"), interval: false, elements }, rule))
    });
    rules.unzip()
}

/// A SYN proxy's match and what it offers to clients.
#[derive(Serialize)]
struct SynProxyRule {
    sockets: String,
    mss: u32,
}

fn syn_proxy(services: &[SynProxy]) -> (Vec<Set>, Vec<SynProxyRule>) {
    let rules = services.iter().filter_map(|proxy| {
        let (first, _) = proxy.services.first()?;
        let digit = if first.is_ipv4() { 4 } else { 6 };
        let name = format!("syn_proxy{digit}_{}", proxy.mss);
        let elements = proxy.services.iter().map(|(address, port)| format!("{address} . {port}")).collect();
        let sockets = format!("{} daddr . tcp dport @{name}", family(*first));
        let r#type = format!("ipv{digit}_addr . inet_service");
        let set = Set { name, r#type, interval: false, elements };
        Some((set, SynProxyRule { sockets, mss: proxy.mss }))
    });
    rules.unzip()
}

/// Rules that give requests of full NAT another source. What a connection was opened to is told by its conntrack
/// entry: when it comes here IPVS has changed the destination. The sets differ by protocol, because nft cannot
/// put the port into a key without knowing whose it is.
fn source_nat(translations: &[SourceNat]) -> (Vec<Set>, Vec<String>) {
    let (mut sets, mut rules): (Vec<Set>, Vec<String>) = (Vec::new(), Vec::new());
    for translation in translations {
        let mut elements: BTreeMap<(Protocol, bool), (bool, Vec<String>)> = BTreeMap::new();
        for (protocol, address, port) in &translation.services {
            let every_port = *port == 0;
            let element = if every_port { address.to_string() } else { format!("{address} . {port}") };
            elements
                .entry((*protocol, every_port))
                .or_insert_with(|| (address.is_ipv6(), Vec::new()))
                .1
                .push(element);
        }
        for ((protocol, every_port), (ipv6, elements)) in elements {
            let (word, digit) = if ipv6 { ("ip6", 6) } else { ("ip", 4) };
            let (suffix, port_type, port_key) = if every_port {
                ("_all", "", "")
            } else {
                ("", " . inet_service", " . ct original proto-dst")
            };
            let base = format!("full_nat{digit}_{protocol}{suffix}");
            let taken = sets.iter().filter(|set| set.name.starts_with(&base)).count();
            let name = if taken == 0 { base } else { format!("{base}_{}", taken + 1) };
            rules.push(format!(
                "oifname \"{}\" meta l4proto {protocol} ct original {word} daddr{port_key} @{name} snat {word} to {}",
                translation.interface,
                source(word, protocol, &translation.addresses)
            ));
            let r#type = format!("ipv{digit}_addr{port_type}");
            sets.push(Set { name, r#type, interval: false, elements });
        }
    }
    (sets, rules)
}

/// The source address; one of several by a hash that is the same on all directors, so that a connection which
/// changes directors keeps its source.
fn source(word: &str, protocol: Protocol, addresses: &[IpAddr]) -> String {
    match addresses {
        [address] => address.to_string(),
        _ => {
            let pool: Vec<String> = addresses.iter().enumerate().map(|(n, a)| format!("{n} : {a}")).collect();
            let (count, pool) = (addresses.len(), pool.join(", "));
            format!("jhash {word} saddr . {protocol} sport mod {count} seed 0x1 map {{ {pool} }}")
        }
    }
}

/// The values of the template.
pub(super) fn context(header: &str, firewall: &Firewall, segments: &[Segments]) -> Value {
    let (mut sets, services) = sockets("services", ("daddr", "dport"), &firewall.services);
    let (reply_sets, replies) = sockets("replies", ("saddr", "sport"), &firewall.replies);
    sets.extend(reply_sets);
    let (probe_sets, probes) = sockets("probes", ("saddr", "sport"), &firewall.probes);
    if firewall.drop {
        sets.extend(probe_sets);
    }
    let (served_sets, served) = sockets("served", ("daddr", "dport"), &firewall.served);
    if firewall.drop {
        sets.extend(served_sets);
    }
    let (handed_sets, handed) = handed(&firewall.handed);
    sets.extend(handed_sets);
    let mut marks = Vec::new();
    for (mark, marked) in &firewall.marks {
        let (mark_sets, matches) = sockets(&format!("mark{mark}_"), ("daddr", "dport"), marked);
        sets.extend(mark_sets);
        marks.extend(matches.iter().map(|found| format!("{found} meta mark set {mark}")));
    }
    let (proxy_sets, proxies) = syn_proxy(&firewall.syn_proxy);
    sets.extend(proxy_sets);
    let (source_sets, sources) = source_nat(&firewall.source_nat);
    sets.extend(source_sets);
    let (clamp_sets, clamps) = clamps(segments);
    sets.extend(clamp_sets);
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
        refused => firewall.refused.iter().map(|address| format!("{} daddr {address}", family(*address))).collect::<Vec<_>>(),
        refused_ipv6 => firewall.refused.iter().any(IpAddr::is_ipv6),
        active => firewall.active,
        drop => firewall.drop,
        policy => if firewall.drop { "drop" } else { "accept" },
        sets => Serde(&sets),
        vrrp => Serde(&firewall.vrrp),
        bfd => Serde(&firewall.bfd),
        sync => Serde(&firewall.sync),
        syn_proxy => Serde(&proxies),
        services,
        handed => Serde(&handed),
        served,
        probes,
        marks,
        replies,
        forward => firewall.drop || !firewall.replies.is_empty() || !outbound.is_empty(),
        translates => !sources.is_empty() || outbound.iter().flat_map(|o| &o.outside).any(|way| way.action.is_some()),
        outbound => Serde(&outbound),
        source_nat => sources,
        clamps,
        allow,
    }
}
