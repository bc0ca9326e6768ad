//! A failover group in the thread's care: the machine, and what the thread knows around it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime};

use fairway_config::{Instance, Shared, Tracker, VirtualMac, VrrpVersion};
use fairway_vrrp::{
    Event, Group, GroupConfig, Input, LinkProblem, OtherRouter, Output, Verdict, VirtualRouter,
};

use super::addresses::Owner;
use super::passing::{self, SavedMember};
use crate::status::{GroupStatus, InstanceStatus, OtherRouterStatus, Refused, Statistics, TrackerStatus};

macro_rules! io_counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What the thread counts for an instance, beside the machine's own counters.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub(super) struct IoCounters {
            $($(#[$doc])* pub(super) $name: u64,)*
        }

        impl IoCounters {
            fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }

            /// Goes on counting from what another process had; a name that is not known is of another release.
            fn set(&mut self, name: &str, value: u64) {
                match name {
                    $(stringify!($name) => self.$name = value,)*
                    _ => {}
                }
            }
        }
    };
}

io_counters! {
    /// Adverts the kernel did not take.
    send_errors,
    /// Neighbour announcements the kernel did not take.
    announce_errors,
    /// Address changes the kernel refused.
    address_errors,
    /// VIPs put back after something else had removed them.
    vips_restored,
    /// VIPs removed from where they do not belong.
    vips_removed,
    /// Times the interface with the virtual MAC was made again, or changed back, after something else had touched it.
    virtual_macs_restored,
    /// Dropped: the IP header makes no sense. Counted for the first instance on the socket.
    bad_ip_header,
    /// Routes and rules put back after something else had deleted them. Counted for the group as a whole.
    routes_restored,
    /// Changes of routes and rules that the kernel refused. Counted for the group as a whole.
    route_errors,
    /// Times the loop was away longer than the master-down interval.
    stalls,
}

/// A group and its surroundings.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) group: Group,
    /// Time of the last transition.
    pub(super) since: SystemTime,
    /// What the machine was last told of each instance's link: the source address, or why there is none. `None` is
    /// "never told".
    pub(super) sources: Vec<Option<Result<IpAddr, LinkProblem>>>,
    /// The thread's counters for each instance.
    pub(super) counters: Vec<IoCounters>,
    /// The counters of what is the group's and no instance's.
    pub(super) shared: IoCounters,
    /// Routes and rules that it is to have now and has not.
    pub(super) missing_routes: Vec<String>,
    /// The machine has stopped and holds nothing any more.
    pub(super) stopped: bool,
}

impl Member {
    pub(super) fn new(config: GroupConfig) -> Self {
        let count = config.group.instances.len();
        Self {
            group: Group::new(config),
            since: SystemTime::now(),
            sources: vec![None; count],
            counters: vec![IoCounters::default(); count],
            shared: IoCounters::default(),
            missing_routes: Vec::new(),
            stopped: false,
        }
    }

    pub(super) fn name(&self) -> &str {
        self.group.name()
    }

    /// The instances as configured.
    pub(super) fn instances(&self) -> &[Shared<Instance>] {
        &self.group.config().group.instances
    }

    /// Whether the virtual IPs can leave this host at an order: not as long as they are its own addresses.
    pub(super) fn can_let_go(&self) -> Result<(), Refused> {
        if self.instances().iter().any(|instance| instance.is_owner()) {
            return Err(Refused(format!(
                "this host is the owner of the addresses of group {} (priority 255): they are on it whoever is master; \
                 take its interface down, or stop the host",
                self.name()
            )));
        }
        Ok(())
    }

    /// The name of an instance together with that of the group.
    pub(super) fn owner(&self, instance: usize) -> Owner {
        (self.name().to_owned(), self.instances()[instance].name.clone())
    }

    /// The source address in force for an instance.
    pub(super) fn source(&self, instance: usize) -> Option<IpAddr> {
        self.sources.get(instance).copied().flatten()?.ok()
    }

    /// Tells the machine where adverts of an instance come from, or why they cannot, if it was told something else
    /// last. Says in the log what that means.
    pub(super) fn tell_source(
        &mut self,
        now: Instant,
        instance: usize,
        source: Result<IpAddr, LinkProblem>,
        carry_out: impl FnOnce(&mut Self, Vec<Output>),
    ) {
        let before = self.sources[instance].replace(source);
        if before == Some(source) {
            return;
        }
        let config = &self.instances()[instance];
        let (group, interface) = (self.name(), &config.interface);
        match source {
            Ok(source) => tracing::info!(
                group, instance = config.name, %interface, %source,
                "{interface} is ready, adverts come from {source}"
            ),
            Err(problem) => {
                let problem = problem.on(interface.as_str());
                if let Some(Err(_)) = before {
                    tracing::info!(group, instance = config.name, %interface, "still waiting: {problem}");
                } else {
                    tracing::warn!(group, instance = config.name, %interface, "{problem}; waiting for it");
                }
            }
        }
        if source.is_err() {
            // A goodbye leaves from the address that there was.
            self.sources[instance] = before;
        }
        let outputs = self.group.handle(now, Input::Link { instance, source });
        carry_out(self, outputs);
        self.sources[instance] = Some(source);
    }

    /// Logs what the machine has seen, and so tells of it.
    pub(super) fn report(&self, event: &Event) {
        let group = self.name();
        if let Event::Stalled = event {
            tracing::error!(event = "vrrp-warning", group, "{event}");
            return;
        }
        let instance = event.instance().and_then(|place| self.instances().get(place));
        let instance = instance.map(|instance| instance.name.as_str());
        let source = event.source().map(|source| source.to_string());
        tracing::warn!(event = "vrrp-warning", group, instance, source, "{event}");
    }

    /// Keeps counters and sources of the instances that go on, after the configuration changed from `before`.
    pub(super) fn renumber(&mut self, before: &[Shared<Instance>]) {
        let now = self.instances();
        let mut sources = vec![None; now.len()];
        let mut counters = vec![IoCounters::default(); now.len()];
        for (place, instance) in now.iter().enumerate() {
            if let Some(old) = before.iter().position(|old| old.name == instance.name) {
                counters[place] = self.counters[old];
                if before[old].interface == instance.interface && before[old].family == instance.family {
                    sources[place] = self.sources[old];
                }
            }
        }
        (self.sources, self.counters) = (sources, counters);
    }

    /// The shortest time after which another router takes over from us when it hears nothing.
    pub(super) fn master_down(&self) -> Duration {
        self.group.instances().iter().map(VirtualRouter::master_down).min().unwrap_or_default()
    }

    /// Whether the loop comes so late that others may have taken over in the meantime.
    pub(super) fn is_stalled(&self, now: Instant) -> bool {
        let due = self.group.next_deadline();
        due.is_some_and(|due| now.saturating_duration_since(due) > self.master_down())
    }

    /// What the next process needs; `None` while there is nothing to go on with.
    pub(super) fn save(&self, now: Instant) -> Option<SavedMember> {
        let counters = |counters: &IoCounters| {
            counters.iter().map(|(name, value)| (name.to_owned(), value)).collect::<BTreeMap<_, _>>()
        };
        let of = |(instance, io): (&Shared<Instance>, &IoCounters)| (instance.name.clone(), counters(io));
        Some(SavedMember {
            since: passing::since_epoch(self.since),
            machine: self.group.save(now)?,
            counters: self.instances().iter().zip(&self.counters).map(of).collect(),
            shared: counters(&self.shared),
        })
    }

    /// Goes on with what another process saved `age` ago; `None`, and nothing is changed, if it was about other
    /// virtual routers.
    pub(super) fn adopt(&mut self, now: Instant, saved: &SavedMember, age: Duration) -> Option<Vec<Output>> {
        let outputs = self.group.adopt(now, &saved.machine, age)?;
        self.since = passing::time_of_day(saved.since);
        for instance in 0..self.instances().len() {
            let counters = saved.counters.get(&self.instances()[instance].name);
            for (name, value) in counters.into_iter().flatten() {
                self.counters[instance].set(name, *value);
            }
        }
        for (name, value) in &saved.shared {
            self.shared.set(name, *value);
        }
        Some(outputs)
    }

    /// What an operator sees.
    pub(super) fn status(&self) -> GroupStatus {
        let state = self.group.state().as_str();
        let status = |(router, instance): (&VirtualRouter, &Shared<Instance>)| InstanceStatus {
            name: router.name().to_owned(),
            state,
            interface: instance.interface.to_string(),
            family: match instance.family {
                fairway_config::Family::Ipv4 => "ipv4",
                fairway_config::Family::Ipv6 => "ipv6",
            },
            vrid: instance.vrid.get(),
            version: match instance.version {
                VrrpVersion::V2 => 2,
                VrrpVersion::V3 => 3,
            },
            priority: router.priority(),
            base_priority: self.group.base_priority(),
            advert_interval_ms: millis(router.interval()),
            master: router.master(),
            master_priority: router.master_priority(),
            place: router.place().as_str(),
            virtual_ips: instance.virtual_ips.iter().map(|vip| vip.address).collect(),
            excluded_ips: instance.excluded_ips.iter().map(|vip| vip.address).collect(),
            virtual_mac: instance.virtual_mac.as_ref().map(|mac| {
                let [a, b, c, d, e, f] = VirtualMac::address(instance.family, instance.vrid);
                let address = format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
                (mac.interface.to_string(), address)
            }),
            other_routers: router.other_routers().map(other_router).collect(),
        };
        let mut instances: Vec<_> = self.group.instances().iter().zip(self.instances()).map(status).collect();
        instances.sort_by(|a, b| a.name.cmp(&b.name));
        GroupStatus {
            state,
            cause: self.group.cause().to_string(),
            since: self.since,
            forced: self.group.forced().as_str(),
            routes: self.routes(),
            missing_routes: self.missing_routes.clone(),
            instances,
            trackers: self.trackers().map(|(name, status)| (name.to_owned(), status)).collect(),
        }
    }

    /// The routes and rules that move with the group, as text.
    fn routes(&self) -> Vec<String> {
        let group = &self.group.config().group;
        let routes = group.routes.iter().map(|route| format!("route {route}"));
        routes.chain(group.rules.iter().map(|rule| format!("rule {rule}"))).collect()
    }

    /// Whether `status` still tells what an operator sees. A configuration that changed is not looked at.
    pub(super) fn is(&self, status: &GroupStatus) -> bool {
        let same = |router: &VirtualRouter| {
            status.instance(router.name()).is_some_and(|known| {
                known.priority == router.priority()
                    && known.advert_interval_ms == millis(router.interval())
                    && known.master == router.master()
                    && known.master_priority == router.master_priority()
                    && known.place == router.place().as_str()
                    && known
                        .other_routers
                        .iter()
                        .map(|other| (other.source, &other.what, other.count))
                        .eq(router.other_routers().map(|other| (other.source, &other.what, other.count)))
            })
        };
        self.since == status.since
            && self.group.state().as_str() == status.state
            && self.group.forced().as_str() == status.forced
            && self.group.cause().to_string() == status.cause
            && self.missing_routes == status.missing_routes
            && self.group.instances().iter().all(same)
            && self.group.trackers().all(|(name, tracker, verdict, detail)| {
                let (state, weight) = shown(tracker, verdict);
                status.trackers.get(name).is_some_and(|known| {
                    (known.state, known.weight) == (state, weight) && known.detail == detail
                })
            })
    }

    fn trackers(&self) -> impl Iterator<Item = (&str, TrackerStatus)> {
        self.group.trackers().map(|(name, tracker, verdict, detail)| {
            let (state, weight) = shown(tracker, verdict);
            let kind = tracker.kind().map_or("", |kind| kind.name());
            let kind = if tracker.is_number() { "number" } else { kind };
            (name, TrackerStatus { kind, state, weight, detail: detail.to_owned() })
        })
    }

    /// The counters of one instance, or the sums over all; `None` if there is no such instance.
    pub(super) fn statistics(&self, instance: Option<&str>) -> Option<Statistics> {
        let mut sums = Statistics::new();
        let mut found = instance.is_none();
        for (router, io) in self.group.instances().iter().zip(&self.counters) {
            if instance.is_none_or(|name| name == router.name()) {
                found = true;
                for (name, value) in router.counters().iter().chain(io.iter()) {
                    *sums.entry(name.to_owned()).or_default() += value;
                }
            }
        }
        if instance.is_none() {
            for (name, value) in self.shared.iter() {
                *sums.entry(name.to_owned()).or_default() += value;
            }
        }
        found.then_some(sums)
    }
}

/// The state of a tracker, and its weight or the number it adds.
fn shown(tracker: &Tracker, verdict: Option<Verdict>) -> (&'static str, i16) {
    let (state, number) = match verdict {
        None => ("waiting", 0),
        Some(Verdict::Passing) => ("passing", 0),
        Some(Verdict::Failing | Verdict::Number(..=-254)) => ("failing", 0),
        Some(Verdict::Number(number)) => ("passing", number),
    };
    (state, tracker.weight.unwrap_or(number))
}

fn other_router(other: &OtherRouter) -> OtherRouterStatus {
    let OtherRouter { source, what, count, at } = other.clone();
    OtherRouterStatus { source, what, count, at: SystemTime::now() - at.elapsed() }
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "tests/member.rs"]
mod tests;
