//! Health checks as written: the keys of `fairway_config::Check`, with its rules.

use std::collections::BTreeMap;
use std::ops::Range;

use fairway_config::{Check, Config, SCHEMA_VERSION};

use crate::reader::Value;
use crate::report::{Problems, Rule};

/// `[checks.X]`, or a check written where it is used.
#[derive(Debug, Default)]
pub struct RawCheck {
    /// Absent if it could not be read.
    pub check: Option<Box<Check>>,
}

pub(super) fn read_check(problems: &mut Problems, value: Value<'_>, name: Range<usize>) -> Option<RawCheck> {
    let check: Option<Box<Check>> = value.read(problems, name.clone());
    if let Some(check) = &check {
        check_rules(problems, &value, name, check);
    }
    Some(RawCheck { check })
}

/// Asks the schema of director.toml, which owns the rules, and finds the place of what it says.
fn check_rules(problems: &mut Problems, value: &Value<'_>, name: Range<usize>, check: &Check) {
    let config = Config {
        version: SCHEMA_VERSION,
        cluster: String::new(),
        host: String::new(),
        ipvs: fairway_config::Ipvs::default(),
        connection_sync: None,
        checks: BTreeMap::from([("x".to_owned(), check.clone())]),
        failover: Vec::new(),
        services: Vec::new(),
    };
    let Err(fairway_config::Error::Invalid(found)) = config.validate() else { return };
    for problem in found {
        let below = problem.at.strip_prefix("checks.x").unwrap_or_default();
        let (key, span) = match value.below(below) {
            Some(place) if !below.is_empty() => place,
            _ => (value.key.clone(), name.clone()),
        };
        problems.add_text(Rule::CheckSetting, key, span, &problem.message);
    }
}
