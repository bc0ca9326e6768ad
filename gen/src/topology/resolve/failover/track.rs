//! Trackers: that the networks and services they name are there, on every director of the group.

use indexmap::IndexMap;

use super::super::super::raw::{RawGroup, RawTopology, TrackerForm};
use super::super::super::{Group, Service};
use super::super::hosts::Hosts;
use super::unknown;
use crate::reader::Entry;
use crate::report::{Problems, Rule};

/// The group's trackers. Each director has an interface in a tracked network.
pub fn resolve(
    problems: &mut Problems,
    (raw, hosts): (&RawTopology, &Hosts),
    entry: &Entry<RawGroup>,
    group: &mut Group,
) {
    for (name, tracker) in &entry.value.track {
        let Some(form) = &tracker.value.tracker else { continue };
        let of_bfd = form.bfd.as_ref().and_then(|bfd| bfd.network.as_ref());
        for (key, network) in
            form.network.iter().map(|n| ("network", n)).chain(of_bfd.map(|n| ("bfd.network", n)))
        {
            let key = format!("{}.{key}", tracker.key);
            if raw.networks.contains_key(network) {
                interfaces_exist(problems, (raw, hosts), (&key, tracker, network), group);
            } else {
                let kind = (Rule::UnknownNetwork, "network", "networks");
                unknown(problems, kind, &key, tracker.span.clone(), network, &raw.networks);
            }
        }
        group.track.insert(name.clone(), TrackerForm::clone(form));
    }
}

fn interfaces_exist<T>(
    problems: &mut Problems,
    (raw, hosts): (&RawTopology, &Hosts),
    (key, tracker, network): (&str, &Entry<T>, &str),
    group: &Group,
) {
    for (director, _) in &group.directors {
        let Some(host) = hosts.hosts.get(director).filter(|_| hosts.sound.contains(director)) else {
            continue;
        };
        if host.interface_in(network).is_none() {
            problems
                .add(
                    Rule::MissingInterface,
                    key,
                    tracker.span.clone(),
                    format!("{director} has no interface in network \"{network}\""),
                    format!("the tracker watches it: add it to [hosts.{director}]"),
                )
                .see(raw.hosts[director].span.clone(), "this host");
        }
    }
}

/// Tracked services are known, and directed by every director of the group. When services are known.
pub fn services_exist(
    problems: &mut Problems,
    raw: &RawTopology,
    groups: &IndexMap<String, Group>,
    services: &IndexMap<String, Service>,
) {
    for entry in raw.failover.iter().filter_map(|(name, entry)| Some((groups.get(name)?, entry))) {
        let (group, entry) = entry;
        for tracker in entry.value.track.values() {
            let names = tracker.value.tracker.iter().flat_map(|form| &form.services);
            for name in names {
                let key = format!("{}.services", tracker.key);
                if !raw.services.contains_key(name) {
                    let kind = (Rule::UnknownService, "service", "services");
                    unknown(problems, kind, &key, tracker.span.clone(), name, &raw.services);
                    continue;
                }
                let Some(service) = services.get(name).filter(|service| !service.listens.is_empty()) else {
                    continue;
                };
                let directs = |host: &String| service.listens.iter().any(|l| l.directors.contains(host));
                if let Some((other, _)) = group.directors.iter().find(|(host, _)| !directs(host)) {
                    problems.add(
                        Rule::TrackedService,
                        key,
                        tracker.span.clone(),
                        format!("{other} is a director of the group and does not serve \"{name}\""),
                        "track a service that all directors of the group serve",
                    );
                }
            }
        }
    }
}
