//! Where things are.

use std::path::{Path, PathBuf};

/// Paths that are the machine's, or a test's.
#[derive(Debug, Clone)]
pub struct Places {
    /// The root directory; `/` on a machine.
    pub root: PathBuf,
    /// Credentials that systemd passed to this service.
    pub credentials: Option<PathBuf>,
    /// A directory that stands for the file system labelled FAIRWAY.
    pub medium: Option<PathBuf>,
}

impl Places {
    /// This machine, or another root directory. Credentials are those of the service's environment.
    pub fn new(root: PathBuf, medium: Option<PathBuf>) -> Self {
        Self { root, credentials: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from), medium }
    }

    /// Whether this is the machine itself: there are devices to mount, and units to start.
    pub fn is_machine(&self) -> bool {
        self.root == Path::new("/")
    }

    /// /run
    pub fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    /// What is in force: `files`, `topology.toml`, `secrets`, `provision.json`.
    pub fn fairway(&self) -> PathBuf {
        self.root.join("run/fairway")
    }

    /// The last good topology. Root's own: the director may write to /var/lib/fairway.
    pub fn state(&self) -> PathBuf {
        self.root.join("var/lib/fairway-provision")
    }
}
