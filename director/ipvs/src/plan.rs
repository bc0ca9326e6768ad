//! From what the kernel holds to what it should hold, in the fewest operations.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::model::{Destination, DestinationKey, Service, ServiceKey, Settings, Table};

/// One change to the kernel's table: one netlink message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Adds a service without destinations.
    AddService {
        /// The service.
        service: ServiceKey,
        /// What it is to be.
        settings: Settings,
    },
    /// Changes a service in place; its connections stay.
    SetService {
        /// The service.
        service: ServiceKey,
        /// What it is to be.
        settings: Settings,
    },
    /// Deletes a service and all its destinations.
    DeleteService {
        /// The service.
        service: ServiceKey,
    },
    /// Adds a destination.
    AddDestination {
        /// The service.
        service: ServiceKey,
        /// The destination.
        key: DestinationKey,
        /// What it is to be.
        destination: Destination,
    },
    /// Changes a destination in place; its connections stay.
    SetDestination {
        /// The service.
        service: ServiceKey,
        /// The destination.
        key: DestinationKey,
        /// What it is to be.
        destination: Destination,
    },
    /// Deletes a destination.
    DeleteDestination {
        /// The service.
        service: ServiceKey,
        /// The destination.
        key: DestinationKey,
    },
}

impl Operation {
    /// The service it is about.
    pub const fn service(&self) -> &ServiceKey {
        match self {
            Self::AddService { service, .. }
            | Self::SetService { service, .. }
            | Self::DeleteService { service }
            | Self::AddDestination { service, .. }
            | Self::SetDestination { service, .. }
            | Self::DeleteDestination { service, .. } => service,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddService { service, .. } => write!(f, "add service {service}"),
            Self::SetService { service, .. } => write!(f, "change service {service}"),
            Self::DeleteService { service } => write!(f, "delete service {service}"),
            Self::AddDestination { service, key, .. } => write!(f, "add server {key} to {service}"),
            Self::SetDestination { service, key, .. } => write!(f, "change server {key} of {service}"),
            Self::DeleteDestination { service, key } => write!(f, "delete server {key} from {service}"),
        }
    }
}

/// The operations that turn `observed` into `desired`, in the order they must be carried out.
///
/// Services of `observed` that are not desired are deleted if they are `owned`, and left alone otherwise. What
/// the kernel can change in place is changed in place. Additions and changes come first, in key order, each
/// service before its destinations; then destinations are removed, so that a service whose servers are all
/// replaced never runs empty in between; then services.
///
/// Removals go backwards. The kernel keeps removed destinations for two minutes in a list, newest in front,
/// and for every destination added searches that list from the front. Whoever then adds the same ones in key
/// order (this function, after a restart or an outage) finds each of them at the front instead of behind
/// thousands of others: 0.1 s instead of 1.7 s for 10,000 destinations where this was measured.
pub fn plan(desired: &Table, observed: &Table, owned: &BTreeSet<ServiceKey>) -> Vec<Operation> {
    let mut operations = Vec::new();
    let mut removals = Vec::new();
    for (&service, wanted) in desired {
        match observed.get(&service) {
            Some(present) if Arc::ptr_eq(present, wanted) => {}
            Some(present) => change(&mut operations, &mut removals, service, wanted, present),
            None => add(&mut operations, service, wanted),
        }
    }
    operations.extend(removals.into_iter().rev());
    let gone = observed.keys().rev().filter(|key| !desired.contains_key(key) && owned.contains(key));
    operations.extend(gone.map(|&service| Operation::DeleteService { service }));
    operations
}

fn add(operations: &mut Vec<Operation>, service: ServiceKey, wanted: &Service) {
    operations.reserve(1 + wanted.destinations.len());
    operations.push(Operation::AddService { service, settings: wanted.settings });
    for (&key, &destination) in &wanted.destinations {
        operations.push(Operation::AddDestination { service, key, destination });
    }
}

fn change(
    operations: &mut Vec<Operation>,
    removals: &mut Vec<Operation>,
    service: ServiceKey,
    wanted: &Service,
    present: &Service,
) {
    if wanted.settings != present.settings {
        operations.push(Operation::SetService { service, settings: wanted.settings });
    }
    for (&key, &destination) in &wanted.destinations {
        match present.destinations.get(&key) {
            Some(same) if *same == destination => {}
            Some(_) => operations.push(Operation::SetDestination { service, key, destination }),
            None => operations.push(Operation::AddDestination { service, key, destination }),
        }
    }
    for &key in present.destinations.keys() {
        if !wanted.destinations.contains_key(&key) {
            removals.push(Operation::DeleteDestination { service, key });
        }
    }
}

#[cfg(test)]
mod tests;
