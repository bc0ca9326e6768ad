//! A private bus, a director on it whose parts are played by the test, and a client.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;
use tempfile::TempDir;
use tokio::sync::watch;
use zbus::connection::Builder;
use zbus::wire::DynamicType;
use zbus::{Connection, Message, OwnedVariant};

use fairway_config::BfdKey;

use super::super::{Core, ManagerStatus, NAME, Reload, spawn};
use crate::bfd::{BfdCommand, BfdStatus, Finding, SessionStatus};
use crate::status::{
    GroupStatus, Handle, InstanceStatus, RealServerStatus, Refused, ServiceStatus, ServicesCommand,
    ServicesStatus, Statistics, TrackerStatus, VrrpCommand, VrrpStatus,
};

/// Longer than anything takes, shorter than anybody's patience.
const LIMIT: Duration = Duration::from_secs(15);

/// Waits for something that must happen.
pub async fn soon<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, event).await.expect("it happens soon")
}

/// What the parts were asked, and how they answer.
#[derive(Debug, Default)]
struct Script {
    heard: Vec<String>,
    refusal: Option<String>,
}

impl Script {
    fn answer(&mut self, heard: String) -> Result<(), Refused> {
        self.heard.push(heard);
        self.refusal.clone().map_or(Ok(()), |text| Err(Refused(text)))
    }

    fn count(&mut self, heard: String) -> Result<Statistics, Refused> {
        self.answer(heard).map(|()| Statistics::from([("sent".to_owned(), 7)]))
    }
}

/// See the module.
pub struct World {
    pub vrrp_status: watch::Sender<VrrpStatus>,
    pub bfd_status: watch::Sender<BfdStatus>,
    pub services_status: watch::Sender<ServicesStatus>,
    pub manager: watch::Sender<ManagerStatus>,
    pub core: Core,
    client: Option<Connection>,
    script: Arc<Mutex<Script>>,
    serving: Option<JoinHandle<()>>,
    bus: Bus,
}

impl World {
    /// Everything, once the director has its name.
    pub async fn start() -> Self {
        let (script, reload) = script();
        let mut bus = Bus::new();
        bus.start();
        let mut world = Self::build(script, reload, bus);
        world.connect().await;
        world
    }

    /// Everything, with a reload that the test carries out.
    pub async fn start_with(reload: Handle<Reload>) -> Self {
        let mut bus = Bus::new();
        bus.start();
        let mut world = Self::build(Arc::default(), reload, bus);
        world.connect().await;
        world
    }

    /// A director with no bus yet.
    pub fn without_bus() -> Self {
        let (script, reload) = script();
        Self::build(script, reload, Bus::new())
    }

    fn build(script: Arc<Mutex<Script>>, reload: Handle<Reload>, bus: Bus) -> Self {
        let (vrrp_status, vrrp_receiver) =
            watch::channel(VrrpStatus::from([("edge".to_owned(), Arc::new(edge()))]));
        let (services_status, services_receiver) =
            watch::channel(ServicesStatus::from([("web".to_owned(), web())]));
        let (bfd_status, bfd_receiver) = watch::channel(BfdStatus::from([(router(), session())]));
        let (manager, manager_receiver) = watch::channel(ManagerStatus {
            host: "lb1".to_owned(),
            cluster: "shop".to_owned(),
            generation: 1,
            config_file: "/etc/fairway/director.toml".to_owned(),
            last_reload_error: String::new(),
            notifications: BTreeMap::new(),
        });
        let core = Core {
            manager: manager_receiver,
            vrrp_status: vrrp_receiver,
            bfd_status: bfd_receiver,
            services_status: services_receiver,
            vrrp: play(&script, answer_vrrp),
            bfd: play(&script, answer_bfd),
            services: play(&script, answer_services),
            reload,
            shown: Arc::default(),
        };
        let address = bus.address.clone();
        let serving = spawn(core.clone(), move || Builder::address(address.as_str())).ok();
        Self { vrrp_status, bfd_status, services_status, manager, core, client: None, script, serving, bus }
    }

    /// Starts the bus and waits until the director has found it.
    pub async fn start_bus(&mut self) {
        self.bus.start();
        self.connect().await;
    }

    async fn connect(&mut self) {
        let client = soon(Builder::address(self.bus.address.as_str()).build()).await.unwrap();
        let names = zbus::fdo::DBusProxy::new(&client).await.unwrap();
        let name = zbus::names::BusName::try_from(NAME).unwrap();
        soon(async {
            while !names.name_has_owner(name.clone()).await.unwrap() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        self.client = Some(client);
    }

    /// The client's connection.
    pub fn client(&self) -> &Connection {
        self.client.as_ref().expect("the bus has been started")
    }

    /// Kills the bus.
    pub fn stop_bus(&mut self) {
        self.bus.stop();
    }

    /// Lets the parts end, as on a stop; the result is the thread that serves the bus.
    pub fn end_of_parts(&mut self) -> JoinHandle<()> {
        self.vrrp_status = watch::channel(VrrpStatus::new()).0;
        self.bfd_status = watch::channel(BfdStatus::new()).0;
        self.services_status = watch::channel(ServicesStatus::new()).0;
        let last = self.manager.borrow().clone();
        self.manager = watch::channel(last).0;
        self.serving.take().expect("there is the thread")
    }

    /// From now on the parts refuse everything.
    pub fn refuse(&self, text: &str) {
        self.script.lock().unwrap().refusal = Some(text.to_owned());
    }

    /// What the parts have been asked since the last look.
    pub fn heard(&self) -> Vec<String> {
        std::mem::take(&mut self.script.lock().unwrap().heard)
    }

    /// Calls a method of the director.
    pub async fn call<B>(&self, path: &str, interface: &str, method: &str, body: &B) -> zbus::Result<Message>
    where
        B: Serialize + DynamicType,
    {
        soon(self.client().call_method(Some(NAME), path, Some(interface), method, body)).await
    }

    /// All properties of one of the director's interfaces.
    pub async fn properties(&self, path: &str, interface: &str) -> HashMap<String, OwnedVariant> {
        let interface = format!("org.fairway.Director1.{interface}");
        let reply = self.call(path, "org.freedesktop.DBus.Properties", "GetAll", &interface).await.unwrap();
        reply.body().deserialize().unwrap()
    }
}

/// A script, and a reload that goes by it.
fn script() -> (Arc<Mutex<Script>>, Handle<Reload>) {
    let script = Arc::<Mutex<Script>>::default();
    let reload = play(&script, |script, Reload { reply }| {
        reply.send(script.answer("reload".to_owned())).unwrap();
    });
    (script, reload)
}

/// A part that answers by the script.
fn play<C: Send + 'static>(script: &Arc<Mutex<Script>>, answer: fn(&mut Script, C)) -> Handle<C> {
    let script = Arc::clone(script);
    let (handle, mut commands) = Handle::new();
    tokio::spawn(async move {
        while let Some(command) = commands.recv().await {
            answer(&mut script.lock().unwrap(), command);
        }
    });
    handle
}

fn answer_vrrp(script: &mut Script, command: VrrpCommand) {
    match command {
        VrrpCommand::Force { group, force, reply } => {
            reply.send(script.answer(format!("force {group} {force:?}"))).unwrap();
        }
        VrrpCommand::Failover { group, reply } => {
            reply.send(script.answer(format!("failover {group}"))).unwrap();
        }
        VrrpCommand::Statistics { group, instance, reply } => {
            reply.send(script.count(format!("statistics {group} {instance:?}"))).unwrap();
        }
        other => panic!("the bus sends no {other:?}"),
    }
}

fn answer_bfd(script: &mut Script, command: BfdCommand) {
    match command {
        BfdCommand::Statistics { key, reply } => {
            reply.send(script.count(format!("statistics of {key}"))).unwrap();
        }
        other => panic!("the bus sends no {other:?}"),
    }
}

/// A neighbour whose address alone does not tell it from others.
pub fn router() -> BfdKey {
    BfdKey { neighbour: "fe80::1".parse().unwrap(), interface: Some("eth0".parse().unwrap()) }
}

pub fn session() -> SessionStatus {
    SessionStatus {
        state: "up",
        remote_state: "up",
        diagnostic: "no diagnostic",
        remote_diagnostic: "path down",
        discriminator: 7,
        remote_discriminator: 99,
        transmit_interval_us: 50_000,
        detection_time_us: 150_000,
        finding: Finding::Up,
    }
}

fn answer_services(script: &mut Script, command: ServicesCommand) {
    match command {
        ServicesCommand::Order { service, server, order, reply } => {
            let times = order.until.is_some();
            reply.send(script.answer(format!("{} {service} {server} {times}", order.order))).unwrap();
        }
        ServicesCommand::Zero { service, reply } => {
            reply.send(script.answer(format!("zero {service:?}"))).unwrap();
        }
        ServicesCommand::Resume { service, server, reply } => {
            reply.send(script.answer(format!("resume {service} {server}"))).unwrap();
        }
        ServicesCommand::Statistics { service, server, reply } => {
            reply.send(script.count(format!("statistics {service} {server:?}"))).unwrap();
        }
        other => panic!("the bus sends no {other:?}"),
    }
}

/// A backup group with one instance.
pub fn edge() -> GroupStatus {
    let instance = InstanceStatus {
        name: "edge-public".to_owned(),
        state: "backup",
        interface: "eth0".to_owned(),
        family: "ipv4",
        vrid: 51,
        version: 3,
        priority: 200,
        base_priority: 210,
        advert_interval_ms: 250,
        master: Some("192.0.2.11".parse().unwrap()),
        master_priority: Some(220),
        place: "nowhere",
        virtual_ips: vec!["192.0.2.1".parse().unwrap()],
        excluded_ips: vec!["2001:db8::1".parse().unwrap()],
        virtual_mac: None,
        other_routers: Vec::new(),
    };
    GroupStatus {
        routes: vec!["route 0.0.0.0/0 via 192.0.2.254 table 100".to_owned()],
        missing_routes: Vec::new(),
        state: "backup",
        cause: "start".to_owned(),
        since: UNIX_EPOCH + Duration::from_secs(1_000_000),
        forced: "auto",
        instances: vec![instance],
        trackers: BTreeMap::from([(
            "proxy".to_owned(),
            TrackerStatus {
                kind: "process",
                state: "passing",
                weight: -30,
                detail: "haproxy runs".to_owned(),
            },
        )]),
    }
}

/// A service with one server in the table and one that is not.
pub fn web() -> ServiceStatus {
    let server = |last: u8, effective_weight| RealServerStatus {
        address: std::net::Ipv4Addr::new(192, 0, 2, last).into(),
        port: 80,
        forward: "direct",
        weight: 1,
        effective_weight,
        health: "up",
        detail: "200 OK".to_owned(),
        order: None,
    };
    ServiceStatus {
        address: Some("192.0.2.1".parse().unwrap()),
        port: 80,
        protocol: "tcp",
        scheduler: "wlc",
        quorum: "unknown",
        sorry: false,
        kernel_error: None,
        real_servers: BTreeMap::from([
            ("web1".to_owned(), server(71, Some(1))),
            ("web2".to_owned(), server(72, None)),
        ]),
    }
}

/// A dbus-daemon of our own; gone when dropped.
struct Bus {
    directory: TempDir,
    address: String,
    daemon: Option<Child>,
}

impl Bus {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let address = format!("unix:path={}/bus", directory.path().display());
        // As on a session bus: everybody may do everything.
        let policy =
            "<allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/><allow own=\"*\"/>";
        let config = format!(
            "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\" \
             \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n<busconfig><type>session</type><listen>{address}</listen>\
             <policy context=\"default\">{policy}</policy></busconfig>\n"
        );
        fs::write(directory.path().join("bus.conf"), config).unwrap();
        Self { directory, address, daemon: None }
    }

    fn start(&mut self) {
        let socket = self.directory.path().join("bus");
        let _absent = fs::remove_file(socket);
        let mut daemon = Command::new("dbus-daemon")
            .arg(format!("--config-file={}", self.directory.path().join("bus.conf").display()))
            .args(["--nofork", "--print-address=1"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("dbus-daemon is installed");
        let mut line = String::new();
        BufReader::new(daemon.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("unix:"), "dbus-daemon has not started: {line:?}");
        self.daemon = Some(daemon);
    }

    fn stop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill().unwrap();
            daemon.wait().unwrap();
        }
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.stop();
    }
}
