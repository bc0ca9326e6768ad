//! A UDP datagram is answered, or at least not refused by ICMP.

use std::time::Duration;

use regex::bytes::Regex;

use super::dns::socket;
use super::{Outcome, Stage, failed};
use crate::target::Target;

/// How long silence must last to count as no refusal, where no answer is expected: a refusal comes back as fast
/// as an answer would, and a probe must not take all of its timeout to pass.
const SILENCE: Duration = Duration::from_millis(500);

/// The largest datagram there is.
const DATAGRAM: usize = 65_535;

/// What is sent and expected.
#[derive(Debug)]
pub(crate) struct Udp {
    pub(crate) send: Vec<u8>,
    pub(crate) expect: Option<Regex>,
}

pub(super) async fn probe(target: Target, spec: &Udp, timeout: Duration, stage: &mut Stage) -> Outcome {
    match talk(target, spec, timeout, stage).await {
        Ok(outcome) | Err(outcome) => outcome,
    }
}

async fn talk(target: Target, spec: &Udp, timeout: Duration, stage: &mut Stage) -> Result<Outcome, Outcome> {
    let socket = socket(target).await?;
    *stage = Stage("waiting for the answer");
    socket.send(&spec.send).await.map_err(|error| failed(&error, *stage))?;
    let Some(pattern) = &spec.expect else {
        let mut byte = [0; 1];
        let silence = SILENCE.min(timeout / 2);
        return Ok(match tokio::time::timeout(silence, socket.recv(&mut byte)).await {
            Err(_) => Outcome::Pass("not refused".into()),
            Ok(Ok(_)) => Outcome::Pass("answers".into()),
            Ok(Err(error)) => failed(&error, *stage),
        });
    };
    let mut buffer = vec![0; DATAGRAM];
    let length = socket.recv(&mut buffer).await.map_err(|error| failed(&error, *stage))?;
    Ok(if pattern.is_match(&buffer[..length]) {
        Outcome::Pass("answered as expected".into())
    } else {
        Outcome::Fail(format!("the answer does not match \"{pattern}\"").into())
    })
}
