//! The screen in good times and bad. `FAIRWAY_BLESS=1 cargo test` rewrites `golden/*.txt`: each line with a sign for its style.

use std::path::Path;

use fairway_config::provision::{Provision, State};
use fairway_config::provision::{Refused, Source};

use super::*;
use crate::model::{Group, Instance, Server, Service};

fn screen() -> Screen {
    let server = |name: &str, health: &str| Server {
        name: name.to_owned(),
        address: "10.0.0.21".to_owned(),
        port: 80,
        forward: "direct".to_owned(),
        weight: 1,
        effective_weight: Some(1),
        health: health.to_owned(),
        detail: String::new(),
        drained: false,
        order: String::new(),
        order_until_usec: 0,
        drain_deadline_usec: 0,
        path: String::new(),
    };
    let service = |name: &str, port: u16, servers: Vec<Server>| Service {
        name: name.to_owned(),
        address: "10.0.0.100".to_owned(),
        port,
        protocol: "tcp".to_owned(),
        scheduler: "rr".to_owned(),
        kernel_error: String::new(),
        quorum: "up".to_owned(),
        sorry: false,
        servers,
        path: String::new(),
    };
    let instance = Instance {
        name: "edge-lan".to_owned(),
        state: "master".to_owned(),
        interface: "eth0".to_owned(),
        family: "ipv4".to_owned(),
        vrid: 1,
        version: 3,
        priority: 254,
        base_priority: 254,
        advert_interval_usec: 1_000_000,
        master_address: "10.0.0.11".to_owned(),
        master_priority: 254,
        addresses_at: "interface".to_owned(),
        virtual_addresses: vec!["10.0.0.100".to_owned()],
        excluded_addresses: Vec::new(),
        virtual_mac: String::new(),
        virtual_mac_interface: String::new(),
        other_routers: Vec::new(),
        path: String::new(),
    };
    let group = Group {
        name: "edge".to_owned(),
        state: "master".to_owned(),
        since_usec: 1_000_000_000_000,
        cause: "no master was heard".to_owned(),
        forced: "auto".to_owned(),
        routes: Vec::new(),
        missing_routes: Vec::new(),
        instances: vec![instance],
        trackers: Vec::new(),
        path: String::new(),
    };
    Screen {
        now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_003_600),
        synchronized: true,
        name: "lb1".to_owned(),
        uptime: Duration::from_secs(3_725),
        image: "Fairway 0.1.0".to_owned(),
        addresses: BTreeMap::from([
            ("eth0".to_owned(), vec!["10.0.0.11".to_owned(), "10.0.0.100".to_owned()]),
            ("eth1".to_owned(), Vec::new()),
        ]),
        provision: Some(Provision {
            state: State::Ok,
            host: "lb1".to_owned(),
            cluster: "shop".to_owned(),
            roles: vec!["director".to_owned()],
            source: Some(Source::Credential),
            sha256: "7687215162c5f8291d317987670b3521a3788e4c312675635e0ab496a8b3ada2".to_owned(),
            ..Provision::default()
        }),
        unreadable: None,
        director: Ok(Director {
            version: "0.1.0".to_owned(),
            host: "lb1".to_owned(),
            cluster: "shop".to_owned(),
            generation: 1,
            config_file: "/etc/fairway/director.toml".to_owned(),
            last_reload_error: String::new(),
            notifications: Vec::new(),
            groups: vec![group],
            bfd: Vec::new(),
            services: vec![
                service("api", 8080, vec![server("web1", "up"), server("web2", "up")]),
                service("web", 80, vec![server("web1", "up"), server("web2", "down")]),
            ],
        }),
    }
}

#[track_caller]
fn golden(name: &str, screen: &Screen) {
    let lines = screen.lines(SIZE);
    assert!(lines.len() <= SIZE.1, "{} lines", lines.len());
    assert!(lines.iter().all(|line| line.text.chars().count() <= SIZE.0), "{lines:#?}");
    let mut shown = String::new();
    for Line { style, text } in &lines {
        let sign = match style {
            Style::Plain => ' ',
            Style::Bold => '#',
            Style::Good => '+',
            Style::Bad => '!',
            Style::Warn => '~',
        };
        shown.push_str(format!("{sign} {text}").trim_end());
        shown.push('\n');
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/console/golden").join(name);
    if std::env::var_os("FAIRWAY_BLESS").is_some() {
        std::fs::write(&path, &shown).unwrap();
    }
    assert_eq!(shown, std::fs::read_to_string(&path).unwrap_or_default(), "{}", path.display());
}

fn refused() -> Provision {
    let error = "FAIRWAY/topology.toml:42: services.web.scheduler: there is no scheduler \"random\"; the kernel has rr, \
                 wrr, lc, wlc, sh (unknown-scheduler)";
    Provision {
        state: State::Refused,
        refused: vec![Refused { source: Source::Disk, sha256: "ab".to_owned() }],
        errors: vec![error.to_owned()],
        source: Some(Source::Kept),
        ..screen().provision.unwrap()
    }
}

#[test]
fn a_master() {
    golden("master.txt", &screen());
}

#[test]
fn a_refused_topology_is_in_sight() {
    golden("refused.txt", &Screen { provision: Some(refused()), ..screen() });
}

#[test]
fn a_director_that_is_down_or_no_bus_yet() {
    let director = Err("cannot reach the system bus, is dbus running? No such file or directory".to_owned());
    golden("down.txt", &Screen { director, ..screen() });
}

#[test]
fn a_real_server_misses_no_director() {
    let provision = Provision { roles: vec!["real-server".to_owned()], ..screen().provision.unwrap() };
    let director = Err("no director is on this bus".to_owned());
    golden("real-server.txt", &Screen { provision: Some(provision), director, ..screen() });
}

#[test]
fn nothing_is_known() {
    let empty = Screen {
        name: String::new(),
        image: screen::image(""),
        synchronized: false,
        addresses: BTreeMap::new(),
        provision: Some(Provision::default()),
        director: Err("no director is on this bus".to_owned()),
        ..screen()
    };
    golden("nothing.txt", &empty);
}

#[test]
fn more_than_fits_is_cut_and_what_is_wrong_is_kept() {
    let mut screen = Screen { provision: Some(refused()), ..screen() };
    let director = screen.director.as_mut().unwrap();
    let (group, service) = (director.groups[0].clone(), director.services[0].clone());
    for number in 0..40 {
        screen
            .addresses
            .insert(format!("eth{number}"), vec!["2001:db8:1234:5678:9abc:def0:1234:5678".to_owned(); 3]);
        director.groups.push(Group { name: format!("group{number}"), ..group.clone() });
        director.services.push(Service { name: format!("service{number}"), ..service.clone() });
    }
    director.services.push(Service { quorum: "down".to_owned(), name: "zebra".to_owned(), ..service });
    golden("much.txt", &screen);
}

#[test]
fn what_is_painted_never_scrolls() {
    let lines = vec![
        Line { style: Style::Bad, text: "a".to_owned() },
        Line { style: Style::Plain, text: "b".to_owned() },
    ];
    assert_eq!(paint(&lines), "\x1b[?25l\x1b[H\x1b[1;31ma\x1b[0m\x1b[K\r\nb\x1b[0m\x1b[K\x1b[J");
    let full = Line { text: "x".repeat(80), style: Style::Plain };
    assert!(!paint(&[full]).contains("\x1b[K"), "the last character would be erased");
}

#[test]
fn images_are_named() {
    let named = "PRETTY_NAME=\"Debian\"\nIMAGE_ID=x\nIMAGE_VERSION=\"0.1.0\"\n";
    assert_eq!(screen::image(named), "Fairway 0.1.0");
    assert_eq!(screen::image("PRETTY_NAME=\"Debian GNU/Linux 13\"\n"), "Fairway on Debian GNU/Linux 13");
    assert_eq!(screen::image(""), "Fairway");
}
