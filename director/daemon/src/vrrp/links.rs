//! The picture of the host's links and addresses that the kernel's messages add up to, and what the VRRP
//! thread reads from it: is there carrier, and which address do adverts come from.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use fairway_config::{Family, Instance};
use fairway_vrrp::LinkProblem;

use super::netlink::{ADDRESS_TAG, Address, Event, IFA_F_DADFAILED, IFA_F_SECONDARY, IFA_F_TENTATIVE, Link};

/// `IFF_UP`, `IFF_RUNNING` (operational state up or unknown) and `IFF_LOWER_UP` (carrier); `linux/if.h`.
const RUNNING: u32 = UP | 0x40 | 0x1_0000;
const UP: u32 = 0x1;
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
                match list.iter().position(|known| same(known, &address)) {
                    // The kernel puts a secondary address that becomes primary behind the other primary ones.
                    Some(place) if list[place].flags & IFA_F_SECONDARY > address.flags & IFA_F_SECONDARY => {
                        list.remove(place);
                        list.push(address);
                    }
                    Some(place) => list[place] = address,
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

    /// Whether the owner of an instance's addresses has them.
    fn owns(&self, instance: &Instance) -> Result<(), LinkProblem> {
        for vip in instance.addresses().filter(|_| instance.is_owner()) {
            let link = self.by_name(instance.interface_of(vip).as_str());
            let mut entries = link.into_iter().flat_map(|link| self.addresses(link.index));
            let own = entries.find(|entry| entry.address == vip.address && entry.protocol != ADDRESS_TAG);
            match own.map(problem_of) {
                Some(None) => {}
                Some(Some(problem)) => return Err(problem),
                None => return Err(LinkProblem::NotOwned(vip.address)),
            }
        }
        Ok(())
    }

    /// Where adverts of an instance come from, or what keeps them from being sent.
    ///
    /// A configured source only has to be there. Otherwise it is the best address that is the host's own: none of
    /// `vips` and without our tag; IPv6 link-local (RFC 9568 section 5.1.2.1) and past duplicate address detection.
    /// Of several it is one of the widest scope that is not secondary: over IPv4 the first of those, over IPv6, where
    /// the kernel has no order that lasts, the lowest.
    pub(super) fn source(&self, instance: &Instance, vips: &BTreeSet<IpAddr>) -> Result<IpAddr, LinkProblem> {
        let Some(link) = self.by_name(instance.interface.as_str()) else { return Err(LinkProblem::Missing) };
        if link.flags & RUNNING != RUNNING {
            return Err(if link.flags & UP == 0 { LinkProblem::Down } else { LinkProblem::NoCarrier });
        }
        self.owns(instance)?;
        let own = |entry: &&Address| entry.protocol != ADDRESS_TAG && !vips.contains(&entry.address);
        let addresses = self.addresses(link.index).iter();
        let candidates: Vec<&Address> = match instance.source {
            Some(source) => addresses.filter(|entry| entry.address == source).collect(),
            None => {
                addresses.filter(|entry| sends_adverts(instance.family, entry.address)).filter(own).collect()
            }
        };
        let usable = candidates.iter().filter(|entry| problem_of(entry).is_none());
        let rank = |entry: &&&Address| (entry.flags & IFA_F_SECONDARY, entry.scope, tie_break(entry.address));
        match (usable.min_by_key(rank), candidates.iter().min_by_key(rank), instance.source) {
            (Some(entry), ..) => Ok(entry.address),
            (None, Some(entry), _) => {
                Err(problem_of(entry).unwrap_or(LinkProblem::NoAddress(instance.family)))
            }
            (None, None, Some(source)) => Err(LinkProblem::NoSource(source)),
            (None, None, None) => Err(LinkProblem::NoAddress(instance.family)),
        }
    }
}

/// Whether an address is of the kind that adverts of this family come from.
fn sends_adverts(family: Family, address: IpAddr) -> bool {
    match (family, address) {
        (Family::Ipv4, IpAddr::V4(address)) => !address.is_loopback(),
        (Family::Ipv6, IpAddr::V6(address)) => address.is_unicast_link_local(),
        _ => false,
    }
}

/// What keeps an address from being used.
fn problem_of(entry: &Address) -> Option<LinkProblem> {
    if entry.flags & IFA_F_DADFAILED != 0 {
        Some(LinkProblem::Duplicate(entry.address))
    } else if entry.flags & IFA_F_TENTATIVE != 0 {
        Some(LinkProblem::Tentative(entry.address))
    } else {
        None
    }
}

/// Decides between IPv6 addresses of the same rank.
fn tie_break(address: IpAddr) -> Option<Ipv6Addr> {
    match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some(address),
    }
}

/// Whether two entries are the same to the kernel. IPv4 keeps one entry per prefix length.
fn same(a: &Address, b: &Address) -> bool {
    a.address == b.address && (a.prefix == b.prefix || a.address.is_ipv6())
}

#[cfg(test)]
#[path = "tests/links.rs"]
mod tests;
