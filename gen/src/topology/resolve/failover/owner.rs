//! Whose addresses the virtual IPs are, and who accepts packets for them.

use std::net::IpAddr;
use std::ops::Range;

use fairway_config::{Family, Preempt, Priority};
use indexmap::IndexMap;
use ipnet::IpNet;
use serde_spanned::Spanned;

use crate::reader::Entry;
use crate::report::{Problems, Rule};
use crate::topology::raw::{RawGroup, RawTopology};
use crate::topology::resolve::hosts::Hosts;
use crate::topology::{Forward, Group, Service, Transport, VirtualIp};

/// The directors and their priorities, that of the owner being 255.
pub fn directors(mut directors: Vec<(String, Priority)>, entry: &Entry<RawGroup>) -> Vec<(String, Priority)> {
    if let Some(owner) = &entry.value.owner {
        for (_, priority) in directors.iter_mut().filter(|(name, _)| name == owner.get_ref()) {
            *priority = Priority::new(255).expect("255 is a priority");
        }
        directors.sort_by_key(|(_, priority)| std::cmp::Reverse(*priority));
    }
    directors
}

/// The owner has the addresses, and nothing is to take them from it.
pub fn resolve(
    problems: &mut Problems,
    (hosts, virtual_ips): (&Hosts, &IndexMap<String, VirtualIp>),
    entry: &Entry<RawGroup>,
    group: &Group,
) {
    let Some(owner) = &entry.value.owner else { return };
    let (name, raw) = (owner.get_ref(), &entry.value);
    let mut refuse = |key: &str, span: Range<usize>, text: String, remedy: &str| {
        problems.add(Rule::Owner, format!("{}.{key}", entry.key), span, text, remedy);
    };
    if !group.directors.iter().any(|(director, _)| director == name) {
        let text = format!("{name} is none of the group's directors");
        return refuse("owner", owner.span(), text, "name one of them, or add it to directors");
    }
    if let Some(host) = hosts.hosts.get(name).filter(|_| hosts.sound.contains(name)) {
        for written in &raw.virtual_ips {
            let Some(vip) = virtual_ips.get(written.get_ref()) else { continue };
            let interface = vip.network.as_deref().and_then(|network| host.interface_in(network));
            if !interface.is_some_and(|i| i.addresses.iter().any(|own| own.addr() == vip.address)) {
                refuse(
                    "virtual-ips",
                    written.span(),
                    format!("{} is no address of {name}, which is to own it", vip.address),
                    "add it to the addresses of that host, or remove owner",
                );
            }
        }
    }
    for instance in group.instances.iter().filter(|instance| instance.family == Family::Ipv4) {
        let Some(host) = hosts.hosts.get(name).filter(|_| hosts.sound.contains(name)) else { continue };
        let Some(interface) = host.interface_in(&instance.network).filter(|i| i.manage) else { continue };
        let first = interface.addresses.iter().map(IpNet::addr).find(IpAddr::is_ipv4);
        if first.is_some_and(|own| instance.addresses.iter().any(|(vip, _)| *vip == own)) {
            let text = format!(
                "the first IPv4 address of {name} in network \"{}\" is one that it owns",
                instance.network
            );
            let remedy = "give it one of another kind, first in its list: adverts come from there, and a director that \
                          stands in for the owner takes none from an address that it has itself then";
            refuse("owner", owner.span(), text, remedy);
        }
    }
    if let Some(delay) = &raw.start_delay {
        let text =
            "the owner is master as soon as it runs: nobody else is to have its addresses then".to_owned();
        refuse("start-delay", delay.span(), text, "remove this, or owner");
    }
    if let Some(preempt) = raw.preempt.as_ref().filter(|preempt| *preempt.get_ref() != Preempt::Always) {
        let text = "the owner is master whenever it runs".to_owned();
        refuse("preempt", preempt.span(), text, "remove this, or owner");
    }
    let unicast = raw.transport.as_ref().filter(|transport| *transport.get_ref() == Transport::Unicast);
    if let Some(transport) = unicast {
        let text =
            "a director that stands in for the owner has the address that the owner sends from".to_owned();
        refuse("transport", transport.span(), text, "use multicast, or remove owner");
    }
    if let Some(mac) = raw.virtual_mac.as_ref().filter(|mac| *mac.get_ref()) {
        let text = "the owner's addresses are on its own interface".to_owned();
        refuse("virtual-mac", mac.span(), text, "remove this, or owner");
    }
    if let Some(excluded) = raw.excluded.first() {
        let text = "the owner advertises all of its addresses".to_owned();
        refuse("excluded", excluded.span(), text, "move them to virtual-ips, or remove owner");
    }
    if let Some(tracker) = raw.track.values().next() {
        let text = "the owner keeps its addresses whatever is tracked".to_owned();
        refuse("track", tracker.span.clone(), text, "remove the trackers, or owner");
    }
}

/// Services listen where their packets are accepted, and where real servers can answer.
pub fn services_are_accepted(
    problems: &mut Problems,
    raw: &RawTopology,
    groups: &IndexMap<String, Group>,
    services: &IndexMap<String, Service>,
) {
    for (name, service) in services {
        let entry = &raw.services[name];
        let listens = service.listens.iter().filter_map(|listen| {
            Some((listen, groups.get(listen.group.as_deref()?)?, raw.failover.get(listen.group.as_deref()?)?))
        });
        for (listen, group, written) in listens {
            let (rule, text, remedy, see) = match (&written.value.accept_mode, &written.value.owner) {
                (Some(mode), _) if !group.accept_mode => (
                    Rule::AcceptMode,
                    format!("its group drops what comes for {}", listen.address),
                    "remove accept-mode = false: IPVS takes packets where the host accepts them",
                    mode.span(),
                ),
                (_, Some(owner)) if !matches!(service.forward, Forward::Nat | Forward::FullNat) => (
                    Rule::Owner,
                    format!("{} is {}'s own address", listen.address, owner.get_ref()),
                    "with real servers that have the virtual IP, or send replies to it, its owner cannot speak to them: use \
                     forward = \"nat\" or \"full-nat\", or a virtual IP that no host owns",
                    owner.span(),
                ),
                _ => continue,
            };
            problems
                .add(rule, format!("{}.listen", entry.key), entry.span.clone(), text, remedy)
                .see(see, "as this says");
            break;
        }
    }
    for (name, _) in groups.iter().filter(|(_, group)| !group.accept_mode && group.nonlocal_bind) {
        let entry = &raw.failover[name];
        let span = entry.value.nonlocal_bind.as_ref().map_or(entry.span.clone(), Spanned::span);
        problems.add(
            Rule::AcceptMode,
            format!("{}.nonlocal-bind", entry.key),
            span,
            format!("programs that bind to the virtual IPs of \"{name}\" would hear nothing"),
            "remove this, or accept-mode = false",
        );
    }
}
