//! Keeps the picture of links and addresses what the kernel has: its news in order, and all read anew where some of
//! it was lost.

use std::io;

use super::links::Links;
use super::netlink::{Dump, Event};

/// How often the queue of news is emptied before it is left for later: somebody changes things faster than we read.
const ATTEMPTS: usize = 8;

/// Whether the picture is what the kernel has, and whether somebody has looked at it since it changed.
#[derive(Debug, Default)]
pub(super) struct Picture {
    /// News was lost, and not all has been read since.
    stale: bool,
    /// It may have changed since it was last heeded.
    unheeded: bool,
}

impl Picture {
    /// What a dump gives at the start.
    pub(super) fn open(dump: Dump) -> (Self, Links) {
        (Self { stale: !dump.whole, unheeded: false }, Links::from_dump(dump.events))
    }

    /// Takes in the news that `drain` gives, and where some was lost all that `dump` gives.
    ///
    /// # Errors
    /// That of `dump`. Then the picture stays stale, and another attempt is to be made.
    pub(super) fn update(
        &mut self,
        links: &mut Links,
        mut drain: impl FnMut() -> io::Result<Vec<Event>>,
        dump: impl FnOnce() -> io::Result<Dump>,
    ) -> io::Result<()> {
        // After an overrun the queue still has what came before the loss. It has to be empty before all is read:
        // what is old would undo what was read, and a full queue loses news without saying so again.
        for _ in 0..ATTEMPTS {
            match drain() {
                Ok(events) => {
                    self.unheeded |= !events.is_empty();
                    events.into_iter().for_each(|event| links.apply(event));
                    break;
                }
                Err(error) => {
                    if !self.stale {
                        tracing::info!(%error, "the kernel dropped news of links and addresses; reading all of them again");
                    }
                    self.stale = true;
                }
            }
        }
        if self.stale { self.read(links, dump) } else { Ok(()) }
    }

    /// Reads all links and addresses anew.
    ///
    /// # Errors
    /// That of `dump`.
    pub(super) fn read(
        &mut self,
        links: &mut Links,
        dump: impl FnOnce() -> io::Result<Dump>,
    ) -> io::Result<()> {
        (self.stale, self.unheeded) = (true, true);
        let dump = dump()?;
        *links = Links::from_dump(dump.events);
        self.stale = !dump.whole;
        Ok(())
    }

    /// Whether it may miss something: it is to be updated again in a while, though nothing happens.
    pub(super) fn is_stale(&self) -> bool {
        self.stale
    }

    /// Whether it may have changed since [`Self::heed`].
    pub(super) fn is_unheeded(&self) -> bool {
        self.unheeded
    }

    /// To be called before everything that follows from links and addresses is looked at.
    pub(super) fn heed(&mut self) {
        self.unheeded = false;
    }
}

#[cfg(test)]
#[path = "tests/picture.rs"]
mod tests;
