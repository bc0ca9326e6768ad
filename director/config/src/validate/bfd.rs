//! The rules of BFD sessions.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use super::Found;
use crate::{BfdKey, Config, Period, TrackedBfd};

/// Shorter intervals are for hardware; longer ones are pings.
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(60);

/// A neighbour has one session, whoever wants it (RFC 5881 section 3).
pub(super) fn problems(found: &mut Found, config: &Config) {
    let mut sessions = HashMap::new();
    for (key, session, at) in config.wanted_bfd_sessions() {
        let BfdKey { neighbour, .. } = key;
        match sessions.get(&key) {
            None => drop(sessions.insert(key, (session, at))),
            Some((other, _)) if session.agrees_with(other) => {}
            Some((_, first)) => found.add(
                at,
                format!(
                    "there is one session with {neighbour}, and {first} describes it otherwise; make interface, local, \
                     hops, intervals, multiplier and passive the same"
                ),
            ),
        }
    }
}

pub(super) fn tracked_problems(found: &mut Found, at: &str, bfd: &TrackedBfd) {
    let below = |key: &str| format!("{at}.{key}");
    let neighbour = bfd.neighbour;
    if neighbour.is_unspecified() || neighbour.is_multicast() {
        found.add(below("neighbour"), format!("{neighbour} is no host's address"));
    }
    if let Some(local) = bfd.local {
        if local.is_unspecified() || local.is_multicast() || local == neighbour {
            found.add(below("local"), format!("{local} is no address of this director's"));
        } else if local.is_ipv4() != neighbour.is_ipv4() {
            found.add(below("local"), format!("{local} and {neighbour} are not of the same address family"));
        }
    }
    if matches!(neighbour, IpAddr::V6(address) if address.is_unicast_link_local()) && bfd.interface.is_none()
    {
        found.add(
            below("interface"),
            format!("{neighbour} is link-local; say with interface = .. on which link"),
        );
    }
    interval_problems(found, at, (bfd.min_tx, bfd.min_rx), (bfd.multiplier, bfd.hops));
}

pub(super) fn interval_problems(
    found: &mut Found,
    at: &str,
    (min_tx, min_rx): (Period, Period),
    (multiplier, hops): (u8, u8),
) {
    for (key, interval) in [("min-tx", min_tx), ("min-rx", min_rx)] {
        if !(SHORTEST..=LONGEST).contains(&interval.get()) {
            found.add(format!("{at}.{key}"), format!("{interval} is out of range; use 10ms to 1m"));
        }
    }
    for (key, value) in [("multiplier", multiplier), ("hops", hops)] {
        if value == 0 {
            found.add(format!("{at}.{key}"), "must be at least 1");
        }
    }
}
