//! `fairwayctl metrics`: everything with a number, as OpenMetrics text, for Prometheus and what speaks its language.
//!
//! Names start with `fairway_`. States are one time series a state, 1 for the one that holds, as OpenMetrics'
//! state sets are.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::model::{Director, Notification};
use crate::statistics::{Counters, Statistics};

/// Media type of the text.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels = Vec<(&'static str, String)>;
type Gauges = Family<Labels, Gauge<f64, AtomicU64>>;

/// States of groups and instances.
const STATES: [&str; 4] = ["init", "backup", "master", "fault"];
/// What the kernel counts now, rather than since the start.
const NOW: [&str; 3] = ["active-connections", "inactive-connections", "persistent-connections"];

/// The text; `None` instead of a director when none answers.
///
/// # Errors
/// Never: writing to memory does not fail.
pub fn render(found: Option<(&Director, &Statistics)>) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::with_prefix("fairway");
    single(&mut registry, "up", "Whether the director answers on D-Bus", truth(found.is_some()));
    if let Some((director, statistics)) = found {
        of_director(&mut registry, director);
        of_notifications(&mut registry, director);
        of_groups(&mut registry, director);
        of_bfd(&mut registry, director);
        of_services(&mut registry, director);
        of_counters(&mut registry, statistics);
    }
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

fn of_director(registry: &mut Registry, director: &Director) {
    let about = gauges(registry, "director", "The director: its version, host and cluster as labels");
    let Director { version, host, cluster, .. } = director;
    set(
        &about,
        vec![("version", version.clone()), ("host", host.clone()), ("cluster", cluster.clone())],
        1.0,
    );
    let generation = number(director.generation);
    single(registry, "configuration_generation", "Configurations applied since the start", generation);
    let failed = !director.last_reload_error.is_empty();
    single(registry, "reload_failed", "Whether the last reload was refused", truth(failed));
}

fn of_notifications(registry: &mut Registry, director: &Director) {
    let counters = |name: &str, help: &str, value: fn(&Notification) -> u64, registry: &mut Registry| {
        let family = Family::<Labels, Counter>::default();
        registry.register(name, help, family.clone());
        for told in &director.notifications {
            family.get_or_create(&vec![("receiver", told.name.clone())]).inc_by(value(told));
        }
    };
    if director.notifications.is_empty() {
        return;
    }
    counters("notify_delivered", "Messages that were delivered", |told| told.delivered, registry);
    counters("notify_failed", "Messages that were given up", |told| told.failed, registry);
    counters("notify_dropped", "Events that were not told", |told| told.dropped, registry);
    let waiting = gauges(registry, "notify_waiting", "Events that wait to be told");
    for told in &director.notifications {
        set(&waiting, vec![("receiver", told.name.clone())], number(told.waiting));
    }
}

fn of_groups(registry: &mut Registry, director: &Director) {
    let state = gauges(registry, "group_state", "State of a failover group");
    let since = gauges(registry, "group_since_seconds", "When the group took its state, since the epoch");
    let forced = gauges(registry, "group_forced", "Whether an operator forced the group");
    let priority = gauges(registry, "instance_priority", "Priority of a VRRP instance in force");
    let base = gauges(registry, "instance_base_priority", "Priority that is configured for a VRRP instance");
    let master =
        gauges(registry, "instance_master_priority", "Priority of the master, 0 while none is known");
    let holds = gauges(registry, "instance_holds_addresses", "Whether the addresses are on their interfaces");
    let interval = gauges(registry, "instance_advert_interval_seconds", "Advert interval in force");
    for group in &director.groups {
        let labels = vec![("group", group.name.clone())];
        for name in STATES {
            let mut labels = labels.clone();
            labels.push(("state", name.to_owned()));
            set(&state, labels, truth(group.state == name));
        }
        set(&since, labels.clone(), number(group.since_usec) / 1e6);
        set(&forced, labels, truth(group.forced != "auto"));
        for instance in &group.instances {
            let labels = vec![("group", group.name.clone()), ("vrrp_instance", instance.name.clone())];
            set(&priority, labels.clone(), instance.priority.into());
            set(&base, labels.clone(), instance.base_priority.into());
            set(&master, labels.clone(), instance.master_priority.into());
            set(&holds, labels.clone(), truth(instance.addresses_at == "interface"));
            set(&interval, labels, number(instance.advert_interval_usec) / 1e6);
        }
    }
}

fn of_bfd(registry: &mut Registry, director: &Director) {
    let up = gauges(registry, "bfd_session_up", "Whether a BFD session is up");
    let detection = gauges(
        registry,
        "bfd_detection_time_seconds",
        "After how long a silence the neighbour counts as gone",
    );
    for session in &director.bfd {
        let labels = vec![("session", session.name.clone())];
        set(&up, labels.clone(), truth(session.state == "up"));
        set(&detection, labels, number(session.detection_time_usec) / 1e6);
    }
}

fn of_services(registry: &mut Registry, director: &Director) {
    let quorum = gauges(registry, "service_quorum", "Whether a service has its quorum");
    let sorry = gauges(registry, "service_sorry", "Whether the sorry server serves");
    let refused = gauges(registry, "service_kernel_error", "Whether the kernel refuses a service");
    let up = gauges(registry, "server_up", "Whether a real server's checks pass");
    let weight = gauges(registry, "server_weight", "Weight as configured");
    let effective =
        gauges(registry, "server_effective_weight", "Weight in the kernel; absent while out of the table");
    let ordered =
        gauges(registry, "server_ordered", "Whether an operator's order about a real server is in force");
    for service in &director.services {
        let labels = vec![("service", service.name.clone())];
        set(&quorum, labels.clone(), truth(service.quorum == "up"));
        set(&sorry, labels.clone(), truth(service.sorry));
        set(&refused, labels, truth(!service.kernel_error.is_empty()));
        for server in &service.servers {
            let labels = vec![("service", service.name.clone()), ("server", server.name.clone())];
            set(&up, labels.clone(), truth(server.health == "up"));
            set(&weight, labels.clone(), server.weight.into());
            if let Some(value) = server.effective_weight {
                set(&effective, labels.clone(), value.into());
            }
            set(&ordered, labels, truth(!server.order.is_empty()));
        }
    }
}

fn of_counters(registry: &mut Registry, statistics: &Statistics) {
    let of_group = |(name, counters)| (vec![("group", String::clone(name))], counters);
    counted(registry, "group", statistics.groups.iter().map(of_group).collect());
    let of_session = |(name, counters)| (vec![("session", String::clone(name))], counters);
    counted(registry, "bfd", statistics.bfd.iter().map(of_session).collect());
    let of_service = |(name, counters)| (vec![("service", String::clone(name))], counters);
    counted(registry, "service", statistics.services.iter().map(of_service).collect());
    let instances = statistics.instances.iter().flat_map(|(group, instances)| {
        let labels = |name: &String| vec![("group", group.clone()), ("vrrp_instance", name.clone())];
        instances.iter().map(move |(name, counters)| (labels(name), counters))
    });
    counted(registry, "instance", instances.collect());
    let servers = statistics.servers.iter().flat_map(|(service, servers)| {
        let labels = |name: &String| vec![("service", service.clone()), ("server", name.clone())];
        servers.iter().map(move |(name, counters)| (labels(name), counters))
    });
    counted(registry, "server", servers.collect());
}

/// One metric for each counter's name. The kernel's rates are left out: who reads this makes its own.
fn counted(registry: &mut Registry, of: &str, objects: Vec<(Labels, &Counters)>) {
    let mut names: Vec<_> = objects.iter().flat_map(|(_, counters)| counters.keys()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names.into_iter().filter(|name| !name.ends_with("-per-second")) {
        let metric = format!("{of}_{}", name.replace('-', "_"));
        let help = format!("{of}: {}", name.replace(['-', '_'], " "));
        let values = objects.iter().filter_map(|(labels, all)| Some((labels.clone(), *all.get(name)?)));
        if NOW.contains(&name.as_str()) {
            let family = gauges(registry, &metric, &help);
            values.for_each(|(labels, value)| set(&family, labels, number(value)));
        } else {
            let family = Family::<Labels, Counter>::default();
            registry.register(metric, help, family.clone());
            for (labels, value) in values {
                family.get_or_create(&labels).inc_by(value);
            }
        }
    }
}

fn single(registry: &mut Registry, name: &str, help: &str, value: f64) {
    let gauge = Gauge::<f64, AtomicU64>::default();
    gauge.set(value);
    registry.register(name, help, gauge);
}

/// A metric; the registry ends its help with a full stop.
fn gauges(registry: &mut Registry, name: &str, help: &str) -> Gauges {
    let family = Gauges::default();
    registry.register(name, help, family.clone());
    family
}

fn set(family: &Gauges, labels: Labels, value: f64) {
    family.get_or_create(&labels).set(value);
}

fn truth(value: bool) -> f64 {
    if value { 1.0 } else { 0.0 }
}

/// Exact up to 2^53, as all of Prometheus' numbers are.
#[expect(clippy::cast_precision_loss, reason = "Prometheus has no other numbers")]
fn number(value: u64) -> f64 {
    value as f64
}
