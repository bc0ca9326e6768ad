//! Events in the journal's native protocol (systemd's JOURNAL_NATIVE_PROTOCOL): the message with its fields
//! appended for people, and each field on its own for `journalctl FAIRWAY_GROUP=edge`.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::sink::Sink;

/// The longest field value; what is longer is cut, so that a record fits a datagram.
const LONGEST: usize = 16 * 1024;

/// Writes events to the journal.
#[derive(Debug)]
pub struct Journal(Sink);

impl Journal {
    /// Records leave through `sink`.
    pub fn new(sink: Sink) -> Self {
        Self(sink)
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        self.0.send(record(event));
    }
}

fn record(event: &Event<'_>) -> Vec<u8> {
    let mut fields = Fields::default();
    event.record(&mut fields);
    let about = event.metadata();
    let mut record = Vec::new();
    put(&mut record, "PRIORITY", priority(about.level()));
    put(&mut record, "SYSLOG_IDENTIFIER", "fairway-director");
    put(&mut record, "TARGET", about.target());
    if let (Some(file), Some(line)) = (about.file(), about.line()) {
        put(&mut record, "CODE_FILE", file);
        put(&mut record, "CODE_LINE", &line.to_string());
    }
    let mut message = fields.message;
    for (name, value) in &fields.others {
        let quote = value.is_empty() || value.contains(char::is_whitespace);
        let _ = if quote { write!(message, " {name}={value:?}") } else { write!(message, " {name}={value}") };
        let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        put(&mut record, &format!("FAIRWAY_{}", name.to_ascii_uppercase()), value);
    }
    put(&mut record, "MESSAGE", &message);
    record
}

/// syslog(3) priorities.
fn priority(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        _ => "7",
    }
}

fn put(record: &mut Vec<u8>, name: &str, value: &str) {
    let value = &value.as_bytes()[..value.len().min(LONGEST)];
    record.extend_from_slice(name.as_bytes());
    if value.contains(&b'\n') {
        // The binary form: length first, little-endian.
        record.push(b'\n');
        record.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        record.push(b'=');
    }
    record.extend_from_slice(value);
    record.push(b'\n');
}

/// The fields of a record.
#[derive(Debug, Default)]
pub struct Fields {
    /// The message.
    pub message: String,
    /// All others, in their order.
    pub others: Vec<(&'static str, String)>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: String) {
        if field.name() == "message" {
            self.message = value;
        } else {
            self.others.push((field.name(), value));
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    struct Keep(Arc<Mutex<Vec<Vec<u8>>>>);

    impl<S: Subscriber> Layer<S> for Keep {
        fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
            self.0.lock().unwrap().push(record(event));
        }
    }

    fn recorded(log: impl FnOnce()) -> String {
        let kept = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let subscriber = tracing_subscriber::registry().with(Keep(Arc::clone(&kept)));
        tracing::subscriber::with_default(subscriber, log);
        let record = kept.lock().unwrap().remove(0);
        String::from_utf8(record).unwrap()
    }

    #[test]
    fn fields_are_structured_and_readable() {
        let record = recorded(|| {
            tracing::warn!(group = "edge", vrid = 51, "two words" = "a b", "became master");
        });
        for line in [
            "PRIORITY=4",
            "SYSLOG_IDENTIFIER=fairway-director",
            "FAIRWAY_GROUP=edge",
            "FAIRWAY_VRID=51",
            "FAIRWAY_TWO_WORDS=a b",
            "MESSAGE=became master group=edge vrid=51 two words=\"a b\"",
        ] {
            assert!(record.lines().any(|l| l == line), "{line} is not in\n{record}");
        }
    }

    #[test]
    fn several_lines_take_the_binary_form() {
        let record = recorded(|| tracing::info!("first\nsecond"));
        let expected = "MESSAGE\n\u{c}\0\0\0\0\0\0\0first\nsecond\n";
        assert!(record.ends_with(expected), "{record:?}");
    }
}
