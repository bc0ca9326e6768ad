//! The kernel takes every generated ruleset, in a network namespace of its own. Needs root and nft: without
//! them the test fails where `CI` is set and says that it was not run elsewhere.

mod common;

use std::path::Path;
use std::process::{Command, Output};

use common::{directory, entries};

/// Runs a shell command in a fresh network namespace.
fn in_namespace(script: &str, arguments: &[&Path]) -> Output {
    Command::new("unshare")
        .args(["--net", "sh", "-ec", script, "sh"])
        .args(arguments)
        .output()
        .expect("unshare is part of every Linux")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Whether rulesets can be tried here; where they must be, it is an error if not.
fn able() -> bool {
    let probe =
        in_namespace("nft list ruleset; ip link add veth0 type veth peer name veth1; python3 -c ''", &[]);
    if !probe.status.success() {
        assert!(
            std::env::var_os("CI").is_none(),
            "namespaces, nft or python3 cannot be used: {}",
            text(&probe)
        );
        eprintln!("NOT RUN: namespaces, nft or python3 cannot be used here: {}", text(&probe));
    }
    probe.status.success()
}

#[test]
fn every_ruleset_loads_twice_and_holds_one_table() {
    if !able() {
        return;
    }
    let mut loaded = 0;
    for case in entries(&directory("golden")) {
        for host in entries(&case.join("out")) {
            let rules = host.join("etc/nftables.d");
            // Twice: the second time replaces the table of the first. A foreign table stays.
            let script = "nft add table inet other
                nft -I \"$1\" -c -f \"$1/fairway.nft\"
                nft -I \"$1\" -f \"$1/fairway.nft\"; nft list table inet fairway >/dev/null
                once=$(nft -s list ruleset); nft -I \"$1\" -f \"$1/fairway.nft\"; twice=$(nft -s list ruleset)
                test \"$once\" = \"$twice\"; nft list tables";
            let output = in_namespace(script, &[&rules]);
            assert!(output.status.success(), "{}: {}", rules.display(), text(&output));
            assert_eq!(text(&output), "table inet other\ntable inet fairway\n", "{}", rules.display());
            loaded += 1;
        }
    }
    assert!(loaded > 20, "only {loaded} rulesets");
}

/// What the dropping firewall of a director lets in, tried with packets.
#[test]
fn the_dropping_firewall_lets_in_services_and_peers_only() {
    if !able() {
        return;
    }
    let rules = directory("golden/everything/out/lb1/etc/nftables.d");
    let output = in_namespace("exec bash -e \"$1\" \"$2\"", &[&directory("packets.sh"), &rules]);
    assert!(output.status.success(), "{}", text(&output));
    let expected = "\
198.51.100.100:80 open
198.51.100.100:443 open
198.51.100.100:22 open
198.51.100.100:81 filtered
198.51.100.101:12345 open
[2001:db8:ffff::53]:53/udp answered
[2001:db8:ffff::53]:54/udp silent
advert from 198.51.100.12 heard
";
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{}", text(&output));
}
