use fairway_config::Config;

use super::super::netlink::{Event, read::Macvlan};
use super::*;

const MAC: [u8; 6] = [0, 0, 0x5e, 0, 1, 51];

fn instance() -> Instance {
    let text = r#"
        version = 1
        cluster = "c"
        host = "h"
        [[failover]]
        name = "edge"
        [[failover.instance]]
        name = "edge-lan"
        interface = "eth0"
        family = "ipv4"
        vrid = 51
        priority = 100
        advert-interval = "1s"
        virtual-mac = { interface = "vrrp4-51" }
        virtual-ips = [{ address = "10.0.0.100" }]
        "#;
    Instance::clone(&Config::from_toml(text).unwrap().failover.remove(0).instances[0])
}

/// A host with eth0 (index 2), eth1 (3) and the interface as `change` has it.
fn host(change: impl FnOnce(&mut Link)) -> Links {
    let plain = |index, name: &str| Link { index, name: name.to_owned(), hardware: 1, ..Link::default() };
    let mut made = Link {
        mac: Some(MAC),
        macvlan: Some(Macvlan { base: 2, mode: PRIVATE }),
        alias: format!("{ALIAS}edge-lan"),
        ..plain(9, "vrrp4-51")
    };
    change(&mut made);
    Links::from_dump([plain(2, "eth0"), plain(3, "eth1"), made].map(Event::Link).into())
}

fn wanted(links: &Links) -> VirtualMacs {
    let mut macs = VirtualMacs::default();
    macs.want(links, [instance()].iter());
    macs
}

#[test]
fn only_what_is_ours_and_as_it_is_to_be_is_there() {
    let is_there = |change: fn(&mut Link)| {
        let links = host(change);
        wanted(&links).is_there(&links, "vrrp4-51")
    };
    assert!(is_there(|_| {}));
    assert!(!is_there(|link| link.name = "other".to_owned()));
    assert!(!is_there(|link| link.mac = Some([2; 6])));
    assert!(!is_there(|link| link.macvlan = None));
    assert!(!is_there(|link| link.macvlan = Some(Macvlan { base: 3, mode: PRIVATE })));
    assert!(!is_there(|link| link.macvlan = Some(Macvlan { base: 2, mode: 4 })), "a bridge");
    assert!(!is_there(|link| link.alias = String::new()), "somebody else's");
}

#[test]
fn what_a_predecessor_left_up_stays_up() {
    for (flags, mute, mode) in [(0, false, Mode::Down), (UP, false, Mode::Up), (UP, true, Mode::Mute)] {
        let links = host(|link| (link.flags, link.mute) = (flags, mute));
        assert_eq!(wanted(&links).wanted["vrrp4-51"].mode, mode);
    }
    let foreign = host(|link| (link.flags, link.alias) = (UP, "mine".to_owned()));
    assert_eq!(wanted(&foreign).wanted["vrrp4-51"].mode, Mode::Down);
}

#[test]
fn leftovers_are_told_by_their_alias() {
    let names = |links: &Links| ours(links).iter().map(|link| link.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&host(|_| {})), ["vrrp4-51"]);
    assert!(names(&host(|link| link.alias = "Fairway".to_owned())).is_empty());
    assert!(names(&host(|link| link.macvlan = None)).is_empty(), "no macvlan, whatever it says");
}
