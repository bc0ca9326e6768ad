//! ICMP echo, of this machine's own loopback.

use fairway_config::{Check, PingCheck};

use super::{LONG, pass, run};

#[tokio::test]
async fn loopback_answers() {
    let check = || Check { ping: Some(PingCheck {}), ..Check::default() };
    for target in ["127.0.0.1:0", "[::1]:0"] {
        assert_eq!(run(target.parse().unwrap(), LONG, check()).await, pass("answers"), "{target}");
    }
}

#[tokio::test]
async fn many_at_once_do_not_take_each_others_answers() {
    let check = || Check { ping: Some(PingCheck {}), ..Check::default() };
    let all = (1..100u8).map(|n| tokio::spawn(run(([127, 0, 0, n], 0).into(), LONG, check())));
    for task in all.collect::<Vec<_>>() {
        assert_eq!(task.await.unwrap(), pass("answers"));
    }
}
