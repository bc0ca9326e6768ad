//! One attempt against one address.

mod http;
mod tcp;

use std::borrow::Cow;
use std::fmt;
use std::io;

use nix::errno::Errno;
use tokio::net::{TcpSocket, TcpStream};

use crate::spec::{Kind, Subject};

pub use http::{BODY_LIMIT, HEAD_LIMIT};

/// What one probe found. The text is for people and names no time or count that differs from probe to probe,
/// so that equal findings have equal texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The server answered as expected.
    Pass(Cow<'static, str>),
    /// It did not.
    Fail(Cow<'static, str>),
    /// This machine lacked something (descriptors, memory, ports) to ask; it says nothing about the server.
    Inconclusive(Cow<'static, str>),
}

impl Outcome {
    /// The text alone.
    pub fn detail(&self) -> &str {
        let (Self::Pass(text) | Self::Fail(text) | Self::Inconclusive(text)) = self;
        text
    }
}

/// What a probe is doing, to say where it failed.
#[derive(Debug, Clone, Copy)]
enum Stage {
    Connecting,
    Waiting,
    Reading,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connecting => "connecting",
            Self::Waiting => "waiting for the response",
            Self::Reading => "reading the body",
        })
    }
}

/// Runs one probe. It ends within the subject's timeout, whatever the server does.
///
/// Must be called on a tokio runtime with I/O and time.
pub async fn probe(subject: &Subject) -> Outcome {
    let mut stage = Stage::Connecting;
    let spec = subject.spec();
    let attempt = async {
        match &spec.kind {
            Kind::Tcp => tcp::probe(subject.target()).await,
            // Boxed: an idle check does not pay for the room an HTTP exchange needs.
            Kind::Http(http) => Box::pin(http::probe(subject.target(), http, &mut stage)).await,
        }
    };
    match tokio::time::timeout(spec.timeout(), attempt).await {
        Ok(outcome) => outcome,
        Err(_) => {
            let timeout = fairway_config::Period(spec.timeout());
            Outcome::Fail(format!("timed out after {timeout} while {stage}").into())
        }
    }
}

/// Opens a TCP connection that will be closed by a reset: a director that probes a thousand times a second
/// must not collect a minute's worth of TIME_WAIT.
async fn connect(target: std::net::SocketAddr) -> Result<TcpStream, Outcome> {
    let open = || {
        let socket = if target.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_zero_linger()?;
        Ok(socket)
    };
    let socket = open().map_err(|error| Outcome::Inconclusive(cannot_probe(&error).into()))?;
    socket.connect(target).await.map_err(|error| failed(&error, Stage::Connecting))
}

/// An I/O error as an outcome: a fault of this machine is not held against the server.
fn failed(error: &io::Error, stage: Stage) -> Outcome {
    let local = matches!(
        error.raw_os_error().map(Errno::from_raw),
        Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::ENOBUFS | Errno::EADDRNOTAVAIL)
    );
    if local {
        Outcome::Inconclusive(cannot_probe(error).into())
    } else {
        Outcome::Fail(format!("{} while {stage}", describe(error)).into())
    }
}

fn cannot_probe(error: &io::Error) -> String {
    format!("cannot probe: {} on this director", describe(error))
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
