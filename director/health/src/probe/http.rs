//! An HTTP request is answered as expected.

use fairway_config::{Digest, StatusRange};
use hyper::header::{ACCEPT, CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Uri};
use md5::{Digest as _, Md5};
use regex::bytes::Regex;
use sha2::Sha256;

use super::http1::{self, Broken, Response};
use super::http2::Exchange;
use super::stream::Stream;
use super::tls::{Notice, Tls};
use super::{Outcome, Stage, failed};
use crate::target::Target;

/// The first bytes of a body that are read and matched; what follows is not asked for.
pub const BODY_LIMIT: usize = 64 * 1024;

/// Status line and headers larger than this (in bytes) are a failure.
pub const HEAD_LIMIT: usize = 32 * 1024;

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
    let response = match Response::to(stream, &request(target, spec), spec.method == Method::HEAD).await {
        Ok(response) => response,
        Err(broken) => return explain(broken, *stage),
    };
    let read = read(response, spec, notice, stage, seen).await;
    read.unwrap_or_else(|broken| explain(broken, *stage))
}

fn request(target: Target, spec: &Http) -> Vec<u8> {
    let own = HeaderValue::from_str(&target.address.to_string()).ok();
    let host = spec.host.as_ref().or(own.as_ref()).map(|host| (&HOST, host));
    let close = HeaderValue::from_static("close");
    let empty = HeaderValue::from_static("0");
    // Of the methods there are, the only one that usually comes with a body.
    let length = (spec.method == Method::POST).then_some((&CONTENT_LENGTH, &empty));
    let usual = usual_headers(spec);
    let usual = usual.iter().map(|(name, value)| (name, value));
    let given = spec.headers.iter().map(|(name, value)| (name, value));
    let path = spec.uri.path_and_query().map_or("/", |path| path.as_str());
    let all = host.into_iter().chain(usual).chain(given).chain(length).chain([(&CONNECTION, &close)]);
    http1::request(&spec.method, path, all)
}

/// What HTTP/1.1 and HTTP/2 have in common, but where the check's own headers come in their place.
fn usual_headers(spec: &Http) -> Vec<(HeaderName, HeaderValue)> {
    let all = [(USER_AGENT, HeaderValue::from_static(AGENT)), (ACCEPT, HeaderValue::from_static("*/*"))];
    let not_given =
        |(name, _): &(HeaderName, HeaderValue)| spec.headers.iter().all(|(given, _)| given != name);
    all.into_iter().filter(not_given).collect()
}

pub(super) fn unformed(error: &hyper::http::Error) -> Outcome {
    Outcome::Inconclusive(format!("cannot form the request: {error}").into())
}

async fn read(
    mut response: Response,
    spec: &Http,
    notice: Notice,
    stage: &mut Stage,
    seen: Option<&mut Vec<u8>>,
) -> Result<Outcome, Broken> {
    let mut wanted = match Wanted::new(spec, response.status, seen.is_some()) {
        Ok(wanted) => wanted,
        Err(outcome) => return Ok(outcome),
    };
    *stage = Stage::READING;
    let taken = response.body(|data| {
        wanted.take(data);
        wanted.more()
    });
    taken.await?;
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
        let mut request = Request::builder().method(spec.method.clone()).uri(uri);
        for (name, value) in usual_headers(spec).iter().chain(&spec.headers) {
            request = request.header(name, value);
        }
        request.body(())
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

fn explain(broken: Broken, stage: Stage) -> Outcome {
    match broken {
        Broken::Io(error) => failed(&error, stage),
        Broken::Closed => Outcome::Fail(format!("connection closed while {stage}").into()),
        Broken::Unusable(why) => Outcome::Fail(format!("unusable HTTP response: {why}").into()),
    }
}
