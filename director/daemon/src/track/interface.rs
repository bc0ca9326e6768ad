//! An interface is there, up, and has carrier.

use fairway_config::IfName;
use fairway_health::Outcome;
use tokio::io::unix::AsyncFd;

use super::{Fd, register};
use crate::vrrp::LinkWatch;

/// Watches one interface. It may come and go.
pub(super) struct InterfaceWatch {
    name: String,
    links: Option<AsyncFd<Fd<LinkWatch>>>,
}

impl InterfaceWatch {
    pub(super) fn new(name: &IfName) -> Self {
        Self { name: name.to_string(), links: None }
    }

    pub(super) fn look(&mut self) -> Outcome {
        let opened = match self.links.take() {
            Some(links) => Ok(links),
            None => LinkWatch::open().and_then(register),
        };
        let mut links = match opened {
            Ok(links) => links,
            Err(error) => {
                return Outcome::Inconclusive(format!("cannot read the host's links: {error}").into());
            }
        };
        let watch = &mut links.get_mut().0;
        let name = &self.name;
        let outcome = match watch.update() {
            Err(error) => Outcome::Inconclusive(format!("cannot read the host's links: {error}").into()),
            Ok(()) => match watch.is_running(name) {
                None => Outcome::Fail(format!("{name} is missing").into()),
                Some(false) => Outcome::Fail(format!("{name} is down or without carrier").into()),
                Some(true) => Outcome::Pass(format!("{name} is up").into()),
            },
        };
        self.links = Some(links);
        outcome
    }

    pub(super) async fn changed(&mut self) {
        match &self.links {
            Some(links) => match links.readable().await {
                // The next look reads what there is.
                Ok(mut ready) => ready.clear_ready(),
                Err(_) => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }
}
