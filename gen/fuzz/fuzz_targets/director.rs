//! A director.toml is read without a panic, and what is read is written in a way that reads the same.
#![no_main]

use fairway_config::Config;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(config) = Config::from_toml(text) {
        let written = config.to_toml().expect("what was read can be written");
        assert_eq!(Config::from_toml(&written).expect("what was written can be read"), config);
    }
});
