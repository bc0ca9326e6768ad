//! From configuration to what is balanced and what is probed, before anything is touched: whatever cannot be
//! done is found here, all of it at once.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use fairway_config::{Config, Service, Via};
use fairway_health::{Launcher, Paths, Spec, Subject};
use fairway_ipvs::{BadName, Destination, DestinationKey, ServiceKey, Settings, Table};

use super::detour::Detours;
use crate::status::VrrpStatus;
use crate::table;

/// Why the services of a configuration cannot be run: each place, and what is wrong there.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Error(Vec<Problem>);

/// One thing that is wrong.
#[derive(Debug)]
pub struct Problem {
    /// The place, as a path of keys and names.
    at: String,
    cause: Cause,
}

#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error(transparent)]
    Check(#[from] fairway_health::Error),
    #[error(transparent)]
    Scheduler(#[from] BadName),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.cause)
    }
}

/// The services of a configuration, ready to run.
#[derive(Debug)]
pub struct Plan {
    /// Services in the order of the configuration.
    pub services: Vec<PlannedService>,
    /// What is probed: one entry for each check of each real server, in the order of `services`.
    pub subjects: Vec<Subject>,
    /// Services of marked packets that lead probes of virtual IPs to one server each.
    pub detours: Table,
}

/// One virtual service.
#[derive(Debug)]
pub struct PlannedService {
    /// As configured.
    pub config: Arc<Service>,
    /// What the kernel knows it by.
    pub key: ServiceKey,
    /// How it balances.
    pub settings: Settings,
    /// Its real servers, in the order of the configuration, as the kernel knows them.
    pub servers: Vec<(DestinationKey, Destination)>,
    /// Its sorry server, as the kernel knows it while it serves.
    pub sorry: Option<(DestinationKey, Destination)>,
}

impl Plan {
    /// Works out what `config` asks for; `paths` is what BFD sessions tell of the paths to servers.
    ///
    /// # Errors
    /// Every check that cannot be run.
    pub fn new(config: &Config, paths: &Paths) -> Result<Self, Error> {
        let mut problems = Vec::new();
        let mut specs = HashMap::new();
        let launcher = launcher();
        for (name, check) in &config.checks {
            match Spec::new(check, &launcher) {
                Ok(spec) => {
                    specs.insert(name.as_str(), Arc::new(spec.with_paths(paths)));
                }
                Err(cause) => problems.push(Problem { at: format!("checks.{name}"), cause: cause.into() }),
            }
        }
        let (mut services, mut subjects) = (Vec::with_capacity(config.services.len()), Vec::new());
        let mut detours = Detours::default();
        for service in &config.services {
            let at = format!("service.{}", service.name);
            match PlannedService::new(service) {
                Ok(planned) => services.push(planned),
                Err(cause) => problems.push(Problem { at: format!("{at}.scheduler"), cause: cause.into() }),
            }
            for server in &service.real_servers {
                let target = SocketAddr::new(server.address, server.port);
                // A name without a check is an error of the configuration; it has been refused before.
                for (name, spec) in
                    service.checks_of(server).iter().filter_map(|name| specs.get_key_value(name.as_str()))
                {
                    let subject = match (spec.check().via, service.listen.address()) {
                        (Via::Vip, Some(vip)) => {
                            let detour = detours.to(table::service_key(&service.listen).family(), server);
                            Subject::at(SocketAddr::new(vip, server.port), detour, spec.clone())
                        }
                        _ => Subject::new(target, spec.clone()),
                    };
                    match subject {
                        Ok(subject) => subjects.push(subject),
                        Err(cause) => problems.push(Problem {
                            at: format!("{at}.real-servers.{} (check {name})", server.name),
                            cause: cause.into(),
                        }),
                    }
                }
            }
        }
        if problems.is_empty() {
            Ok(Self { services, subjects, detours: detours.table })
        } else {
            Err(Error(problems))
        }
    }
}

/// Whether the servers of a service are not to be checked now: it wants to be checked by the master only, and this
/// director does not have its VIP (or, of a service of marked packets, any). A VIP that no group has is not waited for.
pub fn is_suspended(service: &Service, vrrp: &VrrpStatus) -> bool {
    let vip = service.listen.address();
    let mut groups = vrrp
        .values()
        .filter(|group| {
            vip.is_none_or(|vip| {
                group.instances.iter().any(|i| i.virtual_ips.contains(&vip) || i.excluded_ips.contains(&vip))
            })
        })
        .peekable();
    service.suspend_on_backup && groups.peek().is_some() && groups.all(|group| group.state != "master")
}

/// The director itself, in the verb that gives up all rights before it becomes a script.
pub fn launcher() -> Launcher {
    let own = std::env::current_exe().ok().and_then(|path| path.into_os_string().into_string().ok());
    Launcher(own.map(|path| vec![path, "exec".to_owned(), "--".to_owned()]).unwrap_or_default())
}

impl PlannedService {
    fn new(config: &Arc<Service>) -> Result<Self, BadName> {
        let servers = config.real_servers.iter().map(|server| table::destination(server, server.weight));
        Ok(Self {
            key: table::service_key(&config.listen),
            settings: table::settings(config)?,
            servers: servers.collect(),
            sorry: config.sorry_server.as_ref().map(table::sorry_destination),
            config: Arc::clone(config),
        })
    }
}
