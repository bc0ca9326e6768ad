//! A group stands any sequence of packets, orders and waits. The first byte chooses version and authentication.
#![no_main]

#[allow(dead_code, reason = "each target uses one half")]
#[path = "../../tests/suite/hostile.rs"]
mod hostile;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hostile::operations(bytes));
