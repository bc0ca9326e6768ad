//! `fairway-gen diff`: what would change on a host.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use common::directory;

fn run(arguments: &[&str], topology: &str, host: &str, root: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fairway-gen"))
        .arg(arguments[0])
        .arg(directory("../examples").join(topology))
        .args(["--host", host, arguments[1]])
        .arg(root)
        .output()
        .unwrap()
}

fn diff(topology: &str, host: &str, root: &Path) -> (Option<i32>, String, String) {
    let output = run(&["diff", "--root"], topology, host, root);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn an_empty_host_would_get_every_file_and_a_written_one_nothing() {
    let root = tempfile::tempdir().unwrap();
    let (code, text, _) = diff("direct.toml", "web1", root.path());
    assert_eq!(code, Some(1));
    assert!(text.contains("--- /dev/null\n+++ b/etc/sysctl.d/60-fairway.conf\n@@ -0,0 +1,"), "{text}");
    assert!(fs::read_dir(root.path()).unwrap().next().is_none(), "a diff writes nothing");

    assert!(run(&["real-server", "--out"], "direct.toml", "web1", root.path()).status.success());
    assert_eq!(diff("direct.toml", "web1", root.path()), (Some(0), String::new(), String::new()));
}

#[test]
fn changed_lines_and_files_that_would_go_are_shown_in_order() {
    let root = tempfile::tempdir().unwrap();
    assert!(run(&["real-server", "--out"], "direct.toml", "web1", root.path()).status.success());
    let network = root.path().join("etc/systemd/network");
    fs::write(network.join("10-fairway-mine.network"), "[Match]\n").unwrap();
    fs::write(root.path().join("etc/sysctl.d/60-fairway.conf"), b"\xff\n").unwrap();

    let (code, text, _) = diff("nat.toml", "web1", root.path());
    assert_eq!(code, Some(1));
    let headers: Vec<&str> = text.lines().filter(|l| l.starts_with("+++ ")).collect();
    let link = "+++ b/etc/systemd/network/10-fairway-eth0.network";
    assert!(headers.contains(&link), "{text}");
    assert_eq!(headers.iter().filter(|h| **h == "+++ /dev/null").count(), 2, "{text}");
    for line in [
        "--- a/etc/systemd/network/10-fairway0.netdev",
        "--- a/etc/systemd/network/10-fairway0.network",
        "-Address=10.0.0.21/24",
        "+Gateway=10.0.0.100",
    ] {
        assert!(text.lines().any(|l| l == line), "no {line} in:\n{text}");
    }
    assert!(!text.contains("mine"), "the user's file stays:\n{text}");
    let from: Vec<&str> = text.lines().filter(|l| l.starts_with("--- ")).collect();
    assert!(from.is_sorted(), "{from:?}");

    // What diff announces is what writing does.
    assert!(run(&["real-server", "--out"], "nat.toml", "web1", root.path()).status.success());
    assert_eq!(diff("nat.toml", "web1", root.path()), (Some(0), String::new(), String::new()));
}

#[test]
fn errors_are_told_from_differences() {
    let root = tempfile::tempdir().unwrap();
    for (topology, host, path, message) in [
        ("direct.toml", "lb9", root.path().to_owned(), "there is no host \"lb9\""),
        ("absent.toml", "lb1", root.path().to_owned(), "cannot read"),
        ("../tests/reject/direct-port.toml", "lb1", root.path().to_owned(), "1 error"),
        ("direct.toml", "lb1", root.path().join("absent"), "cannot read"),
    ] {
        let (code, out, err) = diff(topology, host, &path);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
        assert!(err.contains(message), "{err}");
    }
    // A path that is something else than a file is an error, not a difference.
    fs::create_dir_all(root.path().join("etc/nftables.d/fairway.nft")).unwrap();
    let (code, _, err) = diff("direct.toml", "lb1", root.path());
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("etc/nftables.d/fairway.nft"), "{err}");
}
