//! Topologies that an operator applies, with the commands that this runs.

use std::os::unix::fs::MetadataExt as _;

use fairway_config::provision::{Source, State};

use super::*;
use crate::apply::{Wish, apply};
use crate::tell::{read_record, write_record};

/// lb1, which has booted with the example.
fn running(host: &str) -> Box {
    let machine = Box::new(host);
    machine.put("credentials/fairway.topology", topology());
    write_record(&machine.places, &machine.boot()).unwrap();
    machine
}

/// Applies a topology; `fails` are words of the commands that fail. What came of it, and the commands that were run.
fn applied(machine: &Box, text: &str, fails: &[&str]) -> (Result<(), String>, Vec<String>) {
    machine.put("new.toml", text);
    let wish = Wish { topology: machine.path("new.toml"), yes: true, ..Wish::default() };
    let mut commands = Vec::new();
    let mut run = |words: &[&str]| {
        // Where it lies is different each time.
        commands.push(if words[0] == "fairway-director" { words[..2].join(" ") } else { words.join(" ") });
        if fails.iter().any(|word| words.contains(word)) {
            Err("it does not like it".to_owned())
        } else {
            Ok(())
        }
    };
    let result = apply(&machine.places, &wish, &mut run).map_err(|error| format!("{error:#}"));
    (result, commands)
}

/// Replaces text of the example, which must be there.
fn changed(from: &str, to: &str) -> String {
    assert!(topology().contains(from), "{from}");
    topology().replace(from, to)
}

#[test]
fn a_running_director_is_reloaded() {
    let machine = running("lb1");
    let (result, commands) = applied(&machine, &other(), &[]);
    result.unwrap();
    let expected = [
        "fairway-director check",
        // Another scheduler is another module.
        "systemctl restart systemd-modules-load.service",
        "systemctl is-active --quiet fairway-director.service",
        "fairwayctl reload",
    ];
    assert_eq!(commands, expected);
    assert!(machine.read("run/fairway/files/etc/fairway/director.toml").contains("\"wlc\""));
    let record = read_record(&machine.places).unwrap();
    assert_eq!((record.state, record.source), (State::Ok, Some(Source::Applied)));
    // It outlives a boot with the credential as it was.
    assert_eq!(machine.boot().sha256, sha256(other().as_bytes()));
}

#[test]
fn what_the_director_refuses_is_taken_back() {
    let machine = running("lb1");
    let moved = changed("10.0.0.11", "10.0.0.31");
    let before = fs::metadata(machine.path("run/systemd/network/10-fairway-eth0.network")).unwrap().ino();
    let (result, commands) = applied(&machine, &moved, &["fairwayctl"]);
    let error = result.unwrap_err();
    for words in ["`fairwayctl reload`: it does not like it", "but: cannot reload the director"] {
        assert!(error.contains(words), "{words} is not in {error}");
    }
    let forth: Vec<_> = commands.iter().filter(|command| command.starts_with("networkctl")).collect();
    assert_eq!(forth, ["networkctl reload", "networkctl reload"], "there and back");
    assert_eq!(machine.read("run/fairway/topology.toml"), topology());
    let after = fs::metadata(machine.path("run/systemd/network/10-fairway-eth0.network")).unwrap().ino();
    assert_eq!(before, after);
    assert_eq!(read_record(&machine.places).unwrap().source, Some(Source::Credential));
    assert_eq!(fs::read_dir(machine.path("run/fairway/trees")).unwrap().count(), 1);
}

#[test]
fn what_the_check_refuses_changes_nothing() {
    let machine = running("lb1");
    let (result, commands) = applied(&machine, &other(), &["check"]);
    assert!(result.unwrap_err().contains("nothing was changed:\nit does not like it"));
    assert_eq!(commands, ["fairway-director check"]);
    assert_eq!(machine.read("run/fairway/topology.toml"), topology());
}

#[test]
fn a_wrong_topology_changes_nothing() {
    let machine = running("lb1");
    let (text, line) = wrong();
    let (result, commands) = applied(&machine, &text, &[]);
    let error = result.unwrap_err();
    assert!(error.contains(&format!("new.toml:{line}: services.web.scheduler:")), "{error}");
    assert!(error.contains("nothing was changed") && commands.is_empty(), "{commands:?}");
}

#[test]
fn a_real_server_that_becomes_a_director_starts_it_last() {
    let machine = running("web2");
    let text = changed("directors = [\"lb1\", \"lb2\"]", "directors = [\"lb1\", \"web2\"]")
        .replace("real-servers = { web1 = {}, web2 = {} }", "real-servers = { web1 = {} }");
    let (result, commands) = applied(&machine, &text, &["is-active"]);
    result.unwrap();
    let expected = [
        "fairway-director check",
        "systemctl restart systemd-modules-load.service",
        "systemctl restart systemd-sysctl.service",
        "systemctl restart systemd-networkd.service",
        "networkctl delete fairway0",
        "systemctl reload-or-restart fairway-nftables.service",
        "systemctl is-active --quiet fairway-director.service",
        "systemctl start fairway-director.service",
    ];
    assert_eq!(commands, expected);
    // And back: the director hands over before anything of its is gone.
    let (result, commands) = applied(&machine, &topology(), &[]);
    result.unwrap();
    assert_eq!(commands[0], "systemctl stop fairway-director.service");
    assert!(!commands.iter().any(|command| command.contains("start fairway-director")), "{commands:?}");
}

#[test]
fn only_comments_change_and_nothing_is_reloaded() {
    let machine = running("lb1");
    let text = format!("# why\n{}", topology());
    let (result, commands) = applied(&machine, &text, &[]);
    result.unwrap();
    assert_eq!(commands, ["fairway-director check"]);
    assert_eq!(machine.read("run/fairway/topology.toml"), text);
}

#[test]
fn new_secrets_reload_the_director() {
    let machine = running("lb1");
    machine.put("new/edge", "key");
    let wish = Wish {
        topology: machine.path("run/fairway/topology.toml"),
        secrets: Some(machine.path("new")),
        yes: true,
        ..Wish::default()
    };
    let mut commands = Vec::new();
    let mut run = |words: &[&str]| {
        commands.push(words.join(" "));
        Ok(())
    };
    apply(&machine.places, &wish, &mut run).unwrap();
    assert_eq!(commands.last().unwrap(), "fairwayctl reload");
    assert_eq!(machine.read("run/fairway/secrets/edge"), "key");
}

#[test]
fn a_dry_run_changes_nothing() {
    let machine = running("lb1");
    machine.put("new.toml", other());
    let wish = Wish { topology: machine.path("new.toml"), dry_run: true, ..Wish::default() };
    apply(&machine.places, &wish, &mut |words| panic!("{words:?} was run")).unwrap();
    assert_eq!(machine.read("run/fairway/topology.toml"), topology());
}

#[test]
fn machines_that_are_no_appliances_are_told_so() {
    let machine = Box::new("lb1");
    let (result, _) = applied(&machine, &topology(), &[]);
    assert!(result.unwrap_err().contains("no appliance"));
}

#[test]
fn the_first_topology_can_be_applied() {
    let machine = Box::new("lb1");
    write_record(&machine.places, &machine.boot()).unwrap();
    let (result, commands) = applied(&machine, &topology(), &["is-active"]);
    result.unwrap();
    assert_eq!(commands.last().unwrap(), "systemctl start fairway-director.service");
    assert_eq!(machine.boot().source, Some(Source::Applied));
}

#[test]
fn the_plan_is_about_all_hosts() {
    use crate::plan::{Plan, parts};
    let of = |text: &str| parts(&fairway_gen::Topology::load("t", text).unwrap().0).unwrap();
    let text = changed("real-servers = { web1 = {}, web2 = {} }", "real-servers = { web1 = {}, web3 = {} }")
        .replace("[hosts.web2]", "[hosts.web3]");
    let plan = Plan::new(of(&topology()), of(&text));
    let shown = plan.render("lb2", false);
    let expected =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/plan.txt")).unwrap();
    assert_eq!(shown, expected, "{shown}");
    assert_eq!(plan.others("lb2"), ["web3", "lb1"]);
    assert!(plan.render("lb2", true).contains("+name = \"web3\""), "{}", plan.render("lb2", true));
}

/// The kernel's parameters as systemd-sysctl would leave them.
fn set_sysctls(machine: &Box) {
    let text = fs::read_to_string(machine.path("run/sysctl.d/60-fairway.conf")).unwrap_or_default();
    for (key, value) in text.lines().filter_map(|line| line.split_once(" = ")) {
        let path = format!("proc/sys/{}", key.trim_start_matches('-').replace('.', "/"));
        if machine.path(&path).exists() {
            machine.put(&path, format!("{value}\n"));
        }
    }
}

#[test]
fn sysctls_that_are_no_longer_set_get_back_what_they_had() {
    let (all, announce) =
        ("proc/sys/net/ipv4/conf/all/send_redirects", "proc/sys/net/ipv4/conf/all/arp_announce");
    let eth0 = "proc/sys/net/ipv4/conf/eth0/send_redirects";
    let (conntrack, reuse) = ("proc/sys/net/ipv4/vs/conntrack", "proc/sys/net/ipv4/vs/conn_reuse_mode");
    let machine = Box::new("web2");
    machine.put("credentials/fairway.topology", topology());
    machine.put(all, "1\n");
    // Somebody has set this one otherwise, and should have it back.
    machine.put(announce, "8\n");
    write_record(&machine.places, &machine.boot()).unwrap();
    // Interfaces are renamed and modules loaded later.
    machine.put("proc/sys/net/ipv4/conf/default/send_redirects", "1\n");
    machine.put(eth0, "1\n");
    set_sysctls(&machine);
    assert_eq!(machine.read(announce), "2\n");

    let director = changed("directors = [\"lb1\", \"lb2\"]", "directors = [\"lb1\", \"web2\"]")
        .replace("real-servers = { web1 = {}, web2 = {} }", "real-servers = { web1 = {} }");
    applied(&machine, &director, &["is-active"]).0.unwrap();
    assert_eq!(machine.read(announce), "8", "what it had before the boot");
    machine.put(conntrack, "1\n");
    machine.put(reuse, "0\n");
    set_sysctls(&machine);
    assert_eq!((machine.read(all), machine.read(eth0)), ("0\n".to_owned(), "0\n".to_owned()));

    applied(&machine, &topology(), &[]).0.unwrap();
    assert_eq!((machine.read(all), machine.read(eth0)), ("1".to_owned(), "1".to_owned()));
    assert_eq!(
        (machine.read(conntrack), machine.read(reuse)),
        ("0".to_owned(), "1".to_owned()),
        "the kernel's"
    );
}

#[test]
fn sysctls_of_a_topology_that_is_taken_back() {
    let announce = "proc/sys/net/ipv4/conf/all/arp_announce";
    let machine = Box::new("web2");
    machine.put("credentials/fairway.topology", changed("web1 = {}, web2 = {}", "web1 = {}"));
    machine.put(announce, "8\n");
    write_record(&machine.places, &machine.boot()).unwrap();
    machine.put("new.toml", topology());
    let wish = Wish { topology: machine.path("new.toml"), yes: true, ..Wish::default() };
    let mut seen = Vec::new();
    let mut run = |words: &[&str]| {
        if words.contains(&"systemd-sysctl.service") {
            set_sysctls(&machine);
            seen.push(machine.read(announce).trim().to_owned());
        }
        if words[0] == "networkctl" { Err("no".to_owned()) } else { Ok(()) }
    };
    apply(&machine.places, &wish, &mut run).unwrap_err();
    assert_eq!(seen, ["2", "8"], "there and back");
}
