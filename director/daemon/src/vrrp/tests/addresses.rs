use super::super::netlink::{Event, Link};
use super::*;

const LO: u32 = 1;
const ETH0: u32 = 2;

fn group(vips: &str) -> FailoverGroup {
    let text = format!(
        r#"
        version = 1
        cluster = "c"
        host = "h"
        [[failover]]
        name = "edge"
        [[failover.instance]]
        name = "edge-lan"
        interface = "eth0"
        family = "ipv4"
        vrid = 1
        priority = 100
        advert-interval = "1s"
        virtual-ips = [{vips}]
        "#
    );
    fairway_config::Config::from_toml(&text).unwrap().failover.remove(0)
}

fn entry(index: u32, text: &str, protocol: u8) -> Address {
    let (address, prefix) = text.split_once('/').unwrap();
    Address {
        index,
        address: address.parse().unwrap(),
        prefix: prefix.parse().unwrap(),
        scope: 0,
        flags: 0x80,
        protocol,
    }
}

fn host(addresses: &[Address]) -> Links {
    let link = |index, name: &str| {
        Event::Link(Link { index, name: name.to_owned(), hardware: 1, ..Link::default() })
    };
    let mut events = vec![link(LO, "lo"), link(ETH0, "eth0")];
    events.extend(addresses.iter().copied().map(Event::Address));
    Links::from_dump(events)
}

/// Changes as text: `+eth0 10.0.0.1/32`.
fn show(links: &Links, changes: &[Change]) -> Vec<String> {
    let show = |change: &Change| {
        let sign = if change.add { '+' } else { '-' };
        format!("{sign}{} {}/{}", links.name(change.index), change.address, change.prefix)
    };
    changes.iter().map(show).collect()
}

fn owner(name: &str) -> Owner {
    (name.to_owned(), "edge-lan".to_owned())
}

fn placed(vips: &mut Vips, links: &Links, group: &FailoverGroup, place: Place) -> Vec<String> {
    let owner = owner(&group.name);
    vips.want(&owner, &group.instances[0], place);
    show(links, &vips.changes(&owner, links))
}

const ONE: &str = r#"{ address = "10.0.0.100" }"#;
const WIDE: &str = r#"{ address = "10.0.0.100", prefix = 24 }"#;

#[test]
fn a_vip_that_moves_is_never_missing() {
    let (links, group, mut vips) = (host(&[]), group(WIDE), Vips::default());
    let moves = placed(&mut vips, &links, &group, Place::Interface);
    assert_eq!(moves, ["+eth0 10.0.0.100/24", "-lo 10.0.0.100/32"]);
    // lo would take the whole prefix for its own.
    let moves = placed(&mut vips, &links, &group, Place::Lo);
    assert_eq!(moves, ["+lo 10.0.0.100/32", "-eth0 10.0.0.100/24"]);
    let moves = placed(&mut vips, &links, &group, Place::Nowhere);
    assert_eq!(moves, ["-eth0 10.0.0.100/24", "-lo 10.0.0.100/32"]);
}

#[test]
fn excluded_addresses_move_with_the_others_whatever_their_family() {
    let (links, mut group, mut vips) = (host(&[]), group(ONE), Vips::default());
    let excluded = ["10.0.0.101", "2001:db8::1"].map(|address| {
        let address = address.parse().unwrap();
        fairway_config::VirtualIp { address, prefix: None, interface: None }
    });
    group.instances[0].excluded_ips.extend(excluded);
    let sorted = |mut moves: Vec<String>| {
        moves.sort();
        moves
    };
    let added = ["+eth0 10.0.0.100/32", "+eth0 10.0.0.101/32", "+eth0 2001:db8::1/128"];
    let expected: Vec<String> = added
        .iter()
        .map(|&add| add.to_owned())
        .chain(["-lo 10.0.0.100/32", "-lo 10.0.0.101/32", "-lo 2001:db8::1/128"].map(str::to_owned))
        .collect();
    let moves = sorted(placed(&mut vips, &links, &group, Place::Interface));
    assert_eq!(moves, expected);
    let held = entry(ETH0, "2001:db8::1/128", ADDRESS_TAG);
    let found = super::leftovers(&host(&[held]), &[group], true);
    assert_eq!(show(&links, &found), ["-eth0 2001:db8::1/128"]);
}

#[test]
fn repeating_a_place_repeats_the_changes() {
    let (links, group, mut vips) = (host(&[]), group(ONE), Vips::default());
    let first = placed(&mut vips, &links, &group, Place::Interface);
    assert_eq!(placed(&mut vips, &links, &group, Place::Interface), first);
}

#[test]
fn a_vip_dropped_from_the_configuration_goes() {
    let (links, mut vips) = (host(&[]), Vips::default());
    let two = group(r#"{ address = "10.0.0.100" }, { address = "10.0.0.101" }"#);
    placed(&mut vips, &links, &two, Place::Interface);
    let moves = placed(&mut vips, &links, &group(ONE), Place::Interface);
    assert_eq!(moves, ["+eth0 10.0.0.100/32", "-eth0 10.0.0.101/32", "-lo 10.0.0.100/32"]);
}

#[test]
fn a_changed_prefix_replaces_the_old_entry() {
    let links = host(&[entry(ETH0, "10.0.0.100/32", ADDRESS_TAG)]);
    let mut vips = Vips::default();
    let moves = placed(&mut vips, &links, &group(WIDE), Place::Interface);
    assert_eq!(moves, ["+eth0 10.0.0.100/24", "-eth0 10.0.0.100/32", "-lo 10.0.0.100/32"]);
}

#[test]
fn an_address_of_the_administrator_stays() {
    let links = host(&[entry(ETH0, "10.0.0.100/24", 0)]);
    let mut vips = Vips::default();
    let moves = placed(&mut vips, &links, &group(ONE), Place::Nowhere);
    assert_eq!(moves, ["-eth0 10.0.0.100/32", "-lo 10.0.0.100/32"]);
    assert!(!vips.disturbed(&links));
}

#[test]
fn what_another_group_wants_stays() {
    let (links, mut vips) = (host(&[]), Vips::default());
    let old = group(ONE);
    let new = FailoverGroup { name: "new".to_owned(), ..group(ONE) };
    placed(&mut vips, &links, &old, Place::Interface);
    placed(&mut vips, &links, &new, Place::Interface);
    vips.holdings.get_mut(&owner("edge")).unwrap().wanted.clear();
    assert_eq!(show(&links, &vips.changes(&owner("edge"), &links)), ["-lo 10.0.0.100/32"]);
}

#[test]
fn nothing_is_done_on_a_missing_interface() {
    let (mut links, mut vips) = (host(&[]), Vips::default());
    links.apply(Event::LinkGone(ETH0));
    assert_eq!(placed(&mut vips, &links, &group(ONE), Place::Interface), ["-lo 10.0.0.100/32"]);
    assert!(!vips.disturbed(&links), "waits for the interface");
}

#[test]
fn notices_lost_and_stray_vips() {
    let held = entry(ETH0, "10.0.0.100/32", ADDRESS_TAG);
    let (mut links, mut vips) = (host(&[held]), Vips::default());
    placed(&mut vips, &links, &group(ONE), Place::Interface);
    assert!(!vips.disturbed(&links));
    links.apply(Event::AddressGone(held));
    assert!(vips.disturbed(&links));
    placed(&mut vips, &links, &group(ONE), Place::Nowhere);
    assert!(!vips.disturbed(&links));
    links.apply(Event::Address(entry(ETH0, "10.0.0.100/32", 0)));
    assert!(vips.disturbed(&links));
}

#[test]
fn adopts_what_a_predecessor_left_on_the_interface() {
    let two = group(r#"{ address = "10.0.0.100" }, { address = "10.0.0.101" }"#);
    let adopt = |links: &Links| {
        let mut vips = Vips::default();
        let holding = vips.adopt(links, &owner("edge"), &two.instances[0]);
        (holding, vips.disturbed(links))
    };
    assert_eq!(adopt(&host(&[])), (false, false));
    // One of two: it is held, and the other is not put there before the election.
    assert_eq!(adopt(&host(&[entry(ETH0, "10.0.0.100/32", ADDRESS_TAG)])), (true, false));
    // A kernel without tags.
    assert_eq!(adopt(&host(&[entry(ETH0, "10.0.0.100/32", 0)])), (true, false));
    // Parked is not held.
    assert!(!adopt(&host(&[entry(LO, "10.0.0.100/32", ADDRESS_TAG)])).0);
}

#[test]
fn leftovers() {
    let links = host(&[
        entry(LO, "127.0.0.1/8", 0),
        entry(LO, "10.0.0.100/32", ADDRESS_TAG),
        entry(ETH0, "10.0.0.10/24", 0),
        entry(ETH0, "10.0.0.100/32", 0),
        entry(ETH0, "10.0.0.99/32", ADDRESS_TAG),
    ]);
    let groups = [group(ONE)];
    let unknown = super::leftovers(&links, &groups, false);
    assert_eq!(show(&links, &unknown), ["-eth0 10.0.0.99/32"]);
    let all = super::leftovers(&links, &groups, true);
    assert_eq!(show(&links, &all), ["-eth0 10.0.0.99/32", "-eth0 10.0.0.100/32", "-lo 10.0.0.100/32"]);
    let tagged = super::leftovers(&links, &[], true);
    assert_eq!(show(&links, &tagged), ["-lo 10.0.0.100/32", "-eth0 10.0.0.99/32"]);
}

#[test]
fn the_owners_addresses_are_left_alone() {
    let mut owner_of = group(ONE);
    owner_of.instances[0].priority = fairway_config::Priority::new(255).unwrap();
    let own = entry(ETH0, "10.0.0.100/24", 0);
    let exactly = entry(ETH0, "10.0.0.100/32", 0);
    for address in [own, exactly] {
        let (links, mut vips) = (host(&[address]), Vips::default());
        for place in [Place::Interface, Place::Lo, Place::Nowhere] {
            assert!(placed(&mut vips, &links, &owner_of, place).is_empty(), "{place:?}");
            assert!(!vips.disturbed(&links));
        }
        assert!(!vips.adopt(&links, &owner("edge"), &owner_of.instances[0]), "it starts as the owner");
        assert!(super::leftovers(&links, &[owner_of.clone()], true).is_empty());
        // Gone, it is the host's to bring back.
        assert!(!vips.disturbed(&host(&[])));
    }
    // What a director without ownership left is not the host's own.
    let links = host(&[own, entry(ETH0, "10.0.0.100/32", ADDRESS_TAG)]);
    assert_eq!(show(&links, &super::leftovers(&links, &[owner_of], false)), ["-eth0 10.0.0.100/32"]);
}
