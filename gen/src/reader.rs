//! Reading a spanned TOML tree: every accessor records what is wrong and goes on, so that one run reports
//! everything. What may be read is declared in [`crate::schema`]: asking for anything else is a defect, and so is
//! a declared key that nobody asks for.

mod form;

use std::fmt::Display;
use std::ops::Range;
use std::str::FromStr;

use indexmap::IndexMap;
use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use crate::report::{Problems, Rule};
use crate::schema::{Kind, Shape};

pub use form::Part;

/// A thing with a name of the user's choosing: `[hosts.lb1]`.
#[derive(Debug, Clone)]
pub struct Entry<T> {
    /// Dotted path of the key.
    pub key: String,
    /// Where the name is written.
    pub span: Range<usize>,
    /// Nothing was wrong with it while it was read; otherwise what it lacks may be what was refused.
    pub sound: bool,
    /// What it names.
    pub value: T,
}

/// Named things in the order of the file.
pub type Named<T> = IndexMap<String, Entry<T>>;

/// A value and where it is.
#[derive(Debug, Clone)]
pub struct Value<'t> {
    /// Dotted path of its key.
    pub key: String,
    /// Where the value is written.
    pub span: Range<usize>,
    raw: &'t DeValue<'t>,
    declared: &'static Kind,
}

impl<'t> Value<'t> {
    /// What is declared of one of the kinds this value may be.
    fn declares<T>(&self, pick: impl FnMut(&'static Kind) -> Option<T>) -> T {
        let found = self.declared.alternatives().iter().find_map(pick);
        found.unwrap_or_else(|| panic!("{} is read as something that the schema does not declare", self.key))
    }

    fn wrong_type(&self, problems: &mut Problems, want: &str) {
        let have = match self.raw {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        problems.add(
            Rule::WrongType,
            &self.key,
            self.span.clone(),
            format!("this is {have}"),
            format!("write {want}"),
        );
    }

    fn place<T>(&self, value: T) -> Spanned<T> {
        Spanned::new(self.span.clone(), value)
    }

    /// A string. `want` shows what it looks like: `a string such as "shop"`.
    pub fn string(&self, problems: &mut Problems, want: &str) -> Option<Spanned<String>> {
        self.declares(|kind| matches!(kind, Kind::Text(_) | Kind::Word(_)).then_some(()));
        match self.raw {
            DeValue::String(text) => Some(self.place(text.clone().into_owned())),
            _ => {
                self.wrong_type(problems, want);
                None
            }
        }
    }

    /// A string of a form of its own. The error's text may have a remedy after "; ".
    pub fn parsed<T>(&self, problems: &mut Problems, want: &str) -> Option<Spanned<T>>
    where
        T: FromStr<Err: Display>,
    {
        let text = self.string(problems, want)?;
        match text.get_ref().parse() {
            Ok(value) => Some(self.place(value)),
            Err(error) => {
                let error = error.to_string();
                let error = if error.contains("; ") {
                    error
                } else {
                    format!("\"{}\" does not fit: {error}; write {want}", text.get_ref())
                };
                problems.add_text(Rule::BadValue, &self.key, self.span.clone(), &error);
                None
            }
        }
    }

    /// A whole number within bounds.
    pub fn integer(
        &self,
        problems: &mut Problems,
        bounds: std::ops::RangeInclusive<i64>,
    ) -> Option<Spanned<i64>> {
        // Bounds without end are for numbers that a rule of their own judges.
        self.declares(|kind| match kind {
            Kind::Integer(least, _) if *bounds.end() == i64::MAX => bounds.contains(least).then_some(()),
            Kind::Integer(least, most) => (bounds == (*least..=*most)).then_some(()),
            _ => None,
        });
        let want = format!("a whole number from {} to {}", bounds.start(), bounds.end());
        let DeValue::Integer(number) = self.raw else {
            self.wrong_type(problems, &want);
            return None;
        };
        match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(value) if bounds.contains(&value) => Some(self.place(value)),
            _ => {
                problems.add(
                    Rule::BadValue,
                    &self.key,
                    self.span.clone(),
                    format!("{number} is out of range"),
                    format!("write {want}"),
                );
                None
            }
        }
    }

    /// `true` or `false`.
    pub fn boolean(&self, problems: &mut Problems) -> Option<Spanned<bool>> {
        self.declares(|kind| matches!(kind, Kind::Boolean).then_some(()));
        match self.raw {
            DeValue::Boolean(value) => Some(self.place(*value)),
            _ => {
                self.wrong_type(problems, "true or false");
                None
            }
        }
    }

    /// One of a few words.
    pub fn choice<T: Copy>(
        &self,
        problems: &mut Problems,
        rule: Rule,
        words: &[(&str, T)],
    ) -> Option<Spanned<T>> {
        let names = || words.iter().map(|(word, _)| *word);
        self.declares(|kind| match kind {
            Kind::Word(declared) => declared.iter().copied().eq(names()).then_some(()),
            _ => None,
        });
        let example =
            format!("one of {}", names().map(|w| format!("\"{w}\"")).collect::<Vec<_>>().join(", "));
        let text = self.string(problems, &example)?;
        let found = words.iter().find(|(word, _)| word == text.get_ref());
        if found.is_none() {
            problems.add(
                rule,
                &self.key,
                self.span.clone(),
                format!("\"{}\" is not known here", text.get_ref()),
                suggest(text.get_ref(), names(), "use one of"),
            );
        }
        found.map(|(_, value)| self.place(*value))
    }

    /// The key and place of the value at a path of keys below this one, if it is there.
    pub fn below(&self, path: &str) -> Option<(String, Range<usize>)> {
        let here = (self.key.clone(), self.span.clone(), self.raw);
        let names = path.split('.').filter(|name| !name.is_empty());
        let found = names.into_iter().try_fold(here, |(key, _, raw), name| {
            let below = raw.as_table()?.get(name)?;
            Some((format!("{key}.{name}"), below.span(), below.get_ref()))
        });
        found.map(|(key, span, _)| (key, span))
    }

    /// The elements of a list; an empty one breaks a rule. `want` shows an example.
    pub fn list(&self, problems: &mut Problems, want: &str) -> Option<Vec<Self>> {
        let declared: &'static Kind = self.declares(|kind| match kind {
            Kind::List(element) => Some(*element),
            _ => None,
        });
        let DeValue::Array(array) = self.raw else {
            self.wrong_type(problems, want);
            return None;
        };
        if array.is_empty() {
            problems.add(
                Rule::EmptyList,
                &self.key,
                self.span.clone(),
                "the list is empty",
                format!("write {want}"),
            );
        }
        let elements = array.iter();
        Some(
            elements
                .map(|e| Self { key: self.key.clone(), span: e.span(), raw: e.get_ref(), declared })
                .collect(),
        )
    }

    /// One value, or a list of them.
    pub fn one_or_list(&self, problems: &mut Problems, want: &str) -> Option<Vec<Self>> {
        if self.is_list() { self.list(problems, want) } else { Some(vec![self.clone()]) }
    }

    /// A table.
    pub fn table(&self, problems: &mut Problems, want: &str) -> Option<Table<'t>> {
        let declared = self.declares(|kind| match kind {
            Kind::Table(shape) => Some(Declared::Keys(shape)),
            Kind::Named(_, _, each) => Some(Declared::Names(each)),
            _ => None,
        });
        match self.raw {
            DeValue::Table(entries) => {
                Some(Table { key: self.key.clone(), span: self.span.clone(), entries, declared, asked: 0 })
            }
            _ => {
                self.wrong_type(problems, want);
                None
            }
        }
    }

    /// Whether it is a list.
    pub fn is_list(&self) -> bool {
        self.raw.is_array()
    }

    /// Whether it is a table.
    pub fn is_table(&self) -> bool {
        self.raw.is_table()
    }

    /// Whether it is a whole number.
    pub fn is_integer(&self) -> bool {
        self.raw.is_integer()
    }

    /// Whether it is `true` or `false`.
    pub fn is_boolean(&self) -> bool {
        self.raw.is_bool()
    }
}

/// A table whose keys are asked for one by one.
#[derive(Debug)]
pub struct Table<'t> {
    key: String,
    span: Range<usize>,
    entries: &'t DeTable<'t>,
    declared: Declared,
    /// Which of the declared keys were asked for, a bit for each.
    asked: u32,
}

/// What the schema says of a table.
#[derive(Debug, Clone, Copy)]
enum Declared {
    /// It has fixed keys.
    Keys(&'static Shape),
    /// Its keys are names for something of a kind.
    Names(&'static Kind),
}

impl<'t> Table<'t> {
    /// The table that is the whole file.
    pub fn root(entries: &'t DeTable<'t>, shape: &'static Shape) -> Self {
        Self { key: String::new(), span: 0..0, entries, declared: Declared::Keys(shape), asked: 0 }
    }

    fn shape(&self) -> &'static Shape {
        match self.declared {
            Declared::Keys(shape) => shape,
            Declared::Names(_) => panic!("{} is read as a table with fixed keys", self.key),
        }
    }

    /// Where the table is named, for problems with the table as a whole.
    pub fn at(mut self, span: Range<usize>) -> Self {
        self.span = span;
        self
    }

    fn path(&self, name: &str) -> String {
        if self.key.is_empty() { name.to_owned() } else { format!("{}.{name}", self.key) }
    }

    /// A key that may be absent.
    pub fn optional(&mut self, name: &'static str) -> Option<Value<'t>> {
        self.get(name, false)
    }

    fn get(&mut self, name: &'static str, required: bool) -> Option<Value<'t>> {
        let mut declared = self.shape().keys.iter().enumerate();
        let (number, key) = declared
            .find(|(_, key)| key.name == name)
            .unwrap_or_else(|| panic!("{} is not in the schema", self.path(name)));
        debug_assert_eq!(key.required, required, "whether {} is required", self.path(name));
        self.asked |= 1 << number;
        let value = self.entries.get(name)?;
        Some(Value { key: self.path(name), span: value.span(), raw: value.get_ref(), declared: &key.kind })
    }

    /// A key that must be there. `want` shows what to add: `scheduler = "rr"`.
    pub fn required(&mut self, problems: &mut Problems, name: &'static str, want: &str) -> Option<Value<'t>> {
        let value = self.get(name, true);
        if value.is_none() {
            problems.add(
                Rule::MissingKey,
                self.path(name),
                self.span.clone(),
                format!("\"{name}\" is missing"),
                format!("add {want}"),
            );
        }
        value
    }

    /// The named things of this table, in the order of the file. A thing whose value cannot be read is still
    /// there, as its default, so that references to it are not reported too.
    pub fn named<T: Default>(
        self,
        problems: &mut Problems,
        mut read: impl FnMut(&mut Problems, Value<'t>, Range<usize>) -> Option<T>,
    ) -> Named<T> {
        let Declared::Names(declared) = self.declared else {
            panic!("{} is read as a table of names", self.key);
        };
        let mut entries: Vec<_> = self.entries.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        let mut named = Named::with_capacity(entries.len());
        for (name, value) in entries {
            let key = self.path(name.get_ref());
            let value = Value { key: key.clone(), span: value.span(), raw: value.get_ref(), declared };
            let before = problems.len();
            let value = read(problems, value, name.span()).unwrap_or_default();
            let sound = problems.len() == before;
            named.insert(name.get_ref().clone().into_owned(), Entry { key, span: name.span(), sound, value });
        }
        named
    }

    /// Reports every key that nobody asked for.
    pub fn finish(self, problems: &mut Problems) {
        let shape = self.shape();
        let known = || shape.keys.iter().map(|key| key.name);
        debug_assert_eq!(
            self.asked.count_ones() as usize,
            shape.keys.len(),
            "a key of {} is declared and not read",
            shape.name
        );
        let mut entries: Vec<_> = self.entries.iter().map(|(name, _)| name).collect();
        entries.retain(|name| !known().any(|key| key == name.get_ref()));
        for name in entries {
            problems.add(
                Rule::UnknownKey,
                self.path(name.get_ref()),
                name.span(),
                format!("there is no key \"{}\" here", name.get_ref()),
                suggest(name.get_ref(), known(), "the keys are"),
            );
        }
    }
}

/// "did you mean" for a name that is close to a known one, and the known ones otherwise.
pub fn suggest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>, listing: &str) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let close = known
        .iter()
        .map(|k| (strsim::damerau_levenshtein(name, k), *k))
        .filter(|(distance, k)| *distance <= 1 + name.len().max(k.len()) / 4)
        .min();
    match close {
        Some((_, best)) => format!("did you mean \"{best}\"?"),
        None if known.is_empty() => String::new(),
        None if known.len() > 20 => format!("{listing} {}, ...", known[..20].join(", ")),
        None => format!("{listing} {}", known.join(", ")),
    }
}
