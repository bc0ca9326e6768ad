//! What BFD sessions tell of the paths to servers. The sessions are somebody else's; a check only looks.

use std::collections::BTreeMap;
use std::net::IpAddr;

use tokio::sync::watch;

use crate::Outcome;

/// The latest word on each path, by the server's address.
#[derive(Debug, Clone)]
pub struct Paths(watch::Receiver<BTreeMap<IpAddr, Outcome>>);

impl Paths {
    /// Paths of which nothing is known yet, and where it is told.
    pub fn new() -> (watch::Sender<BTreeMap<IpAddr, Outcome>>, Self) {
        let (sender, receiver) = watch::channel(BTreeMap::new());
        (sender, Self(receiver))
    }

    /// The latest word.
    pub(crate) fn look(&self, server: IpAddr) -> Outcome {
        word(&self.0.borrow(), server)
    }

    /// Returns when there is another word than `seen`.
    pub(crate) async fn changed(&self, server: IpAddr, seen: &Outcome) {
        let mut paths = self.0.clone();
        if paths.wait_for(|known| word(known, server) != *seen).await.is_err() {
            // Nobody is left to tell.
            std::future::pending().await
        }
    }
}

fn word(known: &BTreeMap<IpAddr, Outcome>, server: IpAddr) -> Outcome {
    let unknown = || Outcome::Inconclusive("there is no BFD session with it".into());
    known.get(&server).cloned().unwrap_or_else(unknown)
}

impl Default for Paths {
    /// Paths of which nothing will ever be known.
    fn default() -> Self {
        Self::new().1
    }
}
