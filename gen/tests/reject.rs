//! One topology per rule, and the report about it. `FAIRWAY_BLESS=1 cargo test` rewrites the reports.
//!
//! `<rule>.toml` or `<rule>.<variant>.toml` breaks exactly that rule; `together.toml` breaks many.

mod common;

use std::collections::BTreeSet;
use std::fs;

use common::{bless, directory, entries};
use fairway_gen::{Rule, Topology};

#[test]
fn every_fixture_is_reported_as_expected_and_every_rule_has_one() {
    let mut covered = BTreeSet::new();
    for path in entries(&directory("reject")) {
        if path.extension().is_none_or(|e| e != "toml") {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        let rule = name.split('.').next().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let (report, refused) = match Topology::load(name, &text) {
            Ok((_, warnings)) => (warnings, false),
            Err(report) => (report, true),
        };
        let broken: BTreeSet<Rule> = report.problems.iter().map(|p| p.rule).collect();
        if rule == "together" {
            assert!(broken.len() > 10, "{name} breaks only {broken:?}");
        } else {
            let names: Vec<&str> = broken.iter().map(|r| r.name()).collect();
            assert_eq!(names, [rule], "{name}");
            covered.extend(broken.iter().copied());
        }
        let warns = broken.iter().all(|r| r.demand().starts_with("(warning)"));
        assert_eq!(refused, !warns, "{name}");
        for problem in &report.problems {
            assert!(!problem.remedy.is_empty(), "{name}: no remedy: {problem:?}");
            assert!(problem.span.end <= text.len(), "{name}: {problem:?}");
        }
        let rendered = report.render(miette::GraphicalTheme::unicode_nocolor(), 110);
        let expected = path.with_extension("err");
        if bless() {
            fs::write(&expected, &rendered).unwrap();
        }
        let expected =
            fs::read_to_string(&expected).unwrap_or_else(|e| panic!("{}: {e}", expected.display()));
        assert_eq!(rendered, expected, "{name}");
    }
    let missing: Vec<&str> = Rule::ALL.iter().filter(|r| !covered.contains(r)).map(|r| r.name()).collect();
    assert!(missing.is_empty(), "rules without a fixture: {missing:?}");
}
