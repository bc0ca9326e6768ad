//! `fairway-gen explain`: what is there because of a service or a virtual IP.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Command, Output};

use common::{bless, directory, entries};
use fairway_gen::explain::{Subject, explain, subjects};
use fairway_gen::render::Renderer;
use fairway_gen::{Plans, Topology};

fn run(topology: &str, name: &str) -> Output {
    let topology = directory(topology);
    Command::new(env!("CARGO_BIN_EXE_fairway-gen"))
        .arg("explain")
        .args([topology.to_str().unwrap(), name])
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn explanations_are_as_expected() {
    for (topology, name, expected) in [
        ("../examples/direct.toml", "web", "direct-web"),
        ("../examples/nat.toml", "web", "nat-web"),
        ("../examples/nat.toml", "10.0.0.100", "nat-inside"),
        ("golden/everything/topology.toml", "dns", "everything-dns"),
        ("golden/everything/topology.toml", "blue", "everything-blue"),
    ] {
        let output = run(topology, name);
        assert!(output.status.success(), "{}", text(&output));
        let path = directory("explain").join(format!("{expected}.txt"));
        if bless() {
            fs::write(&path, &output.stdout).unwrap();
        }
        let wanted = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(text(&output), wanted, "{expected}");
    }
}

#[test]
fn names_that_are_not_there_are_answered_with_those_that_are() {
    let output = run("../examples/nat.toml", "wbe");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output).contains("the services are web; the virtual IPs are shop, inside"),
        "{}",
        text(&output)
    );
}

#[test]
fn a_name_may_be_both() {
    let source = fs::read_to_string(directory("../examples/direct.toml")).unwrap();
    let (topology, _) = Topology::load("t", &source.replace("[services.web]", "[services.shop]")).unwrap();
    assert_eq!(subjects(&topology, "shop"), [Subject::Service("shop"), Subject::VirtualIp("shop")]);
    assert_eq!(subjects(&topology, "10.0.0.100"), [Subject::VirtualIp("shop")]);
    assert_eq!(subjects(&topology, "10.0.0.101"), []);
}

/// What is shown is in the files, at the place that is named, and belongs to the subject; and every block of the
/// directors' configuration belongs to some subject.
#[test]
fn lines_are_where_they_are_said_to_be() {
    for case in entries(&directory("golden")) {
        let source = fs::read_to_string(common::topology(&case)).unwrap();
        let (topology, _) = Topology::load("topology.toml", &source).unwrap();
        let plans = Plans::new(&topology);
        let renderer = Renderer::new();
        let files: BTreeMap<&str, _> =
            plans.hosts().map(|h| (h, renderer.files(&plans.host(h).unwrap()).unwrap())).collect();
        let mut blocks = BTreeSet::new();
        let services = topology.services.keys().map(|name| Subject::Service(name));
        for subject in services.chain(topology.virtual_ips.keys().map(|name| Subject::VirtualIp(name))) {
            let explanation = explain(&topology, subject).unwrap();
            let mut seen = BTreeSet::new();
            for host in &explanation.hosts {
                for file in &host.files {
                    let lines: Vec<&str> = files[host.host.as_str()][&file.path].lines().collect();
                    for line in &file.lines {
                        assert!(!line.why.is_empty(), "{subject:?} {} {line:?}", file.path);
                        if file.path.ends_with("director.toml") {
                            assert!(line.text.starts_with(lines[line.first - 1]), "{subject:?} {line:?}");
                            assert!(
                                !lines[line.last - 1].is_empty()
                                    && lines.get(line.last).is_none_or(|l| l.is_empty())
                            );
                            blocks.insert((host.host.clone(), line.first));
                        } else {
                            assert_eq!(lines[line.first - 1].trim().trim_end_matches(','), line.text);
                        }
                        seen.insert((host.host.as_str(), line.text.clone()));
                    }
                    assert!(file.lines.is_sorted_by_key(|line| line.first));
                }
            }
            if let Subject::Service(name) = subject {
                for listen in &topology.services[name].listens {
                    for director in &listen.directors {
                        let block = format!("[[service]] {}", listen.name);
                        assert!(
                            seen.contains(&(director.as_str(), block.clone())),
                            "{subject:?}: no {block}"
                        );
                    }
                }
                let own: BTreeSet<&str> =
                    topology.services[name].listens.iter().map(|l| l.name.as_str()).collect();
                for service in seen.iter().filter_map(|(_, text)| text.strip_prefix("[[service]] ")) {
                    assert!(own.contains(service), "{subject:?}: {service} is another one");
                }
            }
        }
        for (host, files) in &files {
            let Some(text) = files.get("etc/fairway/director.toml") else { continue };
            for (number, line) in text.lines().enumerate() {
                if matches!(line, "[[service]]" | "[[failover]]") {
                    assert!(blocks.contains(&((*host).to_owned(), number + 1)), "{host}: {}", number + 1);
                }
            }
        }
    }
}
