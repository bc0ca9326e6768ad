//! The server says itself how it is, in the words of HAProxy's agent-check.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::stream::connect;
use super::{Advice, Outcome, Stage, failed};
use crate::target::Target;

/// One line of words; more is not read.
const LIMIT: u64 = 1024;

/// What is said first.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) send: Vec<u8>,
}

/// An agent that cannot be reached says nothing about its server, so the server keeps the weight it had: whether
/// the service works is for other checks to find out.
pub(super) async fn probe(target: Target, spec: &Agent, stage: &mut Stage) -> Outcome {
    let answer = async {
        let mut stream = connect(target).await?;
        *stage = Stage("waiting for the agent's word");
        let exchange = async {
            stream.write_all(&spec.send).await?;
            let mut answer = Vec::new();
            let mut limited = stream.take(LIMIT);
            while !answer.contains(&b'\n') && limited.read_buf(&mut answer).await? > 0 {}
            Ok(answer)
        };
        exchange.await.map_err(|error: std::io::Error| failed(&error, *stage))
    };
    match answer.await {
        Ok(answer) => {
            let text = String::from_utf8_lossy(&answer);
            word("the agent", text.lines().next().unwrap_or_default())
        }
        Err(outcome) => unheard(outcome),
    }
}

/// The agent was not heard, for a reason that is its own.
pub(super) fn unheard(reason: Outcome) -> Outcome {
    match reason {
        Outcome::Fail(text) | Outcome::Refused(text) => {
            Outcome::Warn(format!("no word from the agent: {text}").into())
        }
        other => other,
    }
}

/// What the words mean: `up` or `ready`, `down`, `failed`, `stopped` or `maint`, `drain`, `75%` of the
/// configured weight, or a weight. Of several that speak of the same thing the last one holds, but one that
/// takes the server out is final. What follows a `#` is a reason for people.
pub(super) fn word(who: &str, text: &str) -> Outcome {
    let (words, reason) = match text.split_once('#') {
        Some((words, reason)) => (words, reason.trim()),
        None => (text, ""),
    };
    let reason: String = reason.chars().filter(|c| !c.is_control()).take(80).collect();
    let because = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    let mut advice = None;
    let mut known = false;
    for word in words.split([' ', ',', '\t', '\r', '\n']).filter(|word| !word.is_empty()) {
        match word.to_ascii_lowercase().as_str() {
            "up" | "ready" => {}
            down @ ("down" | "failed" | "stopped" | "maint") => {
                return Outcome::Fail(format!("{who} says {down}{because}").into());
            }
            "drain" => advice = Some(Advice::Percent(0)),
            other => match (other.strip_suffix('%').map(str::parse), other.parse()) {
                (Some(Ok(percent)), _) if percent <= 256 => advice = Some(Advice::Percent(percent)),
                (None, Ok(weight)) => advice = Some(Advice::Weight(weight)),
                // Words of HAProxy's that mean nothing to IPVS, such as maxconn:100.
                _ if other.starts_with("maxconn:") => {}
                _ => {
                    let shown: String = word.chars().filter(|c| !c.is_control()).take(40).collect();
                    return Outcome::Fail(format!("{who} says \"{shown}\", which has no meaning").into());
                }
            },
        }
        known = true;
    }
    match advice {
        _ if !known => Outcome::Fail(format!("{who} says nothing").into()),
        None => Outcome::Pass(format!("{who} says up{because}").into()),
        Some(advice) => Outcome::Advice(advice, format!("{who} says {advice}{because}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice(advice: Advice, text: &str) -> Outcome {
        Outcome::Advice(advice, text.to_owned().into())
    }

    #[test]
    fn words_mean_what_they_mean_to_haproxy() {
        let says = |text| word("the agent", text);
        assert_eq!(says("up\n"), Outcome::Pass("the agent says up".into()));
        assert_eq!(says("ready"), Outcome::Pass("the agent says up".into()));
        assert_eq!(says("75%\n"), advice(Advice::Percent(75), "the agent says 75 %"));
        assert_eq!(says("up 30%,maxconn:40"), advice(Advice::Percent(30), "the agent says 30 %"));
        assert_eq!(says("drain"), advice(Advice::Percent(0), "the agent says drain"));
        assert_eq!(says("12"), advice(Advice::Weight(12), "the agent says weight 12"));
        assert_eq!(says("Down # disk full\n"), Outcome::Fail("the agent says down: disk full".into()));
        assert_eq!(says("maint 50%"), Outcome::Fail("the agent says maint".into()));
        assert_eq!(says(""), Outcome::Fail("the agent says nothing".into()));
        assert_eq!(says("# all is well"), Outcome::Fail("the agent says nothing".into()));
        assert_eq!(
            says("HTTP/1.1 400 Bad Request"),
            Outcome::Fail("the agent says \"HTTP/1.1\", which has no meaning".into())
        );
        assert_eq!(says("-5%"), Outcome::Fail("the agent says \"-5%\", which has no meaning".into()));
        assert_eq!(says("1000%"), Outcome::Fail("the agent says \"1000%\", which has no meaning".into()));
    }
}
