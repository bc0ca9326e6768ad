//! Whether enough of a service is up.

use fairway_config::Quorum;

/// Whether a service has its quorum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QuorumState {
    /// It depends on servers without a verdict.
    #[default]
    Unknown,
    /// Reached.
    Up,
    /// Lost, or never reached.
    Down,
}

impl QuorumState {
    /// The word for it: `unknown`, `up` or `down`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// A quorum was reached or lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumChange {
    /// Name of the service.
    pub service: String,
    /// What it is now.
    pub state: QuorumState,
    /// The weight that is up.
    pub weight: u64,
    /// Whether there is a sorry server.
    pub sorry: bool,
}

/// What one server adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Share {
    /// Weight that is up.
    pub(super) up: u32,
    /// Weight that may come up: there is no verdict yet.
    pub(super) open: u32,
}

/// The weights of a service's servers, and what follows.
#[derive(Debug, Default)]
pub(super) struct Tally {
    up: u64,
    open: u64,
    state: QuorumState,
}

impl Tally {
    /// Of a service without servers so far.
    pub(super) fn new(state: QuorumState) -> Self {
        Self { state, ..Self::default() }
    }

    pub(super) fn state(&self) -> QuorumState {
        self.state
    }

    /// The weight that is up.
    pub(super) fn weight(&self) -> u64 {
        self.up
    }

    /// As it was before.
    pub(super) fn resume(&mut self, state: QuorumState) {
        self.state = state;
    }

    /// The sorry server was found serving.
    pub(super) fn adopt_lost(&mut self) {
        if self.state == QuorumState::Unknown {
            self.state = QuorumState::Down;
        }
    }

    /// A server's share has changed.
    pub(super) fn recount(&mut self, before: Share, after: Share) {
        self.up = self.up + u64::from(after.up) - u64::from(before.up);
        self.open = self.open + u64::from(after.open) - u64::from(before.open);
    }

    /// What follows. As long as servers without a verdict can make the difference, nothing does.
    pub(super) fn weigh(&mut self, quorum: Quorum) -> QuorumState {
        let (up, down) = (u64::from(quorum.up), u64::from(quorum.down));
        self.state = match self.state {
            QuorumState::Up if self.up + self.open < down => QuorumState::Down,
            QuorumState::Unknown if self.up + self.open < up => QuorumState::Down,
            QuorumState::Unknown | QuorumState::Down if self.up >= up => QuorumState::Up,
            unchanged => unchanged,
        };
        self.state
    }
}
