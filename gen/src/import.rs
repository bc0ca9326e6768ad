//! From keepalived.conf to a topology: what both can say is carried over, and everything else is listed with its place.

mod cluster;
mod grammar;
mod script;
mod service;
mod write;

use std::fmt;

/// A configuration and the host it is of.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The host's name in the topology.
    pub host: &'a str,
    /// The file, as notes show it.
    pub file: &'a str,
    /// Its text.
    pub text: &'a str,
}

/// Something that was not carried over, or that had to be assumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What it is about.
    pub text: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.text)
    }
}

/// A topology, and what to know about it.
#[derive(Debug)]
pub struct Import {
    /// The topology, with the notes as comments.
    pub topology: String,
    /// What was not carried over, in the order of the files.
    pub notes: Vec<Note>,
}

/// Why a file cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not in keepalived's form.
    #[error("{file}:{line}: {text}")]
    Syntax {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        text: &'static str,
    },
    /// There is nothing in it that a topology has.
    #[error("{file}: has neither a vrrp_instance nor a virtual_server; nothing can be imported")]
    Empty {
        /// The file.
        file: String,
    },
}

/// Collects notes about one file.
#[derive(Debug)]
struct Notes<'a> {
    file: &'a str,
    found: Vec<Note>,
}

impl Notes<'_> {
    fn add(&mut self, line: usize, text: impl Into<String>) {
        self.found.push(Note { file: self.file.to_owned(), line, text: text.into() });
    }

    /// A statement that has no place in a topology, or not yet.
    fn left_out(&mut self, statement: &grammar::Statement) {
        // The first word only: others may be secret.
        let word = statement.word(0);
        let hint = match word {
            "notify" | "notify_master" | "notify_backup" | "notify_fault" | "notify_stop" | "notify_fifo" => {
                ": see docs/how-to/notifications.md, whose hooks are told the same"
            }
            "smtp_alert"
            | "notification_email"
            | "notification_email_from"
            | "smtp_server"
            | "smtp_connect_timeout" => ": see docs/how-to/notifications.md",
            "include" | "includer" | "includem" | "includew" | "includeb" | "includea" => {
                ": import that file too"
            }
            _ => "",
        };
        self.add(statement.line, format!("{word}: not carried over{hint}"));
    }
}

/// Makes a topology of the first host's configuration, with what the others say about their own directors.
///
/// # Errors
/// See [`Error`].
pub fn import(sources: &[Source<'_>]) -> Result<Import, Error> {
    let mut notes = Vec::new();
    let mut clusters = Vec::new();
    for source in sources {
        let mut own = Notes { file: source.file, found: Vec::new() };
        let statements = grammar::parse(source.text, &mut own).map_err(|(line, text)| Error::Syntax {
            file: source.file.to_owned(),
            line,
            text,
        })?;
        let cluster = cluster::read(&statements, &mut own);
        if cluster.instances.is_empty() && cluster.services.is_empty() {
            return Err(Error::Empty { file: source.file.to_owned() });
        }
        clusters.push((source.host, cluster));
        notes.push(own);
    }
    let body = write::topology(&clusters, &mut notes);
    notes.iter_mut().for_each(|own| own.found.sort_by_key(|note| note.line));
    let notes: Vec<Note> = notes.into_iter().flat_map(|notes| notes.found).collect();
    let mut topology = String::from(
        "# Made by fairway-gen import: read the notes, then run fairway-gen check.\n# Hosts keep their own addresses (manage = \
         false) and real servers their settings (managed = false) until this file\n# says what they are.\n",
    );
    for note in &notes {
        let note = note.to_string().replace(char::is_control, " ");
        topology.push_str(&format!("# {note}\n"));
    }
    topology.push_str(&body);
    Ok(Import { topology, notes })
}
