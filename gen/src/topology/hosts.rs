//! Networks, hosts and virtual IPs, with every reference resolved.

use std::net::IpAddr;

use fairway_config::{Family, IfName};
use indexmap::IndexMap;
use ipnet::IpNet;

use super::raw::{Mac, MachineId};

/// The largest packet of a network that does not say it, in bytes.
pub const ETHERNET_MTU: u32 = 1500;

/// A network: one layer-2 domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Its subnets.
    pub subnets: Vec<IpNet>,
    /// Its routers, one for each family at most.
    pub gateways: Vec<IpAddr>,
    /// The largest packet, in bytes, where one is written.
    pub mtu: Option<u32>,
    /// Whether directors translate what NAT real servers of this network send out on their own.
    pub snat: bool,
}

impl Network {
    /// The largest packet, in bytes.
    pub fn largest_packet(&self) -> u32 {
        self.mtu.unwrap_or(ETHERNET_MTU)
    }
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Its interfaces, in the order of the file.
    pub interfaces: Vec<Interface>,
    /// The ID of the machine, where one is written.
    pub machine_id: Option<MachineId>,
    /// The MAC address of one of its interfaces, where one is written.
    pub mac: Option<Mac>,
}

impl Host {
    /// The default router of a family, and the interface towards it: the gateway of the first network that has one
    /// which the host can use. `becomes` tells addresses that may become the host's own.
    pub fn router(
        &self,
        networks: &IndexMap<String, Network>,
        family: Family,
        becomes: impl Fn(IpAddr) -> bool,
    ) -> Option<(&Interface, IpAddr)> {
        let is_own =
            |address| self.interfaces.iter().any(|i| i.addresses.iter().any(|a| a.addr() == address));
        self.interfaces.iter().find_map(|interface| {
            let gateways = networks.get(&interface.network)?.gateways.iter().copied();
            let gateway =
                gateways.filter(|g| Family::of(*g) == family).find(|g| !is_own(*g) && !becomes(*g))?;
            // Addresses that are not ours to set may not be known; their default route is not ours either.
            let reachable = interface.address(family).is_some() || !interface.manage;
            reachable.then_some((interface, gateway))
        })
    }

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
