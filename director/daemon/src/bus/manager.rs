//! `/org/fairway/Director1`: the director as a whole.

use std::time::UNIX_EPOCH;

use zbus::{Variant, interface};

use super::core::{Core, ManagerStatus, Reload};
use super::error::{Error, Result};
use super::level::{Properties, Published, Shared};
use super::path;
use crate::notifications::Deliveries;
use crate::status::{Refused, ServicesCommand};

/// The root object.
#[derive(Debug)]
pub struct Manager {
    state: Shared<ManagerStatus>,
    core: Core,
}

#[interface(name = "org.fairway.Director1.Manager", introspection_docs = false)]
impl Manager {
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    #[zbus(property)]
    fn host(&self) -> String {
        self.state.get(|s| s.host.clone())
    }

    #[zbus(property)]
    fn cluster(&self) -> String {
        self.state.get(|s| s.cluster.clone())
    }

    #[zbus(property)]
    fn generation(&self) -> u64 {
        self.state.get(|s| s.generation)
    }

    #[zbus(property)]
    fn config_file(&self) -> String {
        self.state.get(|s| s.config_file.clone())
    }

    #[zbus(property)]
    fn last_reload_error(&self) -> String {
        self.state.get(|s| s.last_reload_error.clone())
    }

    /// Name, way, delivered, failed, dropped, waiting, microseconds since the epoch of the last one delivered, error.
    #[zbus(property)]
    fn notifications(&self) -> Vec<Notification> {
        self.state.get(notifications)
    }

    /// Sets the kernel's counters of all our services and their servers to zero.
    async fn zero_statistics(&self) -> Result<()> {
        Ok(self.core.services.ask(|reply| ServicesCommand::Zero { service: None, reply }).await?)
    }

    /// Reads the configuration again; returns when it is in force and its objects are on the bus.
    async fn reload(&self) -> Result<()> {
        let outcome = self.core.reload.ask(|reply| Reload { reply }).await;
        outcome.map_err(|Refused(text)| Error::ReloadFailed(text))?;
        let generation = self.core.manager.borrow().generation;
        self.core.shown.wait_for(generation).await;
        Ok(())
    }
}

/// Name, way, delivered, failed, dropped, waiting, when the last one was delivered, error.
type Notification = (String, String, u64, u64, u64, u64, u64, String);

fn notifications(status: &ManagerStatus) -> Vec<Notification> {
    let row = |(name, told): (&String, &Deliveries)| {
        let last = told.last.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        let last = u64::try_from(last.as_micros()).unwrap_or(u64::MAX);
        let Deliveries { way, delivered, failed, dropped, waiting, error, .. } = told;
        (name.clone(), (*way).to_owned(), *delivered, *failed, *dropped, *waiting, last, error.clone())
    };
    status.notifications.iter().map(row).collect()
}

impl Published for ManagerStatus {
    type Object = Manager;
    type Key = ();

    fn path((): &()) -> String {
        path::ROOT.to_owned()
    }

    fn object((): &(), state: Shared<Self>, core: &Core) -> Manager {
        Manager { state, core: core.clone() }
    }

    fn properties(&self, (): &()) -> Properties {
        vec![
            ("Host", Variant::from(self.host.clone())),
            ("Cluster", Variant::from(self.cluster.clone())),
            ("Generation", Variant::from(self.generation)),
            ("ConfigFile", Variant::from(self.config_file.clone())),
            ("LastReloadError", Variant::from(self.last_reload_error.clone())),
            ("Notifications", Variant::from(notifications(self))),
        ]
    }
}
