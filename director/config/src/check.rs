//! Health checks as they are written.

use serde::{Deserialize, Serialize};

use crate::types::Period;

/// A named health check. Exactly one probe kind is given.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Check {
    /// Time between the starts of two probes.
    #[serde(default = "default_every")]
    pub every: Period,
    /// A probe that takes longer has failed.
    #[serde(default = "default_timeout")]
    pub timeout: Period,
    /// Consecutive passes that bring a server back.
    #[serde(default = "default_rise")]
    pub rise: u32,
    /// Consecutive failures that take a server out.
    #[serde(default = "default_fall")]
    pub fall: u32,
    /// Port to probe instead of the real server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// `tcp = {}`: a TCP connection opens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpCheck>,
    /// `http = {..}`: an HTTP/1.1 GET is answered as expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpCheck>,
}

/// Which probe a [`Check`] runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe<'a> {
    /// Open a TCP connection.
    Tcp(&'a TcpCheck),
    /// HTTP/1.1 GET.
    Http(&'a HttpCheck),
}

impl Check {
    /// The probe kind, if exactly one is given.
    pub fn probe(&self) -> Option<Probe<'_>> {
        match (&self.tcp, &self.http) {
            (Some(tcp), None) => Some(Probe::Tcp(tcp)),
            (None, Some(http)) => Some(Probe::Http(http)),
            _ => None,
        }
    }
}

/// Opening a TCP connection is enough.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TcpCheck {}

/// What an HTTP/1.1 GET asks for and expects.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct HttpCheck {
    /// Path and query to ask for.
    #[serde(default = "default_path")]
    pub path: String,
    /// Status codes that pass.
    #[serde(default = "default_status")]
    pub status: Vec<u16>,
    /// Value of the Host header; absent means the server's address and port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Regular expression that must match somewhere in the first 64 KiB of the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

impl Default for HttpCheck {
    fn default() -> Self {
        Self { path: default_path(), status: default_status(), host: None, body: None }
    }
}

fn default_every() -> Period {
    Period::from_secs(2)
}

fn default_timeout() -> Period {
    Period::from_secs(1)
}

fn default_rise() -> u32 {
    2
}

fn default_fall() -> u32 {
    2
}

fn default_path() -> String {
    "/".to_owned()
}

fn default_status() -> Vec<u16> {
    vec![200]
}
