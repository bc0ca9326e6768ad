//! Reading `director.toml` and the files it names, without touching anything that runs.

mod locate;

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use fairway_config::Document;

use crate::{notifications, services, vrrp};

/// Why a configuration cannot be used. Nothing has been changed when this is returned.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {}: {source}; {}", path.display(), remedy(source, "write it with fairway-gen, or name another file with --config"))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file was read, but what it says cannot be used. The text names line and remedy.
    #[error("{text}")]
    Refused {
        /// Every problem found, one a line, each with file name and line.
        text: String,
        /// What the schema said.
        source: Box<fairway_config::Error>,
    },
    /// The services cannot be run.
    #[error("{}: {source}", path.display())]
    Services {
        /// The file.
        path: PathBuf,
        /// What is wrong with which service.
        source: services::Error,
    },
    /// The failover groups cannot be run.
    #[error("{}: {source}", path.display())]
    Failover {
        /// The file.
        path: PathBuf,
        /// What is wrong, which may be in a file that the configuration names.
        source: vrrp::Error,
    },
    /// Notifications cannot be sent.
    #[error("{}: {source}", path.display())]
    Notify {
        /// The file.
        path: PathBuf,
        /// What is wrong, which may be in a file that the configuration names.
        source: notifications::Error,
    },
}

fn remedy(error: &io::Error, missing: &'static str) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => missing,
        io::ErrorKind::PermissionDenied => "make it readable for the user the director runs as (fairway)",
        io::ErrorKind::InvalidData => "write it as UTF-8 text",
        _ => "check the file system",
    }
}

/// Reads, parses and validates the configuration, and makes sure that every file it names can be used. What it has in
/// common with the one `before` costs little.
///
/// # Errors
/// [`Error`], with file name, line and remedy.
pub fn load(path: &Path, before: Option<&Document>) -> Result<Document, Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let refused = |source| Error::Refused { text: explain(path, &text, &source), source: Box::new(source) };
    let document = Document::read(&text, before).map_err(refused)?;
    let config = document.config();
    services::verify(config).map_err(|source| Error::Services { path: path.to_owned(), source })?;
    vrrp::verify(&config.failover).map_err(|source| Error::Failover { path: path.to_owned(), source })?;
    notifications::verify(config).map_err(|source| Error::Notify { path: path.to_owned(), source })?;
    Ok(document)
}

/// What the schema said, with the file name and, for every problem, its line.
fn explain(path: &Path, text: &str, error: &fairway_config::Error) -> String {
    let file = path.display();
    let mut out = String::new();
    match error {
        fairway_config::Error::Invalid(problems) => {
            for problem in problems {
                let line = locate::line_of(text, &problem.at).map(|l| format!(":{l}")).unwrap_or_default();
                let _ = writeln!(out, "{file}{line}: {problem}");
            }
        }
        other => {
            let _ = writeln!(out, "{file}: {other}");
        }
    }
    out.truncate(out.trim_end().len());
    out
}

#[cfg(test)]
mod tests;
