//! Virtual services as written.

use std::num::NonZeroU32;
use std::ops::Range;

use fairway_config::{
    ChecksRequired, OnFailure, Period, PersistenceEngine, Protocol, Quorum, Scheduler, SchedulerFlag,
    StartHealth,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
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
    /// `checks-required`.
    pub checks_required: Option<ChecksRequired>,
    /// `on-failure`.
    pub on_failure: Option<OnFailure>,
    /// `slow-start`.
    pub slow_start: Option<Spanned<Period>>,
    /// `suspend-on-backup`.
    pub suspend_on_backup: bool,
    /// `down-on-stop`.
    pub down_on_stop: bool,
    /// `quorum`.
    pub quorum: Option<Spanned<Quorum>>,
    /// `fwmark`: true, or the mark.
    pub fwmark: Option<Spanned<RawFwmark>>,
    /// `sorry-server`.
    pub sorry_server: Named<RawServer>,
    /// `real-servers`.
    pub real_servers: Named<RawServer>,
}

/// `fwmark`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum RawFwmark {
    /// Whether there is one, of the generator's choice.
    Flag(bool),
    /// The mark itself.
    Mark(NonZeroU32),
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
    /// `engine`.
    pub engine: Option<Spanned<PersistenceEngine>>,
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
    /// `checks`, where they are not the service's.
    pub checks: Option<Vec<RawCheckUse>>,
    /// `on-failure`.
    pub on_failure: Option<OnFailure>,
    /// `inhibit`, of a sorry server.
    pub inhibit: bool,
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
        checks_required: read(problems, table.optional("checks-required")),
        on_failure: read(problems, table.optional("on-failure")),
        slow_start: read_place(problems, table.optional("slow-start")),
        suspend_on_backup: read(problems, table.optional("suspend-on-backup")).unwrap_or_default(),
        down_on_stop: read(problems, table.optional("down-on-stop")).unwrap_or_default(),
        quorum: read_place(problems, table.optional("quorum")),
        fwmark: read_place(problems, table.optional("fwmark")),
        sorry_server: table
            .optional("sorry-server")
            .and_then(|v| read_sorry_server(problems, &v))
            .unwrap_or_default(),
        real_servers: servers.and_then(|v| read_servers(problems, &v)).unwrap_or_default(),
    };
    table.finish(problems);
    Some(service)
}

fn read<T: DeserializeOwned>(problems: &mut Problems, value: Option<Value<'_>>) -> Option<T> {
    value.and_then(|v| v.read(problems, v.span.clone()))
}

/// The same, with its place.
fn read_place<T: DeserializeOwned>(problems: &mut Problems, value: Option<Value<'_>>) -> Option<Spanned<T>> {
    let value = value?;
    Some(Spanned::new(value.span.clone(), value.read(problems, value.span.clone())?))
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
    let engine = read_place(problems, table.optional("engine"));
    table.finish(problems);
    Some(RawPersistence { timeout, prefix, prefix6, engine })
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
    let checks = table.optional("checks").map(|v| read_checks(problems, &v));
    let on_failure = read(problems, table.optional("on-failure"));
    table.finish(problems);
    let addresses = addresses.iter().filter_map(|v| read_address(problems, v)).collect();
    Some(RawServer {
        weight,
        port,
        addresses,
        managed,
        upper_threshold,
        lower_threshold,
        checks,
        on_failure,
        inhibit: false,
    })
}

/// One server, by name like the others.
fn read_sorry_server(problems: &mut Problems, value: &Value<'_>) -> Option<Named<RawServer>> {
    let want = "one server, such as { sorry1 = {} }";
    let named = value.table(problems, want)?.named(problems, |problems, value, name| {
        let mut table = value.table(problems, "a table such as {}")?.at(name);
        let port = table.optional("port").and_then(|v| v.integer(problems, 1..=65535));
        let addresses = table
            .optional("address")
            .and_then(|v| v.one_or_list(problems, "an address, or one for each family"))
            .unwrap_or_default();
        let managed = table.optional("managed").and_then(|v| v.boolean(problems));
        let inhibit = table.optional("inhibit").and_then(|v| v.boolean(problems));
        table.finish(problems);
        let addresses = addresses.iter().filter_map(|v| read_address(problems, v)).collect();
        let inhibit = inhibit.is_some_and(Spanned::into_inner);
        Some(RawServer { port, addresses, managed, inhibit, ..RawServer::default() })
    });
    for (name, Entry { key, span, .. }) in &named {
        super::check_name(problems, key, span.clone(), name);
    }
    if named.len() > 1 {
        let (message, remedy) = ("a service has one sorry server", format!("write {want}"));
        problems.add(Rule::ServiceSetting, &value.key, value.span.clone(), message, remedy);
    }
    Some(named)
}
