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
type Place<'a> = (&'a str, Range<usize>);

/// What is known of each director's sessions.
#[derive(Default)]
struct Sessions<'a> {
    known: HashMap<(&'a str, BfdKey), (BfdSession, Place<'a>)>,
    /// Keys that have been reported to differ.
    told: Vec<(&'a str, &'a str)>,
}

/// Reports a tracker or check that describes a neighbour's session otherwise than the one before it.
pub fn agree<'a>(
    problems: &mut Problems,
    (raw, hosts): (&'a RawTopology, &'a Hosts),
    groups: &'a IndexMap<String, Group>,
    resolved: &'a Resolved,
) {
    let mut sessions = Sessions::default();
    for (name, group) in groups {
        for (name, entry) in raw.failover.get(name).into_iter().flat_map(|entry| &entry.value.track) {
            let Some(bfd) = group.track.get(name).and_then(|form| form.bfd.as_ref()) else { continue };
            for (director, host) in group.directors.iter().filter_map(|(d, _)| hosts.hosts.get_key_value(d)) {
                let tracked = session(bfd, host);
                let place = (entry.key.as_str(), entry.span.clone());
                sessions.want(problems, (director, tracked.key()), tracked.session(), place);
            }
        }
    }
    for (name, service) in &resolved.services {
        let Some(written) = raw.services.get(name) else { continue };
        for server in &service.servers {
            for check in server.checks.as_ref().unwrap_or(&service.checks) {
                let Some(bfd) = resolved.checks.get(check).and_then(|check| check.bfd.as_ref()) else {
                    continue;
                };
                // One that is written in place has no entry of its own.
                let named = raw.checks.get(check).map(|entry| (entry.key.as_str(), entry.span.clone()));
                let place = named.unwrap_or((written.key.as_str(), written.span.clone()));
                for director in service.listens.iter().flat_map(|listen| &listen.directors) {
                    for address in &server.addresses {
                        let key = BfdKey { neighbour: address.address, interface: None };
                        sessions.want(problems, (director, key), bfd.session(), place.clone());
                    }
                }
            }
        }
    }
}

impl<'a> Sessions<'a> {
    fn want(
        &mut self,
        problems: &mut Problems,
        (director, key): (&'a str, BfdKey),
        session: BfdSession,
        place: Place<'a>,
    ) {
        let neighbour = key.neighbour;
        let (other, first) =
            self.known.entry((director, key)).or_insert_with(|| (session.clone(), place.clone()));
        // Once for all directors that have both.
        if session.agrees_with(other) || self.told.contains(&(first.0, place.0)) {
            return;
        }
        self.told.push((first.0, place.0));
        problems
            .add(
                Rule::BfdSession,
                place.0,
                place.1,
                format!(
                    "{director} has one BFD session with {neighbour}, and {} describes it otherwise",
                    first.0
                ),
                "make network, hops, min-tx, min-rx, multiplier and passive the same",
            )
            .see(first.1.clone(), "the other one");
    }
}
