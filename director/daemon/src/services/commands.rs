//! What operators and the rest of the daemon ask of the services task.

use fairway_health::Subject;
use tracing::info;

use super::overrides::Override;
use super::{Task, answer, once, view};
use crate::status::{Refused, Reply, ServicesCommand, Statistics};

impl Task {
    /// Carries out what was asked for.
    pub(super) fn command(&mut self, command: ServicesCommand) {
        match command {
            ServicesCommand::Order { service, server, order, reply } => {
                self.order(&service, &server, Some(order), reply);
            }
            ServicesCommand::Resume { service, server, reply } => self.order(&service, &server, None, reply),
            ServicesCommand::Statistics { service, server, reply } => {
                self.statistics(&service, server, reply)
            }
            ServicesCommand::Probe { service, server, check, reply } => {
                match self.subjects_of(&service, &server, &check) {
                    Ok(subjects) => drop(tokio::spawn(once::probe(subjects, reply))),
                    Err(refused) => answer(reply, Err(refused)),
                }
            }
            ServicesCommand::Digest { service, server, check, reply } => {
                match self.subjects_of(&service, &server, &check) {
                    Ok(subjects) => drop(tokio::spawn(once::digest(subjects, reply))),
                    Err(refused) => answer(reply, Err(refused)),
                }
            }
            ServicesCommand::Zero { service, reply } => self.zero(service.as_deref(), reply),
            ServicesCommand::Reconfigure { config, reply } => match self.configure(config) {
                Ok(()) => self.answer_when_done(None, reply),
                Err(failure) => answer(reply, Err(Refused(failure.to_string()))),
            },
            ServicesCommand::PassOn { reply } => {
                let fingerprint = |check| self.subjects.get(&check).map(Subject::fingerprint);
                let saved = self.desired.save(fingerprint, std::time::Instant::now());
                answer(reply, saved.write().map_err(|error| Refused(error.to_string())));
            }
            // Ends the loop; it is not handled here.
            ServicesCommand::Stop { reply } => answer(reply, Ok(())),
        }
    }

    fn order(&mut self, service: &str, server: &str, order: Option<Override>, reply: Reply<()>) {
        let changed = match self.desired.order(service, server, order, std::time::Instant::now()) {
            Ok(changed) => changed,
            Err(failure) => return answer(reply, Err(Refused(failure.to_string()))),
        };
        if changed {
            match order {
                Some(order) => {
                    info!(event = "order", service, server, order = %order.order, "order of the operator")
                }
                None => info!(event = "order", service, server, "the operator's order is taken back"),
            }
            self.store.save(self.desired.overrides());
            self.hand_over_changes();
        }
        let index = self.desired.find_service(service).ok();
        self.unpublished.extend(index);
        self.answer_when_done(index.map(|index| self.desired.service(index).key), reply);
    }

    /// The checks of a server with what they probe; only the named one, if one is named.
    fn subjects_of(
        &self,
        service: &str,
        server: &str,
        check: &str,
    ) -> Result<Vec<(String, Subject)>, Refused> {
        let checks = self.desired.checks(service, server).map_err(|failure| Refused(failure.to_string()))?;
        let found: Vec<_> = checks
            .filter(|(name, _)| check.is_empty() || *name == check)
            .filter_map(|(name, id)| Some((name.to_owned(), self.subjects.get(&id)?.clone())))
            .collect();
        match (found.is_empty(), check) {
            (false, _) => Ok(found),
            (true, "") => {
                Err(Refused(format!("server \"{server}\" of service \"{service}\" is not checked")))
            }
            (true, _) => {
                Err(Refused(format!("server \"{server}\" of service \"{service}\" has no check \"{check}\"")))
            }
        }
    }

    fn zero(&self, service: Option<&str>, reply: Reply<()>) {
        let keys = match service {
            None => (0..self.desired.len()).map(|index| self.desired.service(index).key).collect(),
            Some(name) => match self.desired.find_service(name) {
                Ok(index) => vec![self.desired.service(index).key],
                Err(failure) => return answer(reply, Err(Refused(failure.to_string()))),
            },
        };
        let table = self.table.clone();
        tokio::spawn(async move { answer(reply, table.zero(keys).await) });
    }

    fn statistics(&self, service: &str, server: Option<String>, reply: Reply<Statistics>) {
        let found = match &server {
            Some(server) => {
                self.desired.find(service, server).map(|(index, position)| (index, Some(position)))
            }
            None => self.desired.find_service(service).map(|index| (index, None)),
        };
        let (index, position) = match found {
            Ok(found) => found,
            Err(failure) => return answer(reply, Err(Refused(failure.to_string()))),
        };
        let planned = self.desired.service(index);
        let (key, destination) = (planned.key, position.map(|position| planned.servers[position].0));
        let table = self.table.clone();
        // On its own: the kernel may be busy, and checks go on.
        tokio::spawn(async move {
            let statistics = table.statistics(key).await;
            answer(reply, statistics.map(|found| view::statistics(&found, destination.as_ref())));
        });
    }
}
