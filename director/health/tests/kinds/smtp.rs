//! Mail servers without TLS; those with it are in `tls`.

use std::net::SocketAddr;

use fairway_config::{Check, SmtpCheck};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::server::{Act, serve};
use super::{LONG, SHORT, fail, pass, run};

fn check() -> Check {
    let smtp = SmtpCheck { helo: Some("lb1.example".to_owned()), ..SmtpCheck::default() };
    Check { smtp: Some(smtp), ..Check::default() }
}

/// Says the first line, and one more after each command; hands the commands back.
async fn mail(lines: &'static [&'static str]) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        for line in lines {
            if stream.write_all(line.as_bytes()).await.is_err() || stream.read_buf(&mut heard).await.is_err()
            {
                break;
            }
        }
        String::from_utf8_lossy(&heard).into_owned()
    });
    (target, task)
}

#[tokio::test]
async fn a_mail_server_is_greeted_and_left_politely() {
    let (target, server) =
        mail(&["220-mail\r\n220 ready\r\n", "250-mail\r\n250-SIZE\r\n250 8BITMIME\r\n", "221 bye\r\n"]).await;
    assert_eq!(run(target, LONG, check()).await, pass("greets and answers EHLO"));
    assert_eq!(server.await.unwrap(), "EHLO lb1.example\r\nQUIT\r\n");
    let (target, _server) = mail(&["554 no service\r\n"]).await;
    assert_eq!(run(target, LONG, check()).await, fail("the greeting: \"554 no service\" instead of 220"));
    let (target, _server) = mail(&["220 ready\r\n", "421 too many connections\r\n"]).await;
    let outcome = run(target, LONG, check()).await;
    assert_eq!(outcome, fail("EHLO: \"421 too many connections\" instead of 250"));
}

#[tokio::test]
async fn hostile_mail_servers_end() {
    let (target, _server) = serve(Act::Stall).await;
    assert_eq!(
        run(target, SHORT, check()).await,
        fail("timed out after 400ms while waiting for the greeting")
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        // A greeting without end, as fast as it is read.
        let (mut endless, _) = listener.accept().await.unwrap();
        while endless.write_all(b"220-and so on\r\n").await.is_ok() {}
        let (mut line, _) = listener.accept().await.unwrap();
        while line.write_all(&[b'2'; 512]).await.is_ok() {}
        let (mut short, _) = listener.accept().await.unwrap();
        short.write_all(b"220 rea").await.unwrap();
    });
    let long = fail("the reply to the greeting is too long");
    assert_eq!(run(target, LONG, check()).await, long);
    assert_eq!(run(target, LONG, check()).await, long);
    let outcome = run(target, LONG, check()).await;
    assert_eq!(outcome, fail("connection closed while waiting for the greeting"));
    server.await.unwrap();
}
