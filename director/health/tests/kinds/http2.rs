//! HTTP/2, with prior knowledge and by ALPN; and what HTTP/1.1 checks can ask beyond a GET.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use fairway_config::{Check, HttpCheck, HttpMethod, StatusRange};
use fairway_health::{Launcher, Spec, Subject};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::server::{Act, serve};
use super::tls::Authority;
use super::{LONG, SHORT, fail, pass, run};

/// What an HTTP/2 server answers.
#[derive(Default)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, &'static str)>,
    pub(super) body: Vec<u8>,
    pub(super) trailers: Vec<(&'static str, &'static str)>,
    /// After the body say nothing more.
    pub(super) stall: bool,
}

/// An HTTP/2 server for one connection and one request, which it hands back.
pub(super) async fn answering(
    reply: Reply,
    tls: Option<TlsAcceptor>,
) -> (SocketAddr, JoinHandle<Option<(Request<()>, Bytes)>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.ok()?;
        match tls {
            None => speak(stream, reply).await,
            Some(acceptor) => speak(acceptor.accept(stream).await.ok()?, reply).await,
        }
    });
    (address, task)
}

async fn speak(stream: impl AsyncRead + AsyncWrite + Unpin, reply: Reply) -> Option<(Request<()>, Bytes)> {
    let mut connection = h2::server::handshake(stream).await.ok()?;
    let (request, mut respond) = connection.accept().await?.ok()?;
    let (head, mut upload) = request.into_parts();
    let body = tokio::select! {
        body = upload.data() => body.and_then(Result::ok).unwrap_or_default(),
        _ = std::future::poll_fn(|context| connection.poll_closed(context)) => return None,
    };
    let mut response = Response::builder().status(reply.status);
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    let only_head = reply.body.is_empty() && reply.trailers.is_empty() && !reply.stall;
    let mut send = respond.send_response(response.body(()).unwrap(), only_head).ok()?;
    if !only_head {
        let last = reply.trailers.is_empty() && !reply.stall;
        send.send_data(reply.body.into(), last).ok()?;
    }
    if !reply.trailers.is_empty() {
        let named = |(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        send.send_trailers(reply.trailers.into_iter().map(named).collect::<HeaderMap>()).ok()?;
    }
    let _closed = std::future::poll_fn(|context| connection.poll_closed(context)).await;
    Some((Request::from_parts(head, ()), body))
}

fn check(http: HttpCheck) -> Check {
    Check { http: Some(HttpCheck { http2: true, ..http }), ..Check::default() }
}

#[tokio::test]
async fn http2_is_asked_and_judged_like_http1() {
    let ok = || Reply { status: 200, body: b"fine".to_vec(), ..Reply::default() };
    let (target, server) = answering(ok(), None).await;
    let asked = HttpCheck {
        path: "/healthz?deep=1".to_owned(),
        host: Some("shop.example".to_owned()),
        body: Some("^fine$".to_owned()),
        ..HttpCheck::default()
    };
    assert_eq!(run(target, LONG, check(asked)).await, pass("status 200, body matches"));
    let (request, _) = server.await.unwrap().unwrap();
    assert_eq!(request.uri(), "http://shop.example/healthz?deep=1");
    assert!(request.headers()["user-agent"].to_str().unwrap().starts_with("fairway-health/"));

    let (target, _server) = answering(Reply { status: 503, ..Reply::default() }, None).await;
    assert_eq!(run(target, LONG, check(HttpCheck::default())).await, fail("status 503 instead of 200"));
    let authority = Authority::new("http2");
    let acceptor = authority.server(&["shop.example"], 2099, &[b"h2"]);
    let (target, _server) = answering(ok(), Some(acceptor)).await;
    let tls = HttpCheck { tls: Some(authority.trusted("shop.example")), ..HttpCheck::default() };
    assert_eq!(run(target, LONG, check(tls.clone())).await, pass("status 200"));
    // A server without HTTP/2 is not silently spoken to in HTTP/1.1.
    let (target, _server) = answering(ok(), Some(authority.server(&["shop.example"], 2099, &[]))).await;
    assert_eq!(
        run(target, LONG, check(tls)).await,
        fail("the server does not offer HTTP/2 in TLS (ALPN h2)")
    );
}

#[tokio::test]
async fn hostile_http2_servers_end() {
    let plain = || check(HttpCheck::default());
    let (target, _server) = serve(Act::Stall).await;
    assert_eq!(
        run(target, SHORT, plain()).await,
        fail("timed out after 400ms while waiting for the response")
    );
    let (target, _server) = answering(Reply { status: 200, stall: true, ..Reply::default() }, None).await;
    assert_eq!(run(target, SHORT, plain()).await, fail("timed out after 400ms while reading the body"));
    let unusable = |outcome: fairway_health::Outcome| {
        assert!(outcome.detail().starts_with("unusable HTTP/2 response: "), "{outcome:?}");
    };
    let (target, _server) = serve(Act::say_then_stall("HTTP/1.1 400 Bad Request\r\n\r\n")).await;
    unusable(run(target, LONG, plain()).await);
    // More headers than anybody needs.
    let many = Reply {
        status: 200,
        headers: vec![("x-padding", "0123456789012345678901234567890123456789"); 2000],
        ..Reply::default()
    };
    let (target, _server) = answering(many, None).await;
    unusable(run(target, LONG, plain()).await);
    let huge = Reply { status: 200, body: vec![b'x'; 8 << 20], ..Reply::default() };
    let (target, _server) = answering(huge, None).await;
    assert_eq!(run(target, LONG, plain()).await, pass("status 200"), "the rest is not read");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        // Half a frame of settings.
        stream.write_all(&[0, 0, 6, 4, 0]).await.unwrap();
        stream.shutdown().await.unwrap();
    });
    let outcome = run(target, LONG, plain()).await;
    assert!(matches!(outcome, fairway_health::Outcome::Fail(_)), "{outcome:?}");
    server.await.unwrap();
}

#[tokio::test]
async fn a_request_says_what_the_check_says() {
    let (target, server) = serve(Act::say("HTTP/1.1 204 No Content\r\n\r\n")).await;
    let asked = HttpCheck {
        method: HttpMethod::Head,
        status: vec!["200-299".parse::<StatusRange>().unwrap()],
        headers: [("X-Probe", "1"), ("User-Agent", "mine")].map(|(a, b)| (a.to_owned(), b.to_owned())).into(),
        ..HttpCheck::default()
    };
    assert_eq!(run(target, LONG, Check { http: Some(asked), ..Check::default() }).await, pass("status 204"));
    let request = server.await.unwrap().unwrap().to_lowercase();
    assert!(request.starts_with("head / http/1.1\r\n"), "{request}");
    assert!(request.contains("\r\nx-probe: 1\r\n"), "{request}");
    assert_eq!(request.matches("user-agent:").count(), 1, "{request}");
    assert!(request.contains("\r\nuser-agent: mine\r\n"), "{request}");
}

#[tokio::test]
async fn bodies_are_digested() {
    let body = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    // As sha256sum and md5sum print them.
    let sha = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    for digest in [sha, "md5:5d41402abc4b2a76b9719d911017c592"] {
        let http = HttpCheck { digest: Some(digest.parse().unwrap()), ..HttpCheck::default() };
        let check = Check { http: Some(http), ..Check::default() };
        let (target, _server) = serve(Act::say(body)).await;
        assert_eq!(run(target, LONG, check.clone()).await, pass("status 200, digest matches"));
        let (target, _server) = serve(Act::say(body)).await;
        let spec = Spec::new(&check, &Launcher::default()).unwrap();
        let subject = Subject::new(target, Arc::new(spec)).unwrap();
        let found = fairway_health::digests(&subject).await.unwrap().map(|digest| digest.to_string());
        assert!(found.contains(&digest.to_owned()), "{found:?}");
        let (target, _server) = serve(Act::say(body.replace("hello", "hallo"))).await;
        let outcome = run(target, LONG, check.clone()).await;
        let kind = digest.split_once(':').unwrap().0;
        let start = format!("status 200, but the body's digest is {kind}:");
        assert!(outcome.detail().starts_with(&start), "{outcome:?}");
        let long = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(fairway_health::BODY_LIMIT + 1));
        let (target, _server) = serve(Act::say(long)).await;
        assert_eq!(run(target, LONG, check).await, fail("the body is too long for a digest: over 64 KiB"));
    }
}
