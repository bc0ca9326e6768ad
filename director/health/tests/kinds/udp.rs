//! UDP services.

use fairway_config::{Check, UdpCheck};
use fairway_health::Outcome;
use tokio::net::UdpSocket;

use super::{LONG, SHORT, fail, pass, run};

fn check(expect: Option<&str>) -> Check {
    let udp = UdpCheck { send: Some("hex:0102".parse().unwrap()), expect: expect.map(str::to_owned) };
    Check { udp: Some(udp), ..Check::default() }
}

#[tokio::test]
async fn an_answer_is_matched_and_a_refusal_is_one() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let target = socket.local_addr().unwrap();
    let answers = tokio::spawn(async move {
        for answer in [&b"pong"[..], b"gong", b""] {
            let mut buffer = [0; 16];
            let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
            assert_eq!(&buffer[..length], [1, 2]);
            socket.send_to(answer, client).await.unwrap();
        }
        socket
    });
    assert_eq!(run(target, LONG, check(Some("^pong$"))).await, pass("answered as expected"));
    let outcome = run(target, LONG, check(Some("^pong$"))).await;
    assert_eq!(outcome, fail("the answer does not match \"^pong$\""));
    assert_eq!(run(target, LONG, check(None)).await, pass("answers"));

    // It is there, but says nothing.
    let socket = answers.await.unwrap();
    assert_eq!(run(target, LONG, check(None)).await, pass("not refused"));
    let outcome = run(target, SHORT, check(Some(""))).await;
    assert_eq!(outcome, fail("timed out after 400ms while waiting for the answer"));
    drop(socket);
    let refused = Outcome::Refused("connection refused while waiting for the answer".into());
    assert_eq!(run(target, LONG, check(None)).await, refused);
    assert_eq!(run(target, LONG, check(Some(""))).await, refused);
}
