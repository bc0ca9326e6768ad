//! Virtual services as written.

use std::ops::Range;

use fairway_config::{Period, Protocol, Scheduler, SchedulerFlag, StartHealth};
use serde_spanned::Spanned;

use super::super::Forward;
use super::failover::read_names;
use super::hosts::read_address;
use super::tunnel::read_tunnel;
use super::{AddressText, ListenText, RawCheck, RawTunnel};
use crate::reader::{Entry, Named, Value};
use crate::report::{Problems, Rule};

/// `[services.X]`.
#[derive(Debug, Default)]
pub struct RawService {
    /// `listen`.
    pub listen: Vec<Spanned<ListenText>>,
    /// `directors`, for virtual IPs that no failover group has.
    pub directors: Option<Spanned<Vec<Spanned<String>>>>,
    /// `protocol`.
    pub protocol: Option<Spanned<Protocol>>,
    /// `scheduler`.
    pub scheduler: Option<Spanned<Scheduler>>,
    /// `scheduler-flags`.
    pub scheduler_flags: Option<Spanned<Vec<SchedulerFlag>>>,
    /// `forward`, with what `tunnel` says if it is one.
    pub forward: Option<Spanned<Forward>>,
    /// `tunnel`.
    pub tunnel: Option<Spanned<RawTunnel>>,
    /// `source-addresses`.
    pub source_addresses: Option<Spanned<Vec<Spanned<String>>>>,
    /// `syn-proxy`.
    pub syn_proxy: Option<Spanned<bool>>,
    /// `persistence`.
    pub persistence: Option<RawPersistence>,
    /// `one-packet`.
    pub one_packet: Option<Spanned<bool>>,
    /// `checks`.
    pub checks: Vec<RawCheckUse>,
    /// `start`.
    pub start: Option<Spanned<StartHealth>>,
    /// `real-servers`.
    pub real_servers: Named<RawServer>,
}

/// `persistence`.
#[derive(Debug, Default)]
pub struct RawPersistence {
    /// `"2h"`, or `timeout`.
    pub timeout: Option<Spanned<Period>>,
    /// `prefix`, for IPv4.
    pub prefix: Option<Spanned<i64>>,
    /// `prefix6`, for IPv6.
    pub prefix6: Option<Spanned<i64>>,
}

/// One element of `checks`.
#[derive(Debug)]
pub enum RawCheckUse {
    /// A name under `[checks]`.
    Name(Spanned<String>),
    /// A check of the service's own.
    Inline(RawCheck),
}

/// One entry of `real-servers`.
#[derive(Debug, Default)]
pub struct RawServer {
    /// `weight`.
    pub weight: Option<Spanned<i64>>,
    /// `port`.
    pub port: Option<Spanned<i64>>,
    /// `address`, one for each family at most.
    pub addresses: Vec<Spanned<AddressText>>,
    /// `managed`.
    pub managed: Option<Spanned<bool>>,
    /// `upper-threshold`.
    pub upper_threshold: Option<Spanned<i64>>,
    /// `lower-threshold`.
    pub lower_threshold: Option<Spanned<i64>>,
}

const LISTEN: &str = "a list such as [\"shop:80\"]";
const SERVERS: &str = "a table such as { web1 = {}, web2 = { weight = 2 } }";

pub(super) fn read_service(
    problems: &mut Problems,
    value: Value<'_>,
    name: Range<usize>,
) -> Option<RawService> {
    let mut table = value.table(problems, "a table with listen, forward and real-servers")?.at(name);
    let listen = table.required(problems, "listen", "listen = [\"NAME:80\"]");
    let listen = listen.and_then(|v| v.one_or_list(problems, LISTEN)).unwrap_or_default();
    let servers = table.required(problems, "real-servers", "real-servers = { web1 = {}, web2 = {} }");
    let schedulers = Scheduler::ALL.map(|s| (s.name(), s));
    let tunnel = table.optional("tunnel").and_then(|v| read_tunnel(problems, &v));
    let forward = table
        .required(problems, "forward", "forward = \"direct\" or \"nat\"")
        .and_then(|v| v.choice(problems, Rule::BadValue, &Forward::KINDS.map(|f| (f.name(), f))));
    let forward = forward.map(|forward| match (forward.get_ref(), &tunnel) {
        (Forward::Tunnel(_), Some(raw)) => {
            Spanned::new(forward.span(), Forward::Tunnel(raw.get_ref().tunnel))
        }
        _ => forward,
    });
    let service = RawService {
        listen: listen.iter().filter_map(|v| v.parsed(problems, LISTEN)).collect(),
        directors: table.optional("directors").map(|v| {
            Spanned::new(
                v.span.clone(),
                read_names(problems, &v, "a list of hosts such as [\"lb1\", \"lb2\"]"),
            )
        }),
        protocol: table.optional("protocol").and_then(|v| {
            let words = [("tcp", Protocol::Tcp), ("udp", Protocol::Udp), ("sctp", Protocol::Sctp)];
            v.choice(problems, Rule::BadValue, &words)
        }),
        scheduler: table
            .optional("scheduler")
            .and_then(|v| v.choice(problems, Rule::UnknownScheduler, &schedulers)),
        scheduler_flags: table.optional("scheduler-flags").and_then(|v| read_flags(problems, &v)),
        forward,
        tunnel,
        source_addresses: table.optional("source-addresses").map(|v| {
            let names = read_names(problems, &v, "a list of virtual IPs such as [\"inside\"]");
            Spanned::new(v.span.clone(), names)
        }),
        syn_proxy: table.optional("syn-proxy").and_then(|v| v.boolean(problems)),
        persistence: table.optional("persistence").and_then(|v| read_persistence(problems, &v)),
        one_packet: table.optional("one-packet").and_then(|v| v.boolean(problems)),
        checks: table.optional("checks").map(|v| read_checks(problems, &v)).unwrap_or_default(),
        start: table.optional("start").and_then(|v| {
            let words = [("pessimistic", StartHealth::Pessimistic), ("optimistic", StartHealth::Optimistic)];
            v.choice(problems, Rule::BadValue, &words)
        }),
        real_servers: servers.and_then(|v| read_servers(problems, &v)).unwrap_or_default(),
    };
    table.finish(problems);
    Some(service)
}

fn read_flags(problems: &mut Problems, value: &Value<'_>) -> Option<Spanned<Vec<SchedulerFlag>>> {
    let words = [
        ("sh-fallback", SchedulerFlag::ShFallback),
        ("sh-port", SchedulerFlag::ShPort),
        ("mh-fallback", SchedulerFlag::MhFallback),
        ("mh-port", SchedulerFlag::MhPort),
    ];
    let elements = value.list(problems, "a list such as [\"sh-port\"]")?;
    let mut flags: Vec<SchedulerFlag> = elements
        .iter()
        .filter_map(|v| v.choice(problems, Rule::BadValue, &words))
        .map(Spanned::into_inner)
        .collect();
    flags.sort_unstable();
    flags.dedup();
    Some(Spanned::new(value.span.clone(), flags))
}

fn read_persistence(problems: &mut Problems, value: &Value<'_>) -> Option<RawPersistence> {
    let period = "a length of time such as \"2h\"";
    if !value.is_table() {
        let timeout =
            value.parsed(problems, "a length of time such as \"2h\", or { timeout = \"2h\", prefix = 24 }");
        return Some(RawPersistence { timeout, ..RawPersistence::default() });
    }
    let mut table = value.table(problems, period)?;
    let timeout =
        table.required(problems, "timeout", "timeout = \"2h\"").and_then(|v| v.parsed(problems, period));
    let prefix = table.optional("prefix").and_then(|v| v.integer(problems, 1..=32));
    let prefix6 = table.optional("prefix6").and_then(|v| v.integer(problems, 1..=128));
    table.finish(problems);
    Some(RawPersistence { timeout, prefix, prefix6 })
}

fn read_checks(problems: &mut Problems, value: &Value<'_>) -> Vec<RawCheckUse> {
    let want = "a list of check names, or of checks such as { tcp = {} }";
    let elements = value.list(problems, want).unwrap_or_default();
    elements
        .into_iter()
        .filter_map(|v| {
            if v.is_table() {
                let span = v.span.clone();
                super::check::read_check(problems, v, span).map(RawCheckUse::Inline)
            } else {
                v.string(problems, want).map(RawCheckUse::Name)
            }
        })
        .collect()
}

fn read_servers(problems: &mut Problems, value: &Value<'_>) -> Option<Named<RawServer>> {
    let named = value.table(problems, SERVERS)?.named(problems, read_server);
    if named.is_empty() {
        problems.add(
            Rule::EmptyList,
            &value.key,
            value.span.clone(),
            "the table is empty",
            format!("write {SERVERS}"),
        );
    }
    for (name, Entry { key, span, .. }) in &named {
        super::check_name(problems, key, span.clone(), name);
    }
    Some(named)
}

fn read_server(problems: &mut Problems, value: Value<'_>, name: Range<usize>) -> Option<RawServer> {
    let mut table = value.table(problems, "a table such as { weight = 1 }")?.at(name);
    let mut number = |problems: &mut Problems, name, bounds| {
        table.optional(name).and_then(|v| v.integer(problems, bounds))
    };
    let weight = number(problems, "weight", 0..=i64::from(i32::MAX));
    let port = number(problems, "port", 1..=65535);
    let upper_threshold = number(problems, "upper-threshold", 0..=i64::from(u32::MAX));
    let lower_threshold = number(problems, "lower-threshold", 0..=i64::from(u32::MAX));
    let addresses = table
        .optional("address")
        .and_then(|v| v.one_or_list(problems, "an address, or one for each family"))
        .unwrap_or_default();
    let managed = table.optional("managed").and_then(|v| v.boolean(problems));
    table.finish(problems);
    let addresses = addresses.iter().filter_map(|v| read_address(problems, v)).collect();
    Some(RawServer { weight, port, addresses, managed, upper_threshold, lower_threshold })
}
