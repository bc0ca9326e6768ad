//! A session of the thread: a machine, the socket it sends from, and what is told about it.

use std::time::{Duration, Instant};

use fairway_bfd::{Config, Input, Output, Session, State};
use fairway_config::{BfdKey, BfdSession};

use super::passing::SavedSession;
use super::sockets::Outlet;
use super::{Finding, SessionStatus};
use crate::status::Statistics;

/// A session comes up within two slow intervals, if the neighbour is there; until this it is not known to be missing.
const SETTLE: Duration = Duration::from_secs(5);

/// A session.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) key: BfdKey,
    pub(super) wanted: BfdSession,
    pub(super) machine: Session,
    outlet: Option<Outlet>,
    /// The port it sends from, or is to try first.
    port: u16,
    /// From then on it counts as down if it never came up.
    settled_at: Instant,
    /// Why packets cannot be sent.
    complaint: String,
    not_sent: u64,
    pub(super) discarded: u64,
    /// The neighbour waits for the next process.
    pub(super) bridged: bool,
}

fn machine_config(wanted: &BfdSession) -> Config {
    Config {
        min_tx: wanted.min_tx.get(),
        min_rx: wanted.min_rx.get(),
        multiplier: wanted.multiplier,
        passive: wanted.passive,
    }
}

impl Running {
    pub(super) fn new(now: Instant, key: BfdKey, wanted: BfdSession, discriminator: u32, seed: u64) -> Self {
        let machine = Session::new(now, machine_config(&wanted), discriminator, seed);
        Self::around(now, key, wanted, machine, seed as u16)
    }

    pub(super) fn adopt(now: Instant, wanted: BfdSession, saved: &SavedSession, seed: u64) -> Self {
        let machine = Session::adopt(now, machine_config(&wanted), &saved.machine, seed);
        Self::around(now, saved.key(), wanted, machine, saved.port)
    }

    fn around(now: Instant, key: BfdKey, wanted: BfdSession, machine: Session, port: u16) -> Self {
        Self {
            key,
            wanted,
            machine,
            outlet: None,
            port,
            settled_at: now + SETTLE,
            complaint: String::new(),
            not_sent: 0,
            discarded: 0,
            bridged: false,
        }
    }

    /// Takes over another description of the same session.
    pub(super) fn reconfigure(&mut self, now: Instant, wanted: BfdSession) {
        if wanted == self.wanted {
            return;
        }
        if (&wanted.interface, wanted.local, wanted.hops > 1)
            != (&self.wanted.interface, self.wanted.local, self.wanted.hops > 1)
        {
            self.outlet = None;
        }
        self.wanted = wanted;
        self.handle(now, Input::Reconfigure(machine_config(&self.wanted)));
    }

    /// When something is due.
    pub(super) fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let settled = (self.settled_at > now).then_some(self.settled_at);
        self.machine.next_deadline().into_iter().chain(settled).min()
    }

    pub(super) fn handle(&mut self, now: Instant, input: Input) {
        for output in self.machine.handle(now, input) {
            match output {
                Output::Send(packet) => self.send(&packet.encode()),
                Output::Bridged => self.bridged = true,
                Output::Changed { from, to, diagnostic } => {
                    let neighbour = self.key.neighbour;
                    match (from, to) {
                        (State::Up, State::Down) => tracing::warn!(
                            %neighbour, %diagnostic,
                            "BFD session with {neighbour} is down: {diagnostic}"
                        ),
                        (_, State::Up) => {
                            tracing::info!(%neighbour, "BFD session with {neighbour} is up")
                        }
                        _ => tracing::debug!(%neighbour, %from, %to, "BFD session changes"),
                    }
                }
            }
        }
    }

    /// A socket that fails is opened anew for the next packet: its interface may have been.
    fn send(&mut self, payload: &[u8]) {
        let outlet = match self.outlet.take() {
            Some(outlet) => Ok(outlet),
            None => Outlet::open(&self.key, &self.wanted, self.port),
        };
        let sent = outlet.and_then(|outlet| {
            self.port = outlet.port;
            outlet.send(payload)?;
            self.outlet = Some(outlet);
            Ok(())
        });
        match sent {
            Ok(()) => self.complaint.clear(),
            Err(error) => {
                self.not_sent += 1;
                let text = error.to_string();
                if self.complaint != text {
                    let neighbour = self.key.neighbour;
                    tracing::warn!(
                        %neighbour, %error,
                        "cannot send BFD packets to {neighbour} ({error}); check route, interface and local address"
                    );
                    self.complaint = text;
                }
            }
        }
    }

    pub(super) fn finding(&self, now: Instant) -> Finding {
        let (machine, remote) = (&self.machine, self.machine.remote());
        match machine.state() {
            State::Up => Finding::Up,
            State::AdminDown => Finding::Unknown,
            State::Down | State::Init if remote.state == State::AdminDown => Finding::AdminDown,
            State::Down | State::Init if machine.counters().ups == 0 && now < self.settled_at => {
                Finding::Unknown
            }
            State::Down | State::Init => Finding::Down,
        }
    }

    pub(super) fn status(&self, now: Instant) -> SessionStatus {
        let (machine, remote) = (&self.machine, self.machine.remote());
        let micros = |length: Duration| u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
        SessionStatus {
            state: machine.state().name(),
            remote_state: remote.state.name(),
            diagnostic: machine.diagnostic().name(),
            remote_diagnostic: remote.diagnostic.name(),
            discriminator: machine.discriminator(),
            remote_discriminator: remote.discriminator,
            transmit_interval_us: micros(machine.transmit_interval()),
            detection_time_us: micros(machine.detection_time()),
            finding: self.finding(now),
        }
    }

    pub(super) fn statistics(&self) -> Statistics {
        let counters = self.machine.counters();
        let named = [
            ("packets-received", counters.received),
            ("packets-sent", counters.sent),
            ("packets-not-sent", self.not_sent),
            ("packets-discarded", self.discarded),
            ("ups", counters.ups),
            ("downs", counters.downs),
            ("expirations", counters.expirations),
        ];
        named.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    pub(super) fn save(&self) -> SavedSession {
        SavedSession::new(&self.key, self.port, self.machine.save())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use fairway_config::Period;

    use super::*;

    #[test]
    fn every_counter_is_documented() {
        let wanted = BfdSession {
            local: None,
            interface: None,
            hops: 1,
            min_tx: Period::from_millis(300),
            min_rx: Period::from_millis(300),
            multiplier: 3,
            passive: false,
        };
        let key = BfdKey { neighbour: [192, 0, 2, 254].into(), interface: None };
        let running = Running::new(Instant::now(), key, wanted, 1, 1);
        let named: BTreeSet<String> = running.statistics().into_keys().collect();
        assert_eq!(named, crate::status::documented("BFD sessions"), "docs/reference/counters.md");
    }
}
