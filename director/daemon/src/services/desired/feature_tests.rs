//! Quorum, sorry server, fallen servers, advice, orders and slow starts.

use std::time::Duration;

use fairway_health::Advice;

use super::tests::Bench;
use super::*;
use crate::services::overrides::Order;

/// Three servers of weight 2, a quorum of 4 that is lost below 3, and a sorry server.
const TEXT: &str = r#"
version = 1
cluster = "shop"
host = "lb1"

[checks.alive]
tcp = {}

[[service]]
name = "web"
checks = ["alive"]
quorum = { up = 4, down = 3 }
listen = { address = "192.0.2.1", port = 80, protocol = "tcp" }
sorry-server = { address = "10.0.0.99", forward = "nat", inhibit = INHIBIT }
real-servers = [
    { name = "web1", address = "10.0.0.71", forward = "nat", weight = 2 },
    { name = "web2", address = "10.0.0.72", forward = "nat", weight = 2 },
    { name = "web3", address = "10.0.0.73", forward = "nat", weight = 2, on-failure = "weight-zero" },
]
"#;

fn bench(inhibit: bool) -> Bench {
    Bench::of(&TEXT.replace("INHIBIT", &inhibit.to_string()))
}

/// The last parts of the addresses in the table, with their weights.
fn table(bench: &Bench) -> Vec<(String, u32)> {
    let service = bench.desired.table().values().next().unwrap();
    let short = |key: &DestinationKey| key.address.to_string().rsplit('.').next().unwrap().to_owned();
    service.destinations.iter().map(|(key, destination)| (short(key), destination.weight)).collect()
}

fn expect(bench: &Bench, wanted: &[(&str, u32)]) {
    let wanted: Vec<_> = wanted.iter().map(|(name, weight)| ((*name).to_owned(), *weight)).collect();
    assert_eq!(table(bench), wanted);
}

fn states(bench: &mut Bench) -> Vec<(QuorumState, u64)> {
    bench.desired.take_quorum_changes().into_iter().map(|change| (change.state, change.weight)).collect()
}

#[test]
fn the_sorry_server_serves_from_the_loss_of_the_quorum_until_it_is_reached_again() {
    let mut bench = bench(false);
    let ids = bench.ids.clone();
    expect(&bench, &[]);
    bench.report(ids[0], Health::Up);
    bench.report(ids[1], Health::Down);
    expect(&bench, &[("71", 2)]);
    assert_eq!(bench.desired.quorum(0), QuorumState::Unknown, "web3 may make the difference");
    bench.report(ids[2], Health::Up);
    expect(&bench, &[("71", 2), ("73", 2)]);
    assert_eq!(states(&mut bench), [], "coming up is no news");
    // Lost below 3: real servers leave, each in its own way.
    bench.report(ids[0], Health::Down);
    expect(&bench, &[("73", 0), ("99", 1)]);
    assert_eq!(states(&mut bench), [(QuorumState::Down, 2)]);
    bench.report(ids[2], Health::Down);
    bench.report(ids[1], Health::Up);
    expect(&bench, &[("73", 0), ("99", 1)]);
    // 2 is not enough to come back, 4 is.
    bench.report(ids[0], Health::Up);
    expect(&bench, &[("71", 2), ("72", 2), ("73", 0)]);
    assert_eq!(states(&mut bench), [(QuorumState::Up, 4)]);
    let before = bench.desired.table().clone();
    bench.reload();
    assert_eq!(&before, bench.desired.table());
}

#[test]
fn an_inhibited_sorry_server_stays_with_weight_0() {
    let mut bench = bench(true);
    let ids = bench.ids.clone();
    expect(&bench, &[("99", 0)]);
    for id in &ids {
        bench.report(*id, Health::Down);
    }
    expect(&bench, &[("73", 0), ("99", 1)]);
    for id in &ids {
        bench.report(*id, Health::Up);
    }
    expect(&bench, &[("71", 2), ("72", 2), ("73", 2), ("99", 0)]);
}

#[test]
fn a_restart_while_the_sorry_server_serves_does_not_take_it_out() {
    let mut before = bench(false);
    for id in before.ids.clone() {
        before.report(id, Health::Down);
    }
    let kernel = before.desired.table().clone();
    let mut bench = bench(false);
    bench.desired.adopt(&kernel, bench.now);
    assert_eq!(bench.desired.table(), &kernel);
    let ids = bench.ids.clone();
    bench.report(ids[0], Health::Up);
    assert_eq!(bench.desired.quorum(0), QuorumState::Down);
    bench.report(ids[1], Health::Up);
    expect(&bench, &[("71", 2), ("72", 2), ("73", 0)]);
}

#[test]
fn drained_and_disabled_servers_do_not_count() {
    let mut bench = bench(false);
    for id in bench.ids.clone() {
        bench.report(id, Health::Up);
    }
    bench.drain("web", "web1", true).unwrap();
    expect(&bench, &[("71", 0), ("72", 2), ("73", 2)]);
    let disable = Override { order: Order::Disable, until: None, emptied: false };
    bench.desired.order("web", "web2", Some(disable), bench.now).unwrap();
    expect(&bench, &[("73", 0), ("99", 1)]);
    bench.desired.order("web", "web2", None, bench.now).unwrap();
    expect(&bench, &[("71", 0), ("72", 2), ("73", 2)]);
}

#[test]
fn orders_end_when_their_time_has_come() {
    let mut bench = bench(false);
    for id in bench.ids.clone() {
        bench.report(id, Health::Up);
    }
    let start = SystemTime::UNIX_EPOCH;
    let (soon, later) = (start + Duration::from_secs(5), start + Duration::from_secs(9));
    let drain = Override { order: Order::Drain { deadline: Some(soon) }, until: Some(later), emptied: false };
    bench.desired.order("web", "web1", Some(drain), bench.now).unwrap();
    let heavy = Override { order: Order::Weight(7), until: Some(soon), emptied: false };
    bench.desired.order("web", "web2", Some(heavy), bench.now).unwrap();
    assert!(bench.desired.expire(start, bench.now).is_empty());
    expect(&bench, &[("71", 0), ("72", 7), ("73", 2)]);
    assert_eq!(bench.desired.expire(soon, bench.now).len(), 2);
    expect(&bench, &[("72", 2), ("73", 2)]);
    assert_eq!(bench.desired.expire(later, bench.now), [("web".to_owned(), "web1".to_owned())]);
    expect(&bench, &[("71", 2), ("72", 2), ("73", 2)]);
    assert!(bench.desired.overrides().is_empty());
}

#[test]
fn one_check_of_many_is_enough_where_any_is_asked_for() {
    let text = TEXT
        .replace("INHIBIT", "false")
        .replace("checks = [\"alive\"]", "checks = [\"alive\", \"deep\"]\nchecks-required = \"any\"")
        .replace("[[service]]", "[checks.deep]\nhttp = {}\n[[service]]")
        .replace("name = \"web2\",", "name = \"web2\", checks = [],");
    let mut bench = Bench::of(&text);
    let ids = bench.ids.clone();
    assert_eq!(ids.len(), 4, "web2 has no checks of its own");
    assert_eq!(bench.weight("web", "web2"), Some(2));
    bench.report(ids[0], Health::Down);
    assert_eq!(bench.weight("web", "web1"), None);
    bench.report(ids[1], Health::Up);
    assert_eq!(bench.weight("web", "web1"), Some(2));
    assert_eq!(bench.desired.servers(0).next().unwrap().detail, "deep: up");
    bench.report(ids[0], Health::Up);
    bench.report(ids[1], Health::Down);
    assert_eq!(bench.weight("web", "web1"), Some(2));
    let changes = bench.report(ids[0], Health::Down);
    assert_eq!(changes[0].health, (Health::Up, Health::Down));
    assert_eq!(bench.weight("web", "web1"), None);
}

#[test]
fn servers_may_ask_for_another_weight() {
    let mut bench = bench(false);
    let ids = bench.ids.clone();
    for (advice, weight) in [
        (Advice::Percent(50), 1),
        (Advice::Percent(1), 1),
        (Advice::Percent(0), 0),
        (Advice::Percent(150), 3),
        (Advice::Weight(9), 9),
    ] {
        bench.advise(ids[0], Health::Up, Some(advice));
        assert_eq!(bench.weight("web", "web1"), Some(weight), "{advice}");
    }
    bench.report(ids[0], Health::Up);
    assert_eq!(bench.weight("web", "web1"), Some(2));
    // The operator's weight is what a share is of.
    let heavy = Override { order: Order::Weight(10), until: None, emptied: false };
    bench.desired.order("web", "web1", Some(heavy), bench.now).unwrap();
    bench.advise(ids[0], Health::Up, Some(Advice::Percent(50)));
    assert_eq!(bench.weight("web", "web1"), Some(5));
    bench.advise(ids[0], Health::Down, None);
    assert_eq!(bench.weight("web", "web1"), None, "an order does not make a server healthy");
}

#[test]
fn a_server_that_comes_back_starts_slowly() {
    let text = TEXT
        .replace("INHIBIT", "false")
        .replace("quorum =", "slow-start = \"10s\"\nquorum =")
        .replace("weight = 2", "weight = 100");
    let mut bench = Bench::of(&text);
    let ids = bench.ids.clone();
    let second = Duration::from_secs(1);
    assert_eq!(bench.desired.next_step(bench.now), None);
    bench.report(ids[0], Health::Up);
    assert_eq!(bench.weight("web", "web1"), Some(1));
    assert_eq!(bench.desired.next_step(bench.now), Some(bench.now + second / 2));
    for (after, weight) in [(2, 20), (4, 40), (9, 90), (10, 100)] {
        bench.desired.step(bench.now + second * after);
        assert_eq!(bench.weight("web", "web1"), Some(weight), "after {after} s");
    }
    assert_eq!(bench.desired.next_step(bench.now), None, "it is at its full weight");
    assert_eq!(bench.desired.quorum(0), QuorumState::Up, "what grows counts in full");
    // One that falls meanwhile begins anew, and a reload does not.
    bench.report(ids[1], Health::Up);
    bench.now += second * 5;
    bench.desired.step(bench.now);
    bench.reload();
    assert_eq!(bench.weight("web", "web2"), Some(50));
    bench.report(ids[1], Health::Down);
    assert_eq!(bench.desired.next_step(bench.now), None);
    bench.report(ids[1], Health::Up);
    assert_eq!(bench.weight("web", "web2"), Some(1));
    // What was in the kernel at the start has been warm all the time.
    let kernel = bench.desired.table().clone();
    let mut fresh = Bench::of(&text);
    fresh.desired.adopt(&kernel, fresh.now);
    fresh.report(ids[0], Health::Up);
    assert_eq!(fresh.weight("web", "web1"), Some(100));
}
