//! The groups in the thread's care, and what each turn asks of them: when is the next deadline, which are due, which
//! changed, and whose is a packet.
//!
//! With 255 virtual routers that advertise each 100 ms a backup has 2,550 turns a second, each about one of them. So a
//! turn must not look at all: a group that is handed out to be changed is remembered, and only those are looked at.

use std::time::{Duration, Instant};

use fairway_config::{Family, Instance};

use super::kernel::SocketKey;
use super::member::Member;

/// Configured groups, by name, and those that are no longer configured and still hand over.
#[derive(Debug, Default)]
pub(super) struct Roll {
    /// The configured ones in the order of their names, then the others.
    members: Vec<Member>,
    /// How many are configured.
    configured: usize,
    /// The deadlines of `members`, side by side: they are looked through each turn.
    deadlines: Vec<Option<Instant>>,
    /// Places of those whose deadline may not be the one noted.
    stale: Places,
    /// Places of those that changed since somebody last asked.
    changed: Places,
    /// The virtual routers of all of them.
    seats: Vec<Seat>,
}

/// A virtual router, and whose it is.
#[derive(Debug)]
struct Seat {
    vrid: u8,
    family: Family,
    /// The interfaces it is heard on: its own, and that with its virtual MAC.
    interfaces: [String; 2],
    place: usize,
    instance: usize,
}

impl Seat {
    fn new(place: usize, number: usize, instance: &Instance) -> Self {
        Self {
            vrid: instance.vrid.get(),
            family: instance.family,
            interfaces: [instance.interface.to_string(), instance.home().to_string()],
            place,
            instance: number,
        }
    }

    fn is_on(&self, socket: &SocketKey) -> bool {
        self.family == socket.1 && self.interfaces.contains(&socket.0)
    }
}

impl Roll {
    /// With these groups configured.
    pub(super) fn new(members: impl IntoIterator<Item = Member>) -> Self {
        let mut roll = Self::default();
        roll.replace(members);
        roll
    }

    /// The configured ones, in the order of their names.
    pub(super) fn configured(&self) -> &[Member] {
        &self.members[..self.configured]
    }

    /// Those that are no longer configured.
    pub(super) fn leaving(&self) -> &[Member] {
        &self.members[self.configured..]
    }

    /// All.
    pub(super) fn all(&self) -> &[Member] {
        &self.members
    }

    /// A configured one.
    pub(super) fn get(&self, name: &str) -> Option<&Member> {
        self.place_of(name).map(|place| &self.members[place])
    }

    /// A configured one, to be changed.
    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Member> {
        self.place_of(name).map(|place| self.at(place))
    }

    fn place_of(&self, name: &str) -> Option<usize> {
        self.configured().binary_search_by(|member| member.name().cmp(name)).ok()
    }

    /// The one that is configured under this name, or else was.
    pub(super) fn find_mut(&mut self, name: &str) -> Option<&mut Member> {
        let left = || self.leaving().iter().position(|member| member.name() == name);
        let place = self.place_of(name).or_else(|| left().map(|place| self.configured + place))?;
        Some(self.at(place))
    }

    /// The one at a place that [`Roll::due`] named.
    pub(super) fn at(&mut self, place: usize) -> &mut Member {
        self.stale.add(place);
        &mut self.members[place]
    }

    /// All, to be changed.
    pub(super) fn all_mut(&mut self) -> &mut [Member] {
        self.stale.add_all();
        &mut self.members
    }

    /// The configured ones, to be changed.
    pub(super) fn configured_mut(&mut self) -> &mut [Member] {
        self.stale.add_all();
        &mut self.members[..self.configured]
    }

    /// The instance on a socket that runs virtual router `vrid`, or else the first one there.
    pub(super) fn on_socket(&mut self, socket: &SocketKey, vrid: Option<u8>) -> Option<(&mut Member, usize)> {
        let matching = |seat: &&Seat| Some(seat.vrid) == vrid && seat.is_on(socket);
        let seat = self.seats.iter().find(matching);
        let seat = seat.or_else(|| self.seats.iter().find(|seat| seat.is_on(socket)))?;
        let (place, instance) = (seat.place, seat.instance);
        Some((self.at(place), instance))
    }

    /// Takes all configured ones out, for [`Roll::replace`].
    pub(super) fn take_configured(&mut self) -> Vec<Member> {
        let members = self.members.drain(..self.configured).collect();
        self.configured = 0;
        self.rearrange();
        members
    }

    /// Has these configured, and no others.
    pub(super) fn replace(&mut self, members: impl IntoIterator<Item = Member>) {
        let leaving = self.members.split_off(self.configured);
        self.members = members.into_iter().collect();
        self.members.sort_by(|a, b| a.name().cmp(b.name()));
        self.configured = self.members.len();
        self.members.extend(leaving);
        self.rearrange();
    }

    /// Adds one that is no longer configured.
    pub(super) fn add_leaving(&mut self, member: Member) {
        self.members.push(member);
        self.rearrange();
    }

    /// Keeps of those that are no longer configured the ones that `keep` says.
    pub(super) fn retain_leaving(&mut self, keep: impl FnMut(&Member) -> bool) {
        let mut leaving = self.members.split_off(self.configured);
        leaving.retain(keep);
        self.members.extend(leaving);
        self.rearrange();
    }

    /// To be called when the instances of a group changed: whose a packet is may have, too.
    pub(super) fn rearrange(&mut self) {
        let seats = |(place, member): (usize, &Member)| -> Vec<Seat> {
            let instances = member.instances().iter().enumerate();
            instances.map(|(number, instance)| Seat::new(place, number, instance)).collect()
        };
        self.seats = self.members.iter().enumerate().flat_map(seats).collect();
        self.deadlines = vec![None; self.members.len()];
        self.stale = Places::of(self.members.len());
        self.changed = Places::of(self.members.len());
        self.stale.add_all();
    }

    fn refresh(&mut self) {
        for place in self.stale.take() {
            self.deadlines[place] = self.members[place].group.next_deadline();
            self.changed.add(place);
        }
    }

    /// The earliest deadline of any.
    pub(super) fn next_deadline(&mut self) -> Option<Instant> {
        self.refresh();
        self.deadlines.iter().flatten().min().copied()
    }

    /// The places of those whose deadline has come. They hold until a group comes or goes.
    pub(super) fn due(&mut self, now: Instant) -> Vec<usize> {
        self.refresh();
        let due = |deadline: &Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        self.deadlines
            .iter()
            .enumerate()
            .filter(|(_, deadline)| due(deadline))
            .map(|(place, _)| place)
            .collect()
    }

    /// Adds to `stalled` the places of those that others do not wait for this long.
    pub(super) fn add_overslept(&self, length: Duration, stalled: &mut Vec<usize>) {
        for (place, member) in self.members.iter().enumerate() {
            if member.master_down() <= length && !stalled.contains(&place) {
                stalled.push(place);
            }
        }
    }

    /// The configured ones that were handed out to be changed since this was last asked.
    pub(super) fn take_changed(&mut self) -> impl Iterator<Item = &Member> {
        self.refresh();
        let configured = &self.members[..self.configured];
        self.changed.take().into_iter().filter_map(|place| configured.get(place))
    }
}

/// A set of places, as cheap to add to as to go through.
#[derive(Debug, Default)]
struct Places {
    has: Vec<bool>,
    list: Vec<usize>,
}

impl Places {
    fn of(count: usize) -> Self {
        Self { has: vec![false; count], list: Vec::with_capacity(count) }
    }

    fn add(&mut self, place: usize) {
        if !std::mem::replace(&mut self.has[place], true) {
            self.list.push(place);
        }
    }

    fn add_all(&mut self) {
        (0..self.has.len()).for_each(|place| self.add(place));
    }

    fn take(&mut self) -> Vec<usize> {
        self.list.iter().for_each(|place| self.has[*place] = false);
        std::mem::take(&mut self.list)
    }
}

#[cfg(test)]
#[path = "tests/roll.rs"]
mod tests;
