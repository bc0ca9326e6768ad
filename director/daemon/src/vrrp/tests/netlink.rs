use super::read::*;
use super::*;

/// A netlink message with the given type, flags and payload, padded.
fn message(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(HEADER + payload.len()).unwrap().to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(7_u32.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = u16::try_from(4 + value.len()).unwrap().to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn link_payload(family: u8) -> Vec<u8> {
    let mut payload = vec![family, 0];
    payload.extend(1_u16.to_ne_bytes());
    payload.extend(5_u32.to_ne_bytes());
    payload.extend(0x1_0043_u32.to_ne_bytes());
    payload.extend([0; 4]);
    payload.extend(attribute(IFLA_ADDRESS, &[2, 0, 0, 0, 0, 1]));
    payload.extend(attribute(0x8000 | 300, b"of a newer kernel"));
    payload.extend(attribute(IFLA_IFNAME, b"eth0\0"));
    payload
}

fn address_payload(attributes: &[Vec<u8>]) -> Vec<u8> {
    let mut payload = vec![2, 24, 0x80, 253];
    payload.extend(5_u32.to_ne_bytes());
    payload.extend(attributes.concat());
    payload
}

fn events(bytes: &[u8]) -> Vec<Event> {
    messages(bytes).filter_map(|message| parse(&message)).collect()
}

#[test]
fn reads_macvlans() {
    let info = |kind: &[u8]| {
        let data = attribute(0x8000 | 2, &attribute(1, &1_u32.to_ne_bytes()));
        attribute(0x8000 | 18, &[attribute(1, kind), data].concat())
    };
    let read = |further: &[Vec<u8>]| {
        let payload = [link_payload(0), further.concat()].concat();
        match events(&message(RTM_NEWLINK, 0, &payload)).pop() {
            Some(Event::Link(link)) => (link.macvlan.map(|macvlan| (macvlan.base, macvlan.mode)), link.alias),
            other => panic!("{other:?}"),
        }
    };
    let (base, alias) = (attribute(5, &7_u32.to_ne_bytes()), attribute(20, b"of the director\0"));
    assert_eq!(
        read(&[base.clone(), info(b"macvlan\0"), alias]),
        (Some((7, 1)), "of the director".to_owned())
    );
    assert_eq!(read(&[base, info(b"vlan\0")]).0, None);
    assert_eq!(read(&[info(b"macvlan\0")]).0, None, "without an interface below");
}

#[test]
fn reads_links() {
    let expected = Link {
        index: 5,
        name: "eth0".to_owned(),
        flags: 0x1_0043,
        hardware: 1,
        mac: Some([2, 0, 0, 0, 0, 1]),
        ..Link::default()
    };
    let mut bytes = message(RTM_NEWLINK, 0, &link_payload(0));
    bytes.extend(message(RTM_DELLINK, 0, &link_payload(0)));
    assert_eq!(events(&bytes), [Event::Link(expected), Event::LinkGone(5)]);
}

#[test]
fn a_port_leaving_its_bridge_is_not_a_link_that_goes() {
    assert_eq!(events(&message(RTM_DELLINK, 0, &link_payload(7))), []);
}

#[test]
fn reads_addresses() {
    let attributes = [
        attribute(IFA_ADDRESS, &[10, 0, 0, 99]),
        attribute(IFA_LOCAL, &[10, 0, 0, 1]),
        attribute(IFA_FLAGS, &0x280_u32.to_ne_bytes()),
        attribute(IFA_PROTO, &[ADDRESS_TAG]),
    ];
    let address = Address {
        index: 5,
        address: "10.0.0.1".parse().unwrap(),
        prefix: 24,
        scope: 253,
        flags: 0x280,
        protocol: ADDRESS_TAG,
    };
    assert_eq!(events(&message(RTM_NEWADDR, 0, &address_payload(&attributes))), [Event::Address(address)]);
    assert_eq!(
        events(&message(RTM_DELADDR, 0, &address_payload(&attributes))),
        [Event::AddressGone(address)]
    );
}

#[test]
fn an_old_kernel_gives_short_flags_and_no_tag() {
    let payload = address_payload(&[attribute(IFA_ADDRESS, &[10, 0, 0, 1])]);
    let [Event::Address(address)] = events(&message(RTM_NEWADDR, 0, &payload))[..] else { panic!() };
    assert_eq!((address.flags, address.protocol), (0x80, 0));
}

#[test]
fn truncations_never_panic_and_never_invent() {
    let whole = message(RTM_NEWADDR, 0, &address_payload(&[attribute(IFA_ADDRESS, &[10, 0, 0, 1])]));
    for length in 0..whole.len() {
        assert_eq!(events(&whole[..length]), [], "{length} bytes");
    }
    let link = message(RTM_NEWLINK, 0, &link_payload(0));
    for length in HEADER..link.len() {
        let mut cut = link[..length].to_vec();
        cut[..4].copy_from_slice(&u32::try_from(length).unwrap().to_ne_bytes());
        // A name that is cut off does not make a link of another name.
        for event in events(&cut) {
            assert!(matches!(event, Event::Link(link) if link.name == "eth0"), "{length} bytes");
        }
    }
}

#[test]
fn reads_the_kernels_refusal() {
    let mut payload = (-(Errno::EACCES as i32)).to_ne_bytes().to_vec();
    payload.extend([0; HEADER]);
    payload.extend(attribute(NLMSGERR_ATTR_MSG, b"IPv6 is disabled on this device\0"));
    let bytes = message(NLMSG_ERROR, NLM_F_ACK_TLVS, &payload);
    let message = messages(&bytes).next().unwrap();
    assert_eq!(verdict(message.payload), Err(Errno::EACCES));
    let refusal = Refusal::Kernel(Errno::EACCES, error_text(&message).unwrap());
    assert_eq!(refusal.to_string(), "EACCES: Permission denied: IPv6 is disabled on this device");
    assert_eq!(verdict(&0_i32.to_ne_bytes()), Ok(()));
    // An error number unknown to the library is still an error.
    assert!(verdict(&(-4000_i32).to_ne_bytes()).is_err());
}

/// Attributes by type.
type Attributes = Vec<(u16, Vec<u8>)>;

/// What the kernel would read in a change: message type, fixed part, attributes.
fn sent(change: Change) -> (u16, Vec<u8>, Attributes) {
    let mut message = NetlinkMessage::from(change.message());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    let message = messages(&bytes).next().unwrap();
    let (header, rest) = message.payload.split_at(ADDRESS_HEADER);
    let attributes = attributes(rest).map(|(kind, value)| (kind, value.to_vec())).collect();
    (message.kind, header.to_vec(), attributes)
}

#[test]
fn ipv4_vips_carry_our_tag() {
    let change = Change { add: true, index: 5, address: "10.0.0.1".parse().unwrap(), prefix: 32 };
    let (kind, header, attributes) = sent(change);
    assert_eq!(kind, RTM_NEWADDR);
    assert_eq!(header[..4], [2, 32, 0, 0]);
    let expected =
        [(IFA_LOCAL, vec![10, 0, 0, 1]), (IFA_ADDRESS, vec![10, 0, 0, 1]), (IFA_PROTO, vec![ADDRESS_TAG])];
    assert_eq!(attributes, expected);
}

#[test]
fn ipv6_vips_skip_detection_and_are_no_source() {
    let change = Change { add: true, index: 5, address: "2001:db8::1".parse().unwrap(), prefix: 128 };
    let (_, header, attributes) = sent(change);
    assert_eq!(header[..2], [10, 128]);
    let value = |kind| attributes.iter().find(|(k, _)| *k == kind).map(|(_, value)| value.clone());
    assert_eq!(value(IFA_FLAGS).unwrap(), 2_u32.to_ne_bytes()); // IFA_F_NODAD
    let cache = value(6).unwrap(); // IFA_CACHEINFO: preferred, valid, ...
    assert_eq!((cache[..4].to_vec(), cache[4..8].to_vec()), (vec![0; 4], vec![0xff; 4]));
}

#[test]
fn removals_name_address_and_prefix_only() {
    let change = Change { add: false, index: 5, address: "10.0.0.1".parse().unwrap(), prefix: 24 };
    let (kind, header, attributes) = sent(change);
    assert_eq!((kind, header[1], attributes.len()), (RTM_DELADDR, 24, 2));
}
