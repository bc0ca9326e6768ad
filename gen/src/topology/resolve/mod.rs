//! From the file as written to the model: references are followed, rules checked, identifiers allocated.
//!
//! Each step leaves out what it had to refuse, so that the next ones report only what is wrong in itself.

mod bfd;
mod failover;
mod forwarding;
mod hosts;
mod marks;
mod networks;
mod routes;
mod servers;
mod services;
mod settings;
mod sync;
mod vrid;

use std::ops::Range;

use fairway_config::Family;

use super::Topology;
use super::raw::RawTopology;
use crate::reader::{Named, suggest};
use crate::report::{Problems, Rule};

/// Resolves a topology. It is usable only if no error was recorded.
pub fn resolve(raw: &RawTopology, problems: &mut Problems) -> Topology {
    let (networks, index) = networks::resolve(raw, problems);
    let hosts = hosts::resolve(raw, &networks, &index, problems);
    let virtual_ips = hosts::resolve_virtual_ips(raw, &index, &hosts.owners, problems);
    let groups = failover::resolve(raw, &networks, &hosts, &virtual_ips, &index, problems);
    let parts = services::Parts {
        raw,
        index: &index,
        networks: &networks,
        hosts: &hosts,
        virtual_ips: &virtual_ips,
        groups: &groups,
    };
    let resolved = services::resolve(&parts, problems);
    failover::services_exist(problems, raw, &groups, &resolved.services);
    failover::services_are_accepted(problems, raw, &groups, &resolved.services);
    bfd::agree(problems, (raw, &hosts), &groups, &resolved);
    let connection_sync = sync::resolve(&parts, &resolved.services, problems);
    Topology {
        connection_sync,
        ipvs: raw.ipvs.clone(),
        cluster: raw.cluster.as_ref().map(|c| c.get_ref().clone()).unwrap_or_default(),
        firewall: raw.firewall.policy,
        allow: raw.firewall.allow.iter().map(|a| *a.get_ref()).collect(),
        networks,
        hosts: hosts.hosts,
        virtual_ips,
        groups,
        checks: resolved.checks,
        services: resolved.services,
        notify: raw
            .notify
            .iter()
            .filter_map(|(name, entry)| Some((name.clone(), entry.value.notify.as_deref()?.clone())))
            .collect(),
        nat_routes: resolved.nat_routes,
    }
}

/// The family as people write it.
const fn title(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "IPv4",
        Family::Ipv6 => "IPv6",
    }
}

/// Reports a name that is not defined.
fn unknown<T>(
    problems: &mut Problems,
    (rule, what, section): (Rule, &str, &str),
    key: &str,
    span: Range<usize>,
    name: &str,
    known: &Named<T>,
) {
    let mut remedy = suggest(name, known.keys().map(String::as_str), &format!("the {what}s are"));
    if remedy.is_empty() {
        remedy = format!("define it under [{section}]");
    }
    problems.add(rule, key, span, format!("there is no {what} \"{name}\""), remedy);
}
