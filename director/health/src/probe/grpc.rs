//! The gRPC health checking protocol (`grpc.health.v1.Health/Check`) says SERVING.

use bytes::{BufMut as _, Bytes, BytesMut};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue, TE, USER_AGENT};
use hyper::{Method, Request, Uri};
use prost::Message as _;

use super::http2::Exchange;
use super::stream::Stream;
use super::tls::Tls;
use super::{Outcome, Stage};
use crate::target::Target;

/// The answer is one small message; more than this (in bytes) is none.
const ANSWER_LIMIT: usize = 4096;
/// In front of every message: a flag for compression, and the length.
const PREFIX: usize = 5;

/// What is asked.
#[derive(Debug)]
pub(crate) struct Grpc {
    /// The service whose health is asked for; empty: the server's as a whole.
    pub(crate) service: String,
    /// The `:authority`; without one the server's address and port.
    pub(crate) authority: Option<HeaderValue>,
    pub(crate) tls: Option<Tls>,
}

#[derive(prost::Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(prost::Message)]
struct HealthCheckResponse {
    /// 0 unknown, 1 serving, 2 not serving, 3 unknown service.
    #[prost(int32, tag = "1")]
    status: i32,
}

pub(super) async fn probe(target: Target, spec: &Grpc, stage: &mut Stage) -> Outcome {
    let (stream, notice) = match Stream::open(target, spec.tls.as_ref(), stage).await {
        Ok(opened) => opened,
        Err(outcome) => return outcome,
    };
    *stage = Stage::WAITING;
    let authority = match &spec.authority {
        Some(authority) => authority.to_str().unwrap_or_default().to_owned(),
        None => target.address.to_string(),
    };
    let uri = Uri::builder()
        .scheme(if spec.tls.is_some() { "https" } else { "http" })
        .authority(authority)
        .path_and_query("/grpc.health.v1.Health/Check")
        .build();
    let request = uri.and_then(|uri| {
        Request::builder()
            .method(Method::POST)
            .uri(uri)
            .header(CONTENT_TYPE, "application/grpc")
            .header(TE, "trailers")
            .header(USER_AGENT, super::http::AGENT)
            .body(())
    });
    let request = match request {
        Ok(request) => request,
        Err(error) => return super::http::unformed(&error),
    };
    let body = message(&HealthCheckRequest { service: spec.service.clone() });
    super::http2::exchange(stream, request, Some(body), stage, async |mut answer: Exchange, stage| {
        let http = answer.head.status.as_u16();
        if http != 200 {
            return Ok(Outcome::Fail(format!("HTTP status {http} instead of a gRPC answer").into()));
        }
        if let Some(text) = error_in(&answer.head.headers) {
            return Ok(Outcome::Fail(text.into()));
        }
        *stage = Stage("reading the answer");
        let mut body = Vec::new();
        while let Some(data) = answer.chunk().await? {
            body.extend_from_slice(&data);
            if body.len() > ANSWER_LIMIT {
                return Ok(Outcome::Fail("the answer is too long for a health check".into()));
            }
        }
        if let Some(text) = answer.trailers().await?.as_ref().and_then(error_in) {
            return Ok(Outcome::Fail(text.into()));
        }
        Ok(match status(&body) {
            Some(1) => notice.pass("SERVING".into()),
            Some(0) => Outcome::Fail("the service's health is UNKNOWN".into()),
            Some(2) => Outcome::Fail("NOT_SERVING".into()),
            Some(3) => Outcome::Fail("SERVICE_UNKNOWN".into()),
            _ => Outcome::Fail("unusable answer to the health check".into()),
        })
    })
    .await
}

/// A message as gRPC carries it: not compressed, with its length in front.
fn message(message: &impl prost::Message) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(PREFIX + length);
    bytes.put_u8(0);
    bytes.put_u32(length as u32);
    bytes.extend_from_slice(&message.encode_to_vec());
    bytes.freeze()
}

fn status(body: &[u8]) -> Option<i32> {
    let (prefix, message) = body.split_at_checked(PREFIX)?;
    let length = u32::from_be_bytes(prefix[1..].try_into().ok()?) as usize;
    if prefix[0] != 0 || length != message.len() {
        return None;
    }
    HealthCheckResponse::decode(message).ok().map(|response| response.status)
}

/// What a `grpc-status` other than 0 (OK) says.
fn error_in(headers: &HeaderMap) -> Option<String> {
    let status = headers.get("grpc-status")?.to_str().ok()?;
    let name = match status {
        "0" => return None,
        "5" => "the server does not know the service",
        "7" => "permission denied",
        "12" => "the server does not implement health checks",
        "14" => "unavailable",
        "16" => "not authenticated",
        _ => "error",
    };
    Some(format!("gRPC status {status}: {name}"))
}
