//! What is probed, compiled once: addresses, paths, patterns and certificates are checked before the first probe
//! runs.

mod compile;

use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fairway_config::{Check, ProbeTransport};
use sha2::{Digest as _, Sha256};

use crate::Outcome;
use crate::paths::Paths;
use crate::probe::{agent, dns, file, grpc, http, script, smtp, tcp, tls, udp};
use crate::target::{Detour, Target};

pub use compile::Launcher;
pub(crate) use compile::tls as tls_of;

/// Why a check cannot be run. The texts complete a sentence that starts with the check's name.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No probe, or more than one.
    #[error("give exactly one probe: {}", Check::KINDS.join(", "))]
    Kind,
    /// A pattern is no regular expression.
    #[error("{key} is not a regular expression: {source}")]
    Pattern {
        /// Where it is.
        key: &'static str,
        /// What is wrong with it.
        source: Box<regex::Error>,
    },
    /// The path has characters that a request line cannot carry.
    #[error("http.path \"{path}\" cannot be asked for: {source}; percent-encode the odd characters")]
    Path {
        /// The path as written.
        path: String,
        /// What is wrong with it.
        source: hyper::http::uri::InvalidUri,
    },
    /// A header, or its name, has characters that cannot be sent.
    #[error("{key} \"{value}\" cannot be sent: {why}")]
    Header {
        /// Where it is.
        key: &'static str,
        /// The header as written.
        value: String,
        /// What is wrong with it.
        why: String,
    },
    /// Something cannot be posted there.
    #[error("\"{url}\" cannot be posted to: {why}")]
    Url {
        /// As written.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// TLS cannot be set up.
    #[error("{key}: {source}")]
    Tls {
        /// Where it is.
        key: &'static str,
        /// What is wrong with it.
        source: tls::TlsError,
    },
    /// The name is no domain name.
    #[error("dns.name \"{name}\" is no domain name: {why}")]
    DnsName {
        /// The name as written.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// The server has port 0 (every port) and the check does not say which one to probe.
    #[error("the server has no port of its own to probe; give the check a port")]
    Port,
}

/// A [`Check`], ready to run.
///
/// Two are equal when they ask the same of a server; the port is part of the [`Subject`], not of this.
#[derive(Debug)]
pub struct Spec {
    /// As written, without the port.
    check: Check,
    port: Option<u16>,
    /// Whether the probe goes to a port at all.
    to_port: bool,
    digest: u64,
    pub(crate) kind: Kind,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Tcp(tcp::Tcp),
    Http(Box<http::Http>),
    Grpc(grpc::Grpc),
    Smtp(smtp::Smtp),
    Dns(dns::Dns),
    Udp(udp::Udp),
    Ping,
    Bfd(Paths),
    Script(script::Script),
    File(file::File),
    Agent(agent::Agent),
}

impl Spec {
    /// Compiles a check. Reads the certificate files it names.
    ///
    /// # Errors
    /// See [`Error`]; all but [`Error::Port`] can occur.
    pub fn new(check: &Check, launcher: &Launcher) -> Result<Self, Error> {
        let probe = check.probe().ok_or(Error::Kind)?;
        let without_port = Check { port: None, ..check.clone() };
        Ok(Self {
            digest: digest(&without_port),
            check: without_port,
            port: check.port,
            to_port: probe.transport() != ProbeTransport::None,
            kind: compile::kind(probe, launcher)?,
        })
    }

    /// Where BFD sessions tell of their paths; a check by BFD sees nothing without.
    #[must_use]
    pub fn with_paths(mut self, paths: &Paths) -> Self {
        if let Kind::Bfd(known) = &mut self.kind {
            *known = paths.clone();
        }
        self
    }

    /// The check as it is written, without its port.
    pub fn check(&self) -> &Check {
        &self.check
    }

    /// Time between the starts of two probes.
    pub fn every(&self) -> Duration {
        self.check.every.get()
    }

    /// How long a probe may take, connecting and reading included.
    pub fn timeout(&self) -> Duration {
        self.check.timeout.get()
    }

    /// Consecutive passes that bring a server back.
    pub fn rise(&self) -> u32 {
        if self.counts_itself() { 1 } else { self.check.rise }
    }

    /// Consecutive failures that take a server out.
    pub fn fall(&self) -> u32 {
        if self.counts_itself() { 1 } else { self.check.fall }
    }

    /// A BFD session is not judged by one packet.
    fn counts_itself(&self) -> bool {
        matches!(self.kind, Kind::Bfd(_))
    }
}

/// Equal checks have equal digests, in every process of a release. Of another release it may be another one.
fn digest(check: &Check) -> u64 {
    let digest = Sha256::digest(format!("{check:?}"));
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

impl PartialEq for Spec {
    fn eq(&self, other: &Self) -> bool {
        self.check == other.check
    }
}

impl Eq for Spec {}

impl Hash for Spec {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.check.hash(state);
    }
}

/// One thing that is probed: an address and what is asked of it. Checks of equal subjects are one check.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject {
    target: Target,
    spec: Arc<Spec>,
}

impl Subject {
    /// What `spec` probes on a server: the check's own port if it has one, else the server's.
    ///
    /// # Errors
    /// [`Error::Port`] if a port is needed and neither has one.
    pub fn new(server: SocketAddr, spec: Arc<Spec>) -> Result<Self, Error> {
        Self::with(Target { address: server, detour: None }, spec)
    }

    /// The same, asked at `vip`, which is a virtual IP and its port, of the server that the detour leads to.
    ///
    /// # Errors
    /// [`Error::Port`] if a port is needed and neither has one.
    pub fn at(vip: SocketAddr, detour: Detour, spec: Arc<Spec>) -> Result<Self, Error> {
        Self::with(Target { address: vip, detour: Some(detour) }, spec)
    }

    fn with(mut target: Target, spec: Arc<Spec>) -> Result<Self, Error> {
        if let Some(port) = spec.port {
            target.address.set_port(port);
        }
        if target.address.port() == 0 && spec.to_port {
            return Err(Error::Port);
        }
        Ok(Self { target, spec })
    }

    /// Returns when a probe would see something else than `seen`; never, if nobody tells.
    pub(crate) async fn changed(&self, seen: &Outcome) {
        match &self.spec.kind {
            Kind::Bfd(paths) => paths.changed(self.target.address.ip(), seen).await,
            _ => std::future::pending().await,
        }
    }

    /// A name for it that another process can know it by: equal subjects have equal ones.
    pub fn fingerprint(&self) -> String {
        format!("{} {:016x}", self.target, self.spec.digest)
    }

    /// Where it is probed.
    pub fn target(&self) -> Target {
        self.target
    }

    /// What is asked there.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }
}
