//! Virtual routes and rules as written.

use std::ops::Range;

use serde_spanned::Spanned;

use super::AddressText;
use super::hosts::read_address;
use crate::reader::Value;
use crate::report::Problems;

/// An element of `routes`.
#[derive(Debug)]
pub struct RawRoute {
    /// Where it is written.
    pub span: Range<usize>,
    /// `destination`.
    pub destination: Option<Spanned<String>>,
    /// `via`.
    pub via: Option<Spanned<AddressText>>,
    /// `network`.
    pub network: Option<Spanned<String>>,
    /// `source`.
    pub source: Option<Spanned<String>>,
    /// `metric`.
    pub metric: Option<Spanned<i64>>,
    /// `table`.
    pub table: Option<Spanned<i64>>,
    /// `onlink`.
    pub onlink: Option<Spanned<bool>>,
    /// `mtu`.
    pub mtu: Option<Spanned<i64>>,
}

/// An element of `rules`.
#[derive(Debug)]
pub struct RawRule {
    /// Where it is written.
    pub span: Range<usize>,
    /// `from`.
    pub from: Option<Spanned<String>>,
    /// `to`.
    pub to: Option<Spanned<String>>,
    /// `fwmark`.
    pub fwmark: Option<Spanned<i64>>,
    /// `network`.
    pub network: Option<Spanned<String>>,
    /// `table`.
    pub table: Option<Spanned<i64>>,
    /// `priority`.
    pub priority: Option<Spanned<i64>>,
}

const RANGE: &str = "addresses such as \"10.9.0.0/16\"";
const NETWORK: &str = "the name of a network";
/// The largest number of a table, metric, mark or priority.
const MOST: i64 = u32::MAX as i64;

pub(super) fn read_routes(problems: &mut Problems, value: &Value<'_>) -> Vec<RawRoute> {
    let want = "a list of tables such as [{ destination = \"default\", via = \"192.168.1.254\" }]";
    let elements = value.list(problems, want).unwrap_or_default();
    elements.iter().filter_map(|value| read_route(problems, value)).collect()
}

fn read_route(problems: &mut Problems, value: &Value<'_>) -> Option<RawRoute> {
    let mut table =
        value.table(problems, "a table such as { destination = \"default\", via = \"192.168.1.254\" }")?;
    let destination = table.required(problems, "destination", "destination = \"default\"");
    let route = RawRoute {
        span: value.span.clone(),
        destination: destination.and_then(|v| v.string(problems, RANGE)),
        via: table.optional("via").and_then(|v| read_address(problems, &v)),
        network: table.optional("network").and_then(|v| v.string(problems, NETWORK)),
        source: table.optional("source").and_then(|v| v.string(problems, "the name of a virtual IP")),
        metric: table.optional("metric").and_then(|v| v.integer(problems, 0..=MOST)),
        table: table.optional("table").and_then(|v| v.integer(problems, 1..=MOST)),
        onlink: table.optional("onlink").and_then(|v| v.boolean(problems)),
        mtu: table.optional("mtu").and_then(|v| v.integer(problems, 68..=65535)),
    };
    table.finish(problems);
    Some(route)
}

pub(super) fn read_rules(problems: &mut Problems, value: &Value<'_>) -> Vec<RawRule> {
    let want = "a list of tables such as [{ from = \"shop\", table = 100, priority = 1000 }]";
    let elements = value.list(problems, want).unwrap_or_default();
    elements.iter().filter_map(|value| read_rule(problems, value)).collect()
}

fn read_rule(problems: &mut Problems, value: &Value<'_>) -> Option<RawRule> {
    let mut table =
        value.table(problems, "a table such as { from = \"shop\", table = 100, priority = 1000 }")?;
    let number = table.required(problems, "table", "table = 100");
    let priority = table.required(problems, "priority", "priority = 1000");
    let rule = RawRule {
        span: value.span.clone(),
        from: table.optional("from").and_then(|v| v.string(problems, RANGE)),
        to: table.optional("to").and_then(|v| v.string(problems, RANGE)),
        fwmark: table.optional("fwmark").and_then(|v| v.integer(problems, 1..=MOST)),
        network: table.optional("network").and_then(|v| v.string(problems, NETWORK)),
        table: number.and_then(|v| v.integer(problems, 1..=MOST)),
        priority: priority.and_then(|v| v.integer(problems, 1..=MOST)),
    };
    table.finish(problems);
    Some(rule)
}
