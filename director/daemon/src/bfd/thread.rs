//! The loop. One turn: wait for the earliest of a packet, a command or a deadline; take in packets, then judge timers,
//! then commands.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use fairway_bfd::{Arrival, Input, Packet, arrival};
use fairway_config::{BfdKey, BfdSession};
use nix::errno::Errno;
use nix::net::if_::if_indextoname;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use tokio::sync::{mpsc, watch};

use super::passing::{self, SavedSession};
use super::running::Running;
use super::sockets::{Datagram, Inlet, Listener};
use super::{BfdCommand, BfdStatus};
use crate::descriptors::Named;
use crate::inbox::Inbox;
use crate::status::{Refused, Reply};
use crate::vrrp::raise_priority;

/// Below VRRP, above everything ordinary.
const PRIORITY: u8 = 19;
/// Neighbours learn of the end, or that they have to wait, within an interval or two; longer nobody is kept.
const PATIENCE: Duration = Duration::from_millis(600);
/// A port that is taken is tried again.
const RETRY: Duration = Duration::from_secs(2);
/// Datagrams taken from one socket in one turn.
const DATAGRAMS_PER_TURN: usize = 1024;

/// Somebody waits for what happens to all sessions.
enum Ending {
    Stop(Reply<()>),
    PassOn(Reply<Vec<Named>>),
}

/// The state of the thread.
pub(super) struct Thread {
    sessions: BTreeMap<BfdKey, Running>,
    /// Sessions that nobody wants any more, until their neighbours know.
    leaving: Vec<(Running, Instant)>,
    listeners: BTreeMap<Inlet, Listener>,
    /// Ports that could not be listened at, and since when that is known.
    deaf: BTreeMap<Inlet, Instant>,
    inherited: Vec<SavedSession>,
    /// What was discarded, by reason.
    discarded: BTreeMap<&'static str, u64>,
    inbox: Inbox<BfdCommand>,
    status: watch::Sender<BfdStatus>,
    /// What was published last.
    published: BfdStatus,
    ending: Option<(Ending, Instant)>,
    random: RandomState,
    drawn: u64,
}

impl Thread {
    pub(super) fn new(
        commands: mpsc::UnboundedReceiver<BfdCommand>,
        status: watch::Sender<BfdStatus>,
        inherited: Vec<SavedSession>,
    ) -> io::Result<Self> {
        Ok(Self {
            sessions: BTreeMap::new(),
            leaving: Vec::new(),
            listeners: BTreeMap::new(),
            deaf: BTreeMap::new(),
            inherited,
            discarded: BTreeMap::new(),
            inbox: Inbox::new(commands)?,
            status,
            published: BfdStatus::new(),
            ending: None,
            random: RandomState::new(),
            drawn: 0,
        })
    }

    /// Runs until stopped.
    pub(super) fn run(mut self, sessions: BTreeMap<BfdKey, BfdSession>) {
        if let Err(error) = raise_priority(PRIORITY) {
            tracing::debug!(%error, "no real-time priority for the BFD thread");
        }
        self.configure(sessions);
        // Before the first wait: without sessions nothing but a command ends it, and who sends one must know whom to wake.
        self.take_in_commands();
        loop {
            let now = Instant::now();
            self.publish(now);
            if self.end(now) || self.inbox.is_abandoned() {
                return;
            }
            for inlet in self.wait(now) {
                self.take_in_packets(inlet);
            }
            let now = Instant::now();
            for running in
                self.sessions.values_mut().chain(self.leaving.iter_mut().map(|(running, _)| running))
            {
                if running.machine.next_deadline().is_some_and(|deadline| deadline <= now) {
                    running.handle(now, Input::Timer);
                }
            }
            self.leaving.retain(|(running, until)| *until > now && !running.machine.is_end_known());
            if self.deaf.values().any(|at| *at <= now) {
                self.listen(now);
            }
            self.take_in_commands();
        }
    }

    /// Waits; tells which sockets have datagrams.
    fn wait(&self, now: Instant) -> Vec<Inlet> {
        let leaving = self.leaving.iter().flat_map(|(running, until)| {
            [Some(*until), running.machine.next_deadline()].into_iter().flatten()
        });
        let deadline = self
            .sessions
            .values()
            .filter_map(|running| running.next_deadline(now))
            .chain(leaving)
            .chain(self.deaf.values().copied())
            .chain(self.ending.as_ref().map(|(_, until)| *until))
            .min();
        let wait = deadline.map(|at| TimeSpec::from_duration(at.saturating_duration_since(now)));
        let mut fds = vec![PollFd::new(self.inbox.as_fd(), PollFlags::POLLIN)];
        fds.extend(self.listeners.values().map(|listener| PollFd::new(listener.as_fd(), PollFlags::POLLIN)));
        match ppoll(&mut fds, wait, None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => {
                tracing::error!(%error, "cannot wait for BFD packets");
                std::thread::sleep(Duration::from_millis(1)); // not a busy loop
            }
        }
        let ready = |fd: &PollFd<'_>| fd.revents().is_some_and(|events| !events.is_empty());
        self.listeners.keys().zip(&fds[1..]).filter(|(_, fd)| ready(fd)).map(|(inlet, _)| *inlet).collect()
    }

    fn take_in_packets(&mut self, inlet: Inlet) {
        for _ in 0..DATAGRAMS_PER_TURN {
            let Some(listener) = self.listeners.get(&inlet) else { return };
            match listener.receive() {
                Ok(Some(datagram)) => self.take_in(inlet, &datagram),
                Ok(None) => return,
                Err(error) => {
                    tracing::debug!(port = inlet.port(), %error, "cannot receive");
                    return;
                }
            }
        }
    }

    /// Gives a packet to its session (RFC 5880 sections 6.3 and 6.8.6).
    fn take_in(&mut self, inlet: Inlet, datagram: &Datagram) {
        let packet = match Packet::decode(datagram.payload()) {
            Ok(packet) => packet,
            Err(error) => return self.discard(inlet, datagram, error.name(), &error.to_string()),
        };
        let all = self.sessions.values_mut().chain(self.leaving.iter_mut().map(|(running, _)| running));
        let mut here = all.filter(|running| Inlet::of(&running.key, &running.wanted) == inlet);
        let found = match packet.your_discriminator {
            0 => here.find(|running| is_from(running, datagram)),
            own => here.find(|running| running.machine.discriminator() == own),
        };
        match found {
            None if packet.your_discriminator == 0 => {
                self.discard(inlet, datagram, "unknown-neighbour", "there is no session with it");
            }
            None => self.discard(inlet, datagram, "unknown-discriminator", "it is for no session of ours"),
            Some(running) => match arrival(datagram.ttl, running.wanted.hops) {
                Arrival::Near => running.handle(Instant::now(), Input::Packet(packet)),
                Arrival::Far => {
                    running.discarded += 1;
                    let text = format!("its TTL of {} says that it comes from too far away", datagram.ttl);
                    self.discard(inlet, datagram, "bad-ttl", &text);
                }
            },
        }
    }

    /// Counts a packet that is not used. The first of a kind is logged; anybody can send the rest.
    fn discard(&mut self, inlet: Inlet, datagram: &Datagram, reason: &'static str, text: &str) {
        let count = self.discarded.entry(reason).or_default();
        *count += 1;
        let (source, port) = (datagram.source, inlet.port());
        if *count == 1 {
            tracing::warn!(%source, port, reason, "discarding a BFD packet from {source}: {text}; further ones are counted");
        } else {
            tracing::debug!(%source, port, reason, "discarding a BFD packet from {source}: {text}");
        }
    }

    fn take_in_commands(&mut self) {
        for command in self.inbox.take() {
            self.obey(command);
        }
    }

    fn obey(&mut self, command: BfdCommand) {
        let now = Instant::now();
        match command {
            BfdCommand::Configure { sessions } if self.ending.is_none() => self.configure(sessions),
            BfdCommand::Configure { .. } => {}
            BfdCommand::Statistics { key, reply } => {
                let neighbour = key.neighbour;
                let statistics = self.sessions.get(&key).map(Running::statistics);
                let none = || Refused(format!("there is no BFD session with {neighbour}"));
                let _gone = reply.send(statistics.ok_or_else(none));
            }
            BfdCommand::Stop { reply } => {
                self.everywhere(now, Input::Disable);
                self.ending = Some((Ending::Stop(reply), now + PATIENCE));
            }
            BfdCommand::PassOn { reply } => {
                self.everywhere(now, Input::Bridge);
                self.ending = Some((Ending::PassOn(reply), now + PATIENCE));
            }
        }
    }

    fn everywhere(&mut self, now: Instant, input: Input) {
        self.sessions.values_mut().for_each(|running| running.handle(now, input));
    }

    /// Answers who waits for the end, once it has come.
    fn end(&mut self, now: Instant) -> bool {
        let over = match &self.ending {
            None => return false,
            Some((_, until)) if *until <= now => true,
            Some((Ending::Stop(_), _)) => {
                self.sessions.values().all(|running| running.machine.is_end_known())
            }
            Some((Ending::PassOn(_), _)) => self.sessions.values().all(|running| running.bridged),
        };
        if !over {
            return false;
        }
        let saved: Vec<SavedSession> = self.sessions.values().map(Running::save).collect();
        // Who is answered finds the ports free.
        self.sessions.clear();
        self.listeners.clear();
        match self.ending.take() {
            Some((Ending::Stop(reply), _)) => drop(reply.send(Ok(()))),
            Some((Ending::PassOn(reply), _)) if saved.is_empty() => drop(reply.send(Ok(Vec::new()))),
            Some((Ending::PassOn(reply), _)) => {
                let written = passing::write(saved).map(|state| vec![state]);
                let refused = |error: io::Error| Refused(format!("cannot save the BFD sessions: {error}"));
                let _gone = reply.send(written.map_err(refused));
            }
            None => {}
        }
        true
    }

    fn configure(&mut self, wanted: BTreeMap<BfdKey, BfdSession>) {
        let now = Instant::now();
        let gone: Vec<BfdKey> =
            self.sessions.keys().filter(|key| !wanted.contains_key(key)).cloned().collect();
        for mut running in gone.iter().filter_map(|key| self.sessions.remove(key)) {
            running.handle(now, Input::Disable);
            self.leaving.push((running, now + PATIENCE));
        }
        // One that is wanted again begins anew.
        self.leaving.retain(|(running, _)| !wanted.contains_key(&running.key));
        for (key, session) in &wanted {
            if let Some(running) = self.sessions.get_mut(key) {
                running.reconfigure(now, session.clone());
            }
        }
        // The discriminators of adopted sessions are taken before others are drawn.
        for saved in std::mem::take(&mut self.inherited) {
            if let Some(session) = wanted.get(&saved.key()) {
                let running = Running::adopt(now, session.clone(), &saved, self.draw());
                self.sessions.insert(saved.key(), running);
            }
        }
        for (key, session) in wanted {
            if !self.sessions.contains_key(&key) {
                let (discriminator, seed) = (self.discriminator(), self.draw());
                let running = Running::new(now, key.clone(), session, discriminator, seed);
                self.sessions.insert(key, running);
            }
        }
        self.listen(now);
    }

    /// Listens where packets of the sessions come in, and nowhere else.
    fn listen(&mut self, now: Instant) {
        let all = self.sessions.values().chain(self.leaving.iter().map(|(running, _)| running));
        let inlets: BTreeSet<Inlet> = all.map(|running| Inlet::of(&running.key, &running.wanted)).collect();
        self.listeners.retain(|inlet, _| inlets.contains(inlet));
        let known = std::mem::take(&mut self.deaf);
        for inlet in inlets {
            if self.listeners.contains_key(&inlet) {
                continue;
            }
            match Listener::open(inlet) {
                Ok(listener) => drop(self.listeners.insert(inlet, listener)),
                Err(error) => {
                    self.deaf.insert(inlet, now + RETRY);
                    if !known.contains_key(&inlet) {
                        let (family, port) = (inlet.family, inlet.port());
                        tracing::error!(
                            %family, port, %error,
                            "cannot listen for BFD at UDP port {port} ({family}): {error}; does another BFD daemon run \
                             on this host? Trying again"
                        );
                    }
                }
            }
        }
    }

    fn draw(&mut self) -> u64 {
        self.drawn += 1;
        self.random.hash_one(self.drawn)
    }

    /// Not 0, and no other session's.
    fn discriminator(&mut self) -> u32 {
        loop {
            let drawn = self.draw() as u32;
            let mut all = self.sessions.values().chain(self.leaving.iter().map(|(running, _)| running));
            if drawn != 0 && all.all(|running| running.machine.discriminator() != drawn) {
                return drawn;
            }
        }
    }

    /// Passes the status on, if it changed.
    fn publish(&mut self, now: Instant) {
        let same = self.sessions.len() == self.published.len()
            && self
                .sessions
                .iter()
                .all(|(key, running)| self.published.get(key) == Some(&running.status(now)));
        if !same {
            let status = |(key, running): (&BfdKey, &Running)| (key.clone(), running.status(now));
            self.published = self.sessions.iter().map(status).collect();
            self.status.send_replace(self.published.clone());
        }
    }
}

/// Whether a packet that names no session of ours is for this one.
fn is_from(running: &Running, datagram: &Datagram) -> bool {
    let arrived = || if_indextoname(datagram.index).ok().and_then(|name| name.into_string().ok());
    running.key.neighbour == datagram.source
        && running.wanted.local.is_none_or(|local| local == datagram.destination)
        && running.wanted.interface.as_ref().is_none_or(|name| arrived().as_deref() == Some(name.as_str()))
}
