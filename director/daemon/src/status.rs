//! What the parts of the daemon tell each other: status flows out through `watch` channels (the latest value
//! wins), requests flow in through the handles below.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot};

use crate::descriptors::Named;

pub use crate::services::{Order, Override};

/// What the VRRP thread publishes: one entry per failover group, by name. Shared, since several parts keep the latest.
pub type VrrpStatus = BTreeMap<String, Arc<GroupStatus>>;

/// A failover group as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupStatus {
    /// `init`, `backup`, `master` or `fault`.
    pub state: &'static str,
    /// Why the last transition happened.
    pub cause: String,
    /// When it happened.
    pub since: SystemTime,
    /// The operator's standing order: `auto`, `master` or `backup`.
    pub forced: &'static str,
    /// The routes and rules that move with it.
    pub routes: Vec<String>,
    /// Those of them that it is to have now and has not.
    pub missing_routes: Vec<String>,
    /// In the order of their names. No map, which would keep room for eleven: most groups have one or two.
    pub instances: Vec<InstanceStatus>,
    /// What it depends on, by name.
    pub trackers: BTreeMap<String, TrackerStatus>,
}

impl GroupStatus {
    /// One of the instances.
    pub fn instance(&self, name: &str) -> Option<&InstanceStatus> {
        let place = self.instances.binary_search_by(|instance| instance.name.as_str().cmp(name)).ok()?;
        Some(&self.instances[place])
    }
}

/// A tracker as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackerStatus {
    /// What kind of thing is watched, such as `process`; `number` for a file that holds one.
    pub kind: &'static str,
    /// `passing`, `failing`, or `waiting` for the first result.
    pub state: &'static str,
    /// What is added to the priority while it fails, or, of a file that holds a number, now; 0: it is a fault.
    pub weight: i16,
    /// What was seen.
    pub detail: String,
}

/// A VRRP instance as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceStatus {
    /// Its name.
    pub name: String,
    /// `init`, `backup`, `master` or `fault`.
    pub state: &'static str,
    /// Interface name.
    pub interface: String,
    /// `ipv4` or `ipv6`.
    pub family: &'static str,
    /// Virtual router identifier.
    pub vrid: u8,
    /// Protocol version, 2 or 3.
    pub version: u8,
    /// Own priority in force.
    pub priority: u8,
    /// The one that is configured for the group, before trackers and orders.
    pub base_priority: u8,
    /// Advert interval in force, in milliseconds.
    pub advert_interval_ms: u64,
    /// Address of the master heard last, or our own while master.
    pub master: Option<IpAddr>,
    /// Its priority.
    pub master_priority: Option<u8>,
    /// Where its addresses are now: on the `interface`, parked on `lo`, or `nowhere`.
    pub place: &'static str,
    /// The virtual IPs that its adverts list.
    pub virtual_ips: Vec<IpAddr>,
    /// The virtual IPs that move with them unadvertised.
    pub excluded_ips: Vec<IpAddr>,
    /// The interface with the virtual MAC address, and that address.
    pub virtual_mac: Option<(String, String)>,
    /// Other routers on the network that something is wrong with.
    pub other_routers: Vec<OtherRouterStatus>,
}

/// What was last reported about another router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherRouterStatus {
    /// Its address.
    pub source: IpAddr,
    /// What is wrong.
    pub what: String,
    /// How often it had been seen by then.
    pub count: u64,
    /// When that was.
    pub at: SystemTime,
}

/// What the services task publishes: one entry per virtual service, by name.
pub type ServicesStatus = BTreeMap<String, ServiceStatus>;

/// A virtual service as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceStatus {
    /// The VIP; none for a service of marked packets.
    pub address: Option<IpAddr>,
    /// The port.
    pub port: u16,
    /// `tcp`, `udp` or `sctp`; empty for a service of marked packets.
    pub protocol: &'static str,
    /// Scheduler name.
    pub scheduler: &'static str,
    /// The last error the kernel gave for this service, until it is programmed.
    pub kernel_error: Option<String>,
    /// Whether enough servers are up: `up`, `down`, or `unknown` while that depends on first verdicts.
    pub quorum: &'static str,
    /// Whether the sorry server serves.
    pub sorry: bool,
    /// Real servers by name.
    pub real_servers: BTreeMap<String, RealServerStatus>,
}

impl ServiceStatus {
    /// The VIP as text; empty for a service of marked packets.
    pub fn address_text(&self) -> String {
        self.address.map(|address| address.to_string()).unwrap_or_default()
    }
}

/// A real server of one virtual service as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RealServerStatus {
    /// The RIP.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// `direct`, `nat` or `tunnel`.
    pub forward: &'static str,
    /// Weight as configured.
    pub weight: u32,
    /// Weight in the kernel; `None` while the server is not in the table.
    pub effective_weight: Option<u32>,
    /// `unknown` (no verdict yet), `up` or `down`.
    pub health: &'static str,
    /// What the last probe saw, for people; empty before the first one.
    pub detail: String,
    /// The operator's order about it.
    pub order: Option<OrderStatus>,
}

impl RealServerStatus {
    /// Whether it gets no new connections because the operator wants it so.
    pub fn drained(&self) -> bool {
        self.order.as_ref().is_some_and(|order| order.words == "drain")
    }
}

/// An order of the operator's about a real server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderStatus {
    /// `drain`, `disable` or `weight N`.
    pub words: String,
    /// A drain that has come to its end: the server is out of the table.
    pub done: bool,
    /// When it ends by itself.
    pub until: Option<SystemTime>,
    /// When a drain takes the server out of the table, connections or not.
    pub deadline: Option<SystemTime>,
}

/// What a check that was run once has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Name of the check.
    pub check: String,
    /// `pass`, `fail`, or `inconclusive` where this director could not ask.
    pub outcome: &'static str,
    /// What it saw.
    pub detail: String,
    /// How long that took.
    pub took: Duration,
}

/// Named counters, as `GetStatistics` returns them.
pub type Statistics = BTreeMap<String, u64>;

/// The counters that docs/reference/counters.md has below a heading: tests hold the page to the code.
#[cfg(test)]
pub fn documented(heading: &str) -> std::collections::BTreeSet<String> {
    const PAGE: &str = include_str!("../../../docs/reference/counters.md");
    let section = PAGE.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let first = section.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    first.flat_map(|names| names.split(", ").map(|name| name.trim_matches('`').to_owned())).collect()
}

/// The operator's standing order for a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// Follow the election.
    Auto,
    /// Be master whatever is heard.
    Master,
    /// Stay backup.
    Backup,
}

/// A request that could not be carried out; the text says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// Where the answer to a request goes.
pub type Reply<T> = oneshot::Sender<Result<T, Refused>>;

/// Requests to the VRRP thread.
#[derive(Debug)]
pub enum VrrpCommand {
    /// Set the standing order of a group.
    Force { group: String, force: Force, reply: Reply<()> },
    /// Hand mastership to the best backup, once.
    Failover { group: String, reply: Reply<()> },
    /// A tracker has a result. `of` is its definition: the result of another one is not taken for it.
    Track {
        group: String,
        tracker: String,
        of: Box<fairway_config::Tracker>,
        verdict: fairway_vrrp::Verdict,
        detail: String,
    },
    /// Counters of a group, or of one of its instances.
    Statistics { group: String, instance: Option<String>, reply: Reply<Statistics> },
    /// Take over a new configuration. Timers of what did not change keep running.
    Reconfigure { groups: Vec<fairway_config::FailoverGroup>, reply: Reply<()> },
    /// Stop gracefully: hand over, park and release the VIPs, then answer.
    Stop { reply: Reply<()> },
    /// Let another process go on from here: answers with what it needs, and nothing is done any more.
    PassOn { reply: Reply<Vec<Named>> },
}

/// Requests to the services task.
#[derive(Debug)]
pub enum ServicesCommand {
    /// Give an order about a server, in place of an earlier one.
    Order { service: String, server: String, order: Override, reply: Reply<()> },
    /// Take back the order about a server.
    Resume { service: String, server: String, reply: Reply<()> },
    /// Run a check of a server once, or all of them.
    Probe { service: String, server: String, check: String, reply: Reply<Vec<Seen>> },
    /// The digests of what an HTTP check gets.
    Digest { service: String, server: String, check: String, reply: Reply<Vec<String>> },
    /// Set the kernel's counters of a service, or of all our services, to zero.
    Zero { service: Option<String>, reply: Reply<()> },
    /// Kernel counters of a service, or of one of its real servers.
    Statistics { service: String, server: Option<String>, reply: Reply<Statistics> },
    /// Take over a new configuration. Health of what did not change is kept.
    Reconfigure { config: Arc<fairway_config::Config>, reply: Reply<()> },
    /// Delete owned services from the kernel (unless `keep-on-stop`), then answer.
    Stop { reply: Reply<()> },
    /// Answer with what another process needs to know of servers to go on from here.
    PassOn { reply: Reply<Named> },
}

/// Sends requests to a part of the daemon and waits for the answer.
#[derive(Debug)]
pub struct Handle<C>(mpsc::UnboundedSender<C>);

impl<C> Clone for Handle<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<C> Handle<C> {
    /// A handle and the receiving end for the part that serves it.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<C>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    /// Sends a request that needs no answer. A part that has ended needs no request.
    pub fn tell(&self, command: C) {
        let _gone = self.0.send(command);
    }

    /// Sends the request that `make` builds around a reply channel, and waits for the answer.
    ///
    /// # Errors
    /// [`Refused`] as the part answered, or when it has ended.
    pub async fn ask<T>(&self, make: impl FnOnce(Reply<T>) -> C) -> Result<T, Refused> {
        let (reply, answer) = oneshot::channel();
        let gone = || Refused("the director is stopping".to_owned());
        self.0.send(make(reply)).map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}
