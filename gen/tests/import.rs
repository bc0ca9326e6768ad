//! Each case is keepalived.conf of one or two directors, and the topology it becomes, which is good. `FAIRWAY_BLESS=1 cargo
//! test` rewrites the topologies.

mod common;

use std::fs;

use common::{bless, directory, entries};
use fairway_gen::Topology;
use fairway_gen::import::{Source, import};

#[test]
fn every_case_becomes_its_topology_which_is_good() {
    let cases = entries(&directory("import"));
    assert!(cases.len() >= 5, "cases are missing: {cases:?}");
    for case in cases {
        let read: Vec<(String, String)> = ["lb1", "lb2"]
            .into_iter()
            .filter_map(|host| {
                let text = fs::read_to_string(case.join(host).with_extension("conf")).ok()?;
                Some((host.to_owned(), text))
            })
            .collect();
        let files: Vec<String> = read.iter().map(|(host, _)| format!("{host}.conf")).collect();
        let sources: Vec<Source<'_>> =
            read.iter().zip(&files).map(|((host, text), file)| Source { host, file, text }).collect();
        let imported = import(&sources).unwrap_or_else(|error| panic!("{}: {error}", case.display()));
        let expected = case.join("topology.toml");
        if bless() {
            fs::write(&expected, &imported.topology).unwrap();
        }
        let expected = fs::read_to_string(&expected).unwrap();
        assert_eq!(imported.topology, expected, "{}", case.display());
        for note in &imported.notes {
            assert!(imported.topology.contains(&format!("# {note}\n")), "{note}");
        }
        if let Err(report) = Topology::load("topology.toml", &imported.topology) {
            panic!("{}: {}", case.display(), report.render(miette::GraphicalTheme::none(), 110));
        }
    }
}

#[test]
fn passwords_are_not_carried_over() {
    let text = fs::read_to_string(directory("import/active-active/lb1.conf")).unwrap();
    assert!(text.contains("k@l"));
    let imported = import(&[Source { host: "lb1", file: "lb1.conf", text: &text }]).unwrap();
    assert!(!imported.topology.contains("k@l"), "{}", imported.topology);
}

#[test]
fn what_keepalived_cannot_read_is_refused_with_its_line() {
    for (text, line, want) in [
        ("vrrp_instance a {\n", 1, "never closed"),
        ("vrrp_instance a {\n}\n}\n", 3, "was not opened"),
        ("\nvirtual_server \"10.0.0.1 80 {\n}\n", 2, "a quote is not closed"),
        ("{\n}\n", 1, "without a name"),
        ("# nothing\n", 0, "nothing can be imported"),
    ] {
        let error = import(&[Source { host: "lb1", file: "lb1.conf", text }]).unwrap_err().to_string();
        let place = if line == 0 { "lb1.conf: ".to_owned() } else { format!("lb1.conf:{line}: ") };
        assert!(error.starts_with(&place) && error.contains(want), "{error}");
    }
}

/// Lines taken out, cut and repeated: an error or TOML, never a panic.
#[test]
fn changed_files_become_toml_or_an_error() {
    let cases: Vec<String> = entries(&directory("import"))
        .iter()
        .map(|case| fs::read_to_string(case.join("lb1.conf")).unwrap())
        .collect();
    let mut imported = 0;
    for (case, text) in cases.iter().enumerate() {
        let lines: Vec<&str> = text.lines().collect();
        for at in 0..lines.len() * 6 {
            let (line, edit) = (at / 6, at % 6);
            let mut changed: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
            match edit {
                0 => _ = changed.remove(line),
                1 => changed.insert(line, lines[(at * 7) % lines.len()].to_owned()),
                2 => changed[line] = lines[line].chars().take(lines[line].len() / 2 + 4).collect(),
                3 => changed[line] = lines[line].replace(|c: char| c.is_ascii_digit(), "9"),
                4 => changed[line] = format!("{} -1 \u{1} ::1/200 \"a b\"", lines[line]),
                _ => changed[line] = lines[line].rsplit(' ').next().unwrap_or_default().to_owned(),
            }
            let changed = changed.join("\n");
            let source = Source { host: "lb1", file: "lb1.conf", text: &changed };
            let Ok(found) = import(&[source]) else { continue };
            if let Err(error) = found.topology.parse::<toml::Table>() {
                panic!("case {case}, edit {at}: {error}\n{changed}\n---\n{}", found.topology);
            }
            imported += 1;
        }
    }
    assert!(imported > 500, "only {imported}");
}
