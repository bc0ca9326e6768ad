//! `/org/fairway/Director1/group/<group>/instance/<instance>`: one VRRP virtual router, read-only.

use std::net::IpAddr;
use std::time::UNIX_EPOCH;

use zbus::{Variant, interface};

use super::core::Core;
use super::error::{Error, Result};
use super::level::{Properties, Published, Shared};
use super::path;
use crate::status::{InstanceStatus, OtherRouterStatus, Statistics, VrrpCommand};

/// A VRRP instance.
#[derive(Debug)]
pub struct Instance {
    group: String,
    name: String,
    state: Shared<InstanceStatus>,
    core: Core,
}

#[interface(name = "org.fairway.Director1.Instance", introspection_docs = false)]
impl Instance {
    #[zbus(property(emits_changed_signal = "const"))]
    fn name(&self) -> &str {
        &self.name
    }

    #[zbus(property)]
    fn state(&self) -> &'static str {
        self.state.get(|s| s.state)
    }

    #[zbus(property)]
    fn interface(&self) -> String {
        self.state.get(|s| s.interface.clone())
    }

    #[zbus(property)]
    fn family(&self) -> &'static str {
        self.state.get(|s| s.family)
    }

    #[zbus(property)]
    fn vrid(&self) -> u8 {
        self.state.get(|s| s.vrid)
    }

    #[zbus(property)]
    fn version(&self) -> u8 {
        self.state.get(|s| s.version)
    }

    #[zbus(property)]
    fn priority(&self) -> u8 {
        self.state.get(|s| s.priority)
    }

    /// As configured, before trackers and orders.
    #[zbus(property)]
    fn base_priority(&self) -> u8 {
        self.state.get(|s| s.base_priority)
    }

    /// Microseconds.
    #[zbus(property)]
    fn advert_interval(&self) -> u64 {
        self.state.get(microseconds)
    }

    /// Empty while no master is known.
    #[zbus(property)]
    fn master_address(&self) -> String {
        self.state.get(master)
    }

    /// 0 while no master is known.
    #[zbus(property)]
    fn master_priority(&self) -> u8 {
        self.state.get(|s| s.master_priority.unwrap_or_default())
    }

    /// Where the addresses are: `interface`, `lo` or `nowhere`.
    #[zbus(property)]
    fn addresses_at(&self) -> &'static str {
        self.state.get(|s| s.place)
    }

    #[zbus(property)]
    fn virtual_addresses(&self) -> Vec<String> {
        self.state.get(|s| addresses(&s.virtual_ips))
    }

    #[zbus(property)]
    fn excluded_addresses(&self) -> Vec<String> {
        self.state.get(|s| addresses(&s.excluded_ips))
    }

    /// Empty without one.
    #[zbus(property)]
    fn virtual_mac(&self) -> String {
        self.state.get(virtual_mac)
    }

    /// Empty without a virtual MAC.
    #[zbus(property)]
    fn virtual_mac_interface(&self) -> String {
        self.state.get(virtual_mac_interface)
    }

    /// Other routers that something is wrong with: address, what, how often it was seen, when it was last reported.
    #[zbus(property)]
    fn other_routers(&self) -> Vec<OtherRouter> {
        self.state.get(other_routers)
    }

    async fn get_statistics(&self) -> Result<Statistics> {
        let present = |groups: &crate::status::VrrpStatus| {
            groups.get(&self.group).is_some_and(|g| g.instance(&self.name).is_some())
        };
        if !present(&self.core.vrrp_status.borrow()) {
            return Err(Error::NotFound(format!("the instance \"{}\" is no longer configured", self.name)));
        }
        let (group, instance) = (self.group.clone(), Some(self.name.clone()));
        Ok(self.core.vrrp.ask(|reply| VrrpCommand::Statistics { group, instance, reply }).await?)
    }
}

fn microseconds(status: &InstanceStatus) -> u64 {
    status.advert_interval_ms.saturating_mul(1000)
}

fn master(status: &InstanceStatus) -> String {
    status.master.as_ref().map(IpAddr::to_string).unwrap_or_default()
}

fn addresses(addresses: &[IpAddr]) -> Vec<String> {
    addresses.iter().map(IpAddr::to_string).collect()
}

/// Address, what is wrong, how often it was seen, microseconds since the epoch.
type OtherRouter = (String, String, u64, u64);

fn other_routers(status: &InstanceStatus) -> Vec<OtherRouter> {
    let other = |other: &OtherRouterStatus| {
        let at = other.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = u64::try_from(at.as_micros()).unwrap_or(u64::MAX);
        (other.source.to_string(), other.what.clone(), other.count, at)
    };
    status.other_routers.iter().map(other).collect()
}

fn virtual_mac(status: &InstanceStatus) -> String {
    status.virtual_mac.as_ref().map(|(_, address)| address.clone()).unwrap_or_default()
}

fn virtual_mac_interface(status: &InstanceStatus) -> String {
    status.virtual_mac.as_ref().map(|(interface, _)| interface.clone()).unwrap_or_default()
}

impl Published for InstanceStatus {
    type Object = Instance;
    /// Group and instance.
    type Key = (String, String);

    fn path((group, name): &Self::Key) -> String {
        path::instance(group, name)
    }

    fn object((group, name): &Self::Key, state: Shared<Self>, core: &Core) -> Instance {
        Instance { group: group.clone(), name: name.clone(), state, core: core.clone() }
    }

    fn properties(&self, _key: &Self::Key) -> Properties {
        vec![
            ("State", Variant::from(self.state)),
            ("Interface", Variant::from(self.interface.clone())),
            ("Family", Variant::from(self.family)),
            ("Vrid", Variant::from(self.vrid)),
            ("Version", Variant::from(self.version)),
            ("Priority", Variant::from(self.priority)),
            ("BasePriority", Variant::from(self.base_priority)),
            ("AdvertInterval", Variant::from(microseconds(self))),
            ("MasterAddress", Variant::from(master(self))),
            ("MasterPriority", Variant::from(self.master_priority.unwrap_or_default())),
            ("AddressesAt", Variant::from(self.place)),
            ("VirtualAddresses", Variant::from(addresses(&self.virtual_ips))),
            ("ExcludedAddresses", Variant::from(addresses(&self.excluded_ips))),
            ("VirtualMac", Variant::from(virtual_mac(self))),
            ("VirtualMacInterface", Variant::from(virtual_mac_interface(self))),
            ("OtherRouters", Variant::from(other_routers(self))),
        ]
    }
}
