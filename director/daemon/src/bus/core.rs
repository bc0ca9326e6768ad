//! What the D-Bus objects need from the rest of the daemon.

use std::sync::Arc;

use tokio::sync::watch;

use crate::bfd::{BfdCommand, BfdStatus};
use crate::notifications;
use crate::status::{Handle, Reply, ServicesCommand, ServicesStatus, VrrpCommand, VrrpStatus};

/// A request to read the configuration again.
#[derive(Debug)]
pub struct Reload {
    /// Answered when the new configuration is in force, or with the reason why the old one stays.
    pub reply: Reply<()>,
}

/// The director as a whole, as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagerStatus {
    /// Name of this host in the topology.
    pub host: String,
    /// Name of the cluster.
    pub cluster: String,
    /// Counts the configurations applied since the start, from 1.
    pub generation: u64,
    /// The file the configuration came from.
    pub config_file: String,
    /// Why the last reload failed; empty when it did not.
    pub last_reload_error: String,
    /// What became of notifications.
    pub notifications: notifications::Status,
}

/// The configurations (by generation) whose objects are on the bus.
#[derive(Debug, Default)]
pub struct Shown {
    /// The root object.
    pub manager: watch::Sender<u64>,
    /// Groups and instances.
    pub vrrp: watch::Sender<u64>,
    /// BFD sessions.
    pub bfd: watch::Sender<u64>,
    /// Services and servers.
    pub services: watch::Sender<u64>,
}

impl Shown {
    /// Waits until the objects of a configuration, or a later one, are on the bus.
    pub async fn wait_for(&self, generation: u64) {
        for level in [&self.manager, &self.vrrp, &self.bfd, &self.services] {
            // Never an error: the sender is right here.
            let _ = level.subscribe().wait_for(|shown| *shown >= generation).await;
        }
    }
}

/// Where the D-Bus objects get their state from and where their requests go.
#[derive(Debug, Clone)]
pub struct Core {
    /// The director as a whole.
    pub manager: watch::Receiver<ManagerStatus>,
    /// Failover groups.
    pub vrrp_status: watch::Receiver<VrrpStatus>,
    /// BFD sessions.
    pub bfd_status: watch::Receiver<BfdStatus>,
    /// Virtual services.
    pub services_status: watch::Receiver<ServicesStatus>,
    /// Requests to the VRRP thread.
    pub vrrp: Handle<VrrpCommand>,
    /// Requests to the BFD thread.
    pub bfd: Handle<BfdCommand>,
    /// Requests to the services task.
    pub services: Handle<ServicesCommand>,
    /// Requests to read the configuration again.
    pub reload: Handle<Reload>,
    /// What the bus shows by now.
    pub shown: Arc<Shown>,
}
