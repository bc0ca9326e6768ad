//! Reading a `director.toml` of ten thousand servers, and reading it again when one of them has changed.
//!
//! Such a file is nearly all `[[service]]` and `[[failover]]` tables, one after the other, as `fairway-gen` writes it.
//! It is cut where they begin, and each piece is read for itself: on all processors, in little memory, and not at all
//! where the same piece has been read before. A file that is written in another way, or has a mistake, is read as a
//! whole, so that nothing else depends on this: what is accepted, and what is said of a mistake.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;

use serde::Deserialize;

use crate::{Config, Error, FailoverGroup, Service};

/// A processor of its own is worth it for each so many bytes.
const MUCH: usize = 256 * 1024;

/// A configuration as it was read, and what makes it cheap to read the next one.
#[derive(Debug, Clone)]
pub struct Document {
    config: Arc<Config>,
    /// The services of `config` by the hash of their piece of the text, where that holds nothing else.
    services: HashMap<u64, Arc<Service>>,
    hasher: RandomState,
}

impl Document {
    /// Parses and validates a `director.toml`. What it has in common with `before` is not parsed again.
    ///
    /// # Errors
    /// As [`Config::from_toml`].
    pub fn read(text: &str, before: Option<&Self>) -> Result<Self, Error> {
        // Hashes of one document mean something in the next.
        let hasher = before.map(|before| before.hasher.clone()).unwrap_or_default();
        let (config, services) = match in_pieces(text, before, &hasher) {
            Some(read) => read,
            None => (toml::from_str(text)?, HashMap::new()),
        };
        config.validate()?;
        Ok(Self { config: Arc::new(config), services, hasher })
    }

    /// What it says.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }
}

/// What the text says, without the rules between keys, and its services by their hashes; `None` where it must be read
/// as a whole.
fn in_pieces(
    text: &str,
    before: Option<&Document>,
    hasher: &RandomState,
) -> Option<(Config, HashMap<u64, Arc<Service>>)> {
    let (head, pieces) = cut(text);
    let head: toml::Table = toml::from_str(head).ok()?;
    // A text that gives them in both ways is wrong; what to say of it shows when it is read as a whole.
    if head.contains_key("service") || head.contains_key("failover") {
        return None;
    }
    let mut config: Config = head.try_into().ok()?;
    let pieces: Vec<_> = pieces.into_iter().map(|piece| (hasher.hash_one(piece), piece)).collect();
    let read = |(hash, text): &(u64, &str)| match before.and_then(|before| before.services.get(hash)) {
        Some(known) => Some(Piece { failover: Vec::new(), services: vec![Arc::clone(known)] }),
        None => toml::from_str(text).ok(),
    };
    let mut services = HashMap::new();
    for (piece, (hash, _)) in on_all_processors(&pieces, text.len() / MUCH, read)?.into_iter().zip(&pieces) {
        if let ([], [service]) = (piece.failover.as_slice(), piece.services.as_slice()) {
            services.insert(*hash, Arc::clone(service));
        }
        config.failover.extend(piece.failover);
        config.services.extend(piece.services);
    }
    Some((config, services))
}

/// `work` on each of `items`, in their order, by at most `threads` threads beside this one; `None` if any gave that.
fn on_all_processors<T: Sync, R: Send>(
    items: &[T],
    threads: usize,
    work: impl Fn(&T) -> Option<R> + Sync,
) -> Option<Vec<R>> {
    let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get).min(threads + 1);
    let share = items.len().div_ceil(processors).max(1);
    let all = |items: &[T]| items.iter().map(&work).collect::<Option<Vec<_>>>();
    let (first, rest) = items.split_at(share.min(items.len()));
    thread::scope(|scope| {
        let all = &all;
        let others: Vec<_> = rest.chunks(share).map(|items| scope.spawn(move || all(items))).collect();
        let mut done = all(first)?;
        for other in others {
            done.extend(other.join().ok()??);
        }
        Some(done)
    })
}

/// What a piece may hold.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Piece {
    #[serde(default)]
    failover: Vec<FailoverGroup>,
    #[serde(default, rename = "service")]
    services: Vec<Arc<Service>>,
}

/// The text up to the first table of a service or failover group, and from the beginning of each such table up to the
/// next. A line within a string may look like one; then the piece before it is not TOML, for its string has no end.
fn cut(text: &str) -> (&str, Vec<&str>) {
    let mut cuts = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.starts_with("[[service]]") || line.starts_with("[[failover]]") {
            cuts.push(at);
        }
        at += line.len();
    }
    let head = cuts.first().copied().unwrap_or(text.len());
    let ends = cuts.iter().skip(1).copied().chain([text.len()]);
    (&text[..head], cuts.iter().zip(ends).map(|(begin, end)| &text[*begin..end]).collect())
}

#[cfg(test)]
mod tests;
