//! The rules of trackers.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use super::Found;
use super::bfd;
use super::check::absolute;
use crate::{Config, FailoverGroup, Tracked, Tracker};

/// A larger weight than the span of priorities (1 to 254) has no meaning.
const HEAVIEST: u16 = 253;

pub(super) fn problems(found: &mut Found, config: &Config, group: &FailoverGroup) {
    for (name, tracker) in &group.track {
        let at = format!("failover.{}.track.{name}", group.name);
        if name.is_empty() {
            found.add(&at, "a tracker needs a name");
        }
        let mut kinds = tracker.kinds();
        match (kinds.next(), kinds.next()) {
            (Some(kind), None) => kind_problems(found, config, (&at, tracker), kind),
            _ => {
                let kinds = Tracker::KINDS.join(", ");
                found.add(&at, format!("give exactly one thing to watch: one of {kinds}"));
            }
        }
        weight_problems(found, (&at, tracker));
        pace_problems(found, (&at, tracker));
    }
}

fn weight_problems(found: &mut Found, (at, tracker): (&str, &Tracker)) {
    let changes = tracker.weight.is_some() || tracker.is_number();
    let Some(key) = changes.then_some(if tracker.is_number() { "file" } else { "weight" }) else { return };
    let at = format!("{at}.{key}");
    if tracker.weight.is_some() && tracker.is_number() {
        found.add(&at, "a file that holds a number has no other weight; take weight out");
    }
    match tracker.weight {
        Some(0) => found.add(&at, "0 changes nothing; leave weight out to have a fault instead"),
        Some(weight) if weight.unsigned_abs() > HEAVIEST => {
            found.add(&at, format!("{weight} is out of range; use -{HEAVIEST} to {HEAVIEST}"));
        }
        _ => {}
    }
}

fn pace_problems(found: &mut Found, (at, tracker): (&str, &Tracker)) {
    if tracker.every.get() < Duration::from_millis(10) {
        found.add(format!("{at}.every"), format!("{} is too short; use at least 10ms", tracker.every));
    }
    if tracker.timeout.is_some_and(|timeout| timeout.get().is_zero()) {
        found.add(format!("{at}.timeout"), "must be longer than zero");
    }
    for (key, value) in [("rise", tracker.rise), ("fall", tracker.fall)] {
        if value == 0 {
            found.add(format!("{at}.{key}"), "must be at least 1");
        }
    }
}

fn kind_problems(found: &mut Found, config: &Config, (at, tracker): (&str, &Tracker), kind: Tracked<'_>) {
    let below = |key: &str| format!("{at}.{key}");
    if tracker.timeout.is_some() && !matches!(kind, Tracked::Script(_) | Tracked::Ping(_)) {
        found.add(below("timeout"), format!("{} takes no time; take it out", kind.name()));
    }
    match kind {
        Tracked::Interface(_) => {}
        Tracked::Unit(name) => {
            if !is_unit(name) {
                found.add(
                    below("unit"),
                    format!("\"{name}\" is no name of a unit, such as \"haproxy.service\""),
                );
            }
        }
        Tracked::Ping(address) => {
            if address.is_unspecified() || address.is_multicast() {
                found.add(below("ping"), format!("{address} is no host's address"));
            }
        }
        Tracked::Bfd(tracked) => bfd::tracked_problems(found, &below("bfd"), tracked),
        Tracked::Services(names) => {
            let known: HashSet<&str> = config.services.iter().map(|service| service.name.as_str()).collect();
            for name in names.iter().filter(|name| !known.contains(name.as_str())) {
                found.add(
                    below("services"),
                    format!("there is no service \"{name}\"; name one of this director's"),
                );
            }
        }
        Tracked::Script(script) => {
            match script.command.first() {
                None => found.add(below("script.command"), "name the program, by absolute path"),
                Some(program) => absolute(found, below("script.command"), Some(Path::new(program))),
            }
            if script.command.iter().any(|word| word.contains('\0')) {
                found.add(below("script.command"), "must not contain zero bytes");
            }
        }
        Tracked::File(file) => {
            absolute(found, below("file.path"), Some(&file.path));
            if file.path.file_name().is_none() {
                found.add(below("file.path"), format!("\"{}\" names no file", file.path.display()));
            }
        }
        Tracked::Process(process) => {
            if process.name.is_empty() || process.name.contains(['/', '\0']) {
                found.add(
                    below("process.name"),
                    format!("\"{}\" is no name of a program; write it without its directory", process.name),
                );
            }
            if process.quorum == 0 {
                found.add(below("process.quorum"), "must be at least 1");
            }
        }
    }
}

/// Whether systemd could have a unit of that name (systemd.unit(5)).
fn is_unit(name: &str) -> bool {
    const SUFFIXES: [&str; 9] =
        ["service", "socket", "target", "mount", "timer", "path", "slice", "scope", "device"];
    let allowed = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    name.rsplit_once('.').is_some_and(|(stem, suffix)| {
        !stem.is_empty() && SUFFIXES.contains(&suffix) && name.len() < 256 && name.chars().all(allowed)
    })
}
