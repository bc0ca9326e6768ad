//! Notifications as written: the keys of `fairway_config::Notify`, with its rules.

use std::collections::BTreeMap;
use std::ops::Range;

use fairway_config::{Config, Notify};

use super::bare_config;
use crate::reader::{Part, Value};
use crate::report::{Problems, Rule};

/// `[notify.X]`.
#[derive(Debug, Default)]
pub struct RawNotify {
    /// Absent if it could not be read.
    pub notify: Option<Box<Notify>>,
}

pub(super) fn read_notify(
    problems: &mut Problems,
    value: Value<'_>,
    name: Range<usize>,
) -> Option<RawNotify> {
    let part = value.read_part::<Notify>(problems, name.clone());
    if let Some(part) = &part {
        rules(problems, &value, name, part);
    }
    Some(RawNotify { notify: part.filter(|part| part.refused.is_empty()).map(|part| Box::new(part.value)) })
}

/// Asks the schema of director.toml, which owns the rules, and finds the place of what it says.
fn rules(problems: &mut Problems, value: &Value<'_>, name: Range<usize>, part: &Part<Notify>) {
    let config = Config { notify: BTreeMap::from([("x".to_owned(), part.value.clone())]), ..bare_config() };
    let Err(fairway_config::Error::Invalid(found)) = config.validate() else { return };
    for problem in found {
        let below = problem.at.strip_prefix("notify.x").unwrap_or_default();
        let (key, span) = match value.below(below) {
            Some(place) if !below.is_empty() => place,
            // Without a place of its own it is about what is lacking, which may be what was refused.
            _ if part.refused.is_empty() => (value.key.clone(), name.clone()),
            _ => continue,
        };
        problems.add_text(Rule::NotifySetting, key, span, &problem.message);
    }
}
