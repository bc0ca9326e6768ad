//! Pictures of a topology: which host is in which network, what moves between directors, and which servers are
//! behind which service.

mod canvas;
mod mermaid;
mod svg;

use std::collections::HashMap;
use std::net::IpAddr;

use crate::topology::Topology;

pub use mermaid::mermaid;
pub use svg::svg;

/// What a host does, as a picture shows it.
#[derive(Debug, Default)]
struct Roles<'t> {
    /// Groups it is a director of, with its place in the order of preference, counted from 1.
    groups: Vec<(&'t str, usize)>,
    /// Numbers of the services it serves.
    serves: Vec<usize>,
    /// VIPs it has on `fairway0`.
    accepts: Vec<IpAddr>,
    /// Whether it directs anything.
    director: bool,
}

/// Roles by host.
fn roles(topology: &Topology) -> HashMap<&str, Roles<'_>> {
    let mut roles: HashMap<&str, Roles<'_>> = HashMap::new();
    for (name, group) in &topology.groups {
        for (place, (director, _)) in group.directors.iter().enumerate() {
            let role = roles.entry(director).or_default();
            role.groups.push((name, place + 1));
            role.director = true;
        }
    }
    for (number, service) in topology.services.values().enumerate() {
        for director in service.listens.iter().flat_map(|l| &l.directors) {
            roles.entry(director).or_default().director = true;
        }
        for server in service.servers.iter().filter(|s| s.managed) {
            let role = roles.entry(&server.name).or_default();
            role.serves.push(number);
            if service.forward.keeps_destination() {
                role.accepts.extend(service.listens.iter().map(|l| l.address));
            }
        }
    }
    for role in roles.values_mut() {
        role.accepts.sort_unstable();
        role.accepts.dedup();
    }
    roles
}
