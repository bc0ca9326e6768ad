//! What is probed, compiled once: addresses, paths and patterns are checked before the first probe runs.

use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fairway_config::{Check, HttpCheck, StatusRange};
use hyper::Uri;
use hyper::header::HeaderValue;
use regex::bytes::Regex;

/// Why a check cannot be run. The texts complete a sentence that starts with the check's name.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither or both of `tcp` and `http` are given.
    #[error("give exactly one probe: tcp = {{}} or http = {{ .. }}")]
    Kind,
    /// A kind of probe that this version does not have.
    #[error("{0} checks are not carried out by this version; use tcp or http")]
    NotYet(&'static str),
    /// The body pattern is no regular expression.
    #[error("http.body is not a regular expression: {0}")]
    Body(#[source] regex::Error),
    /// The path has characters that a request line cannot carry.
    #[error("http.path \"{path}\" cannot be asked for: {source}; percent-encode the odd characters")]
    Path {
        /// The path as written.
        path: String,
        /// What is wrong with it.
        source: hyper::http::uri::InvalidUri,
    },
    /// The Host header has characters that a header cannot carry.
    #[error("http.host \"{host}\" cannot be sent: {source}")]
    Host {
        /// The host as written.
        host: String,
        /// What is wrong with it.
        source: hyper::http::header::InvalidHeaderValue,
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
    pub(crate) kind: Kind,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Tcp,
    Http(HttpSpec),
}

#[derive(Debug)]
pub(crate) struct HttpSpec {
    pub(crate) uri: Uri,
    pub(crate) status: Vec<StatusRange>,
    pub(crate) host: Option<HeaderValue>,
    pub(crate) body: Option<Regex>,
}

impl Spec {
    /// Compiles a check.
    ///
    /// # Errors
    /// See [`Error`]; all but [`Error::Port`] can occur.
    pub fn new(check: &Check) -> Result<Self, Error> {
        let kind = match check.probe().ok_or(Error::Kind)? {
            fairway_config::Probe::Tcp(_) => Kind::Tcp,
            fairway_config::Probe::Http(http) => Kind::Http(HttpSpec::new(http)?),
            other => return Err(Error::NotYet(other.name())),
        };
        Ok(Self { check: Check { port: None, ..check.clone() }, port: check.port, kind })
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
        self.check.rise
    }

    /// Consecutive failures that take a server out.
    pub fn fall(&self) -> u32 {
        self.check.fall
    }
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

impl HttpSpec {
    fn new(http: &HttpCheck) -> Result<Self, Error> {
        let uri = http.path.parse().map_err(|source| Error::Path { path: http.path.clone(), source })?;
        let host = http
            .host
            .as_ref()
            .map(|host| {
                HeaderValue::from_str(host).map_err(|source| Error::Host { host: host.clone(), source })
            })
            .transpose()?;
        let body = http.body.as_deref().map(Regex::new).transpose().map_err(Error::Body)?;
        Ok(Self { uri, status: http.status.clone(), host, body })
    }
}

/// One thing that is probed: an address and what is asked of it. Checks of equal subjects are one check.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject {
    target: SocketAddr,
    spec: Arc<Spec>,
}

impl Subject {
    /// What `spec` probes on a server: the check's own port if it has one, else the server's.
    ///
    /// # Errors
    /// [`Error::Port`] if neither has a port.
    pub fn new(mut server: SocketAddr, spec: Arc<Spec>) -> Result<Self, Error> {
        if let Some(port) = spec.port {
            server.set_port(port);
        }
        if server.port() == 0 {
            return Err(Error::Port);
        }
        Ok(Self { target: server, spec })
    }

    /// The address and port that are probed.
    pub fn target(&self) -> SocketAddr {
        self.target
    }

    /// What is asked there.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }
}
