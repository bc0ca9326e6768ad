//! What people and scripts read, from what the director shows on D-Bus.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::time::{Duration, UNIX_EPOCH};

use zbus::fdo::ManagedObjects;
use zbus::names::OwnedInterfaceName;
use zbus::{ObjectPath, OwnedObjectPath, OwnedVariant, Variant};

use super::*;
use crate::model::Director;
use crate::statistics::{Key, Statistics};

fn properties<const N: usize>(list: [(&str, Variant<'_>); N]) -> HashMap<String, OwnedVariant> {
    list.into_iter().map(|(name, value)| (name.to_owned(), OwnedVariant::try_from(value).unwrap())).collect()
}

fn paths(list: &[&str]) -> Variant<'static> {
    Variant::from(list.iter().map(|p| ObjectPath::try_from((*p).to_owned()).unwrap()).collect::<Vec<_>>())
}

fn manager() -> HashMap<String, OwnedVariant> {
    properties([
        ("Version", "0.1.0".into()),
        ("Host", "lb1".into()),
        ("Cluster", "shop".into()),
        ("Generation", 3u64.into()),
        ("ConfigFile", "/etc/fairway/director.toml".into()),
        ("LastReloadError", "/etc/fairway/director.toml:7: service.web.listen.port: 0 is no port".into()),
        ("Notifications", notifications()),
    ])
}

fn notifications() -> Variant<'static> {
    Variant::from(vec![
        ("move".to_owned(), "hook".to_owned(), 3u64, 0u64, 0u64, 0u64, 1_000_000_000_000u64, String::new()),
        (
            "oncall".to_owned(),
            "mail".to_owned(),
            0u64,
            1u64,
            12u64,
            4u64,
            0u64,
            "451 come back\nlater".to_owned(),
        ),
    ])
}

fn trackers() -> Variant<'static> {
    let tracker = |name: &str, kind: &str, state: &str, weight: i32, detail: &str| {
        (name.to_owned(), kind.to_owned(), state.to_owned(), weight, detail.to_owned())
    };
    Variant::from(vec![
        tracker("load", "number", "passing", -20, "/run/load says -20"),
        tracker("proxy", "process", "failing", -150, "no haproxy runs"),
        tracker("uplink", "interface", "waiting", 0, "no result yet"),
    ])
}

fn objects() -> ManagedObjects {
    let server = |name: &str, address: &str, weight: u32, in_table: bool, health: &str, drained: bool| {
        properties([
            ("Name", name.into()),
            ("Address", address.into()),
            ("Port", 80u16.into()),
            ("Forward", "direct".into()),
            ("Weight", 3u32.into()),
            ("EffectiveWeight", weight.into()),
            ("InTable", in_table.into()),
            ("Health", health.into()),
            ("Detail", if health == "up" { "200 OK" } else { "connection\nrefused" }.into()),
            ("Drained", drained.into()),
            ("Order", if drained { "drain" } else { "" }.into()),
            ("OrderUntil", if drained { 1_010_800_000_000u64 } else { 0 }.into()),
            ("DrainDeadline", if drained { 1_003_783_000_000u64 } else { 0 }.into()),
        ])
    };
    let all = [
        (
            "/g",
            model::GROUP,
            properties([
                ("Name", "edge".into()),
                ("State", "master".into()),
                ("Trackers", trackers()),
                ("Since", 1_000_000_000_000u64.into()),
                ("Cause", "no master was heard".into()),
                ("Forced", "auto".into()),
                ("Instances", paths(&["/g/i", "/g/just_removed"])),
                ("Routes", vec!["route 10.9.0.0/16 via 192.0.2.254".to_owned(), "rule 9".to_owned()].into()),
                ("MissingRoutes", vec!["rule 9".to_owned()].into()),
            ]),
        ),
        (
            "/g/i",
            model::INSTANCE,
            properties([
                ("Name", "edge-public".into()),
                ("State", "master".into()),
                ("Interface", "eth0".into()),
                ("Family", "ipv4".into()),
                ("Vrid", 51u8.into()),
                ("Version", 3u8.into()),
                ("Priority", 200u8.into()),
                ("BasePriority", 220u8.into()),
                ("AdvertInterval", 250_000u64.into()),
                ("MasterAddress", "192.0.2.10".into()),
                ("MasterPriority", 200u8.into()),
                ("AddressesAt", "interface".into()),
                ("VirtualAddresses", vec!["192.0.2.1".to_owned(), "192.0.2.2".to_owned()].into()),
                ("ExcludedAddresses", vec!["2001:db8::1".to_owned()].into()),
                ("VirtualMac", "00:00:5e:00:01:33".into()),
                ("VirtualMacInterface", "vrrp4-51".into()),
                (
                    "OtherRouters",
                    vec![(
                        "192.0.2.99".to_owned(),
                        "runs virtual router 9".to_owned(),
                        3_u64,
                        1_700_000_000_000_000_u64,
                    )]
                    .into(),
                ),
            ]),
        ),
        (
            "/b",
            model::BFD,
            properties([
                ("Name", "192.0.2.254".into()),
                ("State", "down".into()),
                ("RemoteState", "up".into()),
                ("Diagnostic", "control detection time expired".into()),
                ("RemoteDiagnostic", "no diagnostic".into()),
                ("Discriminator", 7u32.into()),
                ("RemoteDiscriminator", 0u32.into()),
                ("TransmitInterval", 1_000_000u64.into()),
                ("DetectionTime", 150_000u64.into()),
            ]),
        ),
        (
            "/s",
            model::SERVICE,
            properties([
                ("Name", "web".into()),
                ("Address", "2001:db8::1".into()),
                ("Port", 80u16.into()),
                ("Protocol", "tcp".into()),
                ("Scheduler", "wlc".into()),
                ("Quorum", "down".into()),
                ("Sorry", true.into()),
                ("KernelError", "".into()),
                ("RealServers", paths(&["/s/r2", "/s/r1", "/s/r3"])),
            ]),
        ),
        ("/s/r1", model::SERVER, server("web1", "192.0.2.71", 3, true, "up", false)),
        ("/s/r2", model::SERVER, server("web2", "192.0.2.72", 0, false, "down", false)),
        ("/s/r3", model::SERVER, server("web3", "192.0.2.73", 0, true, "up", true)),
    ];
    all.into_iter()
        .map(|(path, interface, properties)| {
            let path = OwnedObjectPath::try_from(path).unwrap();
            (path, HashMap::from([(OwnedInterfaceName::try_from(interface).unwrap(), properties)]))
        })
        .collect()
}

#[test]
fn the_command_line_is_consistent() {
    Arguments::command().debug_assert();
}

#[test]
fn every_command_has_completions_a_manual_page_and_a_line_in_the_reference() {
    let out = tempfile::tempdir().unwrap();
    man(out.path()).unwrap();
    let reference =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/commands.md"))
            .unwrap();
    let (_, reference) = reference.split_once("## fairwayctl\n").unwrap();
    let scripts: Vec<_> =
        clap_complete::Shell::value_variants().iter().map(|shell| completions(*shell).unwrap()).collect();
    let command = Arguments::command();
    assert!(command.get_subcommands().count() > 10);
    for command in command.get_subcommands() {
        let name = command.get_name();
        let page = fs::read_to_string(out.path().join(format!("fairwayctl-{name}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{page}");
        assert!(reference.contains(&format!("| `{name}")), "docs/reference/commands.md lacks {name}");
        for script in &scripts {
            assert!(script.contains(name), "{name}: {script}");
        }
    }
    assert!(fs::read_to_string(out.path().join("fairwayctl.1")).unwrap().contains("Exit codes"));
    let missing = man(&out.path().join("absent")).unwrap_err();
    assert!(missing.to_string().contains("absent"), "{missing}");
}

#[test]
fn status_is_an_aligned_table() {
    let director = Director::new(manager(), objects()).unwrap();
    let now = UNIX_EPOCH + Duration::from_secs(1_000_000 + 3_723);
    let expected = "\
lb1 in cluster shop: fairway-director 0.1.0, generation 3 of /etc/fairway/director.toml
the last reload failed, generation 3 stays in force:
  /etc/fairway/director.toml:7: service.web.listen.port: 0 is no port

GROUP  STATE   SINCE    FORCED  MASTER      CAUSE
edge   master  1h 2min  -       192.0.2.10  no master was heard

GROUP  INSTANCE     STATE   INTERFACE      VRRP     VRID  PRIORITY    INTERVAL  ADDRESSES
edge   edge-public  master  vrrp4-51@eth0  v3 ipv4  51    200 of 220  250ms     192.0.2.1, 192.0.2.2, 2001:db8::1

INSTANCE     OTHER ROUTER  SEEN  LAST    WHAT
edge-public  192.0.2.99    3     0s ago  runs virtual router 9

GROUP  TRACKER  KIND       STATE    WEIGHT   DETAIL
edge   load     number     passing  -20 now  /run/load says -20
edge   proxy    process    failing  -150     no haproxy runs
edge   uplink   interface  waiting  fault    no result yet

GROUP  ROUTE OR RULE                      IN KERNEL
edge   route 10.9.0.0/16 via 192.0.2.254  yes
edge   rule 9                             missing

BFD SESSION  STATE  NEIGHBOUR'S  INTERVAL  DETECTION  DIAGNOSTIC
192.0.2.254  down   up           1s        150ms      control detection time expired

SERVICE  ADDRESS               SCHEDULER  SERVERS UP  QUORUM              KERNEL
web      tcp [2001:db8::1]:80  wlc        2 of 3      down, sorry server  programmed

SERVICE  SERVER  ADDRESS        FORWARD  WEIGHT  IN TABLE                                 HEALTH  DETAIL
web      web1    192.0.2.71:80  direct   3       3                                        up      200 OK
web      web2    192.0.2.72:80  direct   3       no                                       down    connection refused
web      web3    192.0.2.73:80  direct   3       0 (drain, out in 1min 0s, for 1h 57min)  up      200 OK

NOTIFY  WAY   DELIVERED  LAST         WAITING  FAILED  DROPPED  ERROR
move    hook  3          1h 2min ago  0        0       0        -
oncall  mail  0          never        4        1       12       451 come back later
";
    assert_eq!(render::status(&director, now), expected);
}

#[test]
fn probes_are_an_aligned_table() {
    let seen = |check: &str, outcome: &str, detail: &str, took| {
        model::Seen::from((check.to_owned(), outcome.to_owned(), detail.to_owned(), took))
    };
    let all = [
        seen("alive", "pass", "status 200", 1_234),
        seen("deep", "fail", "status 503 instead of 200", 20_005),
    ];
    let expected = "\
CHECK  RESULT  TIME       DETAIL
alive  pass    1.234 ms   status 200
deep   fail    20.005 ms  status 503 instead of 200
";
    assert_eq!(render::probes(&all), expected);
    assert_eq!(all.iter().map(model::Seen::passed).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn json_has_stable_keys() {
    let director = Director::new(manager(), objects()).unwrap();
    let json: serde_json::Value = serde_json::from_str(&to_json(&director).unwrap()).unwrap();
    assert_eq!(json["generation"], 3);
    assert_eq!(
        json["groups"],
        serde_json::json!([{
            "name": "edge", "state": "master", "since_usec": 1_000_000_000_000u64,
            "cause": "no master was heard", "forced": "auto",
            "routes": ["route 10.9.0.0/16 via 192.0.2.254", "rule 9"], "missing_routes": ["rule 9"],
            "instances": [{
                "name": "edge-public", "state": "master", "interface": "eth0", "family": "ipv4", "vrid": 51,
                "version": 3, "priority": 200, "base_priority": 220, "advert_interval_usec": 250_000,
                "master_address": "192.0.2.10", "master_priority": 200, "addresses_at": "interface",
                "virtual_addresses": ["192.0.2.1", "192.0.2.2"],
                "excluded_addresses": ["2001:db8::1"],
                "virtual_mac": "00:00:5e:00:01:33", "virtual_mac_interface": "vrrp4-51",
                "other_routers": [
                    { "source": "192.0.2.99", "what": "runs virtual router 9", "count": 3, "last_usec": 1_700_000_000_000_000_u64 },
                ],
            }],
            "trackers": [
                { "name": "load", "kind": "number", "state": "passing", "weight": -20,
                  "detail": "/run/load says -20" },
                { "name": "proxy", "kind": "process", "state": "failing", "weight": -150,
                  "detail": "no haproxy runs" },
                { "name": "uplink", "kind": "interface", "state": "waiting", "weight": 0,
                  "detail": "no result yet" },
            ],
        }])
    );
    assert_eq!(
        json["bfd"],
        serde_json::json!([{
            "name": "192.0.2.254", "state": "down", "remote_state": "up",
            "diagnostic": "control detection time expired", "remote_diagnostic": "no diagnostic",
            "discriminator": 7, "remote_discriminator": 0,
            "transmit_interval_usec": 1_000_000, "detection_time_usec": 150_000,
        }])
    );
    let servers = json["services"][0]["servers"].as_array().unwrap();
    assert_eq!(servers[0]["effective_weight"], 3);
    assert!(servers[1]["effective_weight"].is_null(), "not in the table");
    assert_eq!(servers[2]["drained"], true);
    assert_eq!((&servers[2]["order"], &servers[0]["order"]), (&"drain".into(), &"".into()));
    assert_eq!(servers[2]["order_until_usec"], 1_010_800_000_000u64);
    assert_eq!(
        json["notifications"][1],
        serde_json::json!({
            "name": "oncall", "way": "mail", "delivered": 0, "failed": 1, "dropped": 12, "waiting": 4,
            "last_usec": 0, "error": "451 come back\nlater",
        })
    );
    let service = &json["services"][0];
    assert_eq!((&service["quorum"], &service["sorry"]), (&"down".into(), &true.into()));
}

#[test]
fn a_director_of_another_version_is_named() {
    let mut strange = manager();
    strange.remove("Generation");
    let error = Director::new(strange, objects()).unwrap_err();
    assert!(format!("{error:#}").contains("another version"), "{error:#}");

    let mut strange = manager();
    strange.insert("Generation".into(), OwnedVariant::try_from(Variant::from("three")).unwrap());
    let error = Director::new(strange, objects()).unwrap_err();
    assert!(format!("{error:#}").contains("Generation of the root object"), "{error:#}");
}

#[test]
fn statistics_show_vrrp_by_counter_and_ipvs_by_object() {
    let counters = |pairs: &[(&str, u64)]| -> BTreeMap<String, u64> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    };
    let statistics = Statistics::new(
        [
            (Key::Group("edge".into()), counters(&[("transitions", 2)])),
            (Key::Instance("edge".into(), "edge-public".into()), counters(&[("sent", 10), ("heard", 3)])),
            (Key::Bfd("192.0.2.254".into()), counters(&[("downs", 1)])),
            (Key::Server("web".into(), "web".into()), counters(&[("connections", 4)])),
            (Key::Service("web".into()), counters(&[("connections", 5), ("bytes_in", 600)])),
        ]
        .into_iter(),
    );
    let expected = "\
COUNTER      edge  edge-public
heard        -     3
sent         -     10
transitions  2     -

COUNTER  192.0.2.254
downs    1

SERVICE  SERVER  bytes_in  connections
web      (all)   600       5
web      web     -         4
";
    assert_eq!(statistics.render(), expected);
}

#[test]
fn metrics_are_open_metrics_text() {
    let counters = |pairs: &[(&str, u64)]| -> BTreeMap<String, u64> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    };
    let statistics = Statistics::new(
        [
            (Key::Instance("edge".into(), "edge-public".into()), counters(&[("adverts_sent", 10)])),
            (Key::Bfd("192.0.2.254".into()), counters(&[("packets-received", 30)])),
            (
                Key::Server("web".into(), "web1".into()),
                counters(&[("connections", 4), ("active-connections", 2), ("connections-per-second", 1)]),
            ),
        ]
        .into_iter(),
    );
    let director = Director::new(manager(), objects()).unwrap();
    let text = metrics::render(Some((&director, &statistics))).unwrap();
    for line in [
        "fairway_up 1.0",
        "# TYPE fairway_group_state gauge",
        "fairway_group_state{group=\"edge\",state=\"master\"} 1.0",
        "fairway_group_state{group=\"edge\",state=\"fault\"} 0.0",
        "fairway_group_since_seconds{group=\"edge\"} 1000000.0",
        "fairway_instance_advert_interval_seconds{group=\"edge\",vrrp_instance=\"edge-public\"} 0.25",
        "fairway_reload_failed 1.0",
        "fairway_notify_delivered_total{receiver=\"move\"} 3",
        "fairway_notify_waiting{receiver=\"oncall\"} 4.0",
        "fairway_bfd_session_up{session=\"192.0.2.254\"} 0.0",
        "fairway_bfd_detection_time_seconds{session=\"192.0.2.254\"} 0.15",
        "fairway_bfd_packets_received_total{session=\"192.0.2.254\"} 30",
        "fairway_service_quorum{service=\"web\"} 0.0",
        "fairway_service_sorry{service=\"web\"} 1.0",
        "fairway_server_up{service=\"web\",server=\"web2\"} 0.0",
        "fairway_server_effective_weight{service=\"web\",server=\"web3\"} 0.0",
        "# TYPE fairway_instance_adverts_sent counter",
        "fairway_instance_adverts_sent_total{group=\"edge\",vrrp_instance=\"edge-public\"} 10",
        "fairway_server_connections_total{service=\"web\",server=\"web1\"} 4",
        "fairway_server_active_connections{service=\"web\",server=\"web1\"} 2.0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(
        !text.contains("fairway_server_effective_weight{service=\"web\",server=\"web2\"}"),
        "it is out of the table"
    );
    assert!(!text.contains("per_second") && text.ends_with("# EOF\n"), "{text}");
    let none = metrics::render(None).unwrap();
    assert!(none.contains("\nfairway_up 0.0\n") && !none.contains("group"), "{none}");
}

#[test]
fn provisioning_is_shown_and_parsed_as_it_is_written() {
    let text = r#"{
        "state": "refused", "host": "lb1", "cluster": "shop", "roles": ["director"], "source": "kept",
        "sha256": "7687215162c5f829", "given": "", "time": "2026-11-21T22:01:18Z",
        "refused": [{ "source": "disk", "sha256": "ab" }],
        "errors": ["FAIRWAY/topology.toml:42: services.web.scheduler: none"], "warnings": ["two topologies"]
    }"#;
    let directory = std::env::temp_dir().join(format!("fairwayctl-{}", std::process::id()));
    fs::create_dir(&directory).unwrap();
    let path = directory.join("provision.json");
    assert_eq!(provision::read_from(&path).unwrap(), None, "no appliance");
    fs::write(&path, text).unwrap();
    let record = provision::read_from(&path).unwrap().unwrap();
    fs::write(&path, "{").unwrap();
    let error = provision::read_from(&path).unwrap_err();
    fs::remove_dir_all(&directory).unwrap();
    assert!(error.to_string().contains("provision.json was written by another version"), "{error}");
    let expected = "\
lb1 in cluster shop: director
topology 7687215162c5 of the last good copy, since 2026-11-21T22:01:18Z
the newest topology is refused, topology 7687215162c5 stays in force:
  FAIRWAY/topology.toml:42: services.web.scheduler: none
warning: two topologies
";
    assert_eq!(provision::render(&record), expected);

    let director = Director::new(manager(), objects()).unwrap();
    let both = provision::Status { director: Some(&director), provision: Some(&record) };
    let json: serde_json::Value = serde_json::from_str(&to_json(&both).unwrap()).unwrap();
    assert_eq!((&json["host"], &json["generation"]), (&"lb1".into(), &3.into()));
    assert_eq!(
        (&json["provision"]["state"], &json["provision"]["source"]),
        (&"refused".into(), &"kept".into())
    );
    let alone = provision::Status { director: Some(&director), provision: None };
    assert_eq!(to_json(&alone).unwrap(), to_json(&director).unwrap());
}
