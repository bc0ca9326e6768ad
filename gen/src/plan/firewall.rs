//! What the packet filter of a director lets in and translates: exactly what its groups and services use.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::num::NonZeroU32;

use fairway_config::{Auth, BfdKey, Config, Family, Protocol};
use ipnet::IpNet;

use super::Roles;
use super::full_nat::{SourceNat, SynProxy, source_nat, syn_proxy};
use super::own::{Handed, handed, served};
use crate::topology::{FirewallPolicy, Forward, Host, Ports, Topology, Transport};

/// Rules of a host. Hosts that are not directors have none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Firewall {
    /// Whether anything is filtered here.
    pub active: bool,
    /// Whether everything else is dropped.
    pub drop: bool,
    /// Ports let in besides, when everything else is dropped.
    pub allow: BTreeSet<(Protocol, u16)>,
    /// Who may send VRRP, on each interface that has an instance.
    pub vrrp: Vec<VrrpPeers>,
    /// Who may send BFD.
    pub bfd: Vec<BfdPeers>,
    /// Who may tell of connections.
    pub sync: Option<SyncPeers>,
    /// Virtual IPs for which this host accepts nothing, though it may have them.
    pub refused: BTreeSet<IpAddr>,
    /// Virtual services.
    pub services: BTreeSet<Socket>,
    /// Marks, and what gets them.
    pub marks: BTreeMap<NonZeroU32, BTreeSet<Socket>>,
    /// Requests from other directors.
    pub handed: Vec<Handed>,
    /// Where the host answers as a real server of what it directs.
    pub served: BTreeSet<Socket>,
    /// Services whose clients must prove their address first.
    pub syn_proxy: Vec<SynProxy>,
    /// Sockets of servers whose replies are forwarded.
    pub replies: BTreeSet<Socket>,
    /// Virtual IPs and ports that probes ask at, on the way clients take.
    pub probes: BTreeSet<Socket>,
    /// Networks of NAT servers, whose own traffic goes out through the director.
    pub outbound: Vec<Outbound>,
    /// What full NAT makes of source addresses.
    pub source_nat: Vec<SourceNat>,
}

/// Connection synchronisation on its interface.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct SyncPeers {
    /// The interface.
    pub interface: String,
    /// The other directors' addresses.
    pub peers: Vec<IpAddr>,
    /// Some director's address is not known.
    pub any: bool,
    /// Where it goes.
    pub group: IpAddr,
    /// And to which port.
    pub port: u16,
}

/// The neighbours of BFD sessions, of one family and port.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct BfdPeers {
    /// Whether it is IPv6.
    pub ipv6: bool,
    /// The UDP port.
    pub port: u16,
    /// Their addresses.
    pub peers: Vec<IpAddr>,
}

/// An address, a transport and ports.
pub type Socket = (IpAddr, Protocol, Ports);

/// VRRP on one interface and family.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct VrrpPeers {
    /// The interface.
    pub interface: String,
    /// Whether it is IPv6.
    pub ipv6: bool,
    /// The peers' addresses; empty with `any` unset means there is no peer.
    pub peers: Vec<IpAddr>,
    /// Adverts come behind authentication headers, too.
    pub header: bool,
    /// Some peer's address is not known: anyone on the interface may be it; over IPv6 any link-local address.
    pub any: bool,
}

/// What NAT servers of one subnet send out on their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outbound {
    /// Their interface, and those with virtual MAC addresses beside it.
    pub inside: Vec<String>,
    /// Their subnet.
    pub subnet: IpNet,
    /// Where their packets leave, and what becomes of their source address.
    pub outside: Vec<(String, Translation)>,
}

/// What becomes of a source address on the way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Translation {
    /// It stays (`snat = false`).
    None,
    /// It becomes this address.
    To(IpAddr),
    /// It becomes an address of the kernel's choice: the director's own is not known.
    Masquerade,
}

/// The rules of a host.
pub(super) fn firewall(
    topology: &Topology,
    (name, host): (&str, &Host),
    roles: &Roles<'_>,
    config: Option<&Config>,
) -> Firewall {
    let Some(config) = config.filter(|_| roles.is_director()) else { return Firewall::default() };
    Firewall {
        active: true,
        drop: topology.firewall == FirewallPolicy::Drop,
        allow: topology.allow.iter().map(|a| (a.protocol, a.port)).collect(),
        vrrp: vrrp(topology, (name, host), roles),
        bfd: bfd(config),
        sync: sync(topology, (name, host)),
        refused: roles
            .groups
            .iter()
            .filter(|(_, group)| !group.accept_mode && group.owner.as_deref() != Some(name))
            .flat_map(|(_, group)| &group.instances)
            .flat_map(|instance| instance.addresses.iter().chain(&instance.excluded))
            .map(|(address, _)| *address)
            .collect(),
        services: roles.directs.iter().map(|(s, l)| (l.address, s.protocol, l.ports)).collect(),
        marks: marks(roles),
        handed: handed(topology, (name, host), roles),
        served: served(topology, roles),
        syn_proxy: syn_proxy(topology, roles),
        replies: roles
            .servers(Forward::replies_pass_director)
            .map(|(service, listen, server, at)| (at.address, service.protocol, server.ports_for(listen)))
            .collect(),
        probes: roles
            .probes_of_vips(topology)
            .map(|(service, listen, check)| {
                (listen.address, service.protocol, check.port.map_or(listen.ports, Ports::one))
            })
            .collect(),
        outbound: outbound(topology, host, roles),
        source_nat: source_nat(topology, (name, host), roles),
    }
}

fn marks(roles: &Roles<'_>) -> BTreeMap<NonZeroU32, BTreeSet<Socket>> {
    let mut marks: BTreeMap<NonZeroU32, BTreeSet<Socket>> = BTreeMap::new();
    for (service, listen) in &roles.directs {
        if let Some(mark) = service.fwmark {
            marks.entry(mark).or_default().insert((listen.address, service.protocol, listen.ports));
        }
    }
    marks
}

/// Whether the rules make netfilter track connections.
pub(super) fn tracks_connections(topology: &Topology, host: &Host, roles: &Roles<'_>) -> bool {
    topology.firewall == FirewallPolicy::Drop || roles.tracks_ipvs() || !roles.own.is_empty() || {
        let ways = outbound(topology, host, roles);
        ways.iter().flat_map(|o| &o.outside).any(|(_, translation)| *translation != Translation::None)
    }
}

fn sync(topology: &Topology, (name, host): (&str, &Host)) -> Option<SyncPeers> {
    let sync = topology.connection_sync.as_ref()?;
    let network = &sync.network;
    let group = sync.group.unwrap_or(fairway_config::ConnectionSync::GROUP);
    let port = sync.port.unwrap_or(fairway_config::ConnectionSync::PORT);
    let interface = host.interface_in(network)?.name.to_string();
    let groups = topology.groups.values().flat_map(|group| group.directors.iter().map(|(other, _)| other));
    let listens = topology.services.values().flat_map(|service| &service.listens);
    let others: BTreeSet<&String> =
        groups.chain(listens.flat_map(|l| &l.directors)).filter(|other| *other != name).collect();
    let found: Vec<_> = others
        .into_iter()
        .filter_map(|other| topology.hosts[other].interface_in(network))
        .map(|interface| interface.address(Family::of(group)))
        .collect();
    let peers: BTreeSet<IpAddr> = found.iter().flatten().copied().collect();
    Some(SyncPeers { interface, peers: peers.into_iter().collect(), any: found.contains(&None), group, port })
}

/// RFC 5881 section 4, RFC 5883 section 5.
const SINGLE_HOP: u16 = 3784;
const MULTIHOP: u16 = 4784;

fn bfd(config: &Config) -> Vec<BfdPeers> {
    let mut found: BTreeMap<(bool, u16), Vec<IpAddr>> = BTreeMap::new();
    for (BfdKey { neighbour, .. }, session) in config.bfd_sessions() {
        let port = if session.hops > 1 { MULTIHOP } else { SINGLE_HOP };
        found.entry((neighbour.is_ipv6(), port)).or_default().push(neighbour);
    }
    found
        .into_iter()
        .map(|((ipv6, port), mut peers)| {
            // A link-local address may be that of several neighbours.
            peers.dedup();
            BfdPeers { ipv6, port, peers }
        })
        .collect()
}

fn vrrp(topology: &Topology, (name, host): (&str, &Host), roles: &Roles<'_>) -> Vec<VrrpPeers> {
    let mut found: BTreeMap<(&str, Family), (BTreeSet<IpAddr>, bool, bool)> = BTreeMap::new();
    for (_, group) in &roles.groups {
        for instance in &group.instances {
            let Some(interface) = host.interface_in(&instance.network) else { continue };
            // What comes for a virtual MAC address comes in there.
            let interfaces =
                std::iter::once(&interface.name).chain(instance.virtual_mac.iter().map(|mac| &mac.interface));
            for interface in interfaces {
                let key = (interface.as_str(), instance.family);
                let (peers, any, header) = found.entry(key).or_default();
                *header |= matches!(group.auth, Some(Auth::Ah(_)));
                if group.transport == Transport::Unicast {
                    let others = instance.senders.iter().filter(|(director, _)| director != name);
                    peers.extend(others.map(|(_, address)| *address));
                    continue;
                }
                for (director, _) in group.directors.iter().filter(|(director, _)| director != name) {
                    let peer = topology.hosts[director].interface_in(&instance.network);
                    // IPv6 adverts come from link-local addresses, which no topology knows: the template lets
                    // those in and nothing else.
                    match (instance.family, peer.and_then(|i| i.address(Family::Ipv4))) {
                        (Family::Ipv4, Some(_)) => {
                            let own = peer.into_iter().flat_map(|i| i.addresses.iter().map(IpNet::addr));
                            peers.extend(own.filter(IpAddr::is_ipv4));
                        }
                        _ => *any = true,
                    }
                }
            }
        }
    }
    found
        .into_iter()
        .map(|((interface, family), (peers, any, header))| VrrpPeers {
            interface: interface.to_owned(),
            ipv6: family == Family::Ipv6,
            // Link-local addresses are let in besides: they are not the unicast peers'.
            peers: if any && family == Family::Ipv4 { Vec::new() } else { peers.into_iter().collect() },
            header,
            any,
        })
        .collect()
}

fn outbound(topology: &Topology, host: &Host, roles: &Roles<'_>) -> Vec<Outbound> {
    let mut inside: BTreeSet<(&str, Family)> = BTreeSet::new();
    for (_, _, _, at) in roles.servers(|forward| forward == Forward::Nat) {
        inside.extend(at.network.as_deref().map(|n| (n, Family::of(at.address))));
    }
    let beside = |place: (&str, Family)| {
        let macs = roles.virtual_macs(host).filter(move |(of, _)| *of == place);
        macs.map(|(_, name)| name).collect::<Vec<_>>()
    };
    let mut found = Vec::new();
    for (network, family) in &inside {
        let Some(interface) = host.interface_in(network) else { continue };
        // Between two networks of servers packets need no translation: both come back this way.
        let snat = topology.networks[*network].snat;
        let outside: Vec<(String, Translation)> = host
            .interfaces
            .iter()
            .filter(|i| i.network != *network && !inside.contains(&(i.network.as_str(), *family)))
            // Without an address of the family nothing leaves there; unmanaged addresses may not be known.
            .filter(|i| i.address(*family).is_some() || !i.manage)
            .map(|i| {
                let translation = match i.address(*family) {
                    _ if !snat => Translation::None,
                    Some(own) => Translation::To(own),
                    None => Translation::Masquerade,
                };
                (i.name.to_string(), translation)
            })
            .collect();
        if outside.is_empty() {
            continue;
        }
        let subnets = topology.networks[*network].subnets.iter().filter(|s| Family::of(s.addr()) == *family);
        found.extend(subnets.map(|subnet| {
            Outbound {
                inside: std::iter::once(interface.name.as_str())
                    .chain(beside((network, *family)))
                    .map(str::to_owned)
                    .collect(),
                subnet: *subnet,
                outside: outside.clone(),
            }
        }));
    }
    found
}
