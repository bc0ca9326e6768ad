//! Virtual services, with every reference resolved.

use std::net::IpAddr;

use fairway_config::{
    ChecksRequired, Family, OnFailure, Period, Persistence, Protocol, Quorum, RealServer, Scheduler,
    SchedulerFlag, StartHealth,
};

use super::Forward;

/// A virtual service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// What it listens on.
    pub listens: Vec<Listen>,
    /// The transport.
    pub protocol: Protocol,
    /// How connections are spread.
    pub scheduler: Scheduler,
    /// Scheduler flags.
    pub scheduler_flags: Vec<SchedulerFlag>,
    /// How packets reach the real servers.
    pub forward: Forward,
    /// Whether the director opens connections itself before a server hears of them.
    pub syn_proxy: bool,
    /// Clients stay with their server for this long.
    pub persistence: Option<Period>,
    /// Prefix lengths that make clients count as one, IPv4 and IPv6.
    pub persistence_prefix: (Option<u8>, Option<u8>),
    /// Schedule every UDP datagram on its own.
    pub one_packet: bool,
    /// Names of the checks that must pass.
    pub checks: Vec<String>,
    /// What a new server is until its first check has passed.
    pub start: StartHealth,
    /// The real servers, in the order of the file.
    pub servers: Vec<Server>,
}

/// One virtual IP and port of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// The name of the director's service for it.
    pub name: String,
    /// The virtual IP.
    pub address: IpAddr,
    /// The port, 0 for every port.
    pub port: u16,
    /// The network of the virtual IP; none if it is routed from elsewhere.
    pub network: Option<String>,
    /// Full NAT: virtual IPs that move with this one and from which requests go to the servers, with their
    /// networks. In other networks it is the director's own address.
    pub sources: Vec<(String, IpAddr)>,
    /// The failover group that has the virtual IP.
    pub group: Option<String>,
    /// The directors that serve it.
    pub directors: Vec<String>,
}

/// A machine behind a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its name; that of its host if it is one of ours.
    pub name: String,
    /// Whether it is a host of the topology.
    pub managed: bool,
    /// Where it is reached, one address for each family of the service.
    pub addresses: Vec<ServerAddress>,
    /// Its port; absent means the service's.
    pub port: Option<u16>,
    /// Share of connections.
    pub weight: u32,
    /// No new connections above this many; 0 means no limit.
    pub upper_threshold: u32,
    /// New connections again below this many.
    pub lower_threshold: u32,
}

/// A real server's address for the listens of one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    /// The family of the listens; only a tunnel's address may be of the other one.
    pub family: Family,
    /// The address.
    pub address: IpAddr,
    /// The network it is in; none for a foreign machine elsewhere.
    pub network: Option<String>,
}

impl Listen {
    /// The source addresses of full NAT in a network.
    pub fn sources_in(&self, network: &str, family: Family) -> impl Iterator<Item = IpAddr> {
        let here = self.sources.iter().filter(move |(n, a)| n == network && Family::of(*a) == family);
        here.map(|(_, address)| *address)
    }
}

impl Server {
    /// Its address for the listens of a family.
    pub fn address(&self, family: Family) -> Option<&ServerAddress> {
        self.addresses.iter().find(|a| a.family == family)
    }

    /// Its port behind a listen.
    pub fn port_for(&self, listen: &Listen) -> u16 {
        self.port.unwrap_or(listen.port)
    }
}

impl Service {
    /// The service as `director.toml` has it for one of its listens.
    pub fn for_director(&self, listen: &Listen) -> fairway_config::Service {
        let family = Family::of(listen.address);
        let prefix = match family {
            Family::Ipv4 => self.persistence_prefix.0,
            Family::Ipv6 => self.persistence_prefix.1,
        };
        fairway_config::Service {
            name: listen.name.clone(),
            listen: fairway_config::Listen::Address {
                address: listen.address,
                port: listen.port,
                protocol: self.protocol,
            },
            scheduler: self.scheduler,
            scheduler_flags: self.scheduler_flags.clone(),
            persistence: self.persistence.map(|timeout| Persistence { timeout, prefix, engine: None }),
            one_packet: self.one_packet,
            checks: self.checks.clone(),
            checks_required: ChecksRequired::default(),
            start: self.start,
            on_failure: OnFailure::default(),
            slow_start: None,
            suspend_on_backup: false,
            quorum: Quorum::default(),
            sorry_server: None,
            real_servers: self.servers.iter().filter_map(|s| self.server_for(s, listen, family)).collect(),
        }
    }

    fn server_for(&self, server: &Server, listen: &Listen, family: Family) -> Option<RealServer> {
        Some(RealServer {
            name: server.name.clone(),
            address: server.address(family)?.address,
            port: server.port_for(listen),
            forward: self.forward.for_director(),
            weight: server.weight,
            upper_threshold: server.upper_threshold,
            lower_threshold: server.lower_threshold,
            checks: None,
            on_failure: None,
        })
    }
}
