//! `import`: a topology of what keepalived had.

use std::io::Write;
use std::path::PathBuf;
use std::str::FromStr;

use fairway_gen::import::{Source, import};

use super::Error;

/// `lb2=other.conf`.
#[derive(Debug, Clone)]
pub struct HostConfig {
    host: String,
    file: PathBuf,
}

impl FromStr for HostConfig {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (host, file) =
            text.split_once('=').ok_or("write NAME=FILE, such as lb2=/tmp/lb2/keepalived.conf")?;
        Ok(Self { host: host.to_owned(), file: file.into() })
    }
}

/// Writes the topology to standard output and the notes to standard error.
pub fn run(config: PathBuf, host: String, others: Vec<HostConfig>) -> Result<(), Error> {
    let mut read = Vec::new();
    for HostConfig { host, file } in [HostConfig { host, file: config }].into_iter().chain(others) {
        let text = std::fs::read(&file).map_err(|source| Error::Read { path: file.clone(), source })?;
        read.push((host, file.display().to_string(), String::from_utf8_lossy(&text).into_owned()));
    }
    let sources: Vec<Source<'_>> =
        read.iter().map(|(host, file, text)| Source { host, file, text }).collect();
    let imported = import(&sources)?;
    for note in &imported.notes {
        eprintln!("{note}");
    }
    Ok(std::io::stdout().write_all(imported.topology.as_bytes())?)
}
