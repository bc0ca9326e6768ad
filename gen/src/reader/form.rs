//! Values whose keys are another schema's: their form is checked against what is declared, and the rest is left to
//! that schema's own reader.

use std::ops::Range;

use serde::de::DeserializeOwned;
use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::{Value, suggest};
use crate::report::{Problems, Rule};
use crate::schema::{Kind, Shape};

/// What could be read of a value.
#[derive(Debug)]
pub struct Part<T> {
    /// The value without what was refused.
    pub value: T,
    /// Names of the keys that were refused, each without those above it.
    pub refused: Vec<String>,
}

impl Value<'_> {
    /// The value as a type whose keys and values are those that are declared, if nothing is wrong with it.
    pub fn read<T: DeserializeOwned>(&self, problems: &mut Problems, at: Range<usize>) -> Option<T> {
        self.read_part(problems, at).filter(|part| part.refused.is_empty()).map(|part| part.value)
    }

    /// The same, without the keys in which something is wrong, so that what else is wrong is found as well. `at`:
    /// where the value is named.
    pub fn read_part<T: DeserializeOwned>(
        &self,
        problems: &mut Problems,
        at: Range<usize>,
    ) -> Option<Part<T>> {
        let mut found = Problems::default();
        form(&mut found, &self.key, at, self.span.clone(), self.raw, self.declared);
        let places = found.places();
        problems.append(found);
        let mut rest = self.raw.clone();
        let mut refused = Vec::new();
        for place in places {
            let path = path_to(self.raw, &place);
            if path.is_empty() {
                return None;
            }
            remove(&mut rest, &path);
            refused.push(path);
        }
        // serde stops at its first error: what it refuses is taken out until it finds no more.
        loop {
            let error = match T::deserialize(ValueDeserializer::from(Spanned::new(
                self.span.clone(),
                rest.clone(),
            ))) {
                Ok(value) => {
                    let refused = refused.into_iter().filter_map(|mut path| path.pop()).collect();
                    return Some(Part { value, refused });
                }
                Err(error) => error,
            };
            let span = error.span().unwrap_or_else(|| self.span.clone());
            let path = path_to(&rest, &span);
            // A table that lacks what was taken out of it says nothing new.
            if !refused.iter().any(|refused| refused.starts_with(&path)) {
                let key = [std::slice::from_ref(&self.key), &path].concat().join(".");
                problems.add_text(Rule::BadValue, key, span, error.message());
            }
            if path.is_empty() {
                return None;
            }
            remove(&mut rest, &path);
            refused.push(path);
        }
    }
}

/// The names that lead to the innermost key which, or the value of which, holds `place`.
fn path_to(value: &DeValue<'_>, place: &Range<usize>) -> Vec<String> {
    let holds = |span: Range<usize>| span.start <= place.start && place.end <= span.end;
    let Some(table) = value.as_table() else { return Vec::new() };
    // Tables with a header of their own do not span their keys, so all are searched.
    for (name, below) in table {
        let mut path = path_to(below.get_ref(), place);
        if !path.is_empty() || holds(below.span()) || holds(name.span()) {
            path.insert(0, name.get_ref().clone().into_owned());
            return path;
        }
    }
    Vec::new()
}

/// Takes a key out.
fn remove(value: &mut DeValue<'_>, path: &[String]) {
    let (DeValue::Table(table), Some((name, below))) = (value, path.split_first()) else { return };
    if below.is_empty() {
        table.remove(name.as_str());
    } else if let Some(value) = table.get_mut(name.as_str()) {
        remove(value.get_mut(), below);
    }
}

fn fits(kind: &Kind, value: &DeValue<'_>) -> bool {
    match kind {
        Kind::Text(_) | Kind::Word(_) => value.is_str(),
        Kind::Integer(..) => value.is_integer(),
        Kind::Boolean => value.is_bool(),
        Kind::Table(_) | Kind::Named(..) => value.is_table(),
        Kind::List(_) => value.is_array(),
        Kind::Any(_) => false,
    }
}

/// What to write for a kind.
fn want(kind: &Kind) -> String {
    match kind {
        Kind::Text(text) => match text.examples.first() {
            Some(example) => format!("a {} such as \"{example}\"", text.name),
            None => format!("a {}", text.name),
        },
        Kind::Word(words) => {
            format!("one of {}", words.iter().map(|w| format!("\"{w}\"")).collect::<Vec<_>>().join(", "))
        }
        Kind::Integer(least, most) => format!("a whole number from {least} to {most}"),
        Kind::Boolean => "true or false".to_owned(),
        Kind::Table(_) | Kind::Named(..) => "a table".to_owned(),
        Kind::List(element) => format!("a list: {}", want(element)),
        Kind::Any(kinds) => kinds.iter().map(want).collect::<Vec<_>>().join(", or "),
    }
}

fn form(
    problems: &mut Problems,
    key: &str,
    at: Range<usize>,
    span: Range<usize>,
    value: &DeValue<'_>,
    declared: &'static Kind,
) {
    let kind = declared.alternatives().iter().find(|kind| fits(kind, value));
    match (kind, value) {
        (Some(Kind::Table(shape)), DeValue::Table(table)) => keys(problems, key, at, table, shape),
        (Some(Kind::Named(_, _, each)), DeValue::Table(table)) => {
            for (name, value) in table {
                let key = format!("{key}.{}", name.get_ref());
                form(problems, &key, name.span(), value.span(), value.get_ref(), each);
            }
        }
        (Some(Kind::List(_)), DeValue::Array(elements)) if elements.is_empty() => {
            let remedy = format!("write {}", want(declared));
            problems.add(Rule::EmptyList, key, span, "the list is empty", remedy);
        }
        (Some(Kind::List(each)), DeValue::Array(elements)) => {
            for element in elements {
                form(problems, key, element.span(), element.span(), element.get_ref(), each);
            }
        }
        (Some(Kind::Word(words)), DeValue::String(word)) => {
            if !words.contains(&word.as_ref()) {
                let remedy = suggest(word, words.iter().copied(), "use one of");
                problems.add(Rule::BadValue, key, span, format!("\"{word}\" is not known here"), remedy);
            }
        }
        (Some(Kind::Integer(least, most)), DeValue::Integer(number)) => {
            let parsed = i64::from_str_radix(number.as_str(), number.radix());
            if !parsed.is_ok_and(|number| (*least..=*most).contains(&number)) {
                let remedy = format!("write {}", want(declared));
                problems.add(Rule::BadValue, key, span, format!("{number} is out of range"), remedy);
            }
        }
        (Some(_), _) => {}
        (None, _) => {
            let place = Value { key: key.to_owned(), span, raw: value, declared };
            place.wrong_type(problems, &want(declared));
        }
    }
}

fn keys(problems: &mut Problems, key: &str, at: Range<usize>, table: &DeTable<'_>, shape: &'static Shape) {
    for declared in shape.keys.iter().filter(|declared| declared.required) {
        if table.get(declared.name).is_none() {
            let name = declared.name;
            let remedy = format!("add {name} = {}", want(&declared.kind));
            problems.add(
                Rule::MissingKey,
                format!("{key}.{name}"),
                at.clone(),
                format!("\"{name}\" is missing"),
                remedy,
            );
        }
    }
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    for (name, value) in entries {
        let below = format!("{key}.{}", name.get_ref());
        match shape.keys.iter().find(|declared| declared.name == name.get_ref()) {
            Some(declared) => {
                form(problems, &below, value.span(), value.span(), value.get_ref(), &declared.kind);
            }
            None => {
                let known = shape.keys.iter().map(|declared| declared.name);
                let remedy = suggest(name.get_ref(), known, "the keys are");
                let message = format!("there is no key \"{}\" here", name.get_ref());
                problems.add(Rule::UnknownKey, below, name.span(), message, remedy);
            }
        }
    }
}
