//! Whatever the text, there is a report or a topology, never a panic; and a topology without a broken rule
//! can always be rendered, which also means that the director takes what it is given.

mod common;

use std::fs;
use std::sync::OnceLock;

use common::{directory, entries};
use fairway_gen::render::Renderer;
use fairway_gen::{Plans, Topology, diagram, explain};
use proptest::prelude::*;

fn seeds() -> &'static [String] {
    static SEEDS: OnceLock<Vec<String>> = OnceLock::new();
    SEEDS.get_or_init(|| {
        let cases = entries(&directory("golden"));
        cases.iter().map(|case| fs::read_to_string(common::topology(case)).unwrap()).collect()
    })
}

fn load_and_render(text: &str) {
    let (report, topology) = match Topology::load("topology.toml", text) {
        Ok((topology, warnings)) => (warnings, Some(topology)),
        Err(report) => {
            assert!(report.errors() > 0, "refused without a reason:\n{text}");
            (report, None)
        }
    };
    report.render(miette::GraphicalTheme::none(), 80);
    if let Some(topology) = topology {
        diagram::svg(&topology);
        diagram::mermaid(&topology);
        for name in topology.services.keys().chain(topology.virtual_ips.keys()) {
            for subject in explain::subjects(&topology, name) {
                explain::explain(&topology, subject).unwrap();
            }
        }
        let plans = Plans::new(&topology);
        let renderer = Renderer::new();
        for host in plans.hosts() {
            if let Err(error) = renderer.files(&plans.host(host).unwrap()) {
                panic!("{error}\n{text}");
            }
        }
    }
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
