//! How a service is written. A large director.toml is mostly real servers, and reading it is most of a start:
//! what is usual (the service's port, one kind of forwarding, weight 1) is not repeated for each of them.

use std::net::IpAddr;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::{
    ChecksRequired, Forward, Listen, OnFailure, Persistence, Protocol, Quorum, RealServer, Scheduler,
    SchedulerFlag, Service, SorryServer, StartHealth, Tunnel,
};
use crate::InvalidValue;
use crate::types::{Family, Period};

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
    #[serde(default, skip_serializing_if = "ChecksRequired::is_default")]
    checks_required: ChecksRequired,
    #[serde(default, skip_serializing_if = "StartHealth::is_default")]
    start: StartHealth,
    #[serde(default, skip_serializing_if = "OnFailure::is_default")]
    on_failure: OnFailure,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slow_start: Option<Period>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    suspend_on_backup: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    down_on_stop: bool,
    /// Of the servers that do not say it themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    forward: Option<ForwardKind>,
    #[serde(default, skip_serializing_if = "Quorum::is_default")]
    quorum: Quorum,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tunnel: Option<Tunnel>,
    listen: Listen,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    persistence: Option<Persistence>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sorry_server: Option<SorryForm>,
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
    forward: Option<ForwardKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weight: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    upper_threshold: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lower_threshold: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checks: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    on_failure: Option<OnFailure>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tunnel: Option<Tunnel>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct SorryForm {
    address: IpAddr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    forward: Option<ForwardKind>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    inhibit: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tunnel: Option<Tunnel>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct ListenForm {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    protocol: Option<Protocol>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fwmark: Option<NonZeroU32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    family: Option<Family>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a sum of weights, or { up = 9, down = 5 }")]
pub(super) enum QuorumForm {
    Same(u32),
    Apart(QuorumTable),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct QuorumTable {
    up: u32,
    down: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ForwardKind {
    Direct,
    Nat,
    Tunnel,
}

const USUAL_WEIGHT: u32 = 1;

/// What `forward` and `tunnel` say together, with the service's own for what is not said. `who` needs to know.
fn forward(
    who: impl Fn() -> String,
    own: (Option<ForwardKind>, Option<Tunnel>),
    usual: (Option<ForwardKind>, Option<Tunnel>),
) -> Result<Forward, InvalidValue> {
    let (kind, tunnel) = match own {
        (None, tunnel) => (usual.0, tunnel),
        (kind, tunnel) => (kind, tunnel),
    };
    match (kind, tunnel) {
        (None, _) => Err(InvalidValue(format!(
            "{}: say how packets reach it, forward = \"direct\", \"nat\" or \"tunnel\", there or for the whole service",
            who()
        ))),
        (Some(ForwardKind::Tunnel), tunnel) => Ok(Forward::Tunnel(tunnel.or(usual.1).unwrap_or_default())),
        (Some(_), Some(_)) => Err(InvalidValue(format!(
            "{}: tunnel belongs to forward = \"tunnel\"; take one of the two out",
            who()
        ))),
        (Some(ForwardKind::Direct), None) => Ok(Forward::Direct),
        (Some(ForwardKind::Nat), None) => Ok(Forward::Nat),
    }
}

/// The opposite of [`forward`].
fn written(own: Forward, usual: Option<Forward>) -> (Option<ForwardKind>, Option<Tunnel>) {
    let kind = |forward| match forward {
        Forward::Direct => ForwardKind::Direct,
        Forward::Nat => ForwardKind::Nat,
        Forward::Tunnel(_) => ForwardKind::Tunnel,
    };
    if Some(own) == usual {
        return (None, None);
    }
    let usual_tunnel = match usual {
        Some(Forward::Tunnel(tunnel)) => Some(tunnel),
        _ => None,
    };
    let tunnel = match own {
        Forward::Tunnel(tunnel) if tunnel != usual_tunnel.unwrap_or_default() => Some(tunnel),
        _ => None,
    };
    (Some(kind(own)).filter(|own| Some(*own) != usual.map(kind)), tunnel)
}

impl TryFrom<ServiceForm> for Service {
    type Error = InvalidValue;

    fn try_from(form: ServiceForm) -> Result<Self, InvalidValue> {
        let usual = (form.forward, form.tunnel);
        if form.tunnel.is_some() && form.forward.is_some_and(|kind| kind != ForwardKind::Tunnel) {
            return Err(InvalidValue(format!(
                "service {}: tunnel belongs to forward = \"tunnel\"; take one of the two out",
                form.name
            )));
        }
        let server = |server: ServerForm| {
            let who = || format!("real server {} of service {}", server.name, form.name);
            Ok(RealServer {
                forward: forward(who, (server.forward, server.tunnel), usual)?,
                port: server.port.unwrap_or(form.listen.port()),
                name: server.name,
                address: server.address,
                weight: server.weight.unwrap_or(USUAL_WEIGHT),
                upper_threshold: server.upper_threshold.unwrap_or(0),
                lower_threshold: server.lower_threshold.unwrap_or(0),
                checks: server.checks,
                on_failure: server.on_failure,
            })
        };
        let real_servers = form.real_servers.into_iter().map(server).collect::<Result<_, InvalidValue>>()?;
        let sorry = |sorry: SorryForm| {
            let who = || format!("the sorry server of service {}", form.name);
            Ok(SorryServer {
                address: sorry.address,
                port: sorry.port.unwrap_or(form.listen.port()),
                forward: forward(who, (sorry.forward, sorry.tunnel), usual)?,
                inhibit: sorry.inhibit,
            })
        };
        Ok(Self {
            sorry_server: form.sorry_server.map(sorry).transpose()?,
            name: form.name,
            listen: form.listen,
            scheduler: form.scheduler,
            scheduler_flags: form.scheduler_flags,
            persistence: form.persistence,
            one_packet: form.one_packet,
            checks: form.checks,
            checks_required: form.checks_required,
            start: form.start,
            on_failure: form.on_failure,
            slow_start: form.slow_start,
            suspend_on_backup: form.suspend_on_backup,
            down_on_stop: form.down_on_stop,
            quorum: form.quorum,
            real_servers,
        })
    }
}

impl From<Service> for ServiceForm {
    fn from(service: Service) -> Self {
        let usual = service.real_servers.first().map(|server| server.forward);
        let port = |port: u16| (port != service.listen.port()).then_some(port);
        let unless = |value: u32, usual: u32| (value != usual).then_some(value);
        let server = |server: RealServer| {
            let (forward, tunnel) = written(server.forward, usual);
            ServerForm {
                name: server.name,
                address: server.address,
                port: port(server.port),
                forward,
                weight: unless(server.weight, USUAL_WEIGHT),
                upper_threshold: unless(server.upper_threshold, 0),
                lower_threshold: unless(server.lower_threshold, 0),
                checks: server.checks,
                on_failure: server.on_failure,
                tunnel,
            }
        };
        let sorry = |sorry: SorryServer| {
            let (forward, tunnel) = written(sorry.forward, usual);
            SorryForm {
                address: sorry.address,
                port: port(sorry.port),
                forward,
                inhibit: sorry.inhibit,
                tunnel,
            }
        };
        let (forward, tunnel) = usual.map_or((None, None), |usual| written(usual, None));
        Self {
            name: service.name,
            scheduler: service.scheduler,
            scheduler_flags: service.scheduler_flags,
            one_packet: service.one_packet,
            checks: service.checks,
            checks_required: service.checks_required,
            start: service.start,
            on_failure: service.on_failure,
            slow_start: service.slow_start,
            suspend_on_backup: service.suspend_on_backup,
            down_on_stop: service.down_on_stop,
            forward,
            quorum: service.quorum,
            tunnel,
            listen: service.listen,
            persistence: service.persistence,
            sorry_server: service.sorry_server.map(sorry),
            real_servers: service.real_servers.into_iter().map(server).collect(),
        }
    }
}

impl TryFrom<ListenForm> for Listen {
    type Error = InvalidValue;

    fn try_from(form: ListenForm) -> Result<Self, InvalidValue> {
        match form {
            ListenForm {
                address: Some(address),
                port: Some(port),
                protocol: Some(protocol),
                fwmark: None,
                family: None,
            } => Ok(Self::Address { address, port, protocol }),
            ListenForm {
                fwmark: Some(mark),
                family: Some(family),
                address: None,
                port: None,
                protocol: None,
            } => Ok(Self::Fwmark { mark, family }),
            _ => Err(InvalidValue(
                "a service listens on { address = \"192.0.2.1\", port = 80, protocol = \"tcp\" } or on \
                 { fwmark = 1, family = \"ipv4\" }"
                    .to_owned(),
            )),
        }
    }
}

impl From<Listen> for ListenForm {
    fn from(listen: Listen) -> Self {
        let fwmark = match listen {
            Listen::Fwmark { mark, .. } => Some(mark),
            Listen::Address { .. } => None,
        };
        let address = listen.address();
        Self {
            address,
            port: address.map(|_| listen.port()),
            protocol: listen.protocol(),
            fwmark,
            family: fwmark.map(|_| listen.family()),
        }
    }
}

impl From<QuorumForm> for Quorum {
    fn from(form: QuorumForm) -> Self {
        match form {
            QuorumForm::Same(weight) => Self { up: weight, down: weight },
            QuorumForm::Apart(QuorumTable { up, down }) => Self { up, down },
        }
    }
}

impl From<Quorum> for QuorumForm {
    fn from(quorum: Quorum) -> Self {
        if quorum.up == quorum.down {
            Self::Same(quorum.up)
        } else {
            Self::Apart(QuorumTable { up: quorum.up, down: quorum.down })
        }
    }
}
