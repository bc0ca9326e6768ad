//! The gRPC health service.

use fairway_config::{Check, GrpcCheck};

use super::http2::{Reply, answering};
use super::server::{Act, serve};
use super::{LONG, SHORT, fail, pass, run};

fn check() -> Check {
    let grpc = GrpcCheck { service: "shop.Cart".to_owned(), ..GrpcCheck::default() };
    Check { grpc: Some(grpc), ..Check::default() }
}

fn reply(body: &[u8], trailers: &[(&'static str, &'static str)]) -> Reply {
    Reply {
        status: 200,
        headers: vec![("content-type", "application/grpc")],
        body: body.to_vec(),
        trailers: trailers.to_vec(),
        stall: false,
    }
}

const OK: &[(&str, &str)] = &[("grpc-status", "0")];

#[tokio::test]
async fn the_health_service_is_asked_and_understood() {
    let (target, server) = answering(reply(&[0, 0, 0, 0, 2, 8, 1], OK), None).await;
    assert_eq!(run(target, LONG, check()).await, pass("SERVING"));
    let (request, body) = server.await.unwrap().unwrap();
    assert_eq!(request.method(), "POST");
    assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
    assert_eq!(request.headers()["te"], "trailers");
    assert_eq!(request.headers()["content-type"], "application/grpc");
    // Field 1, a string of nine bytes, in a message of eleven.
    assert_eq!(&body[..], b"\0\0\0\0\x0b\x0a\x09shop.Cart");
    for (body, text) in [
        (&[0, 0, 0, 0, 2, 8, 2][..], "NOT_SERVING"),
        (&[0, 0, 0, 0, 2, 8, 3], "SERVICE_UNKNOWN"),
        // The default of a field is not sent.
        (&[0, 0, 0, 0, 0], "the service's health is UNKNOWN"),
        (&[1, 0, 0, 0, 2, 8, 1], "unusable answer to the health check"),
        (&[0, 0, 0, 0, 9, 8, 1], "unusable answer to the health check"),
        (&[0, 0], "unusable answer to the health check"),
    ] {
        let (target, _server) = answering(reply(body, OK), None).await;
        assert_eq!(run(target, LONG, check()).await, fail(text));
    }
}

#[tokio::test]
async fn errors_and_hostile_servers_fail() {
    let (target, _server) = answering(reply(&[], &[("grpc-status", "12")]), None).await;
    assert_eq!(
        run(target, LONG, check()).await,
        fail("gRPC status 12: the server does not implement health checks")
    );
    // Without a body the status comes with the headers.
    let early = Reply { status: 200, headers: vec![("grpc-status", "5")], ..Reply::default() };
    let (target, _server) = answering(early, None).await;
    assert_eq!(run(target, LONG, check()).await, fail("gRPC status 5: the server does not know the service"));
    let (target, _server) = answering(Reply { status: 404, ..Reply::default() }, None).await;
    assert_eq!(run(target, LONG, check()).await, fail("HTTP status 404 instead of a gRPC answer"));
    let (target, _server) = answering(reply(&[b'x'; 100_000], OK), None).await;
    assert_eq!(run(target, LONG, check()).await, fail("the answer is too long for a health check"));
    let stall = Reply { stall: true, ..reply(&[0, 0], &[]) };
    let (target, _server) = answering(stall, None).await;
    assert_eq!(run(target, SHORT, check()).await, fail("timed out after 400ms while reading the answer"));
    let (target, _server) = serve(Act::say("")).await;
    let outcome = run(target, LONG, check()).await;
    assert!(matches!(outcome, fairway_health::Outcome::Fail(_)), "{outcome:?}");
}
