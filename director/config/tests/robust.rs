//! Whatever the text, `director.toml` is read or refused without a panic, and what is read is written in a way that
//! reads the same. The same changes at each run.

use fairway_config::Config;

/// Numbers that follow from a seed (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound.max(1) as u64).expect("below a usize")
    }
}

/// Says which input it was, should it panic.
struct Input(String);

impl Drop for Input {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the input: {}", self.0);
        }
    }
}

/// Words that are worth putting in the place of others.
const WORDS: &[&str] = &[
    "0",
    "-1",
    "256",
    "65536",
    "\"\"",
    "\"0s\"",
    "\"250ms\"",
    "[]",
    "{}",
    "true",
    "\"fd00::1\"",
    "\"10.0.0.1\"",
    "\"ipv6\"",
    "\"tunnel\"",
    "\"udp\"",
    "\n",
    "\"",
    "]]",
    "=",
];

fn mutate(text: &str, numbers: &mut Numbers) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=numbers.below(3) {
        let start = numbers.below(bytes.len() + 1);
        let end = (start + numbers.below(24)).min(bytes.len());
        match numbers.below(5) {
            0 => _ = bytes.drain(start..end),
            1 => {
                let copy = bytes[start..end].to_vec();
                let at = numbers.below(bytes.len());
                bytes.splice(at..at, copy);
            }
            2 => {
                if let Some(byte) = bytes.get_mut(start) {
                    *byte = u8::try_from(numbers.below(256)).expect("a byte");
                }
            }
            3 => {
                let word = WORDS[numbers.below(WORDS.len())].bytes();
                _ = bytes.splice(start..end, word);
            }
            // A digit: addresses, ports and numbers change and stay what they are.
            _ => {
                let digits: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at].is_ascii_digit()).collect();
                if let Some(at) = digits.get(numbers.below(digits.len())) {
                    bytes[*at] = b'0' + u8::try_from(numbers.below(10)).expect("a digit");
                }
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn changed_files_are_refused_or_read_and_written() {
    let text = include_str!("full.toml");
    Config::from_toml(text).expect("the unchanged file is good");
    let mut read = 0;
    for seed in 1..=6000u64 {
        let mut numbers = Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let changed = mutate(text, &mut numbers);
        let _input = Input(format!("seed {seed}\n{changed}"));
        // It is read in pieces where that can be done; nobody can tell.
        let whole = toml::from_str::<Config>(&changed).ok().filter(|config| config.validate().is_ok());
        let config = Config::from_toml(&changed).ok();
        assert_eq!(config, whole);
        if let Some(config) = config {
            let written = config.to_toml().expect("what was read can be written");
            assert_eq!(Config::from_toml(&written).expect("what was written can be read"), config);
            read += 1;
        }
    }
    assert!(read > 300, "only {read} changed files were good: the changes are too big to reach the rules");
}
