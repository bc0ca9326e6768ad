//! The picture of the host's links and addresses that the kernel's messages add up to, and what the VRRP
//! thread reads from it: is there carrier, and which address do adverts come from.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use fairway_config::Family;

use super::netlink::{ADDRESS_TAG, Address, Event, IFA_F_DADFAILED, IFA_F_SECONDARY, IFA_F_TENTATIVE, Link};

/// `IFF_UP`, `IFF_RUNNING` (operational state up or unknown) and `IFF_LOWER_UP` (carrier); `linux/if.h`.
const RUNNING: u32 = 0x1 | 0x40 | 0x1_0000;
/// `ARPHRD_ETHER` (`linux/if_arp.h`).
const ETHERNET: u16 = 1;

/// All links and their addresses, in the kernel's order.
#[derive(Debug, Default)]
pub(super) struct Links {
    links: BTreeMap<u32, Link>,
    addresses: BTreeMap<u32, Vec<Address>>,
}

impl Links {
    /// The picture a dump gives.
    pub(super) fn from_dump(events: Vec<Event>) -> Self {
        let mut links = Self::default();
        for event in events {
            links.apply(event);
        }
        links
    }

    /// Takes one message into account.
    pub(super) fn apply(&mut self, event: Event) {
        match event {
            Event::Link(link) => {
                self.links.insert(link.index, link);
            }
            Event::LinkGone(index) => {
                self.links.remove(&index);
                self.addresses.remove(&index);
            }
            Event::Address(address) => {
                let list = self.addresses.entry(address.index).or_default();
                match list.iter_mut().find(|known| same(known, &address)) {
                    Some(known) => *known = address,
                    None => list.push(address),
                }
            }
            Event::AddressGone(address) => {
                if let Some(list) = self.addresses.get_mut(&address.index) {
                    list.retain(|known| !same(known, &address));
                }
            }
        }
    }

    /// The link of that name.
    pub(super) fn by_name(&self, name: &str) -> Option<&Link> {
        self.links.values().find(|link| link.name == name)
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Link> {
        self.links.values()
    }

    /// Name of an interface, for messages.
    pub(super) fn name(&self, index: u32) -> &str {
        self.links.get(&index).map_or("?", |link| &link.name)
    }

    /// Whether the interface is there, up, and has carrier.
    pub(super) fn is_running(&self, name: &str) -> bool {
        self.by_name(name).is_some_and(|link| self.runs(link.index))
    }

    /// The same, by index.
    pub(super) fn runs(&self, index: u32) -> bool {
        self.links.get(&index).is_some_and(|link| link.flags & RUNNING == RUNNING)
    }

    /// The addresses of an interface.
    pub(super) fn addresses(&self, index: u32) -> &[Address] {
        self.addresses.get(&index).map_or(&[], Vec::as_slice)
    }

    /// Every address of the host that carries our tag.
    pub(super) fn tagged(&self) -> impl Iterator<Item = &Address> {
        self.addresses.values().flatten().filter(|address| address.protocol == ADDRESS_TAG)
    }

    /// The interface's MAC address, if it is an Ethernet one.
    pub(super) fn mac(&self, name: &str) -> Option<[u8; 6]> {
        self.by_name(name).filter(|link| link.hardware == ETHERNET)?.mac
    }

    /// Where adverts of `family` on interface `name` come from: `None` while it is missing, down, without
    /// carrier, or without a usable address.
    ///
    /// A `configured` source only has to be there. Otherwise it is the first address that is the host's own:
    /// none of `vips` and without our tag; IPv6 link-local (RFC 9568 section 5.1.2.1) and past duplicate
    /// address detection. IPv4 primary addresses come before secondary ones.
    pub(super) fn source(
        &self,
        name: &str,
        family: Family,
        configured: Option<IpAddr>,
        vips: &BTreeSet<IpAddr>,
    ) -> Option<IpAddr> {
        if !self.is_running(name) {
            return None;
        }
        let link = self.by_name(name)?;
        let usable = |entry: &&Address| {
            Family::of(entry.address) == family && entry.flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED) == 0
        };
        let usable = self.addresses(link.index).iter().filter(usable);
        if let Some(configured) = configured {
            return usable.map(|entry| entry.address).find(|address| *address == configured);
        }
        usable
            .filter(|entry| match entry.address {
                IpAddr::V4(address) => !address.is_loopback(),
                IpAddr::V6(address) => Ipv6Addr::is_unicast_link_local(&address),
            })
            .filter(|entry| entry.protocol != ADDRESS_TAG && !vips.contains(&entry.address))
            .min_by_key(|entry| entry.flags & IFA_F_SECONDARY) // the first of equals
            .map(|entry| entry.address)
    }
}

/// Whether two entries are the same to the kernel. IPv4 keeps one entry per prefix length.
fn same(a: &Address, b: &Address) -> bool {
    a.address == b.address && (a.prefix == b.prefix || a.address.is_ipv6())
}

#[cfg(test)]
#[path = "tests/links.rs"]
mod tests;
