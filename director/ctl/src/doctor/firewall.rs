//! Packet filters that drop adverts or clients: what nft lists is followed for such packets, as far as it can be known
//! without a packet.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::process::Command;

use fairway_config::{Config, Listen, Protocol};
use serde_json::Value;

use super::Findings;

/// What fairway-gen writes.
const GENERATED: &str = "etc/nftables.d/fairway.nft";
/// Chains call each other at most this deep (the kernel's own limit).
const DEPTH: usize = 16;

pub(super) fn examine(findings: &mut Findings, config: &Config) {
    let file = super::host::root().join(GENERATED);
    let generated = file.exists();
    let told = Command::new("nft").args(["-j", "list", "ruleset"]).output();
    let ruleset = match told {
        Ok(told) if told.status.success() => Ruleset::read(&told.stdout),
        Ok(told) => Err(String::from_utf8_lossy(&told.stderr).trim().to_owned()),
        // Without nft nobody has loaded anything.
        Err(_) if !generated => return,
        Err(error) => Err(error.to_string()),
    };
    let ruleset = match ruleset {
        Ok(ruleset) => ruleset,
        Err(error) => {
            let problem = format!("packet filters cannot be listed: {error}");
            return findings.add("firewall", "nft", problem, "install nftables, and run the doctor as root");
        }
    };
    if generated && !ruleset.tables.iter().any(|(family, name)| family == "inet" && name == "fairway") {
        let problem = format!("the table is not loaded, and {} is there", file.display());
        let remedy = "`systemctl restart fairway-nftables.service`";
        findings.add("firewall", "table inet fairway", problem, remedy);
    }
    for instance in config.failover.iter().flat_map(|group| &group.instances) {
        let packet = Packet {
            interface: instance.interface.as_str(),
            family: instance.family,
            destination: None,
            protocol: "vrrp",
            number: 112,
            port: None,
        };
        if let Some(chain) = ruleset.drops(&packet) {
            findings.add(
                "firewall",
                format!("VRRP on {}", instance.interface),
                format!("{chain} drops the other directors' adverts"),
                "accept IP protocol 112 from the other directors there",
            );
        }
    }
    for service in &config.services {
        let Listen::Address { address, port, protocol } = service.listen else { continue };
        let (name, number) = match protocol {
            Protocol::Tcp => ("tcp", 6),
            Protocol::Udp => ("udp", 17),
            Protocol::Sctp => ("sctp", 132),
        };
        let instances = config.failover.iter().flat_map(|group| &group.instances);
        let own = instances.into_iter().find(|i| i.addresses().any(|vip| vip.address == address));
        let Some(instance) = own else { continue };
        let packet = Packet {
            interface: instance.interface.as_str(),
            family: fairway_config::Family::of(address),
            destination: Some(address),
            protocol: name,
            number,
            port: (port != 0).then_some(port),
        };
        if let Some(chain) = ruleset.drops(&packet) {
            findings.add(
                "firewall",
                format!("{name} {address} port {port}"),
                format!("{chain} drops new connections of clients"),
                "accept them there; IPVS comes after the input hook",
            );
        }
    }
}

/// What is known of a packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packet<'a> {
    pub(super) interface: &'a str,
    pub(super) family: fairway_config::Family,
    pub(super) destination: Option<IpAddr>,
    pub(super) protocol: &'static str,
    pub(super) number: u64,
    pub(super) port: Option<u16>,
}

/// What becomes of a packet in a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Accepted,
    Dropped,
    /// It depends on what is not known.
    Unknown,
    /// Nothing is said of it.
    Left,
}

/// What nft lists.
#[derive(Debug, Default)]
pub(super) struct Ruleset {
    pub(super) tables: Vec<(String, String)>,
    chains: Vec<Value>,
    /// By family, table and chain.
    rules: BTreeMap<(String, String, String), Vec<Value>>,
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

impl Ruleset {
    pub(super) fn read(json: &[u8]) -> Result<Self, String> {
        let listed: Value = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        let mut ruleset = Self::default();
        for entry in listed["nftables"].as_array().into_iter().flatten() {
            if let Some(table) = entry.get("table") {
                ruleset.tables.push((text(table, "family"), text(table, "name")));
            } else if let Some(chain) = entry.get("chain") {
                ruleset.chains.push(chain.clone());
            } else if let Some(rule) = entry.get("rule") {
                let key = (text(rule, "family"), text(rule, "table"), text(rule, "chain"));
                ruleset.rules.entry(key).or_default().push(rule["expr"].clone());
            }
        }
        Ok(ruleset)
    }

    /// The chain that certainly drops such a packet before it reaches the director.
    pub(super) fn drops(&self, packet: &Packet<'_>) -> Option<String> {
        let families = match packet.family {
            fairway_config::Family::Ipv4 => ["inet", "ip"],
            fairway_config::Family::Ipv6 => ["inet", "ip6"],
        };
        let hooked = self.chains.iter().filter(|chain| {
            matches!(chain["hook"].as_str(), Some("prerouting" | "input"))
                && chain["type"].as_str() == Some("filter")
                && families.contains(&text(chain, "family").as_str())
        });
        hooked.into_iter().find_map(|chain| {
            let (family, table, name) = (text(chain, "family"), text(chain, "table"), text(chain, "name"));
            let fate = match self.follow((&family, &table, &name), packet, 0) {
                Fate::Left if chain["policy"].as_str() == Some("drop") => Fate::Dropped,
                fate => fate,
            };
            (fate == Fate::Dropped).then(|| format!("chain {name} of table {family} {table}"))
        })
    }

    fn follow(&self, (family, table, chain): (&str, &str, &str), packet: &Packet<'_>, depth: usize) -> Fate {
        if depth > DEPTH {
            return Fate::Unknown;
        }
        let key = (family.to_owned(), table.to_owned(), chain.to_owned());
        for rule in self.rules.get(&key).into_iter().flatten() {
            let statements: Vec<_> = rule.as_array().into_iter().flatten().collect();
            let conditions: Vec<_> =
                statements.iter().filter_map(|statement| condition(statement, packet)).collect();
            let holds = if conditions.contains(&Some(false)) {
                Some(false)
            } else {
                (!conditions.contains(&None)).then_some(true)
            };
            if holds == Some(false) {
                continue;
            }
            let verdict = statements.iter().find_map(|statement| {
                let statement = statement.as_object()?;
                let (name, of) = statement.iter().next()?;
                Some(match name.as_str() {
                    "accept" => Fate::Accepted,
                    "drop" | "reject" => Fate::Dropped,
                    "jump" | "goto" => {
                        self.follow((family, table, of["target"].as_str()?), packet, depth + 1)
                    }
                    "vmap" | "queue" | "return" => Fate::Unknown,
                    _ => return None,
                })
            });
            match (verdict, holds) {
                (None | Some(Fate::Left), _) => {}
                (Some(fate), Some(true)) => return fate,
                (Some(_), _) => return Fate::Unknown,
            }
        }
        Fate::Left
    }
}

/// Whether a statement lets a packet pass on to the next one; `None` for what is no condition. What is not known is
/// `Some(None)`.
#[expect(clippy::option_option, reason = "no condition, or one that may not be known")]
fn condition(statement: &Value, packet: &Packet<'_>) -> Option<Option<bool>> {
    let Some(comparison) = statement.get("match") else {
        // These pass some packets and not others.
        let partial = ["limit", "ct count", "quota", "xt"].iter().any(|name| statement.get(name).is_some());
        return partial.then_some(None);
    };
    let (left, right) = (&comparison["left"], &comparison["right"]);
    let holds = compare(left, right, packet);
    Some(match comparison["op"].as_str() {
        Some("==" | "in") => holds,
        Some("!=") => holds.map(|holds| !holds),
        _ => None,
    })
}

fn compare(left: &Value, right: &Value, packet: &Packet<'_>) -> Option<bool> {
    let v4 = packet.family == fairway_config::Family::Ipv4;
    let meta = left["meta"]["key"].as_str();
    let (protocol, field) = (left["payload"]["protocol"].as_str(), left["payload"]["field"].as_str());
    match (meta, protocol, field) {
        (Some("iifname" | "iif"), ..) => among(right, &|value| Some(value.as_str()? == packet.interface)),
        (Some("l4proto"), ..) | (_, Some("ip"), Some("protocol")) | (_, Some("ip6"), Some("nexthdr")) => {
            if protocol.is_some_and(|protocol| (protocol == "ip") != v4) {
                return Some(false);
            }
            among(right, &|value| match (value.as_str(), value.as_u64()) {
                (Some(name), _) => Some(name == packet.protocol),
                (_, Some(number)) => Some(number == packet.number),
                _ => None,
            })
        }
        (Some("nfproto"), ..) => among(right, &|value| Some((value.as_str()? == "ipv4") == v4)),
        (_, Some(family @ ("ip" | "ip6")), Some("daddr")) => {
            if (family == "ip") != v4 {
                return Some(false);
            }
            let destination = packet.destination?;
            among(right, &|value| Some(value.as_str()?.parse::<IpAddr>().ok()? == destination))
        }
        (_, Some(family @ ("ip" | "ip6")), Some(_)) if (family == "ip") != v4 => Some(false),
        (_, Some(transport @ ("tcp" | "udp" | "sctp" | "th")), Some(field)) => {
            if transport != "th" && transport != packet.protocol {
                return Some(false);
            }
            match (field, packet.port) {
                ("dport", Some(port)) => among(right, &|value| Some(value.as_u64()? == u64::from(port))),
                _ => None,
            }
        }
        _ if left["ct"]["key"].as_str() == Some("state") => {
            // Clients begin; adverts are of no connection that was there before, or of one.
            among(right, &|value| match value.as_str()? {
                "new" | "untracked" if packet.protocol != "vrrp" => Some(true),
                "established" | "related" | "invalid" if packet.protocol != "vrrp" => Some(false),
                _ => None,
            })
        }
        _ => None,
    }
}

/// Whether a value, or one of a set, is meant. Named sets are not looked up.
fn among(right: &Value, is: &dyn Fn(&Value) -> Option<bool>) -> Option<bool> {
    let elements = right.get("set").unwrap_or(right);
    if let Some(elements) = elements.as_array() {
        let mut unknown = false;
        for element in elements {
            match among(element, is) {
                Some(true) => return Some(true),
                Some(false) => {}
                None => unknown = true,
            }
        }
        return (!unknown).then_some(false);
    }
    if let Some([Value::Number(low), Value::Number(high)]) = right["range"].as_array().map(Vec::as_slice) {
        let (low, high) = (low.as_u64()?, high.as_u64()?);
        // A span of ports, which is what a few numbers are tried for.
        return (low..=high.min(65_535)).try_fold(false, |any, number| Some(any || is(&number.into())?));
    }
    if right.is_object() || right.as_str().is_some_and(|text| text.starts_with('@')) {
        return None;
    }
    is(right)
}
