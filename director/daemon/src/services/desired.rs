//! The desired IPVS table as a function of configuration, health and the operator's drains. Pure: no task, no
//! kernel, no clock.
//!
//! | health of a server's checks | place in the table |
//! |---|---|
//! | all up, or it has none | its weight |
//! | one is down | none |
//! | no verdict, it was in the table before | the weight it had |
//! | no verdict, new to the table | none; its weight where `start = "optimistic"` |
//!
//! A drained server has weight 0 wherever it would be in the table.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use fairway_config::StartHealth;
use fairway_health::{CheckId, Health, Report, Verdict};
use fairway_ipvs::{Destination, DestinationKey, Service, ServiceKey, Table};

use super::plan::{Plan, PlannedService};

/// Services, what is known about their servers, and the table that follows.
#[derive(Debug, Default)]
pub struct Desired {
    services: Vec<Entry>,
    by_name: HashMap<String, usize>,
    /// Who depends on a check.
    users: HashMap<CheckId, Vec<User>>,
    verdicts: HashMap<CheckId, Verdict>,
    /// Names of drained servers by service.
    drains: BTreeMap<String, BTreeSet<String>>,
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
}

/// What is known of one server, beside its configuration.
#[derive(Debug)]
struct Server {
    /// In the order of the service's check names.
    checks: Vec<CheckId>,
    /// The weight it has in the table until its first verdict, if it was there before.
    held: Option<u32>,
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
    /// Drained by the operator.
    pub drained: bool,
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
    /// Verdicts of checks that go on are kept, and so are drains of servers that are still there. A server that
    /// is in the table stays there until a check that is new to it gives its first verdict.
    pub fn configure(&mut self, plan: Plan, checks: &[CheckId]) {
        let before = self.placed();
        let mut checks = checks.iter().copied();
        self.users.clear();
        self.services = Vec::with_capacity(plan.services.len());
        for (service, planned) in plan.services.into_iter().enumerate() {
            let mut servers = Vec::with_capacity(planned.servers.len());
            for (server, (key, wanted)) in planned.servers.iter().enumerate() {
                let checks: Vec<_> = checks.by_ref().take(planned.config.checks.len()).collect();
                for check in &checks {
                    self.users.entry(*check).or_default().push(User { service, server });
                }
                let held = before.get(&(planned.key, *key)).map(|was| {
                    // A weight the operator has just changed holds at once.
                    if was.configured == wanted.weight { was.weight } else { wanted.weight }
                });
                servers.push(Server { checks, held });
            }
            self.services.push(Entry { planned, servers });
        }
        self.verdicts.retain(|check, _| self.users.contains_key(check));
        self.by_name = self
            .services
            .iter()
            .enumerate()
            .map(|(index, e)| (e.planned.config.name.clone(), index))
            .collect();
        self.forget_lost_drains();
        self.rebuild();
    }

    /// Servers that are in the kernel when the director starts keep their weight until their first verdict.
    /// Returns how many.
    pub fn adopt(&mut self, observed: &Table) -> usize {
        let mut adopted = 0;
        for index in 0..self.services.len() {
            let Some(in_kernel) = observed.get(&self.services[index].planned.key) else { continue };
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
        self.rebuild();
        adopted
    }

    /// Takes a report into account. Returns what it changed in health, one entry for each server that uses the
    /// check; none when only the text differs. Touches nothing but those servers.
    pub fn report(&mut self, report: Report) -> Vec<Change> {
        let Some(users) = self.users.get(&report.check).cloned() else { return Vec::new() };
        let was: Vec<_> = users.iter().map(|user| self.health(user.service, user.server)).collect();
        let old = self.verdicts.insert(report.check, report.verdict.clone()).unwrap_or_default();
        if old.health == report.verdict.health {
            return Vec::new();
        }
        let mut changes = Vec::with_capacity(users.len());
        for (user, was) in users.into_iter().zip(was) {
            let health = self.settle(user.service, user.server);
            let entry = &self.services[user.service];
            let name = entry.servers[user.server].checks.iter().position(|check| *check == report.check);
            changes.push(Change {
                service: entry.planned.config.name.clone(),
                server: entry.planned.config.real_servers[user.server].name.clone(),
                check: name.map(|index| entry.planned.config.checks[index].clone()).unwrap_or_default(),
                verdict: report.verdict.clone(),
                health: (was, health),
            });
        }
        changes
    }

    /// The services that use a check, each once.
    pub fn services_of(&self, check: CheckId) -> impl Iterator<Item = usize> {
        let users = self.users.get(&check).map(Vec::as_slice).unwrap_or_default();
        let mut last = None;
        // Users are in the order of the services.
        users.iter().map(|user| user.service).filter(move |service| last.replace(*service) != Some(*service))
    }

    /// Gives a server weight 0 (`drained`) or its own again. Returns whether that changed anything.
    ///
    /// # Errors
    /// [`NotFound`].
    pub fn drain(&mut self, service: &str, server: &str, drained: bool) -> Result<bool, NotFound> {
        let (index, position) = self.find(service, server)?;
        let changed = if drained {
            self.drains.entry(service.to_owned()).or_default().insert(server.to_owned())
        } else {
            self.drains.get_mut(service).is_some_and(|servers| servers.remove(server))
        };
        self.drains.retain(|_, servers| !servers.is_empty());
        self.settle(index, position);
        Ok(changed)
    }

    /// Position of a service.
    ///
    /// # Errors
    /// [`NotFound::Service`].
    pub fn find_service(&self, service: &str) -> Result<usize, NotFound> {
        self.by_name.get(service).copied().ok_or_else(|| NotFound::Service(service.to_owned()))
    }

    /// Position of a service, and of a server in it.
    ///
    /// # Errors
    /// [`NotFound`].
    pub fn find(&self, service: &str, server: &str) -> Result<(usize, usize), NotFound> {
        let index = self.find_service(service)?;
        let servers = &self.services[index].planned.config.real_servers;
        let position = servers.iter().position(|candidate| candidate.name == server);
        let missing = || NotFound::Server { service: service.to_owned(), server: server.to_owned() };
        Ok((index, position.ok_or_else(missing)?))
    }

    /// How many services there are; they are numbered from 0.
    pub fn len(&self) -> usize {
        self.services.len()
    }

    /// Name of a service.
    pub fn name(&self, index: usize) -> &str {
        &self.services[index].planned.config.name
    }

    /// A service by number.
    pub fn service(&self, index: usize) -> &PlannedService {
        &self.services[index].planned
    }

    /// The servers of a service.
    pub fn servers(&self, index: usize) -> impl Iterator<Item = ServerView<'_>> {
        let entry = &self.services[index];
        entry.planned.config.real_servers.iter().enumerate().map(move |(position, config)| ServerView {
            config,
            key: entry.planned.servers[position].0,
            health: self.health(index, position),
            detail: self.detail(index, position),
            drained: self.drained(index, position),
        })
    }

    fn drained(&self, service: usize, server: usize) -> bool {
        if self.drains.is_empty() {
            return false;
        }
        let config = &self.services[service].planned.config;
        self.drains.get(&config.name).is_some_and(|names| names.contains(&config.real_servers[server].name))
    }

    /// The worst of a server's checks; up if it has none.
    fn health(&self, service: usize, server: usize) -> Health {
        let checks = &self.services[service].servers[server].checks;
        checks.iter().map(|check| self.verdict(*check).0).min().unwrap_or(Health::Up)
    }

    fn verdict(&self, check: CheckId) -> (Health, &str) {
        self.verdicts.get(&check).map_or((Health::Unknown, ""), |v| (v.health, v.detail.as_str()))
    }

    /// What the worst check saw, with its name where there are several.
    fn detail(&self, service: usize, server: usize) -> String {
        let entry = &self.services[service];
        let checks = &entry.servers[server].checks;
        let named = entry.planned.config.checks.iter().zip(checks.iter().map(|check| self.verdict(*check)));
        match named.min_by_key(|(_, (health, _))| *health) {
            None => "not checked".to_owned(),
            Some((name, (_, detail))) if checks.len() > 1 && !detail.is_empty() => {
                format!("{name}: {detail}")
            }
            Some((_, (_, detail))) => detail.to_owned(),
        }
    }

    /// The weight of a server in the table before drains; `None` keeps it out.
    fn weight(&self, service: usize, server: usize) -> Option<u32> {
        let entry = &self.services[service];
        let configured = entry.planned.servers[server].1.weight;
        match self.health(service, server) {
            Health::Up => Some(configured),
            Health::Down => None,
            Health::Unknown => match (entry.servers[server].held, entry.planned.config.start) {
                (Some(weight), _) => Some(weight),
                (None, StartHealth::Optimistic) => Some(configured),
                (None, StartHealth::Pessimistic) => None,
            },
        }
    }

    /// What the table should say about a server.
    fn destination(&self, service: usize, server: usize) -> Option<Destination> {
        let weight = self.weight(service, server)?;
        let weight = if self.drained(service, server) { 0 } else { weight };
        let (_, configured) = self.services[service].planned.servers[server];
        Some(Destination { weight, ..configured })
    }

    /// Brings the table in line with what is known of one server. Returns its health.
    fn settle(&mut self, service: usize, server: usize) -> Health {
        let health = self.health(service, server);
        if health != Health::Unknown {
            self.services[service].servers[server].held = None;
        }
        let wanted = self.destination(service, server);
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
        health
    }

    /// The table anew. Services that come out as they were stay the same allocation, which makes comparing the
    /// tables cheap.
    fn rebuild(&mut self) {
        let mut table = Table::new();
        for (index, entry) in self.services.iter().enumerate() {
            let mut service = Service::new(entry.planned.settings);
            for (position, (key, _)) in entry.planned.servers.iter().enumerate() {
                if let Some(destination) = self.destination(index, position) {
                    service.destinations.insert(*key, destination);
                }
            }
            let same = self.table.get(&entry.planned.key).filter(|old| ***old == service).cloned();
            table.insert(entry.planned.key, same.unwrap_or_else(|| Arc::new(service)));
        }
        self.table = table;
    }

    /// Servers that are in the table, drained or not.
    fn placed(&self) -> HashMap<(ServiceKey, DestinationKey), Placed> {
        let mut placed = HashMap::new();
        for (index, entry) in self.services.iter().enumerate() {
            for (position, (key, configured)) in entry.planned.servers.iter().enumerate() {
                if let Some(weight) = self.weight(index, position) {
                    let was = Placed { weight, configured: configured.weight };
                    placed.insert((entry.planned.key, *key), was);
                }
            }
        }
        placed
    }

    fn forget_lost_drains(&mut self) {
        let mut drains = std::mem::take(&mut self.drains);
        for (service, servers) in &mut drains {
            servers.retain(|server| self.find(service, server).is_ok());
        }
        drains.retain(|_, servers| !servers.is_empty());
        self.drains = drains;
    }
}

/// A server's weight in the table, and the one it was configured with then.
#[derive(Debug, Clone, Copy)]
struct Placed {
    weight: u32,
    configured: u32,
}

#[cfg(test)]
#[path = "desired_tests.rs"]
mod tests;
