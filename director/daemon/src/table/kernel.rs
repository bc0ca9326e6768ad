//! What the thread needs from the kernel, so that tests can stand in for it.

use std::collections::{BTreeMap, BTreeSet};

use super::is_probe;
use fairway_ipvs::{
    Client, Error, Failure, Info, Operation, Service, ServiceKey, Settings, Statistics, Table, Timeouts,
};

/// The kernel's IPVS as [`fairway_ipvs::Client`] gives access to it.
pub(crate) trait Kernel: Send + 'static {
    /// Version and size.
    fn info(&mut self) -> Result<Info, Error>;
    /// The whole table.
    fn dump(&mut self) -> Result<Table, Error>;
    /// All services without their destinations.
    fn services(&mut self) -> Result<BTreeMap<ServiceKey, Settings>, Error>;
    /// One service with its destinations.
    fn service(&mut self, key: &ServiceKey) -> Result<Option<Service>, Error>;
    /// Counters of a service.
    fn statistics(&mut self, key: &ServiceKey) -> Result<Option<Statistics>, Error>;
    /// Sets the counters of a service to zero; whether it is there.
    fn zero(&mut self, key: &ServiceKey) -> Result<bool, Error>;
    /// Connection timeouts.
    fn timeouts(&mut self) -> Result<Timeouts, Error>;
    /// Sets the given ones.
    fn set_timeouts(&mut self, timeouts: &Timeouts) -> Result<(), Error>;
    /// Carries out operations in order; returns those refused.
    fn apply(&mut self, operations: &[Operation]) -> Result<Vec<Failure>, Error>;
}

/// Opens a way to the kernel; again after an error.
pub(crate) trait Connect: Send + 'static {
    /// What it opens.
    type Kernel: Kernel;
    /// Opens it.
    fn connect(&mut self) -> Result<Self::Kernel, Error>;
}

/// The kernel of this machine, in this network namespace.
#[derive(Debug)]
pub(super) struct Netlink;

impl Connect for Netlink {
    type Kernel = Client;

    fn connect(&mut self) -> Result<Client, Error> {
        Client::connect()
    }
}

impl Kernel for Client {
    fn info(&mut self) -> Result<Info, Error> {
        Self::info(self)
    }

    fn dump(&mut self) -> Result<Table, Error> {
        Self::dump(self)
    }

    fn services(&mut self) -> Result<BTreeMap<ServiceKey, Settings>, Error> {
        Self::services(self)
    }

    fn service(&mut self, key: &ServiceKey) -> Result<Option<Service>, Error> {
        Self::service(self, key)
    }

    fn statistics(&mut self, key: &ServiceKey) -> Result<Option<Statistics>, Error> {
        Self::statistics(self, key)
    }

    fn zero(&mut self, key: &ServiceKey) -> Result<bool, Error> {
        Self::zero(self, key)
    }

    fn timeouts(&mut self) -> Result<Timeouts, Error> {
        Self::timeouts(self)
    }

    fn set_timeouts(&mut self, timeouts: &Timeouts) -> Result<(), Error> {
        Self::set_timeouts(self, timeouts)
    }

    fn apply(&mut self, operations: &[Operation]) -> Result<Vec<Failure>, Error> {
        Self::apply(self, operations)
    }
}

/// Deletes those of `services` that the kernel holds, and what probes needed; returns how many there were, and what was refused.
///
/// # Errors
/// [`Error`] when the kernel cannot be talked to. A kernel without IPVS holds nothing, which is no error.
pub(crate) fn release(services: &BTreeSet<ServiceKey>) -> Result<(usize, Vec<Failure>), Error> {
    match Client::connect() {
        Ok(mut client) => delete(&mut client, services),
        Err(Error::NoIpvs) => Ok((0, Vec::new())),
        Err(error) => Err(error),
    }
}

/// Deletes those of `services` that the kernel holds, and what probes needed, and looks again: what is left is tried once more.
pub(super) fn delete(
    kernel: &mut impl Kernel,
    services: &BTreeSet<ServiceKey>,
) -> Result<(usize, Vec<Failure>), Error> {
    let mut deleted = 0;
    let mut failures = Vec::new();
    for _ in 0..2 {
        let present = kernel.services()?;
        // Last first, as `plan` does and says why.
        let operations: Vec<_> = present
            .into_keys()
            .rev()
            .filter(|key| services.contains(key) || is_probe(key))
            .map(|service| Operation::DeleteService { service })
            .collect();
        if operations.is_empty() {
            return Ok((deleted, Vec::new()));
        }
        failures = kernel.apply(&operations)?;
        deleted += operations.len() - failures.len();
    }
    Ok((deleted, failures))
}
