//! The macvlan interfaces of instances with a virtual MAC (RFC 9568 section 7.3). They are there for as long as the
//! director runs, and up only while this router has the virtual IPs: an interface that is down sends nothing, so that
//! no switch ever learns the virtual MAC at a backup, and takes nothing, so that a backup hears a master with the same
//! MAC on the interface below.
//!
//! Switches bring a master's packets to where the last frame from its MAC address came from, be it an answer to an ARP
//! request or a report of a multicast group. So an interface is mute until all virtual IPs of its group are there, and
//! while they are parked, when it still takes what switches bring.
//!
//! The mode is private: what a macvlan sends does not come back on the interface below or on another one.

mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use fairway_config::{Instance, VirtualMac};
use nix::errno::Errno;

use super::addresses::RETRY;
use super::links::Links;
use super::netlink::{Done, Link, Refusal, Requests};

/// What the aliases of our interfaces begin with: how the next process, and `ip link`, know them.
const ALIAS: &str = "Fairway's virtual MAC of ";
/// `IFF_UP` (`linux/if.h`).
const UP: u32 = 1;
/// `MACVLAN_MODE_PRIVATE` (`linux/if_link.h`).
const PRIVATE: u32 = 1;

/// What an interface does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// It is down, and does nothing.
    Down,
    /// It takes packets, and sends none.
    Mute,
    Up,
}

/// An interface that an instance needs.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    /// Name of the interface below.
    base: String,
    mac: [u8; 6],
    alias: String,
    mode: Mode,
    /// It was there as it is to be, so that something else is to blame if it is not.
    settled: bool,
}

/// What came of a change, for the log.
#[derive(Debug)]
pub(super) enum News {
    /// It is there for the first time.
    Made(String),
    /// Something else had deleted or changed it. It is as it was.
    Restored(String),
    /// An interface of that name is there and is not ours.
    Foreign(String),
    /// The kernel did not make or change it.
    Refused(String, Refusal),
}

/// All virtual MACs of the director, by the names of their interfaces.
#[derive(Debug, Default)]
pub(super) struct VirtualMacs {
    wanted: BTreeMap<String, Wanted>,
    /// When the next attempt is made at one that was refused.
    refused: BTreeMap<String, Instant>,
}

impl VirtualMacs {
    /// Records what `instances` need. One that is new is as up as a predecessor left it.
    pub(super) fn want<'a>(&mut self, links: &Links, instances: impl Iterator<Item = &'a Instance>) {
        for instance in instances {
            let Some(virtual_mac) = &instance.virtual_mac else { continue };
            let name = virtual_mac.interface.to_string();
            let base = instance.interface.to_string();
            let mac = VirtualMac::address(instance.family, instance.vrid);
            let alias = format!("{ALIAS}{}", instance.name);
            let before = self.wanted.get(&name);
            let left = match links.by_name(&name).filter(|link| is_ours(link)) {
                Some(link) if link.mute => Mode::Mute,
                Some(link) if link.flags & UP != 0 => Mode::Up,
                _ => Mode::Down,
            };
            let mode = before.map_or(left, |before| before.mode);
            let settled =
                before.is_some_and(|before| before.settled && before.mac == mac && before.base == base);
            self.wanted.insert(name, Wanted { base, mac, alias, mode, settled });
        }
    }

    /// Whether the interface is there and is ours.
    pub(super) fn is_there(&self, links: &Links, name: &str) -> bool {
        let there = links.by_name(name).filter(|link| is_ours(link));
        there.zip(self.wanted.get(name)).is_some_and(|(link, wanted)| wanted.is_made(links, link))
    }

    /// Whether adverts can leave from the interface.
    pub(super) fn speaks(&self, links: &Links, name: &str) -> bool {
        links.is_running(name) && self.wanted.get(name).is_some_and(|wanted| wanted.mode == Mode::Up)
    }

    /// What the interface does.
    pub(super) fn mode(&self, name: &str) -> Mode {
        self.wanted.get(name).map_or(Mode::Down, |wanted| wanted.mode)
    }

    /// Has an interface do something else. Where the kernel has no means to make one mute, one that is to speak soon
    /// speaks now, and one that has spoken goes down: rather not heard than heard against the next master.
    pub(super) fn switch(
        &mut self,
        requests: &mut Requests,
        links: &Links,
        name: &str,
        mode: Mode,
    ) -> Option<News> {
        let wanted = self.wanted.get_mut(name)?;
        let before = std::mem::replace(&mut wanted.mode, mode);
        let link = links.by_name(name).filter(|link| is_ours(link))?;
        let is_up = link.flags & UP != 0;
        if mode == Mode::Mute && before != mode {
            let trouble = match &requests.make(wire::mute(link.index), &[])[..] {
                [Ok(Done::Changed), Ok(_)] => None,
                [Ok(Done::Already), _] => Some("it has another queueing discipline".to_owned()),
                answers => answers.iter().find_map(|answer| Some(answer.as_ref().err()?.to_string())),
            };
            if let Some(trouble) = trouble {
                tracing::warn!(
                    interface = name,
                    "cannot keep {name} from sending for a while ({trouble}): a planned switch may lose packets; the \
                     queueing discipline blackhole needs CONFIG_NET_SCHED, and no other one at {name}"
                );
                wanted.mode = if before == Mode::Down { Mode::Up } else { Mode::Down };
            }
        }
        if (before == Mode::Mute || mode == Mode::Mute) && wanted.mode != Mode::Mute {
            // What of it is not there need not go.
            requests.make(wire::unmute(link.index), &[]);
        }
        if is_up == (wanted.mode != Mode::Down) {
            return None;
        }
        let answers = requests.make(vec![(false, wire::switch(link.index, !is_up))], &[]);
        answers.into_iter().find_map(Result::err).map(|refusal| News::Refused(name.to_owned(), refusal))
    }

    /// Makes what is missing and puts right what is different. Returns the news, and whether something is left to do
    /// after [`RETRY`]. The picture of the links is older than what is done here.
    pub(super) fn repair(
        &mut self,
        requests: &mut Requests,
        links: &Links,
        now: Instant,
    ) -> (Vec<News>, bool) {
        self.refused.retain(|_, at| now < *at);
        let mut news = Vec::new();
        for (name, wanted) in &mut self.wanted {
            if self.refused.contains_key(name) {
                continue;
            }
            match wanted.repair(requests, links, name) {
                None => {}
                Some(Ok(())) if wanted.settled => news.push(News::Restored(name.clone())),
                Some(Ok(())) => {
                    wanted.settled = true;
                    news.push(News::Made(name.clone()));
                }
                Some(Err(problem)) => {
                    self.refused.insert(name.clone(), now + RETRY);
                    news.push(problem);
                }
            }
        }
        (news, !self.refused.is_empty())
    }

    /// Deletes the interfaces that are not among `needed`.
    pub(super) fn keep(
        &mut self,
        requests: &mut Requests,
        links: &Links,
        needed: &BTreeSet<String>,
    ) -> Vec<News> {
        let over: Vec<String> = self.wanted.keys().filter(|name| !needed.contains(*name)).cloned().collect();
        for name in &over {
            self.wanted.remove(name);
            self.refused.remove(name);
        }
        let refused = delete(requests, over.iter().filter_map(|name| links.by_name(name)));
        refused.into_iter().map(|(name, refusal)| News::Refused(name, refusal)).collect()
    }

    /// Deletes what a predecessor left and no instance needs. Returns how many that were.
    pub(super) fn remove_leftovers(&self, requests: &mut Requests, links: &Links) -> usize {
        let over: Vec<&Link> =
            ours(links).into_iter().filter(|link| !self.wanted.contains_key(&link.name)).collect();
        over.len() - delete(requests, over.into_iter()).len()
    }
}

impl Wanted {
    /// Whether `link` is what it is to be, up or not.
    fn is_made(&self, links: &Links, link: &Link) -> bool {
        let base = links.by_name(&self.base).map(|base| base.index);
        link.mac == Some(self.mac)
            && link.macvlan.is_some_and(|macvlan| Some(macvlan.base) == base && macvlan.mode == PRIVATE)
    }

    /// Makes or changes the interface `name`; `None` if there is nothing to do, or nothing that can be done while the
    /// interface below is missing.
    fn repair(&mut self, requests: &mut Requests, links: &Links, name: &str) -> Option<Result<(), News>> {
        let base = links.by_name(&self.base)?.index;
        let there = links.by_name(name);
        if there.is_some_and(|link| !is_ours(link)) {
            return Some(Err(News::Foreign(name.to_owned())));
        }
        let refused = |refusal| News::Refused(name.to_owned(), refusal);
        if let Some(link) = there.filter(|link| !self.is_made(links, link)) {
            if let Some((_, refusal)) = delete(requests, std::iter::once(link)).pop() {
                return Some(Err(refused(refusal)));
            }
        } else if let Some(link) = there {
            let up = self.mode != Mode::Down;
            if (link.flags & UP != 0) == up {
                return None;
            }
            // One that is being deleted goes down first: that it is gone, the kernel is about to tell.
            let answer =
                requests.make(vec![(false, wire::switch(link.index, up))], &[Errno::ENODEV]).pop()?;
            return (!matches!(answer, Ok(Done::Already))).then(|| answer.map(drop).map_err(refused));
        }
        if self.mode == Mode::Mute {
            self.mode = Mode::Down; // a new one would answer
        }
        let changes = wire::creation(name, base, self.mac, &self.alias, self.mode == Mode::Up);
        let refusal = requests.make(changes, &[]).into_iter().find_map(Result::err);
        if refusal.is_none() {
            // Where IPv6 is off there are no addresses to keep from being made.
            requests.make(vec![(false, wire::no_own_addresses(name))], &[]);
            wire::deafen_to_routers(name);
            wire::keep_apart(requests, &self.base, base);
        }
        Some(refusal.map_or(Ok(()), |refusal| Err(refused(refusal))))
    }
}

fn is_ours(link: &Link) -> bool {
    link.macvlan.is_some() && link.alias.starts_with(ALIAS)
}

/// Our interfaces, whoever made them.
pub(super) fn ours(links: &Links) -> Vec<&Link> {
    links.all().filter(|link| is_ours(link)).collect()
}

/// Deletes those of `links` that are ours, and returns the names of those that stay.
pub(super) fn delete<'a>(
    requests: &mut Requests,
    links: impl Iterator<Item = &'a Link>,
) -> Vec<(String, Refusal)> {
    let over: Vec<&Link> = links.filter(|link| is_ours(link)).collect();
    let messages = over.iter().map(|link| (false, wire::deletion(link.index))).collect();
    let answers = requests.make(messages, &[Errno::ENODEV]);
    let failed = |(link, answer): (&Link, Result<_, _>)| Some((link.name.clone(), answer.err()?));
    over.into_iter().zip(answers).filter_map(failed).collect()
}

#[cfg(test)]
#[path = "tests/virtual_mac.rs"]
mod tests;
