//! Any bytes are an advert that is written as it was read, or none. The first byte chooses the address family.
#![no_main]

#[allow(dead_code, reason = "each target uses one half")]
#[path = "../../tests/suite/hostile.rs"]
mod hostile;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hostile::packet(bytes));
