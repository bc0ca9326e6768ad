//! The director, its groups and services, adverts, IPVS.

use std::collections::BTreeSet;
use std::time::Duration;

use fairway_config::{Config, Listen, PROBE_MARK, PROBE_MARK_MASK, Protocol};
use fairway_ipvs::{Client, Family, ServiceKey, SyncRole};

use super::Findings;
use crate::model::Director;
use crate::statistics::{Counters, Statistics};

/// Counters of adverts that are dropped, or taken though something about them is wrong, and what to do.
const REFUSED: [(&str, &str); 19] = [
    ("bad_ttl", "something sends adverts from another network: find and block it"),
    ("bad_destination", "use multicast on all routers, or unicast on all"),
    ("bad_source", "list all peers in unicast-peers, with the addresses that they send from"),
    ("bad_length", "see the other router's log: its adverts are broken"),
    ("bad_version", "use the same VRRP version on all routers"),
    ("bad_type", "see the other router's log: its adverts are broken"),
    ("bad_checksum", "see `checksum` in the reference: routers differ in how they form it"),
    ("bad_interval", "see the other router's log: its adverts are broken"),
    ("auth_mismatch", "use the same kind of auth on all routers"),
    ("auth_failed", "give all routers the same password or keys"),
    ("auth_missing", "turn auth on for all routers"),
    ("auth_malformed", "give all routers the same kind of auth"),
    ("auth_unknown_key", "give all routers the same keys with the same ids"),
    ("auth_stale", "set the clocks: run a time service such as chrony on all routers"),
    ("auth_replayed", "somebody repeats adverts: look for a loop in the network, or an attacker"),
    ("interval_mismatch", "use the same advert-interval on all routers"),
    ("vip_mismatch", "give all routers the same virtual IPs: deploy one topology to all of them"),
    ("checksum_mismatch", "use the same `checksum` on all routers"),
    ("looped", "own adverts come back: look for a loop in the network"),
];

/// What the director itself says is wrong.
pub(super) fn examine(findings: &mut Findings, director: &Director) {
    if !director.last_reload_error.is_empty() {
        let problem = format!("the last reload was refused: {}", director.last_reload_error);
        findings.add(
            "reload",
            &director.config_file,
            problem,
            "correct the file and run `fairwayctl reload`",
        );
    }
    for group in &director.groups {
        if group.state == "fault" {
            let problem = format!("it is in fault: {}", group.cause);
            findings.add("group-fault", &group.name, problem, "mend what the cause names");
        }
        if group.forced != "auto" {
            let problem = format!("an operator forced it to be {}", group.forced);
            let remedy = format!("when that is over: `fairwayctl force {} auto`", group.name);
            findings.add("group-forced", &group.name, problem, remedy);
        }
        for tracker in group.trackers.iter().filter(|tracker| tracker.state == "failing") {
            let about = format!("{} of {}", tracker.name, group.name);
            findings.add("tracker", about, format!("it fails: {}", tracker.detail), "mend what it watches");
        }
        for route in &group.missing_routes {
            findings.add(
                "route",
                route,
                "the kernel does not have it",
                "see the director's log for the reason",
            );
        }
    }
    for service in &director.services {
        if !service.kernel_error.is_empty() {
            let problem = format!("the kernel does not have it: {}", service.kernel_error);
            findings.add("kernel", &service.name, problem, "see the director's log");
        }
        if service.quorum == "down" {
            findings.add("quorum", &service.name, "too few of its servers are up", "bring servers back");
        }
        for server in service.servers.iter().filter(|server| server.health == "down") {
            let about = format!("{} of {}", server.name, service.name);
            let remedy = format!("`fairwayctl probe {} {}` checks it now", service.name, server.name);
            findings.add("server-down", about, format!("its checks fail: {}", server.detail), remedy);
        }
    }
    for told in director.notifications.iter().filter(|told| !told.error.is_empty()) {
        let problem = format!("the last {} failed: {}", told.way, told.error);
        findings.add("notify", &told.name, problem, "correct its settings, or what it talks to");
    }
}

/// What was heard, and what was not, between two looks at the counters.
pub(super) fn adverts(
    findings: &mut Findings,
    director: &Director,
    (before, after): (&Statistics, &Statistics),
    listened: Duration,
) {
    let seconds = listened.as_secs();
    for group in &director.groups {
        for instance in &group.instances {
            let of = |statistics: &Statistics, name: &str| {
                let counters: Option<&Counters> = statistics.instances.get(&group.name)?.get(&instance.name);
                counters?.get(name).copied()
            };
            let grown = |name: &str| {
                of(after, name).unwrap_or_default().saturating_sub(of(before, name).unwrap_or_default())
            };
            let about = format!("{} on {}", instance.name, instance.interface);
            for (name, remedy) in REFUSED {
                if grown(name) > 0 {
                    let problem = format!(
                        "{} adverts within {seconds} s are wrong: {}",
                        grown(name),
                        name.replace('_', " ")
                    );
                    findings.add("vrrp-refused", &about, problem, remedy);
                }
            }
            match (instance.state.as_str(), grown("adverts_received")) {
                ("backup", 0) => findings.add(
                    "vrrp-silent",
                    &about,
                    format!("no advert was heard within {seconds} s, and this director is backup"),
                    "look for a packet filter or a switch between the directors that drops IP protocol 112",
                ),
                ("master", heard @ 1..) => findings.add(
                    "two-masters",
                    &about,
                    format!("{heard} adverts of another master were heard within {seconds} s"),
                    "look for what keeps the other from hearing this one: packet filter, switch, auth, clock",
                ),
                _ => {}
            }
        }
    }
}

/// The kernel's IPVS against the configuration.
pub(super) fn ipvs(findings: &mut Findings, config: &Config) {
    let kernel = Client::connect().and_then(|mut kernel| Ok((kernel.services()?, kernel.sync_daemons()?)));
    let (services, daemons) = match kernel {
        Ok(found) => found,
        Err(error) => {
            let remedy =
                "load the module with `modprobe ip_vs`, and at boot by /etc/modules-load.d/fairway.conf";
            return findings.add("ipvs", "ip_vs", format!("IPVS cannot be used: {error}"), remedy);
        }
    };
    let wanted: BTreeSet<ServiceKey> = config.services.iter().map(|service| key(&service.listen)).collect();
    let is_probe = |key: &&ServiceKey| matches!(key, ServiceKey::Mark { mark, .. } if mark.get() & PROBE_MARK_MASK == PROBE_MARK.get());
    for key in services.keys().filter(|key| !wanted.contains(*key) && !is_probe(key)) {
        let problem = "it is in the kernel and not in the configuration: the director leaves it alone";
        findings.add(
            "ipvs-foreign",
            key.to_string(),
            problem,
            "remove it with `ipvsadm -D`, or configure it",
        );
    }
    for role in [SyncRole::Master, SyncRole::Backup] {
        let running = daemons.iter().find(|daemon| daemon.role == role);
        let about = format!("connection synchronisation ({role})");
        match (&config.connection_sync, running) {
            (Some(sync), Some(daemon))
                if daemon.interface != sync.interface.as_str() || daemon.id != u32::from(sync.id) =>
            {
                let problem = format!(
                    "it runs on {} with id {}, and not on {} with id {}",
                    daemon.interface, daemon.id, sync.interface, sync.id
                );
                findings.add(
                    "sync",
                    about,
                    problem,
                    "stop it with `ipvsadm --stop-daemon`; the director starts it",
                );
            }
            (Some(_), None) => {
                findings.add("sync", about, "it does not run", "see the director's log for the reason");
            }
            (None, Some(_)) => {
                let remedy = "stop it with `ipvsadm --stop-daemon`, or configure connection-sync";
                findings.add("sync", about, "it runs and is not configured", remedy);
            }
            _ => {}
        }
    }
}

fn key(listen: &Listen) -> ServiceKey {
    match *listen {
        Listen::Address { address, port, protocol } => {
            let protocol = match protocol {
                Protocol::Tcp => fairway_ipvs::Protocol::TCP,
                Protocol::Udp => fairway_ipvs::Protocol::UDP,
                Protocol::Sctp => fairway_ipvs::Protocol::SCTP,
            };
            ServiceKey::Address { address, port, protocol }
        }
        Listen::Fwmark { mark, family } => {
            let family = match family {
                fairway_config::Family::Ipv4 => Family::V4,
                fairway_config::Family::Ipv6 => Family::V6,
            };
            ServiceKey::Mark { mark, family }
        }
    }
}
