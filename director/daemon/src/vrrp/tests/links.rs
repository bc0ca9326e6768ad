use super::*;

const UP: u32 = RUNNING;

fn link(index: u32, name: &str, flags: u32) -> Event {
    Event::Link(Link {
        index,
        name: name.to_owned(),
        flags,
        hardware: ETHERNET,
        mac: Some([2; 6]),
        ..Link::default()
    })
}

fn entry(index: u32, text: &str, flags: u32, protocol: u8) -> Address {
    let (address, prefix) = text.split_once('/').unwrap();
    Address { index, address: address.parse().unwrap(), prefix: prefix.parse().unwrap(), flags, protocol }
}

fn host(addresses: &[Address]) -> Links {
    let mut events = vec![link(1, "lo", UP), link(2, "eth0", UP)];
    events.extend(addresses.iter().copied().map(Event::Address));
    Links::from_dump(events)
}

fn vips(list: &[&str]) -> BTreeSet<IpAddr> {
    list.iter().map(|address| address.parse().unwrap()).collect()
}

fn source(
    links: &Links,
    family: Family,
    configured: Option<&str>,
    vips: &BTreeSet<IpAddr>,
) -> Option<String> {
    let configured = configured.map(|address| address.parse().unwrap());
    links.source("eth0", family, configured, vips).map(|address| address.to_string())
}

#[test]
fn the_first_own_address_is_the_source() {
    let links = host(&[
        entry(2, "10.0.0.100/32", 0, 0),
        entry(2, "10.0.0.101/32", 0, ADDRESS_TAG),
        entry(2, "10.0.0.10/24", IFA_F_SECONDARY, 0),
        entry(2, "10.0.0.11/24", 0, 0),
        entry(2, "10.0.0.12/16", 0, 0),
    ]);
    let vips = vips(&["10.0.0.100"]);
    assert_eq!(source(&links, Family::Ipv4, None, &vips).as_deref(), Some("10.0.0.11"));
}

#[test]
fn a_secondary_address_is_better_than_none() {
    let links = host(&[entry(2, "10.0.0.100/24", 0, 0), entry(2, "10.0.0.10/24", IFA_F_SECONDARY, 0)]);
    assert_eq!(source(&links, Family::Ipv4, None, &vips(&["10.0.0.100"])).as_deref(), Some("10.0.0.10"));
}

#[test]
fn ipv6_uses_a_settled_link_local_address() {
    let tentative = entry(2, "fe80::10/64", IFA_F_TENTATIVE, 3);
    let mut links = host(&[entry(2, "2001:db8::10/64", 0, 0), entry(2, "fe80::1/64", 0, 0), tentative]);
    let vips = vips(&["fe80::1"]);
    assert_eq!(source(&links, Family::Ipv6, None, &vips), None);
    links.apply(Event::Address(Address { flags: 0x80, ..tentative }));
    assert_eq!(source(&links, Family::Ipv6, None, &vips).as_deref(), Some("fe80::10"));
    links.apply(Event::Address(Address { flags: IFA_F_DADFAILED, ..tentative }));
    assert_eq!(source(&links, Family::Ipv6, None, &vips), None);
}

#[test]
fn a_configured_source_has_to_be_there() {
    let own = entry(2, "10.0.0.10/24", 0, 0);
    let mut links = host(&[entry(2, "10.0.0.9/24", 0, 0), own]);
    let none = vips(&[]);
    assert_eq!(source(&links, Family::Ipv4, Some("10.0.0.10"), &none).as_deref(), Some("10.0.0.10"));
    links.apply(Event::AddressGone(own));
    assert_eq!(source(&links, Family::Ipv4, Some("10.0.0.10"), &none), None);
}

#[test]
fn no_source_without_carrier_or_interface() {
    let address = entry(2, "10.0.0.10/24", 0, 0);
    let mut links = host(&[address]);
    let none = vips(&[]);
    for missing in [0x1, 0x40, 0x1_0000] {
        links.apply(link(2, "eth0", UP & !missing));
        assert_eq!(source(&links, Family::Ipv4, None, &none), None, "without flag {missing:#x}");
    }
    links.apply(link(2, "eth0", UP));
    assert!(source(&links, Family::Ipv4, None, &none).is_some());
    links.apply(link(2, "renamed", UP));
    assert_eq!(source(&links, Family::Ipv4, None, &none), None);
    links.apply(Event::LinkGone(2));
    assert_eq!(links.addresses(2), []);
}

#[test]
fn only_ethernet_has_neighbours_to_tell() {
    let mut links = host(&[]);
    assert_eq!(links.mac("eth0"), Some([2; 6]));
    let tunnel = Link {
        index: 3,
        name: "tun0".to_owned(),
        flags: UP,
        hardware: 768,
        mac: Some([2; 6]),
        ..Link::default()
    };
    links.apply(Event::Link(tunnel));
    assert_eq!(links.mac("tun0"), None);
    assert_eq!(links.mac("eth1"), None);
}
