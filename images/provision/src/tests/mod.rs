//! Whole boots below a temporary root.

mod apply;
mod bad;
mod good;

use std::fs;
use std::path::{Path, PathBuf};

use fairway_config::provision::Provision;
use tempfile::TempDir;

use crate::boot::boot;
use crate::places::Places;
use crate::source::sha256;

/// A machine that boots as often as it is told to.
struct Box {
    root: TempDir,
    places: Places,
}

impl Box {
    /// A machine of this name, without a topology.
    fn new(name: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let places = Places {
            root: root.path().to_owned(),
            credentials: Some(root.path().join("credentials")),
            medium: Some(root.path().join("medium")),
        };
        let new = Self { root, places };
        for directory in ["credentials", "medium", "etc"] {
            fs::create_dir(new.path(directory)).unwrap();
        }
        new.put("etc/hostname", name);
        new
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn put(&self, path: &str, content: impl AsRef<[u8]>) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), content).unwrap();
    }

    fn remove(&self, path: &str) {
        fs::remove_file(self.path(path)).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// A boot: what was in /run is gone.
    fn boot(&self) -> Provision {
        let _ = fs::remove_dir_all(self.path("run"));
        boot(&self.places)
    }
}

/// The example with direct routing.
fn topology() -> String {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../gen/examples/direct.toml");
    fs::read_to_string(example).unwrap()
}

/// Another good one: another scheduler.
fn other() -> String {
    let text = topology();
    assert!(text.contains("scheduler = \"rr\""));
    text.replace("scheduler = \"rr\"", "scheduler = \"wlc\"")
}

/// One that is refused, and in which line.
fn wrong() -> (String, usize) {
    let text = topology().replace("scheduler = \"rr\"", "scheduler = \"random\"");
    let line = text.lines().position(|line| line.contains("\"random\"")).unwrap() + 1;
    (text, line)
}

#[track_caller]
fn has(texts: &[String], words: &[&str]) {
    let found = texts.iter().any(|text| words.iter().all(|word| text.contains(word)));
    assert!(found, "{words:?} is not in {texts:#?}");
}
