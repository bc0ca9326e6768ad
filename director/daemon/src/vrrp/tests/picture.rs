//! Whatever happens to links and addresses, in whatever order the director hears of it and whatever it misses: in the
//! end its picture is what the kernel has, and the election follows.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use fairway_vrrp::{GroupConfig, Input, LinkProblem, Output, State};
use proptest::prelude::*;

use super::super::addresses::Vips;
use super::super::member::Member;
use super::super::netlink::{
    ADDRESS_TAG, Address, Change, IFA_F_DADFAILED, IFA_F_SECONDARY, IFA_F_TENTATIVE, Link,
};
use super::*;

const RUNNING: u32 = 0x1 | 0x40 | 0x1_0000;
/// What the queue of news holds.
const QUEUE: usize = 6;
const NAMES: [&str; 3] = ["eth0", "eth1", "other"];
const ADDRESSES: [&str; 8] = [
    "10.0.0.1/24",
    "10.0.0.2/24",
    "10.0.0.2/16",
    "10.0.0.100/32",
    "fe80::1/64",
    "fe80::2/64",
    "2001:db8::1/64",
    "fe80::100/128",
];

/// The kernel: links, addresses, and a queue of news that can overflow, as `af_netlink.c` has it.
#[derive(Debug, Default)]
struct World {
    links: BTreeMap<u32, Link>,
    addresses: BTreeMap<u32, Vec<Address>>,
    next: u32,
    queue: VecDeque<Event>,
    /// An overrun is to be told.
    overrun: bool,
    /// It is not told again before the queue has been empty.
    congested: bool,
}

fn parse(text: &str) -> (IpAddr, u8) {
    let (address, prefix) = text.split_once('/').unwrap();
    (address.parse().unwrap(), prefix.parse().unwrap())
}

impl World {
    fn tell(&mut self, event: Event) {
        if self.queue.len() < QUEUE {
            self.queue.push_back(event);
        } else {
            self.overrun |= !std::mem::replace(&mut self.congested, true);
        }
    }

    /// Gives news until there is none, or until some of it turns out to be lost.
    fn drain(&mut self) -> io::Result<Vec<Event>> {
        if std::mem::take(&mut self.overrun) {
            return Err(io::Error::from_raw_os_error(nix::libc::ENOBUFS));
        }
        self.congested = false;
        Ok(self.queue.drain(..).collect())
    }

    fn dump(&self) -> Vec<Event> {
        let links = self.links.values().cloned().map(Event::Link);
        links.chain(self.addresses.values().flatten().copied().map(Event::Address)).collect()
    }

    fn index(&self, name: &str) -> Option<u32> {
        self.links.values().find(|link| link.name == name).map(|link| link.index)
    }

    fn make(&mut self, name: &str, up: bool) {
        if self.index(name).is_none() {
            self.next += 1;
            let flags = if up { RUNNING } else { 0 };
            let link =
                Link { index: self.next, name: name.to_owned(), flags, hardware: 1, ..Link::default() };
            self.links.insert(link.index, link.clone());
            self.tell(Event::Link(link));
        }
    }

    fn delete(&mut self, name: &str) {
        let Some(index) = self.index(name) else { return };
        for address in self.addresses.remove(&index).unwrap_or_default() {
            self.tell(Event::AddressGone(address));
        }
        self.links.remove(&index);
        self.tell(Event::LinkGone(index));
    }

    fn change_link(&mut self, name: &str, change: impl FnOnce(&mut Link)) {
        let Some(link) = self.index(name).and_then(|index| self.links.get_mut(&index)) else { return };
        change(link);
        let link = link.clone();
        self.tell(Event::Link(link));
    }

    /// Tells again what is so.
    fn repeat(&mut self, name: &str) {
        self.change_link(name, |_| ());
        let index = self.index(name).unwrap_or_default();
        for address in self.addresses.get(&index).cloned().unwrap_or_default() {
            self.tell(Event::Address(address));
        }
    }

    fn add(&mut self, index: u32, (address, prefix): (IpAddr, u8), flags: u32, protocol: u8) {
        if !self.links.contains_key(&index) {
            return;
        }
        let list = self.addresses.entry(index).or_default();
        let known = |one: &Address| one.address == address && (one.prefix == prefix || address.is_ipv6());
        if list.iter().any(known) {
            return;
        }
        let mut entry = Address { index, address, prefix, scope: 0, flags, protocol };
        if address.is_ipv4() && list.iter().any(|one| shares_network(one, &entry)) {
            entry.flags |= IFA_F_SECONDARY;
        }
        // Secondary ones are the last over IPv4; over IPv6 the latest comes first.
        let place = match address {
            IpAddr::V4(_) if entry.flags & IFA_F_SECONDARY == 0 => {
                list.iter().position(|one| one.flags & IFA_F_SECONDARY != 0).unwrap_or(list.len())
            }
            IpAddr::V4(_) => list.len(),
            IpAddr::V6(_) => 0,
        };
        list.insert(place, entry);
        self.tell(Event::Address(entry));
    }

    fn remove(&mut self, index: u32, (address, prefix): (IpAddr, u8)) {
        let Some(list) = self.addresses.get_mut(&index) else { return };
        let gone = |one: &Address| one.address == address && (one.prefix == prefix || address.is_ipv6());
        let Some(place) = list.iter().position(gone) else { return };
        let entry = list.remove(place);
        // With `promote_secondaries`: the next one of the network is primary now, behind the other primary ones.
        let next = list.iter().position(|one| shares_network(one, &entry));
        let promoted = next.filter(|_| entry.flags & IFA_F_SECONDARY == 0 && address.is_ipv4()).map(|next| {
            let next = Address { flags: 0, ..list.remove(next) };
            let place = list.iter().position(|one| one.flags & IFA_F_SECONDARY != 0).unwrap_or(list.len());
            list.insert(place, next);
            next
        });
        self.tell(Event::AddressGone(entry));
        if let Some(promoted) = promoted {
            self.tell(Event::Address(promoted));
        }
    }

    /// Duplicate address detection comes to its end.
    fn settle(&mut self, name: &str, failed: bool) {
        let index = self.index(name).unwrap_or_default();
        let mut changed = Vec::new();
        for entry in self.addresses.get_mut(&index).into_iter().flatten() {
            if entry.flags & IFA_F_TENTATIVE != 0 {
                entry.flags = if failed { IFA_F_DADFAILED | IFA_F_TENTATIVE } else { 0 };
                changed.push(*entry);
            }
        }
        changed.into_iter().for_each(|entry| self.tell(Event::Address(entry)));
    }
}

/// Whether two IPv4 addresses are of one network to the kernel.
fn shares_network(one: &Address, other: &Address) -> bool {
    let network = |entry: &Address| match entry.address {
        IpAddr::V4(address) => Some((entry.prefix, u64::from(u32::from(address)) >> (32 - entry.prefix))),
        IpAddr::V6(_) => None,
    };
    network(one).is_some() && network(one) == network(other)
}

#[derive(Debug, Clone)]
enum Step {
    Make(usize, bool),
    Delete(usize),
    Rename(usize, usize),
    Flags(usize, u32),
    Repeat(usize),
    Add(usize, usize, bool),
    Remove(usize, usize),
    Settle(usize, bool),
    /// The director looks. Reading everything fails, or is disturbed and misses something.
    Look {
        fails: bool,
        misses: Option<usize>,
    },
    /// Time passes, and timers end.
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let name = || 0..NAMES.len();
    let flags = prop_oneof![Just(RUNNING), Just(RUNNING & !0x1_0000), Just(RUNNING & !0x1), Just(0)];
    prop_oneof![
        3 => (name(), any::<bool>()).prop_map(|(name, up)| Step::Make(name, up)),
        1 => name().prop_map(Step::Delete),
        1 => (name(), name()).prop_map(|(from, to)| Step::Rename(from, to)),
        3 => (name(), flags).prop_map(|(name, flags)| Step::Flags(name, flags)),
        1 => name().prop_map(Step::Repeat),
        6 => (name(), 0..ADDRESSES.len(), any::<bool>()).prop_map(|(name, which, tentative)| Step::Add(name, which, tentative)),
        2 => (name(), 0..ADDRESSES.len()).prop_map(|(name, which)| Step::Remove(name, which)),
        1 => (name(), any::<bool>()).prop_map(|(name, failed)| Step::Settle(name, failed)),
        3 => (any::<bool>(), proptest::option::of(0..8_usize)).prop_map(|(fails, misses)| Step::Look { fails, misses }),
        1 => (0..9_000_u64).prop_map(Step::Pass),
    ]
}

/// A director with a group of two instances.
struct Director {
    picture: Picture,
    links: Links,
    member: Member,
    vips: Vips,
    now: Instant,
}

impl Director {
    fn new() -> Self {
        let instance = |name: &str, interface: &str, family: &str, vip: &str| {
            format!(
                "[[failover.instance]]\nname = \"{name}\"\ninterface = \"{interface}\"\nfamily = \"{family}\"\nvrid = 1\n\
                 priority = 100\nadvert-interval = \"1s\"\nvirtual-ips = [{{ address = \"{vip}\" }}]\n"
            )
        };
        let text = "version = 1\ncluster = \"c\"\nhost = \"h\"\n[[failover]]\nname = \"edge\"\n".to_owned()
            + &instance("a", "eth0", "ipv4", "10.0.0.100")
            + &instance("b", "eth1", "ipv6", "fe80::100");
        let group = fairway_config::Config::from_toml(&text).unwrap().failover.remove(0);
        let mut member = Member::new(GroupConfig { group, secrets: BTreeMap::default() });
        let now = Instant::now();
        member.group.handle(now, Input::Start { holding: false });
        let (picture, links) = Picture::open(Dump { events: Vec::new(), whole: true });
        Self { picture, links, member, vips: Vips::default(), now }
    }

    fn vips() -> BTreeSet<IpAddr> {
        ["10.0.0.100", "fe80::100"].map(|vip| vip.parse().unwrap()).into()
    }

    /// A turn of the thread.
    fn look(&mut self, world: &mut World, fails: bool, misses: Option<usize>) {
        let cell = std::cell::RefCell::new(&mut *world);
        let dump = || {
            let mut events = cell.borrow().dump();
            let whole = misses.is_none();
            if let Some(place) = misses.filter(|place| *place < events.len()) {
                events.remove(place);
            }
            if fails { Err(io::ErrorKind::OutOfMemory.into()) } else { Ok(Dump { events, whole }) }
        };
        let read = self.picture.update(&mut self.links, || cell.borrow_mut().drain(), dump);
        assert!(read.is_ok() || self.picture.is_stale());
        self.picture.heed();
        let sources = self.sources();
        for (instance, source) in sources.into_iter().enumerate() {
            let mut done = Vec::new();
            self.member.tell_source(self.now, instance, source, |_, outputs| done = outputs);
            self.carry_out(world, &done);
        }
        if self.vips.disturbed(&self.links) {
            for instance in 0..2 {
                let changes = self.vips.changes(&self.member.owner(instance), &self.links);
                apply(world, changes);
            }
        }
    }

    fn sources(&self) -> Vec<Result<IpAddr, LinkProblem>> {
        self.member.instances().iter().map(|instance| self.links.source(instance, &Self::vips())).collect()
    }

    fn pass(&mut self, world: &mut World, length: Duration) {
        self.now += length;
        let outputs = self.member.group.handle(self.now, Input::Timer);
        self.carry_out(world, &outputs);
    }

    fn carry_out(&mut self, world: &mut World, outputs: &[Output]) {
        for output in outputs {
            if let Output::Vips { instance, place } = output {
                let owner = self.member.owner(*instance);
                self.vips.want(&owner, &self.member.instances()[*instance], *place);
                apply(world, self.vips.changes(&owner, &self.links));
            }
        }
    }
}

fn apply(world: &mut World, changes: Vec<Change>) {
    for Change { add, index, address, prefix } in changes {
        if add {
            world.add(index, (address, prefix), 0, ADDRESS_TAG);
        } else {
            world.remove(index, (address, prefix));
        }
    }
}

fn act(world: &mut World, director: &mut Director, step: &Step) {
    match *step {
        Step::Make(name, up) => world.make(NAMES[name], up),
        Step::Delete(name) => world.delete(NAMES[name]),
        Step::Rename(from, to) => {
            if world.index(NAMES[to]).is_none() {
                world.change_link(NAMES[from], |link| NAMES[to].clone_into(&mut link.name));
            }
        }
        Step::Flags(name, flags) => world.change_link(NAMES[name], |link| link.flags = flags),
        Step::Repeat(name) => world.repeat(NAMES[name]),
        Step::Add(name, which, tentative) => {
            let address = parse(ADDRESSES[which]);
            let flags = if tentative && address.0.is_ipv6() { IFA_F_TENTATIVE } else { 0 };
            let index = world.index(NAMES[name]).unwrap_or_default();
            world.add(index, address, flags, 0);
        }
        Step::Remove(name, which) => {
            let index = world.index(NAMES[name]).unwrap_or_default();
            world.remove(index, parse(ADDRESSES[which]));
        }
        Step::Settle(name, failed) => world.settle(NAMES[name], failed),
        Step::Look { fails, misses } => director.look(world, fails, misses),
        Step::Pass(millis) => director.pass(world, Duration::from_millis(millis)),
    }
}

/// What the kernel has, in no order.
fn entries(links: &Links) -> (BTreeSet<String>, BTreeSet<String>) {
    let addresses = links.all().flat_map(|link| links.addresses(link.index));
    (
        links.all().map(|link| format!("{link:?}")).collect(),
        addresses.map(|entry| format!("{entry:?}")).collect(),
    )
}

fn comes_to_rest(steps: &[Step]) -> Result<(), TestCaseError> {
    let (mut world, mut director) = (World::default(), Director::new());
    director.look(&mut world, false, None);
    for step in steps {
        act(&mut world, &mut director, step);
    }
    // It is looked at as long as there is a reason to, and no longer.
    let mut turns = 0;
    while !world.queue.is_empty() || world.overrun || director.picture.is_stale() {
        director.look(&mut world, false, None);
        turns += 1;
        prop_assert!(turns < 20, "no rest");
    }
    let fresh = Links::from_dump(world.dump());
    prop_assert_eq!(entries(&director.links), entries(&fresh));
    for (instance, known) in director.member.instances().iter().zip(director.sources()) {
        prop_assert_eq!(known, fresh.source(instance, &Director::vips()));
        // In words of its own: there is one with the right name that runs, and it has an address.
        let usable = |entry: &Address| match entry.address {
            IpAddr::V4(address) => instance.name == "a" && !Director::vips().contains(&address.into()),
            IpAddr::V6(address) => {
                instance.name == "b"
                    && entry.flags == 0
                    && address.is_unicast_link_local()
                    && !Director::vips().contains(&address.into())
            }
        };
        let runs = world
            .links
            .values()
            .find(|link| link.name == instance.interface.as_str() && link.flags == RUNNING);
        let addresses = runs.and_then(|link| world.addresses.get(&link.index));
        prop_assert_eq!(known.is_ok(), addresses.is_some_and(|list| list.iter().any(usable)));
    }
    // Nobody else is there.
    for _ in 0..2 {
        director.pass(&mut world, Duration::from_secs(10));
        while !world.queue.is_empty() || world.overrun || director.picture.is_stale() {
            director.look(&mut world, false, None);
        }
    }
    let fit = director.sources().iter().all(Result::is_ok);
    let expected = if fit { State::Master } else { State::Fault };
    prop_assert_eq!(director.member.group.state(), expected, "{}", director.member.group.cause());
    let held = |interface: &str, vip: &str| {
        let list = world.index(interface).and_then(|index| world.addresses.get(&index));
        let vip = parse(vip);
        list.is_some_and(|list| list.iter().any(|entry| (entry.address, entry.prefix) == vip))
    };
    prop_assert_eq!(held("eth0", "10.0.0.100/32"), fit);
    prop_assert_eq!(held("eth1", "fe80::100/128"), fit);
    prop_assert_eq!(director.member.group.instances().len(), 2);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn in_the_end_the_picture_is_what_the_kernel_has(steps in proptest::collection::vec(step(), 0..60)) {
        comes_to_rest(&steps)?;
    }
}

#[test]
fn what_was_queued_before_a_loss_does_not_undo_what_was_read_after_it() {
    // The address goes, the queue overflows, and the news that it is back is lost.
    let mut steps =
        vec![Step::Make(0, true), Step::Make(1, true), Step::Add(0, 0, false), Step::Add(1, 4, false)];
    steps.extend([Step::Look { fails: false, misses: None }, Step::Remove(0, 0)]);
    steps.extend(std::iter::repeat_n(Step::Repeat(1), QUEUE));
    steps.extend([Step::Add(0, 0, false), Step::Look { fails: false, misses: None }]);
    comes_to_rest(&steps).unwrap();
}

#[test]
fn of_two_addresses_that_cannot_be_used_the_same_one_is_named() {
    let steps = [Step::Make(1, true), Step::Add(1, 4, true), Step::Add(1, 5, true)];
    comes_to_rest(&steps).unwrap();
}

#[test]
fn everything_is_read_again_until_that_succeeds() {
    let mut world = World::default();
    let mut director = Director::new();
    world.make("eth0", true);
    (0..2 * QUEUE).for_each(|_| world.repeat("eth0"));
    world.make("eth1", true);
    let known = |director: &Director| director.links.by_name("eth1").is_some();
    director.look(&mut world, true, None);
    assert!(director.picture.is_stale() && !known(&director), "it could not be read");
    director.look(&mut world, true, None);
    assert!(director.picture.is_stale(), "nor now, though nothing new came");
    director.look(&mut world, false, Some(1));
    assert!(director.picture.is_stale() && !known(&director), "it changed while it was read");
    director.look(&mut world, false, None);
    assert!(!director.picture.is_stale() && known(&director));
}

#[test]
fn a_change_is_heeded_though_it_was_taken_in_elsewhere() {
    let (mut picture, mut links) = Picture::open(Dump { events: Vec::new(), whole: true });
    assert!(!picture.is_unheeded());
    let mut world = World::default();
    world.make("eth0", true);
    picture.update(&mut links, || world.drain(), || Ok(Dump::default())).unwrap();
    assert!(picture.is_unheeded());
    picture.heed();
    picture.update(&mut links, || world.drain(), || Ok(Dump::default())).unwrap();
    assert!(!picture.is_unheeded(), "nothing happened");
    picture.read(&mut links, || Ok(Dump { events: Vec::new(), whole: true })).unwrap();
    assert!(picture.is_unheeded());
}
