//! A session stands any sequence of packets, orders and waits. The first byte of each step chooses.
#![no_main]

use std::time::{Duration, Instant};

use fairway_bfd::{Config, Input, LENGTH, Output, Packet, Session};

libfuzzer_sys::fuzz_target!(|steps: &[u8]| {
    let ms = Duration::from_millis(1);
    let config = Config { min_tx: 50 * ms, min_rx: 50 * ms, multiplier: 3, passive: false };
    #[expect(clippy::disallowed_methods, reason = "an origin, never compared with the real clock")]
    let mut now = Instant::now();
    let mut session = Session::new(now, config, 7, 1);
    let mut rest = steps;
    while let Some((choice, tail)) = rest.split_first() {
        rest = tail;
        let input = match choice % 8 {
            0 => Input::Disable,
            1 => Input::Enable,
            2 => Input::Bridge,
            3 => Input::Reconfigure(Config {
                min_tx: ms * (1 + u32::from(choice / 8) * 50),
                multiplier: 1 + choice / 8,
                passive: *choice > 200,
                ..config
            }),
            4 => {
                now += ms * u32::from(choice / 8) * 20;
                Input::Timer
            }
            _ => {
                let (bytes, tail) = rest.split_at(rest.len().min(LENGTH));
                rest = tail;
                match Packet::decode(bytes) {
                    Ok(packet) => Input::Packet(packet),
                    Err(_) => continue,
                }
            }
        };
        for output in session.handle(now, input) {
            if let Output::Send(packet) = output {
                assert_eq!(Packet::decode(&packet.encode()), Ok(packet));
            }
        }
        let saved = session.save();
        assert_eq!(Session::adopt(now, config, &saved, 2).state(), session.state());
    }
});
