//! Virtual services, with every reference resolved.

use std::net::IpAddr;
use std::num::NonZeroU32;

use fairway_config::{
    ChecksRequired, Family, OnFailure, Period, Persistence, PersistenceEngine, Protocol, Quorum, RealServer,
    Scheduler, SchedulerFlag, SorryServer, StartHealth,
};

use super::{Forward, Ports};

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
    /// What else tells clients apart.
    pub persistence_engine: Option<PersistenceEngine>,
    /// Schedule every UDP datagram on its own.
    pub one_packet: bool,
    /// Names of the checks of the servers that have none of their own.
    pub checks: Vec<String>,
    /// How many of them must pass.
    pub checks_required: ChecksRequired,
    /// What happens to a server that is down.
    pub on_failure: OnFailure,
    /// The weight of a server that comes back grows over this time.
    pub slow_start: Option<Period>,
    /// Only the director that has the virtual IP checks.
    pub suspend_on_backup: bool,
    /// Stops are told as failures of its servers.
    pub down_on_stop: bool,
    /// How much weight must be up.
    pub quorum: Quorum,
    /// The mark that makes all listens of a family one service.
    pub fwmark: Option<NonZeroU32>,
    /// What a new server is until its first check has passed.
    pub start: StartHealth,
    /// The real servers, in the order of the file, and the sorry server after them.
    pub servers: Vec<Server>,
}

/// One virtual IP and port of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// The name of the director's service for it.
    pub name: String,
    /// The virtual IP.
    pub address: IpAddr,
    /// The port; several only where a mark makes them one service.
    pub ports: Ports,
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
    /// Names of its checks instead of the service's.
    pub checks: Option<Vec<String>>,
    /// What happens when it is down, where that differs from the service's.
    pub on_failure: Option<OnFailure>,
    /// Whether it answers only while the quorum is lost.
    pub sorry: Option<Sorry>,
}

/// What makes a server a sorry server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sorry {
    /// Whether it stays in the table while it is not needed.
    pub inhibit: bool,
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
    pub fn ports_for(&self, listen: &Listen) -> Ports {
        self.port.map_or(listen.ports, Ports::one)
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
            listen: match self.fwmark {
                Some(mark) => fairway_config::Listen::Fwmark { mark, family },
                None => fairway_config::Listen::Address {
                    address: listen.address,
                    port: listen.ports.first,
                    protocol: self.protocol,
                },
            },
            scheduler: self.scheduler,
            scheduler_flags: self.scheduler_flags.clone(),
            persistence: self.persistence.map(|timeout| Persistence {
                timeout,
                prefix,
                engine: self.persistence_engine,
            }),
            one_packet: self.one_packet,
            checks: self.checks.clone(),
            checks_required: self.checks_required,
            start: self.start,
            on_failure: self.on_failure,
            slow_start: self.slow_start,
            suspend_on_backup: self.suspend_on_backup,
            down_on_stop: self.down_on_stop,
            quorum: self.quorum,
            sorry_server: self.servers.iter().find_map(|s| self.sorry_server_for(s, listen, family)),
            real_servers: self
                .servers
                .iter()
                .filter(|s| s.sorry.is_none())
                .filter_map(|s| self.server_for(s, listen, family))
                .collect(),
        }
    }

    fn server_for(&self, server: &Server, listen: &Listen, family: Family) -> Option<RealServer> {
        Some(RealServer {
            name: server.name.clone(),
            address: server.address(family)?.address,
            port: self.server_port(server, listen),
            forward: self.forward.for_director(),
            weight: server.weight,
            upper_threshold: server.upper_threshold,
            lower_threshold: server.lower_threshold,
            checks: server.checks.clone(),
            on_failure: server.on_failure,
        })
    }

    fn sorry_server_for(&self, server: &Server, listen: &Listen, family: Family) -> Option<SorryServer> {
        let sorry = server.sorry?;
        Some(SorryServer {
            address: server.address(family)?.address,
            port: self.server_port(server, listen),
            forward: self.forward.for_director(),
            inhibit: sorry.inhibit,
        })
    }

    /// The port of a server as IPVS knows it: a marked packet keeps its own, which is said with 0.
    fn server_port(&self, server: &Server, listen: &Listen) -> u16 {
        match (server.port, self.fwmark) {
            (None, Some(_)) => 0,
            _ => server.ports_for(listen).first,
        }
    }
}
