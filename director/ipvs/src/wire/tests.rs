//! The codec: golden bytes for what is easily got wrong, round trips, hostile input.

use std::num::NonZeroU32;

use neli::consts::nl::NlmF;
use proptest::prelude::*;

use super::constants::Command;
use super::decode::{self, Answer};
use super::encode::Requests;
use super::read::{Attributes, Message, Messages};
use crate::error::DecodeError;
use crate::model::{
    Counters, Destination, DestinationKey, Encapsulation, Family, Flags, Forward, Name, Netmask, Persistence,
    Protocol, ServiceKey, Settings, SyncDaemon, SyncRole, Timeouts, Tunnel, TunnelFlags,
};
use crate::plan::Operation;
use crate::testing::{destination, destination_key, service_key, settings};

const FAMILY: u16 = 0x1c;

fn encoded(operation: &Operation) -> Vec<u8> {
    let mut requests = Requests::default();
    requests.operation(FAMILY, 7, operation).expect("operations can be encoded");
    requests.bytes().to_vec()
}

fn only(bytes: &[u8]) -> Message<'_> {
    let mut messages = Messages(bytes);
    let message = messages.next().expect("a message").expect("well formed");
    assert!(messages.next().is_none(), "one message");
    message
}

fn web() -> ServiceKey {
    ServiceKey::Address { address: [192, 168, 1, 1].into(), port: 80, protocol: Protocol::TCP }
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// Byte order as on the little-endian machines we build for; on others the kernel's order differs with ours.
#[cfg(target_endian = "little")]
#[test]
fn a_new_service_is_these_bytes() {
    let mut settings = Settings::new(Name::new("sh").expect("short"));
    settings.flags = Flags::SCHEDULER_2;
    settings.persistence =
        Some(Persistence { timeout: 300, netmask: Netmask::V4([255, 255, 255, 0].into()) });
    let expected = hex("68000000 1c00 0100 07000000 00000000 \
         01 01 0000 \
         5400 0180 \
           0600 0100 0200 0000 \
           0600 0200 0600 0000 \
           1400 0300 c0a80101 00000000 00000000 00000000 \
           0600 0400 0050 0000 \
           0700 0600 736800 00 \
           0c00 0700 11000000 ffffffff \
           0800 0800 2c010000 \
           0800 0900 ffffff00");
    assert_eq!(encoded(&Operation::AddService { service: web(), settings }), expected);
}

/// See [`a_new_service_is_these_bytes`].
#[cfg(target_endian = "little")]
#[test]
fn a_changed_destination_is_these_bytes() {
    let operation = Operation::SetDestination {
        service: ServiceKey::Mark { mark: NonZeroU32::MIN, family: Family::V6 },
        key: DestinationKey { address: [10, 0, 0, 71].into(), port: 8080 },
        destination: Destination {
            forward: Forward::Tunnel(Tunnel {
                encapsulation: Encapsulation::GUE,
                port: 6080,
                flags: TunnelFlags::CHECKSUM,
            }),
            weight: 5,
            upper_threshold: 100,
            lower_threshold: 50,
        },
    };
    let expected = hex("88000000 1c00 0100 07000000 00000000 \
         06 01 0000 \
         1400 0180 \
           0600 0100 0a00 0000 \
           0800 0500 01000000 \
         6000 0280 \
           1400 0100 0a000047 00000000 00000000 00000000 \
           0600 0200 1f90 0000 \
           0600 0b00 0200 0000 \
           0800 0300 02000000 \
           0800 0400 05000000 \
           0800 0500 64000000 \
           0800 0600 32000000 \
           0500 0d00 01 000000 \
           0600 0e00 17c0 0000 \
           0600 0f00 0100 0000");
    assert_eq!(encoded(&operation), expected);
}

#[test]
fn an_ipv6_netmask_is_a_prefix_length() {
    let mut settings = Settings::new(Name::new("rr").expect("short"));
    let service = ServiceKey::Mark { mark: NonZeroU32::MIN, family: Family::V6 };
    let netmask_of = |settings: &Settings| {
        let bytes = encoded(&Operation::AddService { service, settings: *settings });
        let (_, nested) =
            only(&bytes).attributes().expect("a header").next().expect("one").expect("well formed");
        let (_, mask) =
            Attributes(nested).filter_map(Result::ok).find(|(kind, _)| *kind == 9).expect("a netmask");
        u32::from_ne_bytes(mask.try_into().expect("4 bytes"))
    };
    assert_eq!(netmask_of(&settings), 128, "without persistence: what the kernel insists on");
    settings.persistence = Some(Persistence { timeout: 60, netmask: Netmask::prefix(Family::V6, 64) });
    assert_eq!(netmask_of(&settings), 64);
}

#[test]
fn prefixes_become_netmasks() {
    assert_eq!(Netmask::prefix(Family::V4, 0), Netmask::V4([0, 0, 0, 0].into()));
    assert_eq!(Netmask::prefix(Family::V4, 24), Netmask::V4([255, 255, 255, 0].into()));
    assert_eq!(Netmask::prefix(Family::V4, 32), Netmask::host(Family::V4));
    assert_eq!(Netmask::prefix(Family::V6, 200), Netmask::host(Family::V6));
}

#[test]
fn flags_leave_out_the_kernels_own() {
    assert_eq!(Flags::from_bits(0x03 | 0x10), Flags::SCHEDULER_2);
}

#[test]
fn names_are_1_to_15_bytes() {
    assert!(Name::new("").is_err());
    assert!(Name::new("0123456789abcdef").is_err());
    assert!(Name::new("a\0b").is_err());
    assert_eq!(Name::new("0123456789abcde").expect("15 bytes").as_str(), "0123456789abcde");
}

/// A message with these attributes, as the kernel would send it.
fn message(attributes: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::from(u32::try_from(20 + attributes.len()).expect("short").to_ne_bytes());
    bytes.extend(FAMILY.to_ne_bytes());
    bytes.extend([0; 14]);
    bytes.extend(attributes);
    bytes
}

fn attribute(kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::from(u16::try_from(4 + payload.len()).expect("short").to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[test]
fn counters_of_64_bits_win_and_unknown_attributes_are_skipped() {
    let narrow = [attribute(1, &7u32.to_ne_bytes()), attribute(4, &9u64.to_ne_bytes())].concat();
    let wide = [
        attribute(11, &[]),
        attribute(1, &(1u64 << 40).to_ne_bytes()),
        attribute(99, &[1]),
        attribute(10, &3u64.to_ne_bytes()),
    ]
    .concat();
    let service = [
        attribute(1, &2u16.to_ne_bytes()),
        attribute(5, &5u32.to_ne_bytes()),
        attribute(77, b"from a newer kernel"),
        attribute(6, b"rr\0"),
        attribute(10, &narrow),
        attribute(12, &wide),
    ]
    .concat();
    let bytes = message(&[attribute(0x8000 | 55, &[1, 2, 3]), attribute(0x8000 | 1, &service)].concat());
    let (key, settings, counters) = decode::service(&only(&bytes)).expect("a service");
    assert_eq!(key, ServiceKey::Mark { mark: NonZeroU32::new(5).expect("not 0"), family: Family::V4 });
    assert_eq!(settings, Settings::new(Name::new("rr").expect("short")));
    let expected = Counters { connections: 1 << 40, bytes_in: 9, byte_rate_out: 3, ..Counters::default() };
    assert_eq!(counters, expected);
}

/// As `ipvsadm --start-daemon master --mcast-interface eth0 --syncid 5` writes it.
#[cfg(target_endian = "little")]
#[test]
fn a_synchronisation_daemon_is_these_bytes() {
    let daemon = SyncDaemon::new(SyncRole::Master, "eth0", 5);
    let mut requests = Requests::default();
    requests.start_sync(FAMILY, 7, &daemon).expect("it can be encoded");
    let expected = hex("34000000 1c00 0500 07000000 00000000 09 01 0000 \
         2000 0380 0800 0100 01000000 0900 0200 65746830 00000000 0800 0300 05000000");
    assert_eq!(requests.bytes(), expected);
    requests.clear();
    requests.stop_sync(FAMILY, 8, SyncRole::Backup).expect("it can be encoded");
    let expected = hex("20000000 1c00 0500 08000000 00000000 0a 01 0000 0c00 0380 0800 0100 02000000");
    assert_eq!(requests.bytes(), expected);
}

#[test]
fn a_synchronisation_daemon_is_read() {
    let attributes = [
        attribute(1, &2u32.to_ne_bytes()),
        attribute(2, b"eth1\0"),
        attribute(3, &9u32.to_ne_bytes()),
        attribute(4, &1460u16.to_ne_bytes()),
    ];
    let bytes = message(&attribute(0x8000 | 3, &attributes.concat()));
    let expected = SyncDaemon { max_length: Some(1460), ..SyncDaemon::new(SyncRole::Backup, "eth1", 9) };
    assert_eq!(decode::sync_daemon(&only(&bytes)), Ok(expected));
    let bytes = message(&attribute(0x8000 | 3, &attributes[1..].concat()));
    let missing = DecodeError::Missing { what: "IPVS_DAEMON_ATTR_STATE" };
    assert_eq!(decode::sync_daemon(&only(&bytes)), Err(missing));
}

#[test]
fn all_settings_of_a_synchronisation_daemon_are_written_and_read() {
    for group in ["239.1.2.3", "ff05::81"] {
        let group = Some(group.parse().expect("an address"));
        let (port, ttl, max_length) = (Some(9000), Some(4), Some(1400));
        let daemon =
            SyncDaemon { group, port, ttl, max_length, ..SyncDaemon::new(SyncRole::Master, "eth0", 5) };
        let mut requests = Requests::default();
        requests.start_sync(FAMILY, 7, &daemon).expect("it can be encoded");
        assert_eq!(decode::sync_daemon(&only(requests.bytes())), Ok(daemon));
    }
}

#[test]
fn what_every_answer_has_may_not_be_missing() {
    let bytes = message(&attribute(0x8000 | 1, &attribute(1, &2u16.to_ne_bytes())));
    assert_eq!(decode::service(&only(&bytes)), Err(DecodeError::Missing { what: "IPVS_SVC_ATTR_ADDR" }));
    let bytes = message(&attribute(0x8000 | 1, &attribute(1, &3u16.to_ne_bytes())));
    assert_eq!(decode::service(&only(&bytes)), Err(DecodeError::Family(3)));
}

#[test]
fn an_error_carries_number_and_words() {
    let request = [32u32.to_ne_bytes(), [0; 4], [0; 4], [0; 4]].concat();
    let text = attribute(1, b"Scheduler not found\0");
    let payload = [&(-2i32).to_ne_bytes()[..], &request, &[0; 16], &text].concat();
    let error = Message { kind: 2, flags: 0x200, sequence: 7, payload: &payload };
    let expected = Answer { errno: 2, message: Some("Scheduler not found".to_owned()) };
    assert_eq!(decode::answer(&error), Ok(expected));
    let capped = [&(-2i32).to_ne_bytes()[..], &request, &text].concat();
    let error = Message { flags: 0x300, payload: &capped, ..error };
    assert_eq!(decode::answer(&error).expect("an answer").message.as_deref(), Some("Scheduler not found"));
    let plain = Message { flags: 0, ..error };
    assert_eq!(decode::answer(&plain), Ok(Answer { errno: 2, message: None }));
}

#[test]
fn timeouts_that_are_not_given_are_not_sent() {
    let timeouts = Timeouts { tcp: NonZeroU32::new(900), tcp_fin: None, udp: NonZeroU32::new(300) };
    let mut requests = Requests::default();
    requests.set_timeouts(FAMILY, 1, &timeouts).expect("can be encoded");
    assert_eq!(decode::timeouts(&only(requests.bytes())), Ok(timeouts));
    let kinds: Vec<_> = only(requests.bytes())
        .attributes()
        .expect("a header")
        .map(|attribute| attribute.expect("well formed").0)
        .collect();
    assert_eq!(kinds, [4, 6]);
}

#[test]
fn many_requests_follow_each_other_in_one_buffer() {
    let mut requests = Requests::default();
    for sequence in 1..=3 {
        requests.operation(FAMILY, sequence, &Operation::DeleteService { service: web() }).expect("encodes");
    }
    requests.get(FAMILY, Command::GetService, NlmF::REQUEST | NlmF::DUMP, 4).expect("encodes");
    let sequences: Vec<_> =
        Messages(requests.bytes()).map(|message| message.expect("well formed").sequence).collect();
    assert_eq!(sequences, [1, 2, 3, 4]);
    requests.clear();
    assert_eq!(requests.bytes(), []);
}

/// Calls every decoder; what they say does not matter, that they return does.
fn decode_everything(bytes: &[u8]) {
    for message in Messages(bytes).take(1000) {
        let Ok(message) = message else { continue };
        let _ = decode::answer(&message);
        let _ = decode::family_id(&message);
        let _ = decode::info(&message);
        let _ = decode::timeouts(&message);
        let _ = decode::service(&message);
        let _ = decode::destination(&message, Family::V4);
        let _ = decode::destination(&message, Family::V6);
    }
}

fn service_and_settings() -> impl Strategy<Value = (ServiceKey, Settings)> {
    service_key().prop_flat_map(|key| (Just(key), settings(key.family())))
}

proptest! {
    #[test]
    fn services_survive_the_wire((service, settings) in service_and_settings()) {
        for operation in
            [Operation::AddService { service, settings }, Operation::SetService { service, settings }]
        {
            let bytes = encoded(&operation);
            prop_assert_eq!(decode::service(&only(&bytes)), Ok((service, settings, Counters::default())));
        }
    }

    #[test]
    fn destinations_survive_the_wire(
        service in service_key(),
        key in destination_key(),
        destination in destination(),
    ) {
        let bytes = encoded(&Operation::AddDestination { service, key, destination });
        let decoded = decode::destination(&only(&bytes), service.family());
        prop_assert_eq!(decoded.map(|(key, destination, _)| (key, destination)), Ok((key, destination)));
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        decode_everything(&bytes);
    }

    /// Random bytes seldom get past the first length; damaged messages do.
    #[test]
    fn damaged_messages_are_decoded_or_refused(
        (service, settings) in service_and_settings(),
        key in destination_key(),
        destination in destination(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let service_bytes = encoded(&Operation::AddService { service, settings });
        let destination_bytes = encoded(&Operation::AddDestination { service, key, destination });
        for mut bytes in [service_bytes, destination_bytes] {
            let whole = bytes.len();
            for (place, value) in &damage {
                // The outermost length stays, or hardly any damage would be looked at.
                let place = 4 + place.index(whole - 4);
                bytes[place] = *value;
            }
            decode_everything(&bytes);
            decode_everything(&bytes[..cut.index(whole)]);
        }
    }
}
