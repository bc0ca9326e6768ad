//! Health checks as written: the keys of `fairway_config::Check`, with its rules.

use std::collections::BTreeMap;
use std::ops::Range;

use fairway_config::{Check, Config};

use super::bare_config;
use crate::reader::{Part, Value};
use crate::report::{Problems, Rule};

/// `[checks.X]`, or a check written where it is used.
#[derive(Debug, Default)]
pub struct RawCheck {
    /// Absent if it could not be read.
    pub check: Option<Box<Check>>,
}

pub(super) fn read_check(problems: &mut Problems, value: Value<'_>, name: Range<usize>) -> Option<RawCheck> {
    let part = value.read_part::<Check>(problems, name.clone());
    if let Some(part) = &part {
        check_rules(problems, &value, name, part);
    }
    Some(RawCheck { check: part.filter(|part| part.refused.is_empty()).map(|part| Box::new(part.value)) })
}

/// Asks the schema of director.toml, which owns the rules, and finds the place of what it says.
fn check_rules(problems: &mut Problems, value: &Value<'_>, name: Range<usize>, part: &Part<Check>) {
    let config = Config { checks: BTreeMap::from([("x".to_owned(), part.value.clone())]), ..bare_config() };
    let Err(fairway_config::Error::Invalid(found)) = config.validate() else { return };
    for problem in found {
        let below = problem.at.strip_prefix("checks.x").unwrap_or_default();
        let (key, span) = match value.below(below) {
            Some(place) if !below.is_empty() => place,
            // Without a place of its own it is about what the check lacks, which may be what was refused.
            _ if part.refused.is_empty() => (value.key.clone(), name.clone()),
            _ => continue,
        };
        // So may be what a rule compares with.
        if part.refused.iter().any(|refused| problem.message.contains(&format!("{refused} = "))) {
            continue;
        }
        problems.add_text(Rule::CheckSetting, key, span, &problem.message);
    }
}
