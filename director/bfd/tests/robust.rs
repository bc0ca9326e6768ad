//! A short run of what the fuzz targets do, with fixed seeds: bytes that are nearly packets, and sessions that get
//! them in any order.

use std::time::{Duration, Instant};

use fairway_bfd::{Config, Input, LENGTH, Output, Packet, Session};

/// Up, 50 ms, multiplier 3, for the session with discriminator 7.
const PACKET: [u8; LENGTH] =
    [0x20, 0xc0, 3, 24, 0, 0, 0, 99, 0, 0, 0, 7, 0, 0, 0xc3, 0x50, 0, 0, 0xc3, 0x50, 0, 0, 0, 0];

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn byte(&mut self) -> u8 {
        self.below(256) as u8
    }

    /// A packet with any state, up to four other bytes, and sometimes of another length.
    fn payload(&mut self) -> Vec<u8> {
        let mut bytes = PACKET.to_vec();
        bytes[1] = (self.below(4) as u8) << 6;
        for _ in 0..self.below(5) {
            let at = self.below(LENGTH as u64) as usize;
            bytes[at] = self.byte();
        }
        if self.below(8) == 0 {
            let length = self.below(64) as usize;
            let byte = self.byte();
            bytes.resize(length, byte);
        }
        bytes
    }
}

#[test]
fn nearly_packets_are_read_or_refused() {
    let mut random = Random(1);
    let (mut read, mut refused) = (0, 0);
    for _ in 0..200_000 {
        let payload = random.payload();
        match Packet::decode(&payload) {
            Ok(packet) => {
                let written = packet.encode();
                assert_eq!(written[..3], payload[..3]);
                assert_eq!(written[4..], payload[4..LENGTH]);
                read += 1;
            }
            Err(_) => refused += 1,
        }
    }
    assert!(read > 20_000 && refused > 20_000, "{read} read, {refused} refused: both ways are taken");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "an origin, never compared with the real clock")]
fn sessions_stand_any_packets_at_any_time() {
    let config = Config {
        min_tx: Duration::from_millis(50),
        min_rx: Duration::from_millis(50),
        multiplier: 3,
        passive: false,
    };
    let (mut ups, mut downs) = (0, 0);
    for seed in 1..200 {
        let mut random = Random(seed);
        let mut now = Instant::now();
        let mut session = Session::new(now, config, 7, seed);
        for _ in 0..1000 {
            now += Duration::from_micros(random.below(100_000));
            let input = match random.below(20) {
                0 => Input::Disable,
                1 => Input::Enable,
                2 => Input::Reconfigure(Config { multiplier: 1 + random.byte() / 2, ..config }),
                3..8 => Input::Timer,
                _ => match Packet::decode(&random.payload()) {
                    Ok(packet) => Input::Packet(packet),
                    Err(_) => continue,
                },
            };
            for output in session.handle(now, input) {
                if let Output::Send(packet) = output {
                    assert_eq!(Packet::decode(&packet.encode()), Ok(packet));
                }
            }
        }
        ups += session.counters().ups;
        downs += session.counters().downs;
    }
    assert!(ups > 1000 && downs > 500, "{ups} ups, {downs} downs: every state is reached");
}
