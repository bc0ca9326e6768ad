//! What is known, by name and by number.

use fairway_config::ChecksRequired;
use fairway_health::{CheckId, Health};

use super::{Desired, NotFound, QuorumState, ServerView};
use crate::services::overrides::Override;
use crate::services::plan::PlannedService;

impl Desired {
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

    /// The checks of a server, by name.
    ///
    /// # Errors
    /// [`NotFound`].
    pub fn checks(
        &self,
        service: &str,
        server: &str,
    ) -> Result<impl Iterator<Item = (&str, CheckId)>, NotFound> {
        let (index, position) = self.find(service, server)?;
        let entry = &self.services[index];
        let names = entry.planned.config.checks_of(&entry.planned.config.real_servers[position]);
        Ok(names.iter().map(String::as_str).zip(entry.servers[position].checks.iter().copied()))
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

    /// Whether a service has its quorum.
    pub fn quorum(&self, index: usize) -> QuorumState {
        self.services[index].tally.state()
    }

    /// The servers of a service.
    pub fn servers(&self, index: usize) -> impl Iterator<Item = ServerView<'_>> {
        let entry = &self.services[index];
        entry.planned.config.real_servers.iter().enumerate().map(move |(position, config)| ServerView {
            config,
            key: entry.planned.servers[position].0,
            health: self.health(index, position),
            detail: match self.detail(index, position) {
                detail if self.suspended.contains(&index) => {
                    format!("not checked while backup; last: {detail}")
                }
                detail => detail,
            },
            order: self.order_about(index, position),
        })
    }

    pub(super) fn order_about(&self, service: usize, server: usize) -> Option<Override> {
        if self.overrides.is_empty() {
            return None;
        }
        let config = &self.services[service].planned.config;
        self.overrides.get(&config.name)?.get(&config.real_servers[server].name).copied()
    }

    /// The worst of a server's checks, or the best where one is enough; up if it has none.
    pub(super) fn health(&self, service: usize, server: usize) -> Health {
        let entry = &self.services[service];
        let verdicts = entry.servers[server].checks.iter().map(|check| self.verdict(*check).0);
        let over_all = match entry.planned.config.checks_required {
            ChecksRequired::All => verdicts.min(),
            ChecksRequired::Any => verdicts.max(),
        };
        over_all.unwrap_or(Health::Up)
    }

    pub(super) fn verdict(&self, check: CheckId) -> (Health, &str) {
        self.verdicts.get(&check).map_or((Health::Unknown, ""), |v| (v.health, v.detail.as_str()))
    }

    /// What the check that decides saw, with its name where there are several.
    pub(super) fn detail(&self, service: usize, server: usize) -> String {
        let entry = &self.services[service];
        let checks = &entry.servers[server].checks;
        let names = entry.planned.config.checks_of(&entry.planned.config.real_servers[server]);
        let named = names.iter().zip(checks.iter().map(|check| self.verdict(*check)));
        let health = |(_, (health, _)): &(&String, (Health, &str))| *health;
        let decides = match entry.planned.config.checks_required {
            ChecksRequired::All => named.min_by_key(health),
            ChecksRequired::Any => named.max_by_key(health),
        };
        match decides {
            None => "not checked".to_owned(),
            Some((name, (_, detail))) if checks.len() > 1 && !detail.is_empty() => {
                format!("{name}: {detail}")
            }
            Some((_, (_, detail))) => detail.to_owned(),
        }
    }
}
