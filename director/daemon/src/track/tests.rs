//! Every kind of tracker that needs neither rights nor another program, against the real thing: files, processes, links.

use std::fs;
use std::process::{Child, Command, Stdio};

use fairway_config::{AdminDown, Expected, FailoverGroup, Preempt, TrackedBfd, TrackedFile, TrackedProcess};
use tempfile::TempDir;
use tokio::sync::mpsc::UnboundedReceiver;

use super::*;
use crate::bfd::{BfdStatus, Finding, SessionStatus};
use crate::status::{ServiceStatus, ServicesStatus};

/// Longer than anything takes, shorter than anybody's patience.
const LIMIT: Duration = Duration::from_secs(20);

/// One group with one tracker, and what the VRRP thread hears of it.
struct Bench {
    wanted: watch::Sender<Arc<Config>>,
    services: watch::Sender<ServicesStatus>,
    bfd: watch::Sender<BfdStatus>,
    heard: UnboundedReceiver<VrrpCommand>,
}

fn config(tracker: Tracker) -> Arc<Config> {
    let track = BTreeMap::from([("it".to_owned(), tracker)]);
    let (routes, rules) = (Vec::new(), Vec::new());
    let mut config = Config::from_toml("version = 1\ncluster = \"shop\"\nhost = \"lb1\"\n").unwrap();
    config.failover = vec![FailoverGroup {
        name: "edge".to_owned(),
        preempt: Preempt::Always,
        start_delay: Default::default(),
        routes,
        rules,
        instances: Vec::new(),
        track,
    }];
    Arc::new(config)
}

impl Bench {
    fn new(tracker: Tracker) -> Self {
        let (vrrp, heard) = Handle::new();
        let (wanted, receiver) = watch::channel(config(tracker));
        let (services, status) = watch::channel(ServicesStatus::new());
        let (bfd, sessions) = watch::channel(BfdStatus::new());
        tokio::spawn(run(vrrp, Eyes { services: status, bfd: sessions }, receiver));
        Self { wanted, services, bfd, heard }
    }

    async fn next(&mut self) -> (Verdict, String) {
        let command = tokio::time::timeout(LIMIT, self.heard.recv()).await.expect("nothing was told");
        match command.expect("the trackers have ended") {
            VrrpCommand::Track { group, tracker, verdict, detail, .. } => {
                assert_eq!((group.as_str(), tracker.as_str()), ("edge", "it"));
                (verdict, detail)
            }
            other => panic!("trackers send no {other:?}"),
        }
    }

    async fn expect(&mut self, verdict: Verdict, detail: &str) {
        assert_eq!(self.next().await, (verdict, detail.to_owned()));
    }
}

/// Looks so rarely that only news can be what it acts upon.
fn rarely() -> Tracker {
    Tracker { every: fairway_config::Period::from_secs(3600), ..Tracker::default() }
}

fn often() -> Tracker {
    Tracker { every: fairway_config::Period::from_millis(20), ..Tracker::default() }
}

fn file(path: &std::path::Path, expect: Expected) -> Option<TrackedFile> {
    Some(TrackedFile { path: path.to_owned(), expect })
}

#[tokio::test]
async fn a_file_comes_and_goes() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("ready");
    let shown = path.display();
    let mut bench = Bench::new(Tracker { file: file(&path, Expected::Present), ..rarely() });
    bench.expect(Verdict::Failing, &format!("there is no {shown}")).await;
    fs::write(&path, "").unwrap();
    bench.expect(Verdict::Passing, &format!("{shown} is there")).await;
    fs::remove_file(&path).unwrap();
    bench.expect(Verdict::Failing, &format!("there is no {shown}")).await;
}

#[tokio::test]
async fn a_directory_that_is_not_there_yet_is_waited_for() {
    let directory = TempDir::new().unwrap();
    let below = directory.path().join("later");
    let path = below.join("maintenance");
    let mut bench = Bench::new(Tracker { file: file(&path, Expected::Absent), ..often() });
    assert_eq!(bench.next().await.0, Verdict::Passing);
    fs::create_dir(&below).unwrap();
    fs::write(&path, "").unwrap();
    bench.expect(Verdict::Failing, &format!("{} is there", path.display())).await;
    fs::remove_dir_all(&below).unwrap();
    assert_eq!(bench.next().await.0, Verdict::Passing);
}

#[tokio::test]
async fn a_number_is_read_and_nonsense_leaves_it() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("weight");
    let shown = path.display();
    fs::write(&path, "-20\n").unwrap();
    let mut bench = Bench::new(Tracker { file: file(&path, Expected::Number), ..rarely() });
    bench.expect(Verdict::Number(-20), &format!("{shown} says -20")).await;
    // Replaced as a whole: a file that is written in place is seen empty in between.
    let replace = |text: &str| {
        let new = directory.path().join("new");
        fs::write(&new, text).unwrap();
        fs::rename(&new, &path).unwrap();
    };
    replace("lots");
    bench.expect(Verdict::Number(-20), &format!("{shown} holds no whole number; -20 stays in force")).await;
    replace("-1000");
    bench.expect(Verdict::Number(-254), &format!("{shown} says -1000")).await;
    fs::remove_file(&path).unwrap();
    bench.expect(Verdict::Number(0), &format!("there is no {shown}")).await;
}

/// A program of a name of its own, which is killed at the end.
struct Program(Child);

impl Program {
    fn start(directory: &TempDir, name: &str) -> Self {
        let path = directory.path().join(name);
        if !path.exists() {
            fs::copy("/bin/sleep", &path).unwrap();
        }
        Self(Command::new(&path).arg("600").stdin(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it may have ended
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn the_end_of_a_process_is_told_and_a_new_one_is_found() {
    let directory = TempDir::new().unwrap();
    let name = format!("fw{}", std::process::id());
    let process = Some(TrackedProcess { name: name.clone(), quorum: 2 });
    let first = Program::start(&directory, &name);
    let second = Program::start(&directory, &name);
    let mut bench = Bench::new(Tracker { process, ..often() });
    bench.expect(Verdict::Passing, &format!("{name} runs")).await;
    drop(second);
    bench.expect(Verdict::Failing, &format!("1 of 2 {name} run")).await;
    let second = Program::start(&directory, &name);
    bench.expect(Verdict::Passing, &format!("{name} runs")).await;
    drop((first, second));
    // In one step or two.
    let (verdict, mut detail) = bench.next().await;
    assert_eq!(verdict, Verdict::Failing);
    if detail.starts_with('1') {
        detail = bench.next().await.1;
    }
    assert_eq!(detail, format!("no {name} runs"));
}

#[tokio::test]
async fn the_end_of_a_process_does_not_wait_for_the_next_look() {
    let directory = TempDir::new().unwrap();
    let name = format!("fx{}", std::process::id());
    let program = Program::start(&directory, &name);
    let process = Some(TrackedProcess { name: name.clone(), quorum: 1 });
    let mut bench = Bench::new(Tracker { process, ..rarely() });
    bench.expect(Verdict::Passing, &format!("{name} runs")).await;
    drop(program);
    bench.expect(Verdict::Failing, &format!("no {name} runs")).await;
}

#[tokio::test]
async fn services_count_together_once_all_have_a_verdict() {
    let names = vec!["web".to_owned(), "api".to_owned()];
    let mut bench = Bench::new(Tracker { services: names, ..rarely() });
    let service = |quorum| ServiceStatus {
        address: None,
        port: 0,
        protocol: "",
        scheduler: "wlc",
        kernel_error: None,
        quorum,
        sorry: false,
        real_servers: BTreeMap::new(),
    };
    let set = |bench: &Bench, web, api| {
        let status = [("web".to_owned(), service(web)), ("api".to_owned(), service(api))];
        bench.services.send_replace(status.into());
    };
    set(&bench, "up", "unknown");
    set(&bench, "up", "up");
    bench.expect(Verdict::Passing, "all services have their quorum").await;
    set(&bench, "up", "down");
    bench.expect(Verdict::Failing, "service api has lost its quorum").await;
    set(&bench, "up", "unknown");
    set(&bench, "up", "up");
    bench.expect(Verdict::Passing, "all services have their quorum").await;
}

#[tokio::test]
async fn a_bfd_session_is_followed_at_once() {
    for (admin_down, of_order) in [(AdminDown::Hold, None), (AdminDown::Fail, Some(Verdict::Failing))] {
        let bfd: TrackedBfd = toml::from_str("neighbour = \"192.0.2.254\"").unwrap();
        let bfd = TrackedBfd { admin_down, ..bfd };
        let key = bfd.key();
        let mut bench = Bench::new(Tracker { bfd: Some(bfd), ..rarely() });
        let set = |bench: &Bench, finding| {
            let session = SessionStatus {
                state: "down",
                remote_state: "down",
                diagnostic: "control detection time expired",
                remote_diagnostic: "no diagnostic",
                discriminator: 7,
                remote_discriminator: 0,
                transmit_interval_us: 0,
                detection_time_us: 0,
                finding,
            };
            bench.bfd.send_replace(BfdStatus::from([(key.clone(), session)]));
        };
        set(&bench, Finding::Unknown);
        set(&bench, Finding::Up);
        bench.expect(Verdict::Passing, "the session with 192.0.2.254 is up").await;
        set(&bench, Finding::AdminDown);
        if let Some(verdict) = of_order {
            bench.expect(verdict, "192.0.2.254 has switched BFD off").await;
            set(&bench, Finding::Up);
            bench.expect(Verdict::Passing, "the session with 192.0.2.254 is up").await;
        }
        set(&bench, Finding::Down);
        let detail = "the session with 192.0.2.254 is down: control detection time expired";
        bench.expect(Verdict::Failing, detail).await;
    }
}

#[tokio::test]
async fn a_reload_keeps_what_did_not_change_and_ends_what_is_gone() {
    let directory = TempDir::new().unwrap();
    let (one, other) = (directory.path().join("one"), directory.path().join("other"));
    let tracker = |path| Tracker { file: file(path, Expected::Present), ..rarely() };
    let mut bench = Bench::new(tracker(&one));
    assert_eq!(bench.next().await.0, Verdict::Failing);
    bench.wanted.send_replace(config(tracker(&one)));
    fs::write(&one, "").unwrap();
    bench.expect(Verdict::Passing, &format!("{} is there", one.display())).await;
    bench.wanted.send_replace(config(tracker(&other)));
    bench.expect(Verdict::Failing, &format!("there is no {}", other.display())).await;
    fs::remove_file(&one).unwrap();
    fs::write(&other, "").unwrap();
    bench.expect(Verdict::Passing, &format!("{} is there", other.display())).await;
    bench.wanted.send_modify(|config| Arc::make_mut(config).failover.clear());
    drop(bench.wanted);
    let end = tokio::time::timeout(LIMIT, bench.heard.recv()).await.expect("the trackers did not end");
    assert!(end.is_none(), "a tracker that is gone was heard");
}

#[tokio::test]
async fn rise_and_fall_count_looks() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("ready");
    fs::write(&path, "").unwrap();
    let mut bench = Bench::new(Tracker { file: file(&path, Expected::Present), rise: 2, fall: 3, ..often() });
    assert_eq!(bench.next().await.0, Verdict::Passing);
    fs::remove_file(&path).unwrap();
    assert_eq!(bench.next().await.0, Verdict::Failing, "after three looks");
    fs::write(&path, "").unwrap();
    assert_eq!(bench.next().await.0, Verdict::Passing, "after two");
}

#[tokio::test]
async fn an_interface_that_is_not_there_fails() {
    let mut bench = Bench::new(Tracker { interface: Some("fairway9".parse().unwrap()), ..often() });
    bench.expect(Verdict::Failing, "fairway9 is missing").await;
}
