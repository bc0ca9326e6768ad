//! The loop. One turn: wait for the earliest of a packet, news of a link, a command or a deadline; take in
//! links, then packets, then judge timers, then commands. It is a plain `ppoll` loop: the wait ends with the
//! precision of the kernel's high-resolution timers, and nothing else runs on this thread.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::Deref;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant, SystemTime};

use fairway_vrrp::{GroupConfig, Input, Received, State, vrid_of};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};
use tokio::sync::mpsc;

use super::addresses::{self, Owner};
use super::kernel::{Kernel, SocketKey};
use super::member::Member;
use super::passing::{Document, Inheritance};
use super::roll::Roll;
use super::sockets::{Datagram, Header};
use super::{Error, Heartbeat};
use crate::descriptors::Named;
use crate::inbox::Inbox;
use crate::status::{GroupStatus, Reply, VrrpCommand, VrrpStatus};

/// The longest wait: the heartbeat promises 500 ms.
const LONGEST_WAIT: Duration = Duration::from_millis(400);
/// Datagrams taken from one socket in one turn: more than its queue holds, so that a stall is caught up in one
/// turn, but not so many that a flood holds up the timers.
const DATAGRAMS_PER_TURN: usize = 1024;
/// Less is the clock's own unsteadiness.
const CLOCK_STEP: Duration = Duration::from_millis(100);
/// Larger than any IP datagram.
const DATAGRAM: usize = 65_536;

/// The groups whose status is another now, and those that are gone.
pub(super) type StatusChanges = Vec<(String, Option<Arc<GroupStatus>>)>;

/// The state of the thread.
#[derive(Debug)]
pub(super) struct Thread {
    pub(super) kernel: Kernel,
    /// What the process before left, and how old it is.
    pub(super) inherited: Option<(Document, Duration)>,
    pub(super) roll: Roll,
    pub(super) inbox: Inbox<VrrpCommand>,
    status: Sender<StatusChanges>,
    /// What was published last.
    published: VrrpStatus,
    /// The configuration changed, so the status has to be published whether or not it looks the same.
    pub(super) reconfigured: bool,
    heartbeat: Heartbeat,
    /// Set once the director stops: who waits for the end of it.
    pub(super) stopping: Option<Reply<()>>,
    /// Set once another process is to go on from here.
    pub(super) passing: Option<Passing>,
    /// How long the host had been suspended since it was booted.
    slept: Duration,
    /// UTC at the origin of the monotonic clock, as the machines were told.
    epoch: Option<Duration>,
    /// When addresses and sockets are looked at again although nothing happened.
    retry_at: Option<Instant>,
}

/// A hand-over to the next process.
#[derive(Debug)]
pub(super) struct Passing {
    /// When the backups have been told twice to wait.
    pub(super) at: Instant,
    pub(super) reply: Reply<Vec<Named>>,
}

impl Thread {
    /// Opens everything, without touching an address yet.
    pub(super) fn new(
        groups: Vec<GroupConfig>,
        commands: mpsc::UnboundedReceiver<VrrpCommand>,
        status: Sender<StatusChanges>,
        heartbeat: Heartbeat,
        inherited: Vec<Named>,
    ) -> Result<Self, Error> {
        let inbox = Inbox::new(commands)
            .map_err(|source| Error::System { what: "cannot make an eventfd".to_owned(), source })?;
        let mut kernel = Kernel::open()?;
        let Inheritance { state, sockets } = Inheritance::take(inherited);
        kernel.inherited = sockets;
        Ok(Self {
            kernel,
            inherited: state,
            roll: Roll::new(groups.into_iter().map(Member::new)),
            inbox,
            status,
            published: VrrpStatus::new(),
            reconfigured: false,
            heartbeat,
            stopping: None,
            passing: None,
            slept: time_asleep().unwrap_or_default(),
            epoch: None,
            retry_at: None,
        })
    }

    /// Runs until stopped.
    pub(super) fn run(mut self) {
        let mut buffer = vec![0; DATAGRAM];
        self.start(&mut buffer);
        while !self.is_over() {
            let (links, readable) = self.wait();
            let now = Instant::now();
            self.heartbeat.beat(now);
            self.tell_time();
            // Judged before packets are fed: they move the deadlines.
            let mut stalled = self.roll.due(now);
            stalled.retain(|place| self.roll.all()[*place].is_stalled(now));
            self.add_suspended(&mut stalled);
            if links || self.kernel.picture.is_unheeded() || self.retry_at.is_some_and(|at| at <= now) {
                self.take_in_links(now);
            }
            for key in readable {
                self.take_in_packets(&key, &mut buffer);
            }
            self.take_in_time(&stalled);
            self.take_in_commands();
            self.publish();
            if self.pass_on() {
                tracing::info!("VRRP thread has passed everything on");
                return;
            }
        }
        self.publish();
        if let Some(reply) = self.stopping.take() {
            let _ = reply.send(Ok(())); // who asked may be gone
        }
        tracing::info!("VRRP thread ended");
    }

    fn is_over(&self) -> bool {
        let stopped = self.stopping.is_some() && self.roll.all().iter().all(|member| member.stopped);
        stopped || (self.inbox.is_abandoned() && self.stopping.is_none())
    }

    /// Waits; tells whether there is news of links, and which sockets have datagrams.
    fn wait(&mut self) -> (bool, Vec<SocketKey>) {
        let now = Instant::now();
        let longest = if self.kernel.picture.is_unheeded() { Duration::ZERO } else { LONGEST_WAIT };
        let deadlines = self.roll.next_deadline().into_iter();
        let wait = deadlines
            .chain(self.retry_at)
            .chain(self.kernel.pacer.next_deadline())
            .chain(self.passing.as_ref().map(|passing| passing.at))
            .map(|deadline| deadline.saturating_duration_since(now))
            .fold(longest, Duration::min);
        let mut fds = vec![
            PollFd::new(self.inbox.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.kernel.monitor.as_fd(), PollFlags::POLLIN),
        ];
        fds.extend(self.kernel.sockets.values().map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)));
        match ppoll(&mut fds, Some(TimeSpec::from_duration(wait)), None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => {
                tracing::error!(%error, "cannot wait for packets");
                std::thread::sleep(Duration::from_millis(1)); // not a busy loop
            }
        }
        let ready = |fd: &PollFd<'_>| fd.revents().is_some_and(|events| !events.is_empty());
        let readable = self.kernel.sockets.keys().zip(&fds[2..]).filter(|(_, fd)| ready(fd));
        (ready(&fds[1]), readable.map(|(key, _)| key.clone()).collect())
    }

    /// Tells the machines the time, if the clock was set since they were told.
    fn tell_time(&mut self) {
        let Ok(uptime) = clock_gettime(ClockId::CLOCK_MONOTONIC) else { return };
        let epoch = utc().saturating_sub(Duration::from(uptime));
        if self.epoch.is_some_and(|told| told.abs_diff(epoch) < CLOCK_STEP) {
            return;
        }
        self.epoch = Some(epoch);
        for member in self.roll.all_mut() {
            let _ = member.group.handle(Instant::now(), Input::Clock(utc())); // nothing follows from it
        }
    }

    /// Adds the groups that others may have taken over while the host was suspended. The clock that timers go by stood
    /// still meanwhile (`CLOCK_MONOTONIC`), `CLOCK_BOOTTIME` did not.
    fn add_suspended(&mut self, stalled: &mut Vec<usize>) {
        let Ok(slept) = time_asleep() else { return };
        let since = slept.saturating_sub(std::mem::replace(&mut self.slept, slept));
        if since >= CLOCK_STEP {
            tracing::warn!("the host was suspended for {} ms", since.as_millis());
            self.roll.add_overslept(since, stalled);
        }
    }

    fn take_in_links(&mut self, now: Instant) {
        self.retry_at = None;
        self.kernel.update_links();
        let complete = self.update_sockets();
        self.kernel.picture.heed();
        if !complete || self.kernel.picture.is_stale() {
            self.retry_at = Some(now + addresses::RETRY);
        }
        self.tell_sources();
        self.repair(now);
        self.repair_routes(now);
    }

    /// Puts lost routes and rules back, after the VIPs that they may need.
    fn repair_routes(&mut self, now: Instant) {
        let Kernel { routes, requests, links, .. } = &mut self.kernel;
        let (mut news, postponed) = routes.repair(requests, links, now);
        if postponed {
            self.retry_at = Some(now + addresses::RETRY);
        }
        // Each of them: what came without news, because nobody else's is in its place any more, is no longer missing.
        for member in self.roll.all_mut() {
            let own =
                news.extract_if(.., |(group, _)| group == member.name()).map(|(_, news)| news).collect();
            self.kernel.tell_routes(member, own);
        }
    }

    /// Puts lost VIPs back, and takes away those that are where they do not belong.
    fn repair(&mut self, now: Instant) {
        if !self.kernel.vips.disturbed(&self.kernel.links) {
            return;
        }
        let repair = self.kernel.repair(now);
        if repair.postponed {
            self.retry_at = Some(now + addresses::RETRY);
        }
        for (owner, spot) in repair.restored {
            tracing::warn!(
                event = "address-restored",
                group = owner.0, instance = owner.1, interface = spot.interface, address = %spot.address,
                "{} was missing on {}; put it back", spot.address, spot.interface
            );
            self.with_owner(&owner, |kernel, member, instance| {
                kernel.routes.renew(&mut kernel.requests, &kernel.links, spot.address);
                member.counters[instance].vips_restored += 1;
                if member.group.state() == State::Master {
                    kernel.announce_spot(member, instance, &spot);
                }
            });
        }
        for (owner, spot) in repair.removed {
            tracing::warn!(
                event = "address-restored",
                group = owner.0, instance = owner.1, interface = spot.interface, address = %spot.address,
                "{} was on {}, where this router does not hold it; removed it",
                spot.address, spot.interface
            );
            self.with_owner(&owner, |_, member, instance| member.counters[instance].vips_removed += 1);
        }
    }

    fn with_owner(&mut self, owner: &Owner, act: impl FnOnce(&mut Kernel, &mut Member, usize)) {
        if let Some(member) = self.roll.find_mut(&owner.0)
            && let Some(instance) = member.instances().iter().position(|instance| instance.name == owner.1)
        {
            act(&mut self.kernel, member, instance);
        }
    }

    /// Has the virtual MACs and the sockets that the groups need. Returns false if another attempt is to be made.
    pub(super) fn update_sockets(&mut self) -> bool {
        let needing = |member: &&Member| !member.stopped;
        let instances =
            || self.roll.all().iter().filter(needing).flat_map(Member::instances).map(Deref::deref);
        let (restored, postponed) = self.kernel.update_virtual_macs(instances());
        let complete = self.kernel.update_sockets(instances());
        for member in self.roll.all_mut() {
            for instance in 0..member.instances().len() {
                let home = member.instances()[instance].home().as_str();
                let touched = restored.iter().any(|name| name == home);
                member.counters[instance].virtual_macs_restored += u64::from(touched);
            }
        }
        complete && !postponed
    }

    /// Tells each machine where its adverts come from, if that has changed.
    pub(super) fn tell_sources(&mut self) {
        let vips: BTreeSet<IpAddr> = self
            .roll
            .all()
            .iter()
            .flat_map(Member::instances)
            .flat_map(|instance| instance.addresses().map(|vip| vip.address))
            .collect();
        for member in self.roll.all_mut() {
            for instance in 0..member.instances().len() {
                let source = self.kernel.source(&member.instances()[instance], &vips);
                let now = Instant::now();
                member.tell_source(now, instance, source, |member, outputs| {
                    self.kernel.carry_out(member, outputs);
                });
            }
        }
    }

    pub(super) fn take_in_packets(&mut self, key: &SocketKey, buffer: &mut [u8]) {
        for _ in 0..DATAGRAMS_PER_TURN {
            let Some(socket) = self.kernel.sockets.get(key) else { return };
            match socket.receive(buffer) {
                Ok(Some(Datagram::Whole(header, payload))) => self.hand_over(key, header, payload),
                Ok(Some(Datagram::Malformed)) => {
                    if let Some((member, instance)) = self.roll.on_socket(key, None) {
                        member.counters[instance].bad_ip_header += 1;
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    tracing::debug!(interface = key.0, %error, "cannot receive");
                    return;
                }
            }
        }
    }

    /// Gives a packet to the instance it is for; one that is for nobody to the first on the socket, which
    /// counts and names it.
    fn hand_over(&mut self, key: &SocketKey, header: Header, payload: &[u8]) {
        let vrid = vrid_of(header.carrier, payload);
        if let Some((member, instance)) = self.roll.on_socket(key, vrid) {
            let Header { source, destination, ttl, carrier } = header;
            let packet = Received { source, destination, ttl, carrier, payload };
            let outputs = member.group.handle(Instant::now(), Input::Packet { instance, packet });
            self.kernel.carry_out(member, outputs);
        }
    }

    fn take_in_time(&mut self, stalled: &[usize]) {
        for place in stalled {
            let member = self.roll.at(*place);
            member.counters.iter_mut().for_each(|counters| counters.stalls += 1);
            let outputs = member.group.handle(Instant::now(), Input::Stalled);
            self.kernel.carry_out(member, outputs);
        }
        // One time for all: groups that were due together are so again, and take one turn instead of many.
        let now = Instant::now();
        for place in self.roll.due(now) {
            if !stalled.contains(&place) {
                let member = self.roll.at(place);
                let outputs = member.group.handle(now, Input::Timer);
                self.kernel.carry_out(member, outputs);
            }
        }
        for (owner, spot) in self.kernel.pacer.due(Instant::now()) {
            self.with_owner(&owner, |kernel, member, instance| {
                if kernel.vips.wanted(&spot) {
                    kernel.announce_spot(member, instance, &spot);
                }
            });
        }
        if self.roll.leaving().iter().any(|member| member.stopped) {
            self.drop_departed();
        }
        if self.stopping.is_some() {
            let going_on = self.roll.all().iter().filter(|member| !member.stopped);
            self.kernel.keep_virtual_macs(going_on.flat_map(Member::instances).map(Deref::deref));
        }
    }

    /// Drops groups that are no longer configured and hold nothing any more, and what is left of the VIPs of
    /// instances that are gone.
    pub(super) fn drop_departed(&mut self) {
        self.roll.retain_leaving(|member| !member.stopped);
        let all = self.roll.all().iter();
        let owners = all.flat_map(|member| (0..member.instances().len()).map(|i| member.owner(i)));
        let owners: BTreeSet<Owner> = owners.collect();
        let gone: Vec<Owner> =
            self.kernel.vips.owners().filter(|owner| !owners.contains(owner)).cloned().collect();
        for owner in gone {
            let failures = self.kernel.vips.forget(&mut self.kernel.requests, &self.kernel.links, &owner);
            self.kernel.complain_of(&failures);
        }
        let instances = self.roll.all().iter().flat_map(Member::instances).map(Deref::deref);
        self.kernel.keep_virtual_macs(instances);
        let groups: BTreeSet<String> =
            self.roll.all().iter().map(|member| member.name().to_owned()).collect();
        self.kernel.forget_routes(|group| groups.contains(group));
    }

    /// Passes the status on, if it changed.
    pub(super) fn publish(&mut self) {
        let reconfigured = std::mem::take(&mut self.reconfigured);
        let mut changes = StatusChanges::new();
        if reconfigured {
            let gone = self.published.keys().filter(|name| self.roll.get(name).is_none());
            changes.extend(gone.map(|name| (name.clone(), None)));
            self.published.retain(|name, _| self.roll.get(name).is_some());
        }
        for member in self.roll.take_changed() {
            let known = self.published.get(member.name());
            if reconfigured || !known.is_some_and(|status| member.is(status)) {
                let status = Arc::new(member.status());
                changes.push((member.name().to_owned(), Some(Arc::clone(&status))));
                self.published.insert(member.name().to_owned(), status);
            }
        }
        if reconfigured || !changes.is_empty() {
            let _ = self.status.send(changes); // fails only while the process ends
        }
    }
}

/// How long the host has been suspended since it was booted.
fn time_asleep() -> Result<Duration, Errno> {
    // In this order, so that what passes between the two is not sleep.
    let boot = clock_gettime(ClockId::CLOCK_BOOTTIME)?;
    let awake = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    Ok(Duration::from(boot).saturating_sub(Duration::from(awake)))
}

/// UTC since the Unix epoch.
pub(super) fn utc() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
