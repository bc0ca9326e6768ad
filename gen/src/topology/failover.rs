//! Failover groups, with every reference resolved and everything allocated.

use std::net::IpAddr;
use std::path::PathBuf;

use fairway_config::{
    Announce, Auth, Checksum, FailoverGroup, Family, Instance, PassAuth, Period, Preempt, Priority, Vrid,
    VrrpVersion,
};

use super::Host;

/// One elected unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its virtual IPs by name, in the order of the file.
    pub virtual_ips: Vec<String>,
    /// Its directors and their priorities, best first.
    pub directors: Vec<(String, Priority)>,
    /// Time between adverts.
    pub advert_interval: Period,
    /// Protocol version.
    pub version: VrrpVersion,
    /// Form of the IPv4 v3 checksum.
    pub checksum: Checksum,
    /// When a better director takes over from a working one.
    pub preempt: Preempt,
    /// The file that holds the v2 password.
    pub password_file: Option<PathBuf>,
    /// Neighbour announcements.
    pub announce: Announce,
    /// One VRRP instance for each network and family.
    pub instances: Vec<GroupInstance>,
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
}

impl Group {
    /// The priority of a director of this group.
    pub fn priority(&self, host: &str) -> Option<Priority> {
        self.directors.iter().find(|(name, _)| name == host).map(|(_, priority)| *priority)
    }

    /// The group as `director.toml` has it on one of its directors.
    pub fn for_director(&self, name: &str, host: &Host, priority: Priority) -> FailoverGroup {
        FailoverGroup {
            name: name.to_owned(),
            preempt: self.preempt,
            instances: self.instances.iter().filter_map(|i| self.instance_for(i, host, priority)).collect(),
        }
    }

    fn instance_for(&self, instance: &GroupInstance, host: &Host, priority: Priority) -> Option<Instance> {
        let interface = host.interface_in(&instance.network)?;
        // IPv6 adverts come from the link-local address, which the director finds itself (RFC 9568, 5.1.2.1).
        let source = match instance.family {
            Family::Ipv4 => interface.address(Family::Ipv4),
            Family::Ipv6 => None,
        };
        Some(Instance {
            name: instance.name.clone(),
            interface: interface.name.clone(),
            family: instance.family,
            vrid: instance.vrid,
            version: self.version,
            priority,
            advert_interval: self.advert_interval,
            checksum: match instance.family {
                Family::Ipv4 => self.checksum,
                Family::Ipv6 => Checksum::default(),
            },
            source,
            auth: self.password_file.clone().map(|key_file| Auth::Pass(PassAuth { key_file })),
            announce: self.announce,
            virtual_ips: instance
                .addresses
                .iter()
                .map(|(address, prefix)| fairway_config::VirtualIp {
                    address: *address,
                    prefix: *prefix,
                    interface: None,
                })
                .collect(),
        })
    }
}
