//! BFD sessions: a director has one with each neighbour (RFC 5881 section 3), so all that want it describe the same.

use std::collections::HashMap;
use std::ops::Range;

use fairway_config::{BfdKey, BfdSession};
use indexmap::IndexMap;

use super::super::Group;
use super::super::failover::session;
use super::super::raw::RawTopology;
use super::hosts::Hosts;
use super::services::Resolved;
use crate::report::{Problems, Rule};

/// Who wants a session: the key, and where it is written.
type Wanted<'a> = (&'a str, Range<usize>);

/// Reports a tracker or check that describes a neighbour's session otherwise than the one before it.
pub fn agree(
    problems: &mut Problems,
    (raw, hosts): (&RawTopology, &Hosts),
    groups: &IndexMap<String, Group>,
    resolved: &Resolved,
) {
    let mut known: HashMap<(&str, BfdKey), (BfdSession, Wanted<'_>)> = HashMap::new();
    let mut told: Vec<(&str, &str)> = Vec::new();
    for (director, key, session, wanted) in trackers((raw, hosts), groups).chain(checks(raw, resolved)) {
        let neighbour = key.neighbour;
        let Some((other, first)) = known.get(&(director, key.clone())) else {
            known.insert((director, key), (session, wanted));
            continue;
        };
        // Once for all directors that have both.
        if session.agrees_with(other) || told.contains(&(first.0, wanted.0)) {
            continue;
        }
        told.push((first.0, wanted.0));
        problems
            .add(
                Rule::BfdSession,
                wanted.0,
                wanted.1,
                format!(
                    "{director} has one BFD session with {neighbour}, and {} describes it otherwise",
                    first.0
                ),
                "make network, hops, min-tx, min-rx, multiplier and passive the same",
            )
            .see(first.1.clone(), "the other one");
    }
}

fn trackers<'a>(
    (raw, hosts): (&'a RawTopology, &'a Hosts),
    groups: &'a IndexMap<String, Group>,
) -> impl Iterator<Item = (&'a str, BfdKey, BfdSession, Wanted<'a>)> {
    let trackers = groups.iter().flat_map(|(name, group)| {
        let written = raw.failover.get(name).into_iter().flat_map(|entry| &entry.value.track);
        written.filter_map(move |(name, entry)| Some((group, group.track.get(name)?.bfd.as_ref()?, entry)))
    });
    trackers.flat_map(move |(group, bfd, entry)| {
        let hosts = group.directors.iter().filter_map(move |(name, _)| hosts.hosts.get_key_value(name));
        hosts.map(move |(director, host)| {
            let tracked = session(bfd, host);
            (director.as_str(), tracked.key(), tracked.session(), (entry.key.as_str(), entry.span.clone()))
        })
    })
}

fn checks<'a>(
    raw: &'a RawTopology,
    resolved: &'a Resolved,
) -> impl Iterator<Item = (&'a str, BfdKey, BfdSession, Wanted<'a>)> {
    resolved.services.iter().flat_map(move |(service, of)| {
        let directors: Vec<&str> = of.listens.iter().flat_map(|l| &l.directors).map(String::as_str).collect();
        of.servers.iter().flat_map(move |server| {
            let names = server.checks.as_ref().unwrap_or(&of.checks);
            let directors = directors.clone();
            names.iter().filter_map(|name| Some((name, resolved.checks.get(name)?.bfd.as_ref()?))).flat_map(
                move |(name, bfd)| {
                    let wanted = match (raw.checks.get(name), raw.services.get(service)) {
                        (Some(entry), _) => (entry.key.as_str(), entry.span.clone()),
                        (None, Some(entry)) => (entry.key.as_str(), entry.span.clone()),
                        (None, None) => ("services", 0..0),
                    };
                    let (directors, session) = (directors.clone(), bfd.session());
                    server.addresses.iter().flat_map(move |address| {
                        let key = BfdKey { neighbour: address.address, interface: None };
                        let (wanted, session) = (wanted.clone(), session.clone());
                        let each = directors.clone().into_iter();
                        each.map(move |director| (director, key.clone(), session.clone(), wanted.clone()))
                    })
                },
            )
        })
    })
}
