//! `/org/fairway/Director1/service/<service>`: a virtual service.

use zbus::{ObjectPath, Variant, interface};

use super::core::Core;
use super::error::{Error, Result};
use super::level::{Properties, Published, Shared, paths};
use super::path;
use crate::status::{ServiceStatus, ServicesCommand, Statistics};

/// A virtual service.
#[derive(Debug)]
pub struct VirtualService {
    name: String,
    state: Shared<ServiceStatus>,
    core: Core,
}

#[interface(name = "org.fairway.Director1.VirtualService", introspection_docs = false)]
impl VirtualService {
    #[zbus(property(emits_changed_signal = "const"))]
    fn name(&self) -> &str {
        &self.name
    }

    #[zbus(property)]
    fn address(&self) -> String {
        self.state.get(ServiceStatus::address_text)
    }

    #[zbus(property)]
    fn port(&self) -> u16 {
        self.state.get(|s| s.port)
    }

    #[zbus(property)]
    fn protocol(&self) -> &'static str {
        self.state.get(|s| s.protocol)
    }

    #[zbus(property)]
    fn scheduler(&self) -> &'static str {
        self.state.get(|s| s.scheduler)
    }

    /// Empty while the service is programmed.
    #[zbus(property)]
    fn kernel_error(&self) -> String {
        self.state.get(|s| s.kernel_error.clone().unwrap_or_default())
    }

    /// `up`, `down`, or `unknown` while it depends on first verdicts.
    #[zbus(property)]
    fn quorum(&self) -> &'static str {
        self.state.get(|s| s.quorum)
    }

    /// Whether the sorry server serves.
    #[zbus(property)]
    fn sorry(&self) -> bool {
        self.state.get(|s| s.sorry)
    }

    #[zbus(property)]
    fn real_servers(&self) -> Vec<ObjectPath<'static>> {
        self.state.get(|s| servers(&self.name, s))
    }

    /// Sets the kernel's counters of the service and its servers to zero.
    async fn zero_statistics(&self) -> Result<()> {
        let service = Some(self.name.clone());
        Ok(self.core.services.ask(|reply| ServicesCommand::Zero { service, reply }).await?)
    }

    async fn get_statistics(&self) -> Result<Statistics> {
        if !self.core.services_status.borrow().contains_key(&self.name) {
            return Err(Error::NotFound(format!("the service \"{}\" is no longer configured", self.name)));
        }
        let service = self.name.clone();
        let ask = |reply| ServicesCommand::Statistics { service, server: None, reply };
        Ok(self.core.services.ask(ask).await?)
    }
}

fn servers(service: &str, status: &ServiceStatus) -> Vec<ObjectPath<'static>> {
    paths(status.real_servers.keys().map(|name| path::server(service, name)))
}

impl Published for ServiceStatus {
    type Object = VirtualService;
    type Key = String;

    fn path(key: &String) -> String {
        path::service(key)
    }

    fn object(key: &String, state: Shared<Self>, core: &Core) -> VirtualService {
        VirtualService { name: key.clone(), state, core: core.clone() }
    }

    fn properties(&self, key: &String) -> Properties {
        vec![
            ("Address", Variant::from(self.address_text())),
            ("Port", Variant::from(self.port)),
            ("Protocol", Variant::from(self.protocol)),
            ("Scheduler", Variant::from(self.scheduler)),
            ("KernelError", Variant::from(self.kernel_error.clone().unwrap_or_default())),
            ("Quorum", Variant::from(self.quorum)),
            ("Sorry", Variant::from(self.sorry)),
            ("RealServers", Variant::from(servers(key, self))),
        ]
    }
}
