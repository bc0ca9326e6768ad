//! The wire format: known packets, round trips, rejects, hostile bytes.

use std::net::IpAddr;
use std::time::Duration;

use fairway_config::{Checksum, Family, VrrpVersion};
use fairway_vrrp::{Advert, Authentication, Carrier, PacketError, group_address, vrid_of};
use proptest::prelude::*;

use crate::rig::ms;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().filter_map(|c| c.to_digit(16)).map(|d| d.try_into().unwrap()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn advert(
    version: VrrpVersion,
    vrid: u8,
    priority: u8,
    interval: Duration,
    addresses: &[&str],
    password: Option<&[u8; 8]>,
) -> Advert {
    Advert {
        version,
        vrid,
        priority,
        interval,
        addresses: addresses.iter().map(|text| ip(text)).collect(),
        authentication: password.map_or(Authentication::None, |p| Authentication::Password(*p)),
    }
}

/// What follows the IP header, its source, the form of the checksum, and what it says.
struct Known(&'static str, &'static str, Checksum, Advert);

fn known() -> Vec<Known> {
    use Checksum::{Rfc5798, Rfc9568};
    use VrrpVersion::{V2, V3};
    const K: &str = "192.0.2.10";
    const K6: &str = "fe80::78bf:a8ff:fe74:c5b3";
    let pass = || advert(V2, 51, 150, ms(1000), &["192.0.2.1", "192.0.2.2"], Some(b"k4fgl8ab"));
    let v3 = || advert(V3, 52, 200, ms(250), &["192.0.2.3"], None);
    let v6 = || advert(V3, 54, 120, ms(500), &["fe80::54", "2001:db8::1"], None);
    vec![
        // Captured from keepalived 2.2.7.
        Known("21339602 0101248e c0000201 c0000202 6b346667 6c386162", K, Rfc9568, pass()),
        Known(
            "21330002 0101ba8e c0000201 c0000202 6b346667 6c386162",
            K,
            Rfc9568,
            Advert { priority: 0, ..pass() },
        ),
        Known(
            "21326501 0002b7c2 c0000207 00000000 00000000",
            K,
            Rfc9568,
            advert(V2, 50, 101, ms(2000), &["192.0.2.7"], None),
        ),
        Known("3134c801 0019a213 c0000203", K, Rfc5798, v3()),
        Known("31340001 00196a14 c0000203", K, Rfc5798, Advert { priority: 0, ..v3() }),
        Known(
            "31356303 000a830a c0000204 c0000205 c0000206",
            K,
            Rfc5798,
            advert(V3, 53, 99, ms(100), &["192.0.2.4", "192.0.2.5", "192.0.2.6"], None),
        ),
        Known(
            "31367802 003245f0 fe800000 00000000 00000000 00000054 20010db8 00000000 00000000 00000001",
            K6,
            Rfc9568,
            v6(),
        ),
        Known(
            "31360002 0032bdf0 fe800000 00000000 00000000 00000054 20010db8 00000000 00000000 00000001",
            K6,
            Rfc9568,
            Advert { priority: 0, ..v6() },
        ),
        // By hand from RFC 9568: 3134 + c801 + 0019 + c000 + 0203 = 1bb51, folded bb52, its complement 44ad.
        Known("3134c801 001944ad c0000203", K, Rfc9568, v3()),
        // By hand from RFC 9568, the longest interval: 3101 + 0101 + 0fff + c000 + 0201 = 10402, folded 0403.
        Known("31010101 0ffffbfc c0000201", K, Rfc9568, advert(V3, 1, 1, ms(40_950), &["192.0.2.1"], None)),
    ]
}

#[test]
fn known_packets_are_read() {
    for Known(hex, source, form, advert) in known() {
        let source = ip(source);
        let decoded = Advert::decode(&bytes(hex), source, group_address(Family::of(source)))
            .unwrap_or_else(|error| panic!("{hex}: {error}"));
        assert_eq!((decoded.advert, decoded.checksum), (advert, form), "{hex}");
    }
}

#[test]
fn known_packets_are_written() {
    for Known(hex, source, form, advert) in known() {
        let source = ip(source);
        assert_eq!(advert.encode(source, group_address(Family::of(source)), form), bytes(hex), "{hex}");
    }
}

#[test]
fn reserved_bits_are_ignored() {
    // RFC 9568 section 5.2.6: "MUST be ... ignored on reception". 1000 more in the sum, as much less in the checksum.
    let decoded = Advert::decode(&bytes("3134c801 101934ad c0000203"), ip("192.0.2.10"), ip("224.0.0.18"));
    assert_eq!(decoded.unwrap().advert.interval, ms(250));
}

#[test]
fn what_is_wrong_is_named() {
    let v4 = |hex| Advert::decode(&bytes(hex), ip("192.0.2.10"), ip("224.0.0.18")).unwrap_err();
    let v6 = |hex| Advert::decode(&bytes(hex), ip("fe80::1"), ip("ff02::12")).unwrap_err();
    assert_eq!(v4(""), PacketError::Length { expected: 8, found: 0 });
    assert_eq!(v4("3134c801 001944"), PacketError::Length { expected: 8, found: 7 });
    assert_eq!(v4("3134c801 001944ad"), PacketError::Length { expected: 12, found: 8 });
    assert_eq!(v4("3134c801 001944ad c0000203 00"), PacketError::Length { expected: 12, found: 13 });
    assert_eq!(v4("3134c8ff 001944ad c0000203"), PacketError::Length { expected: 1028, found: 12 });
    assert_eq!(v6("3134c801 001944ad c0000203"), PacketError::Length { expected: 24, found: 12 });
    assert_eq!(v4("21326501 0002b7c2 c0000207"), PacketError::Length { expected: 20, found: 12 });
    assert_eq!(v4("4134c801 001944ad c0000203"), PacketError::Version(4));
    assert_eq!(v6("21326501 0002b7c2 c0000207 00000000 00000000"), PacketError::Version(2));
    assert_eq!(v4("3234c801 001944ad c0000203"), PacketError::Type(2));
    assert_eq!(v4("3134c801 001944ae c0000203"), PacketError::Checksum);
    assert_eq!(v4("21326501 0002b7c3 c0000207 00000000 00000000"), PacketError::Checksum);
    assert_eq!(v4("3134c801 000044c6 c0000203"), PacketError::Interval);
    assert_eq!(v4("21326501 0000b7c4 c0000207 00000000 00000000"), PacketError::Interval);
    assert_eq!(v4("21326501 0302b4c2 c0000207 00000000 00000000"), PacketError::AuthenticationType(3));
}

#[test]
fn version_2_and_ipv6_know_one_checksum_only() {
    // Captured packets, their checksums formed the other way.
    let mut v2 = bytes("21326501 00020000 c0000207 00000000 00000000");
    seal(&mut v2, 0xc000 + 0x020a + 0xe000 + 0x0012 + 112 + 20);
    assert_eq!(Advert::decode(&v2, ip("192.0.2.10"), ip("224.0.0.18")).unwrap_err(), PacketError::Checksum);
    let mut v6 =
        bytes("31367802 00320000 fe800000 00000000 00000000 00000054 20010db8 00000000 00000000 00000001");
    seal(&mut v6, 0);
    let error = Advert::decode(&v6, ip("fe80::78bf:a8ff:fe74:c5b3"), ip("ff02::12")).unwrap_err();
    assert_eq!(error, PacketError::Checksum);
}

/// Writes the checksum over a message and what else is in the sum.
fn seal(payload: &mut [u8], more: u32) {
    payload[6..8].fill(0);
    let words = payload.chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(*w.get(1).unwrap_or(&0)));
    let mut sum = words.sum::<u32>() + more;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    payload[6..8].copy_from_slice(&(!u16::try_from(sum).unwrap()).to_be_bytes());
}

#[test]
fn a_password_is_never_shown() {
    let shown = format!("{:?}", advert(VrrpVersion::V2, 1, 1, ms(1000), &["192.0.2.1"], Some(b"geheim!!")));
    assert!(shown.contains("Password(..)") && !shown.contains("103, 101"), "{shown}");
}

#[test]
fn the_identifier_is_found_without_decoding() {
    assert_eq!(vrid_of(Carrier::Vrrp, &bytes("3134c801")), Some(0x34));
    assert_eq!(vrid_of(Carrier::Vrrp, &[0x31]), None);
}

#[test]
fn two_hundred_and_fifty_five_addresses_fit() {
    let vips: Vec<_> = (0..=255).map(|i| format!("10.0.0.{i}")).collect();
    let vips: Vec<_> = vips.iter().map(String::as_str).collect();
    let full = advert(VrrpVersion::V3, 1, 1, ms(10), &vips[..255], None);
    let over = advert(VrrpVersion::V3, 1, 1, ms(10), &vips, None);
    let (source, destination) = (ip("10.1.0.1"), group_address(Family::Ipv4));
    let payload = full.encode(source, destination, Checksum::Rfc9568);
    assert_eq!(Advert::decode(&payload, source, destination).unwrap().advert, full);
    assert_eq!(over.encode(source, destination, Checksum::Rfc9568), payload);
}

fn any_advert() -> impl Strategy<Value = (Advert, IpAddr, Checksum)> {
    let form = prop_oneof![Just(Checksum::Rfc9568), Just(Checksum::Rfc5798)];
    let v4 = prop::collection::vec(any::<[u8; 4]>().prop_map(IpAddr::from), 0..20);
    let v6 = prop::collection::vec(any::<[u8; 16]>().prop_map(IpAddr::from), 0..20);
    let password =
        prop_oneof![Just(Authentication::None), any::<[u8; 8]>().prop_map(Authentication::Password)];
    let make = |version, vrid, priority, interval, addresses, authentication| Advert {
        version,
        vrid,
        priority,
        interval,
        addresses,
        authentication,
    };
    let header = || (any::<u8>(), any::<u8>());
    let ticks = || (1..=4095_u64).prop_map(|ticks| ms(ticks * 10));
    prop_oneof![
        (header(), (1..=255_u64), v4.clone(), password, any::<[u8; 4]>()).prop_map(
            move |((vrid, priority), seconds, list, password, source)| (
                make(VrrpVersion::V2, vrid, priority, Duration::from_secs(seconds), list, password),
                IpAddr::from(source),
                Checksum::Rfc9568
            )
        ),
        (header(), ticks(), v4, form, any::<[u8; 4]>()).prop_map(
            move |((vrid, priority), interval, list, form, source)| (
                make(VrrpVersion::V3, vrid, priority, interval, list, Authentication::None),
                IpAddr::from(source),
                form
            )
        ),
        (header(), ticks(), v6, any::<[u8; 16]>()).prop_map(
            move |((vrid, priority), interval, list, source)| (
                make(VrrpVersion::V3, vrid, priority, interval, list, Authentication::None),
                IpAddr::from(source),
                Checksum::Rfc9568
            )
        ),
    ]
}

#[test]
fn where_both_checksums_are_the_same_either_is_right() {
    // The words of the pseudo-header add up to ffff: 1f71 + 0000 + e000 + 0012 + 0070 + 000c.
    let (source, destination) = (ip("31.113.0.0"), ip("224.0.0.18"));
    let advert = advert(VrrpVersion::V3, 52, 200, ms(250), &["192.0.2.3"], None);
    let payload = advert.encode(source, destination, Checksum::Rfc5798);
    assert_eq!(payload, advert.encode(source, destination, Checksum::Rfc9568));
    assert_eq!(Advert::decode(&payload, source, destination).unwrap().advert, advert);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read((advert, source, form) in any_advert()) {
        let destination = group_address(Family::of(source));
        let payload = advert.encode(source, destination, form);
        let decoded = Advert::decode(&payload, source, destination).unwrap();
        // Both forms may be the same by chance.
        prop_assert!(decoded.checksum == form || payload == advert.encode(source, destination, decoded.checksum));
        prop_assert_eq!(decoded.advert, advert);
    }

    #[test]
    fn one_wrong_bit_is_noticed((advert, source, form) in any_advert(), place in any::<prop::sample::Index>()) {
        let destination = group_address(Family::of(source));
        let mut payload = advert.encode(source, destination, form);
        let bit = place.index(payload.len() * 8);
        payload[bit / 8] ^= 1 << (bit % 8);
        // By chance it may be what the other form of the checksum wants.
        let other = Advert::decode(&payload, source, destination).ok().map(|decoded| decoded.checksum);
        prop_assert!(other != Some(form));
    }

    #[test]
    fn hostile_bytes_do_no_harm(payload in prop::collection::vec(any::<u8>(), 0..600), v6: bool) {
        let source = if v6 { ip("fe80::1") } else { ip("192.0.2.1") };
        if let Ok(decoded) = Advert::decode(&payload, source, group_address(Family::of(source))) {
            prop_assert!(!decoded.advert.interval.is_zero());
        }
    }

    #[test]
    fn hostile_bodies_behind_a_true_header(
        kind in prop_oneof![Just(0x21_u8), Just(0x31)],
        body in prop::collection::vec(any::<u8>(), 5..40),
        count in 0..10_u8,
        fix: bool,
    ) {
        let (source, destination) = (ip("192.0.2.1"), group_address(Family::Ipv4));
        let mut payload = vec![kind, 1, 100, count];
        payload.extend(body);
        if fix {
            seal(&mut payload, 0);
        }
        if let Ok(decoded) = Advert::decode(&payload, source, destination) {
            prop_assert_eq!(decoded.advert.addresses.len(), usize::from(count));
        }
    }
}
