//! One group on a test bench with its own clock.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use fairway_config::{
    Announce, Checksum, FailoverGroup, Family, IfName, Instance, Period, Preempt, Priority, VirtualIp, Vrid,
    VrrpVersion,
};
use fairway_vrrp::{
    Advert, Authentication, Carrier, Force, Group, GroupConfig, Input, LinkProblem, Output, Place, Received,
    Saved, State, group_address,
};

/// The advert interval unless a test says otherwise.
pub const INTERVAL: Duration = ms(100);

pub const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Where time begins. An `Instant` has no other constructor.
#[expect(clippy::disallowed_methods, reason = "an origin, never compared with the real clock")]
pub fn origin() -> Instant {
    Instant::now()
}

/// Skew time by the RFC's own formula, v3, for [`INTERVAL`].
pub fn skew(priority: u32) -> Duration {
    INTERVAL * (256 - priority) / 256
}

/// Master-down interval by the RFC's own formula, v3, for [`INTERVAL`].
pub fn down(priority: u32) -> Duration {
    3 * INTERVAL + skew(priority)
}

/// Address of a router on a network.
pub fn address(network: usize, router: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, u8::try_from(network).unwrap(), 0, router))
}

/// What the driver tells of a link.
pub fn link(up: bool, source: IpAddr) -> Result<IpAddr, LinkProblem> {
    if up { Ok(source) } else { Err(LinkProblem::NoCarrier) }
}

/// The VIP of an instance.
pub fn vip(network: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, u8::try_from(network).unwrap(), 0, 254))
}

/// A v3 instance on network `network`.
pub fn instance(network: usize, priority: u8) -> Instance {
    Instance {
        name: format!("net{network}"),
        interface: IfName::try_from(format!("eth{network}")).unwrap(),
        family: Family::Ipv4,
        vrid: Vrid::new(51).unwrap(),
        version: VrrpVersion::V3,
        priority: Priority::new(priority).unwrap(),
        advert_interval: Period(INTERVAL),
        down_timer_adverts: 3,
        checksum: Checksum::Rfc9568,
        source: None,
        unicast_peers: Vec::new(),
        auth: None,
        announce: Announce::default(),
        virtual_mac: None,
        virtual_ips: vec![VirtualIp { address: vip(network), prefix: None, interface: None }],
        excluded_ips: Vec::new(),
    }
}

/// A group with an instance on each of `networks` networks.
pub fn config(networks: usize, priority: u8, preempt: Preempt) -> GroupConfig {
    let instances = (0..networks).map(|network| instance(network, priority).into()).collect();
    GroupConfig {
        group: FailoverGroup {
            name: "edge".to_owned(),
            preempt,
            start_delay: Period::default(),
            routes: Vec::new(),
            rules: Vec::new(),
            instances,
            track: BTreeMap::new(),
        },
        secrets: BTreeMap::new(),
    }
}

/// An output in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Did {
    /// Instance and priority.
    Advert(usize, u8),
    Vips(usize, Place),
    Announce(usize),
    To(State),
    Event,
    Stopped,
}

/// A group, the time since the test began, and what it did.
pub struct Rig {
    pub group: Group,
    origin: Instant,
    pub now: Duration,
    /// Our router's number, the last byte of its addresses.
    router: u8,
    pub outputs: Vec<Output>,
}

impl Rig {
    /// Not started; no link is known.
    pub fn new(config: GroupConfig) -> Self {
        Self {
            group: Group::new(config),
            origin: origin(),
            now: Duration::ZERO,
            router: 10,
            outputs: Vec::new(),
        }
    }

    /// With all links up, and started.
    pub fn started(config: GroupConfig) -> Self {
        let mut rig = Self::new(config);
        rig.links_up();
        rig.input(Input::Start { holding: false });
        rig
    }

    /// One instance, started, backup.
    pub fn backup(priority: u8, preempt: Preempt) -> Self {
        let rig = Self::started(config(1, priority, preempt));
        assert_eq!(rig.group.state(), State::Backup);
        rig
    }

    /// One instance that has just become master.
    pub fn master(priority: u8, preempt: Preempt) -> Self {
        let mut rig = Self::backup(priority, preempt);
        rig.advance(down(priority.into()));
        assert_eq!(rig.group.state(), State::Master);
        rig
    }

    /// What another process is left.
    pub fn save(&self) -> Option<Saved> {
        self.group.save(self.origin + self.now)
    }

    /// Whether this one goes on with what was saved `age` ago.
    pub fn adopt(&mut self, saved: &Saved, age: Duration) -> bool {
        let outputs = self.group.adopt(self.origin + self.now, saved, age);
        self.outputs = outputs.clone().unwrap_or_default();
        outputs.is_some()
    }

    /// The process that goes on `pause` later, with the links as they were.
    pub fn successor(&self, saved: &Saved, pause: Duration, config: GroupConfig) -> Self {
        let mut rig = Self {
            group: Group::new(config),
            origin: self.origin,
            now: self.now + pause,
            router: self.router,
            outputs: Vec::new(),
        };
        assert!(rig.adopt(saved, pause), "{saved:?}");
        rig
    }

    pub fn links_up(&mut self) {
        for instance in 0..self.group.instances().len() {
            self.link(instance, true);
        }
    }

    pub fn link(&mut self, instance: usize, up: bool) -> Vec<Did> {
        let source = link(up, address(instance, self.router));
        self.input(Input::Link { instance, source })
    }

    pub fn input(&mut self, input: Input<'_>) -> Vec<Did> {
        self.outputs = self.group.handle(self.origin + self.now, input);
        self.outputs.iter().map(did).collect()
    }

    /// An advert of router `router` with our own settings.
    pub fn hear(&mut self, instance: usize, router: u8, priority: u8) -> Vec<Did> {
        let interval = self.group.config().group.instances[instance].advert_interval.get();
        self.hear_every(instance, router, priority, interval)
    }

    /// An advert of router `router` with its own interval.
    pub fn hear_every(&mut self, instance: usize, router: u8, priority: u8, interval: Duration) -> Vec<Did> {
        let ours = self.group.config().group.instances[instance].clone();
        let advert = Advert {
            version: ours.version,
            vrid: ours.vrid.get(),
            priority,
            interval,
            addresses: ours.virtual_ips.iter().map(|vip| vip.address).collect(),
            authentication: Authentication::None,
        };
        self.hear_advert(instance, router, &advert, ours.checksum)
    }

    pub fn hear_advert(&mut self, instance: usize, router: u8, advert: &Advert, form: Checksum) -> Vec<Did> {
        let source = address(instance, router);
        let destination = group_address(Family::Ipv4);
        let payload = advert.encode(source, destination, form);
        self.receive(
            instance,
            Received { source, destination, ttl: 255, carrier: Carrier::Vrrp, payload: &payload },
        )
    }

    pub fn receive(&mut self, instance: usize, packet: Received<'_>) -> Vec<Did> {
        self.input(Input::Packet { instance, packet })
    }

    /// Time until the next timer.
    pub fn next(&self) -> Option<Duration> {
        let deadline = self.group.next_deadline()?;
        Some(deadline.saturating_duration_since(self.origin + self.now))
    }

    /// Lets time pass with every timer served exactly when due. What was done, and when.
    pub fn advance(&mut self, by: Duration) -> Vec<(Duration, Did)> {
        let end = self.now + by;
        let mut all = Vec::new();
        let mut all_outputs = Vec::new();
        let mut turns = 0;
        while let Some(next) = self.next()
            && self.now + next <= end
        {
            turns = if next.is_zero() { turns + 1 } else { 0 };
            assert!(turns < 8, "a timer that is due again at once, forever");
            self.now += next;
            all.extend(self.input(Input::Timer).into_iter().map(|did| (self.now, did)));
            all_outputs.append(&mut self.outputs);
        }
        self.now = end;
        self.outputs = all_outputs;
        all
    }

    /// Lets time pass without serving any timer.
    pub fn sleep(&mut self, by: Duration) {
        self.now += by;
    }

    pub fn force(&mut self, force: Force) -> Vec<Did> {
        self.input(Input::Force(force))
    }
}

pub fn did(output: &Output) -> Did {
    match output {
        Output::Send { instance, payload, .. } => Did::Advert(*instance, payload[2]),
        Output::Vips { instance, place } => Did::Vips(*instance, *place),
        Output::Announce { instance } => Did::Announce(*instance),
        Output::Transition { to, .. } => Did::To(*to),
        Output::Event(_) => Did::Event,
        Output::Stopped => Did::Stopped,
    }
}

/// Only the adverts, with their times.
pub fn adverts(all: &[(Duration, Did)]) -> Vec<(Duration, u8)> {
    all.iter()
        .filter_map(|(at, did)| match did {
            Did::Advert(_, priority) => Some((*at, *priority)),
            _ => None,
        })
        .collect()
}

/// When an output happened first.
pub fn when(all: &[(Duration, Did)], what: Did) -> Option<Duration> {
    all.iter().find(|(_, did)| *did == what).map(|(at, _)| *at)
}
