//! The masters heard on one interface.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::timing::{DownTimer, Patience};

/// More masters than this on one network is somebody playing games.
const MAX_PEERS: usize = 8;

/// A router heard as master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) source: IpAddr,
    pub(crate) priority: u8,
    pub(crate) down: DownTimer,
}

impl Peer {
    /// Priority decides, then the higher address (RFC 9568 section 6.4.3).
    pub(crate) fn rank(&self) -> (u8, IpAddr) {
        (self.priority, self.source)
    }
}

/// The masters heard, best first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Peers(Vec<Peer>);

impl Peers {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.0.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Peer> {
        self.0.iter_mut()
    }

    pub(crate) fn best(&self) -> Option<&Peer> {
        self.0.first()
    }

    /// Those that the process before had heard, in its order.
    pub(crate) fn adopt(&mut self, peers: impl Iterator<Item = Peer>) {
        self.0 = peers.take(MAX_PEERS).collect();
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Notes an advert. Lower-ranked masters yield to this one, so they are forgotten until they speak again;
    /// better ones stay until they fall silent.
    pub(crate) fn heard(&mut self, now: Instant, source: IpAddr, priority: u8, interval: Duration) {
        let peer = Peer { source, priority, down: DownTimer::new(now, interval) };
        self.0.retain(|other| other.source != source && other.rank() > peer.rank());
        self.0.truncate(MAX_PEERS - 1);
        self.0.reserve_exact(1); // mostly the only one
        self.0.push(peer);
    }

    /// Drops those that count as gone.
    pub(crate) fn prune(&mut self, now: Instant, patience: Patience, priority: u8) {
        self.0.retain(|peer| peer.down.until(patience, priority) > now);
    }
}
