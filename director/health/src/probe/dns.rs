//! A DNS server answers a query, with the records that are expected.

use hickory_proto::op::{Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use socket2::{Domain, SockRef, Socket, Type};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UdpSocket;

use super::stream::connect;
use super::{Outcome, Stage, cannot_probe, failed};
use crate::target::Target;

/// Room for an answer over UDP. Without EDNS servers send no more than 512 bytes; more is cut off and fails.
const DATAGRAM: usize = 4096;

/// What is asked and expected.
#[derive(Debug)]
pub(crate) struct Dns {
    pub(crate) name: Name,
    pub(crate) record: RecordType,
    pub(crate) tcp: bool,
    /// Each must be among the answers, as a zone file would write it.
    pub(crate) answer: Vec<String>,
}

pub(super) async fn probe(target: Target, spec: &Dns, stage: &mut Stage) -> Outcome {
    match talk(target, spec, stage).await {
        Ok(outcome) | Err(outcome) => outcome,
    }
}

async fn talk(target: Target, spec: &Dns, stage: &mut Stage) -> Result<Outcome, Outcome> {
    let mut query = Message::query();
    query.metadata.recursion_desired = true;
    query.add_query(Query::query(spec.name.clone(), spec.record));
    let request = query
        .to_vec()
        .map_err(|error| Outcome::Inconclusive(format!("cannot form the query: {error}").into()))?;
    if spec.tcp {
        return over_tcp(target, &query, &request, spec, stage).await;
    }
    let socket = socket(target).await?;
    *stage = Stage("waiting for the answer");
    socket.send(&request).await.map_err(|error| failed(&error, *stage))?;
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let length = socket.recv(&mut buffer).await.map_err(|error| failed(&error, *stage))?;
        // A datagram that does not belong to this query may be anybody's; the real answer may still come.
        if let Some(answer) = answer_to(&query, &buffer[..length]) {
            return Ok(judge(&answer, spec));
        }
    }
}

/// A socket that hears from `target` only, refusals by ICMP included.
pub(super) async fn socket(target: Target) -> Result<UdpSocket, Outcome> {
    let open = || {
        let domain = Domain::for_address(target.address);
        let socket = Socket::new(domain, Type::DGRAM.nonblocking().cloexec(), None)?;
        if let Some(source) = target.prepare(SockRef::from(&socket))? {
            socket.bind(&source.into())?;
        }
        UdpSocket::from_std(socket.into())
    };
    let socket = open().map_err(|error: std::io::Error| cannot_probe(&error))?;
    socket.connect(target.address).await.map_err(|error| failed(&error, Stage::CONNECTING))?;
    Ok(socket)
}

/// Over TCP every message has its length in front (RFC 1035 section 4.2.2).
async fn over_tcp(
    target: Target,
    query: &Message,
    request: &[u8],
    spec: &Dns,
    stage: &mut Stage,
) -> Result<Outcome, Outcome> {
    let mut stream = connect(target).await?;
    *stage = Stage("waiting for the answer");
    let mut framed = (request.len() as u16).to_be_bytes().to_vec();
    framed.extend_from_slice(request);
    let exchange = async {
        stream.write_all(&framed).await?;
        let length = stream.read_u16().await?;
        let mut answer = vec![0; length.into()];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    };
    let answer = exchange.await.map_err(|error: std::io::Error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => Outcome::Fail(format!("connection closed while {stage}").into()),
        _ => failed(&error, *stage),
    })?;
    Ok(match answer_to(query, &answer) {
        Some(answer) => judge(&answer, spec),
        None => Outcome::Fail("unusable DNS answer".into()),
    })
}

/// The message in `bytes`, if it answers `query`.
fn answer_to(query: &Message, bytes: &[u8]) -> Option<Message> {
    let answer = Message::from_vec(bytes).ok()?;
    let belongs = answer.metadata.id == query.metadata.id
        && answer.metadata.message_type == MessageType::Response
        && (answer.queries.is_empty() || answer.queries == query.queries);
    belongs.then_some(answer)
}

fn judge(answer: &Message, spec: &Dns) -> Outcome {
    let (name, record) = (&spec.name, spec.record);
    match answer.metadata.response_code {
        ResponseCode::NoError => {}
        code => return Outcome::Fail(format!("{name} {record}: {code}").into()),
    }
    if answer.metadata.truncation {
        return Outcome::Fail("the answer does not fit a datagram; ask over tcp".into());
    }
    let found: Vec<_> = answer
        .answers
        .iter()
        .filter(|candidate| candidate.record_type() == record)
        .map(|candidate| candidate.data.to_string())
        .collect();
    let same = |found: &str, wanted: &str| {
        let plain = |text: &str| text.trim_end_matches('.').to_ascii_lowercase();
        plain(found) == plain(wanted)
    };
    for wanted in &spec.answer {
        if !found.iter().any(|found| same(found, wanted)) {
            let text = format!("{name} {record}: \"{wanted}\" is not among the answers");
            return Outcome::Fail(text.into());
        }
    }
    if spec.answer.is_empty() {
        Outcome::Pass("answers".into())
    } else {
        Outcome::Pass("answers as expected".into())
    }
}
