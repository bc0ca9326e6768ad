//! Links for the rest of the daemon, apart from the VRRP thread.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::links::Links;
use super::netlink::{Monitor, Requests};
use super::picture::Picture;

/// The host's links, kept up to date. Readable when something about them has changed.
#[derive(Debug)]
pub struct LinkWatch {
    monitor: Monitor,
    requests: Requests,
    picture: Picture,
    links: Links,
}

impl LinkWatch {
    /// Subscribes, and looks at all of them.
    ///
    /// # Errors
    /// The kernel gives no socket, or no answer.
    pub fn open() -> io::Result<Self> {
        // Subscribed before the dump, so that nothing that happens in between is missed.
        let monitor = Monitor::open()?;
        let mut requests = Requests::open()?;
        let (picture, links) = Picture::open(requests.dump()?);
        Ok(Self { monitor, requests, picture, links })
    }

    /// Takes in what the kernel has told.
    ///
    /// # Errors
    /// The kernel dropped some of it, and gives no answer either.
    pub fn update(&mut self) -> io::Result<()> {
        let Self { monitor, requests, picture, links } = self;
        picture.update(links, || monitor.drain(), || requests.dump())
    }

    /// Whether the interface is up and has carrier; `None` if there is none of that name.
    pub fn is_running(&self, name: &str) -> Option<bool> {
        self.links.by_name(name).map(|link| self.links.runs(link.index))
    }
}

impl AsFd for LinkWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.monitor.as_fd()
    }
}
