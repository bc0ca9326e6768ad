//! An HTTP/1.1 GET is answered as expected.

use std::error::Error as _;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;

use bytes::Bytes;
use fairway_config::StatusRange;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header::{ACCEPT, CONNECTION, HOST, USER_AGENT};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

use super::{Outcome, Stage, connect, failed};
use crate::spec::HttpSpec;

/// The first bytes of a body that are read and matched; what follows is not asked for.
pub const BODY_LIMIT: usize = 64 * 1024;

/// Status line and headers larger than this (in bytes) are a failure.
pub const HEAD_LIMIT: usize = 32 * 1024;

/// Status line and at most this many headers.
const HEADERS: usize = 100;

/// Asks, and reads the answer up to [`BODY_LIMIT`] even where only the status counts: a server that stalls or
/// breaks off in the middle of a small body is not well.
pub(super) async fn probe(target: SocketAddr, spec: &HttpSpec, stage: &mut Stage) -> Outcome {
    let stream = match connect(target).await {
        Ok(stream) => stream,
        Err(outcome) => return outcome,
    };
    *stage = Stage::Waiting;
    let request = match request(target, spec) {
        Ok(request) => request,
        Err(error) => return Outcome::Inconclusive(format!("cannot form the request: {error}").into()),
    };
    let handshake =
        Builder::new().max_buf_size(HEAD_LIMIT).max_headers(HEADERS).handshake(TokioIo::new(stream)).await;
    let (sender, connection) = match handshake {
        Ok(parts) => parts,
        Err(error) => return explain(&error, *stage),
    };
    let outcome = {
        let mut exchange = pin!(exchange(sender, request, spec, stage));
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

fn request(target: SocketAddr, spec: &HttpSpec) -> Result<Request<Empty<Bytes>>, hyper::http::Error> {
    let request = Request::get(spec.uri.clone());
    let request = match &spec.host {
        Some(host) => request.header(HOST, host),
        None => request.header(HOST, target.to_string()),
    };
    request
        .header(USER_AGENT, concat!("fairway-health/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "*/*")
        .header(CONNECTION, "close")
        .body(Empty::new())
}

async fn exchange(
    mut sender: SendRequest<Empty<Bytes>>,
    request: Request<Empty<Bytes>>,
    spec: &HttpSpec,
    stage: &mut Stage,
) -> Result<Outcome, hyper::Error> {
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    if !spec.status.iter().any(|range| range.contains(status)) {
        return Ok(Outcome::Fail(format!("status {status} instead of {}", list(&spec.status)).into()));
    }
    *stage = Stage::Reading;
    let body = read(response).await?;
    Ok(match &spec.body {
        Some(pattern) if !pattern.is_match(&body) => {
            Outcome::Fail(format!("status {status}, but the body does not match \"{pattern}\"").into())
        }
        Some(_) => Outcome::Pass(format!("status {status}, body matches").into()),
        None => Outcome::Pass(format!("status {status}").into()),
    })
}

/// The body up to [`BODY_LIMIT`].
async fn read(response: Response<Incoming>) -> Result<Vec<u8>, hyper::Error> {
    let mut body = response.into_body();
    let mut read = Vec::new();
    while read.len() < BODY_LIMIT
        && let Some(frame) = body.frame().await
    {
        if let Some(data) = frame?.data_ref() {
            read.extend_from_slice(&data[..data.len().min(BODY_LIMIT - read.len())]);
        }
    }
    Ok(read)
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

fn list(status: &[StatusRange]) -> String {
    status.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
