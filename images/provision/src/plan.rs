//! What a topology changes, on every host of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use fairway_gen::render::{Files, Renderer};
use fairway_gen::{Plans, Topology};
use similar::{ChangeTag, TextDiff};

use crate::steps::Steps;

/// Long enough for files of any sensible size; after it the difference is still right, only not the shortest.
const LONGEST: Duration = Duration::from_secs(5);

/// One host of a topology.
#[derive(Debug, Default, Clone)]
pub struct Part {
    /// `director`, `real-server`.
    pub roles: Vec<&'static str>,
    /// Its files.
    pub files: Files,
}

/// What every host of a topology is, in the order of the file.
pub type Parts = Vec<(String, Part)>;

/// Generates the files of all hosts.
///
/// # Errors
/// Only on a defect of the generator.
pub fn parts(topology: &Topology) -> Result<Parts, fairway_gen::render::Error> {
    let (plans, renderer) = (Plans::new(topology), Renderer::new());
    let part = |host: &str| {
        let roles = [("director", plans.is_director(host)), ("real-server", plans.is_real_server(host))];
        let roles = roles.iter().filter(|(_, is)| *is).map(|(role, _)| *role).collect();
        let files = plans.host(host).map(|plan| renderer.files(&plan)).transpose()?.unwrap_or_default();
        Ok((host.to_owned(), Part { roles, files }))
    };
    plans.hosts().map(part).collect()
}

/// What changes between two topologies.
#[derive(Debug)]
pub struct Plan {
    hosts: Vec<Change>,
}

/// What changes on one host.
#[derive(Debug)]
struct Change {
    host: String,
    old: Option<Part>,
    new: Option<Part>,
}

impl Change {
    fn files(&self) -> (&Files, &Files) {
        static NONE: Files = Files::new();
        let [old, new] = [&self.old, &self.new].map(|part| part.as_ref().map_or(&NONE, |part| &part.files));
        (old, new)
    }

    fn is_any(&self) -> bool {
        let (old, new) = self.files();
        old != new
    }

    fn has(part: Option<&Part>, role: &str) -> bool {
        part.is_some_and(|part| part.roles.contains(&role))
    }

    /// Servers are ready before directors send them anything, and stay until none does; of the directors, those that
    /// are asked last go first, because the first in the list is master as a rule.
    fn turn(&self) -> u8 {
        let (old, new) = (self.old.as_ref(), self.new.as_ref());
        match (Self::has(new, "director"), Self::has(new, "real-server"), Self::has(old, "real-server")) {
            (true, _, _) => 1,
            (false, true, _) | (false, false, false) => 0,
            (false, false, true) => 2,
        }
    }
}

impl Plan {
    /// Compares two topologies. Of hosts in the old one only, that is all there is to say.
    pub fn new(old: Parts, new: Parts) -> Self {
        let names: BTreeSet<String> = new.iter().map(|(host, _)| host.clone()).collect();
        let mut before: BTreeMap<String, Part> = old.iter().cloned().collect();
        let mut hosts: Vec<_> = new
            .into_iter()
            .map(|(host, part)| Change { old: before.remove(&host), host, new: Some(part) })
            .collect();
        let gone = old.into_iter().filter(|(host, _)| !names.contains(host));
        hosts.extend(gone.map(|(host, part)| Change { host, old: Some(part), new: None }));
        Self { hosts }
    }

    /// For people; `own` is this host. With `diff`, every changed line.
    pub fn render(&self, own: &str, diff: bool) -> String {
        let mut text = String::new();
        let width = self.hosts.iter().map(|change| change.host.len()).max().unwrap_or_default();
        for change in &self.hosts {
            let mut notes = Vec::new();
            match (&change.old, &change.new) {
                (_, None) => notes.push("no longer in the topology".to_owned()),
                (old, Some(new)) => {
                    notes.push(role(new));
                    match old {
                        None => notes.push("new".to_owned()),
                        Some(old) if old.roles != new.roles => notes.push(format!("was {}", role(old))),
                        Some(_) => {}
                    }
                    if !change.is_any() {
                        notes.push("nothing changes".to_owned());
                    }
                }
            }
            if change.host == own {
                notes.push("this host".to_owned());
            }
            let _ = writeln!(text, "{:width$}  {}", change.host, notes.join(", "));
            if change.new.is_some() {
                describe(&mut text, change, diff);
            }
        }
        text
    }

    /// The other hosts on which something changes, in the order in which to apply there.
    pub fn others(&self, own: &str) -> Vec<&str> {
        let mut others: Vec<_> = self
            .hosts
            .iter()
            .rev()
            .filter(|change| change.host != own && change.new.is_some() && change.is_any())
            .collect();
        others.sort_by_key(|change| change.turn());
        others.into_iter().map(|change| change.host.as_str()).collect()
    }
}

fn role(part: &Part) -> String {
    if part.roles.is_empty() { "without a role".to_owned() } else { part.roles.join(" and ") }
}

fn describe(text: &mut String, change: &Change, diff: bool) {
    let (old, new) = change.files();
    let paths: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changed: Vec<_> = paths.into_iter().filter(|path| old.get(*path) != new.get(*path)).collect();
    let width = changed.iter().map(|path| path.len()).max().unwrap_or_default();
    for path in changed {
        let (before, after) = (old.get(path), new.get(path));
        let lines = TextDiff::configure()
            .timeout(LONGEST)
            .diff_lines(before.map_or("", String::as_str), after.map_or("", String::as_str));
        let count = |tag| lines.iter_all_changes().filter(|change| change.tag() == tag).count();
        let word = match (before, after) {
            (None, _) => "new",
            (_, None) => "removed",
            _ => "",
        };
        let counts = format!("+{} -{} {word}", count(ChangeTag::Insert), count(ChangeTag::Delete));
        let _ = writeln!(text, "    {path:width$}  {}", counts.trim_end());
        if diff {
            let name = |side: &str, there: bool| {
                if there { format!("{side}/{path}") } else { "/dev/null".to_owned() }
            };
            let (a, b) = (name("a", before.is_some()), name("b", after.is_some()));
            let _ = write!(text, "{}", lines.unified_diff().header(&a, &b));
        }
    }
    let steps = Steps::new(old, new, false);
    if !steps.is_empty() {
        let _ = writeln!(text, "    then: {}", steps.describe());
    }
}
