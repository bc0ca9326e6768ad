//! The rules that hold between keys. Each names where it was broken and what to do.

mod bfd;
mod check;
mod notify;
mod owner;
mod route;
mod service;
mod track;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use crate::{Auth, Config, Family, Instance, Preempt, SCHEMA_VERSION, VirtualIp, VrrpVersion};

/// The kernel makes messages of connection synchronisation no shorter.
const SHORTEST_SYNC: u16 = 512;

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The place, as a path of keys and names: `failover.edge.instance.edge-public.advert-interval`.
    pub at: String,
    /// What is wrong and what to do about it.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.message)
    }
}

pub(crate) fn join(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

pub(crate) fn problems(config: &Config) -> Vec<Problem> {
    let mut found = Found(Vec::new());
    if config.version != SCHEMA_VERSION {
        found.add(
            "version",
            format!("{} is not supported; this release reads {SCHEMA_VERSION}", config.version),
        );
    }
    let audit_period = config.ipvs.audit_period;
    if audit_period.get() < Duration::from_secs(1) {
        found.add("ipvs.audit-period", format!("{audit_period} is too short; use at least 1s"));
    }
    if audit_period.get() > Duration::from_secs(24 * 3600) {
        found.add("ipvs.audit-period", format!("{audit_period} is too long; use at most 1day"));
    }
    if let Some(timeouts) = &config.ipvs.timeouts {
        for (key, period) in [("tcp", timeouts.tcp), ("tcp-fin", timeouts.tcp_fin), ("udp", timeouts.udp)] {
            // The kernel takes seconds, and counts clock ticks (1000 a second at most) in 31 bits.
            if period.is_some_and(|p| !whole_seconds(p) || p.get() > Duration::from_secs(24 * 24 * 3600)) {
                found.add(format!("ipvs.timeouts.{key}"), "must be whole seconds, from 1s to 24days");
            }
        }
    }
    if let Some(sync) = &config.connection_sync {
        if sync.group.is_some_and(|group| !group.is_multicast()) {
            found.add("connection-sync.group", "must be a multicast address, such as 224.0.0.81");
        }
        if sync.port == Some(0) || sync.ttl == Some(0) {
            let key = if sync.port == Some(0) { "port" } else { "ttl" };
            found.add(format!("connection-sync.{key}"), "must be at least 1");
        }
        if sync.max_length.is_some_and(|length| length < SHORTEST_SYNC) {
            found.add("connection-sync.max-length", format!("must be at least {SHORTEST_SYNC}"));
        }
    }
    for (name, check) in &config.checks {
        check::problems(&mut found, name, check);
    }
    failover_problems(&mut found, config);
    route::problems(&mut found, &config.failover);
    service::problems(&mut found, config);
    notify::problems(&mut found, config);
    bfd::problems(&mut found, config);
    found.0
}

struct Found(Vec<Problem>);

impl Found {
    fn add(&mut self, at: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem { at: at.into(), message: message.into() });
    }
}

fn failover_problems(found: &mut Found, config: &Config) {
    let (mut groups, mut names) = (HashSet::new(), HashSet::new());
    let mut routers: HashMap<_, &str> = HashMap::new();
    let mut addresses: HashMap<_, &str> = HashMap::new();
    let mut macs: HashMap<_, &str> = HashMap::new();
    for group in &config.failover {
        let at = format!("failover.{}", group.name);
        if !groups.insert(&group.name) {
            found.add(&at, "this group is given twice; give each its own name");
        }
        if group.name.is_empty() {
            found.add(&at, "a group needs a name");
        }
        if group.instances.is_empty() {
            found.add(&at, "a group needs at least one instance");
        }
        if let Preempt::After(after) = group.preempt
            && after.get() > Duration::from_secs(1000)
        {
            found.add(format!("{at}.preempt.after"), format!("{after} is too long; use at most 1000s"));
        }
        if group.start_delay.get() > Duration::from_secs(1000) {
            let delay = group.start_delay;
            found.add(format!("{at}.start-delay"), format!("{delay} is too long; use at most 1000s"));
        }
        track::problems(found, config, group);
        owner::problems(found, &at, group);
        for instance in &group.instances {
            let at = format!("{at}.instance.{}", instance.name);
            if !names.insert(&instance.name) {
                found.add(&at, "this instance name is used twice; give each its own");
            }
            let router = (instance.interface.clone(), instance.family, instance.vrid);
            if let Some(other) = routers.insert(router, &instance.name) {
                found.add(
                    format!("{at}.vrid"),
                    format!(
                        "{} is already used by {other} on {} for {}; give each its own",
                        instance.vrid, instance.interface, instance.family
                    ),
                );
            }
            if !(1..=100).contains(&instance.down_timer_adverts) {
                found.add(
                    format!("{at}.down-timer-adverts"),
                    format!("{} is not a number from 1 to 100", instance.down_timer_adverts),
                );
            }
            instance_problems(found, &at, instance);
            virtual_mac_problems(found, &at, instance, config, &mut macs);
            let advertised = instance.virtual_ips.iter().map(|vip| ("virtual-ips", vip));
            let excluded = instance.excluded_ips.iter().map(|vip| ("excluded-ips", vip));
            for (key, vip) in advertised.chain(excluded) {
                if let Some(other) = addresses.insert(vip.address, &instance.name) {
                    found.add(
                        format!("{at}.{key}"),
                        format!(
                            "{} is already held by {other}; an address belongs to one instance",
                            vip.address
                        ),
                    );
                }
            }
        }
    }
}

fn instance_problems(found: &mut Found, at: &str, instance: &Instance) {
    let interval = instance.advert_interval.get();
    match instance.version {
        VrrpVersion::V3 => {
            if interval < Duration::from_millis(10)
                || interval > Duration::from_millis(40_950)
                || !interval.as_nanos().is_multiple_of(10_000_000)
            {
                found.add(
                    format!("{at}.advert-interval"),
                    format!(
                        "{} does not fit VRRPv3; use 10ms to 40.95s in steps of 10ms (RFC 9568 section 5.2.7)",
                        instance.advert_interval
                    ),
                );
            }
        }
        VrrpVersion::V2 => {
            if interval < Duration::from_secs(1)
                || interval > Duration::from_secs(255)
                || interval.subsec_nanos() != 0
            {
                found.add(
                    format!("{at}.advert-interval"),
                    format!(
                        "{} does not fit VRRPv2; use whole seconds from 1s to 255s (RFC 3768 section 5.3.7), or version = 3",
                        instance.advert_interval
                    ),
                );
            }
            if instance.family == Family::Ipv6 {
                found.add(format!("{at}.version"), "VRRPv2 is IPv4 only; use version = 3 for IPv6");
            }
        }
    }
    if instance.source.is_some_and(|s| Family::of(s) != instance.family) {
        found
            .add(format!("{at}.source"), format!("must be an {} address like the instance", instance.family));
    }
    unicast_problems(found, at, instance);
    auth_problems(found, at, instance);
    if instance.virtual_ips.is_empty() {
        found.add(format!("{at}.virtual-ips"), "an instance needs at least one address");
    }
    if instance.virtual_ips.len() > 255 {
        found.add(
            format!("{at}.virtual-ips"),
            format!(
                "{} addresses do not fit an advert; leave at most 255, and move the others to excluded-ips",
                instance.virtual_ips.len()
            ),
        );
    }
    for vip in &instance.virtual_ips {
        if Family::of(vip.address) != instance.family {
            found.add(
                format!("{at}.virtual-ips"),
                format!(
                    "{} is not {}; give it an instance of its own, or move it to excluded-ips",
                    vip.address, instance.family
                ),
            );
        }
        prefix_problems(found, format!("{at}.virtual-ips"), vip);
    }
    for vip in &instance.excluded_ips {
        prefix_problems(found, format!("{at}.excluded-ips"), vip);
    }
    if instance.announce.repeat == 0 {
        found.add(
            format!("{at}.announce.repeat"),
            "must be at least 1: without announcements switches keep the old path",
        );
    }
    if instance.announce.refresh_repeat == 0 {
        found.add(
            format!("{at}.announce.refresh-repeat"),
            "must be at least 1; with refresh = \"0s\" nothing is repeated",
        );
    }
}

fn prefix_problems(found: &mut Found, at: String, vip: &VirtualIp) {
    let longest = Family::of(vip.address).host_prefix();
    if vip.prefix() == 0 || vip.prefix() > longest {
        found.add(at, format!("{}/{} is no prefix length; use 1 to {longest}", vip.address, vip.prefix()));
    }
}

fn auth_problems(found: &mut Found, at: &str, instance: &Instance) {
    let at = format!("{at}.auth");
    let hmac = match (&instance.auth, instance.version) {
        (None, _) | (Some(Auth::Pass(_) | Auth::Ah(_)), VrrpVersion::V2) => return,
        (Some(Auth::Pass(_)), VrrpVersion::V3) => {
            return found.add(
                &at,
                "VRRPv3 has no password (RFC 9568 section 9); use hmac, or version = 2, or drop auth",
            );
        }
        (Some(Auth::Ah(_)), VrrpVersion::V3) => {
            return found.add(&at, "VRRPv3 has no authentication header; use hmac, or version = 2");
        }
        (Some(Auth::Hmac(_)), VrrpVersion::V2) => {
            return found.add(&at, "hmac is for VRRPv3; use version = 3, or pass or ah");
        }
        (Some(Auth::Hmac(hmac)), VrrpVersion::V3) => hmac,
    };
    let mut ids = HashSet::new();
    for key in &hmac.keys {
        if !ids.insert(key.id) {
            found.add(
                format!("{at}.hmac.keys"),
                format!("key {} is given twice; give each its own id", key.id),
            );
        }
    }
    if !ids.contains(&hmac.active) {
        found.add(
            format!("{at}.hmac.active"),
            format!("key {} is not among the keys; name one that is", hmac.active),
        );
    }
    if let Some(window) = hmac.window
        && !(whole_seconds(window) && window.get() <= Duration::from_secs(300))
    {
        found.add(format!("{at}.hmac.window"), format!("{window} does not fit; use whole seconds, 1s to 5m"));
    }
}

fn unicast_problems(found: &mut Found, at: &str, instance: &Instance) {
    let at = |key: &str| format!("{at}.{key}");
    if instance.unicast_peers.is_empty() {
        return;
    }
    // The kernel's choice of an IPv6 source may change; the peers take adverts from one address only.
    if instance.family == Family::Ipv6 && instance.source.is_none() {
        found.add(at("source"), "unicast over IPv6 needs a source; give the address the peers know");
    }
    let mut seen = HashSet::new();
    for peer in &instance.unicast_peers {
        let wrong = if Family::of(*peer) != instance.family {
            format!("{peer} is not {}; remove it", instance.family)
        } else if instance.source == Some(*peer) {
            format!("{peer} is this director's own address; list the others only")
        } else if peer.is_unspecified() || peer.is_multicast() {
            format!("{peer} is no host's address; remove it")
        } else if !seen.insert(*peer) {
            format!("{peer} is listed twice; list it once")
        } else {
            continue;
        };
        found.add(at("unicast-peers"), wrong);
    }
}

fn virtual_mac_problems<'a>(
    found: &mut Found,
    at: &str,
    instance: &'a Instance,
    config: &'a Config,
    macs: &mut HashMap<&'a str, &'a str>,
) {
    let Some(mac) = &instance.virtual_mac else { return };
    let name = mac.interface.as_str();
    let at = |key: &str| format!("{at}.virtual-mac.{key}");
    let mut instances = config.failover.iter().flat_map(|group| &group.instances);
    if let Some(other) = macs.insert(name, &instance.name) {
        found.add(at("interface"), format!("{name} is that of {other} already; give each its own"));
    } else if name == "lo" || instances.any(|other| other.interface == mac.interface) {
        found.add(
            at("interface"),
            format!("{name} is another interface; choose a name that no interface of the host has"),
        );
    }
    // With the virtual MAC in them, a backup's packets to a peer, and its ARP requests, would draw the master's
    // traffic to it.
    if !instance.unicast_peers.is_empty() && !mac.transmit_from_base {
        found.add(
            at("transmit-from-base"),
            "unicast adverts leave from the instance's own interface; set it to true",
        );
    }
}

/// Whether the kernel, which counts in seconds, can hold it.
fn whole_seconds(period: crate::Period) -> bool {
    period.get().subsec_nanos() == 0 && period.get().as_secs() >= 1
}
