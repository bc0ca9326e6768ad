//! Everything that can be wrong. The machine serves what it served.

use std::os::unix::fs::PermissionsExt as _;

use fairway_config::provision::{Source, State};

use super::*;
use crate::tell;

/// A machine that has served before.
fn served() -> Box {
    let machine = Box::new("lb1");
    machine.put("medium/topology.toml", topology());
    assert_eq!(machine.boot().state, State::Ok);
    machine.remove("medium/topology.toml");
    machine
}

/// Boots: what is given is refused, and what was served is served.
#[track_caller]
fn refused(machine: &Box, from: Source, words: &[&str]) {
    let record = machine.boot();
    assert_eq!(record.state, State::Refused, "{record:?}");
    assert_eq!(record.refused[0].source, from);
    has(&record.errors, words);
    assert_eq!((record.source, record.host.as_str()), (Some(Source::Kept), "lb1"));
    assert_eq!(machine.read("run/fairway/topology.toml"), topology());
    let summary = tell::summary(&record);
    assert!(summary.contains("refused, an older one stays in force") && summary.contains("lb1"), "{summary}");
}

#[test]
fn nothing_is_given() {
    let record = Box::new("lb1").boot();
    assert_eq!((record.state, record.source), (State::None, None));
    assert!(tell::summary(&record).contains("there is no topology"), "{record:?}");
}

#[test]
fn a_mistake_is_named_with_file_line_and_key() {
    let machine = served();
    let (text, line) = wrong();
    machine.put("credentials/fairway.topology", &text);
    let place = format!("fairway.topology:{line}: services.web.scheduler:");
    refused(&machine, Source::Credential, &[&place, "random", "unknown-scheduler"]);
    machine.remove("credentials/fairway.topology");
    machine.put("medium/topology.toml", &text);
    let place = format!("FAIRWAY/topology.toml:{line}: services.web.scheduler:");
    refused(&machine, Source::Disk, &[&place]);
}

#[test]
fn a_mistake_without_an_older_topology_leaves_nothing_in_force() {
    let machine = Box::new("lb1");
    machine.put("medium/topology.toml", wrong().0);
    let record = machine.boot();
    assert_eq!((record.state, record.source), (State::Refused, None));
    assert!(tell::summary(&record).contains("serves nothing"));
    assert!(!machine.path("run/fairway/files").exists());
}

#[test]
fn a_truncated_credential() {
    let machine = served();
    let whole = topology();
    machine.put("credentials/fairway.topology.sha256", sha256(whole.as_bytes()));
    machine.put("credentials/fairway.topology", &whole[..whole.len() / 2]);
    let arrived = format!("{} bytes", whole.len() / 2);
    refused(&machine, Source::Credential, &[&arrived, "fairway.topology.sha256 says", "cut off"]);
    machine.remove("credentials/fairway.topology.sha256");
    machine.put("credentials/fairway.topology.length", whole.len().to_string());
    refused(&machine, Source::Credential, &[&arrived, "fairway.topology.length says", "cut off"]);
}

#[test]
fn a_changed_disk() {
    let machine = served();
    machine.put("medium/topology.toml.sha256", format!("{}  topology.toml", sha256(topology().as_bytes())));
    machine.put("medium/topology.toml", other());
    refused(&machine, Source::Disk, &["topology.toml.sha256 says"]);
}

#[test]
fn what_is_no_text() {
    let machine = served();
    machine.put("medium/topology.toml", "");
    refused(&machine, Source::Disk, &["it is empty"]);
    machine.put("medium/topology.toml", b"version = 1\n\xff");
    refused(&machine, Source::Disk, &["FAIRWAY/topology.toml:2:", "not UTF-8"]);
    machine.remove("medium/topology.toml");
    fs::create_dir(machine.path("medium/topology.toml")).unwrap();
    refused(&machine, Source::Disk, &["it is not a file"]);
}

#[test]
fn a_topology_for_other_hosts() {
    let machine = served();
    machine.put("medium/topology.toml", other());
    machine.put("etc/hostname", "lb9");
    machine.put("etc/machine-id", "4c5a3f0d8e7b41d2a9c6e0f1b2d3c4a5\n");
    machine.put("sys/class/net/eth0/address", "52:54:00:12:34:56\n");
    let called =
        "it is called \"lb9\", machine ID 4c5a3f0d8e7b41d2a9c6e0f1b2d3c4a5, MAC address 52:54:00:12:34:56";
    refused(&machine, Source::Disk, &["there are lb1, lb2, web1, web2", called]);
    machine.put("credentials/fairway.host", "lb8");
    refused(&machine, Source::Disk, &["said to be \"lb8\"", "lb1, lb2, web1, web2"]);
}

#[test]
fn two_topologies_that_disagree() {
    let machine = Box::new("lb1");
    machine.put("credentials/fairway.topology", topology());
    machine.put("medium/topology.toml", other());
    let record = machine.boot();
    assert_eq!((record.state, record.source), (State::Ok, Some(Source::Credential)));
    let (first, second) = (sha256(topology().as_bytes()), sha256(other().as_bytes()));
    has(&record.warnings, &["two topologies disagree", &first, "counts", &second]);
    machine.put("medium/topology.toml", topology());
    assert_eq!(machine.boot().warnings, [""; 0]);
}

#[test]
fn a_disk_serves_where_the_credential_is_wrong_and_nothing_was_kept() {
    let machine = Box::new("lb1");
    machine.put("credentials/fairway.topology", wrong().0);
    machine.put("medium/topology.toml", other());
    let record = machine.boot();
    assert_eq!((record.state, record.source), (State::Refused, Some(Source::Disk)), "{record:?}");
}

#[test]
fn a_secret_that_nobody_gave() {
    let machine = served();
    let auth = "[failover.edge]\nauth = { pass = { key-file = \"/etc/fairway/secrets/edge\" } }\nversion = 2\n\
                advert-interval = \"1s\"\n";
    let text = topology().replace("[failover.edge]\n", auth);
    machine.put("medium/topology.toml", &text);
    refused(
        &machine,
        Source::Disk,
        &["/etc/fairway/secrets/edge is named", "fairway.secret.edge", "secrets/edge"],
    );
    machine.put("credentials/fairway.secret.edge", "password");
    assert_eq!(machine.boot().state, State::Ok);
}

#[test]
fn a_last_good_copy_that_cannot_be_kept() {
    let machine = Box::new("lb1");
    machine.put("medium/topology.toml", topology());
    // Not even root can make a directory here.
    machine.put("var/lib/fairway-provision", "");
    let record = machine.boot();
    assert_eq!((record.state, record.source), (State::Ok, Some(Source::Disk)));
    has(&record.warnings, &["could not be kept", "fairway-provision"]);
}

#[test]
fn a_last_good_copy_that_is_damaged() {
    let machine = served();
    let kept = machine.path("var/lib/fairway-provision/good/topology.toml");
    fs::set_permissions(&kept, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&kept, &topology()[..100]).unwrap();
    let record = machine.boot();
    assert_eq!((record.state, record.source), (State::Refused, None));
    has(&record.errors, &["good/topology.toml", "its SHA-256 is not the one"]);
    // What is given makes it whole.
    machine.put("medium/topology.toml", topology());
    assert_eq!(machine.boot().state, State::Ok);
    machine.remove("medium/topology.toml");
    assert_eq!(machine.boot().source, Some(Source::Kept));
}

#[test]
fn a_power_cut_while_the_copy_is_written_leaves_the_old_one() {
    let machine = served();
    // The tree of the next one, half written, and no link to it.
    machine.put("var/lib/fairway-provision/trees/2/topology.toml", "version =");
    machine.put("var/lib/fairway-provision/trees/1/secrets/x", "");
    fs::remove_file(machine.path("var/lib/fairway-provision/trees/1/secrets/x")).unwrap();
    assert_eq!(machine.boot().source, Some(Source::Kept));
    machine.put("medium/topology.toml", other());
    assert_eq!(machine.boot().warnings, [""; 0]);
    assert_eq!(machine.read("var/lib/fairway-provision/good/topology.toml"), other());
}

#[test]
fn a_run_that_cannot_be_written() {
    let machine = served();
    let _ = fs::remove_dir_all(machine.path("run"));
    machine.put("run/fairway/trees", "in the way");
    let record = boot(&machine.places);
    assert_eq!((record.state, record.source), (State::Refused, None));
    has(&record.errors, &["files of lb1 cannot be written", "run/fairway/trees"]);
}

#[test]
fn a_var_that_is_full_is_told() {
    let machine = Box::new("lb1");
    machine.put("medium/topology.toml", topology());
    let said = "partition fairway-var is full: what is written to /var is lost at reboot";
    machine.put("run/fairway/var", format!("{said}\n"));
    let record = boot(&machine.places);
    assert_eq!((record.state, record.warnings), (State::Ok, vec![said.to_owned()]));
}
