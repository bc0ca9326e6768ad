//! What the director refuses of what the schema knows, and how far the generator's examples are from running.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::*;

/// Everything the schema knows.
const FULL: &str = include_str!("../../../config/tests/full.toml");

#[test]
fn a_refusal_names_place_and_remedy() {
    let text = "version = 1\ncluster = \"shop\"\nhost = \"lb1\"\n\
                [checks.up]\ntcp = {}\nvia = \"vip\"\n\
                [[service]]\nname = \"web\"\nlisten = { address = \"192.0.2.1\", port = 80, protocol = \"tcp\" }\n\
                suspend-on-backup = true\n";
    let found: Vec<_> = settings(&Config::from_toml(text).unwrap()).iter().map(ToString::to_string).collect();
    for place in ["checks.up.via: via", "service.web.suspend-on-backup: suspend-on-backup"] {
        let expected = format!("{place} is not carried out by this version of the director; remove it");
        assert!(found.contains(&expected), "{expected} is not in {found:#?}");
    }
}

#[test]
fn a_file_with_such_a_setting_is_refused_with_its_line() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("director.toml");
    let text = "version = 1\ncluster = \"shop\"\nhost = \"lb1\"\n\n[checks.up]\ntcp = {}\nvia = \"vip\"\n";
    fs::write(&path, text).unwrap();
    let refusal = crate::config::load(&path).unwrap_err().to_string();
    assert!(refusal.ends_with("director.toml:7: checks.up.via: via is not carried out by this version of the director; remove it"), "{refusal}");
}

#[test]
fn places_are_keys_of_the_schema() {
    for problem in settings(&Config::from_toml(FULL).unwrap()) {
        let key = problem.at.rsplit('.').next().unwrap();
        assert!(FULL.contains(key), "{problem}");
    }
}

/// The generator's expected output, one director.toml for each director of each example.
fn generated() -> Vec<(String, PathBuf)> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../gen/tests/golden");
    let names = |dir: &Path| {
        let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let mut found = Vec::new();
    for example in names(&golden) {
        let out = golden.join(&example).join("out");
        for host in names(&out) {
            let file = out.join(host).join("etc/fairway/director.toml");
            if file.exists() {
                found.push((example.to_string_lossy().into_owned(), file));
            }
        }
    }
    found
}

/// `FAIRWAY_BLESS=1` rewrites the list, which is to become shorter until it is empty.
#[test]
fn the_list_of_examples_that_cannot_run_yet_is_as_recorded() {
    let mut lines: Vec<String> = Vec::new();
    let examples = generated();
    assert!(examples.len() > 5, "the generator's expected output is not where it should be");
    for (example, file) in examples {
        let config = Config::from_toml(&fs::read_to_string(&file).unwrap()).unwrap();
        lines.extend(settings(&config).into_iter().map(|problem| format!("{example}: {}", problem.at)));
    }
    lines.sort();
    lines.dedup();
    let found = lines.iter().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "{line}");
        text
    });
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../gen/tests/unsupported.golden");
    if std::env::var_os("FAIRWAY_BLESS").is_some() {
        fs::write(&recorded, &found).unwrap();
    }
    assert_eq!(found, fs::read_to_string(&recorded).unwrap(), "FAIRWAY_BLESS=1 rewrites the list");
}
