//! The state machine and the timers of one session (RFC 5880 section 6.8).

mod jitter;
mod saved;

use std::time::{Duration, Instant};

use crate::packet::{Diagnostic, Packet, State};

use jitter::Jitter;
pub use saved::Saved;

/// While a session is not up packets are sent no more often (RFC 5880 section 6.8.3).
pub const SLOW: Duration = Duration::from_secs(1);

/// What we want of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// The shortest interval at which we would like to send.
    pub min_tx: Duration,
    /// The shortest interval between packets from the neighbour that we can bear.
    pub min_rx: Duration,
    /// How many of our intervals may be missed. Not 0.
    pub multiplier: u8,
    /// Send nothing before the neighbour has (RFC 5880 section 6.1).
    pub passive: bool,
}

/// What happened.
#[derive(Debug, Clone, Copy)]
pub enum Input {
    /// A packet for this session has come.
    Packet(Packet),
    /// A deadline has come. Harmless at any time.
    Timer,
    /// Other wishes. The session stays in its state; a poll sequence tells the neighbour.
    Reconfigure(Config),
    /// Take the session down, and tell the neighbour that this is no failure.
    Disable,
    /// Take part again.
    Enable,
    /// Another process is to go on with this session: have the neighbour wait for it.
    Bridge,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Send this to the neighbour.
    Send(Packet),
    /// The state has changed.
    Changed {
        /// From this state.
        from: State,
        /// To this one.
        to: State,
        /// For this reason.
        diagnostic: Diagnostic,
    },
    /// The neighbour waits, or need not: the session can be saved.
    Bridged,
}

/// What the neighbour said last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remote {
    /// Its name for the session; 0 as long as it is not heard.
    pub discriminator: u32,
    /// Its state.
    pub state: State,
    /// Why it last took the session down.
    pub diagnostic: Diagnostic,
    /// The shortest interval at which it would like to send.
    pub min_tx: Duration,
    /// The shortest interval that it can bear; 0: it wants no packets.
    pub min_rx: Duration,
    /// How many of its intervals may be missed.
    pub multiplier: u8,
    /// It wants no periodic packets while both are up.
    pub demand: bool,
}

impl Remote {
    /// RFC 5880 section 6.8.1.
    const UNKNOWN: Self = Self {
        discriminator: 0,
        state: State::Down,
        diagnostic: Diagnostic::NONE,
        min_tx: Duration::ZERO,
        min_rx: Duration::from_micros(1),
        multiplier: 0,
        demand: false,
    };
}

/// What was counted since the session began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Packets that were taken in.
    pub received: u64,
    /// Packets that were to be sent.
    pub sent: u64,
    /// Times it came up.
    pub ups: u64,
    /// Times it went down from up, other than by order.
    pub downs: u64,
    /// Times nothing was heard for the detection time while init or up.
    pub expirations: u64,
}

/// A poll sequence (RFC 5880 section 6.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Poll {
    Idle,
    /// Packets ask for an answer; `again`: what they tell has changed since.
    Active {
        again: bool,
    },
}

/// A session with one neighbour.
#[derive(Debug, Clone)]
pub struct Session {
    config: Config,
    discriminator: u32,
    state: State,
    diagnostic: Diagnostic,
    remote: Remote,
    poll: Poll,
    /// Another process is to go on.
    bridging: bool,
    /// As the neighbour is told.
    desired_min_tx: Duration,
    required_min_rx: Duration,
    /// As they count: until the end of a poll sequence the neighbour may not know yet.
    tx_in_force: Duration,
    rx_in_force: Duration,
    jitter: Jitter,
    last_sent: Option<Instant>,
    last_received: Option<Instant>,
    send_at: Option<Instant>,
    counters: Counters,
}

impl Session {
    /// A session that is down and begins to send at `now`, unless it is passive. `discriminator` is not 0 and no other
    /// session's; `seed` makes its jitter differ from that of others.
    pub fn new(now: Instant, config: Config, discriminator: u32, seed: u64) -> Self {
        let slow = config.min_tx.max(SLOW);
        let mut session = Self {
            config,
            discriminator,
            state: State::Down,
            diagnostic: Diagnostic::NONE,
            remote: Remote::UNKNOWN,
            poll: Poll::Idle,
            bridging: false,
            desired_min_tx: slow,
            required_min_rx: config.min_rx,
            tx_in_force: slow,
            rx_in_force: config.min_rx,
            jitter: Jitter::new(seed),
            last_sent: None,
            last_received: None,
            send_at: None,
            counters: Counters::default(),
        };
        session.plan(now);
        session
    }

    /// Our name for it.
    pub fn discriminator(&self) -> u32 {
        self.discriminator
    }

    /// Its state.
    pub fn state(&self) -> State {
        self.state
    }

    /// Why it was last taken down; none while it is up.
    pub fn diagnostic(&self) -> Diagnostic {
        self.diagnostic
    }

    /// What the neighbour said last.
    pub fn remote(&self) -> &Remote {
        &self.remote
    }

    /// What was counted.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// What is wanted of it.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The interval between packets to the neighbour, before jitter (RFC 5880 section 6.8.2).
    pub fn transmit_interval(&self) -> Duration {
        self.tx_in_force.max(self.remote.min_rx)
    }

    /// After how long a silence the neighbour counts as gone (RFC 5880 section 6.8.4); zero while it is unknown.
    pub fn detection_time(&self) -> Duration {
        self.rx_in_force.max(self.remote.min_tx) * u32::from(self.remote.multiplier)
    }

    /// Whether everybody knows that the session was taken down by order, so that nobody takes the end of its packets
    /// for a failure.
    pub fn is_end_known(&self) -> bool {
        let unheard = self.remote.discriminator == 0;
        self.state == State::AdminDown
            && (unheard || matches!(self.remote.state, State::Down | State::AdminDown))
    }

    /// When [`Input::Timer`] is due.
    pub fn next_deadline(&self) -> Option<Instant> {
        [self.send_at, self.detection_deadline()].into_iter().flatten().min()
    }

    /// Takes in what happened at `now`.
    pub fn handle(&mut self, now: Instant, input: Input) -> Vec<Output> {
        let mut outputs = Vec::new();
        match input {
            Input::Packet(packet) => self.receive(now, &packet, &mut outputs),
            Input::Timer => self.time_passed(now, &mut outputs),
            Input::Reconfigure(config) => {
                self.config = config;
                self.adjust_timers();
                self.plan(now);
            }
            Input::Disable => {
                if self.state != State::AdminDown {
                    self.enter(now, State::AdminDown, Diagnostic::ADMINISTRATIVE, &mut outputs);
                }
            }
            Input::Enable => {
                if self.state == State::AdminDown {
                    self.enter(now, State::Down, self.diagnostic, &mut outputs);
                }
            }
            Input::Bridge => {
                self.bridging = true;
                self.adjust_timers();
                self.plan(now);
                if self.poll == Poll::Idle {
                    outputs.push(Output::Bridged);
                }
            }
        }
        outputs
    }

    fn detection_deadline(&self) -> Option<Instant> {
        // Without a neighbour there is nothing to detect; see `time_passed`.
        let last = self.last_received.filter(|_| self.remote.discriminator != 0)?;
        last.checked_add(self.detection_time())
    }

    /// RFC 5880 section 6.8.6, from where the session is found.
    fn receive(&mut self, now: Instant, packet: &Packet, outputs: &mut Vec<Output>) {
        self.counters.received += 1;
        self.remote = Remote {
            discriminator: packet.my_discriminator,
            state: packet.state,
            diagnostic: packet.diagnostic,
            min_tx: packet.desired_min_tx,
            min_rx: packet.required_min_rx,
            multiplier: packet.multiplier,
            demand: packet.demand,
        };
        self.last_received = Some(now);
        if packet.is_final {
            self.end_poll(outputs);
        }
        let next = match (self.state, packet.state) {
            (State::AdminDown, _) => None,
            (State::Down, State::Down) => Some((State::Init, self.diagnostic)),
            (State::Down, State::Init) | (State::Init, State::Init | State::Up) => {
                Some((State::Up, Diagnostic::NONE))
            }
            (State::Init | State::Up, State::AdminDown) | (State::Up, State::Down) => {
                Some((State::Down, Diagnostic::NEIGHBOUR_DOWN))
            }
            (State::Down, State::AdminDown | State::Up)
            | (State::Init, State::Down)
            | (State::Up, State::Init | State::Up) => None,
        };
        match next {
            Some((state, diagnostic)) => self.enter(now, state, diagnostic, outputs),
            // The interval follows from what it said.
            None => self.plan(now),
        }
        if packet.poll && self.state != State::AdminDown {
            // Whatever the interval: the neighbour waits for it.
            let answer = Packet { poll: false, is_final: true, ..self.packet() };
            self.counters.sent += 1;
            outputs.push(Output::Send(answer));
        }
    }

    fn time_passed(&mut self, now: Instant, outputs: &mut Vec<Output>) {
        if self.detection_deadline().is_some_and(|deadline| deadline <= now) {
            // "MUST be set to zero", in any state (RFC 5880 section 6.8.1).
            self.remote.discriminator = 0;
            if matches!(self.state, State::Init | State::Up) {
                self.counters.expirations += 1;
                self.enter(now, State::Down, Diagnostic::EXPIRED, outputs);
            } else {
                self.plan(now);
            }
        }
        if self.send_at.is_some_and(|at| at <= now) {
            self.send(now, outputs);
        }
    }

    fn enter(&mut self, now: Instant, state: State, diagnostic: Diagnostic, outputs: &mut Vec<Output>) {
        let from = std::mem::replace(&mut self.state, state);
        self.diagnostic = diagnostic;
        match (from, state) {
            (_, State::Up) => self.counters.ups += 1,
            (State::Up, State::Down | State::Init) => self.counters.downs += 1,
            _ => {}
        }
        outputs.push(Output::Changed { from, to: state, diagnostic });
        self.adjust_timers();
        if self.bridging && self.poll == Poll::Idle {
            // There is nothing left that would have to be waited for.
            outputs.push(Output::Bridged);
        }
        // A change is told at once (RFC 5880 section 6.8.7).
        if self.may_send() {
            self.send(now, outputs);
        } else {
            self.plan(now);
        }
    }

    /// Makes the timers those of the configuration and the state (RFC 5880 section 6.8.3). Slower sending and faster
    /// detection wait for the end of the poll sequence that tells the neighbour.
    fn adjust_timers(&mut self) {
        let up = self.state == State::Up;
        let wait = !up || self.bridging;
        let tx = if wait { self.config.min_tx.max(SLOW) } else { self.config.min_tx };
        let rx = self.config.min_rx;
        let changed = (tx, rx) != (self.desired_min_tx, self.required_min_rx);
        (self.desired_min_tx, self.required_min_rx) = (tx, rx);
        if up {
            self.tx_in_force = self.tx_in_force.min(tx);
            self.rx_in_force = self.rx_in_force.max(rx);
            if changed {
                self.start_poll();
            }
        } else {
            (self.tx_in_force, self.rx_in_force) = (tx, rx);
            self.poll = Poll::Idle;
        }
    }

    fn start_poll(&mut self) {
        self.poll = Poll::Active { again: self.poll != Poll::Idle };
    }

    fn end_poll(&mut self, outputs: &mut Vec<Output>) {
        match self.poll {
            Poll::Idle => {}
            // The answer may be to what was told before.
            Poll::Active { again: true } => self.poll = Poll::Active { again: false },
            Poll::Active { again: false } => {
                self.poll = Poll::Idle;
                (self.tx_in_force, self.rx_in_force) = (self.desired_min_tx, self.required_min_rx);
                if self.bridging {
                    outputs.push(Output::Bridged);
                }
            }
        }
    }

    /// Whether packets are sent at all (RFC 5880 section 6.8.7).
    fn may_send(&self) -> bool {
        let waits = self.config.passive && self.remote.discriminator == 0;
        let demanded = self.remote.demand && self.state == State::Up && self.remote.state == State::Up;
        !waits && !self.remote.min_rx.is_zero() && (!demanded || self.poll != Poll::Idle)
    }

    /// Sets the time of the next periodic packet, as the interval now is. If it became shorter, the packet is not
    /// later than that after the last one (RFC 5880 section 6.8.3).
    fn plan(&mut self, now: Instant) {
        self.send_at = self.may_send().then(|| match self.last_sent {
            Some(last) => last + self.jitter.apply(self.transmit_interval()),
            None => now,
        });
    }

    fn send(&mut self, now: Instant, outputs: &mut Vec<Output>) {
        self.counters.sent += 1;
        outputs.push(Output::Send(self.packet()));
        self.last_sent = Some(now);
        self.jitter.draw(self.config.multiplier);
        self.plan(now);
    }

    fn packet(&self) -> Packet {
        Packet {
            diagnostic: self.diagnostic,
            state: self.state,
            poll: self.poll != Poll::Idle,
            is_final: false,
            control_plane_independent: false,
            demand: false,
            multiplier: self.config.multiplier,
            my_discriminator: self.discriminator,
            your_discriminator: self.remote.discriminator,
            desired_min_tx: self.desired_min_tx,
            required_min_rx: self.required_min_rx,
            required_min_echo_rx: Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests;
