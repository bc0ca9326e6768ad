//! How a service is written. A large director.toml is mostly real servers, and reading it is most of a start:
//! what is usual (the service's port, one kind of forwarding, weight 1) is not repeated for each of them.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Forward, Listen, Persistence, RealServer, Scheduler, SchedulerFlag, Service, StartHealth};
use crate::InvalidValue;

// Tables come last: TOML wants them there, and moving them when they are written takes quadratic time.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct ServiceForm {
    name: String,
    #[serde(default)]
    scheduler: Scheduler,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    scheduler_flags: Vec<SchedulerFlag>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    one_packet: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    checks: Vec<String>,
    #[serde(default, skip_serializing_if = "StartHealth::is_default")]
    start: StartHealth,
    /// Of the servers that do not say it themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    forward: Option<Forward>,
    listen: Listen,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    persistence: Option<Persistence>,
    #[serde(default)]
    real_servers: Vec<ServerForm>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct ServerForm {
    name: String,
    address: IpAddr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    forward: Option<Forward>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weight: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    upper_threshold: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lower_threshold: Option<u32>,
}

const USUAL_WEIGHT: u32 = 1;

impl TryFrom<ServiceForm> for Service {
    type Error = InvalidValue;

    fn try_from(form: ServiceForm) -> Result<Self, InvalidValue> {
        let server = |server: ServerForm| {
            let forward = server.forward.or(form.forward).ok_or_else(|| {
                InvalidValue(format!(
                    "real server {} of service {}: say how packets reach it, forward = \"direct\" or \"nat\", there or for \
                     the whole service",
                    server.name, form.name
                ))
            })?;
            Ok(RealServer {
                port: server.port.unwrap_or(form.listen.port),
                name: server.name,
                address: server.address,
                forward,
                weight: server.weight.unwrap_or(USUAL_WEIGHT),
                upper_threshold: server.upper_threshold.unwrap_or(0),
                lower_threshold: server.lower_threshold.unwrap_or(0),
            })
        };
        let real_servers = form.real_servers.into_iter().map(server).collect::<Result<_, InvalidValue>>()?;
        Ok(Self {
            name: form.name,
            listen: form.listen,
            scheduler: form.scheduler,
            scheduler_flags: form.scheduler_flags,
            persistence: form.persistence,
            one_packet: form.one_packet,
            checks: form.checks,
            start: form.start,
            real_servers,
        })
    }
}

impl From<Service> for ServiceForm {
    fn from(service: Service) -> Self {
        let usual = service.real_servers.first().map(|server| server.forward);
        let unless = |value: u32, usual: u32| (value != usual).then_some(value);
        let server = |server: RealServer| ServerForm {
            name: server.name,
            address: server.address,
            port: (server.port != service.listen.port).then_some(server.port),
            forward: Some(server.forward).filter(|forward| Some(*forward) != usual),
            weight: unless(server.weight, USUAL_WEIGHT),
            upper_threshold: unless(server.upper_threshold, 0),
            lower_threshold: unless(server.lower_threshold, 0),
        };
        Self {
            name: service.name,
            listen: service.listen,
            scheduler: service.scheduler,
            scheduler_flags: service.scheduler_flags,
            persistence: service.persistence,
            one_packet: service.one_packet,
            checks: service.checks,
            start: service.start,
            forward: usual,
            real_servers: service.real_servers.into_iter().map(server).collect(),
        }
    }
}
