//! `/org/fairway/Director1/service/<service>/server/<server>`: a real server of a virtual service.

use zbus::{Variant, interface};

use super::core::Core;
use super::error::{Error, Result};
use super::level::{Properties, Published, Shared};
use super::path;
use crate::status::{RealServerStatus, ServicesCommand, Statistics};

/// A real server of one virtual service.
#[derive(Debug)]
pub struct RealServer {
    service: String,
    name: String,
    state: Shared<RealServerStatus>,
    core: Core,
}

impl RealServer {
    /// Names of service and server for a request, unless a reload has just removed them.
    fn present(&self) -> Result<(String, String)> {
        let services = self.core.services_status.borrow();
        if services.get(&self.service).is_some_and(|s| s.real_servers.contains_key(&self.name)) {
            return Ok((self.service.clone(), self.name.clone()));
        }
        Err(Error::NotFound(format!(
            "the server \"{}\" of service \"{}\" is no longer configured",
            self.name, self.service
        )))
    }
}

#[interface(name = "org.fairway.Director1.RealServer", introspection_docs = false)]
impl RealServer {
    #[zbus(property(emits_changed_signal = "const"))]
    fn name(&self) -> &str {
        &self.name
    }

    #[zbus(property)]
    fn address(&self) -> String {
        self.state.get(|s| s.address.to_string())
    }

    #[zbus(property)]
    fn port(&self) -> u16 {
        self.state.get(|s| s.port)
    }

    #[zbus(property)]
    fn forward(&self) -> &'static str {
        self.state.get(|s| s.forward)
    }

    /// As configured.
    #[zbus(property)]
    fn weight(&self) -> u32 {
        self.state.get(|s| s.weight)
    }

    /// In the kernel; 0 when the server is not in the table.
    #[zbus(property)]
    fn effective_weight(&self) -> u32 {
        self.state.get(|s| s.effective_weight.unwrap_or_default())
    }

    #[zbus(property)]
    fn in_table(&self) -> bool {
        self.state.get(|s| s.effective_weight.is_some())
    }

    #[zbus(property)]
    fn health(&self) -> &'static str {
        self.state.get(|s| s.health)
    }

    #[zbus(property)]
    fn detail(&self) -> String {
        self.state.get(|s| s.detail.clone())
    }

    #[zbus(property)]
    fn drained(&self) -> bool {
        self.state.get(|s| s.drained)
    }

    async fn drain(&self) -> Result<()> {
        let (service, server) = self.present()?;
        Ok(self.core.services.ask(|reply| ServicesCommand::Drain { service, server, reply }).await?)
    }

    async fn resume(&self) -> Result<()> {
        let (service, server) = self.present()?;
        Ok(self.core.services.ask(|reply| ServicesCommand::Resume { service, server, reply }).await?)
    }

    async fn get_statistics(&self) -> Result<Statistics> {
        let (service, server) = self.present()?;
        let server = Some(server);
        Ok(self.core.services.ask(|reply| ServicesCommand::Statistics { service, server, reply }).await?)
    }
}

impl Published for RealServerStatus {
    type Object = RealServer;
    /// Service and server.
    type Key = (String, String);

    fn path((service, name): &Self::Key) -> String {
        path::server(service, name)
    }

    fn object((service, name): &Self::Key, state: Shared<Self>, core: &Core) -> RealServer {
        RealServer { service: service.clone(), name: name.clone(), state, core: core.clone() }
    }

    fn properties(&self, _key: &Self::Key) -> Properties {
        vec![
            ("Address", Variant::from(self.address.to_string())),
            ("Port", Variant::from(self.port)),
            ("Forward", Variant::from(self.forward)),
            ("Weight", Variant::from(self.weight)),
            ("EffectiveWeight", Variant::from(self.effective_weight.unwrap_or_default())),
            ("InTable", Variant::from(self.effective_weight.is_some())),
            ("Health", Variant::from(self.health)),
            ("Detail", Variant::from(self.detail.clone())),
            ("Drained", Variant::from(self.drained)),
        ]
    }
}
