//! The IPVS table: keeps the kernel's services as the director wants them.
//!
//! A thread of its own owns the netlink socket. It takes the latest desired state (an older one that has not
//! been carried out yet is skipped), plans against the last image of the kernel's table that is known to be
//! right, and publishes what came of it. An audit walks the table a few services a tick, so that a change made
//! behind the director's back is repaired within the audit period.
//!
//! Ours are the services that are in the desired state, or were and have not been deleted yet. A service that
//! is already in the kernel when the desired state first names it is adopted: changed in place, never deleted
//! and added anew. All others are foreign: left alone and listed.

mod audit;
mod convert;
mod inbox;
mod kernel;
mod worker;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use fairway_ipvs::{Info, ServiceKey, Statistics, Table, Timeouts};
use tokio::sync::{oneshot, watch};

pub(crate) use convert::{
    destination, forward, is_probe, probe_mark, service_key, settings, sorry_destination, timeouts,
};
pub(crate) use kernel::release;

use crate::status::Refused;
use inbox::{Inbox, Request};
use kernel::{Connect, Netlink};
use worker::Worker;

/// What the kernel is to hold. Cheap to make when unchanged services keep their [`Arc`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Desired {
    /// Our services, all of them.
    pub(crate) services: Table,
    /// Connection timeouts; those not given are left as they are.
    pub(crate) timeouts: Timeouts,
    /// How long the audit takes to walk the whole table once.
    pub(crate) audit_period: Duration,
}

/// Whether there is a kernel IPVS to work with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KernelStatus {
    /// Not asked yet.
    Starting,
    /// There, and its table has been read.
    Ready(Info),
    /// Not usable now, with the reason and what to do; tried again with growing pauses.
    Unavailable(String),
}

/// What the thread publishes. Cloning it costs a few reference counts.
#[derive(Debug, Clone)]
pub(crate) struct TableStatus {
    /// Whether there is a kernel IPVS.
    pub(crate) kernel: KernelStatus,
    /// The whole table as the first dump found it, ours and foreign; `None` before that. Servers in it keep
    /// their weight until their first verdict.
    pub(crate) initial: Option<Arc<Table>>,
    /// Of our services, what the kernel holds by the last dump and all that succeeded since.
    pub(crate) installed: Arc<Table>,
    /// Why a service is not (wholly) as desired.
    pub(crate) errors: Arc<BTreeMap<ServiceKey, String>>,
    /// Services of others.
    pub(crate) foreign: Arc<BTreeSet<ServiceKey>>,
    /// The number [`TableHandle::set`] gave to the desired state that was last carried out (as far as
    /// `errors` says); 0 before the first.
    pub(crate) generation: u64,
}

/// The way to the thread that owns the kernel's table. It ends when the last clone is dropped, leaving the
/// table as it is, or by [`TableHandle::stop`].
#[derive(Debug, Clone)]
pub(crate) struct TableHandle {
    inbox: Arc<inbox::Owner>,
    status: watch::Receiver<TableStatus>,
}

impl TableHandle {
    /// Starts the thread. It reads the kernel's table at once.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn spawn() -> io::Result<Self> {
        Self::spawn_on(Netlink)
    }

    /// Starts the thread on the kernel `connect` leads to.
    pub(crate) fn spawn_on(connect: impl Connect) -> io::Result<Self> {
        let inbox = Arc::new(Inbox::default());
        let (sender, status) = watch::channel(TableStatus {
            kernel: KernelStatus::Starting,
            initial: None,
            installed: Arc::default(),
            errors: Arc::default(),
            foreign: Arc::default(),
            generation: 0,
        });
        let worker = Worker::new(connect, Arc::clone(&inbox), sender);
        std::thread::Builder::new().name("ipvs".to_owned()).spawn(move || worker.run())?;
        Ok(Self { inbox: Arc::new(inbox::Owner(inbox)), status })
    }

    /// Sets what the kernel is to hold, in place of what was set before, and returns at once. The number it
    /// returns appears as [`TableStatus::generation`] when this state, or a later one, has been carried out.
    pub(crate) fn set(&self, desired: Desired) -> u64 {
        self.inbox.0.set(desired)
    }

    /// What came of it; the latest value.
    pub(crate) fn status(&self) -> watch::Receiver<TableStatus> {
        self.status.clone()
    }

    /// The kernel's counters of a service and its servers.
    ///
    /// # Errors
    /// [`Refused`] when the kernel does not have the service, or cannot be asked.
    pub(crate) async fn statistics(&self, service: ServiceKey) -> Result<Statistics, Refused> {
        let (reply, answer) = oneshot::channel();
        self.inbox.0.request(Request::Statistics { service, reply });
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Sets the kernel's counters of services and their servers to zero.
    ///
    /// # Errors
    /// [`Refused`] when the kernel does not have one of them, or cannot be asked.
    pub(crate) async fn zero(&self, services: Vec<ServiceKey>) -> Result<(), Refused> {
        let (reply, answer) = oneshot::channel();
        self.inbox.0.request(Request::Zero { services, reply });
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Ends the thread, after deleting our services from the kernel (one message each) unless they are to be
    /// kept. Answers when that is done.
    ///
    /// # Errors
    /// [`Refused`] names the services that are still in the kernel.
    pub(crate) async fn stop(&self, keep: bool) -> Result<(), Refused> {
        let (reply, answer) = oneshot::channel();
        self.inbox.0.request(Request::Stop { keep, reply });
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }
}

fn stopped() -> Refused {
    Refused("the IPVS thread has ended".to_owned())
}
