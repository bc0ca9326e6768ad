//! Made-up tables for the tests.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;

use proptest::collection::{btree_map, btree_set};
use proptest::option;
use proptest::prelude::*;

use crate::model::{
    Destination, DestinationKey, Encapsulation, Family, Flags, Forward, Name, Netmask, Persistence, Protocol,
    Service, ServiceKey, Settings, Table, Tunnel, TunnelFlags,
};

/// Any address of the family.
fn address(family: Family) -> BoxedStrategy<IpAddr> {
    match family {
        Family::V4 => any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).into()).boxed(),
        Family::V6 => any::<u128>().prop_map(|bits| Ipv6Addr::from_bits(bits).into()).boxed(),
    }
}

fn family() -> impl Strategy<Value = Family> {
    prop_oneof![Just(Family::V4), Just(Family::V6)]
}

/// Any service key.
pub(crate) fn service_key() -> impl Strategy<Value = ServiceKey> {
    let by_address = (family().prop_flat_map(address), any::<u16>(), any::<u16>()).prop_map(
        |(address, port, protocol)| ServiceKey::Address { address, port, protocol: Protocol(protocol) },
    );
    let by_mark =
        (any::<NonZeroU32>(), family()).prop_map(|(mark, family)| ServiceKey::Mark { mark, family });
    prop_oneof![by_address, by_mark]
}

fn name() -> impl Strategy<Value = Name> {
    "[a-z_]{1,15}".prop_map(|name| Name::new(&name).expect("1 to 15 bytes"))
}

fn netmask(family: Family) -> BoxedStrategy<Netmask> {
    match family {
        Family::V4 => any::<u32>().prop_map(|bits| Netmask::V4(Ipv4Addr::from_bits(bits))).boxed(),
        Family::V6 => (1u32..=128).prop_map(Netmask::V6).boxed(),
    }
}

/// Any settings of a service of this family.
pub(crate) fn settings(family: Family) -> impl Strategy<Value = Settings> {
    let persistence =
        (any::<u32>(), netmask(family)).prop_map(|(timeout, netmask)| Persistence { timeout, netmask });
    (name(), any::<u32>().prop_map(Flags::from_bits), option::of(persistence), option::of(name())).prop_map(
        |(scheduler, flags, persistence, engine)| Settings { scheduler, flags, persistence, engine },
    )
}

fn forward() -> impl Strategy<Value = Forward> {
    let tunnel = (any::<u8>(), any::<u16>(), any::<u16>()).prop_map(|(kind, port, flags)| Tunnel {
        encapsulation: Encapsulation(kind),
        port,
        flags: TunnelFlags(flags),
    });
    prop_oneof![
        Just(Forward::Nat),
        Just(Forward::Direct),
        Just(Forward::Tunnel(Tunnel::default())),
        tunnel.prop_map(Forward::Tunnel),
        prop_oneof![Just(1), 4u8..=7].prop_map(Forward::Other),
    ]
}

/// Any destination.
pub(crate) fn destination() -> impl Strategy<Value = Destination> {
    (forward(), any::<u32>(), any::<u32>(), any::<u32>()).prop_map(
        |(forward, weight, upper_threshold, lower_threshold)| Destination {
            forward,
            weight,
            upper_threshold,
            lower_threshold,
        },
    )
}

/// Any destination key.
pub(crate) fn destination_key() -> impl Strategy<Value = DestinationKey> {
    (family().prop_flat_map(address), any::<u16>())
        .prop_map(|(address, port)| DestinationKey { address, port })
}

/// Tables over few keys and values, so that two of them have much in common.
pub(crate) fn table() -> impl Strategy<Value = Table> {
    let destinations = btree_map((0u8..4).prop_map(few_destination_key), few_destination(), 0..4);
    let service =
        (few_settings(), destinations).prop_map(|(settings, destinations): (Settings, BTreeMap<_, _>)| {
            Arc::new(Service { settings, destinations })
        });
    btree_map((0u8..6).prop_map(few_service_key), service, 0..6)
}

/// Some of the keys [`table`] uses.
pub(crate) fn owned() -> impl Strategy<Value = BTreeSet<ServiceKey>> {
    btree_set((0u8..6).prop_map(few_service_key), 0..6)
}

fn few_service_key(number: u8) -> ServiceKey {
    match NonZeroU32::new(number.saturating_sub(3).into()) {
        Some(mark) => ServiceKey::Mark { mark, family: Family::V4 },
        None => ServiceKey::Address { address: [10, 0, 0, number].into(), port: 80, protocol: Protocol::TCP },
    }
}

fn few_destination_key(number: u8) -> DestinationKey {
    DestinationKey { address: [10, 1, 0, number / 2].into(), port: 80 + u16::from(number % 2) }
}

fn few_settings() -> impl Strategy<Value = Settings> {
    prop_oneof![Just("rr"), Just("wlc")].prop_map(|name| Settings::new(Name::new(name).expect("short")))
}

fn few_destination() -> impl Strategy<Value = Destination> {
    (0u32..2).prop_map(|weight| Destination::new(Forward::Direct, weight))
}
