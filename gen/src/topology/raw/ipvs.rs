//! The kernel's table as a whole, as written: the keys of `fairway_config::Ipvs`, with its rules.

use fairway_config::{Config, Ipvs};

use super::bare_config;
use crate::reader::Value;
use crate::report::{Problems, Rule};

/// `[ipvs]`.
pub(super) fn read_ipvs(problems: &mut Problems, value: &Value<'_>) -> Option<Ipvs> {
    let part = value.read_part::<Ipvs>(problems, value.span.clone())?;
    // The schema of director.toml owns the rules; this finds the place of what it says.
    let config = Config { ipvs: part.value.clone(), ..bare_config() };
    if let Err(fairway_config::Error::Invalid(found)) = config.validate() {
        for problem in found {
            let below = problem.at.strip_prefix("ipvs").unwrap_or_default();
            let (key, span) = value.below(below).unwrap_or_else(|| (value.key.clone(), value.span.clone()));
            problems.add_text(Rule::IpvsSetting, key, span, &problem.message);
        }
    }
    part.refused.is_empty().then_some(part.value)
}
