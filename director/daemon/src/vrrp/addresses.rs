//! Where virtual IPs are, and where they belong. Each instance's wish is kept, so that the kernel can be
//! compared with it whenever something else touches an address.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use fairway_config::{FailoverGroup, Family, Instance};
use fairway_vrrp::Place;

use super::links::Links;
use super::netlink::{ADDRESS_TAG, Address, Change, Done, Refusal, Requests};

/// Time between repairs of an address that something else keeps changing.
pub(super) const RETRY: Duration = Duration::from_secs(1);
/// The loopback interface, where VIPs are parked.
const LOOPBACK: &str = "lo";

/// One address at one interface.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    pub(super) interface: String,
    pub(super) address: IpAddr,
    pub(super) prefix: u8,
}

impl Spot {
    /// Where an instance's VIPs are while the network sees them.
    pub(super) fn on_interface(instance: &Instance) -> impl Iterator<Item = Self> {
        instance.addresses().map(|vip| Self {
            interface: instance.interface_of(vip).to_string(),
            address: vip.address,
            prefix: vip.prefix(),
        })
    }

    /// Where they are while parked. `lo` treats a whole prefix as its own, so they get host prefixes there.
    fn on_loopback(instance: &Instance) -> impl Iterator<Item = Self> {
        instance.addresses().map(|vip| Self {
            interface: LOOPBACK.to_owned(),
            address: vip.address,
            prefix: Family::of(vip.address).host_prefix(),
        })
    }

    /// The change that makes it so; `None` while the interface is missing.
    fn add(&self, links: &Links) -> Option<Change> {
        let index = links.by_name(&self.interface)?.index;
        Some(Change { add: true, index, address: self.address, prefix: self.prefix })
    }

    /// The kernel's entries for the address at this interface, whatever their prefix length.
    fn entries<'a>(&'a self, links: &'a Links) -> impl Iterator<Item = &'a Address> {
        let index = links.by_name(&self.interface).map(|link| link.index);
        let entries = index.into_iter().flat_map(|index| links.addresses(index));
        entries.filter(|entry| entry.address == self.address)
    }

    /// Whether the interface answers for the address.
    fn present(&self, links: &Links) -> bool {
        self.entries(links).next().is_some()
    }

    /// The changes that remove the entries that are ours: those with our tag, and those that look exactly as
    /// configured, unless the host is to have them by itself (`own`). Another prefix length without our tag is an
    /// address the host's administrator gave it.
    fn ours<'a>(&'a self, links: &'a Links, own: bool) -> impl Iterator<Item = Change> + 'a {
        self.entries(links)
            .filter(move |entry| entry.protocol == ADDRESS_TAG || (!own && entry.prefix == self.prefix))
            .map(removal)
    }
}

fn removal(entry: &Address) -> Change {
    Change { add: false, index: entry.index, address: entry.address, prefix: entry.prefix }
}

/// Names an instance: its group and its own name.
pub(super) type Owner = (String, String);

/// What belongs to one instance.
#[derive(Debug, Default)]
struct Holding {
    /// Every spot it may use, or has used.
    known: Vec<Spot>,
    /// Where its VIPs belong now.
    wanted: Vec<Spot>,
    /// They are the host's own addresses: none of them is ours, but what we added when they were not.
    own: bool,
}

/// A change that was refused.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) change: Change,
    pub(super) refusal: Refusal,
}

/// What had to be put right.
#[derive(Debug, Default)]
pub(super) struct Repair {
    /// VIPs that had been taken away, by owner. They are back.
    pub(super) restored: Vec<(Owner, Spot)>,
    /// VIPs that were where they do not belong. They are gone.
    pub(super) removed: Vec<(Owner, Spot)>,
    /// What the kernel refused.
    pub(super) failures: Vec<Failure>,
    /// Something is left to do after [`RETRY`].
    pub(super) postponed: bool,
}

/// All VIPs of the director.
#[derive(Debug, Default)]
pub(super) struct Vips {
    holdings: BTreeMap<Owner, Holding>,
    /// When an address was last put right.
    repaired: BTreeMap<Spot, Instant>,
}

impl Vips {
    /// Makes the kernel agree that the instance's VIPs are at `place` and nowhere else. New places come first,
    /// old ones are left after, so that an address that moves is never missing.
    pub(super) fn place(
        &mut self,
        requests: &mut Requests,
        links: &Links,
        owner: &Owner,
        instance: &Instance,
        place: Place,
    ) -> Vec<Failure> {
        self.want(owner, instance, place);
        let changes = self.changes(owner, links);
        apply(requests, changes, links)
    }

    /// Records the VIPs that a predecessor left on their interfaces as wanted there, and touches nothing.
    /// Returns whether there are any.
    pub(super) fn adopt(&mut self, links: &Links, owner: &Owner, instance: &Instance) -> bool {
        self.want(owner, instance, Place::Nowhere);
        if instance.is_owner() {
            return false; // that they are there says nothing
        }
        let holding = self.holdings.entry(owner.clone()).or_default();
        holding.wanted =
            Spot::on_interface(instance).filter(|spot| spot.ours(links, false).next().is_some()).collect();
        !holding.wanted.is_empty()
    }

    /// Gives up an instance that is no longer configured: removes what nobody else wants.
    pub(super) fn forget(&mut self, requests: &mut Requests, links: &Links, owner: &Owner) -> Vec<Failure> {
        if let Some(holding) = self.holdings.get_mut(owner) {
            holding.wanted.clear();
        }
        let changes = self.changes(owner, links);
        self.holdings.remove(owner);
        apply(requests, changes, links)
    }

    /// The owners there are.
    pub(super) fn owners(&self) -> impl Iterator<Item = &Owner> {
        self.holdings.keys()
    }

    /// Whether the kernel has something else than what is wanted.
    pub(super) fn disturbed(&self, links: &Links) -> bool {
        self.holdings.values().any(|holding| {
            holding.wanted.iter().any(|spot| !spot.present(links) && spot.add(links).is_some())
                || holding.known.iter().any(|spot| self.strays(holding, spot, links).next().is_some())
        })
    }

    /// Puts right what something else changed: at once, but the same address at most once in [`RETRY`], in case
    /// something keeps changing it.
    pub(super) fn repair(&mut self, requests: &mut Requests, links: &Links, now: Instant) -> Repair {
        let mut repair = Repair::default();
        let mut repaired = std::mem::take(&mut self.repaired);
        repaired.retain(|_, at| now.saturating_duration_since(*at) < RETRY);
        for (owner, holding) in &self.holdings {
            let missing = holding.wanted.iter().filter(|spot| !spot.present(links));
            let missing = missing.filter_map(|spot| Some((spot, spot.add(links)?)));
            let strays = holding
                .known
                .iter()
                .flat_map(|spot| self.strays(holding, spot, links).map(move |c| (spot, c)));
            for (spot, change) in missing.chain(strays) {
                if repaired.contains_key(spot) {
                    repair.postponed = true;
                    continue;
                }
                let found = (owner.clone(), spot.clone());
                match requests.apply(&[change], |index| links.runs(index)).pop() {
                    // The news of our own last change may still be under way: then there is nothing to repair.
                    Some(Ok(Done::Already)) | None => continue,
                    Some(Ok(Done::Changed)) if change.add => repair.restored.push(found),
                    Some(Ok(Done::Changed)) => repair.removed.push(found),
                    Some(Err(refusal)) => {
                        repair.failures.push(Failure { change, refusal });
                        repair.postponed = true;
                    }
                }
                repaired.insert(spot.clone(), now);
            }
        }
        self.repaired = repaired;
        repair
    }

    pub(super) fn want(&mut self, owner: &Owner, instance: &Instance, place: Place) {
        let holding = self.holdings.entry(owner.clone()).or_default();
        // What it wanted so far may not be configured any more: it stays known until it is gone.
        holding.known = std::mem::take(&mut holding.wanted);
        holding.own = instance.is_owner();
        holding.known.extend(Spot::on_interface(instance));
        holding.known.extend(Spot::on_loopback(instance));
        holding.wanted = match place {
            _ if holding.own => Vec::new(),
            Place::Interface => Spot::on_interface(instance).collect(),
            Place::Lo => Spot::on_loopback(instance).collect(),
            Place::Nowhere => Vec::new(),
        };
        // Kept in order and without what is in it twice: a set would take a multiple of the memory.
        for spots in [&mut holding.known, &mut holding.wanted] {
            spots.sort_unstable();
            spots.dedup();
            spots.shrink_to_fit();
        }
    }

    /// What makes the kernel agree with one owner's wish, whether or not the picture of the kernel is up to date.
    pub(super) fn changes(&self, owner: &Owner, links: &Links) -> Vec<Change> {
        let Some(holding) = self.holdings.get(owner) else { return Vec::new() };
        let mut changes: Vec<Change> = holding.wanted.iter().filter_map(|spot| spot.add(links)).collect();
        for spot in &holding.known {
            // Removed even if the picture does not show it: the kernel knows best, and a miss is no error.
            let blind = spot
                .add(links)
                .filter(|_| !holding.own && !self.wanted(spot))
                .map(|add| Change { add: false, ..add });
            changes.extend(blind);
            changes.extend(self.strays(holding, spot, links).filter(|change| Some(*change) != blind));
        }
        changes
    }

    /// Removes entries of ours for a spot's address under a prefix length that nobody wants there.
    fn strays<'a>(
        &'a self,
        holding: &'a Holding,
        spot: &'a Spot,
        links: &'a Links,
    ) -> impl Iterator<Item = Change> {
        spot.ours(links, holding.own)
            .filter(|change| !self.wanted(&Spot { prefix: change.prefix, ..spot.clone() }))
    }

    /// Whether somebody's VIP belongs there now.
    pub(super) fn wanted(&self, spot: &Spot) -> bool {
        self.holdings.values().any(|holding| holding.wanted.contains(spot))
    }
}

/// What to remove after a director that is gone: addresses with our tag that no group configures, and, if
/// `configured_too`, the VIPs of `groups` on their interfaces and on `lo`.
pub(super) fn leftovers(links: &Links, groups: &[FailoverGroup], configured_too: bool) -> Vec<Change> {
    let instances =
        || groups.iter().flat_map(|group| &group.instances).filter(|instance| !instance.is_owner());
    let configured: Vec<Change> = instances()
        .flat_map(|instance| Spot::on_interface(instance).chain(Spot::on_loopback(instance)))
        .flat_map(|spot| spot.ours(links, false).collect::<Vec<_>>())
        .collect();
    let mut changes: Vec<Change> =
        links.tagged().map(removal).filter(|change| !configured.contains(change)).collect();
    if configured_too {
        for change in configured {
            if !changes.contains(&change) {
                changes.push(change);
            }
        }
    }
    changes
}

/// Carries out changes in order, and returns those that were refused.
pub(super) fn apply(requests: &mut Requests, changes: Vec<Change>, links: &Links) -> Vec<Failure> {
    let answers = requests.apply(&changes, |index| links.runs(index));
    let failed =
        |(change, answer): (_, Result<_, _>)| answer.err().map(|refusal| Failure { change, refusal });
    changes.into_iter().zip(answers).filter_map(failed).collect()
}

#[cfg(test)]
#[path = "tests/addresses.rs"]
mod tests;
