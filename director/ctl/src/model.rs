//! What the director shows on D-Bus, and the stable keys of `fairwayctl status --json`.

mod read;

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, anyhow};
use serde::Serialize;
use zbus::fdo::ManagedObjects;
use zbus::{OwnedObjectPath, OwnedVariant};

use crate::statistics::Key;

/// Interface of the root object.
pub const MANAGER: &str = "org.fairway.Director1.Manager";
/// Interface of a failover group.
pub const GROUP: &str = "org.fairway.Director1.Group";
/// Interface of a VRRP instance.
pub const INSTANCE: &str = "org.fairway.Director1.Instance";
/// Interface of a BFD session.
pub const BFD: &str = "org.fairway.Director1.BfdSession";
/// Interface of a virtual service.
pub const SERVICE: &str = "org.fairway.Director1.VirtualService";
/// Interface of a real server.
pub const SERVER: &str = "org.fairway.Director1.RealServer";

/// Properties of one interface of one object.
pub type Properties = HashMap<String, OwnedVariant>;

/// The director as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Director {
    /// Version of the daemon.
    pub version: String,
    /// Name of the host in the topology.
    pub host: String,
    /// Name of the cluster.
    pub cluster: String,
    /// Configurations applied since the start.
    pub generation: u64,
    /// The file they came from.
    pub config_file: String,
    /// Why the last reload failed; empty when it did not.
    pub last_reload_error: String,
    /// What became of notifications, by receiver.
    pub notifications: Vec<Notification>,
    /// Failover groups, by name.
    pub groups: Vec<Group>,
    /// BFD sessions, by name.
    pub bfd: Vec<BfdSession>,
    /// Virtual services, by name.
    pub services: Vec<Service>,
}

/// Somebody who is told of events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notification {
    /// Its name.
    pub name: String,
    /// `hook`, `mail` or `webhook`.
    pub way: String,
    /// Messages that were delivered.
    pub delivered: u64,
    /// Messages that were given up, and hooks that failed.
    pub failed: u64,
    /// Events that were not told because too many waited.
    pub dropped: u64,
    /// Events that wait.
    pub waiting: u64,
    /// When the last message was delivered, in microseconds since the epoch; 0: never.
    pub last_usec: u64,
    /// Why the last attempt failed; empty if it did not.
    pub error: String,
}

impl From<(String, String, u64, u64, u64, u64, u64, String)> for Notification {
    fn from(
        (name, way, delivered, failed, dropped, waiting, last_usec, error): (
            String,
            String,
            u64,
            u64,
            u64,
            u64,
            u64,
            String,
        ),
    ) -> Self {
        Self { name, way, delivered, failed, dropped, waiting, last_usec, error }
    }
}

/// A failover group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// `init`, `backup`, `master` or `fault`.
    pub state: String,
    /// Microseconds since the epoch.
    pub since_usec: u64,
    /// Why the last transition happened.
    pub cause: String,
    /// `auto`, `master` or `backup`.
    pub forced: String,
    /// The routes and rules that move with it.
    pub routes: Vec<String>,
    /// Those of them that it is to have now and has not.
    pub missing_routes: Vec<String>,
    /// Its VRRP instances, by name.
    pub instances: Vec<Instance>,
    /// What it depends on, by name.
    pub trackers: Vec<Tracker>,
    /// The object.
    #[serde(skip)]
    pub path: String,
}

/// A VRRP instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Instance {
    /// Its name.
    pub name: String,
    /// `init`, `backup`, `master` or `fault`.
    pub state: String,
    /// Interface name.
    pub interface: String,
    /// `ipv4` or `ipv6`.
    pub family: String,
    /// Virtual router identifier.
    pub vrid: u8,
    /// VRRP version.
    pub version: u8,
    /// Own priority in force.
    pub priority: u8,
    /// The one that is configured for the group, before trackers and orders.
    pub base_priority: u8,
    /// Advert interval in force.
    pub advert_interval_usec: u64,
    /// The master heard last, or this director; empty while none is known.
    pub master_address: String,
    /// Its priority; 0 while none is known.
    pub master_priority: u8,
    /// Where the addresses are now: on the `interface`, parked on `lo`, or `nowhere`.
    pub addresses_at: String,
    /// The virtual IPs that its adverts list.
    pub virtual_addresses: Vec<String>,
    /// The virtual IPs that move with them unadvertised.
    pub excluded_addresses: Vec<String>,
    /// The MAC address that moves with the virtual IPs; empty without one.
    pub virtual_mac: String,
    /// The interface with that address.
    pub virtual_mac_interface: String,
    /// Other routers on the network that something is wrong with.
    pub other_routers: Vec<OtherRouter>,
    /// The object.
    #[serde(skip)]
    pub path: String,
}

/// Something a failover group depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tracker {
    /// Its name.
    pub name: String,
    /// What kind of thing is watched, such as `process`; `number` for a file that holds one.
    pub kind: String,
    /// `passing`, `failing` or `waiting`.
    pub state: String,
    /// Added to the priority while it fails, or, of a file that holds a number, now; 0: it is a fault.
    pub weight: i32,
    /// What was seen.
    pub detail: String,
}

impl From<(String, String, String, i32, String)> for Tracker {
    fn from((name, kind, state, weight, detail): (String, String, String, i32, String)) -> Self {
        Self { name, kind, state, weight, detail }
    }
}

/// Another router on the network, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OtherRouter {
    /// Its address.
    pub source: String,
    /// What is wrong, as it was last reported.
    pub what: String,
    /// How often that had been seen by then.
    pub count: u64,
    /// When that was, in microseconds since the Unix epoch.
    pub last_usec: u64,
}

impl OtherRouter {
    /// How long ago it was last reported.
    pub fn age(&self, now: SystemTime) -> Duration {
        now.duration_since(UNIX_EPOCH + Duration::from_micros(self.last_usec)).unwrap_or_default()
    }
}

impl From<(String, String, u64, u64)> for OtherRouter {
    fn from((source, what, count, last_usec): (String, String, u64, u64)) -> Self {
        Self { source, what, count, last_usec }
    }
}

/// A BFD session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BfdSession {
    /// Address of the neighbour, with its interface where that is needed.
    pub name: String,
    /// `admin-down`, `down`, `init` or `up`.
    pub state: String,
    /// The state that the neighbour told last.
    pub remote_state: String,
    /// Why the session was last taken down.
    pub diagnostic: String,
    /// Why the neighbour last took it down.
    pub remote_diagnostic: String,
    /// Our name for it on the wire.
    pub discriminator: u32,
    /// The neighbour's; 0 while it is not heard.
    pub remote_discriminator: u32,
    /// Time between our packets, before jitter.
    pub transmit_interval_usec: u64,
    /// After how long a silence the neighbour counts as gone; 0 while that is unknown.
    pub detection_time_usec: u64,
    /// The object.
    #[serde(skip)]
    pub path: String,
}

/// A virtual service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// The VIP.
    pub address: String,
    /// The port.
    pub port: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// Scheduler name.
    pub scheduler: String,
    /// Empty while the service is programmed.
    pub kernel_error: String,
    /// Whether enough servers are up: `up`, `down` or `unknown`.
    pub quorum: String,
    /// Whether the sorry server serves.
    pub sorry: bool,
    /// Its real servers, by name.
    pub servers: Vec<Server>,
    /// The object.
    #[serde(skip)]
    pub path: String,
}

/// A real server of a virtual service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Server {
    /// Its name.
    pub name: String,
    /// The RIP.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// `direct` or `nat`.
    pub forward: String,
    /// Weight as configured.
    pub weight: u32,
    /// Weight in the kernel; absent while it is not in the table.
    pub effective_weight: Option<u32>,
    /// `unknown`, `up` or `down`.
    pub health: String,
    /// What the last probe saw.
    pub detail: String,
    /// Drained by an operator.
    pub drained: bool,
    /// The operator's order: `drain`, `drained`, `disable`, `weight N`, or empty.
    pub order: String,
    /// When the order ends by itself, in microseconds since the epoch; 0: never.
    pub order_until_usec: u64,
    /// When a drain takes the server out, connections or not, likewise.
    pub drain_deadline_usec: u64,
    /// The object.
    #[serde(skip)]
    pub path: String,
}

/// What one check of a server saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Name of the check.
    pub check: String,
    /// `pass`, `fail` or `inconclusive`.
    pub outcome: String,
    /// What it saw.
    pub detail: String,
    /// How long it took, in microseconds.
    pub took_usec: u64,
}

impl Seen {
    /// Whether the server is as it should be.
    pub fn passed(&self) -> bool {
        self.outcome == "pass"
    }
}

impl From<(String, String, String, u64)> for Seen {
    fn from((check, outcome, detail, took_usec): (String, String, String, u64)) -> Self {
        Self { check, outcome, detail, took_usec }
    }
}

/// Every object that has counters: what it is, its interface, its path.
pub fn countable(director: &Director) -> Vec<(Key, &'static str, String)> {
    let mut all = Vec::new();
    for group in &director.groups {
        all.push((Key::Group(group.name.clone()), GROUP, group.path.clone()));
        for instance in &group.instances {
            let key = Key::Instance(group.name.clone(), instance.name.clone());
            all.push((key, INSTANCE, instance.path.clone()));
        }
    }
    for session in &director.bfd {
        all.push((Key::Bfd(session.name.clone()), BFD, session.path.clone()));
    }
    for service in &director.services {
        all.push((Key::Service(service.name.clone()), SERVICE, service.path.clone()));
        for server in &service.servers {
            let key = Key::Server(service.name.clone(), server.name.clone());
            all.push((key, SERVER, server.path.clone()));
        }
    }
    all
}
