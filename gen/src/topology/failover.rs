//! Failover groups, with every reference resolved and everything allocated.

use std::collections::BTreeMap;
use std::net::IpAddr;

use fairway_config::{
    Announce, Auth, Checksum, FailoverGroup, Family, Instance, Period, Preempt, Priority, Shared, TrackedBfd,
    VirtualMac, VirtualRoute, VirtualRule, Vrid, VrrpVersion,
};
use ipnet::IpNet;

use super::raw::{BfdForm, TrackerForm};
use super::{Host, Interface};

/// One elected unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its virtual IPs by name, in the order of the file: the advertised ones, then those that are not.
    pub virtual_ips: Vec<String>,
    /// Its directors and their priorities, best first.
    pub directors: Vec<(String, Priority)>,
    /// The one of them whose own addresses the virtual IPs are.
    pub owner: Option<String>,
    /// Whether a master that is not the owner accepts packets for the virtual IPs.
    pub accept_mode: bool,
    /// Time between adverts.
    pub advert_interval: Period,
    /// How many of them may be missed.
    pub down_timer_adverts: u8,
    /// For how long a director takes no mastership after its start.
    pub start_delay: Period,
    /// Protocol version.
    pub version: VrrpVersion,
    /// Form of the IPv4 v3 checksum.
    pub checksum: Checksum,
    /// When a better director takes over from a working one.
    pub preempt: Preempt,
    /// How adverts are authenticated.
    pub auth: Option<Auth>,
    /// How adverts reach the other directors.
    pub transport: Transport,
    /// Whether its addresses have MAC addresses of their own.
    pub virtual_mac: bool,
    /// Whether adverts leave with the host's own MAC address all the same.
    pub transmit_from_base: bool,
    /// Neighbour announcements.
    pub announce: Announce,
    /// Whether its directors forward what is for others.
    pub router: bool,
    /// Whether programs may bind to the virtual IPs before they are there.
    pub nonlocal_bind: bool,
    /// Routes that its master has.
    pub routes: Vec<GroupRoute>,
    /// Routing policy rules that its master has.
    pub rules: Vec<GroupRule>,
    /// What it depends on besides its own interfaces.
    pub track: BTreeMap<String, TrackerForm>,
    /// One VRRP instance for each network and family.
    pub instances: Vec<GroupInstance>,
}

/// A virtual route; the interface is each director's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRoute {
    /// The route.
    pub route: VirtualRoute,
    /// The network it leads through.
    pub network: String,
}

/// A virtual rule; the interface is each director's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRule {
    /// The rule.
    pub rule: VirtualRule,
    /// The network packets come from, if that matters.
    pub network: Option<String>,
}

/// How adverts reach the other directors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// By the VRRP multicast group.
    #[default]
    Multicast,
    /// To each of them.
    Unicast,
}

/// A VRRP instance, the same on all directors of the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupInstance {
    /// Its name.
    pub name: String,
    /// The network its adverts are sent in.
    pub network: String,
    /// The family of its adverts and addresses.
    pub family: Family,
    /// Its virtual router identifier: one for each group and network.
    pub vrid: Vrid,
    /// Its addresses with the prefix length where one is written.
    pub addresses: Vec<(IpAddr, Option<u8>)>,
    /// Addresses of either family that move with them and are in no advert.
    pub excluded: Vec<(IpAddr, Option<u8>)>,
    /// The interface with its virtual MAC address, the same on all directors.
    pub virtual_mac: Option<VirtualMac>,
    /// With unicast: the directors and the address each of them sends from.
    pub senders: Vec<(String, IpAddr)>,
}

impl Group {
    /// The priority of a director of this group.
    pub fn priority(&self, host: &str) -> Option<Priority> {
        self.directors.iter().find(|(name, _)| name == host).map(|(_, priority)| *priority)
    }

    /// Whether it has addresses of a family, advertised or not.
    pub fn has(&self, family: Family) -> bool {
        let of = |(address, _): &(IpAddr, Option<u8>)| Family::of(*address) == family;
        self.instances.iter().any(|instance| instance.addresses.iter().chain(&instance.excluded).any(of))
    }

    /// The group as `director.toml` has it on one of its directors, by that one's name. `services`: the names that
    /// director.toml has for a service of the topology.
    pub fn for_director(
        &self,
        name: &str,
        (director, host): (&str, &Host),
        priority: Priority,
        services: impl Fn(&str) -> Vec<String>,
    ) -> FailoverGroup {
        let instances = self.instances.iter();
        let interface = |network: &str| host.interface_in(network).map(|interface| interface.name.clone());
        let routes = self.routes.iter();
        let rules = self.rules.iter();
        let tracker = |(name, form): (&String, &TrackerForm)| {
            let names: Vec<_> = form.services.iter().flat_map(|service| services(service)).collect();
            // `explain` looks at a part of the topology, which may be without them.
            let known = form.services.is_empty() || !names.is_empty();
            let interface = form.network.as_deref().and_then(interface);
            let bfd = form.bfd.as_ref().map(|bfd| session(bfd, host));
            known.then(|| (name.clone(), form.tracker(interface, bfd, names)))
        };
        FailoverGroup {
            name: name.to_owned(),
            preempt: self.preempt,
            start_delay: self.start_delay,
            routes: routes
                .map(|GroupRoute { route, network }| VirtualRoute {
                    interface: interface(network),
                    ..route.clone()
                })
                .collect(),
            rules: rules
                .map(|GroupRule { rule, network }| VirtualRule {
                    incoming_interface: network.as_deref().and_then(interface),
                    ..rule.clone()
                })
                .collect(),
            instances: instances
                .filter_map(|i| self.instance_for(i, (director, host), priority))
                .map(Shared::from)
                .collect(),
            track: self.track.iter().filter_map(tracker).collect(),
        }
    }

    fn instance_for(
        &self,
        instance: &GroupInstance,
        (director, host): (&str, &Host),
        priority: Priority,
    ) -> Option<Instance> {
        let interface = host.interface_in(&instance.network)?;
        let sender = instance.senders.iter().find(|(name, _)| name == director).map(|(_, address)| *address);
        // Multicast IPv6 adverts come from the link-local address, which the director finds itself (RFC 9568,
        // 5.1.2.1).
        let source = match instance.family {
            Family::Ipv4 => sender.or(interface.address(Family::Ipv4)),
            Family::Ipv6 => sender,
        };
        Some(Instance {
            name: instance.name.clone(),
            interface: interface.name.clone(),
            family: instance.family,
            vrid: instance.vrid,
            version: self.version,
            priority,
            advert_interval: self.advert_interval,
            down_timer_adverts: self.down_timer_adverts,
            checksum: match instance.family {
                Family::Ipv4 => self.checksum,
                Family::Ipv6 => Checksum::default(),
            },
            source,
            unicast_peers: instance
                .senders
                .iter()
                .filter(|(name, _)| name != director)
                .map(|(_, address)| *address)
                .collect(),
            auth: self.auth.clone(),
            announce: self.announce,
            virtual_mac: instance.virtual_mac.clone(),
            virtual_ips: instance.addresses.iter().map(virtual_ip).collect(),
            excluded_ips: instance.excluded.iter().map(virtual_ip).collect(),
        })
    }
}

fn virtual_ip((address, prefix): &(IpAddr, Option<u8>)) -> fairway_config::VirtualIp {
    fairway_config::VirtualIp { address: *address, prefix: *prefix, interface: None }
}

/// A director's session: by the interface in the network that is named or that the neighbour is in, and from the
/// address there. A neighbour that is farther away is reached as the director's routes say.
pub(super) fn session(bfd: &BfdForm, host: &Host) -> TrackedBfd {
    let near = |interface: &&Interface| interface.addresses.iter().any(|own| own.contains(&bfd.neighbour));
    let interface = match &bfd.network {
        Some(network) => host.interface_in(network),
        None if bfd.is_direct() => host.interfaces.iter().find(near),
        None => None,
    };
    let own = |interface: &Interface| {
        interface.addresses.iter().find(|own| own.contains(&bfd.neighbour)).map(IpNet::addr)
    };
    bfd.tracked(interface.map(|interface| interface.name.clone()), interface.and_then(own))
}
