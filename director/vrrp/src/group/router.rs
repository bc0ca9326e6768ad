//! One virtual router of a group: what it heard, what it sends, its timers.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use fairway_config::{Family, HmacMode, Instance, Shared};

use super::announcer::Announcer;
use super::others::{OtherRouter, Others};
use super::peers::Peers;
use crate::auth::{Carrier, Context, HeaderSeal, Seal, Secret, split_trailer};
use crate::counters::Counters;
use crate::output::{Event, LinkProblem, Place, Received};
use crate::packet::{Advert, Decoded, PacketError, authenticate, group_address};
use crate::timing::{DownTimer, Patience, master_down, skew};

/// What is known about the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// The driver has not told yet.
    Unknown,
    Down(LinkProblem),
    /// Up, with this source address.
    Up(IpAddr),
}

/// One virtual router of a group, as an observer sees it.
#[derive(Debug, Clone)]
pub struct VirtualRouter {
    pub(crate) config: Shared<Instance>,
    pub(crate) seal: Seal,
    /// The group's priority.
    pub(crate) priority: u8,
    pub(crate) link: Link,
    pub(crate) place: Place,
    pub(crate) peers: Peers,
    /// Runs until the first advert is accepted.
    pub(crate) listen: Option<DownTimer>,
    /// When the last advert was sent, and the interval in it.
    pub(crate) advertised: Option<(Instant, Duration)>,
    /// When the next advert is due, while sending.
    pub(crate) advert_due: Option<Instant>,
    /// When another master was last answered.
    pub(crate) answered: Option<Instant>,
    pub(crate) announcer: Announcer,
    pub(crate) counters: Counters,
    pub(crate) others: Others,
}

/// Why a packet is not for the election: what to report, if anything.
pub(crate) struct Dropped(pub(crate) Option<Event>);

impl VirtualRouter {
    pub(crate) fn new(config: Shared<Instance>, secret: Option<&Secret>) -> Self {
        let seal = Seal::new(&config, secret);
        Self {
            priority: config.priority.get(),
            config,
            seal,
            link: Link::Unknown,
            place: Place::Nowhere,
            peers: Peers::default(),
            listen: None,
            advertised: None,
            advert_due: None,
            answered: None,
            announcer: Announcer::default(),
            counters: Counters::default(),
            others: Others::default(),
        }
    }

    /// Name of the instance.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// The priority it is elected with: the lowest in its group, or 255 while forced to be master.
    pub fn priority(&self) -> u8 {
        self.priority
    }

    /// The advert interval in force: the master's if one is heard, our own otherwise.
    pub fn interval(&self) -> Duration {
        match (self.advert_due, self.peers.best()) {
            (None, Some(master)) => master.down.interval(),
            _ => self.own_interval(),
        }
    }

    /// The master's address: our own while we send adverts, `None` while no master is known.
    pub fn master(&self) -> Option<IpAddr> {
        match self.advert_due {
            Some(_) => self.source(),
            None => self.peers.best().map(|peer| peer.source),
        }
    }

    /// The master's priority: our own while we send adverts, `None` while no master is known.
    pub fn master_priority(&self) -> Option<u8> {
        match self.advert_due {
            Some(_) => self.source().map(|_| self.priority),
            None => self.peers.best().map(|peer| peer.priority),
        }
    }

    /// Where its VIPs belong.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Other routers that something is wrong with: what was last reported of them.
    pub fn other_routers(&self) -> impl Iterator<Item = &OtherRouter> {
        self.others.iter()
    }

    /// Its counters.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) fn source(&self) -> Option<IpAddr> {
        match self.link {
            Link::Up(source) => Some(source),
            Link::Unknown | Link::Down(_) => None,
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.source().is_some()
    }

    pub(crate) fn own_interval(&self) -> Duration {
        self.config.advert_interval.get()
    }

    /// Whether the other one speaks for the same virtual router on the wire.
    pub(crate) fn is_same(&self, other: &Instance) -> bool {
        let identity = |i: &Instance| (i.interface.clone(), i.family, i.vrid, i.version);
        identity(&self.config) == identity(other)
    }

    pub(crate) fn reconfigure(&mut self, config: Shared<Instance>, secret: Option<&Secret>) {
        let before = std::mem::replace(&mut self.seal, Seal::new(&config, secret));
        self.seal.follow(&before);
        self.config = config;
    }

    /// When `timer` ends for us.
    pub(crate) fn ends(&self, timer: &DownTimer) -> Instant {
        timer.until(self.patience(), self.priority)
    }

    pub(crate) fn skew(&self, interval: Duration) -> Duration {
        skew(self.config.version, self.priority, interval)
    }

    pub(crate) fn patience(&self) -> Patience {
        Patience::of(&self.config)
    }

    pub(crate) fn own_master_down(&self) -> Duration {
        master_down(self.patience(), self.priority, self.own_interval())
    }

    /// How long this router, or one like it, waits for a master of the interval in force.
    pub fn master_down(&self) -> Duration {
        master_down(self.patience(), self.priority, self.interval())
    }

    /// Whether an advert is so late that others have stopped waiting for it.
    pub(crate) fn is_overdue(&self, now: Instant) -> bool {
        let patience = self.own_master_down() - self.own_interval();
        self.advert_due.is_some_and(|due| due + patience <= now)
    }

    /// Listens anew, for a whole master-down interval.
    pub(crate) fn listen_from(&mut self, now: Instant) {
        self.listen = Some(DownTimer::new(now, self.own_interval()));
    }

    pub(crate) fn prune(&mut self, now: Instant) {
        self.peers.prune(now, self.patience(), self.priority);
    }

    /// The advert to send, to the multicast group or to each peer, counted as sent once; none without a source
    /// address.
    pub(crate) fn advert(
        &mut self,
        priority: u8,
        interval: Duration,
        clock: Duration,
    ) -> Vec<(IpAddr, Carrier, Vec<u8>)> {
        let Some(source) = self.source() else { return Vec::new() };
        let advert = Advert {
            version: self.config.version,
            vrid: self.config.vrid.get(),
            priority,
            interval,
            addresses: self.config.virtual_ips.iter().map(|vip| vip.address).collect(),
            authentication: self.seal.authentication(),
        };
        self.counters.adverts_sent += 1;
        self.counters.priority_zero_sent += u64::from(priority == 0);
        let group = [group_address(self.config.family)];
        let destinations = if self.is_unicast() { &self.config.unicast_peers[..] } else { &group };
        let context = self.context(source, clock);
        let number = match &mut self.seal {
            Seal::Message(_) => 0,
            Seal::Header(seal) => seal.next(clock).into(),
            Seal::Trailer(seal) => seal.next(clock),
        };
        let encode = |to: &IpAddr| {
            let mut message = advert.encode(source, *to, self.config.checksum);
            match (&self.seal, source, to) {
                (Seal::Header(seal), IpAddr::V4(source), IpAddr::V4(address)) => {
                    let number = u32::try_from(number).unwrap_or(u32::MAX);
                    let identification = HeaderSeal::identification(number);
                    let sealed = seal.seal(number, source, *address, &message);
                    return (*to, Carrier::Header { identification }, sealed);
                }
                (Seal::Trailer(seal), ..) if self.seal.appends() => {
                    let trailer = seal.seal(number, &context, &message);
                    Advert::append(&mut message, &trailer, source, *to);
                }
                _ => {}
            }
            (*to, Carrier::Vrrp, message)
        };
        destinations.iter().map(encode).collect()
    }

    /// Moves the advert timer on without drift; when more than an interval behind, it starts from now.
    pub(crate) fn schedule_next_advert(&mut self, now: Instant) {
        let interval = self.own_interval();
        self.advert_due =
            self.advert_due.map(|due| if due + interval > now { due + interval } else { now + interval });
    }

    /// Checks a packet against RFC 9568 section 7.1 and the configuration.
    pub(crate) fn accept(
        &mut self,
        instance: usize,
        packet: &Received<'_>,
        clock: Duration,
    ) -> Result<Decoded, Dropped> {
        let source = packet.source;
        if self.source() == Some(source) {
            self.counters.looped += 1;
            return Err(Dropped(None));
        }
        let (number, decoded) = self
            .decode(packet, clock)
            .inspect_err(|error| self.counters.drop_for(*error))
            .map_err(|error| Dropped(Some(Event::BadPacket { instance, source, error })))?;
        let advert = &decoded.advert;
        if advert.vrid != self.config.vrid.get() {
            self.counters.foreign_vrid += 1;
            return Err(Dropped(Some(Event::ForeignVrid { instance, source, vrid: advert.vrid })));
        }
        let fit = self.matches(advert);
        if let Err(error) = fit {
            self.counters.drop_for(error);
            return Err(Dropped(Some(Event::BadPacket { instance, source, error })));
        }
        let ours = self.own_interval();
        if advert.version == fairway_config::VrrpVersion::V2 && advert.interval != ours {
            self.counters.interval_mismatch += 1;
            let theirs = advert.interval;
            return Err(Dropped(Some(Event::IntervalMismatch { instance, source, theirs, ours })));
        }
        match &mut self.seal {
            Seal::Header(seal) => seal.heard(source, u32::try_from(number).unwrap_or(u32::MAX)),
            Seal::Trailer(seal) if number > 0 => seal.heard(source, number),
            Seal::Trailer(_) | Seal::Message(_) => {}
        }
        self.counters.adverts_received += 1;
        self.counters.priority_zero_received += u64::from(advert.priority == 0);
        self.counters.checksum_mismatch += u64::from(self.differs_in_checksum(&decoded));
        Ok(decoded)
    }

    /// The advert, and the number in its authentication header or trailer; 0 if it has none.
    fn decode(&self, packet: &Received<'_>, clock: Duration) -> Result<(u64, Decoded), PacketError> {
        if packet.ttl != 255 {
            return Err(PacketError::Ttl(packet.ttl));
        }
        if !self.is_for_us(packet.destination) || Family::of(packet.source) != self.config.family {
            return Err(PacketError::Destination(packet.destination));
        }
        if self.is_unicast() && !self.config.unicast_peers.contains(&packet.source) {
            return Err(PacketError::Source);
        }
        let (source, destination) = (packet.source, packet.destination);
        match (&self.seal, packet.carrier) {
            (Seal::Header(seal), Carrier::Header { identification }) => {
                let (number, message) = seal.open(identification, (source, destination), packet.payload)?;
                Ok((number.into(), Advert::decode(message, source, destination)?))
            }
            (Seal::Header(_), Carrier::Vrrp) => Err(PacketError::Unsealed),
            (_, Carrier::Header { .. }) => Err(PacketError::UnexpectedHeader),
            (Seal::Message(_), Carrier::Vrrp) => {
                Ok((0, Advert::decode(packet.payload, source, destination)?))
            }
            (Seal::Trailer(seal), Carrier::Vrrp) => {
                let Some((message, trailer)) = split_trailer(packet.payload, source) else {
                    let decoded = Advert::decode(packet.payload, source, destination)?;
                    let accepted = seal.mode() != HmacMode::Enforce;
                    return if accepted { Ok((0, decoded)) } else { Err(PacketError::Unsealed) };
                };
                let decoded = Advert::decode_before(message, trailer, source, destination)?;
                let number = seal.open(&self.context(source, clock), message, trailer)?;
                Ok((number, decoded))
            }
        }
    }

    fn context(&self, source: IpAddr, clock: Duration) -> Context {
        Context { source, version: self.config.version, vrid: self.config.vrid.get(), clock }
    }

    fn is_unicast(&self) -> bool {
        !self.config.unicast_peers.is_empty()
    }

    /// Whether adverts for us go to this address: the multicast group, or with unicast our own.
    fn is_for_us(&self, destination: IpAddr) -> bool {
        if self.is_unicast() {
            self.source() == Some(destination)
        } else {
            destination == group_address(self.config.family)
        }
    }

    fn matches(&self, advert: &Advert) -> Result<(), PacketError> {
        if advert.version != self.config.version {
            let version = i64::from(advert.version);
            return Err(PacketError::Version(u8::try_from(version).unwrap_or_default()));
        }
        authenticate(self.seal.authentication(), advert.authentication)
    }

    pub(crate) fn differs_in_checksum(&self, decoded: &Decoded) -> bool {
        self.config.family == Family::Ipv4
            && self.config.version == fairway_config::VrrpVersion::V3
            && decoded.checksum != self.config.checksum
    }

    /// The difference between the advertised addresses and ours; the order does not matter.
    pub(crate) fn vip_mismatch(&self, instance: usize, source: IpAddr, advert: &Advert) -> Option<Event> {
        let ours = || self.config.virtual_ips.iter().map(|vip| vip.address);
        if ours().eq(advert.addresses.iter().copied()) {
            return None;
        }
        let unknown: Vec<_> =
            advert.addresses.iter().copied().filter(|theirs| !ours().any(|vip| vip == *theirs)).collect();
        let missing: Vec<_> = ours().filter(|vip| !advert.addresses.contains(vip)).collect();
        (!unknown.is_empty() || !missing.is_empty()).then_some(Event::VipMismatch {
            instance,
            source,
            unknown,
            missing,
        })
    }
}
