//! The topology: the file as written, checked and resolved into a model where every reference holds.

mod failover;
mod forward;
mod hosts;
pub mod raw;
mod resolve;
mod service;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use fairway_config::{Check, Family, Ipvs, Notify};
use indexmap::IndexMap;
use toml::de::DeTable;

use crate::reader::Table;
use crate::report::{Problems, Report, Rule};
use crate::schema;

pub use failover::{Group, GroupInstance, GroupRoute, GroupRule, Transport};
pub use forward::{Forward, GUE_PORT, overhead, path_mtu, tcp_headers};
pub use hosts::{Host, Interface, Network, VirtualIp};
pub use raw::{AllowText, FirewallPolicy, Ports};
pub use service::{Listen, Server, ServerAddress, Service, Sorry};

/// A topology without a broken rule.
#[derive(Debug, Clone)]
pub struct Topology {
    /// The cluster's name.
    pub cluster: String,
    /// What the directors' firewall does with the rest.
    pub firewall: FirewallPolicy,
    /// What a dropping firewall lets in besides.
    pub allow: Vec<AllowText>,
    /// How directors share connections.
    pub connection_sync: Option<ConnectionSync>,
    /// The directors' IPVS tables as a whole.
    pub ipvs: Ipvs,
    /// Networks by name.
    pub networks: IndexMap<String, Network>,
    /// Hosts by name.
    pub hosts: IndexMap<String, Host>,
    /// Virtual IPs by name.
    pub virtual_ips: IndexMap<String, VirtualIp>,
    /// Failover groups by name.
    pub groups: IndexMap<String, Group>,
    /// Checks by name, those written inside services included.
    pub checks: BTreeMap<String, Check>,
    /// Who is told of what happens, by name.
    pub notify: BTreeMap<String, Notify>,
    /// Services by name.
    pub services: IndexMap<String, Service>,
    /// The default route of each NAT real server, by host and family.
    pub nat_routes: HashMap<(String, Family), NatRoute>,
}

/// Connections that directors share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionSync {
    /// The network they tell each other in.
    pub network: String,
    /// The number that keeps this cluster's apart.
    pub id: u8,
    /// The multicast group, where it is not the kernel's.
    pub group: Option<IpAddr>,
    /// The UDP port, where it is not the kernel's.
    pub port: Option<u16>,
    /// Routers that may pass it on, and one.
    pub ttl: Option<u8>,
    /// The largest message in bytes.
    pub max_length: Option<u16>,
}

/// The way a NAT real server's replies take back to the director.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatRoute {
    /// The network the server and the directors share.
    pub network: String,
    /// The servers-side virtual IP.
    pub gateway: IpAddr,
}

impl Topology {
    /// Reads and checks a topology. `name` is the file's name as reports show it.
    ///
    /// The report beside the topology holds the warnings.
    ///
    /// # Errors
    /// Everything that is wrong with the file, together.
    pub fn load(name: &str, text: &str) -> Result<(Self, Report), Report> {
        let mut problems = Problems::default();
        let topology = Self::read(text, &mut problems);
        let failed = problems.any_error();
        let report = Report::new(name, text, problems);
        match topology {
            Some(topology) if !failed => Ok((topology, report)),
            _ => Err(report),
        }
    }

    /// The largest packet that all of these networks take, in bytes.
    pub fn smallest_mtu<'n>(&self, networks: impl Iterator<Item = &'n str>) -> u32 {
        let mtus = networks.filter_map(|name| self.networks.get(name)).map(Network::largest_packet);
        mtus.min().unwrap_or(hosts::ETHERNET_MTU)
    }

    fn read(text: &str, problems: &mut Problems) -> Option<Self> {
        let (root, errors) = DeTable::parse_recoverable(text);
        let mut broken = Vec::new();
        for error in &errors {
            let span = error.span().unwrap_or(0..0);
            problems.add(
                Rule::Syntax,
                "",
                span.clone(),
                error.message(),
                "correct the TOML at this place; what follows from it is not reported",
            );
            broken.push(lines_of(text, span));
        }
        let mut found = Problems::default();
        let raw = raw::RawTopology::read(&mut found, Table::root(root.get_ref(), &schema::TOPOLOGY));
        // Where the text is not TOML, keys may be missing or hold anything: only what was read elsewhere counts,
        // and references cannot be judged.
        found.forget_inside(&broken);
        if !errors.is_empty() {
            found.forget(Rule::MissingKey);
        }
        problems.append(found);
        if errors.is_empty() { Some(resolve::resolve(&raw, problems)) } else { None }
    }
}

/// Extends a span to whole lines.
fn lines_of(text: &str, span: std::ops::Range<usize>) -> std::ops::Range<usize> {
    let start = text.get(..span.start).and_then(|t| t.rfind('\n')).map_or(0, |at| at + 1);
    let end = text.get(span.end..).and_then(|t| t.find('\n')).map_or(text.len(), |at| span.end + at + 1);
    start..end
}
