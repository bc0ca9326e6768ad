//! What each kind of probe asks for and expects.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::values::{Digest, DnsRecord, DnsTransport, HttpMethod, Payload, StatusRange};
use crate::types::Period;

/// TLS on a probe's connection. The server's certificate is verified unless `verify = false`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Tls {
    /// The server's name: sent (SNI), and looked for in its certificate. Absent: the `host` of the check, or
    /// the server's address, which is not sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// Whether the certificate must be valid for that name.
    #[serde(skip_serializing_if = "is_true")]
    pub verify: bool,
    /// Certificates (PEM) of the authorities to trust instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// A certificate (PEM) to show to the server, and its `key-file`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_file: Option<PathBuf>,
    /// The private key (PEM) of `certificate-file`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// A certificate that ends within this time passes, with a warning.
    #[serde(skip_serializing_if = "is_usual_warning")]
    pub expiry_warning: Period,
}

// serde wants a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_true(flag: &bool) -> bool {
    *flag
}

/// A list, or its only element.
fn one_or_more<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<StatusRange>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a status code, a range such as \"200-299\", or a list of them")]
    enum Form {
        One(StatusRange),
        More(Vec<StatusRange>),
    }
    Ok(match Form::deserialize(from)? {
        Form::One(range) => vec![range],
        Form::More(ranges) => ranges,
    })
}

const USUAL_WARNING: Period = Period::from_secs(14 * 24 * 3600);

fn is_usual_warning(period: &Period) -> bool {
    *period == USUAL_WARNING
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            sni: None,
            verify: true,
            ca_file: None,
            certificate_file: None,
            key_file: None,
            expiry_warning: USUAL_WARNING,
        }
    }
}

/// A TCP connection opens, and what is said on it is as expected.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct TcpCheck {
    /// What to send once the connection is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send: Option<Payload>,
    /// Regular expression that must match in the first 4 KiB received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect: Option<String>,
    /// Speak TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// What an HTTP request asks for and expects. Redirects are not followed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct HttpCheck {
    /// The request's method.
    #[serde(skip_serializing_if = "HttpMethod::is_default")]
    pub method: HttpMethod,
    /// Path and query to ask for.
    pub path: String,
    /// Status codes that pass, `200` or `"200-299"`, one or a list.
    #[serde(deserialize_with = "one_or_more")]
    pub status: Vec<StatusRange>,
    /// Value of the Host header; absent means the server's address and port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Regular expression that must match somewhere in the first 64 KiB of the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Digest of the whole body, which must not exceed 64 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Speak HTTP/2 and nothing else: over TLS by ALPN, without TLS with prior knowledge.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub http2: bool,
    /// Further headers.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Speak TLS (https).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

impl Default for HttpCheck {
    fn default() -> Self {
        Self {
            method: HttpMethod::default(),
            path: "/".to_owned(),
            status: vec![StatusRange::one(200)],
            host: None,
            body: None,
            digest: None,
            http2: false,
            headers: BTreeMap::new(),
            tls: None,
        }
    }
}

/// The gRPC health checking protocol (`grpc.health.v1.Health/Check`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct GrpcCheck {
    /// The service asked about; empty: the server as a whole.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service: String,
    /// The `:authority`; absent means the server's address and port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Speak TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// A mail server greets with 220 and answers `EHLO` (or `HELO`) with 250.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SmtpCheck {
    /// The name to say in `EHLO`; absent means the director's host name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub helo: Option<String>,
    /// Ask for TLS with `STARTTLS`; otherwise `tls` starts with the connection.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub starttls: bool,
    /// TLS settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// A DNS server answers a query without an error.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DnsCheck {
    /// The name asked for.
    pub name: String,
    /// The type of record asked for.
    #[serde(rename = "type", default)]
    pub record: DnsRecord,
    /// UDP or TCP.
    #[serde(default, skip_serializing_if = "DnsTransport::is_default")]
    pub transport: DnsTransport,
    /// Each must be among the answers, written as in a zone file; empty: any answer without an error passes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answer: Vec<String>,
}

/// A UDP datagram is sent; an ICMP refusal fails, and so does silence where an answer is expected.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct UdpCheck {
    /// What to send; absent: an empty datagram.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send: Option<Payload>,
    /// Regular expression that an answer must match (`""`: any answer); absent: silence passes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect: Option<String>,
}

/// ICMP echo is answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct PingCheck {}

/// A program exits with status 0. It runs unprivileged, and is killed with all it started at the timeout.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ScriptCheck {
    /// The program, by absolute path, and its arguments. Nothing is expanded.
    pub command: Vec<String>,
    /// Exit status 2 to 255 also passes, and sets the weight to the status less 2.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub weight: bool,
}

/// A file on the director says `up`, `down`, `drain`, a percentage or a weight; without the file the check fails.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FileCheck {
    /// The file, by absolute path.
    pub path: PathBuf,
}

/// The server says on a TCP connection, in one line, how it is: words as HAProxy's agent-check knows them
/// (`up`, `down`, `drain`, `75%`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct AgentCheck {
    /// What to send first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send: Option<Payload>,
}
