//! Carries out what the machines ask for: adverts, VIPs, announcements, log lines.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime};

use fairway_config::{Auth, Family, IfName, Instance, VirtualMac, VrrpVersion};
use fairway_vrrp::{Carrier, LinkProblem, Output, Place, State};

use super::Error;
use super::addresses::{Failure, Repair, Spot, Vips};
use super::announce::Announcer;
use super::links::Links;
use super::member::Member;
use super::netlink::{Monitor, Requests};
use super::pacing::Pacer;
use super::picture::Picture;
use super::routes::{News, Routes};
use super::sockets::{AdvertSocket, Wire};
use super::virtual_mac::{self, Mode, VirtualMacs};

/// How often the same complaint is logged.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

/// Interface name, address family and protocol: what shares a socket.
pub(super) type SocketKey = (String, Family, Wire);

/// What an instance sends through, first, and what it listens to besides: so that a router without the header that
/// is configured here, or the other way round, is named.
fn wires(instance: &Instance) -> &'static [Wire] {
    match (instance.version, &instance.auth) {
        (VrrpVersion::V2, Some(Auth::Ah(_))) => &[Wire::Header, Wire::Vrrp],
        (VrrpVersion::V2, _) => &[Wire::Vrrp, Wire::Header],
        (VrrpVersion::V3, _) => &[Wire::Vrrp],
    }
}

/// The interface with an instance's virtual MAC.
fn virtual_mac(instance: &Instance) -> Option<&IfName> {
    instance.virtual_mac.as_ref().map(|mac| &mac.interface)
}

/// The kernel, as the VRRP thread sees it.
#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) requests: Requests,
    pub(super) monitor: Monitor,
    pub(super) picture: Picture,
    pub(super) links: Links,
    pub(super) vips: Vips,
    pub(super) routes: Routes,
    pub(super) virtual_macs: VirtualMacs,
    pub(super) sockets: BTreeMap<SocketKey, AdvertSocket>,
    /// Sockets of the process before, as long as they may be of use.
    pub(super) inherited: Vec<AdvertSocket>,
    announcer: Announcer,
    pub(super) pacer: Pacer,
    complaints: BTreeMap<String, Instant>,
}

impl Kernel {
    /// Opens the netlink and packet sockets and looks at the host's links and addresses.
    pub(super) fn open() -> Result<Self, Error> {
        let refused = |what: &str| {
            let what = what.to_owned();
            move |source| Error::System { what, source }
        };
        let announcer = Announcer::open()
            .map_err(refused("cannot open a packet socket; the director needs CAP_NET_RAW"))?;
        // Subscribed before the dump, so that nothing that happens in between is missed.
        let monitor = Monitor::open().map_err(refused("cannot watch links and addresses"))?;
        let mut requests = Requests::open().map_err(refused("cannot open a netlink socket"))?;
        let dump = requests.dump().map_err(refused("cannot read links and addresses"))?;
        let (picture, links) = Picture::open(dump);
        Ok(Self {
            requests,
            monitor,
            picture,
            links,
            vips: Vips::default(),
            routes: Routes::default(),
            virtual_macs: VirtualMacs::default(),
            sockets: BTreeMap::new(),
            inherited: Vec::new(),
            announcer,
            pacer: Pacer::default(),
            complaints: BTreeMap::new(),
        })
    }

    /// Takes in what the kernel told about links and addresses. Where that cannot be known, another attempt is to be
    /// made: [`Picture::is_stale`].
    pub(super) fn update_links(&mut self) {
        let Self { monitor, requests, picture, links, .. } = self;
        let read = picture.update(links, || monitor.drain(), || requests.dump());
        self.complain_of_reading(read);
        let links = &self.links;
        self.announcer.retain(|index| links.name(index) != "?");
    }

    /// Reads all links and addresses anew.
    fn read_links(&mut self) {
        let Self { requests, picture, links, .. } = self;
        let read = picture.read(links, || requests.dump());
        self.complain_of_reading(read);
    }

    fn complain_of_reading(&mut self, read: io::Result<()>) {
        if let Err(error) = read
            && self.may_complain("read links", Instant::now())
        {
            tracing::error!(%error, "cannot read links and addresses; trying again");
        }
    }

    /// Opens the sockets that `instances` need and that are missing or belong to an interface that is no more,
    /// and closes those that nobody needs. Returns false if one could not be opened: worth another try.
    pub(super) fn update_sockets<'a>(&mut self, instances: impl Iterator<Item = &'a Instance>) -> bool {
        let mut complete = true;
        let mut needed = BTreeSet::new();
        let mut macs = BTreeMap::new();
        for instance in instances {
            for spot in Spot::on_interface(instance) {
                if let Some(link) = self.links.by_name(&spot.interface) {
                    // Only saves time later: announcing tries again.
                    let _ = self.announcer.learn(link.index);
                }
            }
            // A master with our virtual MAC is heard on our interface of that MAC while it is up, and else below.
            for name in [Some(&instance.interface), virtual_mac(instance)].into_iter().flatten() {
                if let Some(link) = self.links.by_name(name.as_str()) {
                    let keys = wires(instance).iter();
                    needed.extend(keys.map(|wire| ((name.to_string(), instance.family, *wire), link.index)));
                }
            }
            if let Some(name) = virtual_mac(instance) {
                let mac = VirtualMac::address(instance.family, instance.vrid);
                macs.insert(name.as_str(), mac);
            }
        }
        self.sockets.retain(|key, socket| needed.contains(&(key.clone(), socket.index())));
        // All of them leave before the first one joins: the network hears only of a host's last leave and first join.
        for ((interface, ..), socket) in &mut self.sockets {
            socket.heed_link(self.links.is_running(interface));
        }
        for (key, index) in needed {
            if let Some(socket) = self.sockets.get_mut(&key) {
                socket.join();
                continue;
            }
            let (name, family, wire) = &key;
            let fits = |s: &AdvertSocket| s.index() == index && s.kind() == (*family, *wire);
            let inherited =
                self.inherited.iter().position(fits).map(|place| self.inherited.swap_remove(place));
            let passed_on = inherited.is_some();
            let socket =
                inherited.map_or_else(|| AdvertSocket::open(index, *family, *wire), Ok).and_then(|socket| {
                    match macs.get(name.as_str()) {
                        Some(mac) => socket.of_virtual_mac(*mac),
                        None => Ok(socket),
                    }
                });
            match socket {
                Ok(socket) => {
                    tracing::debug!(interface = name, %family, ?wire, index, passed_on, "listening for adverts");
                    self.sockets.insert(key, socket);
                }
                Err(error) => {
                    complete = false;
                    if self.may_complain(&format!("socket {name} {family}"), Instant::now()) {
                        tracing::error!(
                            interface = name, %family, %error,
                            "cannot open a VRRP socket; the director needs CAP_NET_RAW"
                        );
                    }
                }
            }
        }
        complete
    }

    /// Where adverts of an instance come from, or why it cannot send or hear them, or has no place for its VIPs.
    pub(super) fn source(&self, instance: &Instance, vips: &BTreeSet<IpAddr>) -> Result<IpAddr, LinkProblem> {
        let source = self.links.source(instance, vips)?;
        let name = instance.interface.as_str();
        let open = |wire: &Wire| self.sockets.contains_key(&(name.to_owned(), instance.family, *wire));
        if !wires(instance).iter().all(open) {
            return Err(LinkProblem::NoSocket);
        }
        match virtual_mac(instance) {
            Some(mac) if !self.virtual_macs.is_there(&self.links, mac.as_str()) => {
                Err(LinkProblem::NoVirtualMac)
            }
            _ => Ok(source),
        }
    }

    /// Carries out `outputs` in order. Routes and rules leave before the first VIP moves, and come after the last one:
    /// the kernel accepts no route whose source is an address that it does not have.
    pub(super) fn carry_out(&mut self, member: &mut Member, outputs: Vec<Output>) {
        let mut moves = outputs.iter().filter(|output| matches!(output, Output::Vips { .. })).count();
        let holds = member.group.holds();
        if moves > 0 && !holds {
            self.place_routes(member);
        }
        for output in outputs {
            match output {
                Output::Send { instance, destination, carrier, payload } => {
                    self.send(member, instance, destination, carrier, &payload);
                }
                Output::Vips { instance, place } => {
                    self.place(member, instance, place);
                    moves -= 1;
                    if moves == 0 && holds {
                        self.place_routes(member);
                    }
                    if moves == 0 {
                        let all = member.instances().iter().zip(member.group.instances());
                        for (instance, _) in all.filter(|(_, router)| router.place() == Place::Interface) {
                            let name = virtual_mac(instance).map_or("", IfName::as_str);
                            if self.virtual_macs.mode(name) == Mode::Mute {
                                self.switch_virtual_mac(instance, Mode::Up);
                            }
                        }
                    }
                }
                Output::Announce { instance } => self.announce(member, instance),
                Output::Transition { from, to, cause } => {
                    member.since = SystemTime::now();
                    let event = match to {
                        State::Master => Some("group-master"),
                        State::Backup => Some("group-backup"),
                        State::Fault => Some("group-fault"),
                        State::Init => None,
                    };
                    let priority = member.group.priority();
                    tracing::info!(
                        event, group = member.name(), %from, %to, %cause, priority,
                        "{from} -> {to}: {cause}"
                    );
                }
                Output::Event(event) => member.report(&event),
                Output::Stopped => member.stopped = true,
            }
        }
    }

    fn send(
        &mut self,
        member: &mut Member,
        instance: usize,
        destination: IpAddr,
        carrier: Carrier,
        payload: &[u8],
    ) {
        let config = &member.instances()[instance];
        let interface = config.interface.to_string();
        let source = member.source(instance);
        let send = |interface: &str| {
            let socket = self.sockets.get(&(interface.to_owned(), config.family, Wire::of(carrier)));
            match (socket, source) {
                (Some(socket), Some(source)) => socket.send(source, destination, carrier, payload),
                _ => Err(io::ErrorKind::NetworkDown.into()),
            }
        };
        // An advert from the interface below is better than none: without, another router takes over.
        let sent = match &config.virtual_mac {
            Some(mac)
                if !mac.transmit_from_base
                    && self.virtual_macs.speaks(&self.links, mac.interface.as_str()) =>
            {
                send(mac.interface.as_str()).or_else(|_| send(&interface))
            }
            _ => send(&interface),
        };
        if let Err(error) = sent {
            member.counters[instance].send_errors += 1;
            // Without carrier it is no wonder, and the machine is about to hear of it.
            let expected = !self.links.is_running(&interface);
            if !expected && self.may_complain(&format!("send {interface} {}", error.kind()), Instant::now()) {
                tracing::warn!(group = member.name(), interface, %error, "cannot send an advert");
            }
        }
    }

    /// Makes the kernel agree with where the machine wants an instance's VIPs.
    pub(super) fn place(&mut self, member: &mut Member, instance: usize, place: Place) {
        let owner = member.owner(instance);
        let config = &member.instances()[instance];
        let mode = virtual_mac(config).map(|name| self.virtual_macs.mode(name.as_str()));
        match (place, mode) {
            (Place::Interface, Some(Mode::Down)) | (Place::Lo, Some(Mode::Up)) => {
                self.switch_virtual_mac(config, Mode::Mute);
            }
            _ => {}
        }
        let config = &member.instances()[instance];
        let failures = self.vips.place(&mut self.requests, &self.links, &owner, config, place);
        member.counters[instance].address_errors += u64::try_from(failures.len()).unwrap_or(u64::MAX);
        self.complain_of(&failures);
        if place == Place::Nowhere {
            self.switch_virtual_mac(&member.instances()[instance], Mode::Down);
        }
        if place == Place::Interface {
            for spot in Spot::on_interface(&member.instances()[instance]) {
                let missing = self.links.by_name(&spot.interface).is_none();
                if missing && self.may_complain(&format!("missing {}", spot.interface), Instant::now()) {
                    let (interface, address) = (&spot.interface, spot.address);
                    tracing::error!(group = member.name(), interface, %address, "{interface} is missing; {address} waits for it");
                }
            }
        }
    }

    /// Has the interface with an instance's virtual MAC do what goes with the place of its VIPs.
    fn switch_virtual_mac(&mut self, instance: &Instance, mode: Mode) {
        let Some(name) = virtual_mac(instance) else { return };
        let Self { virtual_macs, requests, links, .. } = self;
        if let Some(news) = virtual_macs.switch(requests, links, name.as_str(), mode) {
            self.tell_virtual_mac(&news);
        }
        self.update_links();
    }

    /// Has an interface for each virtual MAC of `instances`. Returns the names of those that something else had
    /// touched, and whether another attempt is to be made.
    pub(super) fn update_virtual_macs<'a>(
        &mut self,
        instances: impl Iterator<Item = &'a Instance>,
    ) -> (Vec<String>, bool) {
        let Self { virtual_macs, requests, links, .. } = self;
        virtual_macs.want(links, instances);
        let (news, postponed) = virtual_macs.repair(requests, links, Instant::now());
        if !news.is_empty() {
            // The kernel tells nobody what was changed at a link that is down, such as its alias.
            self.update_links();
            self.read_links();
        }
        let restored = |news: &virtual_mac::News| match news {
            virtual_mac::News::Restored(name) => Some(name.clone()),
            _ => None,
        };
        let names = news.iter().filter_map(restored).collect();
        news.iter().for_each(|news| self.tell_virtual_mac(news));
        (names, postponed)
    }

    /// Removes the virtual MACs that none of `instances` needs.
    pub(super) fn keep_virtual_macs<'a>(&mut self, instances: impl Iterator<Item = &'a Instance>) {
        let needed = instances.filter_map(virtual_mac).map(ToString::to_string).collect();
        let Self { virtual_macs, requests, links, .. } = self;
        let news = virtual_macs.keep(requests, links, &needed);
        news.iter().for_each(|news| self.tell_virtual_mac(news));
        self.update_links();
    }

    fn tell_virtual_mac(&mut self, news: &virtual_mac::News) {
        match news {
            virtual_mac::News::Made(name) => tracing::info!(interface = name, "{name} is there"),
            virtual_mac::News::Restored(name) => {
                tracing::warn!(interface = name, "{name} was missing or changed; it is as it was again");
            }
            virtual_mac::News::Foreign(name) => {
                if self.may_complain(&format!("foreign {name}"), Instant::now()) {
                    tracing::error!(
                        interface = name,
                        "{name} is there already and is not ours; remove it, or choose another name for the virtual MAC"
                    );
                }
            }
            virtual_mac::News::Refused(name, refusal) => {
                if self.may_complain(&format!("virtual MAC {name}"), Instant::now()) {
                    tracing::error!(
                        interface = name, error = %refusal,
                        "cannot make or change {name}: {refusal}; the director needs CAP_NET_ADMIN and the kernel \
                         module macvlan"
                    );
                }
            }
        }
    }

    /// Makes the kernel agree with the routes and rules that the group has now.
    pub(super) fn place_routes(&mut self, member: &mut Member) {
        let (group, master) = (&member.group.config().group, member.group.holds());
        let news = self.routes.place(&mut self.requests, &self.links, group, master);
        self.tell_routes(member, news);
    }

    /// Gives up the routes and rules of groups that are no longer kept.
    pub(super) fn forget_routes(&mut self, keep: impl Fn(&str) -> bool) {
        let gone: Vec<String> = self.routes.groups().filter(|group| !keep(group)).cloned().collect();
        for group in gone {
            for news in self.routes.forget(&mut self.requests, &self.links, &group) {
                if let News::Refused(item, refusal) = news {
                    tracing::error!(group, error = %refusal, "cannot change the {item}: {refusal}");
                }
            }
        }
    }

    /// Logs and counts what became of routes and rules.
    pub(super) fn tell_routes(&mut self, member: &mut Member, news: Vec<News>) {
        member.missing_routes = self.routes.missing(member.name());
        for news in news {
            let group = member.name().to_owned();
            match news {
                News::Restored(item) => {
                    member.shared.routes_restored += 1;
                    tracing::warn!(event = "address-restored", group, "{item} was missing; put it back");
                }
                News::Foreign(item) => {
                    if self.may_complain(&format!("foreign {item}"), Instant::now()) {
                        tracing::error!(
                            group,
                            "{item} is not added: there is one like it that is not ours; remove that one, or give ours \
                             another metric, priority or table"
                        );
                    }
                }
                News::Waiting(item) => {
                    if self.may_complain(&format!("waiting {item}"), Instant::now()) {
                        tracing::error!(group, "{item} waits for its interface, which is missing");
                    }
                }
                News::Refused(item, refusal) => {
                    member.shared.route_errors += 1;
                    if self.may_complain(&format!("refused {item}"), Instant::now()) {
                        tracing::error!(group, error = %refusal, "cannot change the {item}: {refusal}");
                    }
                }
            }
        }
    }

    /// Announces an instance's VIPs on the interfaces they are on.
    fn announce(&mut self, member: &mut Member, instance: usize) {
        let pacing = member.instances()[instance].announce.pacing.get();
        let (now, owner) = (Instant::now(), member.owner(instance));
        for spot in Spot::on_interface(&member.instances()[instance]).collect::<Vec<_>>() {
            if pacing.is_zero() {
                self.announce_spot(member, instance, &spot);
            } else {
                self.pacer.push(now, &owner, spot, pacing);
            }
        }
    }

    pub(super) fn announce_spot(&mut self, member: &mut Member, instance: usize, spot: &Spot) {
        // Links other than Ethernet have no neighbours to tell.
        let Some(mac) = self.links.mac(&spot.interface) else { return };
        let Some(index) = self.links.by_name(&spot.interface).map(|link| link.index) else { return };
        let router = spot.address.is_ipv6() && forwards_ipv6(&spot.interface);
        if let Err(error) = self.announcer.announce(index, mac, spot.address, router) {
            member.counters[instance].announce_errors += 1;
            if self.may_complain(&format!("announce {}", spot.interface), Instant::now()) {
                let (interface, address) = (&spot.interface, spot.address);
                tracing::warn!(group = member.name(), interface, %address, %error, "cannot announce a VIP");
            }
        }
    }

    /// Puts right what something else did to VIPs.
    pub(super) fn repair(&mut self, now: Instant) -> Repair {
        let repair = self.vips.repair(&mut self.requests, &self.links, now);
        self.complain_of(&repair.failures);
        repair
    }

    pub(super) fn complain_of(&mut self, failures: &[Failure]) {
        for Failure { change, refusal } in failures {
            let what = if change.add { "add" } else { "remove" };
            let interface = self.links.name(change.index).to_owned();
            if self.may_complain(&format!("{what} {} {interface}", change.address), Instant::now()) {
                tracing::error!(
                    interface, address = %change.address, error = %refusal,
                    "cannot {what} {}/{}; the director needs CAP_NET_ADMIN, and the address family enabled on {}",
                    change.address, change.prefix, self.links.name(change.index)
                );
            }
        }
    }

    fn may_complain(&mut self, about: &str, now: Instant) -> bool {
        self.complaints.retain(|_, last| now.duration_since(*last) < COMPLAINT_INTERVAL);
        if self.complaints.contains_key(about) {
            return false;
        }
        self.complaints.insert(about.to_owned(), now);
        true
    }
}

/// Whether the host is an IPv6 router on the interface; its neighbour advertisements have to say so.
fn forwards_ipv6(interface: &str) -> bool {
    std::fs::read(format!("/proc/sys/net/ipv6/conf/{interface}/forwarding"))
        .is_ok_and(|text| text.first() != Some(&b'0'))
}
