use fairway_config::{Config, StartHealth};
use fairway_health::Advice;
use proptest::prelude::*;

use super::*;
use crate::services::overrides::Order;

/// Two services over the same two servers; `web` and `api` share the check `alive`, `api` has one more.
const TEXT: &str = r#"
version = 1
cluster = "shop"
host = "lb1"

[checks.alive]
tcp = {}

[checks.deep]
http = { path = "/deep" }

[[service]]
name = "web"
listen = { address = "192.0.2.1", port = 80, protocol = "tcp" }
scheduler = "wrr"
checks = ["alive"]
real-servers = [
    { name = "web1", address = "10.0.0.71", port = 80, forward = "nat", weight = 3 },
    { name = "web2", address = "10.0.0.72", port = 80, forward = "nat", weight = 1 },
]

[[service]]
name = "api"
listen = { address = "192.0.2.2", port = 80, protocol = "tcp" }
checks = ["alive", "deep"]
real-servers = [
    { name = "web1", address = "10.0.0.71", port = 80, forward = "nat" },
    { name = "web2", address = "10.0.0.72", port = 80, forward = "nat" },
]

[[service]]
name = "dns"
listen = { address = "192.0.2.2", port = 53, protocol = "udp" }
real-servers = [{ name = "ns1", address = "10.0.0.53", port = 53, forward = "nat", weight = 7 }]
"#;

/// Gives running checks their numbers, as the monitor does: equal subjects share one, none is used twice.
#[derive(Default)]
struct Checks {
    known: Vec<(fairway_health::Subject, CheckId)>,
    started: u64,
}

impl Checks {
    fn watch(&mut self, subjects: &[fairway_health::Subject]) -> Vec<CheckId> {
        self.known.retain(|(known, _)| subjects.contains(known));
        let mut ids = Vec::new();
        for subject in subjects {
            let known = self.known.iter().find(|(known, _)| known == subject).map(|(_, id)| *id);
            ids.push(known.unwrap_or_else(|| {
                self.started += 1;
                self.known.push((subject.clone(), CheckId(self.started)));
                CheckId(self.started)
            }));
        }
        ids
    }
}

pub(super) struct Bench {
    pub(super) config: Config,
    checks: Checks,
    pub(super) ids: Vec<CheckId>,
    pub(super) desired: Desired,
    pub(super) now: Instant,
}

impl Bench {
    fn new() -> Self {
        Self::of(TEXT)
    }

    pub(super) fn of(text: &str) -> Self {
        let config = Config::from_toml(text).unwrap();
        let mut bench = Self {
            config,
            checks: Checks::default(),
            ids: Vec::new(),
            desired: Desired::default(),
            now: Instant::now(),
        };
        bench.reload();
        bench
    }

    fn service(&mut self, index: usize) -> &mut fairway_config::Service {
        Arc::make_mut(&mut self.config.services[index])
    }

    pub(super) fn reload(&mut self) {
        self.config.validate().unwrap();
        let plan = Plan::new(&self.config, &fairway_health::Paths::default()).unwrap();
        self.ids = self.checks.watch(&plan.subjects);
        self.desired.configure(plan, &self.ids, self.now);
    }

    pub(super) fn report(&mut self, check: CheckId, health: Health) -> Vec<Change> {
        self.advise(check, health, None)
    }

    pub(super) fn advise(&mut self, check: CheckId, health: Health, advice: Option<Advice>) -> Vec<Change> {
        let verdict = Verdict { health, detail: health.to_string(), advice };
        self.desired.report(Report { check, verdict }, self.now)
    }

    pub(super) fn drain(&mut self, service: &str, server: &str, drained: bool) -> Result<bool, NotFound> {
        let order = Override { order: Order::Drain { deadline: None }, until: None, emptied: false };
        self.desired.order(service, server, drained.then_some(order), self.now)
    }

    /// Checks `alive` of web1 and web2, `deep` of web1 and web2.
    fn numbers(&self) -> [CheckId; 4] {
        // web: web1 alive, web2 alive; api: web1 alive, web1 deep, web2 alive, web2 deep.
        assert_eq!((self.ids[0], self.ids[1]), (self.ids[2], self.ids[4]), "shared by web and api");
        [self.ids[0], self.ids[1], self.ids[3], self.ids[5]]
    }

    /// Weight of a server in the table.
    pub(super) fn weight(&self, service: &str, server: &str) -> Option<u32> {
        weight_in(self.desired.table(), &self.config, service, server)
    }

    pub(super) fn weights(&self, service: &str) -> [Option<u32>; 2] {
        [self.weight(service, "web1"), self.weight(service, "web2")]
    }
}

fn weight_in(table: &Table, config: &Config, service: &str, server: &str) -> Option<u32> {
    let service = config.services.iter().find(|s| s.name == service).unwrap();
    let server = service.real_servers.iter().find(|s| s.name == server).unwrap();
    let key = crate::table::service_key(&service.listen);
    let key2 = DestinationKey { address: server.address, port: server.port };
    table[&key].destinations.get(&key2).map(|destination| destination.weight)
}

#[test]
fn new_servers_wait_for_their_first_pass() {
    let mut bench = Bench::new();
    assert_eq!(bench.desired.table().len(), 3, "services are there from the start");
    assert_eq!(bench.weights("web"), [None, None]);
    assert_eq!(bench.weight("dns", "ns1"), Some(7), "no checks: up at once");
    let [alive1, _, deep1, _] = bench.numbers();
    let changes = bench.report(alive1, Health::Up);
    assert_eq!(bench.weights("web"), [Some(3), None]);
    assert_eq!(bench.weights("api"), [None, None], "all checks must pass");
    let seen: Vec<_> = changes.iter().map(|c| (c.service.as_str(), c.check.as_str(), c.health)).collect();
    assert_eq!(
        seen,
        [
            ("web", "alive", (Health::Unknown, Health::Up)),
            ("api", "alive", (Health::Unknown, Health::Unknown))
        ]
    );
    bench.report(deep1, Health::Up);
    assert_eq!(bench.weights("api"), [Some(1), None]);
}

#[test]
fn optimistic_servers_do_not_wait() {
    let mut bench = Bench::new();
    bench.service(0).start = StartHealth::Optimistic;
    bench.reload();
    assert_eq!(bench.weights("web"), [Some(3), Some(1)]);
    let [alive1, ..] = bench.numbers();
    bench.report(alive1, Health::Down);
    assert_eq!(bench.weights("web"), [None, Some(1)]);
}

#[test]
fn a_failed_check_takes_the_server_out_of_every_service_that_uses_it() {
    let mut bench = Bench::new();
    for check in bench.numbers() {
        bench.report(check, Health::Up);
    }
    let [alive1, _, deep1, _] = bench.numbers();
    let changes = bench.report(alive1, Health::Down);
    assert_eq!(changes.len(), 2);
    assert!(changes.iter().all(|c| c.server == "web1" && c.health == (Health::Up, Health::Down)));
    assert_eq!(changes[0].verdict.detail, "down");
    assert_eq!((bench.weights("web"), bench.weights("api")), ([None, Some(1)], [None, Some(1)]));
    let changes = bench.report(deep1, Health::Down);
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].health, (Health::Down, Health::Down), "it was down before");
    bench.report(alive1, Health::Up);
    assert_eq!((bench.weight("web", "web1"), bench.weight("api", "web1")), (Some(3), None));
}

#[test]
fn a_new_text_alone_is_no_change_but_is_shown() {
    let mut bench = Bench::new();
    let [alive1, ..] = bench.numbers();
    bench.report(alive1, Health::Up);
    let verdict = Verdict { health: Health::Up, detail: "other words".to_owned(), advice: None };
    assert!(bench.desired.report(Report { check: alive1, verdict }, bench.now).is_empty());
    let details =
        |bench: &Bench, service| bench.desired.servers(service).map(|s| s.detail).collect::<Vec<_>>();
    assert_eq!(details(&bench, 0), ["other words", ""]);
    assert_eq!(details(&bench, 1), ["", ""], "the check without a verdict decides, and has said nothing");
    let [_, _, deep1, _] = bench.numbers();
    bench.report(deep1, Health::Down);
    assert_eq!(details(&bench, 1), ["deep: down", ""]);
    assert_eq!(details(&bench, 2), ["not checked"]);
    assert_eq!(bench.desired.services_of(alive1).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(bench.desired.services_of(deep1).collect::<Vec<_>>(), [1]);
}

#[test]
fn reports_of_stopped_checks_are_ignored() {
    let mut bench = Bench::new();
    assert!(bench.report(CheckId(999), Health::Down).is_empty());
    let [alive1, ..] = bench.numbers();
    bench.config.services.truncate(0);
    bench.reload();
    assert!(bench.report(alive1, Health::Down).is_empty());
    assert!(bench.desired.table().is_empty());
}

#[test]
fn a_restart_keeps_what_is_in_the_kernel_until_the_first_verdict() {
    let mut before = Bench::new();
    for check in before.numbers() {
        before.report(check, Health::Up);
    }
    before.drain("web", "web2", true).unwrap();
    let kernel = before.desired.table().clone();

    let mut bench = Bench::new();
    assert_eq!(bench.desired.adopt(&kernel, bench.now), 4);
    assert_eq!(*bench.desired.table(), kernel, "a restart changes nothing");
    let [alive1, alive2, ..] = bench.numbers();
    bench.report(alive1, Health::Down);
    assert_eq!((bench.weights("web"), bench.weights("api")), ([None, Some(0)], [None, Some(1)]));
    bench.report(alive2, Health::Up);
    assert_eq!(bench.weights("web"), [None, Some(1)], "the verdict brings the configured weight");
    bench.report(alive1, Health::Up);
    assert_eq!(
        (bench.weight("web", "web1"), bench.weight("api", "web1")),
        (Some(3), None),
        "down ended the hold"
    );
}

#[test]
fn verdicts_that_came_before_the_dump_count() {
    let mut bench = Bench::new();
    let kernel = {
        let mut full = Bench::new();
        for check in full.numbers() {
            full.report(check, Health::Up);
        }
        full.desired.table().clone()
    };
    let [alive1, ..] = bench.numbers();
    bench.report(alive1, Health::Down);
    assert_eq!(bench.desired.adopt(&kernel, bench.now), 2);
    assert_eq!(bench.weights("web"), [None, Some(1)]);
}

#[test]
fn a_reload_keeps_health_and_serves_on_while_new_checks_begin() {
    let mut bench = Bench::new();
    for check in bench.numbers() {
        bench.report(check, Health::Up);
    }
    let [alive1, alive2, ..] = bench.numbers();
    bench.report(alive2, Health::Down);
    // Another spec: no verdict yet for either server.
    bench.config.checks.get_mut("alive").unwrap().fall = 5;
    bench.service(0).real_servers[0].weight = 9;
    bench.reload();
    assert_ne!(bench.numbers()[0], alive1);
    assert_eq!(bench.weights("web"), [Some(9), None], "in stays in with the new weight, out waits");
    assert_eq!(bench.weights("api"), [Some(1), None]);
    let [_, alive2, ..] = bench.numbers();
    bench.report(alive2, Health::Up);
    assert_eq!(bench.weights("api"), [Some(1), Some(1)], "the verdict of the unchanged check was kept");
    // A service that moves to another address is a new one, but its servers are known.
    bench.report(bench.numbers()[0], Health::Up);
    let fairway_config::Listen::Address { port, .. } = &mut bench.service(0).listen else {
        unreachable!("web listens on an address")
    };
    *port = 8080;
    bench.reload();
    assert_eq!(bench.weights("web"), [Some(9), Some(1)]);
}

#[test]
fn unchanged_services_stay_the_same_allocation() {
    let mut bench = Bench::new();
    let before = bench.desired.table().clone();
    bench.service(2).real_servers[0].weight = 8;
    bench.reload();
    let same: Vec<_> =
        bench.desired.table().iter().map(|(key, service)| Arc::ptr_eq(service, &before[key])).collect();
    assert_eq!(same.iter().filter(|same| **same).count(), 2);
    let [alive1, ..] = bench.numbers();
    bench.report(alive1, Health::Up);
    assert_eq!(weight_in(&before, &bench.config, "web", "web1"), None, "a snapshot does not change");
}

#[test]
fn drains_hold_until_resumed() {
    let mut bench = Bench::new();
    for check in bench.numbers() {
        bench.report(check, Health::Up);
    }
    assert_eq!(bench.drain("web", "web1", true), Ok(true));
    assert_eq!(bench.drain("web", "web1", true), Ok(false), "again changes nothing");
    assert_eq!((bench.weights("web"), bench.weight("api", "web1")), ([Some(0), Some(1)], Some(1)));
    assert_eq!(bench.desired.servers(0).map(|s| s.order.is_some()).collect::<Vec<_>>(), [true, false]);
    let [alive1, ..] = bench.numbers();
    bench.report(alive1, Health::Down);
    assert_eq!(bench.weight("web", "web1"), None, "down is out, drained or not");
    bench.report(alive1, Health::Up);
    assert_eq!(bench.weight("web", "web1"), Some(0));
    bench.service(0).real_servers[0].weight = 5;
    bench.reload();
    assert_eq!(bench.weight("web", "web1"), Some(0), "a reload keeps the drain");
    assert_eq!(bench.drain("web", "web1", false), Ok(true));
    assert_eq!(bench.weight("web", "web1"), Some(5));
}

#[test]
fn a_drain_ends_with_its_server() {
    let mut bench = Bench::new();
    bench.drain("dns", "ns1", true).unwrap();
    assert_eq!(bench.weight("dns", "ns1"), Some(0));
    let removed = bench.service(2).real_servers.pop().unwrap();
    bench.reload();
    bench.service(2).real_servers.push(removed);
    bench.reload();
    assert_eq!(bench.weight("dns", "ns1"), Some(7));
}

#[test]
fn unknown_names_are_refused() {
    let mut bench = Bench::new();
    assert_eq!(bench.drain("nope", "web1", true), Err(NotFound::Service("nope".to_owned())));
    let error = bench.drain("web", "ns1", true).unwrap_err();
    assert_eq!(error.to_string(), "service \"web\" has no real server \"ns1\"");
}

#[derive(Debug, Clone)]
enum Step {
    Report(usize, Health),
    Drain(usize, bool),
    Weight(usize, u32),
    Optimistic(bool),
    Fall(u32),
    Reload,
}

fn step() -> impl Strategy<Value = Step> {
    let health = prop_oneof![Just(Health::Up), Just(Health::Down), Just(Health::Unknown)];
    prop_oneof![
        4 => (0usize..6, health).prop_map(|(check, health)| Step::Report(check, health)),
        2 => (0usize..2, any::<bool>()).prop_map(|(server, drained)| Step::Drain(server, drained)),
        1 => (0usize..2, 0u32..4).prop_map(|(server, weight)| Step::Weight(server, weight)),
        1 => any::<bool>().prop_map(Step::Optimistic),
        1 => (1u32..3).prop_map(Step::Fall),
        1 => Just(Step::Reload),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever happens: the incremental table equals the one computed from scratch, down is out, drained is 0
    /// or out, and a reload of what has not changed changes nothing.
    #[test]
    fn the_table_follows(steps in proptest::collection::vec(step(), 0..40)) {
        let mut bench = Bench::new();
        for step in steps {
            match step {
                Step::Report(check, health) => {
                    // A check that has given a verdict never goes back to none.
                    let id = bench.ids[check];
                    if health != Health::Unknown || bench.desired.verdict(id).0 == Health::Unknown {
                        bench.report(id, health);
                    }
                }
                Step::Drain(server, drained) => {
                    bench.drain("web", ["web1", "web2"][server], drained).unwrap();
                }
                Step::Weight(server, weight) => {
                    bench.service(0).real_servers[server].weight = weight;
                    bench.reload();
                }
                Step::Optimistic(yes) => {
                    let start = if yes { StartHealth::Optimistic } else { StartHealth::Pessimistic };
                    bench.service(0).start = start;
                    bench.reload();
                }
                Step::Fall(fall) => {
                    bench.config.checks.get_mut("alive").unwrap().fall = fall;
                    bench.reload();
                }
                Step::Reload => {
                    let before = bench.desired.table().clone();
                    bench.reload();
                    prop_assert_eq!(&before, bench.desired.table());
                }
            }
            let incremental = bench.desired.table().clone();
            bench.desired.table.clear();
            bench.desired.settle_all(bench.now);
            prop_assert_eq!(&incremental, bench.desired.table());
            for service in 0..bench.desired.len() {
                let name = bench.desired.service(service).config.name.clone();
                for server in bench.desired.servers(service) {
                    let weight = weight_in(&incremental, &bench.config, &name, &server.config.name);
                    match server.health {
                        Health::Down => prop_assert_eq!(weight, None),
                        Health::Up if server.order.is_some() => prop_assert_eq!(weight, Some(0)),
                        Health::Up => prop_assert_eq!(weight, Some(server.config.weight)),
                        Health::Unknown => prop_assert!(server.order.is_none() || weight.unwrap_or(0) == 0),
                    }
                }
            }
        }
    }
}
