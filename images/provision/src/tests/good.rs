//! Topologies that come into force.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use fairway_config::provision::{Source, State};

use super::*;
use crate::keep;
use crate::lease;
use crate::machine::Machine;
use crate::prepared::Prepared;
use crate::source;
use crate::tell;
use crate::tree::Trees;

const DIRECTOR: &str = "run/fairway/files/etc/fairway/director.toml";

#[test]
fn a_credential_makes_a_director() {
    let machine = Box::new("lb1.example.org");
    machine.put("credentials/fairway.topology", topology());
    machine.put(
        "credentials/fairway.topology.sha256",
        format!("{}  topology.toml\n", sha256(topology().as_bytes())),
    );
    machine.put("credentials/fairway.topology.length", topology().len().to_string());
    let record = machine.boot();
    assert_eq!((record.state, record.source), (State::Ok, Some(Source::Credential)), "{record:?}");
    assert_eq!((record.host.as_str(), record.cluster.as_str()), ("lb1", "direct"));
    assert_eq!(record.roles, ["director"]);
    assert_eq!(record.sha256, sha256(topology().as_bytes()));
    assert_eq!((record.errors.len(), record.warnings.len()), (0, 0), "{record:?}");
    assert!(machine.read(DIRECTOR).contains("host = \"lb1\""));
    assert_eq!(machine.read("run/fairway/topology.toml"), topology());
    for linked in
        ["systemd/network/10-fairway-eth0.network", "sysctl.d/60-fairway.conf", "modules-load.d/fairway.conf"]
    {
        assert!(fs::read_link(machine.path("run").join(linked)).is_ok(), "{linked} is no link");
        assert_eq!(
            machine.read(&format!("run/{linked}")),
            machine.read(&format!("run/fairway/files/etc/{linked}"))
        );
    }
}

#[test]
fn a_name_from_dhcp_counts_when_it_comes() {
    let machine = Box::new("unnamed");
    machine.put("credentials/fairway.topology", topology());
    let refused = machine.boot();
    assert_eq!((refused.state, refused.source), (State::Refused, None), "{refused:?}");
    tell::write_record(&machine.places, &refused).unwrap();
    let mut ran = Vec::new();
    let mut again = |machine: &Box| {
        lease::provision(&machine.places, &mut |words| {
            ran.push(words.join(" "));
            if words[1] == "is-active" { Err("inactive".to_owned()) } else { Ok(()) }
        })
    };
    assert_eq!(again(&machine), None, "no lease");
    machine.put("run/systemd/netif/leases/2", "ADDRESS=10.0.0.77\nHOSTNAME=printer\n");
    let other = again(&machine).unwrap();
    assert_eq!(other.source, None, "{other:?}");
    tell::write_record(&machine.places, &other).unwrap();
    assert_eq!(again(&machine), None, "a renewed lease says nothing new");
    machine.put("run/systemd/netif/leases/3", "ADDRESS=10.0.0.78\nHOSTNAME=lb2.example.org\n");
    let record = again(&machine).unwrap();
    assert_eq!((record.state, record.host.as_str()), (State::Ok, "lb2"), "{record:?}");
    assert_eq!(again(&machine), None, "something is in force");
    assert_eq!(ran.first().map(String::as_str), Some("systemctl restart systemd-modules-load.service"));
    assert_eq!(ran.last().map(String::as_str), Some("systemctl start fairway-director.service"), "{ran:?}");
}

#[test]
fn a_disk_makes_a_real_server_with_secrets_that_only_the_director_reads() {
    let machine = Box::new("unnamed");
    machine.put("medium/topology.toml", topology());
    machine.put("medium/host", "web1\n");
    machine.put("medium/secrets/edge", "a");
    machine.put("medium/secrets/.hidden", "x");
    machine.put("credentials/fairway.secret.edge", "b");
    let record = machine.boot();
    assert_eq!((record.state, record.source), (State::Ok, Some(Source::Disk)), "{record:?}");
    assert_eq!(record.roles, ["real-server"]);
    assert!(!machine.path(DIRECTOR).exists());
    assert_eq!(machine.read("run/fairway/secrets/edge"), "b", "the credential counts");
    let mode = |path: &str| fs::metadata(machine.path(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("run/fairway/secrets/edge"), mode("run/fairway/secrets/")), (0o400, 0o750));
    assert_eq!(fs::read_dir(machine.path("run/fairway/secrets/")).unwrap().count(), 1);
    assert_eq!(mode("var/lib/fairway-provision"), 0o700);
}

#[test]
fn the_last_good_one_serves_when_nothing_is_given() {
    let machine = Box::new("lb1");
    machine.put("medium/topology.toml", topology());
    machine.put("medium/secrets/edge", "key");
    machine.boot();
    machine.remove("medium/topology.toml");
    machine.remove("medium/secrets/edge");
    // It knows its name from the last time.
    machine.put("etc/hostname", "localhost");
    let record = machine.boot();
    assert_eq!((record.state, record.source), (State::Ok, Some(Source::Kept)), "{record:?}");
    assert_eq!(record.host, "lb1");
    assert_eq!(machine.read("run/fairway/secrets/edge"), "key");
}

#[test]
fn a_newer_topology_replaces_the_kept_one() {
    let machine = Box::new("lb1");
    for text in [topology(), other(), topology()] {
        machine.put("medium/topology.toml", &text);
        assert_eq!(machine.boot().state, State::Ok);
        assert_eq!(machine.read("var/lib/fairway-provision/good/topology.toml"), text);
        assert_eq!(fs::read_dir(machine.path("var/lib/fairway-provision/trees")).unwrap().count(), 1);
    }
}

#[test]
fn what_was_applied_stays_until_something_else_is_given() {
    let machine = Box::new("lb1");
    machine.put("credentials/fairway.topology", topology());
    machine.boot();
    let given = source::Given {
        source: Source::Applied,
        name: "topology.toml".to_owned(),
        text: other(),
        secrets: source::Secrets::new(),
        host: Some("lb1".to_owned()),
    };
    let prepared = Prepared::new(given, &Machine::default()).unwrap();
    keep::write(&machine.places, &prepared, Some(&sha256(topology().as_bytes()))).unwrap();

    let record = machine.boot();
    assert_eq!((record.state, record.source), (State::Ok, Some(Source::Applied)), "{record:?}");
    assert_eq!(record.sha256, sha256(other().as_bytes()));

    let third = topology().replace("scheduler = \"rr\"", "scheduler = \"sh\"");
    machine.put("credentials/fairway.topology", &third);
    let record = machine.boot();
    assert_eq!((record.source, record.sha256), (Some(Source::Credential), sha256(third.as_bytes())));
}

#[test]
fn machines_are_known_by_their_id_and_mac() {
    let id = "4c5a3f0d8e7b41d2a9c6e0f1b2d3c4a5";
    let text = topology()
        .replace("[hosts.lb2]\n", &format!("[hosts.lb2]\nmachine-id = \"{id}\"\n"))
        .replace("[hosts.web2]\n", "[hosts.web2]\nmac = \"52:54:00:12:34:5A\"\n");
    let machine = Box::new("localhost");
    machine.put("medium/topology.toml", text);
    machine.put("sys/class/net/lo/address", "00:00:00:00:00:00\n");
    machine.put("sys/class/net/eth0/address", "52:54:00:12:34:5a\n");
    assert_eq!(machine.boot().host, "web2");
    machine.put("etc/machine-id", format!("{id}\n"));
    assert_eq!(machine.boot().host, "lb2", "the machine ID comes first");
    machine.put("credentials/system.hostname", "lb1");
    assert_eq!(machine.boot().host, "lb1", "a name comes before both");
}

#[test]
fn a_tree_is_swapped_and_what_does_not_change_stays_the_same_file() {
    let machine = Box::new("lb1");
    let prepared = |text: String| {
        let given = source::Given {
            source: Source::Applied,
            name: "topology.toml".to_owned(),
            text,
            secrets: source::Secrets::new(),
            host: Some("lb1".to_owned()),
        };
        Prepared::new(given, &Machine::default()).unwrap()
    };
    let inode = |path: &str| fs::metadata(machine.path(path)).unwrap().ino();
    let trees = Trees::new(&machine.places);
    let first = trees.write(&prepared(topology())).unwrap();
    trees.switch(&first).unwrap();
    let network = "run/systemd/network/10-fairway-eth0.network";
    let before = (inode(network), inode(DIRECTOR));
    machine.put("run/systemd/network/50-mine.network", "[Match]\n");
    std::os::unix::fs::symlink(
        machine.path("run/fairway/files/etc/systemd/network/10-fairway-gone.network"),
        machine.path("run/systemd/network/10-fairway-gone.network"),
    )
    .unwrap();

    let second = trees.write(&prepared(other())).unwrap();
    assert!(machine.read(DIRECTOR).contains("\"rr\""), "nothing changes before the switch");
    trees.switch(&second).unwrap();
    assert!(machine.read(DIRECTOR).contains("\"wlc\""));
    assert_eq!(inode(network), before.0);
    assert_ne!(inode(DIRECTOR), before.1);
    assert!(machine.path("run/systemd/network/50-mine.network").exists(), "it is not ours");
    assert!(!machine.path("run/systemd/network/10-fairway-gone.network").is_symlink(), "a link to nothing");

    trees.switch(&first).unwrap();
    assert!(machine.read(DIRECTOR).contains("\"rr\""), "back again");
    trees.tidy(&[&first]);
    assert!(first.exists() && !second.exists());
}
