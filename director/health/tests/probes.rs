//! Probes against loopback servers that answer, stall, reset and lie.

#[path = "common/server.rs"]
mod server;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fairway_config::{Check, HttpCheck, Period, StatusRange, TcpCheck};
use fairway_health::{Launcher, Outcome, Spec, Subject, probe};
use server::{Act, serve};

/// Of checks that are expected to run into it.
const SHORT: Duration = Duration::from_millis(300);
/// Of checks that are not, however busy the machine is.
const LONG: Duration = Duration::from_secs(10);

fn check(timeout: Duration) -> Check {
    Check { timeout: Period(timeout), ..Check::default() }
}

fn subject(target: SocketAddr, check: &Check) -> Subject {
    let spec = Spec::new(check, &Launcher::default()).unwrap();
    Subject::new(target, Arc::new(spec)).unwrap()
}

fn tcp(target: SocketAddr, timeout: Duration) -> Subject {
    subject(target, &Check { tcp: Some(TcpCheck::default()), ..check(timeout) })
}

fn http(target: SocketAddr, timeout: Duration, http: HttpCheck) -> Subject {
    subject(target, &Check { http: Some(http), ..check(timeout) })
}

async fn get(act: Act) -> Outcome {
    let (target, _server) = serve(act).await;
    bounded(&http(target, LONG, HttpCheck::default())).await
}

/// [`get`] with a short timeout.
async fn hurry(act: Act) -> Outcome {
    let (target, _server) = serve(act).await;
    bounded(&http(target, SHORT, HttpCheck::default())).await
}

async fn matching(act: Act, pattern: &str) -> Outcome {
    let (target, _server) = serve(act).await;
    bounded(&http(target, LONG, HttpCheck { body: Some(pattern.to_owned()), ..HttpCheck::default() })).await
}

/// Runs a probe and insists that it ends near its timeout.
async fn bounded(subject: &Subject) -> Outcome {
    let start = Instant::now();
    let outcome = probe(subject).await;
    let took = start.elapsed();
    assert!(took < subject.spec().timeout() + Duration::from_secs(2), "took {took:?}: {outcome:?}");
    outcome
}

fn pass(text: &'static str) -> Outcome {
    Outcome::Pass(text.into())
}

fn refused(text: &'static str) -> Outcome {
    Outcome::Refused(text.into())
}

fn fail(text: &'static str) -> Outcome {
    Outcome::Fail(text.into())
}

#[tokio::test]
async fn tcp_connects() {
    let (target, server) = serve(Act::Stall).await;
    assert_eq!(bounded(&tcp(target, LONG)).await, pass("connected"));
    // The probe closes by a reset, so no TIME_WAIT is left behind.
    assert_eq!(server.await.unwrap().unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn tcp_connects_over_ipv6() {
    let listener = tokio::net::TcpListener::bind("[::1]:0").await.unwrap();
    assert_eq!(bounded(&tcp(listener.local_addr().unwrap(), LONG)).await, pass("connected"));
}

#[tokio::test]
async fn refused_connections_fail() {
    let (target, _reserved) = server::closed_port();
    assert_eq!(bounded(&tcp(target, LONG)).await, refused("connection refused while connecting"));
    assert_eq!(
        bounded(&http(target, LONG, HttpCheck::default())).await,
        refused("connection refused while connecting")
    );
}

#[tokio::test]
async fn a_silent_address_times_out() {
    let (target, _full) = server::full_backlog().await;
    assert_eq!(bounded(&tcp(target, SHORT)).await, fail("timed out after 300ms while connecting"));
}

#[tokio::test]
async fn a_good_answer_passes() {
    assert_eq!(get(Act::say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")).await, pass("status 200"));
    assert_eq!(get(Act::say("HTTP/1.0 200 OK\r\n\r\nto the end")).await, pass("status 200"));
    assert_eq!(
        get(Act::say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")).await,
        pass("status 200")
    );
    assert_eq!(
        get(Act::say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")).await,
        pass("status 200")
    );
}

#[tokio::test]
async fn the_request_is_what_the_check_says() {
    let (target, server) = serve(Act::say("HTTP/1.1 204 No Content\r\n\r\n")).await;
    let wanted = HttpCheck {
        path: "/healthz?deep=1".to_owned(),
        status: vec![StatusRange::one(200), StatusRange::one(204)],
        host: Some("shop.example".to_owned()),
        ..HttpCheck::default()
    };
    assert_eq!(bounded(&http(target, LONG, wanted)).await, pass("status 204"));
    let request = server.await.unwrap().unwrap();
    let lower = request.to_lowercase();
    assert!(request.starts_with("GET /healthz?deep=1 HTTP/1.1\r\n"), "{request}");
    assert_eq!(lower.matches("host:").count(), 1, "{request}");
    assert!(lower.contains("\r\nhost: shop.example\r\n"), "{request}");
    assert!(lower.contains("\r\nconnection: close\r\n"), "{request}");

    let (target, server) = serve(Act::say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")).await;
    bounded(&http(target, LONG, HttpCheck::default())).await;
    let request = server.await.unwrap().unwrap().to_lowercase();
    assert!(request.contains(&format!("\r\nhost: {target}\r\n")), "{request}");
}

#[tokio::test]
async fn a_wrong_status_fails() {
    assert_eq!(
        get(Act::say("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")).await,
        fail("status 503 instead of 200")
    );
    // Even when it never ends.
    assert_eq!(
        get(Act::say_then_stall("HTTP/1.1 302 Found\r\nContent-Length: 10\r\n\r\n")).await,
        fail("status 302 instead of 200")
    );
}

#[tokio::test]
async fn bodies_are_matched() {
    let good = || Act::say("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nstatus=fine");
    assert_eq!(matching(good(), "^status=(ok|fine)$").await, pass("status 200, body matches"));
    assert_eq!(
        matching(good(), "status=ok").await,
        fail("status 200, but the body does not match \"status=ok\"")
    );
    // Not text, but the pattern is in it.
    let binary = Act::say_bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n\xff\xfeok\xff\x00");
    assert_eq!(matching(binary, "ok").await, pass("status 200, body matches"));
}

#[tokio::test]
async fn only_the_first_64_kib_of_a_body_are_read() {
    let head = "HTTP/1.1 200 OK\r\n\r\n";
    let at = |offset: usize| Act::say(format!("{head}{}needle", "x".repeat(offset)));
    let last = fairway_health::BODY_LIMIT - "needle".len();
    assert_eq!(matching(at(last), "needle").await, pass("status 200, body matches"));
    assert_eq!(
        matching(at(last + 1), "needle").await,
        fail("status 200, but the body does not match \"needle\"")
    );
    let endless = || Act::Repeat { first: head.into(), then: "x".repeat(1000), pause: None };
    assert_eq!(get(endless()).await, pass("status 200"));
    assert_eq!(
        matching(endless(), "needle").await,
        fail("status 200, but the body does not match \"needle\"")
    );
}

#[tokio::test]
async fn stalls_time_out_at_every_stage() {
    let waiting = fail("timed out after 300ms while waiting for the response");
    let reading = fail("timed out after 300ms while reading the body");
    assert_eq!(hurry(Act::Stall).await, waiting);
    assert_eq!(hurry(Act::say_then_stall("HTTP/1.1 20")).await, waiting);
    assert_eq!(hurry(Act::say_then_stall("HTTP/1.1 200 OK\r\nContent-Le")).await, waiting);
    assert_eq!(hurry(Act::say_then_stall("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")).await, reading);
    assert_eq!(hurry(Act::say_then_stall("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok")).await, reading);
    assert_eq!(
        hurry(Act::say_then_stall("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")).await,
        reading
    );
}

#[tokio::test]
async fn slow_drips_time_out() {
    let drip = |first: &str, then: &str| Act::Repeat {
        first: first.to_owned(),
        then: then.to_owned(),
        pause: Some(Duration::from_millis(20)),
    };
    assert_eq!(
        hurry(drip("HTTP/1.1 200 OK\r\nX: ", "x")).await,
        fail("timed out after 300ms while waiting for the response")
    );
    assert_eq!(
        hurry(drip("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", "x")).await,
        fail("timed out after 300ms while reading the body")
    );
    assert_eq!(
        hurry(drip("", "HTTP/1.1 100 Continue\r\n\r\n")).await,
        fail("timed out after 300ms while waiting for the response")
    );
}

#[tokio::test]
async fn floods_end() {
    let flood =
        |first: &str, then: &str| Act::Repeat { first: first.to_owned(), then: then.to_owned(), pause: None };
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let all = [
        flood("", "HTTP/1.1 100 Continue\r\n\r\n"),
        flood(&format!("{chunked}1;"), "x"),
        flood(chunked, "0"),
        flood(&format!("{chunked}1\r\nx\r\n0\r\n"), "X: y\r\n"),
        flood(&format!("{chunked}1\r\nx\r\n0\r\nX: "), "y"),
    ];
    for act in all {
        let outcome = hurry(act).await;
        assert!(matches!(outcome, Outcome::Fail(_)), "{outcome:?}");
    }
}

#[tokio::test]
async fn resets_fail_at_every_stage() {
    assert_eq!(
        get(Act::Reset(String::new())).await,
        fail("connection reset by peer while waiting for the response")
    );
    assert_eq!(
        get(Act::Reset("HTTP/1.1 200 OK\r\n".to_owned())).await,
        fail("connection reset by peer while waiting for the response")
    );
    assert_eq!(
        get(Act::Reset("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok".to_owned())).await,
        fail("connection reset by peer while reading the body")
    );
}

#[tokio::test]
async fn early_closes_fail() {
    assert_eq!(get(Act::say("")).await, fail("connection closed while waiting for the response"));
    assert_eq!(
        get(Act::say("HTTP/1.1 200 OK\r\nCont")).await,
        fail("connection closed while waiting for the response")
    );
    assert_eq!(
        get(Act::say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok")).await,
        fail("connection closed while reading the body")
    );
}

#[tokio::test]
async fn lies_fail() {
    let unusable = |outcome: Outcome| match outcome {
        Outcome::Fail(text) => assert!(text.starts_with("unusable HTTP response: "), "{text}"),
        other => panic!("{other:?}"),
    };
    unusable(get(Act::say("SSH-2.0-OpenSSH_9.2p1\r\n")).await);
    unusable(get(Act::say_bytes(&[0x16, 3, 1, 0, 200, 0xff, 0xfe, 0, 0, 0, 0, 0, 0, 0, 0, 0])).await);
    unusable(get(Act::say("HTTP/1.1 99999 OK\r\n\r\n")).await);
    unusable(get(Act::say("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n")).await);
    unusable(get(Act::say("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab")).await);
    unusable(get(Act::say("HTTP/1.1 200 OK\r\nno colon\r\n\r\n")).await);
    unusable(
        get(Act::Repeat { first: "HTTP/1.1 200 OK\r\n".into(), then: "X: y\r\n".into(), pause: None }).await,
    );
    unusable(
        get(Act::Repeat { first: "HTTP/1.1 200 OK\r\nX: ".into(), then: "y".repeat(999), pause: None }).await,
    );
    unusable(get(Act::say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")).await);
}
