//! What is accepted, what is dropped, what is reported.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use fairway_config::{Auth, Checksum, Family, KeyFile, Period, Preempt, VirtualIp, VrrpVersion};
use fairway_vrrp::{
    Advert, Authentication, Carrier, Counters, Event, Input, Output, PacketError, Received, Secret, State,
    group_address,
};

use crate::rig::{Did, INTERVAL, Rig, address, config, down, ms, vip, when};

fn advert(priority: u8) -> Advert {
    Advert {
        version: VrrpVersion::V3,
        vrid: 51,
        priority,
        interval: INTERVAL,
        addresses: vec![vip(0)],
        authentication: Authentication::None,
    }
}

fn counters(rig: &Rig) -> Counters {
    *rig.group.instances()[0].counters()
}

fn bad(rig: &Rig) -> PacketError {
    match &rig.outputs[..] {
        [Output::Event(Event::BadPacket { error, .. })] => *error,
        other => panic!("{other:?}"),
    }
}

/// Sends an advert of priority 200 in a packet that `change` spoils; it must not keep the group from taking over.
fn spoiled(change: impl FnOnce(&mut Received<'_>)) -> Rig {
    let mut rig = Rig::backup(100, Preempt::Always);
    rig.sleep(ms(200));
    let (source, destination) = (address(0, 99), group_address(Family::Ipv4));
    let payload = advert(200).encode(source, destination, Checksum::Rfc9568);
    let mut packet = Received { source, destination, ttl: 255, carrier: Carrier::Vrrp, payload: &payload };
    change(&mut packet);
    let did = rig.receive(0, packet);
    assert!(did.is_empty() || did == [Did::Event], "{did:?}");
    let outputs = rig.outputs.clone();
    let all = rig.advance(ms(1_000));
    assert_eq!(when(&all, Did::To(State::Master)), Some(down(100)));
    rig.outputs = outputs;
    rig
}

#[test]
fn an_intact_packet_would_have_kept_it_backup() {
    let mut rig = Rig::backup(100, Preempt::Always);
    rig.sleep(ms(200));
    rig.hear_advert(0, 99, &advert(200), Checksum::Rfc9568);
    let all = rig.advance(ms(1_000));
    assert_eq!(when(&all, Did::To(State::Master)), Some(ms(200) + down(100)));
    assert_eq!(counters(&rig).adverts_received, 1);
}

#[test]
fn a_packet_from_beyond_the_local_network_is_dropped() {
    for ttl in [0, 1, 64, 254] {
        let rig = spoiled(|packet| packet.ttl = ttl);
        assert_eq!((bad(&rig), counters(&rig).bad_ttl), (PacketError::Ttl(ttl), 1));
    }
}

#[test]
fn a_unicast_packet_is_dropped() {
    let rig = spoiled(|packet| packet.destination = address(0, 10));
    assert_eq!((bad(&rig), counters(&rig).bad_destination), (PacketError::Destination(address(0, 10)), 1));
    let rig = spoiled(|packet| packet.source = "fe80::1".parse().unwrap());
    assert_eq!(counters(&rig).bad_destination, 1);
}

/// A group whose only instance has these unicast peers.
fn unicast(priority: u8, peers: &[u8]) -> fairway_vrrp::GroupConfig {
    let mut config = config(1, priority, Preempt::Always);
    config.group.instances[0].unicast_peers = peers.iter().map(|peer| address(0, *peer)).collect();
    config
}

#[test]
fn unicast_adverts_go_to_each_peer_and_to_nobody_else() {
    let mut rig = Rig::started(unicast(100, &[99, 98]));
    rig.advance(down(100));
    let sent: Vec<_> = rig
        .outputs
        .iter()
        .filter_map(|output| match output {
            Output::Send { destination, payload, .. } => Some((*destination, payload.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(sent.iter().map(|(to, _)| *to).collect::<Vec<_>>(), [address(0, 99), address(0, 98)]);
    for (to, payload) in sent {
        Advert::decode(&payload, address(0, 10), to).unwrap();
    }
    assert_eq!(counters(&rig).adverts_sent, 1);
}

#[test]
fn unicast_adverts_are_taken_from_the_peers_only() {
    let mut rig = Rig::started(unicast(100, &[99]));
    let mut hear = |router: u8, destination: IpAddr| {
        let source = address(0, router);
        let payload = advert(200).encode(source, destination, Checksum::Rfc9568);
        rig.receive(0, Received { source, destination, ttl: 255, carrier: Carrier::Vrrp, payload: &payload });
        (rig.group.instances()[0].master(), rig.outputs.clone())
    };
    for (router, destination, error) in [
        (97, address(0, 10), PacketError::Source),
        (99, group_address(Family::Ipv4), PacketError::Destination(group_address(Family::Ipv4))),
        (99, address(0, 11), PacketError::Destination(address(0, 11))),
    ] {
        let (master, outputs) = hear(router, destination);
        assert_eq!(master, None, "{router} to {destination}");
        // The second wrong destination follows the first at once and is only counted.
        let source = address(0, router);
        if let Some(event) = outputs.first() {
            assert_eq!(*event, Output::Event(Event::BadPacket { instance: 0, source, error }));
        }
    }
    assert_eq!(hear(99, address(0, 10)).0, Some(address(0, 99)));
    assert_eq!((counters(&rig).bad_source, counters(&rig).bad_destination), (1, 2));
}

#[test]
fn a_unicast_packet_from_beyond_the_local_network_is_dropped() {
    let mut rig = Rig::started(unicast(100, &[99]));
    let (source, destination) = (address(0, 99), address(0, 10));
    let payload = advert(200).encode(source, destination, Checksum::Rfc9568);
    rig.receive(0, Received { source, destination, ttl: 254, carrier: Carrier::Vrrp, payload: &payload });
    assert_eq!((bad(&rig), rig.group.instances()[0].master()), (PacketError::Ttl(254), None));
}

#[test]
fn our_own_packet_is_ignored() {
    let rig = spoiled(|packet| packet.source = address(0, 10));
    assert_eq!((rig.outputs.len(), counters(&rig).looped), (0, 1));
}

#[test]
fn a_truncated_packet_is_dropped() {
    let rig = spoiled(|packet| packet.payload = &packet.payload[..11]);
    assert_eq!((bad(&rig), counters(&rig).bad_length), (PacketError::Length { expected: 12, found: 11 }, 1));
}

#[test]
fn a_damaged_packet_is_dropped() {
    let rig = spoiled(|packet| packet.payload = &[0x31, 51, 201, 1, 0, 10, 0, 0, 10, 0, 0, 254]);
    assert_eq!((bad(&rig), counters(&rig).bad_checksum), (PacketError::Checksum, 1));
    let rig = spoiled(|packet| packet.payload = &[0x32, 51, 201, 1, 0, 10, 0, 0, 10, 0, 0, 254]);
    assert_eq!((bad(&rig), counters(&rig).bad_type), (PacketError::Type(2), 1));
}

#[test]
fn another_virtual_router_is_named() {
    let mut rig = Rig::backup(100, Preempt::Always);
    rig.hear_advert(0, 99, &Advert { vrid: 52, ..advert(200) }, Checksum::Rfc9568);
    let source = address(0, 99);
    assert_eq!(rig.outputs, [Output::Event(Event::ForeignVrid { instance: 0, source, vrid: 52 })]);
    assert_eq!((counters(&rig).foreign_vrid, counters(&rig).adverts_received), (1, 0));
    assert_eq!(rig.group.instances()[0].master(), None);
}

#[test]
fn the_other_version_is_dropped() {
    let mut rig = Rig::backup(100, Preempt::Always);
    let other = Advert { version: VrrpVersion::V2, interval: ms(1_000), ..advert(200) };
    rig.hear_advert(0, 99, &other, Checksum::Rfc9568);
    assert_eq!((bad(&rig), counters(&rig).bad_version), (PacketError::Version(2), 1));
}

fn version_2(password: Option<&[u8; 8]>) -> Rig {
    let mut config = config(1, 100, Preempt::Always);
    let instance = &mut config.group.instances[0];
    instance.version = VrrpVersion::V2;
    instance.advert_interval = Period::from_secs(1);
    if let Some(password) = password {
        instance.auth = Some(Auth::Pass(KeyFile { key_file: PathBuf::from("key") }));
        config.secrets = BTreeMap::from([("net0".to_owned(), Secret::Password(*password))]);
    }
    Rig::started(config)
}

fn advert_2(password: Option<&[u8; 8]>) -> Advert {
    let authentication = password.map_or(Authentication::None, |p| Authentication::Password(*p));
    Advert { version: VrrpVersion::V2, interval: ms(1_000), authentication, ..advert(200) }
}

#[test]
fn a_password_is_sent_and_wanted() {
    let mut rig = version_2(Some(b"k4fgl8ab"));
    rig.hear_advert(0, 99, &advert_2(Some(b"k4fgl8ab")), Checksum::Rfc9568);
    assert_eq!((rig.outputs.len(), counters(&rig).adverts_received), (0, 1));
    rig.hear_advert(0, 99, &advert_2(Some(b"k4fgl8aB")), Checksum::Rfc9568);
    assert_eq!((bad(&rig), counters(&rig).auth_failed), (PacketError::Password, 1));
    rig.advance(ms(20_000));
    let sent = rig.outputs.iter().find_map(|output| match output {
        Output::Send { payload, .. } => Some(payload.clone()),
        _ => None,
    });
    assert_eq!(&sent.unwrap()[12..], b"k4fgl8ab");
}

#[test]
fn the_kind_of_authentication_must_match() {
    let mut rig = version_2(Some(b"k4fgl8ab"));
    rig.hear_advert(0, 99, &advert_2(None), Checksum::Rfc9568);
    assert_eq!((bad(&rig), counters(&rig).auth_mismatch), (PacketError::AuthenticationType(0), 1));
    let mut rig = version_2(None);
    rig.hear_advert(0, 99, &advert_2(Some(b"k4fgl8ab")), Checksum::Rfc9568);
    assert_eq!((bad(&rig), counters(&rig).auth_mismatch), (PacketError::AuthenticationType(1), 1));
}

#[test]
fn version_2_drops_another_interval_and_says_so() {
    let mut rig = version_2(None);
    rig.hear_advert(0, 99, &Advert { interval: ms(2_000), ..advert_2(None) }, Checksum::Rfc9568);
    let source = address(0, 99);
    let (theirs, ours) = (ms(2_000), ms(1_000));
    assert_eq!(rig.outputs, [Output::Event(Event::IntervalMismatch { instance: 0, source, theirs, ours })]);
    assert_eq!((counters(&rig).interval_mismatch, counters(&rig).adverts_received), (1, 0));
}

#[test]
fn a_different_list_of_addresses_is_reported_and_followed() {
    let mut rig = Rig::backup(100, Preempt::Always);
    let other: IpAddr = "10.0.0.253".parse().unwrap();
    rig.sleep(ms(200));
    rig.hear_advert(0, 99, &Advert { addresses: vec![other], ..advert(200) }, Checksum::Rfc9568);
    let event = Event::VipMismatch {
        instance: 0,
        source: address(0, 99),
        unknown: vec![other],
        missing: vec![vip(0)],
    };
    assert_eq!(rig.outputs, [Output::Event(event)]);
    assert_eq!((counters(&rig).vip_mismatch, counters(&rig).adverts_received), (1, 1));
    let all = rig.advance(ms(1_000));
    assert_eq!(when(&all, Did::To(State::Master)), Some(ms(200) + down(100)));
}

#[test]
fn the_order_of_addresses_does_not_matter() {
    let mut config = config(1, 100, Preempt::Always);
    let second: IpAddr = "10.0.0.253".parse().unwrap();
    config.group.instances[0].virtual_ips.push(VirtualIp { address: second, prefix: None, interface: None });
    let mut rig = Rig::started(config);
    let did =
        rig.hear_advert(0, 99, &Advert { addresses: vec![second, vip(0)], ..advert(200) }, Checksum::Rfc9568);
    assert_eq!((did, counters(&rig).vip_mismatch), (vec![], 0));
}

#[test]
fn both_checksums_are_understood_and_two_masters_are_told_of_them() {
    let mut rig = Rig::backup(100, Preempt::Always);
    rig.hear_advert(0, 99, &advert(200), Checksum::Rfc5798);
    assert_eq!((rig.outputs.len(), counters(&rig).checksum_mismatch), (0, 1));
    assert_eq!(rig.group.instances()[0].master(), Some(address(0, 99)));
    let mut rig = Rig::master(100, Preempt::Always);
    rig.hear_advert(0, 99, &advert(50), Checksum::Rfc5798);
    let (source, theirs) = (address(0, 99), Checksum::Rfc5798);
    assert_eq!(rig.outputs[0], Output::Event(Event::ChecksumMismatch { instance: 0, source, theirs }));
}

#[test]
fn the_configured_checksum_is_sent() {
    for form in [Checksum::Rfc9568, Checksum::Rfc5798] {
        let mut config = config(1, 100, Preempt::Always);
        config.group.instances[0].checksum = form;
        let mut rig = Rig::started(config);
        rig.advance(ms(1_000));
        let Some(Output::Send { destination, payload, .. }) = rig.outputs.first() else { panic!() };
        let decoded = Advert::decode(payload, address(0, 10), *destination).unwrap();
        assert_eq!((decoded.checksum, decoded.advert), (form, advert(100)));
    }
}

#[test]
fn one_kind_of_event_is_reported_every_ten_seconds() {
    let mut rig = Rig::backup(100, Preempt::Always);
    let mut events = 0;
    for _ in 0..250 {
        let packet = Received {
            source: address(0, 7),
            destination: group_address(Family::Ipv4),
            ttl: 1,
            carrier: Carrier::Vrrp,
            payload: &[],
        };
        events += rig.receive(0, packet).len();
        rig.sleep(ms(100));
    }
    assert_eq!((events, counters(&rig).bad_ttl), (3, 250));
}

#[test]
fn one_router_does_not_hide_another() {
    let mut rig = Rig::backup(100, Preempt::Always);
    let packet = |source, ttl| Received {
        source: address(0, source),
        destination: group_address(Family::Ipv4),
        ttl,
        carrier: Carrier::Vrrp,
        payload: &[],
    };
    assert_eq!(rig.receive(0, packet(7, 1)).len(), 1);
    assert_eq!(rig.receive(0, packet(7, 1)).len(), 0, "the same again");
    assert_eq!(rig.receive(0, packet(8, 1)).len(), 1, "another router");
    assert_eq!(rig.receive(0, packet(7, 255)).len(), 1, "another mistake");
    let seen = |rig: &Rig| {
        let others = rig.group.instances()[0].other_routers();
        others.map(|other| (other.source, other.count)).collect::<Vec<_>>()
    };
    let (seven, eight) = (address(0, 7), address(0, 8));
    assert_eq!(seen(&rig), [(seven, 1), (eight, 1), (seven, 1)]);
    // Many more do not push them out, nor fill the log, while these go on.
    let mut told = 0;
    for round in 0..50_u8 {
        rig.sleep(ms(100));
        told += (20..120).map(|source| rig.receive(0, packet(source, 1)).len()).sum::<usize>();
        assert_eq!(rig.receive(0, packet(7, 1)).len(), 0, "{round}");
    }
    assert_eq!((told, seen(&rig).len()), (5, 8));
    rig.sleep(ms(10_000));
    assert_eq!(rig.receive(0, packet(7, 1)).len(), 1);
    assert_eq!(seen(&rig)[0], (seven, 53));
    assert_eq!(rig.receive(0, packet(200, 1)).len(), 1, "those that are quiet make room");
}

#[test]
fn counters_have_names() {
    let mut rig = Rig::master(100, Preempt::Always);
    rig.hear(0, 99, 200);
    let all: BTreeMap<_, _> = counters(&rig).iter().collect();
    assert_eq!(all["became_master"], 1);
    assert_eq!(all["released_master"], 1);
    assert_eq!(all["adverts_sent"], 2);
    assert_eq!(all["adverts_received"], 1);
    rig.input(Input::Timer);
    assert_eq!(counters(&rig).iter().count(), all.len());
}

#[test]
fn ipv6_is_elected_with_its_own_checksum() {
    let mut config = config(1, 100, Preempt::Always);
    let instance = &mut config.group.instances[0];
    instance.family = Family::Ipv6;
    let vips = ["fe80::51", "2001:db8::1"].map(|text| text.parse::<IpAddr>().unwrap());
    instance.virtual_ips =
        vips.iter().map(|vip| VirtualIp { address: *vip, prefix: None, interface: None }).collect();
    let mut rig = Rig::new(config);
    let ours: IpAddr = "fe80::10".parse().unwrap();
    let theirs: IpAddr = "fe80::99".parse().unwrap();
    rig.input(Input::Link { instance: 0, source: Ok(ours) });
    rig.input(Input::Start { holding: false });
    let destination = group_address(Family::Ipv6);
    let other = Advert { addresses: vips.to_vec(), ..advert(200) };
    let payload = other.encode(theirs, destination, Checksum::Rfc9568);
    rig.receive(
        0,
        Received { source: theirs, destination, ttl: 255, carrier: Carrier::Vrrp, payload: &payload },
    );
    assert_eq!((rig.outputs.len(), rig.group.instances()[0].master()), (0, Some(theirs)));
    rig.advance(ms(1_000));
    let Some(Output::Send { destination: to, payload, .. }) = rig.outputs.first() else { panic!() };
    assert_eq!(*to, destination);
    assert_eq!(Advert::decode(payload, ours, destination).unwrap().advert, Advert { priority: 100, ..other });
}
