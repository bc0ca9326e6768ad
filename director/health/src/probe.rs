//! One attempt against one address.

pub(crate) mod agent;
pub(crate) mod dns;
pub(crate) mod file;
pub(crate) mod grpc;
pub(crate) mod http;
mod http1;
mod http2;
pub(crate) mod ping;
pub(crate) mod post;
pub(crate) mod script;
pub(crate) mod smtp;
mod stream;
pub(crate) mod tcp;
pub(crate) mod tls;
pub(crate) mod udp;

use std::borrow::Cow;
use std::fmt;
use std::io;

use fairway_config::Digest;
use md5::{Digest as _, Md5};
use nix::errno::Errno;
use sha2::Sha256;

use crate::spec::{Kind, Subject};

pub use http::{BODY_LIMIT, HEAD_LIMIT};

/// What one probe found. The text is for people and names no time or count that differs from probe to probe,
/// so that equal findings have equal texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The server answered as expected.
    Pass(Cow<'static, str>),
    /// It did, but something about it wants attention.
    Warn(Cow<'static, str>),
    /// It did, and said how much it can take.
    Advice(Advice, Cow<'static, str>),
    /// It did not.
    Fail(Cow<'static, str>),
    /// It said at once that there is no such service: connection refused, or ICMP unreachable.
    Refused(Cow<'static, str>),
    /// This machine lacked something (descriptors, memory, ports) to ask; it says nothing about the server.
    Inconclusive(Cow<'static, str>),
}

impl Outcome {
    /// The text alone.
    pub fn detail(&self) -> &str {
        let (Self::Pass(text)
        | Self::Warn(text)
        | Self::Advice(_, text)
        | Self::Fail(text)
        | Self::Refused(text)
        | Self::Inconclusive(text)) = self;
        text
    }
}

/// What weight a server, or somebody for it, asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Advice {
    /// This many hundredths of its configured weight.
    Percent(u32),
    /// This weight.
    Weight(u32),
}

impl Advice {
    /// The weight of a server that is configured with `weight`. A share of something is never nothing, unless it
    /// is 0 %.
    pub fn apply(self, weight: u32) -> u32 {
        match self {
            Self::Weight(weight) => weight,
            Self::Percent(percent) => {
                let share = (u64::from(weight) * u64::from(percent)).div_ceil(100);
                u32::try_from(share).unwrap_or(u32::MAX)
            }
        }
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(0) => f.write_str("drain"),
            Self::Percent(percent) => write!(f, "{percent} %"),
            Self::Weight(weight) => write!(f, "weight {weight}"),
        }
    }
}

/// What a probe is doing, to say where it failed.
#[derive(Debug, Clone, Copy)]
struct Stage(&'static str);

impl Stage {
    const CONNECTING: Self = Self("connecting");
    const TLS: Self = Self("negotiating TLS");
    const WAITING: Self = Self("waiting for the response");
    const READING: Self = Self("reading the body");
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Runs one probe. It ends within the subject's timeout, whatever the server does.
///
/// Must be called on a tokio runtime with I/O and time.
pub async fn probe(subject: &Subject) -> Outcome {
    let mut stage = Stage::CONNECTING;
    let (spec, target) = (subject.spec(), subject.target());
    let _turn = if let Kind::Script(_) = spec.kind { script::turn().await } else { None };
    let attempt = async {
        let stage = &mut stage;
        // Boxed: an idle check does not pay for the room an exchange needs.
        match &spec.kind {
            Kind::Tcp(tcp) => Box::pin(tcp::probe(target, tcp, stage)).await,
            Kind::Http(http) => Box::pin(http::probe(target, http, stage, None)).await,
            Kind::Grpc(grpc) => Box::pin(grpc::probe(target, grpc, stage)).await,
            Kind::Smtp(smtp) => Box::pin(smtp::probe(target, smtp, stage)).await,
            Kind::Dns(dns) => Box::pin(dns::probe(target, dns, stage)).await,
            Kind::Udp(udp) => Box::pin(udp::probe(target, udp, spec.timeout(), stage)).await,
            Kind::Ping => Box::pin(ping::probe(target.address.ip(), stage)).await,
            Kind::Bfd(paths) => paths.look(target.address.ip()),
            Kind::Script(script) => Box::pin(script::probe(target.address, script, stage)).await,
            Kind::File(file) => Box::pin(file::probe(file, stage)).await,
            Kind::Agent(agent) => Box::pin(agent::probe(target, agent, stage)).await,
        }
    };
    match tokio::time::timeout(spec.timeout(), attempt).await {
        Ok(outcome) => outcome,
        Err(_) => {
            let timeout = fairway_config::Period(spec.timeout());
            let late = Outcome::Fail(format!("timed out after {timeout} while {stage}").into());
            if let Kind::Agent(_) = spec.kind { agent::unheard(late) } else { late }
        }
    }
}

/// The digests, of each kind a check can compare, of what an HTTP check gets now.
///
/// Must be called on a tokio runtime with I/O and time.
///
/// # Errors
/// What the probe saw, where it got no body; or why there are no digests.
pub async fn digests(subject: &Subject) -> Result<[Digest; 2], String> {
    let Kind::Http(http) = &subject.spec().kind else {
        return Err("only http checks have something to digest".to_owned());
    };
    let (mut stage, mut seen) = (Stage::CONNECTING, Vec::new());
    let attempt = http::probe(subject.target(), http, &mut stage, Some(&mut seen));
    match tokio::time::timeout(subject.spec().timeout(), attempt).await {
        Ok(Outcome::Pass(_) | Outcome::Warn(_)) => {
            Ok([Digest::Sha256(Sha256::digest(&seen).into()), Digest::Md5(Md5::digest(&seen).into())])
        }
        Ok(outcome) => Err(outcome.detail().to_owned()),
        Err(_) => Err(format!("timed out while {stage}")),
    }
}

/// An I/O error as an outcome: a fault of this machine is not held against the server.
fn failed(error: &io::Error, stage: Stage) -> Outcome {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::ENOBUFS | Errno::EADDRNOTAVAIL) => {
            cannot_probe(error)
        }
        Some(Errno::ECONNREFUSED | Errno::EHOSTUNREACH | Errno::ENETUNREACH) => {
            Outcome::Refused(format!("{} while {stage}", describe(error)).into())
        }
        _ => Outcome::Fail(format!("{} while {stage}", describe(error)).into()),
    }
}

fn cannot_probe(error: &io::Error) -> Outcome {
    Outcome::Inconclusive(format!("cannot probe: {} on this director", describe(error)).into())
}

fn describe(error: &io::Error) -> String {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(errno) => {
            let text = errno.desc();
            let mut letters = text.chars();
            letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
        }
        None => error.to_string(),
    }
}
