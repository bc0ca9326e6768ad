//! Health checks as written: the keys of `fairway_config::Check`, with its rules.

use std::collections::BTreeMap;
use std::ops::Range;

use fairway_config::{Check, Config, HttpCheck, SCHEMA_VERSION, StatusRange, TcpCheck};
use serde_spanned::Spanned;

use crate::reader::Value;
use crate::report::{Problems, Rule};

/// `[checks.X]`, or a check written where it is used.
#[derive(Debug, Default)]
pub struct RawCheck {
    /// Absent if it could not be read.
    pub check: Option<Box<Check>>,
}

const PERIOD: &str = "a length of time such as \"2s\"";

pub(super) fn read_check(problems: &mut Problems, value: Value<'_>, name: Range<usize>) -> Option<RawCheck> {
    let before = problems.len();
    let mut table = value.table(problems, "a check such as { tcp = {} }")?.at(name.clone());
    let mut check = Check::default();
    if let Some(every) = table.optional("every").and_then(|v| v.parsed(problems, PERIOD)) {
        check.every = every.into_inner();
    }
    if let Some(timeout) = table.optional("timeout").and_then(|v| v.parsed(problems, PERIOD)) {
        check.timeout = timeout.into_inner();
    }
    if let Some(rise) = count(problems, table.optional("rise")) {
        check.rise = rise;
    }
    if let Some(fall) = count(problems, table.optional("fall")) {
        check.fall = fall;
    }
    check.port = table
        .optional("port")
        .and_then(|v| v.integer(problems, 1..=65535))
        .and_then(|n| u16::try_from(n.into_inner()).ok());
    if let Some(tcp) = table.optional("tcp").and_then(|v| v.table(problems, "{}")) {
        tcp.finish(problems);
        check.tcp = Some(TcpCheck::default());
    }
    check.http = table.optional("http").and_then(|v| read_http(problems, &v));
    table.finish(problems);
    if problems.len() == before {
        check_rules(problems, &value, name, &check);
    }
    Some(RawCheck { check: Some(Box::new(check)) })
}

fn count(problems: &mut Problems, value: Option<Value<'_>>) -> Option<u32> {
    let number = value?.integer(problems, 1..=1000)?;
    u32::try_from(number.into_inner()).ok()
}

fn read_http(problems: &mut Problems, value: &Value<'_>) -> Option<HttpCheck> {
    let mut table = value.table(problems, "a table such as { path = \"/healthz\" }")?;
    let mut http = HttpCheck::default();
    if let Some(path) = table.optional("path").and_then(|v| v.string(problems, "a path such as \"/healthz\""))
    {
        http.path = path.into_inner();
    }
    if let Some(status) = table.optional("status") {
        let codes = status.one_or_list(problems, "a list of status codes such as [200]").unwrap_or_default();
        http.status = codes
            .iter()
            .filter_map(|v| v.integer(problems, 100..=599))
            .filter_map(|n| u16::try_from(n.into_inner()).ok())
            .map(StatusRange::one)
            .collect();
    }
    let mut text =
        |name, want| table.optional(name).and_then(|v| v.string(problems, want)).map(Spanned::into_inner);
    http.host = text("host", "a host name");
    http.body = text("body", "a regular expression");
    table.finish(problems);
    Some(http)
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
