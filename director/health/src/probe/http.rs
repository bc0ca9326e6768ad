//! An HTTP request is answered as expected.

use std::error::Error as _;
use std::io;
use std::pin::pin;

use bytes::Bytes;
use fairway_config::{Digest, StatusRange};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header::{ACCEPT, CONNECTION, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use md5::{Digest as _, Md5};
use regex::bytes::Regex;
use sha2::Sha256;

use super::http2::Exchange;
use super::stream::Stream;
use super::tls::{Notice, Tls};
use super::{Outcome, Stage, failed};
use crate::target::Target;

/// The first bytes of a body that are read and matched; what follows is not asked for.
pub const BODY_LIMIT: usize = 64 * 1024;

/// Status line and headers larger than this (in bytes) are a failure.
pub const HEAD_LIMIT: usize = 32 * 1024;

/// Status line and at most this many headers.
const HEADERS: usize = 100;

/// Why there is no digest.
const TOO_LONG: &str = "the body is too long for a digest: over 64 KiB";

/// Who asks.
pub(super) const AGENT: &str = concat!("fairway-health/", env!("CARGO_PKG_VERSION"));

/// What is asked and expected.
#[derive(Debug)]
pub(crate) struct Http {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) uri: Uri,
    pub(crate) host: Option<HeaderValue>,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) status: Vec<StatusRange>,
    pub(crate) body: Option<Regex>,
    /// Of the whole body.
    pub(crate) digest: Option<Digest>,
    pub(crate) tls: Option<Tls>,
    /// HTTP/2; without TLS by prior knowledge.
    pub(crate) http2: bool,
}

/// Asks, and reads the answer up to [`BODY_LIMIT`] even where only the status counts: a server that stalls or
/// breaks off in the middle of a small body is not well.
///
/// What has been read of a body that was expected as it came is put into `seen`, where somebody wants it.
pub(super) async fn probe(
    target: Target,
    spec: &Http,
    stage: &mut Stage,
    seen: Option<&mut Vec<u8>>,
) -> Outcome {
    let (stream, notice) = match Stream::open(target, spec.tls.as_ref(), stage).await {
        Ok(opened) => opened,
        Err(outcome) => return outcome,
    };
    *stage = Stage::WAITING;
    if spec.http2 {
        return over_http2(stream, notice, target, spec, stage, seen).await;
    }
    let request = match request(target, spec) {
        Ok(request) => request,
        Err(error) => return unformed(&error),
    };
    let handshake =
        Builder::new().max_buf_size(HEAD_LIMIT).max_headers(HEADERS).handshake(TokioIo::new(stream)).await;
    let (sender, connection) = match handshake {
        Ok(parts) => parts,
        Err(error) => return explain(&error, *stage),
    };
    let outcome = {
        let mut exchange = pin!(exchange(sender, request, spec, notice, stage, seen));
        let connection = pin!(connection);
        // The connection moves the bytes of the exchange. When it ends first, the exchange finds what was
        // read before, or the reason.
        tokio::select! {
            biased;
            outcome = &mut exchange => outcome,
            _ = connection => exchange.await,
        }
    };
    outcome.unwrap_or_else(|error| explain(&error, *stage))
}

fn request(target: Target, spec: &Http) -> Result<Request<Empty<Bytes>>, hyper::http::Error> {
    let mut request = Request::builder().method(spec.method.clone()).uri(spec.uri.clone());
    request = match &spec.host {
        Some(host) => request.header(HOST, host),
        None => request.header(HOST, target.address.to_string()),
    };
    common_headers(request, spec).header(CONNECTION, "close").body(Empty::new())
}

/// What HTTP/1.1 and HTTP/2 have in common; the check's own headers come in place of ours.
fn common_headers(mut request: hyper::http::request::Builder, spec: &Http) -> hyper::http::request::Builder {
    for (name, value) in [(USER_AGENT, AGENT), (ACCEPT, "*/*")] {
        if spec.headers.iter().all(|(given, _)| *given != name) {
            request = request.header(name, value);
        }
    }
    for (name, value) in &spec.headers {
        request = request.header(name, value);
    }
    request
}

pub(super) fn unformed(error: &hyper::http::Error) -> Outcome {
    Outcome::Inconclusive(format!("cannot form the request: {error}").into())
}

async fn exchange(
    mut sender: SendRequest<Empty<Bytes>>,
    request: Request<Empty<Bytes>>,
    spec: &Http,
    notice: Notice,
    stage: &mut Stage,
    seen: Option<&mut Vec<u8>>,
) -> Result<Outcome, hyper::Error> {
    let response = sender.send_request(request).await?;
    let mut wanted = match Wanted::new(spec, response.status().as_u16(), seen.is_some()) {
        Ok(wanted) => wanted,
        Err(outcome) => return Ok(outcome),
    };
    *stage = Stage::READING;
    let mut body: Incoming = response.into_body();
    while wanted.more()
        && let Some(frame) = body.frame().await
    {
        if let Some(data) = frame?.data_ref() {
            wanted.take(data);
        }
    }
    Ok(wanted.judge(notice, seen))
}

async fn over_http2(
    stream: Stream,
    notice: Notice,
    target: Target,
    spec: &Http,
    stage: &mut Stage,
    seen: Option<&mut Vec<u8>>,
) -> Outcome {
    let scheme = if spec.tls.is_some() { "https" } else { "http" };
    let authority = match &spec.host {
        Some(host) => host.to_str().unwrap_or_default().to_owned(),
        None => target.address.to_string(),
    };
    let uri = Uri::builder()
        .scheme(scheme)
        .authority(authority)
        .path_and_query(spec.uri.path_and_query().map_or("/", |path| path.as_str()))
        .build();
    let request = uri.and_then(|uri| {
        let request = Request::builder().method(spec.method.clone()).uri(uri);
        common_headers(request, spec).body(())
    });
    let request = match request {
        Ok(request) => request,
        Err(error) => return unformed(&error),
    };
    super::http2::exchange(stream, request, None, stage, async |mut answer: Exchange, stage| {
        let mut wanted = match Wanted::new(spec, answer.head.status.as_u16(), seen.is_some()) {
            Ok(wanted) => wanted,
            Err(outcome) => return Ok(outcome),
        };
        *stage = Stage::READING;
        while wanted.more()
            && let Some(data) = answer.chunk().await?
        {
            wanted.take(&data);
        }
        Ok(wanted.judge(notice, seen))
    })
    .await
}

/// What the check wants of a response, while its body comes in.
struct Wanted<'a> {
    spec: &'a Http,
    status: u16,
    body: Vec<u8>,
    /// All of the body counts.
    all: bool,
    /// There was more than was kept.
    cut: bool,
}

impl<'a> Wanted<'a> {
    /// The status is the first thing to be looked at.
    fn new(spec: &'a Http, status: u16, all: bool) -> Result<Self, Outcome> {
        if !spec.status.iter().any(|range| range.contains(status)) {
            let wanted = spec.status.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return Err(Outcome::Fail(format!("status {status} instead of {wanted}").into()));
        }
        Ok(Self { spec, status, body: Vec::new(), all: all || spec.digest.is_some(), cut: false })
    }

    /// Whether more of the body is needed. Where all of it counts, one byte too many must show.
    fn more(&self) -> bool {
        self.body.len() < BODY_LIMIT || (self.all && !self.cut)
    }

    fn take(&mut self, data: &[u8]) {
        let room = BODY_LIMIT - self.body.len();
        self.cut |= data.len() > room;
        self.body.extend_from_slice(&data[..data.len().min(room)]);
    }

    fn judge(self, notice: Notice, seen: Option<&mut Vec<u8>>) -> Outcome {
        let status = self.status;
        if let Some(seen) = seen {
            if self.cut {
                return Outcome::Fail(TOO_LONG.into());
            }
            *seen = self.body;
            return notice.pass(format!("status {status}").into());
        }
        if let Some(pattern) = &self.spec.body
            && !pattern.is_match(&self.body)
        {
            let text = format!("status {status}, but the body does not match \"{pattern}\"");
            return Outcome::Fail(text.into());
        }
        if let Some(wanted) = self.spec.digest {
            if self.cut {
                return Outcome::Fail(TOO_LONG.into());
            }
            let found = match wanted {
                Digest::Sha256(_) => Digest::Sha256(Sha256::digest(&self.body).into()),
                Digest::Md5(_) => Digest::Md5(Md5::digest(&self.body).into()),
            };
            if found != wanted {
                return Outcome::Fail(format!("status {status}, but the body's digest is {found}").into());
            }
        }
        let text = match (&self.spec.body, self.spec.digest) {
            (Some(_), _) => format!("status {status}, body matches"),
            (None, Some(_)) => format!("status {status}, digest matches"),
            (None, None) => format!("status {status}"),
        };
        notice.pass(text.into())
    }
}

fn explain(error: &hyper::Error, stage: Stage) -> Outcome {
    let cause = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    let closed = error.is_incomplete_message()
        || cause.is_some_and(|cause| cause.kind() == io::ErrorKind::UnexpectedEof);
    match cause {
        _ if closed => Outcome::Fail(format!("connection closed while {stage}").into()),
        Some(cause) if cause.raw_os_error().is_some() => failed(cause, stage),
        // What hyper finds wrong in a chunked body comes as an I/O error of its own making.
        Some(cause) => Outcome::Fail(format!("unusable HTTP response: {cause}").into()),
        None => Outcome::Fail(format!("unusable HTTP response: {error}").into()),
    }
}
