//! A topology is read, checked and rendered without a panic, whatever the text.
#![no_main]

#[path = "../../tests/common/whole.rs"]
mod whole;

libfuzzer_sys::fuzz_target!(|text: &str| whole::load_and_render(text));
