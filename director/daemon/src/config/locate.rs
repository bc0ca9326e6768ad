//! From the place a rule names (`failover.edge.instance.edge-public.vrid`) to the line it stands on.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The line (from 1) of the deepest part of `at` that the text holds. In `at`, an entry of an array of
/// tables is named by its `name`. `None` when not even the first part is there.
pub fn line_of(text: &str, at: &str) -> Option<usize> {
    let document = DeTable::parse(text).ok()?;
    let mut rest = at;
    let (mut span, mut value, after) = in_table(document.get_ref(), rest)?;
    rest = after;
    loop {
        let step = match value {
            DeValue::Table(table) => in_table(table, rest),
            DeValue::Array(entries) => entries
                .iter()
                .filter_map(|entry| {
                    let name = entry.get_ref().as_table()?.get("name")?.get_ref().as_str()?;
                    Some((entry.span(), entry.get_ref(), strip(rest, name)?))
                })
                // A name given twice: the later one is the mistake.
                .next_back(),
            _ => None,
        };
        let Some((inner, next, after)) = step else { break };
        (span, value, rest) = (inner, next, after);
    }
    Some(text.get(..span.start)?.matches('\n').count() + 1)
}

type Step<'t, 'i> = (Range<usize>, &'t DeValue<'i>, &'t str);

fn in_table<'t, 'i>(table: &'t DeTable<'i>, rest: &'t str) -> Option<Step<'t, 'i>> {
    table
        .iter()
        .filter_map(|(key, value)| {
            let after = strip(rest, key.get_ref())?;
            Some((key_span(key, value), value.get_ref(), after))
        })
        // Names may hold dots: the longest key that fits is the right one.
        .min_by_key(|(_, _, after)| after.len())
}

/// Arrays of tables are announced far above their entries; a plain key stands where it is written.
fn key_span<K>(key: &Spanned<K>, value: &Spanned<DeValue<'_>>) -> Range<usize> {
    if matches!(value.get_ref(), DeValue::Table(_)) { value.span() } else { key.span() }
}

/// `rest` without its first part, if that is `part`.
fn strip<'t>(rest: &'t str, part: &str) -> Option<&'t str> {
    let after = rest.strip_prefix(part)?;
    if after.is_empty() { Some(after) } else { after.strip_prefix('.') }
}
