//! DNS servers over UDP and TCP.

use std::net::SocketAddr;

use fairway_config::{Check, DnsCheck, DnsTransport};
use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, Record};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};

use super::{LONG, SHORT, fail, pass, run};

fn check(transport: DnsTransport, answer: &[&str]) -> Check {
    let dns = DnsCheck {
        name: "www.example".to_owned(),
        record: fairway_config::DnsRecord::A,
        transport,
        answer: answer.iter().map(|&text| text.to_owned()).collect(),
    };
    Check { dns: Some(dns), ..Check::default() }
}

/// The answer to a query: one address, unless `edit` says otherwise.
fn answer(query: &[u8], edit: fn(&mut Message)) -> Vec<u8> {
    let query = Message::from_vec(query).unwrap();
    assert!(query.metadata.recursion_desired);
    let name = query.queries[0].name().clone();
    assert_eq!(name.to_string(), "www.example.");
    let mut answer = query.into_response();
    answer.metadata.message_type = MessageType::Response;
    answer.add_answer(Record::from_rdata(name, 60, RData::A(A::new(192, 0, 2, 7))));
    edit(&mut answer);
    answer.to_vec().unwrap()
}

async fn over_udp(edit: fn(&mut Message)) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let target = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
        // Not an answer at all, and an answer to somebody else's question, come first.
        socket.send_to(b"x", client).await.unwrap();
        let mut other = answer(&buffer[..length], edit);
        other[0] ^= 0x55;
        socket.send_to(&other, client).await.unwrap();
        socket.send_to(&answer(&buffer[..length], edit), client).await.unwrap();
    });
    target
}

async fn over_tcp(edit: fn(&mut Message)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut query = vec![0; stream.read_u16().await.unwrap().into()];
        stream.read_exact(&mut query).await.unwrap();
        let answer = answer(&query, edit);
        stream.write_u16(answer.len() as u16).await.unwrap();
        stream.write_all(&answer).await.unwrap();
    });
    target
}

#[tokio::test]
async fn answers_are_read_and_compared() {
    type Case<'a> = (fn(&mut Message), &'a [&'a str], fairway_health::Outcome);
    let cases: [Case<'_>; 4] = [
        (|_| (), &[], pass("answers")),
        (|_| (), &["192.0.2.7"], pass("answers as expected")),
        (|_| (), &["192.0.2.8"], fail("www.example. A: \"192.0.2.8\" is not among the answers")),
        (
            |message| message.metadata.response_code = ResponseCode::ServFail,
            &[],
            fail("www.example. A: Server Failure"),
        ),
    ];
    for (edit, wanted, outcome) in cases {
        let target = over_udp(edit).await;
        assert_eq!(run(target, LONG, check(DnsTransport::Udp, wanted)).await, outcome, "UDP");
        let target = over_tcp(edit).await;
        assert_eq!(run(target, LONG, check(DnsTransport::Tcp, wanted)).await, outcome, "TCP");
    }
    let target = over_udp(|message| message.metadata.truncation = true).await;
    let outcome = run(target, LONG, check(DnsTransport::Udp, &[])).await;
    assert_eq!(outcome, fail("the answer does not fit a datagram; ask over tcp"));
}

#[tokio::test]
async fn silence_and_garbage_fail() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let target = silent.local_addr().unwrap();
    let late = fail("timed out after 400ms while waiting for the answer");
    assert_eq!(run(target, SHORT, check(DnsTransport::Udp, &[])).await, late);
    drop(silent);
    let outcome = run(target, LONG, check(DnsTransport::Udp, &[])).await;
    assert_eq!(
        outcome,
        fairway_health::Outcome::Refused("connection refused while waiting for the answer".into())
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap();
    tokio::spawn(async move {
        // Promises 64 KiB and closes; then says something that is no DNS.
        for bytes in [&[0xff, 0xff, 1, 2, 3][..], &[0, 3, 1, 2, 3]] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut query = [0; 64];
            let _read = stream.read(&mut query).await.unwrap();
            stream.write_all(bytes).await.unwrap();
        }
    });
    let outcome = run(target, LONG, check(DnsTransport::Tcp, &[])).await;
    assert_eq!(outcome, fail("connection closed while waiting for the answer"));
    let outcome = run(target, LONG, check(DnsTransport::Tcp, &[])).await;
    assert_eq!(outcome, fail("unusable DNS answer"));
}
