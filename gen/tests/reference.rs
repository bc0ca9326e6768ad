//! The reference of topology.toml is made of what drives the reader. `FAIRWAY_BLESS=1 cargo test` rewrites it.

mod common;

use std::fmt::Write;
use std::fs;

use common::{bless, directory};
use fairway_gen::Rule;
use fairway_gen::schema::{Key, Kind, Shape, TOPOLOGY, Text};

const START: &str = "<!-- generated -->\n";
const END: &str = "<!-- end -->\n";

/// Where a shape is written: the way to it from the root.
fn place(wanted: &Shape) -> Vec<String> {
    fn inside(kind: &Kind, path: &str, wanted: &Shape, found: &mut Vec<String>) {
        match kind {
            Kind::Table(shape) if shape.name == wanted.name => found.push(path.to_owned()),
            Kind::Table(shape) => below(shape, path, wanted, found),
            Kind::Named(_, _, each) => inside(each, &format!("{path}.NAME"), wanted, found),
            Kind::List(each) => inside(each, path, wanted, found),
            Kind::Any(kinds) => kinds.iter().for_each(|kind| inside(kind, path, wanted, found)),
            Kind::Text(_) | Kind::Word(_) | Kind::Integer(..) | Kind::Boolean => {}
        }
    }
    fn below(shape: &Shape, path: &str, wanted: &Shape, found: &mut Vec<String>) {
        for key in shape.keys {
            let dot = if path.is_empty() { "" } else { "." };
            inside(&key.kind, &format!("{path}{dot}{}", key.name), wanted, found);
        }
    }
    let mut found = Vec::new();
    below(&TOPOLOGY, "", wanted, &mut found);
    found
}

fn words(kind: &Kind) -> String {
    match kind {
        Kind::Text(Text { name, .. }) => (*name).to_owned(),
        Kind::Word(words) => words.iter().map(|w| format!("`\"{w}\"`")).collect::<Vec<_>>().join(", "),
        Kind::Integer(least, most) if least == most => format!("`{least}`"),
        Kind::Integer(least, most) => format!("{least} to {most}"),
        Kind::Boolean => "`true`, `false`".to_owned(),
        Kind::Table(shape) if shape.keys.is_empty() => "`{}`".to_owned(),
        Kind::Table(shape) => format!("[table](#{})", anchor(shape)),
        Kind::Named(_, _, each) => format!("`NAME =` {}", words(each)),
        Kind::List(each) => format!("list: {}", words(each)),
        Kind::Any(kinds) => kinds.iter().map(words).collect::<Vec<_>>().join("; or "),
    }
}

/// The heading's anchor, as forges make it.
fn anchor(shape: &Shape) -> String {
    let text = heading(shape).to_lowercase().replace(' ', "-");
    text.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).collect()
}

fn heading(shape: &Shape) -> String {
    place(shape).iter().map(|p| format!("`{p}`")).collect::<Vec<_>>().join(" and ")
}

fn row(key: &Key) -> String {
    let default = match key.default {
        _ if key.required => "required".to_owned(),
        Some(default) => format!("`{default}`"),
        None => "–".to_owned(),
    };
    format!("| `{}` | {} | {default} | {} |\n", key.name, words(&key.kind), key.doc)
}

fn generated() -> String {
    let mut text = String::new();
    for shape in TOPOLOGY.all().into_iter().filter(|shape| !shape.keys.is_empty()) {
        if shape.name == TOPOLOGY.name {
            writeln!(text, "\n## The file").unwrap();
        } else {
            writeln!(text, "\n## {}", heading(shape)).unwrap();
        }
        writeln!(text, "\n{}\n\n| key | value | default | meaning |\n|---|---|---|---|", shape.doc).unwrap();
        shape.keys.iter().for_each(|key| text.push_str(&row(key)));
    }
    writeln!(text, "\n## Rules\n\n| rule | demands |\n|---|---|").unwrap();
    for rule in Rule::ALL {
        writeln!(text, "| `{rule}` | {} |", rule.demand()).unwrap();
    }
    text.push('\n');
    text
}

#[test]
fn the_reference_is_current() {
    let path = directory("../../docs/reference/topology.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(START).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let current = format!("{before}{START}{}{END}{after}", generated());
    if bless() {
        fs::write(&path, &current).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), current, "run with FAIRWAY_BLESS=1");
}

#[test]
fn every_table_has_one_section_and_links_lead_to_it() {
    let text = generated();
    let headings: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("## ")).collect();
    for shape in TOPOLOGY.all().into_iter().skip(1).filter(|s| !s.keys.is_empty()) {
        assert_eq!(headings.iter().filter(|h| **h == heading(shape)).count(), 1, "{}", shape.name);
        assert!(text.contains(&format!("(#{})", anchor(shape))), "nothing leads to {}", shape.name);
    }
}
