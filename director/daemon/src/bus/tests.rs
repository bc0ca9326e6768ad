//! The objects on a private bus, with in-test parts behind the channels.

mod world;

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use futures_util::StreamExt as _;
use zbus::fdo::ManagedObjects;
use zbus::{MatchRule, Message, MessageStream, OwnedVariant};

use self::world::{World, edge, soon, web};
use super::level::{Published as _, Shared};
use super::*;
use crate::status::{Force, OtherRouterStatus, Refused};

const ROOT: &str = path::ROOT;
const EDGE: &str = "/org/fairway/Director1/group/edge";
const PUBLIC: &str = "/org/fairway/Director1/group/edge/instance/edge_2dpublic";
const ROUTER: &str = "/org/fairway/Director1/bfd/fe80_3a_3a1_25eth0";
const WEB: &str = "/org/fairway/Director1/service/web";
const WEB1: &str = "/org/fairway/Director1/service/web/server/web1";

/// Object, interface, and its properties with their types.
const INTERFACES: [(&str, &str, &str); 6] = [
    (
        ROOT,
        "Manager",
        "Cluster:s ConfigFile:s Generation:t Host:s LastReloadError:s Notifications:a(ssttttts) Version:s",
    ),
    (
        EDGE,
        "Group",
        "Cause:s Forced:s Instances:ao MissingRoutes:as Name:s Routes:as Since:t State:s Trackers:a(sssis)",
    ),
    (
        PUBLIC,
        "Instance",
        "AddressesAt:s AdvertInterval:t BasePriority:y ExcludedAddresses:as Family:s Interface:s MasterAddress:s \
         MasterPriority:y Name:s \
         OtherRouters:a(sstt) Priority:y State:s Version:y VirtualAddresses:as VirtualMac:s VirtualMacInterface:s Vrid:y",
    ),
    (
        ROUTER,
        "BfdSession",
        "DetectionTime:t Diagnostic:s Discriminator:u Name:s RemoteDiagnostic:s RemoteDiscriminator:u RemoteState:s \
         State:s TransmitInterval:t",
    ),
    (
        WEB,
        "VirtualService",
        "Address:s KernelError:s Name:s Port:q Protocol:s Quorum:s RealServers:ao Scheduler:s Sorry:b",
    ),
    (
        WEB1,
        "RealServer",
        "Address:s Detail:s DrainDeadline:t Drained:b EffectiveWeight:u Forward:s Health:s InTable:b Name:s Order:s \
         OrderUntil:t Port:q Weight:u",
    ),
];

/// The name of the D-Bus error and its text.
fn error_of(result: zbus::Result<Message>) -> (String, String) {
    match result {
        Err(zbus::Error::MethodError(name, text, _)) => (name.to_string(), text.unwrap_or_default()),
        other => panic!("expected an error of the director, got {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_object_has_the_documented_properties() {
    let world = World::start().await;
    for (path, interface, expected) in INTERFACES {
        let all = world.properties(path, interface).await;
        let mut seen: Vec<_> = all.iter().map(|(n, v)| format!("{n}:{}", v.value_signature())).collect();
        seen.sort();
        assert_eq!(seen.join(" "), expected, "{interface}");
    }
    let text = |all: &HashMap<String, OwnedVariant>, name: &str| -> String {
        all[name].try_clone().unwrap().try_into().unwrap()
    };
    let group = world.properties(EDGE, "Group").await;
    assert_eq!((text(&group, "State"), text(&group, "Forced")), ("backup".into(), "auto".into()));
    assert_eq!(u64::try_from(&group["Since"]).unwrap(), 1_000_000_000_000);
    let instance = world.properties(PUBLIC, "Instance").await;
    assert_eq!(text(&instance, "Name"), "edge-public");
    assert_eq!(u64::try_from(&instance["AdvertInterval"]).unwrap(), 250_000, "microseconds");
    let server = world.properties("/org/fairway/Director1/service/web/server/web2", "RealServer").await;
    assert!(!bool::try_from(&server["InTable"]).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn introspection_and_the_object_manager_show_the_tree() {
    let world = World::start().await;
    let xml: String = world
        .call(EDGE, "org.freedesktop.DBus.Introspectable", "Introspect", &())
        .await
        .unwrap()
        .body()
        .deserialize()
        .unwrap();
    for line in [
        "<interface name=\"org.fairway.Director1.Group\">",
        "<property name=\"State\" type=\"s\" access=\"read\"",
        "<method name=\"ForceState\">",
        "<method name=\"Failover\">",
        "<arg type=\"a{st}\" direction=\"out\"/>",
        "<node name=\"instance\">",
    ] {
        assert!(xml.contains(line), "{line} is not in\n{xml}");
    }
    let objects: ManagedObjects = world
        .call(ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", &())
        .await
        .unwrap()
        .body()
        .deserialize()
        .unwrap();
    let shown: BTreeSet<_> = objects.iter().filter(|(_, i)| !i.is_empty()).map(|(p, _)| p.as_str()).collect();
    assert_eq!(
        shown,
        BTreeSet::from([EDGE, PUBLIC, ROUTER, WEB, WEB1, "/org/fairway/Director1/service/web/server/web2"])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_are_forced_and_failed_over() {
    let world = World::start().await;
    let group = "org.fairway.Director1.Group";
    for (word, force) in [("master", Force::Master), ("backup", Force::Backup), ("auto", Force::Auto)] {
        world.call(EDGE, group, "ForceState", &word).await.unwrap();
        assert_eq!(world.heard(), [format!("force edge {force:?}")]);
    }
    let (name, text) = error_of(world.call(EDGE, group, "ForceState", &"Master").await);
    assert_eq!(name, "org.fairway.Director1.Error.InvalidArgument");
    assert_eq!(text, "\"Master\" is no state to force; use master, backup or auto");

    world.refuse("edge is not master");
    let (name, text) = error_of(world.call(EDGE, group, "Failover", &()).await);
    assert_eq!((name.as_str(), text.as_str()), ("org.fairway.Director1.Error.Refused", "edge is not master"));
    assert_eq!(world.heard(), ["failover edge"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_are_drained_and_resumed() {
    let world = World::start().await;
    let interface = "org.fairway.Director1.RealServer";
    for (method, heard) in [("Drain", "drain web web1 false"), ("Resume", "resume web web1")] {
        world.call(WEB1, interface, method, &()).await.unwrap();
        assert_eq!(world.heard(), [heard]);
    }
    for (order, heard) in [
        (("drain", 0u32, 9u64, 0u64), "drain web web1 false"),
        (("disable", 0, 0, 1_000_000), "disable web web1 true"),
        (("weight", 5, 0, 0), "weight 5 web web1 false"),
    ] {
        world.call(WEB1, interface, "SetOrder", &order).await.unwrap();
        assert_eq!(world.heard(), [heard]);
    }
    let wrong = world.call(WEB1, interface, "SetOrder", &("paint", 0u32, 0u64, 0u64)).await;
    let (name, text) = error_of(wrong);
    assert_eq!(
        (name.as_str(), text.as_str()),
        (
            "org.fairway.Director1.Error.InvalidArgument",
            "\"paint\" is no order; use drain, disable or weight"
        )
    );
    let large = world.call(WEB1, interface, "SetOrder", &("weight", u32::MAX, 0u64, 0u64)).await;
    assert_eq!(error_of(large).0, "org.fairway.Director1.Error.InvalidArgument");
    assert!(world.heard().is_empty());
    for (path, interface, heard) in [
        (WEB, "org.fairway.Director1.VirtualService", "zero Some(\"web\")"),
        ("/org/fairway/Director1", "org.fairway.Director1.Manager", "zero None"),
    ] {
        world.call(path, interface, "ZeroStatistics", &()).await.unwrap();
        assert_eq!(world.heard(), [heard]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_come_by_method() {
    let world = World::start().await;
    for (path, interface, asked) in [
        (EDGE, "Group", "statistics edge None"),
        (PUBLIC, "Instance", "statistics edge Some(\"edge-public\")"),
        (ROUTER, "BfdSession", "statistics of fe80::1%eth0"),
        (WEB, "VirtualService", "statistics web None"),
        (WEB1, "RealServer", "statistics web Some(\"web1\")"),
    ] {
        let interface = format!("org.fairway.Director1.{interface}");
        let reply = world.call(path, &interface, "GetStatistics", &()).await.unwrap();
        let counters: HashMap<String, u64> = reply.body().deserialize().unwrap();
        assert_eq!(counters, HashMap::from([("sent".to_owned(), 7)]));
        assert_eq!(world.heard(), [asked]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_reload_brings_the_text_back() {
    let world = World::start().await;
    let manager = "org.fairway.Director1.Manager";
    world.call(ROOT, manager, "Reload", &()).await.unwrap();
    world.refuse("director.toml:3: vrid: 0 is not a VRID");
    let (name, text) = error_of(world.call(ROOT, manager, "Reload", &()).await);
    assert_eq!(name, "org.fairway.Director1.Error.ReloadFailed");
    assert_eq!(text, "director.toml:3: vrid: 0 is not a VRID");
    assert_eq!(world.heard(), ["reload", "reload"]);
}

/// The director's PropertiesChanged signals, as object, interface and changed properties.
async fn changes(
    world: &World,
) -> impl futures_util::Stream<Item = (String, String, HashMap<String, OwnedVariant>)> + Unpin + use<> {
    let rule = MatchRule::builder()
        .msg_type(zbus::message::Type::Signal)
        .interface("org.freedesktop.DBus.Properties")
        .path_namespace(ROOT)
        .build()
        .unwrap();
    let stream = MessageStream::for_match_rule(rule, world.client(), None).await.unwrap();
    stream.map(|message| {
        let message = message.unwrap();
        let path = message.header().path().unwrap().to_string();
        let (interface, changed, invalidated): (String, HashMap<String, OwnedVariant>, Vec<String>) =
            message.body().deserialize().unwrap();
        assert!(invalidated.is_empty());
        (path, interface, changed)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transition_is_one_signal_with_what_changed() {
    let world = World::start().await;
    let mut signals = changes(&world).await;
    world.vrrp_status.send_modify(|groups| {
        let group = Arc::make_mut(groups.get_mut("edge").unwrap());
        group.state = "master";
        group.cause = "no master was heard".to_owned();
    });
    let (path, interface, changed) = soon(signals.next()).await.unwrap();
    assert_eq!((path.as_str(), interface.as_str()), (EDGE, "org.fairway.Director1.Group"));
    let names: BTreeSet<_> = changed.keys().map(String::as_str).collect();
    assert_eq!(names, BTreeSet::from(["State", "Cause"]));

    // The same state published again says nothing; the next signal is the one after it.
    world.vrrp_status.send_modify(|_| {});
    world.services_status.send_modify(|services| {
        services.get_mut("web").unwrap().real_servers.get_mut("web1").unwrap().health = "down";
    });
    let (path, _, changed) = soon(signals.next()).await.unwrap();
    assert_eq!(path, WEB1);
    assert_eq!(changed.keys().collect::<Vec<_>>(), ["Health"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_property_but_the_name_is_signalled() {
    let world = World::start().await;
    let mut signals = changes(&world).await;
    let other: IpAddr = "192.0.2.99".parse().unwrap();
    world.manager.send_modify(|m| {
        (m.host, m.cluster, m.config_file) = ("h".into(), "c".into(), "f".into());
        (m.generation, m.last_reload_error) = (2, "e".into());
        let told = crate::notifications::Deliveries {
            way: "hook",
            delivered: 1,
            failed: 2,
            dropped: 3,
            waiting: 4,
            last: None,
            error: "e".into(),
        };
        m.notifications.insert("move".into(), told);
    });
    world.vrrp_status.send_modify(|groups| {
        let group = Arc::make_mut(groups.get_mut("edge").unwrap());
        let mut instance = group.instances[0].clone();
        (instance.state, instance.interface, instance.family) = ("fault", "eth9".into(), "ipv6");
        (instance.vrid, instance.version, instance.priority) = (9, 2, 9);
        (instance.advert_interval_ms, instance.master) = (9, Some(other));
        (instance.base_priority, instance.master_priority, instance.place) = (8, Some(7), "lo");
        (instance.virtual_ips, instance.excluded_ips) = (vec![other], vec![other]);
        instance.virtual_mac = Some(("vrrp4-9".into(), "00:00:5e:00:01:09".into()));
        let what = "checksum is wrong".to_owned();
        instance.other_routers = vec![OtherRouterStatus { source: other, what, count: 9, at: UNIX_EPOCH }];
        group.instances = vec![instance.clone(), InstanceStatus { name: "second".into(), ..instance }];
        (group.state, group.cause, group.forced) = ("fault", "link".into(), "backup");
        group.trackers.clear();
        (group.routes, group.missing_routes) = (vec!["route a".into()], vec!["route a".into()]);
        group.since = UNIX_EPOCH + Duration::from_secs(9);
    });
    world.bfd_status.send_modify(|sessions| {
        let session = sessions.values_mut().next().unwrap();
        (session.state, session.remote_state) = ("down", "init");
        (session.diagnostic, session.remote_diagnostic) = ("path down", "no diagnostic");
        (session.discriminator, session.remote_discriminator) = (1, 2);
        (session.transmit_interval_us, session.detection_time_us) = (3, 4);
    });
    world.services_status.send_modify(|services| {
        let service = services.get_mut("web").unwrap();
        let mut server = service.real_servers["web1"].clone();
        (server.address, server.port, server.forward, server.weight) = (other, 9, "nat", 9);
        (server.effective_weight, server.health) = (None, "down");
        server.detail = "refused".into();
        let time = Some(UNIX_EPOCH + Duration::from_secs(9));
        server.order = Some(crate::status::OrderStatus {
            words: "drain".into(),
            done: false,
            until: time,
            deadline: time,
        });
        service.real_servers.insert("web1".into(), server.clone());
        service.real_servers.insert("web9".into(), server);
        (service.address, service.port, service.protocol, service.scheduler) = (Some(other), 9, "udp", "rr");
        service.kernel_error = Some("no".into());
        (service.quorum, service.sorry) = ("down", true);
    });
    let mut seen = HashMap::new();
    while seen.len() < INTERFACES.len() {
        let (path, _, changed) = soon(signals.next()).await.unwrap();
        assert!(
            seen.insert(path.clone(), changed).is_none(),
            "one signal for each object, a second for {path}"
        );
    }
    for (path, interface, _) in INTERFACES {
        let mut all = world.properties(path, interface).await;
        all.retain(|name, _| name != "Name" && (interface != "Manager" || name != "Version"));
        assert_eq!(seen[path], all, "{interface}: what is signalled is what is read");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_come_and_go_with_the_configuration() {
    let world = World::start().await;
    let rule = MatchRule::builder()
        .msg_type(zbus::message::Type::Signal)
        .interface("org.freedesktop.DBus.ObjectManager")
        .build()
        .unwrap();
    let mut signals = MessageStream::for_match_rule(rule, world.client(), None).await.unwrap();
    let mut next = async || {
        let message = soon(signals.next()).await.unwrap().unwrap();
        let member = message.header().member().unwrap().to_string();
        let body = message.body();
        let path: zbus::OwnedObjectPath = match member.as_str() {
            "InterfacesAdded" => {
                type Added = (zbus::OwnedObjectPath, HashMap<String, HashMap<String, OwnedVariant>>);
                body.deserialize::<Added>().unwrap().0
            }
            _ => body.deserialize::<(zbus::OwnedObjectPath, Vec<String>)>().unwrap().0,
        };
        (member, path.to_string())
    };
    world.services_status.send_modify(|services| {
        services.remove("web");
        services.insert("0 dns".to_owned(), web());
    });
    let dns = "/org/fairway/Director1/service/_30_20dns";
    let mut seen = Vec::new();
    for _ in 0..6 {
        seen.push(next().await);
    }
    let expected = [
        ("InterfacesRemoved", WEB1.to_owned()),
        ("InterfacesRemoved", format!("{WEB}/server/web2")),
        ("InterfacesRemoved", WEB.to_owned()),
        ("InterfacesAdded", dns.to_owned()),
        ("InterfacesAdded", format!("{dns}/server/web1")),
        ("InterfacesAdded", format!("{dns}/server/web2")),
    ];
    assert_eq!(seen, expected.map(|(member, path)| (member.to_owned(), path)));
    let gone = world.call(WEB1, "org.fairway.Director1.RealServer", "Drain", &()).await;
    assert!(matches!(gone, Err(zbus::Error::FDO(e)) if matches!(*e, zbus::fdo::Error::UnknownObject(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_a_reload_is_removing_is_not_found() {
    let world = World::start().await;
    let object = GroupStatus::object(&"gone".to_owned(), Shared::new(edge()), &world.core);
    let client = world.client();
    client.object_server().at("/gone", object).await.unwrap();
    let own = client.unique_name().unwrap().to_string();
    let ask = || {
        let interface = Some("org.fairway.Director1.Group");
        client.call_method(Some(own.clone()), "/gone", interface, "Failover", &())
    };
    // A call that comes before the client's own object server listens gets no answer.
    let mut reply = None;
    for _ in 0..20 {
        reply = tokio::time::timeout(Duration::from_secs(1), ask()).await.ok();
        if reply.is_some() {
            break;
        }
    }
    let (name, text) = error_of(reply.expect("an answer"));
    assert_eq!(name, "org.fairway.Director1.Error.NotFound");
    assert_eq!(text, "the group \"gone\" is no longer configured");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_that_comes_late_and_restarts_is_found_again() {
    let mut world = World::without_bus();
    tokio::time::sleep(Duration::from_millis(100)).await;
    for _ in 0..2 {
        world.start_bus().await;
        assert_eq!(
            world.properties(EDGE, "Group").await["Name"],
            OwnedVariant::from(zbus::Str::from("edge"))
        );
        world.stop_bus();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serving_ends_with_the_parts() {
    let mut world = World::start().await;
    let serving = world.end_of_parts();
    let ended = soon(tokio::task::spawn_blocking(|| serving.join())).await.unwrap();
    assert!(ended.is_ok(), "it panicked");
}

#[test]
fn a_refusal_keeps_its_text() {
    let error = error::Error::from(Refused("not now".to_owned()));
    assert_eq!(error.to_string(), "org.fairway.Director1.Error.Refused: not now");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_returns_when_the_bus_shows_it() {
    let (reload, mut requests) = crate::status::Handle::<Reload>::new();
    let world = World::start_with(reload).await;
    let (services, manager) = (world.services_status.clone(), world.manager.clone());
    tokio::spawn(async move {
        let Reload { reply } = requests.recv().await.unwrap();
        services.send_modify(|all| (0..300).for_each(|n| drop(all.insert(format!("s{n}"), web()))));
        manager.send_modify(|status| status.generation = 2);
        reply.send(Ok(())).unwrap();
    });
    world.call(ROOT, "org.fairway.Director1.Manager", "Reload", &()).await.unwrap();
    for path in ["/org/fairway/Director1/service/s0", "/org/fairway/Director1/service/s99/server/web2"] {
        let interface = if path.ends_with('2') { "RealServer" } else { "VirtualService" };
        assert!(!world.properties(path, interface).await.is_empty());
    }
    assert_eq!(u64::try_from(&world.properties(ROOT, "Manager").await["Generation"]).unwrap(), 2);
}
