//! The schema of `director.toml`, the one file a director reads.
//!
//! `fairway-gen` builds these types and serialises them; `fairway-director` parses them back. Nothing here
//! does I/O, so both ends share exactly one definition of every key, default and rule.
//!
//! ```
//! let text = r#"
//! version = 1
//! cluster = "shop"
//! host = "lb1"
//! "#;
//! let config = fairway_config::Config::from_toml(text)?;
//! assert_eq!(config.host, "lb1");
//! # Ok::<(), fairway_config::Error>(())
//! ```

mod bfd;
mod check;
mod document;
mod failover;
mod notify;
pub mod provision;
mod route;
mod service;
mod shared;
mod track;
mod types;
mod validate;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use bfd::{AdminDown, BfdCheck, BfdKey, BfdSession, TrackedBfd};
pub use check::{
    AgentCheck, Check, Digest, DnsCheck, DnsRecord, DnsTransport, FileCheck, GrpcCheck, HttpCheck,
    HttpMethod, Payload, PingCheck, Probe, ProbeTransport, ScriptCheck, SmtpCheck, StatusRange, TcpCheck,
    Tls, UdpCheck, Via,
};
pub use document::Document;
pub use failover::{
    Announce, Auth, Checksum, FailoverGroup, HmacAuth, HmacKey, HmacMode, Instance, KeyFile, Preempt,
    VirtualIp, VirtualMac, VrrpVersion,
};
pub use notify::{EventKind, Hook, Mail, Notify, Security, Way, Webhook};
pub use route::{Prefix, VirtualRoute, VirtualRule};
pub use service::{
    ChecksRequired, Forward, Listen, OnFailure, Persistence, PersistenceEngine, Protocol, Quorum, RealServer,
    Scheduler, SchedulerFlag, Service, SorryServer, StartHealth, Tunnel, TunnelChecksum, TunnelKind,
};
pub use shared::Shared;
pub use track::{Expected, Initial, Tracked, TrackedFile, TrackedProcess, TrackedScript, Tracker};
pub use types::{Family, IfName, InvalidValue, Period, Priority, Vrid};
pub use validate::Problem;

/// The version of the schema this crate reads and writes.
pub const SCHEMA_VERSION: u32 = 1;

/// Marks of the packets of probes with `via = "vip"`: the bits of [`PROBE_MARK_MASK`] are these. The director gives them
/// to IPVS services of its own, which no configured service may have.
pub const PROBE_MARK: std::num::NonZeroU32 = std::num::NonZeroU32::new(0xFA00_0000).unwrap();

/// The bits that tell such a mark.
pub const PROBE_MARK_MASK: u32 = 0xFF00_0000;

/// Where the director looks for its configuration unless told otherwise.
pub const DEFAULT_PATH: &str = "/etc/fairway/director.toml";

/// A whole `director.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// Schema version, [`SCHEMA_VERSION`].
    pub version: u32,
    /// Name of the cluster, for people.
    pub cluster: String,
    /// Name of this host in the topology.
    pub host: String,
    /// What the director does with the kernel's IPVS table as a whole.
    #[serde(default, skip_serializing_if = "Ipvs::is_default")]
    pub ipvs: Ipvs,
    /// Connections are shared with the other directors; absent means they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_sync: Option<ConnectionSync>,
    /// Health checks by name; services refer to them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub checks: BTreeMap<String, Check>,
    /// Who is told of what happens, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub notify: BTreeMap<String, Notify>,
    /// Failover groups: what is elected between directors.
    #[serde(default, rename = "failover", skip_serializing_if = "Vec::is_empty")]
    pub failover: Vec<FailoverGroup>,
    /// Virtual services: what IPVS balances.
    #[serde(default, rename = "service", skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<Arc<Service>>,
}

/// The kernel's connection synchronisation, by UDP and multicast. What is absent is the kernel's own choice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ConnectionSync {
    /// The interface it is sent and heard on. It needs an IPv4 address.
    pub interface: IfName,
    /// Directors with the same number share connections.
    pub id: u8,
    /// The multicast group it goes to, IPv4 or IPv6; 224.0.0.81.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<IpAddr>,
    /// The UDP port; 8848.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// How many routers may pass it on, and one; 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u8>,
    /// The largest message in bytes; what fits the interface's packets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u16>,
}

impl ConnectionSync {
    /// The kernel's group (`IP_VS_SYNC_GROUP`).
    pub const GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 81));
    /// The kernel's port (`IP_VS_SYNC_PORT`).
    pub const PORT: u16 = 8848;
}

/// Settings of the IPVS table as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Ipvs {
    /// How long the audit takes to walk the whole kernel table once.
    #[serde(default = "default_audit_period")]
    pub audit_period: Period,
    /// Connection timeouts; absent means the kernel's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
    /// Keep the services in the kernel when the director stops.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_on_stop: bool,
}

/// IPVS connection timeouts, in whole seconds (kernel: `IPVS_CMD_ATTR_TIMEOUT_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Timeouts {
    /// Established TCP connections (kernel default 15m).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<Period>,
    /// TCP connections after a FIN (kernel default 2m).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp_fin: Option<Period>,
    /// UDP "connections" (kernel default 5m).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub udp: Option<Period>,
}

fn default_audit_period() -> Period {
    Period::from_secs(60)
}

impl Default for Ipvs {
    fn default() -> Self {
        Self { audit_period: default_audit_period(), timeouts: None, keep_on_stop: false }
    }
}

impl Ipvs {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Why a `director.toml` was refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is not TOML of this schema. The message names line, column and key.
    #[error("not a director configuration: {0}")]
    Parse(#[from] toml::de::Error),
    /// The configuration cannot be written as TOML.
    #[error("cannot write the director configuration: {0}")]
    Write(#[from] toml::ser::Error),
    /// The text is well formed, but says something that cannot be done.
    #[error("{}", validate::join(.0))]
    Invalid(Vec<Problem>),
}

impl Config {
    /// Parses and validates a `director.toml`.
    ///
    /// # Errors
    /// [`Error::Parse`] for bad TOML or unknown keys, [`Error::Invalid`] with every broken rule at once.
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        Document::read(text, None).map(|document| Arc::unwrap_or_clone(document.config().clone()))
    }

    /// The configuration as a `director.toml`; the same input gives the same bytes.
    ///
    /// # Errors
    /// [`Error::Write`] if a value has no TOML form.
    pub fn to_toml(&self) -> Result<String, Error> {
        Ok(toml::to_string(self)?)
    }

    /// Checks everything the types alone cannot: references, uniqueness, ranges across keys.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all problems found.
    pub fn validate(&self) -> Result<(), Error> {
        let problems = validate::problems(self);
        if problems.is_empty() { Ok(()) } else { Err(Error::Invalid(problems)) }
    }
}

#[cfg(test)]
mod tests;
