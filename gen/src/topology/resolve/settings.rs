//! The rules of director.toml's schema, which knows what IPVS and its checks take, and where what they name is written.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use fairway_config::{Check, Config};
use serde_spanned::Spanned;

use super::super::Service;
use super::super::raw::{RawCheckUse, RawService, bare_config};
use crate::reader::Entry;
use crate::report::{Problems, Rule};

/// Reports what the schema says against a service, each thing once.
pub(super) fn rules(
    problems: &mut Problems,
    entry: &Entry<RawService>,
    service: &Service,
    checks: &BTreeMap<String, Check>,
) {
    let mut seen = HashSet::new();
    for listen in &service.listens {
        let mut part = service.for_director(listen);
        // A check that could not be read has been reported.
        part.checks.retain(|name| checks.contains_key(name));
        for own in part.real_servers.iter_mut().filter_map(|server| server.checks.as_mut()) {
            own.retain(|name| checks.contains_key(name));
        }
        let prefix = format!("service.{}.", part.name);
        let named =
            part.checks.iter().chain(part.real_servers.iter().flat_map(|s| s.checks.iter().flatten()));
        let named = named.filter_map(|name| Some((name.clone(), checks.get(name)?.clone()))).collect();
        let config = Config { checks: named, services: vec![Arc::new(part)], ..bare_config() };
        let Err(fairway_config::Error::Invalid(found)) = config.validate() else { continue };
        for problem in found {
            let Some(place) = problem.at.strip_prefix(&prefix) else { continue };
            let Some((key, span)) = place_of(&entry.value, service, place, &problem.message) else {
                continue;
            };
            if seen.insert(place.to_owned()) {
                let span = span.unwrap_or_else(|| entry.span.clone());
                problems.add_text(
                    Rule::ServiceSetting,
                    format!("{}.{key}", entry.key),
                    span,
                    &problem.message,
                );
            }
        }
    }
}

/// The key in the topology, and where it is written, of a place in director.toml. None for what the topology's own
/// rules have said before, with its reasons.
fn place_of(
    raw: &RawService,
    service: &Service,
    place: &str,
    message: &str,
) -> Option<(String, Option<Range<usize>>)> {
    let persistence = raw.persistence.as_ref();
    let (key, span) = match place {
        "persistence.timeout" => {
            ("persistence", persistence.and_then(|p| p.timeout.as_ref()).map(Spanned::span))
        }
        "persistence.prefix" => {
            ("persistence.prefix", persistence.and_then(|p| p.prefix.as_ref()).map(Spanned::span))
        }
        "persistence.engine" => {
            ("persistence.engine", persistence.and_then(|p| p.engine.as_ref()).map(Spanned::span))
        }
        "listen.port" => ("listen", raw.listen.first().map(Spanned::span)),
        "one-packet" => ("one-packet", raw.one_packet.as_ref().map(Spanned::span)),
        "scheduler-flags" => ("scheduler-flags", raw.scheduler_flags.as_ref().map(Spanned::span)),
        "slow-start" => ("slow-start", raw.slow_start.as_ref().map(Spanned::span)),
        "checks" => ("checks", check_span(&raw.checks, message)),
        "sorry-server" => ("sorry-server", raw.sorry_server.values().next().map(|s| s.span.clone())),
        "quorum" => {
            // A server that was refused may be what is missing.
            if service.servers.len() != raw.real_servers.len() + raw.sorry_server.len() {
                return None;
            }
            ("quorum", raw.quorum.as_ref().map(Spanned::span))
        }
        other => return server_place(raw, other.strip_prefix("real-servers.")?, message),
    };
    Some((key.to_owned(), span))
}

/// The same below `real-servers`.
fn server_place(raw: &RawService, place: &str, message: &str) -> Option<(String, Option<Range<usize>>)> {
    if let Some(server) = raw.real_servers.get(place) {
        return Some(("real-servers".to_owned(), Some(server.span.clone())));
    }
    let (name, key) = place.rsplit_once('.')?;
    let server = raw.real_servers.get(name)?;
    let span = match key {
        "lower-threshold" => server.value.lower_threshold.as_ref().map(Spanned::span),
        "checks" => check_span(server.value.checks.as_deref().unwrap_or_default(), message),
        "on-failure" => None,
        _ => return None,
    };
    let key = if key == "lower-threshold" {
        "real-servers".to_owned()
    } else {
        format!("real-servers.{name}.{key}")
    };
    Some((key, Some(span.unwrap_or_else(|| server.span.clone()))))
}

/// Where the check that a message speaks of is named.
fn check_span(written: &[RawCheckUse], message: &str) -> Option<Range<usize>> {
    written.iter().find_map(|check| match check {
        RawCheckUse::Name(name) if message.contains(&format!("\"{}\"", name.get_ref())) => Some(name.span()),
        _ => None,
    })
}
