//! Networks, hosts and virtual IPs, with every reference resolved.

use std::net::IpAddr;

use fairway_config::{Family, IfName};
use ipnet::IpNet;

/// A network: one layer-2 domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Its subnets.
    pub subnets: Vec<IpNet>,
    /// Its routers, one for each family at most.
    pub gateways: Vec<IpAddr>,
    /// Whether directors translate what NAT real servers of this network send out on their own.
    pub snat: bool,
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Its interfaces, in the order of the file.
    pub interfaces: Vec<Interface>,
}

impl Host {
    /// The interface in a network.
    pub fn interface_in(&self, network: &str) -> Option<&Interface> {
        self.interfaces.iter().find(|i| i.network == network)
    }
}

/// A network interface of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: IfName,
    /// The network it is in.
    pub network: String,
    /// Its own addresses with the prefix length of their subnet.
    pub addresses: Vec<IpNet>,
    /// Whether its addresses and routes are generated.
    pub manage: bool,
}

impl Interface {
    /// The first own address of a family.
    pub fn address(&self, family: Family) -> Option<IpAddr> {
        self.addresses.iter().map(IpNet::addr).find(|a| Family::of(*a) == family)
    }
}

/// An address that moves between directors, or is routed to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtualIp {
    /// The address.
    pub address: IpAddr,
    /// Its prefix length, where one is written.
    pub prefix: Option<u8>,
    /// The network it is in; none if it is routed from elsewhere.
    pub network: Option<String>,
}
