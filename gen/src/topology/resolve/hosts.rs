//! Hosts, their addresses, and virtual IPs.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::ops::Range;

use fairway_config::Family;
use indexmap::IndexMap;
use ipnet::IpNet;

use super::super::raw::{AddressText, RawHost, RawInterface, RawTopology};
use super::super::{Host, Interface, Network, VirtualIp};
use super::networks::{NetworkIndex, is_link_local};
use super::{title, unknown};
use crate::reader::{Entry, Named};
use crate::report::{Problems, Rule};

/// The dummy interface of real servers that answer as the VIP.
pub const DUMMY: &str = "fairway0";

/// How the names of tunnels' interfaces begin.
const TUNNELS: &str = "fairway-";

/// Who has an address, and where that is written.
pub type AddressOwners = HashMap<IpAddr, (String, Range<usize>)>;

/// All hosts, and what is known about them.
pub struct Hosts {
    /// By name.
    pub hosts: IndexMap<String, Host>,
    /// Hosts with which nothing was wrong: what they lack, they lack.
    pub sound: HashSet<String>,
    /// Their addresses.
    pub owners: AddressOwners,
}

pub fn resolve(
    raw: &RawTopology,
    networks: &IndexMap<String, Network>,
    index: &NetworkIndex,
    problems: &mut Problems,
) -> Hosts {
    let mut owners = AddressOwners::new();
    let mut hosts = IndexMap::with_capacity(raw.hosts.len());
    let mut sound = HashSet::new();
    let mut seen = HashMap::new();
    for (name, entry) in &raw.hosts {
        let before = problems.len();
        let mut host = Host {
            interfaces: Vec::with_capacity(entry.value.interfaces.len()),
            machine_id: entry.value.machine_id.as_ref().map(|id| id.get_ref().clone()),
            mac: entry.value.mac.as_ref().map(|mac| mac.get_ref().clone()),
        };
        machines(problems, name, entry, &mut seen);
        for (interface_name, interface) in &entry.value.interfaces {
            let device = interface_name.as_str();
            if matches!(device, DUMMY | "lo")
                || [TUNNELS, "vrrp4-", "vrrp6-"].iter().any(|reserved| device.starts_with(reserved))
            {
                problems.add(
                    Rule::ReservedInterface,
                    &interface.key,
                    interface.span.clone(),
                    format!("\"{interface_name}\" cannot be used here"),
                    "name a real interface; lo and those of Fairway are set up as the services need",
                );
                continue;
            }
            let Some(network) = network_of(problems, raw, interface) else { continue };
            if let Some(other) = host.interface_in(network) {
                problems.add(
                    Rule::OneInterfacePerNetwork,
                    format!("{}.network", interface.key),
                    interface.span.clone(),
                    format!("{device} has {} in network \"{network}\" already", other.name),
                    "join the two in a bond and name that, or give each its own network",
                );
                continue;
            }
            let manage = interface.value.manage.as_ref().is_none_or(|m| *m.get_ref());
            let addresses =
                interface_addresses(problems, (networks, index), (name, network), interface, &mut owners);
            if manage && interface.value.addresses.is_empty() && interface.sound {
                problems.add(
                    Rule::MissingAddresses,
                    format!("{}.addresses", interface.key),
                    interface.span.clone(),
                    format!("{interface_name} of {name} has no addresses"),
                    "add addresses = [\"...\"], or manage = false if something else sets them",
                );
            }
            let network = network.to_owned();
            host.interfaces.push(Interface { name: interface_name.clone(), network, addresses, manage });
        }
        if entry.sound && problems.len() == before {
            sound.insert(name.clone());
        }
        hosts.insert(name.clone(), host);
    }
    Hosts { hosts, sound, owners }
}

/// What a machine is known by is its own.
fn machines<'r>(
    problems: &mut Problems,
    host: &'r str,
    entry: &Entry<RawHost>,
    seen: &mut HashMap<String, (&'r str, Range<usize>)>,
) {
    let id = entry.value.machine_id.as_ref().map(|id| ("machine-id", id.get_ref().to_string(), id.span()));
    let mac = entry.value.mac.as_ref().map(|mac| ("mac", mac.get_ref().to_string(), mac.span()));
    for (key, value, span) in [id, mac].into_iter().flatten() {
        if let Some((other, there)) = seen.get(&value) {
            problems
                .add(
                    Rule::DuplicateMachine,
                    format!("{}.{key}", entry.key),
                    span,
                    format!("{value} is that of {other} already"),
                    "write each machine's own, or leave it out and give the machines their host names",
                )
                .see(there.clone(), "here already");
            continue;
        }
        seen.insert(value, (host, span));
    }
}

fn network_of<'r>(
    problems: &mut Problems,
    raw: &RawTopology,
    interface: &'r Entry<RawInterface>,
) -> Option<&'r str> {
    let network = interface.value.network.as_ref()?;
    if !raw.networks.contains_key(network.get_ref()) {
        let kind = (Rule::UnknownNetwork, "network", "networks");
        let key = format!("{}.network", interface.key);
        unknown(problems, kind, &key, network.span(), network.get_ref(), &raw.networks);
        return None;
    }
    Some(network.get_ref())
}

fn interface_addresses(
    problems: &mut Problems,
    (networks, index): (&IndexMap<String, Network>, &NetworkIndex),
    (host, network): (&str, &str),
    interface: &Entry<RawInterface>,
    owners: &mut AddressOwners,
) -> Vec<IpNet> {
    let key = format!("{}.addresses", interface.key);
    let mut addresses = Vec::new();
    for written in &interface.value.addresses {
        let AddressText { address, prefix } = *written.get_ref();
        let subnet = match index.find(address) {
            Some((found, subnet)) if found == network => subnet,
            found => {
                if index.complete() || found.is_some() {
                    let subnets =
                        networks[network].subnets.iter().map(ToString::to_string).collect::<Vec<_>>();
                    problems.add(
                        Rule::AddressOutsideNetwork,
                        &key,
                        written.span(),
                        format!("{address} is not in network \"{network}\""),
                        format!("use an address in {}", subnets.join(" or ")),
                    );
                }
                continue;
            }
        };
        prefix_fits(problems, &key, written.span(), (prefix, false), subnet);
        usable_in(problems, &key, written.span(), address, subnet);
        if let Some((other, span)) = owners.get(&address) {
            problems
                .add(
                    Rule::DuplicateAddress,
                    &key,
                    written.span(),
                    format!("{address} is an address of {other} already"),
                    "give each interface its own; an address that moves belongs under [virtual-ips]",
                )
                .see(span.clone(), "here already");
            continue;
        }
        owners.insert(address, (host.to_owned(), written.span()));
        addresses.push(IpNet::new(address, subnet.prefix_len()).expect("the subnet's own length"));
    }
    addresses
}

/// A written prefix length is the subnet's; virtual IPs may have the host prefix.
fn prefix_fits(
    problems: &mut Problems,
    key: &str,
    span: Range<usize>,
    (prefix, host_prefix): (Option<u8>, bool),
    subnet: IpNet,
) {
    let Some(prefix) = prefix else { return };
    if prefix != subnet.prefix_len() && !(host_prefix && prefix == subnet.max_prefix_len()) {
        problems.add(
            Rule::PrefixLength,
            key,
            span,
            format!("/{prefix} is not the prefix length of {subnet}"),
            format!("write /{}, or leave it out", subnet.prefix_len()),
        );
    }
}

/// The first and last address of an IPv4 subnet are not for hosts (but RFC 3021 for /31).
fn usable_in(problems: &mut Problems, key: &str, span: Range<usize>, address: IpAddr, subnet: IpNet) {
    let edge = address == subnet.network() || address == subnet.broadcast();
    if address.is_ipv4() && subnet.prefix_len() < 31 && edge {
        problems.add(
            Rule::BadValue,
            key,
            span,
            format!("{address} is the network or broadcast address of {subnet}"),
            "use an address between them",
        );
    }
}

pub fn resolve_virtual_ips(
    raw: &RawTopology,
    index: &NetworkIndex,
    owners: &AddressOwners,
    problems: &mut Problems,
) -> IndexMap<String, VirtualIp> {
    let mut seen: HashMap<(IpAddr, Option<String>), &str> = HashMap::new();
    let mut virtual_ips = IndexMap::with_capacity(raw.virtual_ips.len());
    for (name, entry) in &raw.virtual_ips {
        let Some(written) = &entry.value.address else { continue };
        let AddressText { address, prefix } = *written.get_ref();
        let found = index.find(address);
        let network = match &entry.value.network {
            None => found.map(|(network, _)| network.to_owned()),
            Some(network) => {
                let Some(network) = named_network(problems, raw, index, entry, network, address) else {
                    continue;
                };
                Some(network)
            }
        };
        if let Some((_, subnet)) = found {
            prefix_fits(problems, &entry.key, written.span(), (prefix, true), subnet);
            usable_in(problems, &entry.key, written.span(), address, subnet);
        }
        // The addresses of an owner are virtual IPs and its own.
        let owned = |host: &String| {
            let groups = raw.failover.values().map(|entry| &entry.value);
            let mut its = groups.filter(|group| group.virtual_ips.iter().any(|vip| vip.get_ref() == name));
            its.any(|group| group.owner.as_ref().is_some_and(|owner| owner.get_ref() == host))
        };
        if let Some((host, span)) = owners.get(&address).filter(|(host, _)| !owned(host)) {
            problems
                .add(
                    Rule::VirtualIpIsHostAddress,
                    &entry.key,
                    written.span(),
                    format!("{address} is an address of {host}"),
                    "a virtual IP moves between hosts: choose an address no host has, or make this host the owner of its group",
                )
                .see(span.clone(), "here");
        }
        if let Some(other) = seen.insert((address, network.clone()), name) {
            problems
                .add(
                    Rule::DuplicateVirtualIp,
                    &entry.key,
                    written.span(),
                    format!("{address} is the virtual IP \"{other}\" already"),
                    format!("remove this one and use \"{other}\", or give it its own address"),
                )
                .see(place_of(&raw.virtual_ips, other), "here already");
        }
        virtual_ips.insert(name.clone(), VirtualIp { address, prefix, network });
    }
    virtual_ips
}

fn place_of<T>(named: &Named<T>, name: &str) -> Range<usize> {
    named.get(name).map_or(0..0, |e| e.span.clone())
}

/// `network = "..."` beside a virtual IP: for IPv6 link-local addresses, which do not tell their network.
fn named_network(
    problems: &mut Problems,
    raw: &RawTopology,
    index: &NetworkIndex,
    entry: &Entry<super::super::raw::RawVirtualIp>,
    network: &serde_spanned::Spanned<String>,
    address: IpAddr,
) -> Option<String> {
    let key = format!("{}.network", entry.key);
    let name = network.get_ref();
    if !raw.networks.contains_key(name) {
        let kind = (Rule::UnknownNetwork, "network", "networks");
        unknown(problems, kind, &key, network.span(), name, &raw.networks);
        return None;
    }
    let inside = index.find(address).is_some_and(|(found, _)| found == name);
    if !inside && !is_link_local(address) {
        problems.add(
            Rule::AddressOutsideNetwork,
            &key,
            network.span(),
            format!("{address} is not in network \"{name}\""),
            format!("leave \"network\" out: it follows from the {} address", title(Family::of(address))),
        );
        return None;
    }
    Some(name.clone())
}
