//! What a session passes on to the process after it.
//!
//! The form is read by other releases than the one that wrote it: a field that is added has a default, and one that
//! is taken away must not be missed by the release before.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Config, Remote, Session};
use crate::packet::{Diagnostic, State};

/// The state of a session, but for its configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Saved {
    discriminator: u32,
    state: State,
    diagnostic: Diagnostic,
    remote_discriminator: u32,
    remote_state: State,
    #[serde(default)]
    remote_diagnostic: Diagnostic,
    /// In microseconds, as on the wire.
    remote_min_tx: u32,
    remote_min_rx: u32,
    remote_multiplier: u8,
    #[serde(default)]
    remote_demand: bool,
    /// What the neighbour was told last.
    desired_min_tx: u32,
    required_min_rx: u32,
    #[serde(default)]
    counters: [u64; 5],
}

impl Saved {
    /// Our name for the session.
    pub fn discriminator(&self) -> u32 {
        self.discriminator
    }
}

fn micros(interval: Duration) -> u32 {
    u32::try_from(interval.as_micros()).unwrap_or(u32::MAX)
}

fn length(micros: u32) -> Duration {
    Duration::from_micros(micros.into())
}

impl Session {
    /// The session as another process is to go on with it, after [`super::Output::Bridged`].
    pub fn save(&self) -> Saved {
        let super::Counters { received, sent, ups, downs, expirations } = self.counters;
        Saved {
            discriminator: self.discriminator,
            state: self.state,
            diagnostic: self.diagnostic,
            remote_discriminator: self.remote.discriminator,
            remote_state: self.remote.state,
            remote_diagnostic: self.remote.diagnostic,
            remote_min_tx: micros(self.remote.min_tx),
            remote_min_rx: micros(self.remote.min_rx),
            remote_multiplier: self.remote.multiplier,
            remote_demand: self.remote.demand,
            desired_min_tx: micros(self.desired_min_tx),
            required_min_rx: micros(self.required_min_rx),
            counters: [received, sent, ups, downs, expirations],
        }
    }

    /// Goes on with a session of the process before. The neighbour gets a whole detection time from `now` on to be
    /// heard, and a poll sequence tells it what the configuration wants.
    pub fn adopt(now: Instant, config: Config, saved: &Saved, seed: u64) -> Self {
        let mut session = Self::new(now, config, saved.discriminator, seed);
        let [received, sent, ups, downs, expirations] = saved.counters;
        session.counters = super::Counters { received, sent, ups, downs, expirations };
        session.state = saved.state;
        session.diagnostic = saved.diagnostic;
        session.remote = Remote {
            discriminator: saved.remote_discriminator,
            state: saved.remote_state,
            diagnostic: saved.remote_diagnostic,
            min_tx: length(saved.remote_min_tx),
            min_rx: length(saved.remote_min_rx),
            multiplier: saved.remote_multiplier,
            demand: saved.remote_demand,
        };
        (session.desired_min_tx, session.required_min_rx) =
            (length(saved.desired_min_tx), length(saved.required_min_rx));
        (session.tx_in_force, session.rx_in_force) = (session.desired_min_tx, session.required_min_rx);
        session.last_received = Some(now);
        session.adjust_timers();
        session.plan(now);
        session
    }
}
