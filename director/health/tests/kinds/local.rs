//! What is decided on the director itself: scripts and files.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fairway_config::{Check, FileCheck, ScriptCheck};
use fairway_health::{Advice, Outcome};

use super::{LONG, SHORT, fail, pass, run};

const TARGET: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7)), 80);

fn shell(script: &str, weight: bool) -> Check {
    let command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    Check { script: Some(ScriptCheck { command, weight }), ..Check::default() }
}

fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("fairway-{}-{name}", std::process::id()))
}

#[tokio::test]
async fn a_script_decides_by_its_exit_status() {
    let script = "echo \"$FAIRWAY_ADDRESS $FAIRWAY_PORT\"; test -z \"$HOME$CARGO_MANIFEST_DIR\"";
    assert_eq!(run(TARGET, LONG, shell(script, false)).await, pass("exit status 0: 192.0.2.7 80"));
    let outcome = run(TARGET, LONG, shell("echo disk full >&2; exit 3", false)).await;
    assert_eq!(outcome, fail("exit status 3: disk full"));
    let outcome = run(TARGET, LONG, shell("exit 52", true)).await;
    assert_eq!(outcome, Outcome::Advice(Advice::Weight(50), "weight 50".into()));
    assert_eq!(run(TARGET, LONG, shell("exit 1", true)).await, fail("exit status 1"));
    assert_eq!(run(TARGET, LONG, shell("kill -TERM $$", false)).await, fail("killed by signal 15"));
    let absent = ScriptCheck { command: vec!["/nonexistent/check".to_owned()], weight: false };
    let outcome = run(TARGET, LONG, Check { script: Some(absent), ..Check::default() }).await;
    assert_eq!(outcome, fail("/nonexistent/check cannot be run: no such file or directory"));
}

#[tokio::test]
async fn megabytes_of_output_are_dropped() {
    let outcome = run(TARGET, LONG, shell("head -c 20000000 /dev/zero | tr '\\0' x; exit 0", false)).await;
    assert_eq!(outcome, pass(&format!("exit status 0: {}", "x".repeat(120))));
}

/// Waits until a process is gone.
fn gone(pid: &str) -> bool {
    let end = Instant::now() + LONG;
    while Instant::now() < end {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // A zombie has been killed; it waits for its parent.
        if stat.is_empty() || stat.contains(") Z ") {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

fn pids(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let _gone = std::fs::remove_file(file);
    text.split_whitespace().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_script_that_hangs_is_killed_with_all_its_children() {
    let file = scratch("hang");
    let script = format!(
        "trap '' TERM INT HUP; sleep 1000 & (sleep 1000 & echo $! >> {0}; wait) & echo $$ $! >> {0}; wait",
        file.display()
    );
    let outcome = run(TARGET, Duration::from_secs(3), shell(&script, false)).await;
    assert_eq!(outcome, fail("timed out after 3s while running the script"));
    let pids = pids(&file);
    assert_eq!(pids.len(), 3, "{pids:?}");
    assert!(pids.iter().all(|pid| gone(pid)), "some of {pids:?} live on");
}

#[tokio::test]
async fn what_a_script_leaves_behind_is_killed() {
    let file = scratch("behind");
    let script = format!("sleep 1000 & echo $! > {}; exit 0", file.display());
    assert_eq!(run(TARGET, LONG, shell(&script, false)).await, pass("exit status 0"));
    let pids = pids(&file);
    assert!(pids.len() == 1 && gone(&pids[0]), "{pids:?}");
}

#[tokio::test]
async fn a_file_says_how_a_server_is() {
    let path = scratch("file");
    let check = || Check { file: Some(FileCheck { path: path.clone() }), ..Check::default() };
    let missing = format!("{}: no such file or directory", path.display());
    assert_eq!(run(TARGET, LONG, check()).await, fail(&missing));
    for (text, outcome) in [
        ("", pass("the file is there")),
        ("up\n", pass("the file says up")),
        ("50%\n", Outcome::Advice(Advice::Percent(50), "the file says 50 %".into())),
        ("down # maintenance until noon\n", fail("the file says down: maintenance until noon")),
    ] {
        std::fs::write(&path, text).unwrap();
        assert_eq!(run(TARGET, SHORT, check()).await, outcome, "{text:?}");
    }
    std::fs::remove_file(&path).unwrap();
    // Nobody ever writes to it.
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR).unwrap();
    let pipe = format!("{}: it is not a regular file", path.display());
    assert_eq!(run(TARGET, LONG, check()).await, fail(&pipe));
    std::fs::remove_file(&path).unwrap();
}
