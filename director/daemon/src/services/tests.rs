//! The task against a fake kernel and real sockets on the loopback.

mod endings;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::SocketAddr;

use fairway_ipvs::{Destination, DestinationKey, Forward, Name, Service, ServiceKey, Settings, Table};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;

use super::*;
use crate::status::{GroupStatus, Handle, InstanceStatus, ServiceStatus};
use crate::table::fake::FakeKernel;

const PATIENCE: Duration = Duration::from_secs(10);

const DRAIN: Override = Override { order: Order::Drain { deadline: None }, until: None, emptied: false };

/// The task under test, with its surroundings.
struct Running {
    kernel: FakeKernel,
    commands: Handle<ServicesCommand>,
    status: watch::Receiver<ServicesStatus>,
    vrrp: watch::Sender<VrrpStatus>,
    task: JoinHandle<()>,
}

impl Running {
    fn start(kernel: FakeKernel, config: &str) -> Self {
        Self::start_with(kernel, config, Before::default())
    }

    fn start_with(kernel: FakeKernel, config: &str, before: Before) -> Self {
        let table = TableHandle::spawn_on(kernel.clone()).unwrap();
        let (commands, requests) = Handle::new();
        let (sender, status) = watch::channel(ServicesStatus::new());
        let (vrrp, roles) = watch::channel(VrrpStatus::new());
        let config = Arc::new(Config::from_toml(config).unwrap());
        let task = tokio::spawn(run(config, table, before, Paths::default(), roles, requests, sender));
        Self { kernel, commands, status, vrrp, task }
    }

    /// Waits until the published status of `web` is as wanted.
    async fn until(&mut self, mut wanted: impl FnMut(&ServiceStatus) -> bool) -> ServiceStatus {
        let fits = |status: &ServicesStatus| status.get("web").is_some_and(&mut wanted);
        if let Ok(status) = tokio::time::timeout(PATIENCE, self.status.wait_for(fits)).await {
            return status.unwrap()["web"].clone();
        }
        panic!("not in time: {:#?}", self.status.borrow());
    }

    /// Waits until `web1` has this weight in the kernel.
    async fn until_weight(&mut self, weight: Option<u32>) -> ServiceStatus {
        self.until(|web| web.real_servers["web1"].effective_weight == weight).await
    }

    async fn drain(&self, service: &str, server: &str) -> Result<(), Refused> {
        self.order(service, server, DRAIN).await
    }

    async fn order(&self, service: &str, server: &str, order: Override) -> Result<(), Refused> {
        let (service, server) = (service.to_owned(), server.to_owned());
        self.commands.ask(|reply| ServicesCommand::Order { service, server, order, reply }).await
    }

    async fn resume(&self, service: &str, server: &str) -> Result<(), Refused> {
        let (service, server) = (service.to_owned(), server.to_owned());
        self.commands.ask(|reply| ServicesCommand::Resume { service, server, reply }).await
    }

    async fn reload(&self, config: &str) -> Result<(), Refused> {
        let config = Arc::new(Config::from_toml(config).unwrap());
        self.commands.ask(|reply| ServicesCommand::Reconfigure { config, reply }).await
    }

    async fn stop(self) -> Table {
        self.commands.ask(|reply| ServicesCommand::Stop { reply }).await.unwrap();
        self.task.await.unwrap();
        self.kernel.state().table.clone()
    }
}

fn head() -> String {
    "version = 1\ncluster = \"shop\"\nhost = \"lb1\"\n".to_owned()
}

/// One service `web` with one server `web1` at `target`, checked by `check`.
fn web(target: SocketAddr, weight: u32, check: &str) -> String {
    let mut text = head();
    if !check.is_empty() {
        writeln!(text, "[checks.alive]\n{check}").unwrap();
    }
    let checks = if check.is_empty() { "" } else { "checks = [\"alive\"]" };
    write!(
        text,
        "[[service]]\nname = \"web\"\nlisten = {{ address = \"192.0.2.1\", port = 80, protocol = \"tcp\" }}\n\
         scheduler = \"rr\"\n{checks}\nreal-servers = [{{ name = \"web1\", address = \"{}\", port = {}, \
         forward = \"nat\", weight = {weight} }}]\n",
        target.ip(),
        target.port()
    )
    .unwrap();
    text
}

fn web_key() -> ServiceKey {
    ServiceKey::Address { address: [192, 0, 2, 1].into(), port: 80, protocol: fairway_ipvs::Protocol::TCP }
}

/// A table with `web` and one server in it.
fn web_table(target: SocketAddr, weight: u32) -> Table {
    let mut service = Service::new(Settings::new(Name::new("rr").unwrap()));
    let key = DestinationKey { address: target.ip(), port: target.port() };
    service.destinations.insert(key, Destination::new(Forward::Nat, weight));
    Table::from([(web_key(), Arc::new(service))])
}

fn in_kernel(kernel: &FakeKernel, target: SocketAddr) -> Option<u32> {
    let key = DestinationKey { address: target.ip(), port: target.port() };
    kernel.state().table.get(&web_key()).and_then(|service| service.destinations.get(&key)).map(|d| d.weight)
}

/// An address nobody listens on until `listen` is called on the socket.
fn reserved() -> (SocketAddr, TcpSocket) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    (socket.local_addr().unwrap(), socket)
}

const QUICK: &str = "tcp = {}\nevery = \"50ms\"\ntimeout = \"5s\"\nrise = 2\nfall = 2";

#[tokio::test]
async fn services_without_checks_are_loaded_in_one_go() {
    let mut config = head();
    for service in 0..1000 {
        let (high, low) = (service / 250, service % 250);
        write!(
            config,
            "[[service]]\nname = \"s{service}\"\nlisten = {{ address = \"198.51.{high}.{low}\", port = 80, \
             protocol = \"tcp\" }}\nreal-servers = ["
        )
        .unwrap();
        for server in 0..10 {
            write!(config, "{{ name = \"r{server}\", address = \"10.{high}.{low}.{server}\", port = 80, forward = \"nat\" }},")
                .unwrap();
        }
        config.push_str("]\n");
    }
    let mut running = Running::start(FakeKernel::default(), &config);
    let loaded = |status: &ServicesStatus| {
        status.len() == 1000
            && status.values().all(|s| s.real_servers.values().all(|r| r.effective_weight == Some(1)))
    };
    tokio::time::timeout(PATIENCE, running.status.wait_for(loaded)).await.unwrap().unwrap();
    assert_eq!(running.kernel.state().log.len(), 11_000, "one operation for each service and server");
    assert_eq!(running.kernel.state().dumps, 1);
    assert!(running.stop().await.is_empty(), "a stop deletes what is ours");
}

#[tokio::test]
async fn a_server_comes_with_its_first_pass_and_goes_with_its_failures() {
    let (target, socket) = reserved();
    let mut running = Running::start(FakeKernel::default(), &web(target, 3, QUICK));
    let web = running.until(|web| web.real_servers["web1"].health == "down").await;
    assert_eq!(web.real_servers["web1"].detail, "connection refused while connecting");
    assert_eq!(in_kernel(&running.kernel, target), None);
    let listener = socket.listen(16).unwrap();
    let web = running.until_weight(Some(3)).await;
    assert_eq!(
        (web.real_servers["web1"].health, web.real_servers["web1"].detail.as_str()),
        ("up", "connected")
    );
    assert_eq!(in_kernel(&running.kernel, target), Some(3));
    drop(listener);
    running.until_weight(None).await;
    assert_eq!(in_kernel(&running.kernel, target), None);
    assert!(running.kernel.state().table.contains_key(&web_key()), "the service stays");
}

#[tokio::test]
async fn a_backup_asks_nobody_where_the_master_alone_is_to() {
    let group = |state| {
        let instance = InstanceStatus {
            name: "edge-lan".to_owned(),
            state,
            interface: "eth0".to_owned(),
            family: "ipv4",
            vrid: 51,
            version: 3,
            priority: 100,
            base_priority: 100,
            advert_interval_ms: 1000,
            master: None,
            master_priority: None,
            place: "nowhere",
            virtual_ips: vec![[192, 0, 2, 1].into()],
            excluded_ips: Vec::new(),
            virtual_mac: None,
            other_routers: Vec::new(),
        };
        let (cause, since) = (String::new(), SystemTime::UNIX_EPOCH);
        VrrpStatus::from([(
            "edge".to_owned(),
            Arc::new(GroupStatus {
                state,
                cause,
                since,
                forced: "auto",
                instances: vec![instance],
                trackers: BTreeMap::new(),
                routes: Vec::new(),
                missing_routes: Vec::new(),
            }),
        )])
    };
    let (target, socket) = reserved();
    let listener = socket.listen(64).unwrap();
    let config = web(target, 3, QUICK).replace("scheduler", "suspend-on-backup = true\nscheduler");
    let mut running = Running::start(FakeKernel::default(), &config);
    // No group has the VIP yet, and so nobody is waited for.
    running.until_weight(Some(3)).await;
    running.vrrp.send(group("backup")).unwrap();
    let web = running.until(|web| web.real_servers["web1"].detail.starts_with("not checked")).await;
    assert_eq!(web.real_servers["web1"].detail, "not checked while backup; last: connected");
    drop(listener);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(in_kernel(&running.kernel, target), Some(3), "nobody has looked, so nothing has changed");
    running.vrrp.send(group("master")).unwrap();
    running.until_weight(None).await;
}

#[tokio::test]
async fn a_restart_does_not_touch_a_server_before_its_first_verdict() {
    let (target, _socket) = reserved();
    let kernel = FakeKernel::default();
    kernel.state().table = web_table(target, 5);
    // Two failures, a second apart, are the verdict.
    let slow = "tcp = {}\nevery = \"10s\"\nfall = 2";
    let mut running = Running::start(kernel, &web(target, 3, slow));
    let web = running.until(|web| !web.real_servers["web1"].detail.is_empty()).await;
    assert_eq!(
        (web.real_servers["web1"].health, web.real_servers["web1"].effective_weight),
        ("unknown", Some(5))
    );
    assert_eq!(running.kernel.state().log, [], "nothing was changed in the kernel");
    running.until_weight(None).await;
    assert_eq!(in_kernel(&running.kernel, target), None);
}

#[tokio::test]
async fn a_restart_with_a_hand_over_flaps_no_server() {
    let (target, socket) = reserved();
    let kernel = FakeKernel::default();
    // Without what the process before knew, the server would be in the table until its second failure.
    let config = web(target, 3, QUICK).replace("scheduler", "start = \"optimistic\"\nscheduler");
    let mut running = Running::start(kernel.clone(), &config);
    running.until(|web| web.real_servers["web1"].health == "down").await;
    running.until_weight(None).await;
    let left = running.commands.ask(|reply| ServicesCommand::PassOn { reply }).await.unwrap();
    drop(running.commands);
    running.task.await.unwrap();
    kernel.state().log.clear();

    let health = Saved::read(vec![left]);
    let mut running = Running::start_with(kernel, &config, Before { health, ..Before::default() });
    let web = running.until(|_| true).await;
    assert_eq!(web.real_servers["web1"].health, "down", "known before any probe");
    // Several probes later.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(running.kernel.state().log, [], "nothing was changed in the kernel");
    assert_eq!(
        running.status.borrow()["web"].real_servers["web1"].detail,
        "connection refused while connecting"
    );
    let _listener = socket.listen(16).unwrap();
    running.until_weight(Some(3)).await;
}

#[tokio::test]
async fn a_foreign_service_that_becomes_ours_serves_on() {
    let (target, _socket) = reserved();
    let kernel = FakeKernel::default();
    kernel.state().table = web_table(target, 5);
    let mut running = Running::start(kernel, &head());
    running.reload(&head()).await.unwrap();
    assert_eq!(running.kernel.state().log, [], "it is not ours");
    running.reload(&web(target, 3, "tcp = {}\nevery = \"10s\"\nfall = 2")).await.unwrap();
    assert_eq!(in_kernel(&running.kernel, target), Some(5), "no verdict yet");
    running.until_weight(None).await;
}

#[tokio::test]
async fn a_restart_gives_the_configured_weight_with_the_first_pass() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap();
    let kernel = FakeKernel::default();
    kernel.state().table = web_table(target, 5);
    let mut running = Running::start(kernel, &web(target, 3, QUICK));
    running.until_weight(Some(3)).await;
    assert_eq!(running.kernel.state().log.len(), 1, "changed in place: {:?}", running.kernel.state().log);
}

#[tokio::test]
async fn drains_are_in_the_kernel_when_they_are_answered_and_survive_a_reload() {
    let target: SocketAddr = "10.0.0.71:80".parse().unwrap();
    let mut running = Running::start(FakeKernel::default(), &web(target, 3, ""));
    running.drain("web", "web1").await.unwrap();
    assert_eq!(in_kernel(&running.kernel, target), Some(0));
    let shown = running.status.borrow_and_update()["web"].real_servers["web1"].clone();
    assert_eq!((shown.effective_weight, shown.weight, shown.drained()), (Some(0), 3, true));
    running.reload(&web(target, 4, "")).await.unwrap();
    assert_eq!(in_kernel(&running.kernel, target), Some(0));
    running.resume("web", "web1").await.unwrap();
    assert_eq!(in_kernel(&running.kernel, target), Some(4));
    assert!(!running.status.borrow()["web"].real_servers["web1"].drained());
    assert_eq!(
        running.drain("web", "web9").await.unwrap_err().0,
        "service \"web\" has no real server \"web9\""
    );
    assert_eq!(running.resume("shop", "web1").await.unwrap_err().0, "there is no service \"shop\"");
}

#[tokio::test]
async fn orders_outlive_the_director_and_drained_servers_leave() {
    let directory = tempfile::tempdir().unwrap();
    let store = || Store::at(directory.path().join("overrides.json"));
    let before = || Before { orders: store(), ..Before::default() };
    let kernel = FakeKernel::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap();
    let text = web(target, 3, "tcp = {}\nevery = \"50ms\"");
    let mut running = Running::start_with(kernel.clone(), &text, before());
    running.until_weight(Some(3)).await;
    running.order("web", "web1", Override { order: Order::Weight(8), ..DRAIN }).await.unwrap();
    assert_eq!(in_kernel(&kernel, target), Some(8));
    running.order("web", "web1", DRAIN).await.unwrap();
    assert_eq!(in_kernel(&kernel, target), Some(0), "it has a connection");
    drop(running);

    let mut running = Running::start_with(kernel.clone(), &text, before());
    let web = running.until(|web| web.real_servers["web1"].health == "up").await;
    assert!(web.real_servers["web1"].drained());
    running.until_weight(Some(0)).await;
    kernel.state().idle = true;
    let web = running.until(|web| web.real_servers["web1"].order.as_ref().is_some_and(|o| o.done)).await;
    assert!(web.real_servers["web1"].drained());
    running.until_weight(None).await;
    running.resume("web", "web1").await.unwrap();
    assert_eq!(in_kernel(&kernel, target), Some(3));
    let soon = SystemTime::now() + Duration::from_millis(1500);
    running
        .order("web", "web1", Override { order: Order::Disable, until: Some(soon), emptied: false })
        .await
        .unwrap();
    assert_eq!(in_kernel(&kernel, target), None);
    let web = running.until_weight(Some(3)).await;
    assert_eq!(web.real_servers["web1"].order, None, "it has ended by itself");
    assert_eq!(store().load(), overrides::Overrides::new());
}

#[tokio::test]
async fn counters_are_zeroed_where_they_are_ours() {
    let text = web("192.0.2.9:80".parse().unwrap(), 1, "");
    let running = Running::start(FakeKernel::default(), &text);
    running.reload(&text).await.unwrap();
    let zero = |service: Option<&str>| {
        let service = service.map(str::to_owned);
        running.commands.ask(|reply| ServicesCommand::Zero { service, reply })
    };
    zero(None).await.unwrap();
    zero(Some("web")).await.unwrap();
    assert_eq!(running.kernel.state().zeroed, [web_key(), web_key()]);
    assert_eq!(zero(Some("mail")).await, Err(Refused("there is no service \"mail\"".to_owned())));
}

#[tokio::test]
async fn a_bad_reload_loses_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap();
    let mut running = Running::start(FakeKernel::default(), &web(target, 3, QUICK));
    running.until_weight(Some(3)).await;
    let bad = web(target, 9, "http = { path = \"/\", body = \"(\" }");
    let refused = running.reload(&bad).await.unwrap_err().0;
    assert!(refused.starts_with("checks.alive: http.body is not a regular expression"), "{refused}");
    assert_eq!(in_kernel(&running.kernel, target), Some(3));
    assert_eq!(verify(&Config::from_toml(&bad).unwrap()).unwrap_err().to_string(), refused);
    // The checks of the old configuration go on.
    drop(listener);
    running.until_weight(None).await;
}

#[tokio::test]
async fn a_reload_keeps_health_and_drops_what_is_gone() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap();
    let hourly = "tcp = {}\nevery = \"1h\"";
    let mut running = Running::start(FakeKernel::default(), &web(target, 3, hourly));
    running.until_weight(Some(3)).await;
    // The next probe is an hour away: only kept health can answer.
    let moved = web(target, 3, hourly).replace("192.0.2.1", "192.0.2.7");
    running.reload(&moved).await.unwrap();
    let web = running.status.borrow_and_update()["web"].clone();
    assert_eq!(
        (web.address_text().as_str(), web.real_servers["web1"].effective_weight),
        ("192.0.2.7", Some(3))
    );
    assert!(!running.kernel.state().table.contains_key(&web_key()));
    running.reload(&head()).await.unwrap();
    assert!(running.status.borrow().is_empty());
    assert!(running.kernel.state().table.is_empty());
}

#[tokio::test]
async fn a_kernel_without_ipvs_is_said_and_waited_for() {
    let target: SocketAddr = "10.0.0.71:80".parse().unwrap();
    let kernel = FakeKernel::default();
    kernel.state().missing = true;
    let mut running = Running::start(kernel, &web(target, 3, ""));
    let web = running.until(|web| web.kernel_error.is_some()).await;
    assert!(web.kernel_error.unwrap().contains("modprobe ip_vs"));
    // An order is taken all the same.
    running.drain("web", "web1").await.unwrap();
    running.kernel.state().missing = false;
    let web = running.until_weight(Some(0)).await;
    assert_eq!(web.kernel_error, None);
}

#[tokio::test]
async fn a_refusal_of_the_kernel_is_shown() {
    let target: SocketAddr = "10.0.0.71:80".parse().unwrap();
    let kernel = FakeKernel::default();
    kernel.state().unknown_schedulers.insert("rr".to_owned());
    let mut running = Running::start(kernel, &web(target, 3, ""));
    let web = running.until(|web| web.kernel_error.is_some()).await;
    assert_eq!(web.real_servers["web1"].effective_weight, None);
    let refused = running.drain("web", "web1").await.unwrap_err();
    assert_eq!(Some(refused.0), web.kernel_error);
}

#[tokio::test]
async fn statistics_are_named() {
    let target: SocketAddr = "10.0.0.71:80".parse().unwrap();
    let mut running = Running::start(FakeKernel::default(), &web(target, 3, ""));
    running.until_weight(Some(3)).await;
    let ask = async |server: Option<&str>| {
        let (service, server) = ("web".to_owned(), server.map(str::to_owned));
        running.commands.ask(|reply| ServicesCommand::Statistics { service, server, reply }).await
    };
    let service = ask(None).await.unwrap();
    assert_eq!((service["connections"], service["bytes-out-per-second"]), (0, 0));
    assert!(!service.contains_key("active-connections"));
    let server = ask(Some("web1")).await.unwrap();
    assert_eq!(server["active-connections"], 1);
    let named: BTreeSet<String> = server.into_keys().collect();
    assert_eq!(named, crate::status::documented("Services and real servers"), "docs/reference/counters.md");
    assert!(ask(Some("web2")).await.unwrap_err().0.contains("has no real server \"web2\""));
}
