//! The state machine of a failover group.

mod adopt;
mod announcer;
mod election;
mod handover;
mod others;
mod peers;
mod reconfigure;
mod router;
mod tracking;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use fairway_config::{FailoverGroup, Preempt};

use crate::auth::Secret;
use crate::output::{Cause, Event, Force, Input, Output, Place, State};
pub use others::OtherRouter;
use peers::Peer;
use router::Link;
pub use router::VirtualRouter;
use tracking::Tracking;

/// How long VIPs stay parked on `lo` after another master was heard. Neighbour caches that missed its
/// announcement still send here meanwhile.
const PARK: Duration = Duration::from_secs(1);

/// The priority that nothing outranks (RFC 9568 section 5.2.4).
const OWNER: u8 = 255;

/// What a [`Group`] is made from.
#[derive(Clone, PartialEq, Eq)]
pub struct GroupConfig {
    /// The validated configuration.
    pub group: FailoverGroup,
    /// Secrets by instance name. An instance with `auth` that is missing here uses an empty one.
    pub secrets: BTreeMap<String, Secret>,
}

impl fmt::Debug for GroupConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupConfig").field("group", &self.group).finish_non_exhaustive()
    }
}

/// Why VIPs are being handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Stop,
    Failover,
    /// The operator wants this router to be backup.
    Backup,
}

/// What the group is doing. [`State`] is what an observer sees of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Not started, or stopped.
    Idle,
    /// Started, but not all links are known.
    Waiting {
        holding: bool,
    },
    /// VIPs are on the interfaces, but others may have taken over: silent for one interval.
    /// `fresh`: they were left by a killed predecessor.
    Listening {
        until: Instant,
        fresh: bool,
    },
    Backup,
    Master,
    /// Still serving, but saying goodbye until a successor is heard.
    HandingOver {
        since: Instant,
        until: Instant,
        purpose: Purpose,
    },
    Fault,
    /// Stopped, with VIPs still parked on `lo`.
    Leaving,
}

/// One elected unit: instances that are master together or not at all. The crate's documentation has the state
/// diagram and the calling order.
#[derive(Debug, Clone)]
pub struct Group {
    config: GroupConfig,
    routers: Vec<VirtualRouter>,
    phase: Phase,
    /// When the phase began.
    entered: Option<Instant>,
    cause: Cause,
    force: Force,
    /// After a failover: leave any living master alone.
    hold_off: bool,
    /// Since when lower-ranked masters have been heard and none better.
    lower_since: Option<Instant>,
    /// No take-over before this: the driver was away and may have missed adverts.
    not_before: Option<Instant>,
    /// No take-over before this: the configured delay after the start.
    delayed_until: Option<Instant>,
    /// When VIPs parked on `lo` are removed.
    parked_until: Option<Instant>,
    /// When a tie that was lost on other than the first instance counts.
    tie_lost_at: Option<Instant>,
    /// What the trackers say.
    tracking: Tracking,
    /// The time UTC was told, and what it was.
    clock: Option<(Instant, Duration)>,
    outputs: Vec<Output>,
}

impl Group {
    /// A group that has not started.
    pub fn new(config: GroupConfig) -> Self {
        let routers = config
            .group
            .instances
            .iter()
            .map(|i| VirtualRouter::new(i.clone(), config.secrets.get(&i.name)))
            .collect();
        let mut group = Self {
            tracking: Tracking::new(&config.group),
            config,
            routers,
            phase: Phase::Idle,
            entered: None,
            cause: Cause::New,
            force: Force::Auto,
            hold_off: false,
            lower_since: None,
            not_before: None,
            delayed_until: None,
            parked_until: None,
            tie_lost_at: None,
            clock: None,
            outputs: Vec::new(),
        };
        group.apply_priority();
        group
    }

    /// Takes in what happened at `now` and gives what is to be done, in order. `now` never goes back.
    ///
    /// Timers expire by [`Input::Timer`] only, so a queue of packets can be fed after a delay without a timer
    /// deciding before the packet that was there in time. Instances that do not exist are ignored.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) -> Vec<Output> {
        match input {
            Input::Start { holding } => self.start(now, holding),
            Input::Timer => self.timer(now),
            Input::Link { instance, source } => self.link(now, instance, source),
            Input::Packet { instance, packet } => self.packet(now, instance, &packet),
            Input::Clock(utc) => self.clock = Some((now, utc)),
            Input::Force(force) => self.order(now, force),
            Input::Failover => self.failover(now),
            Input::Bridge(pause) => self.bridge(now, pause),
            Input::Stop => self.stop(now),
            Input::Stalled => self.stalled(now),
            Input::Track { tracker, verdict, detail } => self.track(now, tracker, verdict, detail),
            Input::Reconfigure(config) => self.reconfigure(now, config),
        }
        self.heed_trackers(now);
        if self.takeover_at().is_none_or(|at| at > now) {
            for router in &mut self.routers {
                router.prune(now);
            }
        }
        std::mem::take(&mut self.outputs)
    }

    /// When [`Input::Timer`] is due next.
    pub fn next_deadline(&self) -> Option<Instant> {
        let phase = match self.phase {
            Phase::Listening { until, .. } | Phase::HandingOver { until, .. } => Some(until),
            _ => None,
        };
        let routers = self.routers.iter().flat_map(|r| [r.advert_due, r.announcer.next_deadline()]);
        [phase, self.parked_until, self.tie_lost_at, self.takeover_at()]
            .into_iter()
            .chain(routers)
            .flatten()
            .min()
    }

    /// Name of the group.
    pub fn name(&self) -> &str {
        &self.config.group.name
    }

    /// The configuration in force.
    pub fn config(&self) -> &GroupConfig {
        &self.config
    }

    /// The state it is in.
    pub fn state(&self) -> State {
        match self.phase {
            Phase::Idle | Phase::Waiting { .. } | Phase::Leaving => State::Init,
            Phase::Listening { fresh: true, .. } => State::Init,
            Phase::Listening { fresh: false, .. } | Phase::Master | Phase::HandingOver { .. } => {
                State::Master
            }
            Phase::Backup => State::Backup,
            Phase::Fault => State::Fault,
        }
    }

    /// Why it is in that state.
    pub fn cause(&self) -> &Cause {
        &self.cause
    }

    /// The operator's standing order.
    pub fn forced(&self) -> Force {
        self.force
    }

    /// Whether all VIPs belong on their interfaces, and with them whatever else moves with the group.
    pub fn holds(&self) -> bool {
        !self.routers.is_empty() && self.routers.iter().all(|router| router.place == Place::Interface)
    }

    /// Its instances, in the order of the configuration.
    pub fn instances(&self) -> &[VirtualRouter] {
        &self.routers
    }

    fn timer(&mut self, now: Instant) {
        if self.parked_until.is_some_and(|until| until <= now) {
            self.unpark();
        }
        match self.phase {
            Phase::Listening { until, .. } if until <= now => self.take_over(now, Cause::Kept),
            Phase::HandingOver { until, .. } if until <= now => self.give_up_handover(now),
            _ => {}
        }
        if self.tie_lost_at.is_some_and(|at| at <= now) {
            self.decide_tie(now);
        }
        self.settle(now);
        self.send_due(now);
    }

    /// Sends the adverts and asks for the announcements that are due.
    fn send_due(&mut self, now: Instant) {
        let priority = if matches!(self.phase, Phase::HandingOver { .. }) { 0 } else { self.priority() };
        for instance in 0..self.routers.len() {
            if self.routers[instance].advert_due.is_some_and(|due| due <= now) {
                self.routers[instance].schedule_next_advert(now);
                self.send(now, instance, priority);
            }
            let router = &mut self.routers[instance];
            if router.announcer.due(now, &router.config.announce) {
                router.counters.announcements += 1;
                self.outputs.push(Output::Announce { instance });
            }
        }
    }

    fn enter(&mut self, now: Instant, phase: Phase, cause: Cause) {
        let from = self.state();
        self.phase = phase;
        self.entered = Some(now);
        let to = self.state();
        if from == to {
            return;
        }
        for router in &mut self.routers {
            router.counters.became_master += u64::from(to == State::Master);
            router.counters.released_master += u64::from(from == State::Master);
        }
        self.cause = cause.clone();
        self.outputs.push(Output::Transition { from, to, cause });
    }

    fn send(&mut self, now: Instant, instance: usize, priority: u8) {
        let interval = self.routers[instance].own_interval();
        self.send_every(now, instance, priority, interval);
    }

    /// Sends an advert that promises the next one after `interval`.
    fn send_every(&mut self, now: Instant, instance: usize, priority: u8, interval: Duration) {
        let clock = self.utc(now);
        self.routers[instance].advertised = Some((now, interval));
        for (destination, carrier, payload) in self.routers[instance].advert(priority, interval, clock) {
            self.outputs.push(Output::Send { instance, destination, carrier, payload });
        }
    }

    /// UTC since the Unix epoch; the epoch itself as long as nobody told the time.
    fn utc(&self, now: Instant) -> Duration {
        self.clock.map_or(Duration::ZERO, |(told, utc)| utc + now.saturating_duration_since(told))
    }

    fn place(&mut self, instance: usize, place: Place) {
        if self.routers[instance].place != place {
            self.routers[instance].place = place;
            self.outputs.push(Output::Vips { instance, place });
        }
    }

    fn place_all(&mut self, place: Place) {
        for instance in 0..self.routers.len() {
            self.place(instance, place);
        }
    }

    /// Says where all VIPs belong, changed or not.
    fn repeat_places(&mut self) {
        for (instance, router) in self.routers.iter().enumerate() {
            self.outputs.push(Output::Vips { instance, place: router.place });
        }
    }

    /// Ends the parking on `lo`, and with it a graceful stop.
    fn unpark(&mut self) {
        self.parked_until = None;
        for instance in 0..self.routers.len() {
            if self.routers[instance].place == Place::Lo {
                self.place(instance, Place::Nowhere);
            }
        }
        if self.phase == Phase::Leaving {
            self.phase = Phase::Idle;
            self.outputs.push(Output::Stopped);
        }
    }

    /// Reports an event unless the same of the same router was reported a moment ago.
    fn report(&mut self, now: Instant, instance: usize, event: Event) {
        if self.routers[instance].others.note(now, &event) {
            self.outputs.push(Output::Event(event));
        }
    }

    /// Ends everything that only a master does.
    fn silence(&mut self) {
        self.tie_lost_at = None;
        for router in &mut self.routers {
            router.advert_due = None;
            router.announcer.stop();
        }
    }

    /// The group's priority. It is one unit, so all instances are elected with the lowest priority among them, and
    /// with what the trackers add.
    pub fn priority(&self) -> u8 {
        if self.force == Force::Master {
            return OWNER;
        }
        self.tracking.apply(self.base_priority())
    }

    /// The priority that is configured: the lowest among the instances.
    pub fn base_priority(&self) -> u8 {
        self.config.group.instances.iter().map(|i| i.priority.get()).min().unwrap_or(1)
    }

    /// An order from before a new configuration cannot take addresses away that are the host's own now.
    fn forget_orders_of_an_owner(&mut self) {
        if self.base_priority() == OWNER {
            self.hold_off = false;
            if self.force == Force::Backup {
                self.force = Force::Auto;
            }
        }
    }

    fn apply_priority(&mut self) {
        let priority = self.priority();
        for router in &mut self.routers {
            router.priority = priority;
        }
    }

    fn all_links_up(&self) -> bool {
        !self.routers.is_empty() && self.routers.iter().all(VirtualRouter::is_up)
    }

    /// Whether nothing keeps the group in fault.
    fn is_fit(&self) -> bool {
        self.all_links_up() && self.tracker_fault().is_none()
    }

    /// What is wrong with the first link that cannot be used.
    fn link_fault(&self) -> Option<Cause> {
        self.routers.iter().find_map(|router| match router.link {
            Link::Down(problem) => {
                Some(Cause::LinkDown { interface: router.config.interface.to_string(), problem })
            }
            Link::Unknown | Link::Up(_) => None,
        })
    }

    /// The longest of our own advert intervals.
    fn longest_interval(&self) -> Duration {
        self.routers.iter().map(VirtualRouter::own_interval).max().unwrap_or_default()
    }

    /// How long a lower-ranked master keeps us backup: `None` if it does not.
    fn lower_master_blocks_until(&self, router: &VirtualRouter, peer: &Peer) -> Option<Instant> {
        let gone = router.ends(&peer.down);
        if self.hold_off {
            return Some(gone);
        }
        if self.priority() == OWNER {
            return None;
        }
        match (self.config.group.preempt, self.lower_since) {
            (Preempt::Always, _) => None,
            (Preempt::After(delay), Some(since)) => Some(gone.min(since + delay.get())),
            (Preempt::Never, _) | (Preempt::After(_), None) => Some(gone),
        }
    }

    /// Whether a lower-ranked master is to be replaced, now.
    fn preempts(&self, now: Instant) -> bool {
        if self.hold_off {
            return false;
        }
        match self.config.group.preempt {
            _ if self.priority() == OWNER => true,
            Preempt::Always => true,
            Preempt::Never => false,
            Preempt::After(delay) => self.lower_since.is_some_and(|since| since + delay.get() <= now),
        }
    }

    /// Whether an advert ranks above us on this instance (RFC 9568 section 6.4.3).
    fn outranks_us(&self, instance: usize, rank: (u8, IpAddr)) -> bool {
        self.routers[instance].source().is_none_or(|source| rank > (self.priority(), source))
    }
}
