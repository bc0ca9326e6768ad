//! The desired IPVS table as a function of configuration, health, the operator's orders and the time. Pure: no
//! task, no kernel, no clock.
//!
//! | health of a server's checks | place in the table |
//! |---|---|
//! | up (all pass, or one where `checks-required = "any"`), or it has none | its weight |
//! | down | none; weight 0 where `on-failure = "weight-zero"` |
//! | no verdict, it was in the table before | the weight it had |
//! | no verdict, new to the table | none; its weight where `start = "optimistic"` |
//!
//! Its weight is the configured one or the operator's, less what its checks advise and while it starts slowly. A
//! drained server has weight 0 wherever it would be in the table. While a service with a sorry server has lost its
//! quorum, the sorry server is in the table and all others are down.

mod inherit;
mod query;
mod quorum;
mod weight;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use fairway_health::{CheckId, Health, Report, Verdict};
use fairway_ipvs::{DestinationKey, Service, ServiceKey, Table};

use super::overrides::{Override, Overrides};
use super::plan::{Plan, PlannedService};
use quorum::Tally;

pub use quorum::{QuorumChange, QuorumState};

/// Services, what is known about their servers, and the table that follows.
#[derive(Debug, Default)]
pub struct Desired {
    services: Vec<Entry>,
    by_name: HashMap<String, usize>,
    /// Who depends on a check.
    users: HashMap<CheckId, Vec<User>>,
    verdicts: HashMap<CheckId, Verdict>,
    overrides: Overrides,
    /// Servers whose weight still grows.
    rising: BTreeSet<(usize, usize)>,
    quorum_changes: Vec<QuorumChange>,
    /// Services whose servers are not checked now.
    suspended: BTreeSet<usize>,
    /// What probes of virtual IPs need beside the services.
    detours: Table,
    table: Table,
}

/// A server of a service that uses a check.
#[derive(Debug, Clone, Copy)]
struct User {
    service: usize,
    server: usize,
}

#[derive(Debug)]
struct Entry {
    planned: PlannedService,
    servers: Vec<Server>,
    tally: Tally,
}

/// What is known of one server, beside its configuration.
#[derive(Debug)]
struct Server {
    /// In the order of its check names.
    checks: Vec<CheckId>,
    /// The weight it has in the table until its first verdict, if it was there before.
    held: Option<u32>,
    /// When it came up, while it starts slowly.
    risen: Option<Instant>,
    /// What it adds to the service's tally.
    counted: quorum::Share,
}

/// What a check's report meant for one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Name of the service.
    pub service: String,
    /// Name of the real server.
    pub server: String,
    /// Name of the check.
    pub check: String,
    /// What the check says now.
    pub verdict: Verdict,
    /// Health of the server, over all its checks, before and after.
    pub health: (Health, Health),
}

/// Health and place of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerView<'a> {
    /// As configured.
    pub config: &'a fairway_config::RealServer,
    /// What the kernel knows it by.
    pub key: DestinationKey,
    /// Over all its checks.
    pub health: Health,
    /// What the check that decides saw last.
    pub detail: String,
    /// The operator's order.
    pub order: Option<Override>,
}

/// There is no such service, or no such server in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    /// No such service.
    #[error("there is no service \"{0}\"")]
    Service(String),
    /// No such server.
    #[error("service \"{service}\" has no real server \"{server}\"")]
    Server {
        /// The service, which exists.
        service: String,
        /// The server, which does not.
        server: String,
    },
}

impl Desired {
    /// The table the kernel should have.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Takes over a new configuration; `checks` are the running checks of `plan.subjects`.
    ///
    /// Verdicts of checks that go on are kept, and so are the orders about servers that are still there, and what
    /// is known of a quorum. A server that is in the table stays there until a check that is new to it gives its
    /// first verdict.
    pub fn configure(&mut self, plan: Plan, checks: &[CheckId], now: Instant) {
        let before = self.placed(now);
        let quorums: HashMap<_, _> =
            self.services.iter().map(|entry| (entry.planned.key, entry.tally.state())).collect();
        let mut checks = checks.iter().copied();
        self.users.clear();
        self.services = Vec::with_capacity(plan.services.len());
        for (service, planned) in plan.services.into_iter().enumerate() {
            let mut servers = Vec::with_capacity(planned.servers.len());
            for (server, (key, wanted)) in planned.servers.iter().enumerate() {
                let names = planned.config.checks_of(&planned.config.real_servers[server]);
                let checks: Vec<_> = checks.by_ref().take(names.len()).collect();
                for check in &checks {
                    self.users.entry(*check).or_default().push(User { service, server });
                }
                let was = before.get(&(planned.key, *key));
                let held = was.map(|was| {
                    // A weight the operator has just changed holds at once.
                    if was.configured == wanted.weight { was.weight } else { wanted.weight }
                });
                let risen = was.and_then(|was| was.risen);
                servers.push(Server { checks, held, risen, counted: quorum::Share::default() });
            }
            let tally = Tally::new(quorums.get(&planned.key).copied().unwrap_or_default());
            self.services.push(Entry { planned, servers, tally });
        }
        self.detours = plan.detours;
        self.verdicts.retain(|check, _| self.users.contains_key(check));
        self.by_name = self
            .services
            .iter()
            .enumerate()
            .map(|(index, e)| (e.planned.config.name.clone(), index))
            .collect();
        self.forget_lost_orders();
        self.rising.clear();
        self.settle_all(now);
    }

    /// Servers that are in the kernel when the director starts keep their weight until their first verdict, and
    /// a sorry server that serves goes on until there is a quorum. Returns how many servers.
    pub fn adopt(&mut self, observed: &Table, now: Instant) -> usize {
        let mut adopted = 0;
        for index in 0..self.services.len() {
            let planned = &self.services[index].planned;
            let Some(in_kernel) = observed.get(&planned.key) else { continue };
            if let Some((key, _)) = planned.sorry
                && in_kernel.destinations.get(&key).is_some_and(|sorry| sorry.weight > 0)
            {
                self.services[index].tally.adopt_lost();
            }
            for server in 0..self.services[index].servers.len() {
                let (key, _) = self.services[index].planned.servers[server];
                if let Some(destination) = in_kernel.destinations.get(&key)
                    && self.health(index, server) == Health::Unknown
                {
                    self.services[index].servers[server].held = Some(destination.weight);
                    adopted += 1;
                }
            }
        }
        self.settle_all(now);
        adopted
    }

    /// Takes a report into account. Returns what it changed in health, one entry for each server that uses the
    /// check; none when only the text or the advice differs. Touches nothing but those servers, and what hangs on
    /// their services' quorum.
    pub fn report(&mut self, report: Report, now: Instant) -> Vec<Change> {
        let Some(users) = self.users.get(&report.check).cloned() else { return Vec::new() };
        let was: Vec<_> = users.iter().map(|user| self.health(user.service, user.server)).collect();
        let old = self.verdicts.insert(report.check, report.verdict.clone()).unwrap_or_default();
        if (old.health, old.advice) == (report.verdict.health, report.verdict.advice) {
            return Vec::new();
        }
        let mut changes = Vec::with_capacity(users.len());
        for (user, was) in users.into_iter().zip(was) {
            let health = self.health(user.service, user.server);
            self.note_rise(user.service, user.server, was, health, now);
            self.settle(user.service, user.server, now);
            self.weigh(user.service, now);
            if old.health == report.verdict.health {
                continue;
            }
            let entry = &self.services[user.service];
            let config = &entry.planned.config.real_servers[user.server];
            let name = entry.servers[user.server].checks.iter().position(|check| *check == report.check);
            changes.push(Change {
                service: entry.planned.config.name.clone(),
                server: config.name.clone(),
                check: name
                    .map(|index| entry.planned.config.checks_of(config)[index].clone())
                    .unwrap_or_default(),
                verdict: report.verdict.clone(),
                health: (was, health),
            });
        }
        changes
    }

    /// Sets which services' servers are not to be checked. Returns the checks that nobody else needs.
    pub fn suspend(&mut self, services: BTreeSet<usize>) -> HashSet<CheckId> {
        self.suspended = services;
        let idle = |(_, users): &(&CheckId, &Vec<User>)| {
            users.iter().all(|user| self.suspended.contains(&user.service))
        };
        self.users.iter().filter(idle).map(|(check, _)| *check).collect()
    }

    /// The services whose servers are not checked now.
    pub fn suspended(&self) -> &BTreeSet<usize> {
        &self.suspended
    }

    /// What has become of quorums since this was last asked.
    pub fn take_quorum_changes(&mut self) -> Vec<QuorumChange> {
        std::mem::take(&mut self.quorum_changes)
    }

    /// The services that use a check, each once.
    pub fn services_of(&self, check: CheckId) -> impl Iterator<Item = usize> {
        let users = self.users.get(&check).map(Vec::as_slice).unwrap_or_default();
        let mut last = None;
        // Users are in the order of the services.
        users.iter().map(|user| user.service).filter(move |service| last.replace(*service) != Some(*service))
    }

    /// Gives an order about a server, or takes it back. Returns whether that changed anything.
    ///
    /// # Errors
    /// [`NotFound`].
    pub fn order(
        &mut self,
        service: &str,
        server: &str,
        order: Option<Override>,
        now: Instant,
    ) -> Result<bool, NotFound> {
        let (index, position) = self.find(service, server)?;
        let servers = self.overrides.entry(service.to_owned()).or_default();
        let before = match order {
            Some(order) => servers.insert(server.to_owned(), order),
            None => servers.remove(server),
        };
        self.overrides.retain(|_, servers| !servers.is_empty());
        self.settle(index, position, now);
        self.weigh(index, now);
        Ok(before != order)
    }

    /// The orders in force.
    pub fn overrides(&self) -> &Overrides {
        &self.overrides
    }

    /// Orders from before, which hold once their servers are configured.
    pub fn restore(&mut self, overrides: Overrides) {
        self.overrides = overrides;
    }

    /// Ends what has come to its end at `time`: orders, and the deadlines of drains. Returns the servers
    /// concerned, as services and servers.
    pub fn expire(&mut self, time: SystemTime, now: Instant) -> Vec<(String, String)> {
        let mut ended = Vec::new();
        for (service, servers) in &mut self.overrides {
            servers.retain(|server, order| {
                let over = order.until.is_some_and(|until| until <= time);
                let emptied = !order.emptied && order.is_empty_at(time);
                order.emptied |= emptied;
                if over || emptied {
                    ended.push((service.clone(), server.clone()));
                }
                !over
            });
        }
        self.overrides.retain(|_, servers| !servers.is_empty());
        for (service, server) in &ended {
            if let Ok((index, position)) = self.find(service, server) {
                self.settle(index, position, now);
                self.weigh(index, now);
            }
        }
        ended
    }

    /// Brings the table in line with what is known of one server.
    fn settle(&mut self, service: usize, server: usize, now: Instant) {
        if self.health(service, server) != Health::Unknown {
            self.services[service].servers[server].held = None;
        }
        let share = self.share(service, server);
        let entry = &mut self.services[service];
        let before = std::mem::replace(&mut entry.servers[server].counted, share);
        entry.tally.recount(before, share);
        let wanted = self.destination(service, server, now);
        let planned = &self.services[service].planned;
        let (key, _) = planned.servers[server];
        if let Some(shared) = self.table.get_mut(&planned.key)
            && shared.destinations.get(&key) != wanted.as_ref()
        {
            let destinations = &mut Arc::make_mut(shared).destinations;
            match wanted {
                Some(destination) => destinations.insert(key, destination),
                None => destinations.remove(&key),
            };
        }
    }

    /// Sees what has become of a service's quorum.
    fn weigh(&mut self, service: usize, now: Instant) {
        let entry = &mut self.services[service];
        let before = entry.tally.state();
        let state = entry.tally.weigh(entry.planned.config.quorum);
        if state == before {
            return;
        }
        // That a service comes up with its first servers is no news.
        if (before, state) != (QuorumState::Unknown, QuorumState::Up) {
            self.quorum_changes.push(QuorumChange {
                service: entry.planned.config.name.clone(),
                state,
                weight: entry.tally.weight(),
                sorry: entry.planned.sorry.is_some(),
            });
        }
        if entry.planned.sorry.is_some() {
            self.rebuild(service, now);
        }
    }

    fn settle_all(&mut self, now: Instant) {
        let keys: BTreeSet<_> = self.services.iter().map(|entry| entry.planned.key).collect();
        self.table.retain(|key, _| keys.contains(key) || self.detours.contains_key(key));
        for (key, service) in &self.detours {
            if self.table.get(key) != Some(service) {
                self.table.insert(*key, Arc::clone(service));
            }
        }
        for service in 0..self.services.len() {
            for server in 0..self.services[service].servers.len() {
                if self.health(service, server) != Health::Unknown {
                    self.services[service].servers[server].held = None;
                }
                let share = self.share(service, server);
                let entry = &mut self.services[service];
                let before = std::mem::replace(&mut entry.servers[server].counted, share);
                entry.tally.recount(before, share);
                if entry.servers[server].risen.is_some() {
                    self.rising.insert((service, server));
                }
            }
            self.weigh(service, now);
            self.rebuild(service, now);
        }
    }

    /// A service anew. One that comes out as it was stays the same allocation, which makes comparing tables
    /// cheap.
    fn rebuild(&mut self, index: usize, now: Instant) {
        let planned = &self.services[index].planned;
        let mut service = Service::new(planned.settings);
        for (position, (key, _)) in planned.servers.iter().enumerate() {
            if let Some(destination) = self.destination(index, position, now) {
                service.destinations.insert(*key, destination);
            }
        }
        if let Some((key, destination)) = self.sorry(index) {
            service.destinations.insert(key, destination);
        }
        let key = planned.key;
        if self.table.get(&key).is_none_or(|old| **old != service) {
            self.table.insert(key, Arc::new(service));
        }
    }

    /// Servers that are in the table, drained or not.
    fn placed(&self, now: Instant) -> HashMap<(ServiceKey, DestinationKey), Placed> {
        let mut placed = HashMap::new();
        for (index, entry) in self.services.iter().enumerate() {
            for (position, (key, configured)) in entry.planned.servers.iter().enumerate() {
                if let Some(weight) = self.weight(index, position, now) {
                    let risen = entry.servers[position].risen;
                    let was = Placed { weight, configured: configured.weight, risen };
                    placed.insert((entry.planned.key, *key), was);
                }
            }
        }
        placed
    }

    fn forget_lost_orders(&mut self) {
        let mut overrides = std::mem::take(&mut self.overrides);
        for (service, servers) in &mut overrides {
            servers.retain(|server, _| self.find(service, server).is_ok());
        }
        overrides.retain(|_, servers| !servers.is_empty());
        self.overrides = overrides;
    }
}

/// A server's weight in the table, and the one it was configured with then.
#[derive(Debug, Clone, Copy)]
struct Placed {
    weight: u32,
    configured: u32,
    risen: Option<Instant>,
}

#[cfg(test)]
#[path = "desired_tests.rs"]
mod tests;

#[cfg(test)]
mod feature_tests;
