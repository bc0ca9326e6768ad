//! Scripts as the director runs them: whatever they do, nothing of them is left at the end.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fairway_config::{Check, Period, ScriptCheck};
use fairway_health::{Launcher, Outcome, Spec, Subject, probe};

const DIRECTOR: &str = env!("CARGO_BIN_EXE_fairway-director");
const TARGET: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)), 80);
/// For what takes milliseconds on a machine that is not busy.
const PATIENCE: Duration = Duration::from_secs(20);

async fn run(script: &str, timeout: Duration) -> Outcome {
    let command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    let check = Check {
        every: Period::from_secs(60),
        timeout: Period::from_millis(u64::try_from(timeout.as_millis()).unwrap()),
        script: Some(ScriptCheck { command, weight: false }),
        ..Check::default()
    };
    let launcher = Launcher([DIRECTOR, "exec", "--"].map(str::to_owned).to_vec());
    let spec = Arc::new(Spec::new(&check, &launcher).unwrap());
    probe(&Subject::new(TARGET, spec).unwrap()).await
}

fn pass(detail: &str) -> Outcome {
    Outcome::Pass(detail.to_owned().into())
}

fn fail(detail: &str) -> Outcome {
    Outcome::Fail(detail.to_owned().into())
}

/// Where a script that has lost its rights can write its processes' numbers.
struct Notes(PathBuf);

impl Notes {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("fairway-script-{}-{name}", std::process::id()));
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        Self(path)
    }

    fn path(&self) -> std::path::Display<'_> {
        self.0.display()
    }

    fn pids(&self) -> Vec<String> {
        fs::read_to_string(&self.0).unwrap().split_whitespace().map(str::to_owned).collect()
    }
}

impl Drop for Notes {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.0);
    }
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "not within {} s: {what}", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a process is there; a zombie is not.
fn lives(pid: &str) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

fn gone(pids: &[String]) {
    eventually(&format!("all of {pids:?} are gone"), || !pids.iter().any(|pid| lives(pid)));
}

#[tokio::test]
async fn a_script_decides_by_how_it_ends() {
    assert_eq!(run("echo well; exit 0", PATIENCE).await, pass("exit status 0: well"));
    assert_eq!(run("echo disk full >&2; exit 3", PATIENCE).await, fail("exit status 3: disk full"));
    assert_eq!(run("kill -TERM $$", PATIENCE).await, fail("killed by signal 15"));
    assert_eq!(run("kill -SEGV $$", PATIENCE).await, fail("killed by signal 11"));
    // Only its own processes are in its group.
    assert_eq!(run("trap '' TERM; kill -TERM 0; exit 4", PATIENCE).await, fail("exit status 4"));
    let absent = run("exec /nonexistent/check", PATIENCE).await;
    assert!(matches!(&absent, Outcome::Fail(why) if why.starts_with("exit status 127")), "{absent:?}");
}

#[tokio::test]
async fn processes_that_detach_themselves_do_not_outlive_the_wait() {
    let notes = Notes::new("detached");
    // In a session of its own, in one below it, twice forked, and babbling.
    let script = format!(
        "trap '' TERM HUP INT
         setsid sh -c 'echo $$ >> {0}; trap \"\" TERM; setsid sh -c \"echo \\$\\$ >> {0}; sleep 1000\" & sleep 1000' &
         (setsid sh -c 'echo $$ >> {0}; exec sleep 1000' &)
         setsid sh -c 'echo $$ >> {0}; exec yes' &
         echo $$ >> {0}; wait",
        notes.path()
    );
    let running = async {
        while notes.pids().len() < 5 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        outcome = run(&script, PATIENCE) => panic!("{outcome:?}, {:?}", notes.pids()),
        () = running => {}
    }
    let pids = notes.pids();
    gone(&pids);
}

#[tokio::test]
async fn what_detached_itself_does_not_outlive_the_script() {
    let notes = Notes::new("behind");
    let script = format!(
        "(setsid sh -c 'echo $$ >> {0}; exec sleep 1000' &); while [ ! -s {0} ]; do :; done; exit 5",
        notes.path()
    );
    assert_eq!(run(&script, PATIENCE).await, fail("exit status 5"));
    let pids = notes.pids();
    // It is gone before the script counts as ended.
    assert!(pids.len() == 1 && !lives(&pids[0]), "{pids:?}");
}

#[tokio::test]
async fn a_script_that_forks_without_end_is_ended() {
    let mark = format!("bomb-{}", std::process::id());
    let bombs = || {
        let commands = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
            let pid = entry.file_name().into_string().ok()?;
            let command = fs::read(entry.path().join("cmdline")).ok()?;
            let command = String::from_utf8_lossy(&command).into_owned();
            // Not the launcher, which has the script among its arguments too.
            (command.starts_with("/bin/sh") && command.contains(&mark)).then_some(pid)
        });
        commands.filter(|pid| lives(pid)).count()
    };
    // dash and bash have different letters for the limit. Those that cannot fork any more end, and make room for others.
    let limit = "ulimit -p 80 2>/dev/null || ulimit -u 80";
    // The script itself forks before there is anybody who could have used up the limit.
    let script = format!(": {mark}; {limit}; f() {{ f & f & wait; f; }}; f 2>/dev/null & exec sleep 1000");
    // This one runs into its timeout.
    let timeout = Duration::from_secs(2);
    assert_eq!(run(&script, timeout).await, fail("timed out after 2s while running the script"));
    eventually("nothing is left of it", || bombs() == 0);
    assert_eq!(bombs(), 0, "and nothing comes again");
}

#[tokio::test]
async fn megabytes_of_output_are_dropped() {
    let script = "head -c 20000000 /dev/zero | tr '\\0' x; head -c 20000000 /dev/zero >&2; exit 0";
    assert_eq!(run(script, PATIENCE).await, pass(&format!("exit status 0: {}", "x".repeat(120))));
}

#[test]
fn scripts_do_not_outlive_the_director() {
    let notes = Notes::new("orphan");
    let script = format!("setsid sleep 1000 & echo $$ $! >> {}; wait", notes.path());
    let launched =
        Command::new(DIRECTOR).args(["exec", "--", "/bin/sh", "-c", &script]).stdout(Stdio::piped()).spawn();
    let mut launched = launched.unwrap();
    eventually("the script runs", || notes.pids().len() == 2);
    let pids = notes.pids();
    assert!(pids.iter().all(|pid| lives(pid)), "{pids:?}");
    // As when the director is killed.
    drop(launched.stdout.take());
    gone(&pids);
    launched.wait().unwrap();
}
