//! Everything derived for each host: what it is follows from the groups and services that name it.

mod director;
mod firewall;
mod full_nat;
mod kernel;
mod links;
mod own;
mod tunnel;

use std::collections::{BTreeSet, HashMap};

use fairway_config::{Check, Config, Family, Via};

use crate::topology::{Forward, Group, Host, Listen, Server, ServerAddress, Service, Topology};

pub use firewall::{BfdPeers, Firewall, Outbound, Socket, SyncPeers, Translation, VrrpPeers};
pub use full_nat::{SourceNat, SynProxy};
pub use kernel::Setting;
pub use links::Link;
pub use own::Handed;
pub use tunnel::{Device, Segments, Tunnels};

/// What one host is to become.
#[derive(Debug)]
pub struct HostPlan {
    /// Name of the cluster.
    pub cluster: String,
    /// Name of the host.
    pub host: String,
    /// Kernel settings.
    pub sysctl: Vec<Setting>,
    /// Kernel modules.
    pub modules: Vec<String>,
    /// Managed interfaces.
    pub links: Vec<Link>,
    /// VIPs on the dummy interface of a real server that answers as the VIP.
    pub dummy: Vec<std::net::IpAddr>,
    /// Interfaces with virtual MAC addresses, which the director makes.
    pub virtual_macs: Vec<String>,
    /// What unwraps the packets of tunnels that end here.
    pub tunnels: Tunnels,
    /// Whether networkd must keep addresses, routes and rules it did not make.
    pub keep_foreign: bool,
    /// Packet filter and address translation.
    pub firewall: Firewall,
    /// The director's configuration, on directors.
    pub director: Option<Config>,
}

/// The roles of one host.
#[derive(Debug, Default)]
struct Roles<'t> {
    /// Failover groups it is a director of.
    groups: Vec<(&'t str, &'t Group)>,
    /// Listens it directs.
    directs: Vec<(&'t Service, &'t Listen)>,
    /// Listens of other directors that it is a real server of.
    serves: Vec<(&'t Service, &'t Listen, &'t Server)>,
    /// Listens that it directs and is a real server of.
    own: Vec<(&'t Service, &'t Listen, &'t Server)>,
}

impl<'t> Roles<'t> {
    fn is_director(&self) -> bool {
        !self.groups.is_empty() || !self.directs.is_empty()
    }

    /// Whether replies of services it directs are forwarded, in a family.
    fn forwards_replies(&self, family: Family) -> bool {
        let mut directs = self.directs.iter();
        directs.any(|(s, l)| s.forward.replies_pass_director() && Family::of(l.address) == family)
    }

    /// Whether it is a router, in a family.
    fn routes(&self, family: Family) -> bool {
        self.groups.iter().any(|(_, group)| group.router && group.has(family))
    }

    /// Whether IPVS must have netfilter track its connections: full NAT changes the source there, and a SYN proxy
    /// has opened a connection before IPVS hears of it.
    fn tracks_ipvs(&self) -> bool {
        self.directs.iter().any(|(s, _)| s.forward == Forward::FullNat || s.syn_proxy)
    }

    /// Whether it has anything to do with a family as a director.
    fn uses(&self, family: Family) -> bool {
        self.directs.iter().any(|(_, l)| Family::of(l.address) == family)
            || self.groups.iter().any(|(_, g)| g.has(family))
    }

    /// Interfaces with virtual MAC addresses: their network and family, and their name.
    fn virtual_macs(&self, host: &'t Host) -> impl Iterator<Item = ((&'t str, Family), &'t str)> {
        let instances = self.groups.iter().flat_map(|(_, group)| &group.instances);
        instances.filter(|instance| host.interface_in(&instance.network).is_some()).filter_map(|i| {
            Some(((i.network.as_str(), i.family), i.virtual_mac.as_ref()?.interface.as_str()))
        })
    }

    /// Checks that ask at virtual IPs, with what they ask at.
    fn probes_of_vips(
        &self,
        topology: &'t Topology,
    ) -> impl Iterator<Item = (&'t Service, &'t Listen, &'t Check)> {
        self.directs.iter().flat_map(move |(service, listen)| {
            let own = service.servers.iter().flat_map(|server| server.checks.iter().flatten());
            let checks: BTreeSet<&String> = service.checks.iter().chain(own).collect();
            checks
                .into_iter()
                .filter_map(|name| topology.checks.get(name))
                .filter(|check| check.via == Via::Vip)
                .map(|check| (*service, *listen, check))
        })
    }

    /// The servers of the services of some forwarding kinds that it directs.
    fn servers(
        &self,
        kinds: impl Fn(Forward) -> bool,
    ) -> impl Iterator<Item = (&'t Service, &'t Listen, &'t Server, &'t ServerAddress)> {
        self.directs
            .iter()
            .filter(move |(s, _)| kinds(s.forward))
            .flat_map(|(s, l)| s.servers.iter().map(move |server| (*s, *l, server)))
            .filter_map(|(s, l, server)| Some((s, l, server, server.address(Family::of(l.address))?)))
    }
}

/// Plans for all hosts of a topology. Roles are gathered once, so that each plan costs what its files do.
#[derive(Debug)]
pub struct Plans<'t> {
    topology: &'t Topology,
    roles: HashMap<&'t str, Roles<'t>>,
}

impl<'t> Plans<'t> {
    /// Gathers what every host does.
    pub fn new(topology: &'t Topology) -> Self {
        let mut roles: HashMap<&str, Roles<'_>> = HashMap::new();
        for (name, group) in &topology.groups {
            for (director, _) in &group.directors {
                roles.entry(director).or_default().groups.push((name, group));
            }
        }
        for service in topology.services.values() {
            for listen in &service.listens {
                for director in &listen.directors {
                    roles.entry(director).or_default().directs.push((service, listen));
                }
                for server in service.servers.iter().filter(|s| s.managed) {
                    let roles = roles.entry(&server.name).or_default();
                    let directs = listen.directors.contains(&server.name);
                    if directs { &mut roles.own } else { &mut roles.serves }.push((service, listen, server));
                }
            }
        }
        Self { topology, roles }
    }

    /// Names of all hosts, in the order of the file.
    pub fn hosts(&self) -> impl Iterator<Item = &'t str> {
        self.topology.hosts.keys().map(String::as_str)
    }

    /// Whether a host is a director.
    pub fn is_director(&self, host: &str) -> bool {
        self.roles.get(host).is_some_and(Roles::is_director)
    }

    /// Whether a host is a real server.
    pub fn is_real_server(&self, host: &str) -> bool {
        self.roles.get(host).is_some_and(|r| !r.serves.is_empty() || !r.own.is_empty())
    }

    /// The plan of one host; none if there is no such host.
    pub fn host(&self, name: &str) -> Option<HostPlan> {
        let topology = self.topology;
        let host: &Host = topology.hosts.get(name)?;
        let none = Roles::default();
        let roles = self.roles.get(name).unwrap_or(&none);
        let dummy = links::dummy(roles);
        let tunnels = tunnel::tunnels(topology, roles);
        let director = roles.is_director().then(|| director::config(topology, (name, host), roles));
        Some(HostPlan {
            cluster: topology.cluster.clone(),
            host: name.to_owned(),
            sysctl: kernel::settings(topology, host, roles, &tunnels),
            modules: kernel::modules(topology, host, roles, (!dummy.is_empty(), &tunnels)),
            links: links::links(topology, (name, host), roles),
            dummy,
            virtual_macs: roles.virtual_macs(host).map(|(_, name)| name.to_owned()).collect(),
            tunnels,
            keep_foreign: roles.is_director(),
            firewall: firewall::firewall(topology, (name, host), roles, director.as_ref()),
            director,
        })
    }
}
