//! Routes and rules that move with a group: its master has them, nobody else. What a group has put into the kernel is
//! known, so that it is put back when something else deletes it, and so that a route which was there before is
//! neither replaced nor taken away.

mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::time::Instant;

use fairway_config::{FailoverGroup, VirtualRoute, VirtualRule};
use nix::errno::Errno;

use super::addresses::RETRY;
use super::links::Links;
use super::netlink::{Done, Refusal, Requests};
pub(super) use wire::own_routes_only;

/// What the kernel says when a route or rule to delete is not there.
const GONE: [Errno; 4] = [Errno::ESRCH, Errno::ENOENT, Errno::ENODEV, Errno::EAFNOSUPPORT];

/// A route or a rule. Routes come first: a rule does not send packets to a table that is still empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Item {
    Route(VirtualRoute),
    Rule(VirtualRule),
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Route(route) => write!(f, "route {route}"),
            Self::Rule(rule) => write!(f, "rule {rule}"),
        }
    }
}

/// What a group has while it is master.
fn items(group: &FailoverGroup) -> BTreeSet<Item> {
    let routes = group.routes.iter().cloned().map(Item::Route);
    routes.chain(group.rules.iter().cloned().map(Item::Rule)).collect()
}

/// What belongs to one group.
#[derive(Debug, Default)]
struct Holding {
    /// What it is to have now.
    wanted: BTreeSet<Item>,
    /// What is in the kernel because of it.
    held: BTreeSet<Item>,
}

/// What came of a change, for the log.
#[derive(Debug)]
pub(super) enum News {
    /// Something else had deleted it. It is back.
    Restored(Item),
    /// One that is not ours is in its place.
    Foreign(Item),
    /// An interface it names is missing.
    Waiting(Item),
    /// The kernel did not add it, or did not delete it.
    Refused(Item, Refusal),
}

/// All routes and rules of the director.
#[derive(Debug, Default)]
pub(super) struct Routes {
    groups: BTreeMap<String, Holding>,
    /// When one was last put back.
    restored: BTreeMap<Item, Instant>,
}

impl Routes {
    /// Takes over what a predecessor left, and deletes what no group configures in the same way. Returns how much that
    /// was.
    pub(super) fn adopt<'g>(
        &mut self,
        requests: &mut Requests,
        links: &Links,
        groups: impl Iterator<Item = &'g FailoverGroup>,
    ) -> std::io::Result<usize> {
        let mut left = found(requests)?;
        for group in groups {
            let known: BTreeSet<Item> = items(group)
                .into_iter()
                .filter(|item| {
                    let before = left.len();
                    left.retain(|found| !found.is(item, links));
                    left.len() < before
                })
                .collect();
            if !known.is_empty() {
                self.groups.entry(group.name.clone()).or_default().held.extend(known);
            }
        }
        let removals: Vec<_> = left.iter().filter_map(wire::Found::removal).map(|m| (false, m)).collect();
        let answers = requests.make(removals, &GONE);
        Ok(answers.iter().filter(|answer| answer.is_ok()).count())
    }

    /// Makes the kernel agree with what a group has now: everything it configures, or nothing.
    pub(super) fn place(
        &mut self,
        requests: &mut Requests,
        links: &Links,
        group: &FailoverGroup,
        master: bool,
    ) -> Vec<News> {
        let wanted = if master { items(group) } else { BTreeSet::new() };
        let mut news = self.want(requests, links, &group.name, wanted);
        let Some(holding) = self.groups.get_mut(&group.name) else { return news };
        for item in &holding.wanted {
            match add(requests, links, item) {
                None => news.push(News::Waiting(item.clone())),
                Some(Ok(Done::Changed)) => drop(holding.held.insert(item.clone())),
                Some(Ok(Done::Already)) if holding.held.contains(item) => {}
                Some(Ok(Done::Already)) => news.push(News::Foreign(item.clone())),
                Some(Err(refusal)) => news.push(News::Refused(item.clone(), refusal)),
            }
        }
        news
    }

    /// Gives up a group that is no longer configured.
    pub(super) fn forget(&mut self, requests: &mut Requests, links: &Links, group: &str) -> Vec<News> {
        let news = self.want(requests, links, group, BTreeSet::new());
        self.groups.remove(group);
        news
    }

    /// The groups there are.
    pub(super) fn groups(&self) -> impl Iterator<Item = &String> {
        self.groups.keys()
    }

    /// Records what a group is to have, and deletes what it has besides: rules first.
    fn want(
        &mut self,
        requests: &mut Requests,
        links: &Links,
        group: &str,
        wanted: BTreeSet<Item>,
    ) -> Vec<News> {
        if wanted.is_empty() && !self.groups.contains_key(group) {
            return Vec::new();
        }
        let holding = self.groups.entry(group.to_owned()).or_default();
        holding.wanted = wanted;
        let over: Vec<Item> =
            holding.held.iter().rev().filter(|item| !holding.wanted.contains(item)).cloned().collect();
        let messages =
            over.iter().filter_map(|item| item.message(false, links)).map(|m| (false, m)).collect();
        let answers = requests.make(messages, &GONE);
        let mut news = Vec::new();
        for (item, answer) in over.into_iter().zip(answers) {
            holding.held.remove(&item);
            if let Err(refusal) = answer {
                news.push(News::Refused(item, refusal));
            }
        }
        news
    }

    /// Deletes what comes from an address that was away for a moment, for [`Routes::repair`] to put back: the kernel
    /// keeps IPv6 routes, and takes the source from them.
    pub(super) fn renew(&self, requests: &mut Requests, links: &Links, address: IpAddr) {
        let from = |item: &&Item| matches!(item, Item::Route(route) if route.source == Some(address));
        let held = self.groups.values().flat_map(|holding| holding.held.iter().filter(from));
        let messages = held.filter_map(|item| item.message(false, links)).map(|m| (false, m)).collect();
        requests.make(messages, &GONE);
    }

    /// Puts back what something else deleted: at once, but the same one at most once in [`RETRY`]. Returns the news by
    /// group, and whether something is left to do after that time.
    pub(super) fn repair(
        &mut self,
        requests: &mut Requests,
        links: &Links,
        now: Instant,
    ) -> (Vec<(String, News)>, bool) {
        let (mut news, mut postponed) = (Vec::new(), false);
        self.restored.retain(|_, at| now.saturating_duration_since(*at) < RETRY);
        for (group, holding) in &mut self.groups {
            for item in &holding.wanted {
                if self.restored.contains_key(item) {
                    postponed = true;
                    continue;
                }
                // Silently, for the kernel does not tell of every route it drops with an address or a link: whether it
                // is there is found out by adding it.
                match add(requests, links, item) {
                    None => {}
                    Some(Ok(Done::Changed)) => {
                        self.restored.insert(item.clone(), now);
                        if !holding.held.insert(item.clone()) {
                            news.push((group.clone(), News::Restored(item.clone())));
                        }
                    }
                    Some(Ok(Done::Already)) if holding.held.contains(item) => {}
                    Some(Ok(Done::Already)) => {
                        postponed = true;
                        news.push((group.clone(), News::Foreign(item.clone())));
                    }
                    Some(Err(refusal)) => {
                        postponed = true;
                        news.push((group.clone(), News::Refused(item.clone(), refusal)));
                    }
                }
            }
        }
        (news, postponed)
    }

    /// What a group is to have and has not, as text.
    pub(super) fn missing(&self, group: &str) -> Vec<String> {
        let missing = self.groups.get(group).map(|holding| holding.wanted.difference(&holding.held));
        missing.into_iter().flatten().map(Item::to_string).collect()
    }
}

/// Adds an item unless there is one like it; `None` while an interface it names is missing.
fn add(requests: &mut Requests, links: &Links, item: &Item) -> Option<Result<Done, Refusal>> {
    requests.make(vec![(true, item.message(true, links)?)], &[]).pop()
}

/// Every route and rule with our tag.
fn found(requests: &mut Requests) -> std::io::Result<Vec<wire::Found>> {
    let mut found = Vec::new();
    for request in wire::requests() {
        found.append(&mut requests.dump_with(&request, wire::read)?);
    }
    Ok(found)
}

/// Deletes every route and rule with our tag. Returns how many, and the first refusal.
pub(super) fn release(requests: &mut Requests) -> std::io::Result<(usize, Option<Refusal>)> {
    let messages = found(requests)?.iter().filter_map(wire::Found::removal).map(|m| (false, m)).collect();
    let answers = requests.make(messages, &GONE);
    let count = answers.iter().filter(|answer| answer.is_ok()).count();
    Ok((count, answers.into_iter().find_map(Result::err)))
}
