use rtnetlink::packet_core::NetlinkMessage;

use super::super::super::netlink::{Event, Link, messages};
use super::*;

const ETH0: u32 = 7;

fn links() -> Links {
    let link = Link { index: ETH0, name: "eth0".to_owned(), hardware: 1, ..Link::default() };
    Links::from_dump(vec![Event::Link(link)])
}

fn route(destination: &str) -> VirtualRoute {
    VirtualRoute {
        destination: destination.parse().unwrap(),
        via: None,
        interface: Some("eth0".parse().unwrap()),
        source: None,
        metric: None,
        table: None,
        onlink: false,
        mtu: None,
    }
}

fn rule(family: Family) -> VirtualRule {
    VirtualRule {
        family,
        priority: 1000,
        table: 70_000,
        from: None,
        to: None,
        fwmark: None,
        incoming_interface: None,
    }
}

/// Items with every key, and with none.
fn items() -> Vec<Item> {
    vec![
        Item::Route(route("10.9.0.0/16")),
        Item::Route(route("fd09::/16")),
        Item::Route(VirtualRoute {
            via: Some("10.0.0.254".parse().unwrap()),
            source: Some("10.0.0.100".parse().unwrap()),
            metric: Some(50),
            table: Some(70_000),
            onlink: true,
            mtu: Some(1400),
            ..route("0.0.0.0/0")
        }),
        Item::Rule(rule(Family::Ipv4)),
        Item::Rule(VirtualRule {
            from: Some("fd00::1".parse().unwrap()),
            to: Some("fd09::/16".parse().unwrap()),
            fwmark: Some(7),
            incoming_interface: Some("eth0".parse().unwrap()),
            ..rule(Family::Ipv6)
        }),
    ]
}

fn bytes(message: RouteNetlinkMessage) -> Vec<u8> {
    let mut message = NetlinkMessage::from(message);
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

fn read_back(bytes: &[u8]) -> Option<Found> {
    read(&messages(bytes).next().unwrap())
}

#[test]
fn what_is_written_is_found_again_as_itself_only() {
    for (place, item) in items().iter().enumerate() {
        let found = read_back(&bytes(item.message(true, &links()).unwrap())).unwrap();
        for (other, candidate) in items().iter().enumerate() {
            assert_eq!(found.is(candidate, &links()), place == other, "{item} found as {candidate}");
        }
    }
}

#[test]
fn another_way_to_the_same_destination_is_not_the_same_route() {
    let found =
        read_back(&bytes(Item::Route(route("10.9.0.0/16")).message(true, &links()).unwrap())).unwrap();
    let others = [
        VirtualRoute { via: Some("10.0.0.1".parse().unwrap()), ..route("10.9.0.0/16") },
        VirtualRoute { source: Some("10.0.0.1".parse().unwrap()), ..route("10.9.0.0/16") },
        VirtualRoute { mtu: Some(1300), ..route("10.9.0.0/16") },
        VirtualRoute { interface: Some("eth1".parse().unwrap()), ..route("10.9.0.0/16") },
    ];
    for other in others {
        assert!(!found.is(&Item::Route(other.clone()), &links()), "{other}");
    }
    let anywhere = VirtualRoute { interface: None, ..route("10.9.0.0/16") };
    assert!(found.is(&Item::Route(anywhere), &links()), "no interface is any interface");
}

#[test]
fn a_route_without_our_tag_is_not_ours() {
    let mut foreign = bytes(Item::Route(route("10.9.0.0/16")).message(true, &links()).unwrap());
    foreign[16 + PROTOCOL] = 18; // keepalived's
    assert_eq!(read_back(&foreign), None);
}

#[test]
fn a_removal_names_what_tells_it_from_others_and_our_tag() {
    for item in items() {
        let found = read_back(&bytes(item.message(true, &links()).unwrap())).unwrap();
        let removal = bytes(found.removal().unwrap());
        assert_eq!(removal, bytes(item.message(false, &links()).unwrap()), "{item}");
    }
    let removal = bytes(Item::Route(route("10.9.0.0/16")).message(false, &Links::default()).unwrap());
    assert_eq!((removal[4], removal[16 + PROTOCOL]), (25, TAG));
    // No interface: the route may have been added to one that is gone.
    let attributes: Vec<u16> = attributes(&removal[16 + FIXED..]).map(|(kind, _)| kind).collect();
    assert_eq!(attributes, [RTA_TABLE, RTA_DST, RTA_PRIORITY]);
}

#[test]
fn a_route_through_a_missing_interface_waits() {
    assert!(Item::Route(route("10.9.0.0/16")).message(true, &Links::default()).is_none());
}

#[test]
fn truncations_never_panic_and_never_invent() {
    let whole = bytes(items()[2].message(true, &links()).unwrap());
    let true_one = read_back(&whole).unwrap();
    for length in 16..whole.len() {
        let mut cut = whole[..length].to_vec();
        cut[..4].copy_from_slice(&u32::try_from(length).unwrap().to_ne_bytes());
        if let Some(found) = read_back(&cut) {
            assert_ne!(found, true_one, "{length} bytes");
        }
    }
}
