//! Authentication headers and trailers: known packets, what they cover, and old packets.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use fairway_config::{Auth, Family, HmacAuth, HmacKey, HmacMode, KeyFile, Period, Preempt, VrrpVersion};
use fairway_vrrp::{
    Carrier, Counters, Event, GroupConfig, Input, Output, PacketError, Received, Secret, State, group_address,
};

use crate::rig::{Rig, address, config, down, ms};

const KEY: [u8; 8] = *b"k4fgl8ab";
const UTC: Duration = Duration::from_secs(1_790_000_000);

fn file() -> PathBuf {
    PathBuf::from("key")
}

/// v2 with an authentication header.
fn header(priority: u8, key: [u8; 8]) -> GroupConfig {
    let mut config = config(1, priority, Preempt::Always);
    let instance = &mut config.group.instances[0];
    instance.version = VrrpVersion::V2;
    instance.advert_interval = Period::from_secs(1);
    instance.auth = Some(Auth::Ah(KeyFile { key_file: file() }));
    config.secrets = BTreeMap::from([("net0".to_owned(), Secret::Password(key))]);
    config
}

/// v3 with a trailer.
fn trailer(priority: u8, active: u8, mode: HmacMode, keys: &[u8]) -> GroupConfig {
    let mut config = config(1, priority, Preempt::Always);
    let ids = keys.iter().map(|id| HmacKey { id: *id, key_file: file() });
    let auth = HmacAuth { keys: ids.collect(), active, window: None, mode };
    config.group.instances[0].auth = Some(Auth::Hmac(auth));
    let keys = keys.iter().map(|id| (*id, vec![*id; 32])).collect();
    config.secrets = BTreeMap::from([("net0".to_owned(), Secret::Keys(keys))]);
    config
}

fn enforce(priority: u8) -> GroupConfig {
    trailer(priority, 1, HmacMode::Enforce, &[1, 2])
}

/// A started router with its clock set.
fn router(config: GroupConfig, clock: Duration) -> Rig {
    let mut rig = Rig::new(config);
    rig.input(Input::Clock(clock));
    rig.links_up();
    rig.input(Input::Start { holding: false });
    rig
}

/// What a router of this configuration sends when it becomes master.
fn first_advert(config: GroupConfig, clock: Duration) -> (Carrier, Vec<u8>) {
    let mut rig = router(config, clock);
    rig.advance(Duration::from_secs(5));
    rig.outputs
        .iter()
        .find_map(|output| match output {
            Output::Send { carrier, payload, .. } => Some((*carrier, payload.clone())),
            _ => None,
        })
        .unwrap()
}

/// As router 10, which all rigs are, hands it to a router that has another address.
fn hear(rig: &mut Rig, (carrier, payload): &(Carrier, Vec<u8>)) -> Option<PacketError> {
    rig.input(Input::Link { instance: 0, source: Ok(address(0, 20)) });
    let (source, destination) = (address(0, 10), group_address(Family::Ipv4));
    rig.receive(0, Received { source, destination, ttl: 255, carrier: *carrier, payload });
    rig.outputs.iter().find_map(|output| match output {
        Output::Event(Event::BadPacket { error, .. }) => Some(*error),
        _ => None,
    })
}

fn counters(rig: &Rig) -> Counters {
    *rig.group.instances()[0].counters()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().filter_map(|c| c.to_digit(16)).map(|d| d.try_into().unwrap()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// A router at 192.0.2.9 that hears this payload from 192.0.2.10.
fn listen(config: GroupConfig, clock: Duration, carrier: Carrier, payload: &str) -> Rig {
    let (source, destination) = ("192.0.2.10".parse().unwrap(), group_address(Family::Ipv4));
    let mut rig = Rig::new(config);
    rig.input(Input::Clock(clock));
    rig.input(Input::Link { instance: 0, source: Ok("192.0.2.9".parse().unwrap()) });
    rig.input(Input::Start { holding: false });
    rig.receive(0, Received { source, destination, ttl: 255, carrier, payload: &bytes(payload) });
    rig
}

/// Captured from keepalived 2.2.7 with `auth_type AH`: number 2, identification 2.
#[test]
fn a_header_of_keepalived_is_understood() {
    const PAYLOAD: &str = "70040000 c000020a 00000002 a92a5502 fc76d6ea d8ca2a20
        21339602 0201c2c4 c0000201 c0000202 00000000 00000000";
    let carrier = Carrier::Header { identification: 2 };
    let rig = listen(header(100, KEY), UTC, carrier, PAYLOAD);
    assert_eq!(rig.group.instances()[0].master(), Some("192.0.2.10".parse().unwrap()));
    let rig = listen(header(100, KEY), UTC, Carrier::Header { identification: 3 }, PAYLOAD);
    assert_eq!((rig.group.instances()[0].master(), counters(&rig).auth_failed), (None, 1));
}

/// The images in the appendix of draft-cassen-vrrp-auth-hmac: key 1, the bytes 0 to 31, router 51.
#[test]
fn the_trailers_of_the_draft_are_understood() {
    const UTC: Duration = Duration::from_millis(0x6800_0000 * 1000 + 500);
    const IPV4: &str =
        "3133c801 00644402 c0000264 01010000 68000000 80000000 1b84bc4e 8e43892d c6d98448 f8ee2265";
    const IPV6: &str = "3133c801 0064a2e9 fe800000 00000000 00000000 00000100
        01010000 68000000 80000000 c8c56146 ebfd66ee 10ec4d81 86461b78";
    for (family, source, own, image) in
        [(Family::Ipv4, "198.51.100.10", "198.51.100.20", IPV4), (Family::Ipv6, "fe80::10", "fe80::20", IPV6)]
    {
        let [source, own]: [IpAddr; 2] = [source.parse().unwrap(), own.parse().unwrap()];
        let mut config = trailer(100, 1, HmacMode::Enforce, &[1]);
        config.secrets = BTreeMap::from([("net0".to_owned(), Secret::Keys(vec![(1, (0..32).collect())]))]);
        let instance = &mut config.group.instances[0];
        instance.family = family;
        // The one over IPv6 was sent by unicast.
        let destination = if family == Family::Ipv6 {
            instance.unicast_peers = vec![source];
            own
        } else {
            group_address(family)
        };
        let hear = |change: Option<usize>, clock: Duration| {
            let mut payload = bytes(image);
            if let Some(at) = change {
                payload[at] ^= 1;
            }
            let mut rig = Rig::new(config.clone());
            rig.input(Input::Clock(clock));
            rig.input(Input::Link { instance: 0, source: Ok(own) });
            rig.input(Input::Start { holding: false });
            rig.receive(
                0,
                Received { source, destination, ttl: 255, carrier: Carrier::Vrrp, payload: &payload },
            );
            (rig.group.instances()[0].master(), counters(&rig))
        };
        assert_eq!(hear(None, UTC).0, Some(source));
        assert_eq!(hear(None, UTC + Duration::from_secs(6)).1.auth_stale, 1);
        assert_eq!(hear(Some(bytes(image).len() - 1), UTC).0, None);
    }
}

#[test]
fn both_kinds_are_taken_by_a_router_with_the_same_secret() {
    for (config, other) in [(header(200, KEY), header(100, KEY)), (enforce(200), enforce(100))] {
        let advert = first_advert(config, UTC);
        let mut rig = router(other, UTC);
        assert_eq!(hear(&mut rig, &advert), None);
        assert_eq!(rig.group.instances()[0].master(), Some(address(0, 10)));
        assert_eq!(counters(&rig).adverts_received, 1);
    }
}

#[test]
fn another_secret_or_any_changed_byte_is_refused() {
    for (config, other) in [
        (header(200, KEY), header(100, *b"k4fgl8aB")),
        (enforce(200), {
            let mut other = enforce(100);
            other.secrets = BTreeMap::from([("net0".to_owned(), Secret::Keys(vec![(1, vec![7; 32])]))]);
            other
        }),
    ] {
        let advert = first_advert(config.clone(), UTC);
        let mut rig = router(other, UTC);
        assert_eq!(hear(&mut rig, &advert), Some(PacketError::BadSeal));
        assert_eq!((counters(&rig).auth_failed, counters(&rig).adverts_received), (1, 0));
        for at in 0..advert.1.len() {
            let mut changed = advert.clone();
            changed.1[at] ^= 1;
            let mut lower = config.clone();
            lower.group.instances[0].priority = fairway_config::Priority::new(100).unwrap();
            let mut rig = router(lower, UTC);
            assert!(hear(&mut rig, &changed).is_some(), "byte {at}");
            assert_eq!(rig.group.instances()[0].master(), None, "byte {at}");
        }
    }
}

#[test]
fn what_comes_without_is_refused_and_so_is_what_nobody_asked_for() {
    let plain = first_advert(config(1, 200, Preempt::Always), UTC);
    let mut rig = router(enforce(100), UTC);
    assert_eq!(hear(&mut rig, &plain), Some(PacketError::Unsealed));
    assert_eq!(counters(&rig).auth_missing, 1);
    let mut rig = router(header(100, KEY), UTC);
    assert_eq!(hear(&mut rig, &plain), Some(PacketError::Unsealed));
    let mut rig = router(config(1, 100, Preempt::Always), UTC);
    assert_eq!(hear(&mut rig, &first_advert(header(200, KEY), UTC)), Some(PacketError::UnexpectedHeader));
    assert_eq!(counters(&rig).auth_mismatch, 1);
    let sealed = first_advert(enforce(200), UTC);
    let length = sealed.1.len();
    assert_eq!(hear(&mut rig, &sealed), Some(PacketError::Length { expected: 12, found: length }));
    assert_eq!(hear(&mut rig, &sealed), None, "the same complaint within ten seconds");
    assert_eq!((counters(&rig).bad_length, length), (2, 8 + 4 + 28));
}

#[test]
fn an_old_packet_is_refused() {
    for (config, other) in [(header(200, KEY), header(100, KEY)), (enforce(200), enforce(100))] {
        let advert = first_advert(config, UTC);
        let mut rig = router(other, UTC);
        assert_eq!(hear(&mut rig, &advert), None);
        assert_eq!(hear(&mut rig, &advert), Some(PacketError::Replayed));
        assert_eq!((counters(&rig).auth_replayed, counters(&rig).adverts_received), (1, 1));
        // Repeating it does not keep the dead master alive.
        rig.advance(Duration::from_secs(5));
        assert_eq!(rig.group.state(), State::Master);
    }
}

#[test]
fn a_header_from_before_the_present_master_is_refused() {
    let early = first_advert(header(200, KEY), UTC);
    let mut rig = router(header(100, KEY), UTC);
    rig.advance(Duration::from_secs(20)); // master, with numbers of its own
    assert_eq!(rig.group.state(), State::Master);
    assert_eq!(hear(&mut rig, &early), Some(PacketError::Replayed));
    assert_eq!(rig.group.state(), State::Master);
}

#[test]
fn a_new_master_goes_on_from_the_number_it_heard() {
    let mut old = router(header(200, KEY), UTC);
    old.advance(Duration::from_secs(20));
    let last = old.outputs.iter().rev().find_map(|output| match output {
        Output::Send { carrier, payload, .. } => Some((*carrier, payload.clone())),
        _ => None,
    });
    let last = last.unwrap();
    let number = |payload: &[u8]| u32::from_be_bytes(payload[8..12].try_into().unwrap());
    assert!(number(&last.1) > 10);
    let mut rig = router(header(100, KEY), UTC);
    assert_eq!(hear(&mut rig, &last), None);
    rig.advance(Duration::from_secs(5));
    let next = rig.outputs.iter().find_map(|output| match output {
        Output::Send { payload, .. } => Some(number(payload)),
        _ => None,
    });
    assert_eq!(next, Some(number(&last.1) + 1));
}

#[test]
fn after_a_crash_a_header_is_not_behind_the_ones_before() {
    let mut old = router(header(200, KEY), UTC);
    old.advance(Duration::from_secs(20));
    let mut adverts = old.outputs.into_iter().filter_map(|output| match output {
        Output::Send { carrier, payload, .. } => Some((carrier, payload)),
        _ => None,
    });
    let mut rig = router(header(100, KEY), UTC);
    assert_eq!(hear(&mut rig, &adverts.next_back().unwrap()), None);
    let next = first_advert(header(200, KEY), UTC + Duration::from_secs(20));
    assert_eq!(hear(&mut rig, &next), None);
    // A clock that is decades off does not use the numbers up.
    let (_, payload) = first_advert(header(200, KEY), UTC * 2);
    assert_eq!(payload[8..12], [0, 0, 0, 1]);
}

#[test]
fn clocks_may_be_apart_by_the_window_and_no_more() {
    let advert = first_advert(enforce(200), UTC);
    let heard = UTC + down(200); // when it was sent
    for (clock, verdict) in [
        (heard + Duration::from_secs(5), None),
        (heard - Duration::from_secs(5), None),
        (heard + Duration::from_secs(7), Some(-7)),
        (heard - Duration::from_secs(7), Some(7)),
    ] {
        let mut rig = router(enforce(100), clock);
        let error = hear(&mut rig, &advert);
        match verdict {
            None => assert_eq!(error, None, "{clock:?}"),
            Some(seconds) => {
                assert_eq!(error, Some(PacketError::Stale(seconds)), "{clock:?}");
                assert_eq!(counters(&rig).auth_stale, 1);
            }
        }
    }
}

/// The trailers' sequences of all adverts.
fn sequences(outputs: &[Output]) -> Vec<u64> {
    let adverts = outputs.iter().filter_map(|output| match output {
        Output::Send { payload, .. } => Some(payload),
        _ => None,
    });
    adverts.map(|p| u64::from_be_bytes(p[p.len() - 24..p.len() - 16].try_into().unwrap())).collect()
}

#[test]
fn sequences_grow_while_the_clock_goes_back_a_little_and_follow_a_great_step() {
    let mut rig = router(enforce(200), UTC);
    rig.advance(ms(1_000));
    let before = *sequences(&rig.outputs).last().unwrap();
    rig.input(Input::Clock(UTC - Duration::from_secs(2)));
    rig.advance(ms(1_000));
    let after = sequences(&rig.outputs);
    assert_eq!(after[0], before + 1);
    assert!(after.is_sorted_by(|a, b| a < b), "{after:x?}");
    rig.input(Input::Clock(UTC - Duration::from_secs(3600)));
    rig.advance(ms(200));
    let back = sequences(&rig.outputs);
    assert_eq!(back[0] >> 32, (UTC - Duration::from_secs(3600)).as_secs());
    rig.input(Input::Clock(UTC + Duration::from_secs(3600)));
    rig.advance(ms(200));
    assert_eq!(sequences(&rig.outputs)[0] >> 32, (UTC + Duration::from_secs(3600)).as_secs());
}

#[test]
fn a_receiver_whose_clock_was_set_hears_again() {
    // Both clocks were an hour ahead; then both are set back.
    let ahead = UTC + Duration::from_secs(3600);
    let mut rig = router(enforce(100), ahead);
    assert_eq!(hear(&mut rig, &first_advert(enforce(200), ahead)), None);
    rig.input(Input::Clock(UTC));
    assert_eq!(hear(&mut rig, &first_advert(enforce(200), UTC)), None);
    assert_eq!(counters(&rig).adverts_received, 2);
}

#[test]
fn keys_are_changed_one_after_the_other() {
    let mut rig = router(trailer(100, 1, HmacMode::Enforce, &[1, 2]), UTC);
    let next = first_advert(trailer(200, 2, HmacMode::Enforce, &[1, 2]), UTC);
    assert_eq!(hear(&mut rig, &next), None);
    let unknown = first_advert(trailer(200, 3, HmacMode::Enforce, &[3]), UTC);
    assert_eq!(hear(&mut rig, &unknown), Some(PacketError::UnknownKey(3)));
    assert_eq!(counters(&rig).auth_unknown_key, 1);
    // A reload with other keys keeps what was heard.
    rig.input(Input::Reconfigure(trailer(100, 2, HmacMode::Enforce, &[2])));
    rig.sleep(Duration::from_secs(11));
    rig.input(Input::Clock(UTC));
    assert_eq!(hear(&mut rig, &next), Some(PacketError::Replayed));
}

#[test]
fn a_cluster_gets_trailers_in_steps() {
    use HmacMode::{Enforce, Permissive, ReceiveOnly};
    let plain = config(1, 200, Preempt::Always);
    let [receive, permissive, all] = [ReceiveOnly, Permissive, Enforce].map(|m| trailer(200, 1, m, &[1]));
    for (sender, receiver, taken) in [
        (&plain, &receive, true),
        (&receive, &plain, true),
        (&receive, &permissive, true),
        (&permissive, &receive, true),
        (&permissive, &all, true),
        (&all, &permissive, true),
        (&receive, &all, false),
        (&permissive, &plain, false),
    ] {
        let advert = first_advert(sender.clone(), UTC);
        let mut lower = receiver.clone();
        lower.group.instances[0].priority = fairway_config::Priority::new(100).unwrap();
        let mut rig = router(lower, UTC);
        hear(&mut rig, &advert);
        assert_eq!(rig.group.instances()[0].master().is_some(), taken, "{sender:?} {receiver:?}");
    }
}

#[test]
fn over_ipv6_the_checksum_covers_the_trailer() {
    let ipv6 = |priority| {
        let mut config = enforce(priority);
        let instance = &mut config.group.instances[0];
        instance.family = Family::Ipv6;
        instance.virtual_ips[0].address = "fd00::100".parse().unwrap();
        config
    };
    let (source, other): (IpAddr, IpAddr) = ("fe80::1".parse().unwrap(), "fe80::2".parse().unwrap());
    let mut rig = Rig::new(ipv6(200));
    rig.input(Input::Clock(UTC));
    rig.input(Input::Link { instance: 0, source: Ok(source) });
    rig.input(Input::Start { holding: false });
    rig.advance(ms(500));
    let Some(Output::Send { destination, carrier, payload, .. }) = rig.outputs.first().cloned() else {
        panic!("{:?}", rig.outputs)
    };
    // The Internet checksum over pseudo-header and everything that is sent adds up to all ones (RFC 1071).
    let IpAddr::V6(from) = source else { unreachable!() };
    let IpAddr::V6(to) = destination else { unreachable!() };
    let length = u32::try_from(payload.len()).unwrap();
    let all = [&from.octets()[..], &to.octets(), &length.to_be_bytes(), &[0, 0, 0, 112], &payload].concat();
    let sum: u32 = all.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
    let mut rig = Rig::new(ipv6(100));
    rig.input(Input::Clock(UTC));
    rig.input(Input::Link { instance: 0, source: Ok(other) });
    rig.input(Input::Start { holding: false });
    rig.receive(0, Received { source, destination, ttl: 255, carrier, payload: &payload });
    assert_eq!(rig.group.instances()[0].master(), Some(source));
}
