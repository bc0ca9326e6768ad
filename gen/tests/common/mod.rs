//! Shared by the tests.
#![allow(dead_code, reason = "not every test needs all of it")]

pub mod whole;

use std::fs;
use std::path::{Path, PathBuf};

/// Set to rewrite the expected files from what the generator does now; read the difference before committing.
pub fn bless() -> bool {
    std::env::var_os("FAIRWAY_BLESS").is_some()
}

/// A directory below `gen/tests`.
pub fn directory(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

/// The entries of a directory, sorted.
pub fn entries(directory: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(directory).expect("the directory is there").map(|e| e.unwrap().path()).collect();
    found.sort();
    found
}

/// The topology of a case below `golden`: its own, or the example of the same name.
pub fn topology(case: &Path) -> PathBuf {
    let own = case.join("topology.toml");
    if own.exists() {
        return own;
    }
    let name = case.file_name().expect("a case has a name");
    directory("../examples").join(name).with_extension("toml")
}
