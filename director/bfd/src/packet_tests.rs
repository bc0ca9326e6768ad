use proptest::prelude::*;

use super::*;

/// A packet as FRR's bfdd sends it: up, 300 ms, multiplier 3.
const FROM_FRR: [u8; LENGTH] = [
    0x20, 0xc0, 3, 24, 0xc0, 0xff, 0xee, 0x01, 0, 0, 0, 9, 0, 0x04, 0x93, 0xe0, 0, 0x04, 0x93, 0xe0, 0, 0,
    0xc3, 0x50,
];

fn with(at: usize, value: u8) -> Vec<u8> {
    let mut bytes = FROM_FRR.to_vec();
    bytes[at] = value;
    bytes
}

#[test]
fn a_packet_is_read_as_the_rfc_draws_it() {
    let packet = Packet::decode(&FROM_FRR).unwrap();
    let interval = Duration::from_millis(300);
    assert_eq!(
        packet,
        Packet {
            diagnostic: Diagnostic::NONE,
            state: State::Up,
            poll: false,
            is_final: false,
            control_plane_independent: false,
            demand: false,
            multiplier: 3,
            my_discriminator: 0xc0ff_ee01,
            your_discriminator: 9,
            desired_min_tx: interval,
            required_min_rx: interval,
            required_min_echo_rx: Duration::from_millis(50),
        }
    );
    assert_eq!(packet.encode(), FROM_FRR);
}

#[test]
fn each_flag_has_its_bit() {
    let of = |flags: u8| Packet::decode(&with(1, 0xc0 | flags)).unwrap();
    assert!(of(0x20).poll && of(0x10).is_final && of(0x08).control_plane_independent && of(0x02).demand);
    assert_eq!(Packet::decode(&with(0, 0x21)).unwrap().diagnostic, Diagnostic::EXPIRED);
}

/// RFC 5880 section 6.8.6, in its order.
#[test]
fn what_the_rfc_says_is_discarded() {
    let cases = [
        (FROM_FRR[..23].to_vec(), PacketError::Truncated(23)),
        (with(0, 0x40), PacketError::Version(2)),
        (with(0, 0x00), PacketError::Version(0)),
        (with(3, 23), PacketError::Length(23)),
        (with(1, 0xc4), PacketError::Length(24)),
        (with(3, 25), PacketError::Overlong { length: 25, bytes: 24 }),
        (with(2, 0), PacketError::Multiplier),
        (with(1, 0xc1), PacketError::Multipoint),
        ([&FROM_FRR[..4], &[0; 4], &FROM_FRR[8..]].concat(), PacketError::MyDiscriminator),
        (with(11, 0), PacketError::YourDiscriminator(State::Up)),
        (
            {
                let mut bytes = with(11, 0);
                bytes[1] = 0x80;
                bytes
            },
            PacketError::YourDiscriminator(State::Init),
        ),
        (
            {
                let mut bytes = [with(1, 0xc4), vec![1, 3, 0]].concat();
                bytes[3] = 27;
                bytes
            },
            PacketError::Authenticated,
        ),
    ];
    for (bytes, error) in cases {
        assert_eq!(Packet::decode(&bytes), Err(error), "{bytes:02x?}");
    }
}

#[test]
fn who_does_not_know_us_yet_may_say_so_while_down() {
    for bits in [0x00, 0x40] {
        let mut bytes = with(11, 0);
        bytes[1] = bits;
        assert_eq!(Packet::decode(&bytes).unwrap().your_discriminator, 0);
    }
}

#[test]
fn what_follows_a_packet_is_no_part_of_it() {
    let padded = [&FROM_FRR[..], &[0; 8]].concat();
    assert_eq!(Packet::decode(&padded), Packet::decode(&FROM_FRR));
}

#[test]
fn only_neighbours_have_a_ttl_of_255() {
    assert_eq!(
        [arrival(255, 1), arrival(254, 1), arrival(0, 1)],
        [Arrival::Near, Arrival::Far, Arrival::Far]
    );
    assert_eq!([arrival(254, 2), arrival(253, 2)], [Arrival::Near, Arrival::Far]);
    assert_eq!([arrival(1, 255), arrival(0, 255)], [Arrival::Near, Arrival::Far]);
}

pub(crate) fn any_packet() -> impl Strategy<Value = Packet> {
    let state = prop_oneof![Just(State::AdminDown), Just(State::Down), Just(State::Init), Just(State::Up)];
    // Zero and the ends are what arithmetic fails at.
    let interval = prop_oneof![
        3 => 1_000_u32..2_000_000,
        1 => Just(0_u32),
        1 => Just(1_u32),
        1 => Just(u32::MAX)
    ]
    .prop_map(|micros| Duration::from_micros(micros.into()));
    let flags = any::<[bool; 4]>();
    let numbers = (1_u8.., 1_u32.., 1_u32..);
    (0_u8..32, state, flags, numbers, [interval.clone(), interval.clone(), interval]).prop_map(
        |(diagnostic, state, flags, (multiplier, mine, yours), [tx, rx, echo])| Packet {
            diagnostic: Diagnostic(diagnostic),
            state,
            poll: flags[0],
            is_final: flags[1],
            control_plane_independent: flags[2],
            demand: flags[3],
            multiplier,
            my_discriminator: mine,
            your_discriminator: yours,
            desired_min_tx: tx,
            required_min_rx: rx,
            required_min_echo_rx: echo,
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read_the_same(packet in any_packet()) {
        prop_assert_eq!(Packet::decode(&packet.encode()), Ok(packet));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(packet) = Packet::decode(&bytes) {
            let length = usize::from(bytes[3]);
            prop_assert!(length >= LENGTH && length <= bytes.len());
            let again = packet.encode();
            prop_assert_eq!(&again[..3], &bytes[..3]);
            prop_assert_eq!(&again[4..], &bytes[4..LENGTH]);
        }
    }
}
