//! The copy of the last good topology, for the day when nobody gives one or what is given is wrong.
//!
//! ```text
//! /var/lib/fairway-provision/trees/2/{topology.toml,secrets/...,about.json}
//! /var/lib/fairway-provision/good -> trees/2
//! ```
//!
//! Everything is on disk before the link changes, so that a power cut leaves the old one or the new one.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use fairway_config::provision::{Refused, Source};
use serde::{Deserialize, Serialize};

use crate::places::Places;
use crate::prepared::Prepared;
use crate::source::{Broken, Given, Secrets, sha256};
use crate::tree::{at, point, write_file};

/// What goes with the copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct About {
    sha256: String,
    /// Which host this is.
    host: String,
    /// Who gave it.
    source: Source,
    /// The topology that was given at boot, where this one was applied in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    instead_of: Option<String>,
}

/// The copy.
#[derive(Debug, Clone)]
pub struct Kept {
    /// What was kept.
    pub given: Given,
    /// Who gave it.
    pub from: Source,
    /// SHA-256 of the topology that was given at boot, where this one was applied in its place.
    pub instead_of: Option<String>,
}

/// Reads the copy; nothing if none was kept.
pub fn read(places: &Places) -> Option<Result<Kept, Broken>> {
    let good = places.state().join("good");
    let name = good.join("topology.toml");
    let found = read_from(&good);
    if found.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) && !good.is_symlink() {
        return None;
    }
    Some(found.map_err(|error| Broken {
        refused: Refused { source: Source::Kept, sha256: String::new() },
        errors: vec![format!("{}: the last good copy cannot be used: {error}", name.display())],
    }))
}

fn read_from(good: &Path) -> io::Result<Kept> {
    let path = good.join("topology.toml");
    let text = fs::read_to_string(&path)?;
    let about: About = serde_json::from_slice(&fs::read(good.join("about.json"))?)?;
    if sha256(text.as_bytes()) != about.sha256 {
        return Err(io::Error::other("its SHA-256 is not the one that was kept with it"));
    }
    let mut secrets = Secrets::new();
    for entry in fs::read_dir(good.join("secrets"))? {
        let entry = entry?;
        if let Ok(name) = entry.file_name().into_string() {
            secrets.insert(name, fs::read(entry.path())?);
        }
    }
    // A copy of what was applied stays that.
    let source = if about.source == Source::Applied { Source::Applied } else { Source::Kept };
    let name = path.display().to_string();
    let given = Given { source, name, text, secrets, host: Some(about.host) };
    Ok(Kept { given, from: about.source, instead_of: about.instead_of })
}

/// Keeps a topology in place of the one before.
///
/// # Errors
/// What could not be written; the one before is as it was.
pub fn write(places: &Places, prepared: &Prepared, instead_of: Option<&str>) -> io::Result<()> {
    let about = About {
        sha256: prepared.sha256.clone(),
        host: prepared.host.clone(),
        source: prepared.source,
        instead_of: instead_of.map(str::to_owned),
    };
    let state = places.state();
    let good = state.join("good");
    let old: Option<About> =
        fs::read(good.join("about.json")).ok().and_then(|text| serde_json::from_slice(&text).ok());
    if old.as_ref() == Some(&about)
        && read_from(&good).is_ok_and(|kept| kept.given.secrets == prepared.secrets)
    {
        return Ok(());
    }
    let trees = state.join("trees");
    fs::create_dir_all(&trees).map_err(at(&trees))?;
    fs::set_permissions(&state, Permissions::from_mode(0o700)).map_err(at(&state))?;
    let old = fs::read_link(&good).ok();
    let name = if old.as_deref() == Some(Path::new("trees/1")) { "trees/2" } else { "trees/1" };
    let tree = state.join(name);
    let filled = fill(&tree, prepared, &about).and_then(|()| point(&good, Path::new(name)));
    if let Err(error) = filled {
        let _ = fs::remove_dir_all(&tree);
        return Err(error);
    }
    sync(&state)?;
    if let Some(old) = old.filter(|old| old != Path::new(name)) {
        let _ = fs::remove_dir_all(state.join(old));
    }
    Ok(())
}

fn fill(tree: &Path, prepared: &Prepared, about: &About) -> io::Result<()> {
    if tree.exists() {
        // Left by a power cut.
        fs::remove_dir_all(tree).map_err(at(tree))?;
    }
    let secrets = tree.join("secrets");
    fs::create_dir_all(&secrets).map_err(at(&secrets))?;
    let about = serde_json::to_vec_pretty(about)?;
    let mut files = vec![
        (tree.join("topology.toml"), prepared.text.as_bytes(), 0o600),
        (tree.join("about.json"), &about, 0o600),
    ];
    files
        .extend(prepared.secrets.iter().map(|(name, secret)| (secrets.join(name), secret.as_slice(), 0o400)));
    for (path, bytes, mode) in &files {
        write_file(path, bytes, *mode)?;
        sync(path)?;
    }
    let trees = tree.parent().expect("trees are below a directory");
    [secrets.as_path(), tree, trees].into_iter().try_for_each(sync)
}

/// Waits until a file or directory is on disk.
fn sync(path: &Path) -> io::Result<()> {
    File::open(path).and_then(|file| file.sync_all()).map_err(at(path))
}
