//! Kernel parameters that a topology no longer sets get back what they had before one set them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write as _};

use fairway_gen::render::Files;

use crate::places::Places;
use crate::tree::at;

/// Where files with kernel parameters are.
pub const DIRECTORY: &str = "etc/sysctl.d/";

/// What parameters had, below /run/fairway.
const FOUND: &str = "sysctls-found.json";

/// What those begin with that come with modules, which are loaded after this program has looked at boot
/// (Documentation/networking/ipvs-sysctl.rst, nf_conntrack-sysctl.rst).
const OF_MODULES: [(&str, &str); 7] = [
    ("net/ipv4/vs/conn_reuse_mode", "1"),
    ("net/ipv4/vs/conntrack", "0"),
    ("net/ipv4/vs/expire_nodest_conn", "0"),
    ("net/ipv4/vs/expire_quiescent_template", "0"),
    ("net/ipv4/vs/sync_refresh_period", "0"),
    ("net/ipv4/vs/sync_retries", "0"),
    ("net/netfilter/nf_conntrack_tcp_loose", "1"),
];

/// The parameters that files set, as paths below /proc/sys.
fn set_by(files: &Files) -> BTreeSet<String> {
    let texts = files.iter().filter(|(path, _)| path.starts_with(DIRECTORY));
    let lines = texts.flat_map(|(_, text)| text.lines()).map(str::trim);
    let settings = lines.filter(|line| !line.starts_with(['#', ';'])).filter_map(|line| line.split_once('='));
    settings.map(|(key, _)| path(key.trim().trim_start_matches('-'))).collect()
}

/// As sysctl.d(5): the first separator says which one it is.
fn path(key: &str) -> String {
    match key.find(['.', '/']) {
        Some(first) if key.as_bytes()[first] == b'.' => key
            .chars()
            .map(|c| {
                if c == '.' {
                    '/'
                } else if c == '/' {
                    '.'
                } else {
                    c
                }
            })
            .collect(),
        _ => key.to_owned(),
    }
}

/// The parameters that are set by the old files and not by the new ones.
fn dropped(old: &Files, new: &Files) -> BTreeSet<String> {
    set_by(old).difference(&set_by(new)).cloned().collect()
}

/// Remembers what the parameters have that the new files set and the old ones do not, before they are set.
///
/// # Errors
/// It cannot be written down.
pub fn remember(places: &Places, old: &Files, new: &Files) -> io::Result<()> {
    let mut found = found(places);
    for key in dropped(new, old) {
        // What is not there yet is looked up in `value` when it is needed.
        if let Some(value) = read(places, &key) {
            found.entry(key).or_insert(value);
        }
    }
    let directory = places.fairway();
    fs::create_dir_all(&directory).map_err(at(&directory))?;
    let path = directory.join(FOUND);
    let mut file = tempfile::NamedTempFile::new_in(&directory).map_err(at(&path))?;
    serde_json::to_writer_pretty(&mut file, &found)?;
    file.flush().map_err(at(&path))?;
    file.persist(&path).map_err(|error| at(&path)(error.error))?;
    Ok(())
}

/// Gives back what the new files no longer set. What is gone with its interface or module needs nothing.
///
/// # Errors
/// The kernel refuses a value, or it is not known what a parameter had.
pub fn reset(places: &Places, old: &Files, new: &Files) -> io::Result<()> {
    let found = found(places);
    for key in dropped(old, new) {
        let path = places.root.join("proc/sys").join(&key);
        if !path.exists() {
            continue;
        }
        let value = value(places, &found, &key).ok_or_else(|| {
            io::Error::other(format!(
                "{}: nobody knows what it had before a topology set it; set it yourself, or reboot",
                path.display()
            ))
        })?;
        fs::write(&path, &value).map_err(at(&path))?;
    }
    Ok(())
}

/// What a parameter had, or begins with: its own, that of every new interface, or the module's.
fn value(places: &Places, found: &BTreeMap<String, String>, key: &str) -> Option<String> {
    if let Some(value) = found.get(key) {
        return Some(value.clone());
    }
    if let ["net", family, "conf", _, name] = key.split('/').collect::<Vec<_>>()[..] {
        return read(places, &format!("net/{family}/conf/default/{name}"));
    }
    OF_MODULES.iter().find(|(module, _)| *module == key).map(|(_, value)| (*value).to_owned())
}

fn found(places: &Places) -> BTreeMap<String, String> {
    let text = fs::read(places.fairway().join(FOUND)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

fn read(places: &Places, key: &str) -> Option<String> {
    let value = fs::read_to_string(places.root.join("proc/sys").join(key)).ok()?;
    Some(value.trim().to_owned())
}
