//! Counters of everything, and how they are shown.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use crate::render::Table;

/// Named counters of one object.
pub type Counters = BTreeMap<String, u64>;

/// What counters belong to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A failover group.
    Group(String),
    /// A VRRP instance: group and name.
    Instance(String, String),
    /// A BFD session.
    Bfd(String),
    /// A virtual service.
    Service(String),
    /// A real server: service and name.
    Server(String, String),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(name) => write!(f, "group {name}"),
            Self::Instance(group, name) => write!(f, "instance {name} of group {group}"),
            Self::Bfd(name) => write!(f, "BFD session {name}"),
            Self::Service(name) => write!(f, "service {name}"),
            Self::Server(service, name) => write!(f, "server {name} of service {service}"),
        }
    }
}

/// All counters, by name; the stable keys of `fairwayctl statistics --json`.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Statistics {
    /// Failover groups.
    pub groups: BTreeMap<String, Counters>,
    /// VRRP instances by group.
    pub instances: BTreeMap<String, BTreeMap<String, Counters>>,
    /// BFD sessions.
    pub bfd: BTreeMap<String, Counters>,
    /// Virtual services.
    pub services: BTreeMap<String, Counters>,
    /// Real servers by service.
    pub servers: BTreeMap<String, BTreeMap<String, Counters>>,
}

impl Statistics {
    /// Sorts counters by what they belong to.
    pub fn new(all: impl Iterator<Item = (Key, Counters)>) -> Self {
        let mut sorted = Self::default();
        for (key, counters) in all {
            match key {
                Key::Group(name) => {
                    sorted.groups.insert(name, counters);
                }
                Key::Instance(group, name) => {
                    sorted.instances.entry(group).or_default().insert(name, counters);
                }
                Key::Bfd(name) => {
                    sorted.bfd.insert(name, counters);
                }
                Key::Service(name) => {
                    sorted.services.insert(name, counters);
                }
                Key::Server(service, name) => {
                    sorted.servers.entry(service).or_default().insert(name, counters);
                }
            }
        }
        sorted
    }

    /// Tables for people: one line a counter for VRRP and BFD, one line an object for IPVS.
    pub fn render(&self) -> String {
        let mut tables = Vec::new();
        let vrrp: Vec<_> = two_levels(&self.groups, &self.instances);
        let bfd: Vec<Row<'_>> =
            self.bfd.iter().map(|(name, counters)| (name.as_str(), None, counters)).collect();
        for rows in [vrrp, bfd].into_iter().filter(|rows| !rows.is_empty()) {
            let mut head = vec!["COUNTER"];
            head.extend(rows.iter().map(|(parent, child, _)| child.unwrap_or(parent)));
            let mut table = Table::new(&head);
            for counter in names(&rows) {
                let values = rows.iter().map(|(.., counters)| value(counters, counter));
                table.row(std::iter::once(counter.to_owned()).chain(values).collect());
            }
            tables.push(table.render());
        }
        let ipvs: Vec<_> = two_levels(&self.services, &self.servers);
        if !ipvs.is_empty() {
            let counters = names(&ipvs);
            let mut head = vec!["SERVICE", "SERVER"];
            head.extend(&counters);
            let mut table = Table::new(&head);
            for (service, server, of) in &ipvs {
                let mut row = vec![(*service).to_owned(), server.unwrap_or("(all)").to_owned()];
                row.extend(counters.iter().map(|counter| value(of, counter)));
                table.row(row);
            }
            tables.push(table.render());
        }
        tables.join("\n")
    }
}

/// Parent, child and counters; the parent's own come before its children's.
type Row<'a> = (&'a str, Option<&'a str>, &'a Counters);

fn two_levels<'a>(
    parents: &'a BTreeMap<String, Counters>,
    children: &'a BTreeMap<String, BTreeMap<String, Counters>>,
) -> Vec<Row<'a>> {
    let mut rows = Vec::new();
    for (parent, counters) in parents {
        rows.push((parent.as_str(), None, counters));
        for (child, counters) in children.get(parent).into_iter().flatten() {
            rows.push((parent.as_str(), Some(child.as_str()), counters));
        }
    }
    rows
}

fn names<'a>(rows: &[Row<'a>]) -> BTreeSet<&'a str> {
    rows.iter().flat_map(|(.., counters)| counters.keys()).map(String::as_str).collect()
}

fn value(counters: &Counters, name: &str) -> String {
    counters.get(name).map(u64::to_string).unwrap_or_default()
}
