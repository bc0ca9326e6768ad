//! Sharing, reconfiguring and the pace of checks, against loopback servers.

#[path = "common/server.rs"]
mod server;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use fairway_config::{Check, Period, TcpCheck};
use fairway_health::{Error, Health, Launcher, Monitor, Report, Spec, Subject};
use tokio::net::TcpListener;
use tokio::sync::mpsc::Receiver;

const SOON: Duration = Duration::from_secs(5);

fn check(every_ms: u64) -> Check {
    Check {
        every: Period::from_millis(every_ms),
        timeout: Period::from_secs(5),
        tcp: Some(TcpCheck::default()),
        ..Check::default()
    }
}

fn subject(target: SocketAddr, check: &Check) -> Subject {
    Subject::new(target, Arc::new(Spec::new(check, &Launcher::default()).unwrap())).unwrap()
}

/// A listener that counts its connections.
async fn counting() -> (SocketAddr, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicU32::new(0)));
    let counter = count.clone();
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    (address, count)
}

async fn next(reports: &mut Receiver<Report>) -> Report {
    tokio::time::timeout(SOON, reports.recv()).await.expect("a report in time").expect("a live monitor")
}

#[tokio::test]
async fn equal_subjects_share_one_probe() {
    let (target, count) = counting().await;
    let (mut monitor, mut reports) = Monitor::new(tokio::runtime::Handle::current());
    let slow = check(60_000);
    let port_named = Check { port: Some(target.port()), ..slow.clone() };
    let mut elsewhere = target;
    elsewhere.set_port(1);
    let ids = monitor.watch(&[
        subject(target, &slow),
        subject(target, &slow),
        subject(elsewhere, &port_named),
        subject(target, &Check { fall: 3, ..slow.clone() }),
    ]);
    assert_eq!((ids[0], ids[0]), (ids[1], ids[2]));
    assert_ne!(ids[0], ids[3], "another fall is another check");
    let seen = [next(&mut reports).await, next(&mut reports).await];
    for id in [ids[0], ids[3]] {
        let report = seen.iter().find(|r| r.check == id).expect("each check reports");
        assert_eq!((report.verdict.health, report.verdict.detail.as_str()), (Health::Up, "connected"));
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(count.load(Ordering::Relaxed), 2, "one probe for each check, not for each user");
    assert!(reports.try_recv().is_err(), "what does not change is not reported");
}

#[tokio::test]
async fn known_checks_survive_a_change_and_dropped_ones_stop() {
    let ((kept, kept_count), (gone, gone_count)) = (counting().await, counting().await);
    let (mut monitor, mut reports) = Monitor::new(tokio::runtime::Handle::current());
    let quick = check(20);
    let before = monitor.watch(&[subject(kept, &quick), subject(gone, &quick)]);
    next(&mut reports).await;
    next(&mut reports).await;
    let (fresh, _reserved) = server::closed_port();
    let after = monitor.watch(&[subject(fresh, &quick), subject(kept, &quick)]);
    assert_eq!(after[1], before[0], "the same check goes on");
    assert!(!before.contains(&after[0]));
    tokio::time::sleep(Duration::from_millis(50)).await;
    let (at_kept, at_gone) = (kept_count.load(Ordering::Relaxed), gone_count.load(Ordering::Relaxed));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(kept_count.load(Ordering::Relaxed) > at_kept);
    assert_eq!(gone_count.load(Ordering::Relaxed), at_gone);
    drop(monitor);
    while let Some(report) = reports.recv().await {
        assert_eq!(report.check, after[0], "the kept check had nothing new to say");
    }
}

#[tokio::test]
async fn a_server_that_dies_and_returns_is_seen_to() {
    let (port, reserved) = server::closed_port();
    let (mut monitor, mut reports) = Monitor::new(tokio::runtime::Handle::current());
    let ids = monitor.watch(&[subject(port, &check(20))]);
    let report = next(&mut reports).await;
    assert_eq!((report.check, report.verdict.health), (ids[0], Health::Unknown));
    assert_eq!(report.verdict.detail, "connection refused while connecting");
    assert_eq!(next(&mut reports).await.verdict.health, Health::Down);

    let listener = reserved.listen(16).unwrap();
    let report = next(&mut reports).await;
    assert_eq!(
        (report.verdict.health, report.verdict.detail.as_str()),
        (Health::Down, "connected"),
        "rise = 2"
    );
    assert_eq!(next(&mut reports).await.verdict.health, Health::Up);

    drop(listener);
    assert_eq!(next(&mut reports).await.verdict.health, Health::Up, "fall = 2");
    assert_eq!(next(&mut reports).await.verdict.health, Health::Down);
}

#[tokio::test]
async fn probes_keep_their_pace() {
    let (target, count) = counting().await;
    let (mut monitor, mut reports) = Monitor::new(tokio::runtime::Handle::current());
    monitor.watch(&[subject(target, &check(50))]);
    next(&mut reports).await;
    let (start, before) = (Instant::now(), count.load(Ordering::Relaxed));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let probes = f64::from(count.load(Ordering::Relaxed) - before);
    let due = start.elapsed().as_secs_f64() / 0.05;
    // A busy machine may skip some; how exact the times are is proved for `Schedule`.
    assert!(probes <= due + 2.0 && probes >= due / 2.0, "{probes} probes where {due:.1} were due");
}

#[tokio::test]
async fn a_first_verdict_does_not_wait_for_the_interval() {
    let (target, _) = counting().await;
    let (dead, _reserved) = server::closed_port();
    let (mut monitor, mut reports) = Monitor::new(tokio::runtime::Handle::current());
    let hourly = check(3_600_000);
    let start = Instant::now();
    let ids = monitor.watch(&[subject(target, &hourly), subject(dead, &hourly)]);
    let mut decided = Vec::new();
    while decided.len() < 2 {
        let report = next(&mut reports).await;
        if report.verdict.health != Health::Unknown {
            decided.push((report.check, report.verdict.health));
        }
    }
    assert_eq!(decided, [(ids[0], Health::Up), (ids[1], Health::Down)]);
    assert!(start.elapsed() < Duration::from_secs(3));
}

#[test]
fn checks_that_cannot_run_say_why() {
    let spec = |edit: fn(&mut Check)| {
        let mut wrong = Check { tcp: None, http: Some(fairway_config::HttpCheck::default()), ..check(1000) };
        edit(&mut wrong);
        Spec::new(&wrong, &Launcher::default())
    };
    assert!(matches!(spec(|c| c.http = None), Err(Error::Kind)));
    assert!(matches!(
        spec(|c| c.http.as_mut().unwrap().body = Some("(".into())),
        Err(Error::Pattern { key: "http.body", .. })
    ));
    assert!(matches!(spec(|c| c.http.as_mut().unwrap().path = "/a<b".into()), Err(Error::Path { .. })));
    assert!(matches!(
        spec(|c| c.http.as_mut().unwrap().host = Some("a\nb".into())),
        Err(Error::Header { key: "http.host", .. })
    ));
    let anywhere = Arc::new(spec(|_| ()).unwrap());
    assert!(matches!(Subject::new("127.0.0.1:0".parse().unwrap(), anywhere), Err(Error::Port)));
}
