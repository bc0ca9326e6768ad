//! Health checks as they are written.

mod kinds;
mod values;

use serde::{Deserialize, Serialize};

use crate::BfdCheck;
use crate::types::Period;

pub use kinds::{
    AgentCheck, DnsCheck, FileCheck, GrpcCheck, HttpCheck, PingCheck, ScriptCheck, SmtpCheck, TcpCheck, Tls,
    UdpCheck,
};
pub use values::{Digest, DnsRecord, DnsTransport, HttpMethod, Payload, StatusRange};

/// A named health check. Exactly one probe kind is given.
// Tables come last: TOML wants them there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Check {
    /// Time between the starts of two probes.
    pub every: Period,
    /// Up to this much, at random, is added to each `every`, so that many checks do not start together.
    #[serde(skip_serializing_if = "Period::is_zero")]
    pub jitter: Period,
    /// Time between the starts of two probes while the last result and the verdict differ; absent means `every`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_every: Option<Period>,
    /// A probe that takes longer has failed.
    pub timeout: Period,
    /// Consecutive passes that bring a server back.
    pub rise: u32,
    /// Consecutive failures that take a server out.
    pub fall: u32,
    /// A refused connection or an ICMP error counts as `fall` failures at once.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fast_fail: bool,
    /// Port to probe instead of the real server's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Which way the probe takes.
    #[serde(skip_serializing_if = "Via::is_default")]
    pub via: Via,
    /// `tcp = {}`: a TCP connection opens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpCheck>,
    /// `http = {..}`: an HTTP request is answered as expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpCheck>,
    /// `grpc = {..}`: the gRPC health service says `SERVING`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc: Option<GrpcCheck>,
    /// `smtp = {}`: a mail server greets and answers `EHLO`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smtp: Option<SmtpCheck>,
    /// `dns = {..}`: a DNS server answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns: Option<DnsCheck>,
    /// `udp = {..}`: a datagram is answered, or at least not refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub udp: Option<UdpCheck>,
    /// `ping = {}`: ICMP echo is answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ping: Option<PingCheck>,
    /// `bfd = {}`: a BFD session with it is up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bfd: Option<BfdCheck>,
    /// `script = {..}`: a program exits with status 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script: Option<ScriptCheck>,
    /// `file = {..}`: a file on the director says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<FileCheck>,
    /// `agent = {}`: the server itself says how much it can take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentCheck>,
}

impl Default for Check {
    /// The usual pace, and no probe.
    fn default() -> Self {
        Self {
            every: Period::from_secs(2),
            jitter: Period::from_secs(0),
            retry_every: None,
            timeout: Period::from_secs(1),
            rise: 2,
            fall: 2,
            fast_fail: false,
            port: None,
            via: Via::default(),
            tcp: None,
            http: None,
            grpc: None,
            smtp: None,
            dns: None,
            udp: None,
            ping: None,
            bfd: None,
            script: None,
            file: None,
            agent: None,
        }
    }
}

/// Which way a probe takes to its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// To the server's own address.
    #[default]
    Server,
    /// To the VIP, delivered to this server: the way of clients with direct routing and tunnels.
    Vip,
}

impl Via {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Which probe a [`Check`] runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe<'a> {
    /// Open a TCP connection.
    Tcp(&'a TcpCheck),
    /// HTTP request.
    Http(&'a HttpCheck),
    /// gRPC health service.
    Grpc(&'a GrpcCheck),
    /// SMTP greeting.
    Smtp(&'a SmtpCheck),
    /// DNS query.
    Dns(&'a DnsCheck),
    /// UDP datagram.
    Udp(&'a UdpCheck),
    /// ICMP echo.
    Ping(&'a PingCheck),
    /// BFD session.
    Bfd(&'a BfdCheck),
    /// A program's exit status.
    Script(&'a ScriptCheck),
    /// A file's content.
    File(&'a FileCheck),
    /// The server's own word.
    Agent(&'a AgentCheck),
}

/// The transport a probe uses to reach a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeTransport {
    /// A TCP port.
    Tcp,
    /// A UDP port.
    Udp,
    /// No port at all.
    None,
}

impl Probe<'_> {
    /// The name of the kind, which is its key.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "tcp",
            Self::Http(_) => "http",
            Self::Grpc(_) => "grpc",
            Self::Smtp(_) => "smtp",
            Self::Dns(_) => "dns",
            Self::Udp(_) => "udp",
            Self::Ping(_) => "ping",
            Self::Bfd(_) => "bfd",
            Self::Script(_) => "script",
            Self::File(_) => "file",
            Self::Agent(_) => "agent",
        }
    }

    /// What kind of port it needs, if any.
    pub const fn transport(&self) -> ProbeTransport {
        match self {
            Self::Tcp(_) | Self::Http(_) | Self::Grpc(_) | Self::Smtp(_) | Self::Agent(_) => {
                ProbeTransport::Tcp
            }
            Self::Dns(dns) => match dns.transport {
                DnsTransport::Tcp => ProbeTransport::Tcp,
                DnsTransport::Udp => ProbeTransport::Udp,
            },
            Self::Udp(_) => ProbeTransport::Udp,
            Self::Ping(_) | Self::Bfd(_) | Self::Script(_) | Self::File(_) => ProbeTransport::None,
        }
    }
}

impl Check {
    /// The keys of all probe kinds.
    pub const KINDS: [&'static str; 11] =
        ["tcp", "http", "grpc", "smtp", "dns", "udp", "ping", "bfd", "script", "file", "agent"];

    /// Every probe kind that is given.
    pub fn probes(&self) -> impl Iterator<Item = Probe<'_>> {
        [
            self.tcp.as_ref().map(Probe::Tcp),
            self.http.as_ref().map(Probe::Http),
            self.grpc.as_ref().map(Probe::Grpc),
            self.smtp.as_ref().map(Probe::Smtp),
            self.dns.as_ref().map(Probe::Dns),
            self.udp.as_ref().map(Probe::Udp),
            self.ping.as_ref().map(Probe::Ping),
            self.bfd.as_ref().map(Probe::Bfd),
            self.script.as_ref().map(Probe::Script),
            self.file.as_ref().map(Probe::File),
            self.agent.as_ref().map(Probe::Agent),
        ]
        .into_iter()
        .flatten()
    }

    /// The probe kind, if exactly one is given.
    pub fn probe(&self) -> Option<Probe<'_>> {
        let mut probes = self.probes();
        let probe = probes.next()?;
        probes.next().is_none().then_some(probe)
    }
}
