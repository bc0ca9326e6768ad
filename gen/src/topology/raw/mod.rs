//! The topology as written: values with their places, references not yet followed.

mod check;
mod failover;
mod hosts;
mod ipvs;
mod notify;
mod route;
mod service;
mod text;
mod track;
mod tunnel;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::{Range, RangeInclusive};

use fairway_config::{Config, Ipvs, SCHEMA_VERSION};
use serde_spanned::Spanned;

use crate::reader::{Named, Table, Value};
use crate::report::{Problems, Rule};

pub use check::RawCheck;
pub use failover::{RawDirectors, RawGroup, RawVrid};
pub use hosts::{RawHost, RawInterface, RawNetwork, RawVirtualIp};
pub use notify::RawNotify;
pub use route::{RawRoute, RawRule};
pub use service::{RawCheckUse, RawFwmark, RawPersistence, RawServer, RawService};
pub use text::{AddressText, AllowText, ListenTarget, ListenText, Mac, MachineId, Ports};
pub use track::{BfdForm, RawTracker, TrackerForm};
pub use tunnel::RawTunnel;

/// The version of the topology's schema that this release reads.
pub const TOPOLOGY_VERSION: i64 = 1;

/// A whole topology file.
#[derive(Debug, Default)]
pub struct RawTopology {
    /// `[cluster] name`.
    pub cluster: Option<Spanned<String>>,
    /// `[firewall]`.
    pub firewall: RawFirewall,
    /// `[ipvs]`.
    pub ipvs: Ipvs,
    /// `[connection-sync]`, and where it is written.
    pub connection_sync: Option<Spanned<RawSync>>,
    /// `[networks.X]`.
    pub networks: Named<RawNetwork>,
    /// `[hosts.X]`.
    pub hosts: Named<RawHost>,
    /// `[virtual-ips]`.
    pub virtual_ips: Named<RawVirtualIp>,
    /// `[failover.X]`.
    pub failover: Named<RawGroup>,
    /// `[checks.X]`.
    pub checks: Named<RawCheck>,
    /// `[services.X]`.
    pub services: Named<RawService>,
    /// `[notify.X]`.
    pub notify: Named<RawNotify>,
}

/// What the directors' firewall does with packets no rule accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FirewallPolicy {
    /// Leaves them to other tables and the kernel.
    #[default]
    Accept,
    /// Drops them.
    Drop,
}

/// `[firewall]`.
#[derive(Debug, Default)]
pub struct RawFirewall {
    /// `policy`.
    pub policy: FirewallPolicy,
    /// `allow`, and where it is written.
    pub allow: Vec<Spanned<AllowText>>,
}

/// `[connection-sync]`.
#[derive(Debug, Default)]
pub struct RawSync {
    /// `network`.
    pub network: Option<Spanned<String>>,
    /// `id`.
    pub id: Option<Spanned<i64>>,
    /// `group`.
    pub group: Option<Spanned<IpAddr>>,
    /// `port`.
    pub port: Option<u16>,
    /// `ttl`.
    pub ttl: Option<u8>,
    /// `max-length`.
    pub max_length: Option<u16>,
}

impl RawTopology {
    /// Reads the file's root table.
    pub fn read(problems: &mut Problems, mut root: Table<'_>) -> Self {
        if let Some(version) = root.required(problems, "version", "version = 1 at the top")
            && let Some(version) = version.integer(problems, 0..=i64::MAX)
            && *version.get_ref() != TOPOLOGY_VERSION
        {
            problems.add(
                Rule::UnsupportedVersion,
                "version",
                version.span(),
                format!("version {} is not supported", version.get_ref()),
                format!("this release reads version = {TOPOLOGY_VERSION}"),
            );
        }
        let raw = Self {
            cluster: root
                .required(problems, "cluster", "[cluster] with name = \"...\"")
                .and_then(|value| read_cluster(problems, &value)),
            firewall: root.optional("firewall").and_then(|v| read_firewall(problems, &v)).unwrap_or_default(),
            connection_sync: root.optional("connection-sync").and_then(|v| read_sync(problems, &v)),
            ipvs: root.optional("ipvs").and_then(|v| ipvs::read_ipvs(problems, &v)).unwrap_or_default(),
            networks: section(problems, root.optional("networks"), hosts::read_network),
            hosts: section(problems, root.optional("hosts"), hosts::read_host),
            virtual_ips: section(problems, root.optional("virtual-ips"), hosts::read_virtual_ip),
            failover: section(problems, root.optional("failover"), failover::read_group),
            checks: section(problems, root.optional("checks"), check::read_check),
            services: section(problems, root.optional("services"), service::read_service),
            notify: section(problems, root.optional("notify"), notify::read_notify),
        };
        root.finish(problems);
        raw
    }
}

/// A configuration with nothing in it, to ask the schema of director.toml about parts.
pub fn bare_config() -> Config {
    Config {
        version: SCHEMA_VERSION,
        cluster: String::new(),
        host: String::new(),
        ipvs: Ipvs::default(),
        connection_sync: None,
        checks: BTreeMap::new(),
        notify: BTreeMap::new(),
        failover: Vec::new(),
        services: Vec::new(),
    }
}

/// Reads `[section.NAME]` tables and checks the names.
fn section<'t, T: Default>(
    problems: &mut Problems,
    value: Option<Value<'t>>,
    read: impl Fn(&mut Problems, Value<'t>, Range<usize>) -> Option<T>,
) -> Named<T> {
    let Some(table) = value.and_then(|v| v.table(problems, "a table of named tables")) else {
        return Named::new();
    };
    let named = table.named(problems, read);
    for (name, entry) in &named {
        check_name(problems, &entry.key, entry.span.clone(), name);
    }
    named
}

/// Names become file, instance and D-Bus object names, so they are kept plain.
fn check_name(problems: &mut Problems, key: &str, span: Range<usize>, name: &str) {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !starts_well || !name.chars().all(plain) || name.len() > 63 {
        problems.add(
            Rule::BadName,
            key,
            span,
            format!("\"{name}\" cannot be a name here"),
            "start with a letter or digit and use only letters, digits, \"-\", \"_\" and \".\", 63 at most",
        );
    }
}

fn read_cluster(problems: &mut Problems, value: &Value<'_>) -> Option<Spanned<String>> {
    let mut table = value.table(problems, "a table: [cluster]")?;
    let name = table
        .required(problems, "name", "name = \"...\"")
        .and_then(|v| v.string(problems, "a name such as \"shop\""));
    table.finish(problems);
    if let Some(name) = &name {
        check_name(problems, "cluster.name", name.span(), name.get_ref());
    }
    name
}

fn read_sync(problems: &mut Problems, value: &Value<'_>) -> Option<Spanned<RawSync>> {
    let mut table = value.table(problems, "a table: [connection-sync]")?;
    let raw = RawSync {
        network: table.optional("network").and_then(|v| v.string(problems, "the name of a network")),
        id: table.optional("id").and_then(|v| v.integer(problems, 0..=255)),
        group: table.optional("group").and_then(|v| read_group_address(problems, &v)),
        port: small(problems, table.optional("port"), 1..=65535),
        ttl: small(problems, table.optional("ttl"), 1..=255),
        max_length: small(problems, table.optional("max-length"), 512..=65535),
    };
    table.finish(problems);
    Some(Spanned::new(value.span.clone(), raw))
}

fn small<T: TryFrom<i64>>(
    problems: &mut Problems,
    value: Option<Value<'_>>,
    range: RangeInclusive<i64>,
) -> Option<T> {
    T::try_from(*value?.integer(problems, range)?.get_ref()).ok()
}

fn read_group_address(problems: &mut Problems, value: &Value<'_>) -> Option<Spanned<IpAddr>> {
    let want = "a multicast address such as \"239.0.0.81\"";
    let group = value.parsed::<IpAddr>(problems, want)?;
    if !group.get_ref().is_multicast() {
        let text = format!("{} is not the address of a multicast group", group.get_ref());
        problems.add(
            Rule::BadValue,
            &value.key,
            group.span(),
            text,
            "use one such as 239.0.0.81 or ff05::81",
        );
        return None;
    }
    Some(group)
}

fn read_firewall(problems: &mut Problems, value: &Value<'_>) -> Option<RawFirewall> {
    let mut table = value.table(problems, "a table: [firewall]")?;
    let policy = table.optional("policy").and_then(|v| {
        v.choice(
            problems,
            Rule::BadValue,
            &[("accept", FirewallPolicy::Accept), ("drop", FirewallPolicy::Drop)],
        )
    });
    let policy = policy.map(Spanned::into_inner).unwrap_or_default();
    let allow = table.optional("allow");
    table.finish(problems);
    if let Some(allow) = &allow
        && policy == FirewallPolicy::Accept
    {
        problems.add(
            Rule::FirewallAllow,
            &allow.key,
            allow.span.clone(),
            "this has no effect: the policy is \"accept\"",
            "add policy = \"drop\", or remove the list",
        );
    }
    let want = "ports with their protocol, such as [\"22/tcp\"]";
    let allow = allow.and_then(|v| v.list(problems, want)).unwrap_or_default();
    let allow = allow.iter().filter_map(|v| v.parsed(problems, want)).collect();
    Some(RawFirewall { policy, allow })
}
