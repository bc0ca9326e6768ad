//! The services task: which real servers are in the IPVS table, and with which weight.
//!
//! It owns the configuration of the services, the health checks and the operator's drains. What follows from
//! them is worked out in [`desired`], without I/O; the task hands the result to the thread that owns the kernel's
//! table, and publishes what came of it. Nothing depends on the VRRP role: all directors keep the same table.

mod commands;
mod desired;
mod detour;
mod once;
mod overrides;
mod passing;
mod plan;
mod prober;
mod view;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fairway_config::Config;
use fairway_health::{CheckId, Health, Monitor, Paths, Report, Subject};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tracing::{error, info, warn};

use self::desired::{Change, Desired, QuorumChange, QuorumState};
pub use self::overrides::{Order, Override, Store, after};
pub use self::passing::{STATE, Saved};
use self::plan::Plan;
use self::prober::Prober;
use crate::status::{Refused, Reply, ServicesCommand, ServicesStatus, VrrpStatus};
use crate::table::{self, KernelStatus, TableHandle, TableStatus};

pub(crate) use self::plan::{Error, launcher};

/// Reports of health checks taken in one go, so that many changes at once become one change of the table.
const REPORTS: usize = 1024;

/// How often orders that end and connections of drained servers are looked at.
const TICK: Duration = Duration::from_secs(1);

/// Status is published at once, but then not again for this long: its readers copy all of it.
const PUBLISH_PAUSE: Duration = Duration::from_millis(50);

/// Finds what keeps the services of a configuration from being run, beyond what [`Config::validate`] knows:
/// patterns that are no regular expressions, paths that cannot be asked for, servers without a port to probe.
///
/// # Errors
/// All of it at once.
pub(crate) fn verify(config: &Config) -> Result<(), Error> {
    Plan::new(config, &Paths::default()).map(drop)
}

/// What outlives a director.
#[derive(Debug, Default)]
pub(crate) struct Before {
    /// The operator's orders.
    pub(crate) orders: Store,
    /// What the process before knew of servers.
    pub(crate) health: Saved,
}

/// Runs the services until [`ServicesCommand::Stop`] has been carried out, or, leaving the kernel's table as it
/// is, until the sending side of `commands` is gone.
///
/// `config` should have passed [`verify`]; if it has not, the error is logged and nothing is balanced until a
/// configuration comes that can be run.
pub(crate) async fn run(
    config: Arc<Config>,
    table: TableHandle,
    before: Before,
    paths: Paths,
    vrrp: watch::Receiver<VrrpStatus>,
    mut commands: mpsc::UnboundedReceiver<ServicesCommand>,
    status: watch::Sender<ServicesStatus>,
) {
    let prober = Prober::start();
    let (monitor, mut reports) = Monitor::new(prober.runtime());
    let mut table_status = table.status();
    let (emptied, mut empty) = mpsc::unbounded_channel();
    let mut roles = vrrp.clone();
    let mut task = Task {
        paths,
        vrrp,
        monitor,
        subjects: HashMap::new(),
        saved: before.health,
        store: before.orders,
        emptied,
        desired: Desired::default(),
        config: None,
        kernel: table_status.borrow().clone(),
        table,
        adopted: false,
        handed: None,
        generation: 0,
        waiting: Vec::new(),
        status,
        unpublished: BTreeSet::new(),
        publish_after: Instant::now(),
    };
    task.desired.restore(task.store.load());
    if let Err(failure) = task.configure(config) {
        error!(error = %failure, "the services cannot be run");
    }
    task.publish();
    let mut batch = Vec::with_capacity(REPORTS);
    let (mut table_lives, mut vrrp_lives) = (true, true);
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let step = task.desired.next_step(std::time::Instant::now());
        tokio::select! {
            command = commands.recv() => match command {
                Some(ServicesCommand::Stop { reply }) => return task.stop(reply).await,
                Some(command) => task.command(command),
                None => return,
            },
            _ = reports.recv_many(&mut batch, REPORTS) => task.reports(&mut batch),
            changed = table_status.changed(), if table_lives => {
                table_lives = changed.is_ok();
                let latest = table_status.borrow_and_update().clone();
                task.table_changed(latest, table_lives);
            }
            changed = roles.changed(), if vrrp_lives => {
                vrrp_lives = changed.is_ok();
                task.suspend();
            }
            _ = ticks.tick(), if !task.desired.overrides().is_empty() => task.tick(),
            Some((service, server)) = empty.recv() => task.no_connections(&service, &server),
            () = tokio::time::sleep_until(step.unwrap_or_else(std::time::Instant::now).into()), if step.is_some() => {
                task.grow();
            }
            () = tokio::time::sleep_until(task.publish_after), if !task.unpublished.is_empty() => {}
        }
        if Instant::now() >= task.publish_after {
            task.publish();
        }
    }
}

struct Task {
    /// What BFD sessions tell of the paths to servers.
    paths: Paths,
    /// Who is master, for services that are checked by the master only.
    vrrp: watch::Receiver<VrrpStatus>,
    monitor: Monitor,
    /// What each running check probes.
    subjects: HashMap<CheckId, Subject>,
    /// What the process before knew, until it is made use of.
    saved: Saved,
    store: Store,
    /// Where it is told that a drained server has no connections left.
    emptied: mpsc::UnboundedSender<(String, String)>,
    desired: Desired,
    /// The configuration in force; `None` until one could be run.
    config: Option<Arc<Config>>,
    table: TableHandle,
    /// What the table's thread published last.
    kernel: TableStatus,
    /// Whether the kernel's own table is known. Before that nothing is handed over: it would take out servers
    /// that serve and have no verdict yet.
    adopted: bool,
    /// The desired table that was handed over last, and its number.
    handed: Option<fairway_ipvs::Table>,
    generation: u64,
    /// Who is to be told when a desired table has been carried out.
    waiting: Vec<Waiting>,
    status: watch::Sender<ServicesStatus>,
    /// Numbers of services whose published status is out of date.
    unpublished: BTreeSet<usize>,
    publish_after: Instant,
}

struct Waiting {
    generation: u64,
    /// The service whose error is the answer; `None`: errors are told elsewhere.
    service: Option<fairway_ipvs::ServiceKey>,
    reply: Reply<()>,
}

impl Task {
    /// Takes over a configuration, or changes nothing.
    fn configure(&mut self, config: Arc<Config>) -> Result<(), Error> {
        let plan = Plan::new(&config, &self.paths)?;
        let saved = std::mem::take(&mut self.saved);
        let mut known = saved.verdicts();
        let checks = self.monitor.resume(&plan.subjects, &known);
        self.subjects = checks.iter().copied().zip(plan.subjects.iter().cloned()).collect();
        let (services, probes) = (plan.services.len(), checks.iter().collect::<BTreeSet<_>>().len());
        let now = std::time::Instant::now();
        self.desired.configure(plan, &checks, now);
        if saved != Saved::default() {
            let verdict = |(check, subject): (&CheckId, &Subject)| {
                Some((*check, known.remove(&subject.fingerprint())?))
            };
            let verdicts: HashMap<_, _> = self.subjects.iter().filter_map(verdict).collect();
            info!(checks = verdicts.len(), "servers' health is known from the process before");
            self.desired.inherit(&saved, verdicts, now);
        }
        self.config = Some(config);
        // Numbers of services, and of checks, are others now.
        self.desired.suspend(BTreeSet::new());
        self.suspend();
        if self.adopted {
            self.adopt_foreign();
        } else {
            self.adopt();
        }
        self.hand_over();
        info!(services, checks = probes, "services configured");
        let names: BTreeSet<_> = (0..self.desired.len()).map(|index| self.desired.name(index)).collect();
        self.status.send_if_modified(|status| {
            let before = status.len();
            status.retain(|name, _| names.contains(name.as_str()));
            status.len() != before
        });
        self.unpublished = (0..self.desired.len()).collect();
        Ok(())
    }

    /// Takes over weights from the kernel's table as it was found, once both it and our services are known.
    fn adopt(&mut self) {
        if self.adopted || self.config.is_none() {
            return;
        }
        if let Some(initial) = &self.kernel.initial {
            let servers = self.desired.adopt(initial, std::time::Instant::now());
            self.adopted = true;
            if servers > 0 {
                info!(servers, "servers found in the kernel keep their weight until their first verdict");
            }
        }
    }

    /// A service that was someone else's until the configuration named it is taken over as at the start.
    fn adopt_foreign(&mut self) {
        let Some(initial) = &self.kernel.initial else { return };
        let was_foreign = |key| initial.get(key).map(|service| (*key, Arc::clone(service)));
        let found = self.kernel.foreign.iter().filter_map(was_foreign).collect();
        self.desired.adopt(&found, std::time::Instant::now());
    }

    /// Stops checking the servers of services that this director does not hold and that want it so, and begins
    /// again where it holds them.
    fn suspend(&mut self) {
        let suspended = {
            let vrrp = self.vrrp.borrow();
            let suspended = |index: &usize| plan::is_suspended(&self.desired.service(*index).config, &vrrp);
            (0..self.desired.len()).filter(suspended).collect::<BTreeSet<_>>()
        };
        let before = self.desired.suspended();
        if *before == suspended {
            return;
        }
        self.unpublished.extend(before.symmetric_difference(&suspended));
        info!(services = suspended.len(), "services are not checked while this director is backup");
        let idle = self.desired.suspend(suspended);
        self.monitor.suspend(&idle);
    }

    /// Tells the table's thread what the kernel is to hold.
    fn hand_over(&mut self) {
        if let Some(config) = self.config.as_ref().filter(|_| self.adopted) {
            self.handed = Some(self.desired.table().clone());
            self.generation = self.table.set(table::Desired {
                services: self.desired.table().clone(),
                timeouts: table::timeouts(config.ipvs.timeouts.as_ref()),
                audit_period: config.ipvs.audit_period.get(),
            });
        }
    }

    /// Hands over what has become of a change, if anything has.
    fn hand_over_changes(&mut self) {
        for change in self.desired.take_quorum_changes() {
            log_quorum(&change);
        }
        if self.handed.as_ref() != Some(self.desired.table()) {
            self.hand_over();
        }
    }

    fn reports(&mut self, batch: &mut Vec<Report>) {
        let now = std::time::Instant::now();
        for report in batch.drain(..) {
            self.unpublished.extend(self.desired.services_of(report.check));
            for change in self.desired.report(report, now) {
                log(&change);
            }
        }
        self.hand_over_changes();
    }

    /// Ends orders whose time has come, and asks after the connections of drained servers.
    fn tick(&mut self) {
        let ended = self.desired.expire(SystemTime::now(), std::time::Instant::now());
        if !ended.is_empty() {
            for (service, server) in &ended {
                info!(event = "order", service, server, "the operator's order has come to its end");
                self.unpublished.extend(self.desired.find_service(service).ok());
            }
            self.store.save(self.desired.overrides());
            self.hand_over_changes();
        }
        for (service, servers) in self.desired.overrides() {
            for server in servers.iter().filter(|(_, order)| order.is_draining()).map(|(server, _)| server) {
                let Ok((index, position)) = self.desired.find(service, server) else { continue };
                let planned = self.desired.service(index);
                let (key, (destination, _)) = (planned.key, planned.servers[position]);
                let (table, emptied) = (self.table.clone(), self.emptied.clone());
                let names = (service.clone(), server.clone());
                tokio::spawn(async move {
                    let Ok(found) = table.statistics(key).await else { return };
                    // One that is not in the table has no connections to wait for either.
                    let counters = found.destinations.get(&destination).copied().unwrap_or_default();
                    let connections = [
                        counters.active_connections,
                        counters.inactive_connections,
                        counters.persistent_connections,
                    ];
                    if connections == [0; 3] {
                        let _gone = emptied.send(names);
                    }
                });
            }
        }
    }

    /// A drained server has no connections left.
    fn no_connections(&mut self, service: &str, server: &str) {
        let order = self.desired.overrides().get(service).and_then(|servers| servers.get(server));
        let Some(order) = order.copied().filter(Override::is_draining) else { return };
        info!(event = "order", service, server, "drained: no connections are left");
        let done = Some(Override { emptied: true, ..order });
        if self.desired.order(service, server, done, std::time::Instant::now()).is_ok() {
            self.store.save(self.desired.overrides());
            self.unpublished.extend(self.desired.find_service(service).ok());
            self.hand_over_changes();
        }
    }

    /// Lets the weights of servers that start slowly grow.
    fn grow(&mut self) {
        let services = self.desired.step(std::time::Instant::now());
        self.unpublished.extend(services);
        self.hand_over_changes();
    }

    /// The table's thread has published something (or, if it no longer `lives`, has ended).
    fn table_changed(&mut self, latest: TableStatus, lives: bool) {
        let old = std::mem::replace(&mut self.kernel, latest);
        let differs = |index: &usize| view::differs(&self.desired.service(*index).key, &old, &self.kernel);
        self.unpublished.extend((0..self.desired.len()).filter(differs));
        if !self.adopted {
            self.adopt();
            self.hand_over();
            // Who asked before there was anything to hand over to waits for this.
            self.waiting.iter_mut().for_each(|waiting| waiting.generation = self.generation);
        }
        self.answer_waiting(lives);
    }

    /// Answers once the kernel has what was handed over last.
    fn answer_when_done(&mut self, service: Option<fairway_ipvs::ServiceKey>, reply: Reply<()>) {
        self.waiting.push(Waiting { generation: self.generation, service, reply });
        self.answer_waiting(true);
    }

    fn answer_waiting(&mut self, table_lives: bool) {
        // Without a kernel table the order stands and waits for one; the status says so.
        let no_kernel = matches!(self.kernel.kernel, KernelStatus::Unavailable(_));
        let done = |waiting: &mut Waiting| {
            !table_lives || no_kernel || (self.adopted && self.kernel.generation >= waiting.generation)
        };
        let done: Vec<_> = self.waiting.extract_if(.., done).collect();
        if !done.is_empty() {
            // Who has been answered finds the status up to date.
            self.publish();
        }
        for Waiting { service, reply, .. } in done {
            let error = service.and_then(|service| self.kernel.errors.get(&service));
            answer(reply, error.map_or(Ok(()), |text| Err(Refused(text.clone()))));
        }
    }

    fn publish(&mut self) {
        let out_of_date = std::mem::take(&mut self.unpublished);
        if out_of_date.is_empty() {
            return;
        }
        self.publish_after = Instant::now() + PUBLISH_PAUSE;
        let fresh: Vec<_> = out_of_date
            .into_iter()
            .map(|index| (self.desired.name(index), view::service(&self.desired, index, &self.kernel)))
            .collect();
        self.status.send_if_modified(|status| {
            let mut modified = false;
            for (name, service) in fresh {
                if status.get(name) != Some(&service) {
                    status.insert(name.to_owned(), service);
                    modified = true;
                }
            }
            modified
        });
    }

    /// Tells that what was up is down, of services that want it so (keepalived's `omega`): whoever acts on servers and
    /// quorums that come up acts on the end of the director, too.
    fn tell_the_end(&self) {
        let wants = |index: &usize| self.desired.service(*index).config.down_on_stop;
        for index in (0..self.desired.len()).filter(wants) {
            let service = self.desired.name(index);
            for up in self.desired.servers(index).filter(|server| server.health == Health::Up) {
                let server = up.config.name.as_str();
                warn!(
                    event = "server-down",
                    service,
                    server,
                    check = "",
                    detail = "the director stops",
                    "real server is down"
                );
            }
            if self.desired.quorum(index) == QuorumState::Up {
                let sorry = self.desired.service(index).sorry.is_some();
                log_quorum(&QuorumChange {
                    service: service.to_owned(),
                    state: QuorumState::Down,
                    weight: 0,
                    sorry,
                });
            }
        }
    }

    async fn stop(self, reply: Reply<()>) {
        self.tell_the_end();
        let keep = self.config.is_some_and(|config| config.ipvs.keep_on_stop);
        // No check changes anything any more.
        drop(self.monitor);
        answer(reply, self.table.stop(keep).await);
    }
}

/// Answers a request. An asker who is gone needs no answer.
fn answer<T>(reply: Reply<T>, result: Result<T, Refused>) {
    let _gone = reply.send(result);
}

fn log(change: &Change) {
    let Change { service, server, check, verdict, health: (before, after) } = change;
    let detail = verdict.detail.as_str();
    match (before, after) {
        (_, Health::Down) if before != after => {
            warn!(event = "server-down", service, server, check, detail, "real server is down");
        }
        (_, Health::Up) if before != after => {
            // That a server comes up at the start is no news.
            let event = (*before == Health::Down).then_some("server-up");
            info!(event, service, server, check, detail, "real server is up");
        }
        _ => {
            let (check_health, server_health) = (verdict.health.as_str(), after.as_str());
            info!(service, server, check, check_health, server_health, detail, "health check changed");
        }
    }
}

fn log_quorum(change: &QuorumChange) {
    let QuorumChange { service, state, weight, sorry } = change;
    match state {
        QuorumState::Down => {
            warn!(event = "quorum-lost", service, weight, sorry_server = sorry, "quorum lost");
        }
        QuorumState::Unknown | QuorumState::Up => {
            info!(event = "quorum-reached", service, weight, "quorum reached");
        }
    }
}
