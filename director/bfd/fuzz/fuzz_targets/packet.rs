//! Any payload is read without a panic, and what is read is written the same.
#![no_main]

use fairway_bfd::{LENGTH, Packet};

libfuzzer_sys::fuzz_target!(|payload: &[u8]| {
    if let Ok(packet) = Packet::decode(payload) {
        let written = packet.encode();
        // But for the length: what follows a packet is no part of it.
        assert_eq!(written[..3], payload[..3]);
        assert_eq!(written[4..], payload[4..LENGTH]);
        assert_eq!(Packet::decode(&written), Ok(packet));
    }
});
