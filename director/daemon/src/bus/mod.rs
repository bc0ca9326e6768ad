//! `org.fairway.Director1` on the system bus. The bus is optional: nothing here delays VRRP or IPVS, and
//! a bus that is missing or restarts is tried again quietly.

mod bfd;
mod core;
mod error;
mod group;
mod instance;
mod level;
mod manager;
mod path;
mod server;
mod service;

use std::io;
use std::thread;
use std::time::Duration;

use tokio::sync::watch;
use zbus::Connection;
use zbus::connection::Builder;
use zbus::fdo::{ObjectManager, RequestNameFlags};

pub use self::core::{Core, ManagerStatus, Reload};
use self::level::Level;
use crate::bfd::{BfdStatus, SessionStatus};
use crate::status::{
    GroupStatus, InstanceStatus, RealServerStatus, ServiceStatus, ServicesStatus, VrrpStatus,
};

/// The well-known name.
pub const NAME: &str = "org.fairway.Director1";

/// Time between attempts to reach the bus.
const RETRY: Duration = Duration::from_secs(3);

/// A bus that does not answer a connection within this time counts as missing.
const PATIENCE: Duration = Duration::from_secs(10);

/// Objects put on the bus before other tasks get a turn.
const CHUNK: usize = 50;

/// Keeps the director on the bus that `bus` leads to for as long as it runs, on a thread of its own: an answer that
/// lists ten thousand objects holds up no verdict on a server.
///
/// # Errors
/// There is no such thread.
pub fn spawn(
    core: Core,
    bus: impl Fn() -> Builder<'static> + Send + 'static,
) -> io::Result<thread::JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name("bus".to_owned()).spawn(move || runtime.block_on(serve(core, bus)))
}

/// Returns when the daemon's parts have ended.
async fn serve(core: Core, bus: impl Fn() -> Builder<'static>) {
    let mut quiet = false;
    loop {
        let lost = match connect(&core, bus()).await {
            Ok(bus) => {
                quiet = false;
                tracing::info!(name = NAME, "serving D-Bus");
                bus.follow(&core).await
            }
            Err(error) => Err(error),
        };
        match lost {
            // The daemon's parts have ended: it is stopping.
            Ok(()) => return,
            Err(error) if !quiet => {
                quiet = true;
                tracing::warn!(
                    %error,
                    retry_seconds = RETRY.as_secs(),
                    "no D-Bus: the director works without it, fairwayctl does not; trying again quietly"
                );
            }
            Err(error) => tracing::debug!(%error, "still no D-Bus"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn connect(core: &Core, bus: Builder<'static>) -> zbus::Result<Bus> {
    let connection = tokio::time::timeout(PATIENCE, bus.method_timeout(PATIENCE).build())
        .await
        .map_err(|_| zbus::Error::Failure("the bus does not answer".to_owned()))??;
    Bus::start(connection, core).await
}

/// One connection with the objects that are on it.
struct Bus {
    connection: Connection,
    manager: Level<ManagerStatus>,
    vrrp: Vrrp,
    bfd: Level<SessionStatus>,
    services: Services,
}

impl Bus {
    /// Puts every object on the bus, then takes the name: who sees the name sees all objects.
    async fn start(connection: Connection, core: &Core) -> zbus::Result<Self> {
        let mut bus = Self {
            connection,
            manager: Level::default(),
            vrrp: Vrrp::default(),
            bfd: Level::default(),
            services: Services::default(),
        };
        let manager = core.manager.borrow().clone();
        bus.manager.sync(&bus.connection, core, &manager).await?;
        let (groups, services) = (core.vrrp_status.borrow().clone(), core.services_status.borrow().clone());
        bus.vrrp.sync(&bus.connection, core, &groups).await?;
        let sessions = core.bfd_status.borrow().clone();
        bus.bfd.sync(&bus.connection, core, &sessions).await?;
        bus.services.sync(&bus.connection, core, &services).await?;
        bus.connection.object_server().at(path::ROOT, ObjectManager).await?;
        bus.connection.request_name_with_flags(NAME, RequestNameFlags::DO_NOT_QUEUE).await?;
        Ok(bus)
    }

    /// Follows the status channels until the connection is lost (an error) or the parts have ended.
    async fn follow(self, core: &Core) -> zbus::Result<()> {
        let Self { connection: bus, manager, vrrp, bfd, services } = self;
        let manager = follow(manager, &bus, core, &core.manager, &core.shown.manager);
        let vrrp = follow(vrrp, &bus, core, &core.vrrp_status, &core.shown.vrrp);
        let bfd = follow(bfd, &bus, core, &core.bfd_status, &core.shown.bfd);
        let services = follow(services, &bus, core, &core.services_status, &core.shown.services);
        // Side by side, so that a thousand new services do not hide a transition.
        let all = async { tokio::try_join!(manager, vrrp, bfd, services).map(|_| ()) };
        tokio::select! {
            ended = all => ended,
            () = bus.closed() => Err(zbus::Error::Failure("the bus has closed the connection".to_owned())),
        }
    }
}

/// Shows every new state until its publisher has ended, and notes in `shown` which configuration it was of.
async fn follow<B: Branch>(
    mut branch: B,
    bus: &Connection,
    core: &Core,
    status: &watch::Receiver<B::Status>,
    shown: &watch::Sender<u64>,
) -> zbus::Result<()> {
    let (mut status, mut manager) = (status.clone(), core.manager.clone());
    loop {
        // In this order: a part publishes first, then the generation counts up.
        let generation = manager.borrow_and_update().generation;
        let state = status.borrow_and_update().clone();
        branch.sync(bus, core, &state).await?;
        shown.send_replace(generation);
        let changed = tokio::select! {
            changed = status.changed() => changed,
            changed = manager.changed() => changed,
        };
        if changed.is_err() {
            return Ok(());
        }
    }
}

/// Objects that show one status channel.
trait Branch {
    /// What the channel carries.
    type Status: Clone + Send + Sync;

    /// Makes the bus show `status`.
    fn sync(
        &mut self,
        bus: &Connection,
        core: &Core,
        status: &Self::Status,
    ) -> impl Future<Output = zbus::Result<()>> + Send;
}

impl Branch for Level<ManagerStatus> {
    type Status = ManagerStatus;

    async fn sync(&mut self, bus: &Connection, core: &Core, status: &ManagerStatus) -> zbus::Result<()> {
        self.put(bus, core, (), status).await
    }
}

impl Branch for Level<SessionStatus> {
    type Status = BfdStatus;

    async fn sync(&mut self, bus: &Connection, core: &Core, status: &BfdStatus) -> zbus::Result<()> {
        self.prune(bus, |key| status.contains_key(key)).await?;
        for (key, session) in status {
            self.put(bus, core, key.clone(), session).await?;
        }
        Ok(())
    }
}

/// Failover groups and their instances.
#[derive(Default)]
struct Vrrp {
    groups: Level<GroupStatus>,
    instances: Level<InstanceStatus>,
}

impl Branch for Vrrp {
    type Status = VrrpStatus;

    async fn sync(&mut self, bus: &Connection, core: &Core, status: &VrrpStatus) -> zbus::Result<()> {
        let present =
            |(group, name): &(String, String)| status.get(group).is_some_and(|g| g.instance(name).is_some());
        self.instances.prune(bus, present).await?;
        self.groups.prune(bus, |name| status.contains_key(name)).await?;
        for (name, group) in status {
            self.groups.put(bus, core, name.clone(), group).await?;
            for instance in &group.instances {
                self.instances.put(bus, core, (name.clone(), instance.name.clone()), instance).await?;
            }
        }
        Ok(())
    }
}

/// Virtual services and their real servers.
#[derive(Default)]
struct Services {
    services: Level<ServiceStatus>,
    servers: Level<RealServerStatus>,
}

impl Branch for Services {
    type Status = ServicesStatus;

    async fn sync(&mut self, bus: &Connection, core: &Core, status: &ServicesStatus) -> zbus::Result<()> {
        let present = |(service, name): &(String, String)| {
            status.get(service).is_some_and(|s| s.real_servers.contains_key(name))
        };
        self.servers.prune(bus, present).await?;
        self.services.prune(bus, |name| status.contains_key(name)).await?;
        let mut since_yield = 0;
        for (name, service) in status {
            self.services.put(bus, core, name.clone(), service).await?;
            for (server, state) in &service.real_servers {
                self.servers.put(bus, core, (name.clone(), server.clone()), state).await?;
            }
            since_yield += 1 + service.real_servers.len();
            if since_yield >= CHUNK {
                since_yield = 0;
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
