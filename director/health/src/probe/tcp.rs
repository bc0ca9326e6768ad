//! A TCP connection opens; if asked for, something is said over it and the answer is matched.

use regex::bytes::Regex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::stream::Stream;
use super::tls::Tls;
use super::{Outcome, Stage, failed};
use crate::target::Target;

/// The first bytes of an answer that are matched. Small, because they are matched again with every byte of a
/// server that drips them.
const ANSWER_LIMIT: usize = 4096;

/// What is said and expected.
#[derive(Debug, Default)]
pub(crate) struct Tcp {
    pub(crate) tls: Option<Tls>,
    pub(crate) send: Vec<u8>,
    pub(crate) expect: Option<Regex>,
}

/// Connects, and resets the connection as soon as enough is known.
pub(super) async fn probe(target: Target, spec: &Tcp, stage: &mut Stage) -> Outcome {
    let (mut stream, notice) = match Stream::open(target, spec.tls.as_ref(), stage).await {
        Ok(opened) => opened,
        Err(outcome) => return outcome,
    };
    if !spec.send.is_empty() {
        *stage = Stage("sending");
        let sent = async {
            stream.write_all(&spec.send).await?;
            stream.flush().await
        };
        if let Err(error) = sent.await {
            return failed(&error, *stage);
        }
    }
    let Some(pattern) = &spec.expect else {
        return notice.pass(if spec.tls.is_some() { "connected, TLS" } else { "connected" }.into());
    };
    *stage = Stage("waiting for the expected answer");
    match read_until(&mut stream, pattern, *stage).await {
        Ok(()) => notice.pass("answered as expected".into()),
        Err(outcome) => outcome,
    }
}

/// Reads until `pattern` matches what has been read, at most [`ANSWER_LIMIT`] bytes of it.
async fn read_until(stream: &mut Stream, pattern: &Regex, stage: Stage) -> Result<(), Outcome> {
    let mut read = Vec::new();
    loop {
        let room = (ANSWER_LIMIT - read.len()) as u64;
        let count = match (&mut *stream).take(room).read_buf(&mut read).await {
            Ok(count) => count,
            Err(error) => return Err(failed(&error, stage)),
        };
        if pattern.is_match(&read) {
            return Ok(());
        }
        if count == 0 {
            return Err(Outcome::Fail(match read.len() {
                0 => "connection closed without an answer".into(),
                ANSWER_LIMIT => format!("\"{pattern}\" is not in the first 4 KiB of the answer").into(),
                _ => format!("connection closed; the answer does not match \"{pattern}\"").into(),
            }));
        }
    }
}
