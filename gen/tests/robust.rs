//! Whatever the text, there is a report or a topology, never a panic; and a topology without a broken rule
//! can always be rendered, which also means that the director takes what it is given.

mod common;

use std::fs;
use std::sync::OnceLock;

use common::whole::load_and_render;
use common::{directory, entries};
use proptest::prelude::*;

fn seeds() -> &'static [String] {
    static SEEDS: OnceLock<Vec<String>> = OnceLock::new();
    SEEDS.get_or_init(|| {
        let cases = entries(&directory("golden"));
        cases.iter().map(|case| fs::read_to_string(common::topology(case)).unwrap()).collect()
    })
}

/// Words that are worth putting in the place of others.
const WORDS: &[&str] = &[
    "\"\"",
    "0",
    "-1",
    "256",
    "\"0s\"",
    "\"1h\"",
    "\"250ms\"",
    "true",
    "[]",
    "{}",
    "\"lb1\"",
    "\"lb2\"",
    "[\"shop\"]",
    "[\"lb1\"]",
    "\"fd00::1\"",
    "\"10.0.0.100\"",
    "\"10.0.0.0/8\"",
    "\"direct\"",
    "\"nat\"",
    "\"full-nat\"",
    "2",
    "3",
    "[\"shop:0\"]",
];

/// One edit: what kind, where (as a share of the text), and with which word.
type Edit = (u8, u16, usize);

fn edit(text: &str, (kind, place, word): Edit) -> String {
    let lines: Vec<&str> = text.lines().collect();
    if lines.is_empty() {
        return String::new();
    }
    let at = usize::from(place) % lines.len();
    let mut out: Vec<String> = lines.iter().map(|l| (*l).to_owned()).collect();
    match kind % 5 {
        0 => _ = out.remove(at),
        1 => out.insert(at, lines[(at * 7 + word) % lines.len()].to_owned()),
        2 => {
            if let Some((key, _)) = lines[at].split_once('=') {
                out[at] = format!("{key}= {}", WORDS[word % WORDS.len()]);
            }
        }
        3 => {
            let cut = lines[at].char_indices().map(|(i, _)| i).nth(word % (lines[at].chars().count() + 1));
            out[at].truncate(cut.unwrap_or(lines[at].len()));
        }
        _ => out.swap(at, word % lines.len()),
    }
    out.join("\n")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn edited_topologies_are_refused_or_rendered(
        seed in 0usize..100,
        edits in prop::collection::vec((any::<u8>(), any::<u16>(), any::<usize>().prop_map(|w| w % 1000)), 1..5),
    ) {
        let seeds = seeds();
        let text = edits.into_iter().fold(seeds[seed % seeds.len()].clone(), |text, e| edit(&text, e));
        load_and_render(&text);
    }

    #[test]
    fn any_text_is_reported(text in "(?s).{0,200}") {
        load_and_render(&text);
    }
}

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

/// Some bytes are taken out, repeated, changed, or put there from another file.
fn mutate(text: &str, other: &str, numbers: &mut Numbers) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=numbers.below(4) {
        let start = numbers.below(bytes.len() + 1);
        let end = (start + numbers.below(24)).min(bytes.len());
        let word = WORDS[numbers.below(WORDS.len())].as_bytes();
        let from = numbers.below(other.len() + 1);
        let piece = &other.as_bytes()[from..(from + numbers.below(200)).min(other.len())];
        match numbers.below(6) {
            0 => _ = bytes.drain(start..end),
            1 => {
                let copy = bytes[start..end].to_vec();
                bytes.splice(start..start, copy);
            }
            2 => {
                if let Some(byte) = bytes.get_mut(start) {
                    *byte = u8::try_from(numbers.below(256)).expect("a byte");
                }
            }
            3 => _ = bytes.splice(start..end, word.iter().copied()),
            4 => _ = bytes.splice(start..start, piece.iter().copied()),
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

/// Every example and every refused topology, with the same changes at each run.
#[test]
fn changed_files_are_refused_or_rendered() {
    let reject = entries(&directory("reject"));
    let refused = reject.iter().filter(|file| file.extension().is_some_and(|e| e == "toml"));
    let files: Vec<String> = seeds()
        .iter()
        .cloned()
        .chain(refused.map(|file| fs::read_to_string(file).expect("it can be read")))
        .collect();
    assert!(files.len() > 150, "only {} files", files.len());
    for round in 0..20u64 {
        for (at, text) in files.iter().enumerate() {
            let seed = 1 + round * 10_000 + at as u64;
            let mut numbers = Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let other = &files[numbers.below(files.len())];
            let changed = mutate(text, other, &mut numbers);
            let _input = Input(format!("seed {seed}\n{changed}"));
            load_and_render(&changed);
        }
    }
}
