//! The director's own configuration.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use fairway_config::{Config, ConnectionSync, SCHEMA_VERSION};

use super::Roles;
use crate::topology::{Host, Topology};

/// Everything the director of a host needs to know, and nothing of other hosts' business.
pub(super) fn config(topology: &Topology, (name, host): (&str, &Host), roles: &Roles<'_>) -> Config {
    let mut checks = BTreeMap::new();
    for (service, _) in &roles.directs {
        let own = service.servers.iter().flat_map(|server| server.checks.iter().flatten());
        for check in service.checks.iter().chain(own) {
            checks.entry(check.clone()).or_insert_with(|| topology.checks[check].clone());
        }
    }
    Config {
        version: SCHEMA_VERSION,
        cluster: topology.cluster.clone(),
        host: name.to_owned(),
        ipvs: topology.ipvs.clone(),
        connection_sync: topology.connection_sync.as_ref().and_then(|sync| {
            let interface = host.interface_in(&sync.network)?.name.clone();
            let (group, port, ttl, max_length) = (sync.group, sync.port, sync.ttl, sync.max_length);
            Some(ConnectionSync { interface, id: sync.id, group, port, ttl, max_length })
        }),
        checks,
        notify: topology.notify.clone(),
        failover: roles
            .groups
            .iter()
            .filter_map(|(group_name, group)| {
                let priority = group.priority(name)?;
                Some(group.for_director(group_name, (name, host), priority, |service| {
                    names_of(topology, name, service)
                }))
            })
            .collect(),
        services: services(roles),
    }
}

/// The names that a director has for a service of the topology, one for each listen or mark.
fn names_of(topology: &Topology, director: &str, service: &str) -> Vec<String> {
    let listens = topology.services.get(service).into_iter().flat_map(|service| &service.listens);
    let own = listens.filter(|listen| listen.directors.iter().any(|name| name == director));
    let mut names: Vec<_> = own.map(|listen| listen.name.clone()).collect();
    names.dedup();
    names
}

/// The services it directs. The listens that a mark makes one have one name.
fn services(roles: &Roles<'_>) -> Vec<Arc<fairway_config::Service>> {
    let mut named = HashSet::new();
    let first = roles.directs.iter().filter(|(_, listen)| named.insert(listen.name.as_str()));
    first.map(|(service, listen)| Arc::new(service.for_director(listen))).collect()
}
