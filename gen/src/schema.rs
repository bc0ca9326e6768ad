//! What a topology file may hold. The reader takes keys, bounds and words from here and reads nothing else,
//! so that the JSON Schema and the reference, which are made of it, cannot differ from what is read.

mod json;
mod shapes;

pub use json::json_schema;
pub use shapes::TOPOLOGY;

/// A table with a fixed set of keys.
#[derive(Debug)]
pub struct Shape {
    /// What it describes, such as `network`: a name in the JSON Schema and the reference.
    pub name: &'static str,
    /// What it is for, as a sentence.
    pub doc: &'static str,
    /// Its keys, in the order of the reference.
    pub keys: &'static [Key],
}

/// A key of a [`Shape`].
#[derive(Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// Whether it must be there.
    pub required: bool,
    /// The value, as TOML, that it has where it is not written; none if absence means something of its own.
    pub default: Option<&'static str>,
    /// What may be written.
    pub kind: Kind,
    /// What it means, as a sentence.
    pub doc: &'static str,
}

impl Key {
    /// The default as JSON.
    pub fn default_json(&self) -> Option<serde_json::Value> {
        let table: toml::Table =
            format!("default = {}", self.default?).parse().expect("a test reads every default");
        serde_json::to_value(&table["default"]).ok()
    }
}

/// A value that may be written.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A string of a form of its own.
    Text(&'static Text),
    /// One of a few strings.
    Word(&'static [&'static str]),
    /// A whole number from the first to the second.
    Integer(i64, i64),
    /// `true` or `false`.
    Boolean,
    /// A table with fixed keys.
    Table(&'static Shape),
    /// A table whose keys are names: the form of the names, how many there are at least, and what each
    /// names.
    Named(&'static Text, u8, &'static Kind),
    /// A list that is not empty.
    List(&'static Kind),
    /// One of several kinds, which are not of this kind themselves.
    Any(&'static [Kind]),
}

/// A form of strings.
#[derive(Debug)]
pub struct Text {
    /// What it is, such as `address`.
    pub name: &'static str,
    /// A regular expression which every such string matches; the reader is stricter.
    pub pattern: &'static str,
    /// Examples.
    pub examples: &'static [&'static str],
}

impl Shape {
    /// This shape and all below it, each once, in the order of the reference.
    pub fn all(&'static self) -> Vec<&'static Self> {
        let mut found = Vec::new();
        self.collect(&mut found);
        found
    }

    fn collect(&'static self, found: &mut Vec<&'static Self>) {
        if !found.iter().any(|f| f.name == self.name) {
            found.push(self);
            self.keys.iter().for_each(|key| key.kind.collect(found));
        }
    }
}

impl Kind {
    /// The kinds it may be: itself, or those of [`Kind::Any`].
    pub fn alternatives(&self) -> &[Self] {
        match self {
            Self::Any(kinds) => kinds,
            _ => std::slice::from_ref(self),
        }
    }

    /// Adds the shapes that occur in it and are not there yet.
    fn collect(&self, found: &mut Vec<&'static Shape>) {
        match self {
            Self::Table(shape) => shape.collect(found),
            Self::Named(_, _, kind) | Self::List(kind) => kind.collect(found),
            Self::Any(kinds) => kinds.iter().for_each(|kind| kind.collect(found)),
            Self::Text(_) | Self::Word(_) | Self::Integer(..) | Self::Boolean => {}
        }
    }
}
