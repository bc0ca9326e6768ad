//! The running director: its parts, the signals it obeys, and what systemd is told.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use caps::{CapSet, Capability};
use fairway_config::{Config, ConnectionSync, Document};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use zbus::connection::Builder;

use crate::bfd::{self, BfdCommand};
use crate::bus::{self, Core, ManagerStatus, Reload};
use crate::descriptors::{self, Named};
use crate::lock::Lock;
use crate::notifications::{self, Events, Flush};
use crate::notify::Notify;
use crate::services::Store;
use crate::status::{Handle, Refused, ServicesCommand, ServicesStatus, VrrpCommand, VrrpStatus};
use crate::summary::{is_ready, summary};
use crate::table::{TableHandle, TableStatus};
use crate::vrrp::Heartbeat;
use crate::{config, memory, reload, services, sync, takeover, track, vrrp};

/// After a start or a reload the first elections, checks and messages come within this time.
const SETTLING: Duration = Duration::from_secs(10);

/// Beyond the time the VRRP machines give themselves for a stop.
const STOP_MARGIN: Duration = Duration::from_secs(5);

/// The backups wait for little more than this.
const PASS_ON: Duration = Duration::from_secs(1);

/// Deleting services takes milliseconds; a kernel that needs longer than this is stuck.
const IPVS_STOP: Duration = Duration::from_secs(10);

/// What is told of the stop is told within this time.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Neighbours that do not answer are not waited for longer than the BFD thread does.
const BFD_STOP: Duration = Duration::from_secs(2);

/// Runs the director until it is told to stop.
///
/// # Errors
/// The configuration cannot be used, a part cannot start or has failed, or the stop left something behind.
pub fn run(path: &Path, take_over: bool, events: Events) -> anyhow::Result<()> {
    let mut inherited = descriptors::inherited();
    let document = config::load(path, None)?;
    require_capabilities()?;
    let lock = if take_over {
        inherited = takeover::ask().context("the running director does not let this one take over")?;
        Lock::take_within(PASS_ON)?
    } else {
        Lock::take()?
    };
    let lock = Arc::new(lock);
    // One thread: what takes its time has a thread of its own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(async {
        Director::start(path, document, (inherited, events), Arc::clone(&lock))?.supervise().await
    });
    // What is still under way (probes, a bus that does not answer) does not hold up the exit.
    runtime.shutdown_background();
    result
}

/// Refuses to start without what the director cannot do without: a master that may not add addresses would leave the
/// virtual IPs nowhere, and a successor that may not would have taken over from a process that could.
fn require_capabilities() -> anyhow::Result<()> {
    for capability in [Capability::CAP_NET_ADMIN, Capability::CAP_NET_RAW] {
        if !caps::has_cap(None, CapSet::Effective, capability).context("cannot read the capabilities")? {
            bail!("the director needs {capability}: let its unit start it, which grants that, or root");
        }
    }
    Ok(())
}

struct Director {
    path: PathBuf,
    /// The configuration in force.
    document: Document,
    signals: Signals,
    notify: Notify,
    vrrp: Handle<VrrpCommand>,
    vrrp_status: watch::Receiver<VrrpStatus>,
    bfd: Handle<BfdCommand>,
    services: Handle<ServicesCommand>,
    services_status: watch::Receiver<ServicesStatus>,
    table_status: watch::Receiver<TableStatus>,
    manager: watch::Sender<ManagerStatus>,
    /// What connection synchronisation is to do.
    sync: watch::Sender<Option<ConnectionSync>>,
    /// Whose trackers are to be watched.
    tracked: watch::Sender<Arc<Config>>,
    /// Who is to be told of what happens.
    told_of: watch::Sender<Arc<Config>>,
    flush: mpsc::UnboundedSender<Flush>,
    notifications: watch::Receiver<notifications::Status>,
    reloads: mpsc::UnboundedReceiver<Reload>,
    /// Directors that want to go on from here.
    takeovers: mpsc::Receiver<UnixStream>,
    ready: bool,
    /// When what the last start or reload needed is not needed any more.
    settled: Option<Instant>,
    /// The status line systemd has.
    told: String,
}

impl Director {
    /// Starts all parts. VRRP does not wait for IPVS, and nothing waits for the bus.
    fn start(
        path: &Path,
        document: Document,
        (inherited, events): (Vec<Named>, Events),
        lock: Arc<Lock>,
    ) -> anyhow::Result<Self> {
        let config = Arc::clone(document.config());
        // Before anything that would have to be cleaned up.
        let signals = Signals::new().context("cannot handle signals")?;
        let notify = Notify::spawn().context("cannot start the thread that talks to systemd")?;
        // Kept by systemd for the next start as well, unless told otherwise: after a crash they would be old news.
        inherited
            .iter()
            .map(|(name, _)| name.clone())
            .collect::<BTreeSet<_>>()
            .into_iter()
            .for_each(|name| notify.forget(name));
        // Before anything happens that somebody may want to be told of.
        let (told, wanted) = watch::channel(Arc::clone(&config));
        let (flush, flushes) = mpsc::unbounded_channel();
        let (deliveries, notifications) = watch::channel(notifications::Status::new());
        tokio::spawn(notifications::run(events, wanted, flushes, deliveries));
        let (bfd_sessions, inherited): (Vec<_>, _) =
            inherited.into_iter().partition(|(name, _)| name == bfd::STATE);
        let (health, inherited): (Vec<_>, _) =
            inherited.into_iter().partition(|(name, _)| name == services::STATE);
        let heartbeat = Heartbeat::default();
        let (vrrp, vrrp_commands) = Handle::new();
        let (vrrp_sender, vrrp_status) = watch::channel(VrrpStatus::new());
        // The thread ends with its commands; its end shows as the end of its status.
        let _thread =
            vrrp::spawn(config.failover.clone(), vrrp_commands, vrrp_sender, heartbeat.clone(), inherited)
                .context("cannot start VRRP")?;
        let (bfd, bfd_commands) = Handle::new();
        let (bfd_sender, bfd_status) = watch::channel(bfd::BfdStatus::new());
        bfd::spawn(config.bfd_sessions(), bfd_commands, bfd_sender, bfd_sessions)
            .context("cannot start the BFD thread")?;
        let table = TableHandle::spawn().context("cannot start the IPVS thread")?;
        let table_status = table.status();
        let (services, services_commands) = Handle::new();
        let (services_sender, services_status) = watch::channel(ServicesStatus::new());
        tokio::spawn(services::run(
            Arc::clone(&config),
            table,
            services::Before { orders: Store::from_environment(), health: services::Saved::read(health) },
            bfd::paths(bfd_status.clone()),
            vrrp_status.clone(),
            services_commands,
            services_sender,
        ));
        let (sync, wanted) = watch::channel(config.connection_sync.clone());
        tokio::spawn(sync::run(wanted));
        let eyes = track::Eyes { services: services_status.clone(), bfd: bfd_status.clone() };
        let (tracked, wanted) = watch::channel(Arc::clone(&config));
        tokio::spawn(track::run(vrrp.clone(), eyes, wanted));
        let (reload, reloads) = Handle::new();
        let (manager, manager_status) = watch::channel(ManagerStatus {
            host: config.host.clone(),
            cluster: config.cluster.clone(),
            generation: 1,
            config_file: path.display().to_string(),
            last_reload_error: String::new(),
            notifications: notifications.borrow().clone(),
        });
        let core = Core {
            manager: manager_status,
            vrrp_status: vrrp_status.clone(),
            bfd_status,
            services_status: services_status.clone(),
            vrrp: vrrp.clone(),
            bfd: bfd.clone(),
            services: services.clone(),
            reload,
            shown: Arc::default(),
        };
        let (questions, takeovers) = mpsc::channel(1);
        tokio::spawn(takeover::serve(lock, questions));
        if let Err(error) = bus::spawn(core, Builder::system) {
            tracing::warn!(%error, "no D-Bus: no thread can be started for it; fairwayctl does not work");
        }
        notify.watchdog(heartbeat).context("cannot start the thread that feeds the watchdog")?;
        tracing::info!(
            event = "started",
            version = env!("CARGO_PKG_VERSION"),
            host = config.host,
            cluster = config.cluster,
            config = %path.display(),
            "director started"
        );
        Ok(Self {
            path: path.to_owned(),
            document,
            signals,
            notify,
            vrrp,
            vrrp_status,
            bfd,
            services,
            services_status,
            table_status,
            manager,
            sync,
            tracked,
            told_of: told,
            flush,
            notifications,
            reloads,
            takeovers,
            ready: false,
            settled: None,
            told: String::new(),
        })
    }

    /// Obeys signals and reload requests until the end.
    async fn supervise(mut self) -> anyhow::Result<()> {
        loop {
            self.tell();
            tokio::select! {
                order = self.signals.next() => match order {
                    Order::Stop(name) => return self.stop(name).await,
                    Order::HandOver => {
                        self.pass_on(None).await;
                        return Ok(());
                    }
                    // The reason has been logged; SIGHUP has nobody else to tell.
                    Order::Reload => drop(self.reload().await),
                },
                Some(successor) = self.takeovers.recv() => {
                    self.pass_on(Some(successor)).await;
                    return Ok(());
                }
                Some(Reload { reply }) = self.reloads.recv() => {
                    let outcome = self.reload().await;
                    let _gone = reply.send(outcome);
                }
                alive = self.vrrp_status.changed() => {
                    alive.map_err(|_| anyhow!("the VRRP thread has ended; its last words are in the log"))?;
                }
                alive = self.services_status.changed() => {
                    alive.map_err(|_| anyhow!("the services task has ended; its last words are in the log"))?;
                }
                alive = self.table_status.changed() => {
                    alive.map_err(|_| anyhow!("the IPVS thread has ended; its last words are in the log"))?;
                }
                () = tokio::time::sleep_until(self.settled.unwrap_or_else(Instant::now)), if self.settled.is_some() => {
                    self.settled = None;
                    memory::give_back_beside();
                }
                Ok(()) = self.notifications.changed() => {
                    let notifications = self.notifications.borrow_and_update().clone();
                    self.manager.send_modify(|status| status.notifications = notifications);
                }
            }
        }
    }

    /// Tells systemd what has changed, and that the director is ready as soon as it is.
    fn tell(&mut self) {
        let vrrp = self.vrrp_status.borrow_and_update();
        let services = self.services_status.borrow_and_update();
        let table = self.table_status.borrow_and_update();
        if !self.ready && is_ready(self.document.config(), &vrrp, &table) {
            self.ready = true;
            self.notify.ready();
            tracing::info!("ready");
            self.settled = Some(Instant::now() + SETTLING);
        }
        let failed = !self.manager.borrow().last_reload_error.is_empty();
        let text = summary(&vrrp, &services, &table.kernel, failed);
        if text != self.told {
            self.notify.status(&text);
            self.told = text;
        }
    }

    /// Reads the configuration again and puts it in force; if anything is wrong with it, nothing changes.
    async fn reload(&mut self) -> Result<(), Refused> {
        self.notify.reloading();
        let outcome = self.read_and_apply().await;
        match &outcome {
            Ok(()) => {
                self.manager.send_modify(|status| {
                    status.generation += 1;
                    status.host.clone_from(&self.document.config().host);
                    status.cluster.clone_from(&self.document.config().cluster);
                    status.last_reload_error.clear();
                });
                let generation = self.manager.borrow().generation;
                tracing::info!(event = "reloaded", generation, "configuration reloaded");
            }
            Err(Refused(text)) => {
                self.manager.send_modify(|status| status.last_reload_error.clone_from(text));
                let generation = self.manager.borrow().generation;
                tracing::error!(
                    event = "reload-failed",
                    generation,
                    "reload failed, the last good configuration stays in force: {text}"
                );
            }
        }
        self.notify.ready();
        self.settled = Some(Instant::now() + SETTLING);
        outcome
    }

    async fn read_and_apply(&mut self) -> Result<(), Refused> {
        let path = self.path.clone();
        let before = self.document.clone();
        let document = tokio::task::spawn_blocking(move || config::load(&path, Some(&before)))
            .await
            .map_err(|error| Refused(error.to_string()))?
            .map_err(|error| Refused(error.to_string()))?;
        let new = document.config();
        reload::apply(&self.vrrp, &self.services, self.document.config(), new).await?;
        self.sync.send_replace(new.connection_sync.clone());
        self.bfd.tell(BfdCommand::Configure { sessions: new.bfd_sessions() });
        self.tracked.send_replace(Arc::clone(new));
        self.told_of.send_replace(Arc::clone(new));
        self.document = document;
        Ok(())
    }

    /// Leaves virtual IPs and IPVS as they are, and gives the VRRP state and sockets to the next process if it is there
    /// already, or to systemd.
    async fn pass_on(self, successor: Option<UnixStream>) {
        tracing::info!("handing over: virtual IPs and IPVS stay as they are for the next director");
        let (answer, sessions, health) = tokio::join!(
            patiently(PASS_ON, self.vrrp.ask(|reply| VrrpCommand::PassOn { reply })),
            patiently(PASS_ON, self.bfd.ask(|reply| BfdCommand::PassOn { reply })),
            patiently(PASS_ON, self.services.ask(|reply| ServicesCommand::PassOn { reply })),
        );
        let sessions = sessions.unwrap_or_else(|error| {
            tracing::warn!("BFD sessions begin anew: {error:#}");
            Vec::new()
        });
        let health = health.inspect_err(|error| tracing::warn!("servers are checked anew: {error:#}")).ok();
        let rest = sessions.into_iter().chain(health);
        let answer = answer.map(|descriptors| descriptors.into_iter().chain(rest).collect::<Vec<_>>());
        let kept = match (answer, successor) {
            (Ok(descriptors), Some(successor)) => {
                let count = descriptors.len();
                let sent =
                    tokio::task::spawn_blocking(move || takeover::answer(&successor, &descriptors)).await;
                match sent.map_err(io::Error::other).flatten() {
                    Ok(()) => {
                        return tracing::info!(count, "the next director has the VRRP state and sockets");
                    }
                    Err(error) => Err(anyhow::Error::from(error).context("it has gone")),
                }
            }
            (Ok(descriptors), None) => self.notify.keep(descriptors, PASS_ON).await,
            (Err(error), _) => Err(error),
        };
        match kept {
            Ok(0) => tracing::info!(
                "no service manager keeps the VRRP state; the next director starts as after a crash"
            ),
            Ok(count) => tracing::info!(count, "the service manager keeps the VRRP state and sockets"),
            Err(error) => tracing::warn!("the next director starts as after a crash: {error:#}"),
        }
    }

    /// Hands mastership over, releases the virtual IPs, then takes the services out of the kernel.
    async fn stop(self, signal: &'static str) -> anyhow::Result<()> {
        // Who asks for a reload from now on is told that it is too late.
        drop(self.reloads);
        let vrrp_limit = stop_limit(self.document.config());
        self.notify.stopping(vrrp_limit + IPVS_STOP + LAST_WORDS);
        self.notify.status("stopping");
        tracing::info!(event = "stopping", signal, "stopping");
        let vrrp = patiently(vrrp_limit, self.vrrp.ask(|reply| VrrpCommand::Stop { reply })).await;
        let (services, sessions) = tokio::join!(
            patiently(IPVS_STOP, self.services.ask(|reply| ServicesCommand::Stop { reply })),
            patiently(BFD_STOP, self.bfd.ask(|reply| BfdCommand::Stop { reply })),
        );
        if let Err(error) = sessions {
            tracing::warn!("BFD neighbours may take the stop for a failure: {error:#}");
        }
        drop(self.sync); // ends its task, which would start the daemons again
        if self.document.config().connection_sync.is_some() && !self.document.config().ipvs.keep_on_stop {
            sync::stop().await;
        }
        let (done, told) = oneshot::channel();
        if self.flush.send(done).is_ok() && tokio::time::timeout(LAST_WORDS, told).await.is_err() {
            tracing::warn!("not everybody could be told that the director stops");
        }
        vrrp.context("VRRP did not stop cleanly; `fairway-director release` removes what it left")?;
        services.context("the IPVS table is not clean; `fairway-director release` removes what is left")?;
        tracing::info!("stopped");
        Ok(())
    }
}

async fn patiently<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, Refused>>,
) -> anyhow::Result<T> {
    match tokio::time::timeout(limit, answer).await {
        Ok(answer) => answer.map_err(anyhow::Error::from),
        Err(_) => Err(anyhow!("no answer within {} s", limit.as_secs())),
    }
}

/// A master that stops serves on until a successor is heard, at most for about 3 intervals and the skew of
/// the peers (RFC 9568 section 6.1), and then keeps its VIPs parked for a second.
fn stop_limit(config: &Config) -> Duration {
    let intervals = config.failover.iter().flat_map(|g| &g.instances).map(|i| i.advert_interval.get());
    intervals.max().unwrap_or_default() * 4 + STOP_MARGIN
}

enum Order {
    Stop(&'static str),
    HandOver,
    Reload,
}

struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
    usr1: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
            usr1: signal(SignalKind::user_defined1())?,
        })
    }

    async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.term.recv() => Order::Stop("SIGTERM"),
            _ = self.int.recv() => Order::Stop("SIGINT"),
            _ = self.hup.recv() => Order::Reload,
            _ = self.usr1.recv() => Order::HandOver,
        }
    }
}
