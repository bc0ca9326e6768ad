//! What an operator sees of services and servers.

use fairway_ipvs::{Counters, DestinationKey, ServiceKey};

use super::desired::{Desired, ServerView};
use super::overrides::Order;
use crate::status::{OrderStatus, RealServerStatus, ServiceStatus, Statistics};
use crate::table::{KernelStatus, TableStatus};

/// The status of a service: what is wanted, and what the kernel has.
pub(super) fn service(desired: &Desired, index: usize, kernel: &TableStatus) -> ServiceStatus {
    let planned = desired.service(index);
    let (listen, installed) = (planned.config.listen, kernel.installed.get(&planned.key));
    let server = |view: ServerView<'_>| {
        let ServerView { config, key, health, detail, order } = view;
        let in_kernel = installed.and_then(|service| service.destinations.get(&key));
        let status = RealServerStatus {
            address: config.address,
            port: config.port,
            forward: config.forward.name(),
            weight: config.weight,
            effective_weight: in_kernel.map(|destination| destination.weight),
            health: health.as_str(),
            detail,
            order: order.map(|order| OrderStatus {
                words: order.order.to_string(),
                done: order.emptied,
                until: order.until,
                deadline: match order.order {
                    Order::Drain { deadline } => deadline,
                    Order::Disable | Order::Weight(_) => None,
                },
            }),
        };
        (config.name.clone(), status)
    };
    ServiceStatus {
        address: listen.address(),
        port: listen.port(),
        protocol: listen.protocol().map_or("", fairway_config::Protocol::name),
        scheduler: planned.config.scheduler.name(),
        kernel_error: error(&planned.key, kernel).map(str::to_owned),
        quorum: desired.quorum(index).as_str(),
        sorry: planned
            .sorry
            .and_then(|(key, _)| installed?.destinations.get(&key))
            .is_some_and(|d| d.weight > 0),
        real_servers: desired.servers(index).map(server).collect(),
    }
}

/// Whether two states of the table differ in what [`service`] shows of a service.
pub(super) fn differs(service: &ServiceKey, one: &TableStatus, other: &TableStatus) -> bool {
    let same = match (one.installed.get(service), other.installed.get(service)) {
        (Some(one), Some(other)) => std::sync::Arc::ptr_eq(one, other) || one == other,
        (None, None) => true,
        _ => false,
    };
    !same || error(service, one) != error(service, other)
}

/// Why a service is not in the kernel as it should be.
fn error<'a>(service: &ServiceKey, kernel: &'a TableStatus) -> Option<&'a str> {
    match &kernel.kernel {
        KernelStatus::Unavailable(reason) => Some(reason),
        _ => kernel.errors.get(service).map(String::as_str),
    }
}

/// The kernel's counters of a service, or of one of its servers; all 0 while that is not in the table.
pub(super) fn statistics(found: &fairway_ipvs::Statistics, server: Option<&DestinationKey>) -> Statistics {
    let Some(server) = server else { return traffic(&found.service) };
    let counters = found.destinations.get(server).copied().unwrap_or_default();
    let mut named = traffic(&counters.traffic);
    named.extend([
        ("active-connections".to_owned(), counters.active_connections.into()),
        ("inactive-connections".to_owned(), counters.inactive_connections.into()),
        ("persistent-connections".to_owned(), counters.persistent_connections.into()),
    ]);
    named
}

fn traffic(counters: &Counters) -> Statistics {
    let Counters {
        connections,
        packets_in,
        packets_out,
        bytes_in,
        bytes_out,
        connection_rate,
        packet_rate_in,
        packet_rate_out,
        byte_rate_in,
        byte_rate_out,
    } = *counters;
    [
        ("connections", connections),
        ("packets-in", packets_in),
        ("packets-out", packets_out),
        ("bytes-in", bytes_in),
        ("bytes-out", bytes_out),
        ("connections-per-second", connection_rate),
        ("packets-in-per-second", packet_rate_in),
        ("packets-out-per-second", packet_rate_out),
        ("bytes-in-per-second", byte_rate_in),
        ("bytes-out-per-second", byte_rate_out),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
