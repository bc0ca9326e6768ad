//! The rules that hold between keys. Each names where it was broken and what to do.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use crate::{
    Check, Config, Family, Forward, Instance, Preempt, RealServer, SCHEMA_VERSION, Scheduler, SchedulerFlag,
    Service, VrrpVersion,
};

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
    for (name, check) in &config.checks {
        check_problems(&mut found, name, check);
    }
    failover_problems(&mut found, config);
    service_problems(&mut found, config);
    found.0
}

struct Found(Vec<Problem>);

impl Found {
    fn add(&mut self, at: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem { at: at.into(), message: message.into() });
    }
}

fn check_problems(found: &mut Found, name: &str, check: &Check) {
    let at = |key: &str| format!("checks.{name}{key}");
    if check.probe().is_none() {
        found.add(at(""), "give exactly one probe: tcp = {} or http = { .. }");
    }
    if check.timeout.get().is_zero() {
        found.add(at(".timeout"), "must be longer than zero");
    }
    if check.every.get() < Duration::from_millis(10) {
        found.add(at(".every"), format!("{} is too short; use at least 10ms", check.every));
    }
    for (key, value) in [(".rise", check.rise), (".fall", check.fall)] {
        if value == 0 {
            found.add(at(key), "must be at least 1");
        }
    }
    if check.port == Some(0) {
        found.add(at(".port"), "0 is no port");
    }
    if let Some(http) = &check.http {
        if !http.path.starts_with('/') || http.path.contains(|c: char| c.is_whitespace() || c.is_control()) {
            found.add(
                at(".http.path"),
                format!("\"{}\" must start with \"/\" and hold no white space", http.path),
            );
        }
        if http.status.is_empty() || http.status.iter().any(|s| !(100..=599).contains(s)) {
            found.add(at(".http.status"), "list the status codes that pass, each from 100 to 599");
        }
        if http
            .host
            .as_ref()
            .is_some_and(|h| h.is_empty() || h.contains(|c: char| c.is_whitespace() || c.is_control()))
        {
            found.add(at(".http.host"), "must be a host name without white space");
        }
    }
}

fn failover_problems(found: &mut Found, config: &Config) {
    let (mut groups, mut names) = (HashSet::new(), HashSet::new());
    let mut routers: HashMap<_, &str> = HashMap::new();
    let mut addresses: HashMap<_, &str> = HashMap::new();
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
            instance_problems(found, &at, instance);
            for vip in &instance.virtual_ips {
                if let Some(other) = addresses.insert(vip.address, &instance.name) {
                    found.add(
                        format!("{at}.virtual-ips"),
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
            if instance.auth.is_some() {
                found.add(
                    format!("{at}.auth"),
                    "VRRPv3 has no password (RFC 9568 section 9); use version = 2 or drop auth",
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
    if instance.virtual_ips.is_empty() {
        found.add(format!("{at}.virtual-ips"), "an instance needs at least one address");
    }
    if instance.virtual_ips.len() > 255 {
        found.add(
            format!("{at}.virtual-ips"),
            format!("{} addresses do not fit an advert; use at most 255", instance.virtual_ips.len()),
        );
    }
    for vip in &instance.virtual_ips {
        if Family::of(vip.address) != instance.family {
            found.add(format!("{at}.virtual-ips"), format!("{} is not {}", vip.address, instance.family));
        }
        if vip.prefix() == 0 || vip.prefix() > Family::of(vip.address).host_prefix() {
            found.add(
                format!("{at}.virtual-ips"),
                format!("{}/{} is no prefix length", vip.address, vip.prefix()),
            );
        }
    }
    if instance.announce.repeat == 0 {
        found.add(
            format!("{at}.announce.repeat"),
            "must be at least 1: without announcements switches keep the old path",
        );
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

fn service_problems(found: &mut Found, config: &Config) {
    let mut names = HashSet::new();
    let mut listens: HashMap<_, &str> = HashMap::new();
    for service in &config.services {
        let at = format!("service.{}", service.name);
        if service.name.is_empty() {
            found.add(&at, "a service needs a name");
        }
        if !names.insert(&service.name) {
            found.add(&at, "this service is given twice; give each its own name");
        }
        if let Some(other) = listens.insert(service.listen, &service.name) {
            found.add(format!("{at}.listen"), format!("{} is already served by {other}", service.listen));
        }
        for check in &service.checks {
            if !config.checks.contains_key(check) {
                found.add(
                    format!("{at}.checks"),
                    format!("there is no check \"{check}\"; define it under [checks.{check}]"),
                );
            }
        }
        if service.listen.port == 0
            && let Some(check) =
                service.checks.iter().find(|c| config.checks.get(*c).is_some_and(|c| c.port.is_none()))
        {
            found.add(format!("{at}.checks"), format!("a service of every port (0) gives \"{check}\" no port to probe; add port = .. to the check"));
        }
        scheduling_problems(found, &at, service);
        let (mut servers, mut endpoints) = (HashSet::new(), HashMap::new());
        for server in &service.real_servers {
            let at = format!("{at}.real-servers.{}", server.name);
            if !servers.insert(&server.name) {
                found.add(&at, "this server is given twice; give each its own name");
            }
            if let Some(other) = endpoints.insert((server.address, server.port), &server.name) {
                found.add(&at, format!("has the address and port of {other}"));
            }
            server_problems(found, &at, service, server);
        }
    }
}

/// Whether the kernel, which counts in seconds, can hold it.
fn whole_seconds(period: crate::Period) -> bool {
    period.get().subsec_nanos() == 0 && period.get().as_secs() >= 1
}

fn scheduling_problems(found: &mut Found, at: &str, service: &Service) {
    if let Some(persistence) = &service.persistence {
        if !whole_seconds(persistence.timeout)
            || persistence.timeout.get() > Duration::from_secs(31 * 24 * 3600)
        {
            found.add(
                format!("{at}.persistence.timeout"),
                format!("{} must be whole seconds, from 1s to 31days", persistence.timeout),
            );
        }
        if persistence.prefix.is_some_and(|p| p == 0 || p > service.listen.family().host_prefix()) {
            found.add(format!("{at}.persistence.prefix"), "is no prefix length of the service's family");
        }
    }
    if service.listen.port == 0 && service.persistence.is_none() {
        found.add(
            format!("{at}.listen.port"),
            "0 (every port) needs persistence; give a port or add persistence",
        );
    }
    if service.one_packet && service.listen.protocol != crate::Protocol::Udp {
        found.add(format!("{at}.one-packet"), "works for udp only");
    }
    for flag in &service.scheduler_flags {
        let wants = match flag {
            SchedulerFlag::ShFallback | SchedulerFlag::ShPort => Scheduler::Sh,
            SchedulerFlag::MhFallback | SchedulerFlag::MhPort => Scheduler::Mh,
        };
        if service.scheduler != wants {
            found
                .add(format!("{at}.scheduler-flags"), format!("{flag:?} belongs to scheduler = \"{wants}\""));
        }
    }
}

fn server_problems(found: &mut Found, at: &str, service: &Service, server: &RealServer) {
    if Family::of(server.address) != service.listen.family() {
        found.add(
            format!("{at}.address"),
            format!(
                "{} is not {}; direct and nat need the service's family",
                server.address,
                service.listen.family()
            ),
        );
    }
    if server.forward == Forward::Direct && server.port != service.listen.port {
        found.add(
            format!("{at}.port"),
            format!(
                "{} differs from the service's {}; direct routing cannot change ports, use forward = \"nat\"",
                server.port, service.listen.port
            ),
        );
    }
    if server.port == 0 && service.listen.port != 0 {
        found.add(format!("{at}.port"), "0 is no port");
    }
    if i32::try_from(server.weight).is_err() {
        found.add(format!("{at}.weight"), format!("{} is too large; use at most 2147483647", server.weight));
    }
    if server.upper_threshold != 0 && server.lower_threshold > server.upper_threshold {
        found.add(format!("{at}.lower-threshold"), "must not exceed upper-threshold");
    }
}
