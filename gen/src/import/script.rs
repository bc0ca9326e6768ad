//! Scripts that instances track.

use std::fmt::Write as _;

use super::Notes;
use super::grammar::Statement;
use super::write::text;

/// A `vrrp_script`.
#[derive(Debug, Clone)]
pub struct Script {
    pub name: String,
    line: usize,
    command: Vec<String>,
    weight: i16,
    /// Lines `key = value` of the tracker.
    settings: Vec<String>,
}

impl Script {
    pub fn read(statement: &Statement, notes: &mut Notes<'_>) -> Option<Self> {
        let mut script = Self {
            name: statement.word(1).to_owned(),
            line: statement.line,
            command: Vec::new(),
            weight: 0,
            settings: Vec::new(),
        };
        let (mut every, mut timeout, mut rise, mut fall) = (1.0, None, 1u16, 1u16);
        for inner in &statement.body {
            let value = inner.word(1);
            let understood = match inner.word(0) {
                "script" => {
                    script.command = inner.words[1..]
                        .iter()
                        .flat_map(|w| w.split_whitespace())
                        .map(str::to_owned)
                        .collect();
                    !script.command.is_empty()
                }
                "interval" => seconds(value).inspect(|found| every = *found).is_some(),
                "timeout" => seconds(value).inspect(|found| timeout = Some(*found)).is_some(),
                "rise" => {
                    value.parse().ok().filter(|n| (1..=1000).contains(n)).inspect(|n| rise = *n).is_some()
                }
                "fall" => {
                    value.parse().ok().filter(|n| (1..=1000).contains(n)).inspect(|n| fall = *n).is_some()
                }
                "weight" if inner.words.len() == 2 => {
                    weight(value).inspect(|found| script.weight = *found).is_some()
                }
                _ => false,
            };
            if !understood {
                notes.left_out(inner);
            }
        }
        if script.command.first().is_none_or(|program| !program.starts_with('/')) {
            notes.add(statement.line, "its script has no absolute path: not carried over");
            return None;
        }
        notes.add(
            statement.line,
            "the script runs without rights, in a sandbox: see docs/how-to/tracking.md for trackers that need no script",
        );
        script.settings.push(format!("every = \"{}ms\"", super::cluster::milliseconds(every)));
        // keepalived gives a script the time until its next run.
        let timeout = super::cluster::milliseconds(timeout.unwrap_or(every));
        script.settings.push(format!("timeout = \"{timeout}ms\""));
        script.settings.push(format!("rise = {rise}"));
        script.settings.push(format!("fall = {fall}"));
        Some(script)
    }

    /// The tracker of a group. `own`: the weight that the instance gives it.
    pub fn tracker(&self, own: Option<i16>, notes: &mut Notes<'_>) -> String {
        let weight = own.unwrap_or(self.weight);
        let mut out = String::new();
        let command: Vec<String> = self.command.iter().map(|word| text(word)).collect();
        _ = writeln!(out, "script = {{ command = [{}] }}", command.join(", "));
        for setting in &self.settings {
            _ = writeln!(out, "{setting}");
        }
        // A weight that is added where it passes is the same as one taken away where it fails: all directors run it.
        if weight > 0 {
            notes.add(
                self.line,
                format!("weight {weight} while it passes becomes weight {} while it fails", -weight),
            );
        }
        if weight != 0 {
            _ = writeln!(out, "weight = {}", -weight.abs());
        }
        out
    }
}

/// Scripts that an instance or a group tracks: their names, and weights of its own.
pub type Tracked = Vec<(String, Option<i16>)>;

/// Reads a `track_script`.
pub fn tracked(statement: &Statement, notes: &mut Notes<'_>) -> Tracked {
    let mut found = Vec::new();
    for inner in &statement.body {
        let own = match inner.words.get(1).map(String::as_str) {
            None => Some(None),
            Some("weight") if inner.words.len() == 3 => weight(inner.word(2)).map(Some),
            Some(_) => None,
        };
        match own {
            Some(own) => found.push((inner.word(0).to_owned(), own)),
            None => notes.left_out(inner),
        }
    }
    found
}

fn weight(written: &str) -> Option<i16> {
    written.parse().ok().filter(|weight| (-253..=253).contains(weight))
}

fn seconds(written: &str) -> Option<f64> {
    written.parse().ok().filter(|seconds| (0.01..=86400.0).contains(seconds))
}
