//! The status line, and when the director is ready.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use super::*;
use crate::status::{GroupStatus, OrderStatus, RealServerStatus, ServiceStatus};

fn group(state: &'static str, forced: &'static str) -> GroupStatus {
    let (cause, instances) = (String::new(), Vec::new());
    let (routes, missing_routes, trackers) = (Vec::new(), Vec::new(), BTreeMap::new());
    let since = SystemTime::UNIX_EPOCH;
    GroupStatus { state, cause, since, forced, routes, missing_routes, instances, trackers }
}

fn service(servers: &[(&str, &'static str, bool)]) -> ServiceStatus {
    let address = "192.0.2.1".parse().unwrap();
    let server = |health, drained: bool| RealServerStatus {
        address,
        port: 80,
        forward: "direct",
        weight: 1,
        effective_weight: Some(1),
        health,
        detail: String::new(),
        order: drained.then(drain),
    };
    ServiceStatus {
        address: Some(address),
        port: 80,
        protocol: "tcp",
        scheduler: "wlc",
        kernel_error: None,
        quorum: "up",
        sorry: false,
        real_servers: servers.iter().map(|(n, h, d)| ((*n).to_owned(), server(h, *d))).collect(),
    }
}

fn drain() -> OrderStatus {
    OrderStatus { words: "drain".to_owned(), done: false, until: None, deadline: None }
}

fn vrrp(state: &'static str) -> VrrpStatus {
    VrrpStatus::from([("edge".to_owned(), Arc::new(group(state, "auto")))])
}

fn table(kernel: KernelStatus, generation: u64) -> TableStatus {
    TableStatus {
        kernel,
        initial: None,
        installed: Arc::default(),
        errors: Arc::default(),
        foreign: Arc::default(),
        generation,
    }
}

#[test]
fn one_line_says_it_all() {
    let mut groups = vrrp("master");
    let mut services = ServicesStatus::from([
        ("web".to_owned(), service(&[("web1", "up", false), ("web2", "up", false)])),
        ("dns".to_owned(), service(&[("web1", "up", false), ("web2", "up", false)])),
    ]);
    let kernel = KernelStatus::Starting;
    assert_eq!(summary(&groups, &services, &kernel, false), "edge master; 2 services, 4/4 servers up");

    groups.insert("inside".to_owned(), Arc::new(group("backup", "backup")));
    services.remove("dns");
    let web = services.get_mut("web").unwrap();
    web.kernel_error = Some("no such scheduler".to_owned());
    web.real_servers.get_mut("web1").unwrap().order = Some(drain());
    web.real_servers.get_mut("web2").unwrap().health = "down";
    assert_eq!(
        summary(&groups, &services, &kernel, true),
        "edge master, inside backup (forced); 1 service, 1/2 servers up, 1 drained; \
         1 not programmed; the last reload failed"
    );

    let kernel = KernelStatus::Unavailable("modprobe ip_vs".to_owned());
    assert_eq!(
        summary(&VrrpStatus::new(), &services, &kernel, false),
        "1 service, 1/2 servers up, 1 drained; no IPVS: modprobe ip_vs"
    );
    assert_eq!(summary(&VrrpStatus::new(), &ServicesStatus::new(), &kernel, false), "nothing configured");
}

#[test]
fn ready_waits_for_the_election_and_for_the_table() {
    let mut config = Config::from_toml("version = 1\ncluster = \"c\"\nhost = \"h\"\n").unwrap();
    let (starting, gone) = (KernelStatus::Starting, KernelStatus::Unavailable("no ip_vs".to_owned()));
    let nobody = VrrpStatus::new();
    assert!(!is_ready(&config, &nobody, &table(starting.clone(), 0)), "the table has not been tried");
    assert!(is_ready(&config, &nobody, &table(starting, 1)));
    assert!(is_ready(&config, &nobody, &table(gone.clone(), 0)), "tried, and the kernel has no IPVS");

    let full = Config::from_toml(include_str!("../../../config/tests/full.toml")).unwrap();
    config.failover = full.failover;
    let table = table(gone, 0);
    assert!(!is_ready(&config, &nobody, &table));
    assert!(!is_ready(&config, &vrrp("init"), &table));
    assert!(is_ready(&config, &vrrp("backup"), &table));
    assert!(is_ready(&config, &vrrp("fault"), &table), "no link is no reason to wait");
}
