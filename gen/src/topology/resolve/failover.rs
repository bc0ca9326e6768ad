//! Failover groups: their directors, instances and identifiers.

mod addresses;
mod directors;
mod instances;
mod owner;
mod protocol;
mod routes;
mod track;
mod virtual_mac;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use fairway_config::{Checksum, Family, Period, Vrid, VrrpVersion};
use indexmap::IndexMap;
use serde_spanned::Spanned;

use super::super::raw::{RawGroup, RawTopology};
use super::super::{Group, GroupInstance, Network, Transport, VirtualIp};
use super::hosts::Hosts;
use super::networks::NetworkIndex;
use super::{title, unknown};

use crate::reader::Entry;
use crate::report::{Problems, Rule};

pub use owner::services_are_accepted;
pub use track::services_exist;

/// The advert interval unless one is given.
const ADVERT_INTERVAL: Period = Period::from_millis(250);
/// As the standards have it (RFC 9568 section 6.1).
const DOWN_TIMER_ADVERTS: u8 = 3;

pub fn resolve(
    raw: &RawTopology,
    networks: &IndexMap<String, Network>,
    hosts: &Hosts,
    virtual_ips: &IndexMap<String, VirtualIp>,
    index: &NetworkIndex,
    problems: &mut Problems,
) -> IndexMap<String, Group> {
    let mut members = HashMap::new();
    let mut groups = IndexMap::with_capacity(raw.failover.len());
    for (name, entry) in &raw.failover {
        let mut group = Group {
            virtual_ips: members_of(
                problems,
                (raw, virtual_ips, index),
                (name, entry, "virtual-ips", entry.value.virtual_ips.iter()),
                &mut members,
            ),
            directors: owner::directors(directors::directors(problems, raw, entry), entry),
            owner: entry.value.owner.as_ref().map(|owner| owner.get_ref().clone()),
            accept_mode: entry.value.accept_mode.as_ref().is_none_or(|accepts| *accepts.get_ref()),
            advert_interval: entry.value.advert_interval.as_ref().map_or(ADVERT_INTERVAL, |i| *i.get_ref()),
            down_timer_adverts: entry
                .value
                .down_timer_adverts
                .as_ref()
                .map_or(DOWN_TIMER_ADVERTS, |a| *a.get_ref()),
            start_delay: entry.value.start_delay.as_ref().map_or(Period::default(), |d| *d.get_ref()),
            version: entry.value.version.as_ref().map_or(VrrpVersion::V3, |v| *v.get_ref()),
            checksum: entry.value.checksum.as_ref().map_or(Checksum::default(), |c| *c.get_ref()),
            preempt: entry.value.preempt.as_ref().map(|p| *p.get_ref()).unwrap_or_default(),
            auth: entry.value.auth.as_ref().map(|a| a.get_ref().clone()),
            transport: entry.value.transport.as_ref().map(|t| *t.get_ref()).unwrap_or_default(),
            virtual_mac: entry.value.virtual_mac.as_ref().is_some_and(|mac| *mac.get_ref()),
            transmit_from_base: entry.value.transmit_from_base.as_ref().is_some_and(|base| *base.get_ref()),
            announce: entry.value.announce.as_ref().map(|a| *a.get_ref()).unwrap_or_default(),
            router: entry.value.router.as_ref().is_some_and(|router| *router.get_ref()),
            nonlocal_bind: entry.value.nonlocal_bind.as_ref().is_some_and(|early| *early.get_ref()),
            routes: Vec::new(),
            rules: Vec::new(),
            track: BTreeMap::new(),
            instances: Vec::new(),
        };
        group.instances = instances(name, &group, virtual_ips);
        addresses::adverts_fit(problems, entry, &group, networks);
        let written = entry.value.excluded.iter();
        let excluded =
            members_of(problems, (raw, virtual_ips, index), (name, entry, "excluded", written), &mut members);
        addresses::exclude(problems, entry, &mut group, (&excluded, virtual_ips));
        group.virtual_ips.extend(excluded);
        routes::resolve(problems, routes::Around { raw, hosts, index, virtual_ips, entry }, &mut group);
        directors::interfaces_exist(problems, (raw, hosts), entry, &group);
        track::resolve(problems, (raw, hosts), entry, &mut group);
        if group.transport == Transport::Unicast {
            directors::senders(problems, (raw, hosts), entry, &mut group);
        }
        protocol::protocol_rules(problems, (name, entry), &group);
        owner::resolve(problems, (hosts, virtual_ips), entry, &group);
        groups.insert(name.clone(), group);
    }
    routes::differ(problems, raw, &groups);
    instances::instance_names_differ(problems, raw, &groups);
    instances::allocate_vrids(problems, raw, &mut groups);
    virtual_mac::resolve(problems, raw, &mut groups);
    groups
}

/// Virtual IPs of the group: known, in a network, in no other group.
fn members_of<'r>(
    problems: &mut Problems,
    (raw, virtual_ips, index): (&RawTopology, &IndexMap<String, VirtualIp>, &NetworkIndex),
    (name, entry, key, written): (&'r str, &Entry<RawGroup>, &str, impl Iterator<Item = &'r Spanned<String>>),
    members: &mut HashMap<&'r str, (&'r str, Range<usize>)>,
) -> Vec<String> {
    let key = format!("{}.{key}", entry.key);
    let mut found = Vec::new();
    for vip in written {
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

/// One instance for each network and family, in the order in which the virtual IPs name them.
fn instances(name: &str, group: &Group, virtual_ips: &IndexMap<String, VirtualIp>) -> Vec<GroupInstance> {
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
            excluded: Vec::new(),
            virtual_mac: None,
            senders: Vec::new(),
        });
        instance.addresses.push((*address, *prefix));
    }
    instances.into_values().collect()
}
