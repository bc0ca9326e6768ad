//! The operator's orders about single servers: what they mean, how long they hold, and how they outlive the
//! director.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// What an operator wants of a server, whatever its checks say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// No new connections; out of the table when there are none left, or at the deadline.
    Drain {
        /// When connections have had time enough.
        deadline: Option<SystemTime>,
    },
    /// Out of the table at once.
    Disable,
    /// This weight instead of the configured one.
    Weight(u32),
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drain { .. } => f.write_str("drain"),
            Self::Disable => f.write_str("disable"),
            Self::Weight(weight) => write!(f, "weight {weight}"),
        }
    }
}

/// An order in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Override {
    /// What is wanted.
    pub order: Order,
    /// When it ends by itself.
    pub until: Option<SystemTime>,
    /// A drain that has come to its end.
    pub emptied: bool,
}

impl Override {
    /// Whether it is a drain that has had time enough at `time`.
    pub fn is_empty_at(&self, time: SystemTime) -> bool {
        matches!(self.order, Order::Drain { deadline: Some(deadline) } if deadline <= time)
    }

    /// Whether it waits for connections to end.
    pub fn is_draining(&self) -> bool {
        matches!(self.order, Order::Drain { .. }) && !self.emptied
    }
}

/// Orders by service and server.
pub type Overrides = BTreeMap<String, BTreeMap<String, Override>>;

/// Where orders outlive the director. Without a directory they end with it.
#[derive(Debug, Clone, Default)]
pub struct Store(Option<PathBuf>);

impl Store {
    /// The file in the state directory that the unit gives the director, or in its run directory.
    pub fn from_environment() -> Self {
        let directory = ["STATE_DIRECTORY", "RUNTIME_DIRECTORY"].iter().find_map(std::env::var_os);
        // Of several, separated by colons, the first is ours.
        let first = directory.and_then(|list| {
            let text = list.into_string().ok()?;
            text.split(':').next().filter(|path| !path.is_empty()).map(PathBuf::from)
        });
        Self(first.map(|directory| directory.join("overrides.json")))
    }

    /// A store in this file.
    #[cfg(test)]
    pub fn at(path: PathBuf) -> Self {
        Self(Some(path))
    }

    /// What is stored; nothing where nothing was. An unusable file is moved out of the way and told.
    pub fn load(&self) -> Overrides {
        let Some(path) = &self.0 else { return Overrides::new() };
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Overrides::new(),
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "the operator's orders cannot be read; none are in force");
                return Overrides::new();
            }
        };
        serde_json::from_str(&text).unwrap_or_else(|error| {
            let aside = path.with_extension("broken");
            let kept = fs::rename(path, &aside);
            tracing::error!(
                path = %path.display(), %error, kept = kept.is_ok(),
                "the file with the operator's orders is damaged; none are in force"
            );
            Overrides::new()
        })
    }

    /// Stores them, whole or not at all.
    pub fn save(&self, overrides: &Overrides) {
        let Some(path) = &self.0 else { return };
        if let Err(error) = write(path, overrides) {
            tracing::error!(
                path = %path.display(), %error,
                "the operator's orders cannot be stored; they are in force, but end with this director"
            );
        }
    }
}

fn write(path: &Path, overrides: &Overrides) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = fs::File::create(&fresh)?;
    file.write_all(&serde_json::to_vec_pretty(overrides)?)?;
    file.sync_all()?;
    fs::rename(&fresh, path)
}

/// How long from now on something is, for an order that ends.
pub fn after(now: SystemTime, time: Duration) -> Option<SystemTime> {
    (!time.is_zero()).then(|| now.checked_add(time)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_come_back_as_they_were_and_damage_is_survived() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("overrides.json");
        let store = Store::at(path.clone());
        assert_eq!(store.load(), Overrides::new(), "nothing stored yet");
        let soon = after(SystemTime::now(), Duration::from_secs(60));
        assert!(soon.is_some() && after(SystemTime::now(), Duration::ZERO).is_none());
        let orders = [
            Override { order: Order::Drain { deadline: soon }, until: None, emptied: true },
            Override { order: Order::Disable, until: soon, emptied: false },
            Override { order: Order::Weight(7), until: None, emptied: false },
        ];
        let servers = ["web1", "web2", "web3"].map(str::to_owned).into_iter().zip(orders).collect();
        let overrides = Overrides::from([("web".to_owned(), servers)]);
        store.save(&overrides);
        assert_eq!(store.load(), overrides);

        fs::write(&path, "{").unwrap();
        assert_eq!(store.load(), Overrides::new());
        assert_eq!(fs::read_to_string(path.with_extension("broken")).unwrap(), "{");
        assert_eq!(store.load(), Overrides::new(), "and it is out of the way");
    }
}
