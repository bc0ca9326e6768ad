use std::net::IpAddr;
use std::time::Duration;

use fairway_vrrp::{GroupConfig, Input, Output};

use super::super::sockets::Wire;
use super::*;

fn member(name: &str, interface: &str, vrid: u8) -> Member {
    let text = format!(
        "version = 1\ncluster = \"c\"\nhost = \"h\"\n[[failover]]\nname = \"{name}\"\n[[failover.instance]]\nname = \"{name}\"\n\
         interface = \"{interface}\"\nfamily = \"ipv4\"\nvrid = {vrid}\npriority = 100\nadvert-interval = \"1s\"\n\
         virtual-ips = [{{ address = \"10.0.{vrid}.100\" }}]\n"
    );
    let group = fairway_config::Config::from_toml(&text).unwrap().failover.remove(0);
    Member::new(GroupConfig { group, secrets: Default::default() })
}

fn names(members: &[Member]) -> Vec<&str> {
    members.iter().map(Member::name).collect()
}

fn socket(interface: &str, family: Family) -> SocketKey {
    (interface.to_owned(), family, Wire::Vrrp)
}

/// Makes a machine a backup that waits for adverts.
fn start(member: &mut Member, now: Instant) {
    let source = Ok(IpAddr::from([10, 0, 0, 1]));
    member.group.handle(now, Input::Link { instance: 0, source });
    member.group.handle(now, Input::Start { holding: false });
}

#[test]
fn groups_come_and_go() {
    let mut roll = Roll::new([member("b", "eth0", 2), member("a", "eth0", 1)]);
    assert_eq!(names(roll.configured()), ["a", "b"]);
    let mut before = roll.take_configured();
    assert!(roll.all().is_empty());
    roll.add_leaving(before.remove(1));
    roll.replace([before.remove(0), member("c", "eth0", 3)]);
    assert_eq!((names(roll.configured()), names(roll.leaving())), (vec!["a", "c"], vec!["b"]));
    assert!(roll.get("b").is_none());
    assert_eq!(roll.find_mut("b").unwrap().name(), "b");
    roll.retain_leaving(|_| false);
    assert_eq!(names(roll.all()), ["a", "c"]);
}

#[test]
fn a_packet_is_for_its_virtual_router_or_else_for_the_first_on_the_socket() {
    let mut roll = Roll::new([member("a", "eth0", 1), member("b", "eth1", 2), member("c", "eth1", 3)]);
    let mut whose = |socket, vrid| roll.on_socket(&socket, vrid).map(|(member, _)| member.name().to_owned());
    assert_eq!(whose(socket("eth1", Family::Ipv4), Some(3)).as_deref(), Some("c"));
    assert_eq!(whose(socket("eth1", Family::Ipv4), Some(1)).as_deref(), Some("b"));
    assert_eq!(whose(socket("eth1", Family::Ipv4), None).as_deref(), Some("b"));
    assert_eq!(whose(socket("eth1", Family::Ipv6), Some(3)), None);
    assert_eq!(whose(socket("eth2", Family::Ipv4), Some(3)), None);
}

#[test]
fn a_deadline_is_known_as_soon_as_it_is_set() {
    let now = Instant::now();
    let mut roll = Roll::new([member("a", "eth0", 1), member("b", "eth0", 2)]);
    assert_eq!(roll.next_deadline(), None);
    start(roll.get_mut("b").unwrap(), now);
    let deadline = roll.next_deadline().unwrap();
    assert_eq!(roll.get("b").unwrap().group.next_deadline(), Some(deadline));
    assert!(roll.due(deadline - Duration::from_millis(1)).is_empty());
    assert_eq!(roll.due(deadline), [1]);
    // Handed out as one of all: it is looked at again.
    roll.all_mut()[1].group.handle(deadline, Input::Timer);
    assert_ne!(roll.next_deadline(), Some(deadline));
}

#[test]
fn after_the_host_was_suspended_a_master_listens_first() {
    let mut now = Instant::now();
    let mut roll = Roll::new([member("a", "eth0", 1), member("b", "eth0", 2)]);
    for place in 0..2 {
        start(roll.at(place), now);
    }
    now += Duration::from_secs(10);
    let lead = |roll: &mut Roll, place: usize| roll.at(place).group.handle(now, Input::Timer);
    assert!((0..2).all(|place| !lead(&mut roll, place).is_empty()));
    let down = roll.all()[0].master_down();
    let overslept = |roll: &Roll, length, mut stalled: Vec<usize>| {
        roll.add_overslept(length, &mut stalled);
        stalled
    };
    // Nobody waits for less: the others are backups still.
    assert!(overslept(&roll, down - Duration::from_millis(1), Vec::new()).is_empty());
    assert_eq!(overslept(&roll, down, Vec::new()), [0, 1]);
    assert_eq!(overslept(&roll, down, vec![1]), [1, 0]);
    // What the thread does with them: no advert before others have had the time of one.
    let sends = |outputs: &[Output]| outputs.iter().any(|output| matches!(output, Output::Send { .. }));
    let group = &mut roll.at(0).group;
    assert!(!sends(&group.handle(now, Input::Stalled)));
    assert!(!sends(&group.handle(now + Duration::from_millis(999), Input::Timer)));
    assert!(sends(&group.handle(now + Duration::from_secs(1), Input::Timer)));
}

#[test]
fn only_what_was_handed_out_counts_as_changed() {
    let mut roll = Roll::new([member("a", "eth0", 1), member("b", "eth0", 2)]);
    let mut changed = |act: fn(&mut Roll)| {
        act(&mut roll);
        roll.take_changed().map(|member| member.name().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(changed(|_| ()), ["a", "b"]);
    assert!(changed(|_| ()).is_empty());
    assert_eq!(changed(|roll| assert!(roll.get_mut("b").is_some())), ["b"]);
    assert_eq!(changed(|roll| assert!(roll.on_socket(&socket("eth0", Family::Ipv4), None).is_some())), ["a"]);
    assert_eq!(changed(|roll| assert_eq!(roll.configured_mut().len(), 2)), ["a", "b"]);
    // One that is no longer configured has no status to publish.
    let leave = |roll: &mut Roll| {
        roll.take_configured().into_iter().for_each(|member| roll.add_leaving(member));
    };
    assert!(changed(leave).is_empty());
}
