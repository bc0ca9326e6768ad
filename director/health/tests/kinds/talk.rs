//! tcp with words, and agents.

use fairway_config::{AgentCheck, Check, TcpCheck};
use fairway_health::{Advice, Outcome};

use super::server::{self, Act, serve};
use super::{LONG, SHORT, fail, pass, run};

fn redis() -> Check {
    let check = TcpCheck {
        send: Some("PING\r\n\r\n".parse().unwrap()),
        expect: Some("^\\+PONG".to_owned()),
        tls: None,
    };
    Check { tcp: Some(check), ..Check::default() }
}

#[tokio::test]
async fn what_is_sent_and_what_is_expected() {
    let (target, server) = serve(Act::say_then_stall("+PONG\r\n")).await;
    assert_eq!(run(target, LONG, redis()).await, pass("answered as expected"));
    server.abort();
    let (target, server) = serve(Act::say("-ERR unknown command\r\n")).await;
    let outcome = run(target, LONG, redis()).await;
    assert_eq!(outcome, fail("connection closed; the answer does not match \"^\\+PONG\""));
    assert_eq!(server.await.unwrap().unwrap(), "PING\r\n\r\n");
    let (target, _server) = serve(Act::say("")).await;
    assert_eq!(run(target, LONG, redis()).await, fail("connection closed without an answer"));
}

#[tokio::test]
async fn hostile_talkers_end() {
    let (target, _server) = serve(Act::Stall).await;
    let late = fail("timed out after 400ms while waiting for the expected answer");
    assert_eq!(run(target, SHORT, redis()).await, late);
    let drip = Act::Repeat { first: String::new(), then: "x".into(), pause: Some(SHORT / 20) };
    let (target, _server) = serve(drip).await;
    assert_eq!(run(target, SHORT, redis()).await, late);
    let flood = Act::Repeat { first: String::new(), then: "x".repeat(1000), pause: None };
    let (target, _server) = serve(flood).await;
    let outcome = run(target, LONG, redis()).await;
    assert_eq!(outcome, fail("\"^\\+PONG\" is not in the first 4 KiB of the answer"));
    let (target, _server) = serve(Act::Reset("+PO".into())).await;
    let outcome = run(target, LONG, redis()).await;
    assert_eq!(outcome, fail("connection reset by peer while waiting for the expected answer"));
}

#[tokio::test]
async fn an_agent_gives_advice_and_its_silence_is_no_failure() {
    let agent = || {
        let check = AgentCheck { send: Some("web1\r\n\r\n".parse().unwrap()) };
        Check { agent: Some(check), ..Check::default() }
    };
    let (target, server) = serve(Act::say("75%\n")).await;
    let advice = Outcome::Advice(Advice::Percent(75), "the agent says 75 %".into());
    assert_eq!(run(target, LONG, agent()).await, advice);
    assert_eq!(server.await.unwrap().unwrap(), "web1\r\n\r\n");
    let (target, _server) = serve(Act::say("down # backup running\n")).await;
    assert_eq!(run(target, LONG, agent()).await, fail("the agent says down: backup running"));
    let (target, _reserved) = server::closed_port();
    let unheard = "no word from the agent: connection refused while connecting";
    assert_eq!(run(target, LONG, agent()).await, Outcome::Warn(unheard.into()));
    let (target, _server) = serve(Act::Stall).await;
    let late = "no word from the agent: timed out after 400ms while waiting for the agent's word";
    assert_eq!(run(target, SHORT, agent()).await, Outcome::Warn(late.into()));
    let flood = Act::Repeat { first: String::new(), then: "9".repeat(1000), pause: None };
    let (target, _server) = serve(flood).await;
    assert!(
        matches!(run(target, LONG, agent()).await, Outcome::Fail(text) if text.contains("has no meaning"))
    );
}
