//! Each case is a topology and every file it becomes. `FAIRWAY_BLESS=1 cargo test` rewrites the files.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use common::{bless, directory, entries};
use fairway_gen::render::Renderer;
use fairway_gen::{Plans, Topology};

fn render(case: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(common::topology(case)).unwrap();
    let (topology, _) = Topology::load("topology.toml", &text)
        .unwrap_or_else(|report| panic!("{}", report.render(miette::GraphicalTheme::none(), 110)));
    let plans = Plans::new(&topology);
    let renderer = Renderer::new();
    let mut files = BTreeMap::new();
    for host in plans.hosts() {
        for (path, text) in renderer.files(&plans.host(host).unwrap()).unwrap() {
            files.insert(format!("{host}/{path}"), text);
        }
    }
    files
}

fn read_tree(root: &Path, below: &Path, files: &mut BTreeMap<String, String>) {
    for path in entries(below) {
        if path.is_dir() {
            read_tree(root, &path, files);
        } else {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            files.insert(name, fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_case_becomes_exactly_its_files() {
    let cases = entries(&directory("golden"));
    assert!(cases.len() >= 6, "cases are missing: {cases:?}");
    for case in cases {
        let rendered = render(&case);
        let out = case.join("out");
        if bless() {
            if out.exists() {
                fs::remove_dir_all(&out).unwrap();
            }
            for (path, text) in &rendered {
                let path = out.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
        }
        let mut expected = BTreeMap::new();
        read_tree(&out, &out, &mut expected);
        let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&rendered), names(&expected), "{}", case.display());
        for (path, text) in &expected {
            assert_eq!(&rendered[path], text, "{} {path}", case.display());
        }
    }
}

#[test]
fn the_director_reads_what_is_generated_for_it() {
    for case in entries(&directory("golden")) {
        for (path, text) in render(&case) {
            if path.ends_with("director.toml") {
                let config =
                    fairway_config::Config::from_toml(&text).unwrap_or_else(|e| panic!("{path}: {e}"));
                assert_eq!(Some(config.host.as_str()), path.split('/').next());
            }
        }
    }
}

#[test]
fn rendering_twice_gives_the_same_bytes() {
    for case in entries(&directory("golden")) {
        assert_eq!(render(&case), render(&case), "{}", case.display());
    }
}

/// Directors of one group must agree on everything but their own priority, interface and source.
#[test]
fn directors_of_a_group_agree() {
    for case in entries(&directory("golden")) {
        let mut seen: BTreeMap<String, fairway_config::Shared<fairway_config::Instance>> = BTreeMap::new();
        for (path, text) in render(&case) {
            if !path.ends_with("director.toml") {
                continue;
            }
            for instance in fairway_config::Config::from_toml(&text)
                .unwrap()
                .failover
                .into_iter()
                .flat_map(|g| g.instances)
            {
                let Some(other) = seen.get(&instance.name) else {
                    seen.insert(instance.name.clone(), instance);
                    continue;
                };
                assert_ne!(instance.priority, other.priority, "{path} {}", instance.name);
                let same = fairway_config::Instance {
                    priority: instance.priority,
                    interface: instance.interface.clone(),
                    source: instance.source,
                    unicast_peers: instance.unicast_peers.clone(),
                    ..(**other).clone()
                };
                assert_eq!(*instance, same, "{path}");
            }
        }
    }
}
