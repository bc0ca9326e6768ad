use super::*;

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
    Address {
        index,
        address: address.parse().unwrap(),
        prefix: prefix.parse().unwrap(),
        scope: 0,
        flags,
        protocol,
    }
}

fn host(addresses: &[Address]) -> Links {
    let mut events = vec![link(1, "lo", RUNNING), link(2, "eth0", RUNNING)];
    events.extend(addresses.iter().copied().map(Event::Address));
    Links::from_dump(events)
}

fn vips(list: &[&str]) -> BTreeSet<IpAddr> {
    list.iter().map(|address| address.parse().unwrap()).collect()
}

fn instance(family: Family, configured: Option<&str>) -> Instance {
    let vip = if family == Family::Ipv4 { "10.0.0.100" } else { "fe80::100" };
    let source = configured.map(|source| format!("source = \"{source}\"\n")).unwrap_or_default();
    let text = format!(
        "version = 1\ncluster = \"c\"\nhost = \"h\"\n[[failover]]\nname = \"edge\"\n[[failover.instance]]\nname = \"a\"\n\
         interface = \"eth0\"\nfamily = \"{family}\"\nvrid = 1\npriority = 100\nadvert-interval = \"1s\"\n{source}\
         virtual-ips = [{{ address = \"{vip}\" }}]\n"
    );
    Instance::clone(&fairway_config::Config::from_toml(&text).unwrap().failover.remove(0).instances[0])
}

fn source(
    links: &Links,
    family: Family,
    configured: Option<&str>,
    vips: &BTreeSet<IpAddr>,
) -> Result<String, LinkProblem> {
    links.source(&instance(family, configured), vips).map(|address| address.to_string())
}

fn ok(address: &str) -> Result<String, LinkProblem> {
    Ok(address.to_owned())
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
    assert_eq!(source(&links, Family::Ipv4, None, &vips), ok("10.0.0.11"));
}

#[test]
fn a_secondary_address_is_better_than_none() {
    let links = host(&[entry(2, "10.0.0.100/24", 0, 0), entry(2, "10.0.0.10/24", IFA_F_SECONDARY, 0)]);
    assert_eq!(source(&links, Family::Ipv4, None, &vips(&["10.0.0.100"])), ok("10.0.0.10"));
}

#[test]
fn ipv6_uses_a_settled_link_local_address() {
    let tentative = entry(2, "fe80::10/64", IFA_F_TENTATIVE, 3);
    let mut links = host(&[entry(2, "2001:db8::10/64", 0, 0), entry(2, "fe80::1/64", 0, 0), tentative]);
    let vips = vips(&["fe80::1"]);
    let address = tentative.address;
    assert_eq!(source(&links, Family::Ipv6, None, &vips), Err(LinkProblem::Tentative(address)));
    links.apply(Event::Address(Address { flags: 0x80, ..tentative }));
    assert_eq!(source(&links, Family::Ipv6, None, &vips), ok("fe80::10"));
    links.apply(Event::Address(Address { flags: IFA_F_DADFAILED, ..tentative }));
    assert_eq!(source(&links, Family::Ipv6, None, &vips), Err(LinkProblem::Duplicate(address)));
    links.apply(Event::AddressGone(tentative));
    assert_eq!(source(&links, Family::Ipv6, None, &vips), Err(LinkProblem::NoAddress(Family::Ipv6)));
}

#[test]
fn a_configured_source_has_to_be_there() {
    let own = entry(2, "10.0.0.10/24", 0, 0);
    let mut links = host(&[entry(2, "10.0.0.9/24", 0, 0), own]);
    let none = vips(&[]);
    assert_eq!(source(&links, Family::Ipv4, Some("10.0.0.10"), &none), ok("10.0.0.10"));
    links.apply(Event::AddressGone(own));
    let problem = Err(LinkProblem::NoSource(own.address));
    assert_eq!(source(&links, Family::Ipv4, Some("10.0.0.10"), &none), problem);
}

#[test]
fn no_source_without_carrier_or_interface() {
    let address = entry(2, "10.0.0.10/24", 0, 0);
    let mut links = host(&[address]);
    let none = vips(&[]);
    let no_carrier = LinkProblem::NoCarrier;
    for (missing, problem) in [(0x1, LinkProblem::Down), (0x40, no_carrier), (0x1_0000, no_carrier)] {
        links.apply(link(2, "eth0", RUNNING & !missing));
        assert_eq!(source(&links, Family::Ipv4, None, &none), Err(problem), "without flag {missing:#x}");
    }
    links.apply(link(2, "eth0", RUNNING));
    assert_eq!(source(&links, Family::Ipv4, None, &none), ok("10.0.0.10"));
    links.apply(link(2, "renamed", RUNNING));
    assert_eq!(source(&links, Family::Ipv4, None, &none), Err(LinkProblem::Missing));
    links.apply(Event::LinkGone(2));
    assert_eq!(links.addresses(2), []);
}

#[test]
fn the_source_does_not_depend_on_what_was_heard_first() {
    let narrow = Address { scope: 253, ..entry(2, "169.254.0.9/16", 0, 0) };
    let wide = entry(2, "10.0.0.10/24", 0, 0);
    let none = vips(&[]);
    for order in [[narrow, wide], [wide, narrow]] {
        assert_eq!(source(&host(&order), Family::Ipv4, None, &none), ok("10.0.0.10"));
    }
    // A dump has the latest first, the news has it last.
    let (one, two) = (entry(2, "fe80::1/64", 0, 0), entry(2, "fe80::2/64", 0, 0));
    for order in [[one, two], [two, one]] {
        assert_eq!(source(&host(&order), Family::Ipv6, None, &none), ok("fe80::1"));
    }
    // Promoted, as the first address of its network goes: the kernel now has it behind the other.
    let (first, promoted) = (entry(2, "10.0.0.1/24", 0, 0), entry(2, "10.0.0.2/24", IFA_F_SECONDARY, 0));
    let mut links = host(&[first, promoted, entry(2, "10.1.0.1/24", 0, 0)]);
    links.apply(Event::AddressGone(first));
    links.apply(Event::Address(Address { flags: 0, ..promoted }));
    assert_eq!(source(&links, Family::Ipv4, None, &none), ok("10.1.0.1"));
}

#[test]
fn an_owner_needs_its_addresses_and_sends_from_another() {
    let mut instance = instance(Family::Ipv4, None);
    instance.priority = fairway_config::Priority::new(255).unwrap();
    let own = entry(2, "10.0.0.100/24", 0, 0);
    let vips = vips(&["10.0.0.100"]);
    let other = entry(2, "10.0.0.10/24", IFA_F_SECONDARY, 0);
    assert_eq!(host(&[own, other]).source(&instance, &vips), Ok(other.address));
    // A host that stands in for it takes no packets from an address of its own.
    assert_eq!(host(&[own]).source(&instance, &vips), Err(LinkProblem::NoAddress(Family::Ipv4)));
    let missing = Err(LinkProblem::NotOwned(own.address));
    assert_eq!(host(&[other]).source(&instance, &vips), missing);
    // One that a director added is none of the host's.
    let added = Address { protocol: ADDRESS_TAG, ..own };
    assert_eq!(host(&[other, added]).source(&instance, &vips), missing);
    let tentative = Address { flags: IFA_F_TENTATIVE, ..own };
    assert_eq!(host(&[tentative, other]).source(&instance, &vips), Err(LinkProblem::Tentative(own.address)));
}

#[test]
fn only_ethernet_has_neighbours_to_tell() {
    let mut links = host(&[]);
    assert_eq!(links.mac("eth0"), Some([2; 6]));
    let tunnel = Link {
        index: 3,
        name: "tun0".to_owned(),
        flags: RUNNING,
        hardware: 768,
        mac: Some([2; 6]),
        ..Link::default()
    };
    links.apply(Event::Link(tunnel));
    assert_eq!(links.mac("tun0"), None);
    assert_eq!(links.mac("eth1"), None);
}
