//! The JSON Schema and the reader agree: what one takes the other takes, and what breaks a rule of form is
//! refused by both. That every key, word and bound the reader asks for is declared, and the other way round,
//! is asserted by the reader itself whenever it reads a file in these tests.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use common::{bless, directory, entries};
use fairway_config::{Announce, Check, HttpCheck, Period};
use fairway_gen::schema::{Kind, Shape, TOPOLOGY, json_schema};
use fairway_gen::{Rule, Topology};
use jsonschema::Validator;
use serde_json::Value;

fn validator() -> Validator {
    let schema = json_schema();
    jsonschema::draft7::meta::validate(&schema).expect("the schema is one");
    jsonschema::draft7::new(&schema).expect("the schema's references and patterns are good")
}

fn json(text: &str) -> Option<Value> {
    serde_json::to_value(text.parse::<toml::Table>().ok()?).ok()
}

/// What the schema says against a text.
fn errors(validator: &Validator, text: &str) -> Vec<String> {
    let value = json(text).expect("the text is TOML");
    validator.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect()
}

fn topologies() -> Vec<PathBuf> {
    let golden = entries(&directory("golden")).into_iter().map(|case| common::topology(&case));
    golden.chain(entries(&directory("../examples"))).collect()
}

#[test]
fn every_example_is_valid() {
    let validator = validator();
    let files = topologies();
    assert!(files.len() >= 9, "{files:?}");
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        assert_eq!(errors(&validator, &text), Vec::<String>::new(), "{}", file.display());
    }
}

#[test]
fn the_schema_refuses_what_the_reader_refuses_for_its_form() {
    let validator = validator();
    let form = BTreeSet::from([
        Rule::UnknownKey,
        Rule::MissingKey,
        Rule::WrongType,
        Rule::EmptyList,
        Rule::BadName,
        Rule::UnknownScheduler,
        Rule::UnsupportedVersion,
        Rule::PriorityRange,
        Rule::KeyFile,
    ]);
    let mut seen = BTreeSet::new();
    for file in entries(&directory("reject")).iter().filter(|f| f.extension().is_some_and(|e| e == "toml")) {
        let text = fs::read_to_string(file).unwrap();
        if json(&text).is_none() {
            continue;
        }
        let problems = match Topology::load("topology.toml", &text) {
            Ok((_, warnings)) => warnings.problems,
            Err(report) => report.problems,
        };
        let errors = errors(&validator, &text);
        let mut broken: Vec<Rule> = problems.iter().map(|p| p.rule).collect();
        // Each name is good; what is made of two of them is not.
        broken.retain(|rule| *rule != Rule::BadName || !file.ends_with("bad-name.parts.toml"));
        if broken.iter().any(|r| form.contains(r)) {
            assert!(!errors.is_empty(), "{} is valid", file.display());
            seen.extend(broken);
        } else if !broken.contains(&Rule::BadValue) {
            // The rest is about what the values mean together, which a schema does not judge.
            assert_eq!(errors, Vec::<String>::new(), "{}", file.display());
        }
    }
    assert!(form.is_subset(&seen), "not tried: {:?}", form.difference(&seen));
}

/// Every key of every table, with a wrong kind of value and without: the schema and the reader agree about all.
#[test]
fn edits_of_every_line_are_judged_alike() {
    let validator = validator();
    let form = [Rule::UnknownKey, Rule::MissingKey, Rule::WrongType, Rule::EmptyList];
    let mut tried = 0;
    for file in topologies() {
        let text = fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let Some((key, _)) = line.split_once(" = ") else { continue };
            for edit in [
                String::new(),
                format!("{key} = 1.5"),
                format!("{key} = []"),
                format!("{key} = [false]"),
                format!("{key} = {{ zzz = 1.5 }}"),
                format!("{line}\nzzz-{at} = 1"),
            ] {
                let mut edited: Vec<&str> = lines.clone();
                edited[at] = &edit;
                let edited = edited.join("\n");
                let Some(value) = json(&edited) else { continue };
                let problems = match Topology::load("topology.toml", &edited) {
                    Ok((_, warnings)) => warnings.problems,
                    Err(report) => report.problems,
                };
                let refused = problems.iter().any(|p| form.contains(&p.rule));
                if refused {
                    assert!(!validator.is_valid(&value), "{}: the reader refuses:\n{edit}", file.display());
                } else if problems.iter().all(|p| p.warning) {
                    assert!(validator.is_valid(&value), "{}: the reader takes:\n{edit}", file.display());
                }
                tried += 1;
            }
        }
    }
    assert!(tried > 500, "only {tried} edits");
}

/// The shapes with a key that the examples do not use would not be covered by the tests above.
#[test]
fn the_examples_use_every_shape_and_key() {
    fn walk(shape: &Shape, value: &Value, seen: &mut BTreeSet<(&'static str, &'static str)>) {
        for key in shape.keys {
            if let Some(below) = value.get(key.name) {
                seen.insert((static_name(shape), key.name));
                walk_kind(&key.kind, below, seen);
            }
        }
    }
    fn walk_kind(kind: &Kind, value: &Value, seen: &mut BTreeSet<(&'static str, &'static str)>) {
        match (kind, value) {
            (Kind::Table(shape), Value::Object(_)) => walk(shape, value, seen),
            (Kind::Named(_, _, each), Value::Object(map)) => {
                map.values().for_each(|v| walk_kind(each, v, seen))
            }
            (Kind::List(each), Value::Array(list)) => list.iter().for_each(|v| walk_kind(each, v, seen)),
            (Kind::Any(kinds), _) => kinds.iter().for_each(|kind| walk_kind(kind, value, seen)),
            _ => {}
        }
    }
    fn static_name(shape: &Shape) -> &'static str {
        shape.name
    }
    let mut seen = BTreeSet::new();
    for file in topologies() {
        walk(&TOPOLOGY, &json(&fs::read_to_string(file).unwrap()).unwrap(), &mut seen);
    }
    let all = TOPOLOGY.all();
    let keys = all.iter().flat_map(|shape| shape.keys.iter().map(|key| (shape.name, key.name)));
    let missing: Vec<_> = keys.filter(|key| !seen.contains(key)).collect();
    assert_eq!(missing, [], "no example or golden topology has these");
}

#[test]
fn defaults_are_those_of_the_types() {
    let default = |shape: &str, key: &str| {
        let shape = TOPOLOGY.all().into_iter().find(|s| s.name == shape).unwrap();
        shape.keys.iter().find(|k| k.name == key).unwrap().default_json().unwrap()
    };
    let period = |p: Period| Value::from(p.to_string());
    let announce = Announce::default();
    assert_eq!(default("announce", "repeat"), announce.repeat);
    assert_eq!(default("announce", "interval"), period(announce.interval));
    assert_eq!(default("announce", "delay"), period(announce.delay));
    assert_eq!(default("announce", "refresh"), period(announce.refresh));
    let check: Check = toml::from_str("").unwrap();
    assert_eq!(default("check", "every"), period(check.every));
    assert_eq!(default("check", "timeout"), period(check.timeout));
    assert_eq!((default("check", "rise"), default("check", "fall")), (check.rise.into(), check.fall.into()));
    let http = HttpCheck::default();
    assert_eq!(
        (default("http", "path"), default("http", "status")),
        (http.path.into(), serde_json::to_value(&http.status).unwrap())
    );
}

/// Writing a default changes nothing.
#[test]
fn a_written_default_is_what_absence_means() {
    let text = fs::read_to_string(directory("../examples/direct.toml")).unwrap();
    for (shape, header) in
        [("failover", "[failover.edge]"), ("service", "[services.web]"), ("network", "[networks.lan]")]
    {
        let shape = TOPOLOGY.all().into_iter().find(|s| s.name == shape).unwrap();
        let (before, after) = text.split_once(header).unwrap();
        let section = after.split("\n[").next().unwrap();
        for key in shape.keys.iter().filter(|k| !section.contains(&format!("\n{} =", k.name))) {
            let Some(default) = key.default else { continue };
            let written = format!("{before}{header}\n{} = {default}{after}", key.name);
            let models = [text.as_str(), &written].map(|t| {
                let (topology, _) = Topology::load("topology.toml", t)
                    .unwrap_or_else(|r| panic!("{}", r.render(miette::GraphicalTheme::none(), 110)));
                format!("{topology:?}")
            });
            assert_eq!(models[0], models[1], "{} = {default}", key.name);
        }
    }
}

#[test]
fn the_published_schema_is_current() {
    let path = directory("../../docs/reference/topology.schema.json");
    let schema = format!("{:#}\n", json_schema());
    if bless() {
        fs::write(&path, &schema).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), schema, "run with FAIRWAY_BLESS=1");
}
