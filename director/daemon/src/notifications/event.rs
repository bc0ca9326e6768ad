//! What is told of: log records with a field `event`. So whatever somebody is notified of is in the journal, with the
//! same fields, and nothing has to be handed through the parts of the director.

use std::time::SystemTime;

use fairway_config::EventKind;
use tokio::sync::mpsc;
use tracing::{Event as Record, Subscriber};
use tracing_subscriber::filter::{FilterFn, LevelFilter};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use crate::log::Fields;

/// Events that may wait to be looked at; what is beyond is lost.
const DEPTH: usize = 16 * 1024;

/// The field that makes an event of a record.
const FIELD: &str = "event";

/// Something that has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: SystemTime,
    /// What.
    pub kind: EventKind,
    /// For people, without the fields.
    pub message: String,
    /// The record's fields, such as `service`.
    pub fields: Vec<(&'static str, String)>,
    /// Of how many it is the last.
    pub count: u64,
}

impl Event {
    /// One line for people.
    pub fn line(&self) -> String {
        let told = |value: &str| !value.is_empty() && self.message.contains(value);
        let fields: Vec<_> = self
            .fields
            .iter()
            .filter(|(_, value)| !told(value))
            .map(|(name, value)| format!("{} {value}", name.replace('_', " ")))
            .collect();
        let fields = if fields.is_empty() { String::new() } else { format!(" ({})", fields.join(", ")) };
        let text = if self.count > 1 {
            format!("{} times {}, the last one: {}{fields}", self.count, self.kind.name(), self.message)
        } else {
            format!("{}{fields}", self.message)
        };
        // It is one line whatever a server said.
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
    }
}

/// The records of the director's that are events, until they are looked at.
#[derive(Debug)]
pub struct Events(mpsc::Receiver<Event>);

impl Events {
    /// A layer for the log, and what comes out of it.
    pub fn tap<S>() -> (impl Layer<S> + Send + Sync, Self)
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let (sender, receiver) = mpsc::channel(DEPTH);
        let is_event: fn(&tracing::Metadata<'_>) -> bool = |about| {
            about.is_event()
                && about.target().starts_with("fairway_director")
                && about.fields().field(FIELD).is_some()
        };
        let filter = FilterFn::new(is_event).with_max_level_hint(LevelFilter::INFO);
        (Tap { sender }.with_filter(filter), Self(receiver))
    }

    /// The next one; never, once nobody logs any more.
    pub async fn next(&mut self) -> Event {
        match self.0.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }

    /// The next one, if there is one.
    pub fn try_next(&mut self) -> Option<Event> {
        self.0.try_recv().ok()
    }

    /// As a task's that is tested.
    #[cfg(test)]
    pub fn channel() -> (mpsc::Sender<Event>, Self) {
        let (sender, receiver) = mpsc::channel(DEPTH);
        (sender, Self(receiver))
    }
}

struct Tap {
    sender: mpsc::Sender<Event>,
}

impl<S: Subscriber> Layer<S> for Tap {
    fn on_event(&self, record: &Record<'_>, _context: Context<'_, S>) {
        let mut seen = Fields::default();
        record.record(&mut seen);
        // Some records are events only at times.
        let Some(place) = seen.others.iter().position(|(name, _)| *name == FIELD) else { return };
        let (_, name) = seen.others.remove(place);
        let Some(kind) = EventKind::of(&name) else { return };
        // Whoever logs, the VRRP thread say, does not wait. A full channel has so many events that one more would be a
        // number in a summary.
        let _full = self.sender.try_send(Event {
            at: SystemTime::now(),
            kind,
            message: seen.message,
            fields: seen.others,
            count: 1,
        });
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::EnvFilter;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn records_with_an_event_are_events_whatever_is_logged() {
        let (tap, mut events) = Events::tap();
        let nothing = tracing_subscriber::fmt::layer().with_filter(EnvFilter::new("off"));
        let subscriber = tracing_subscriber::registry().with(tap).with(nothing);
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(group = "edge", "no event");
            tracing::warn!(event = None::<&str>, group = "edge", "no event either");
            tracing::warn!(event = "server-down", service = "web", weight = 3, "real server is down");
            tracing::warn!(target: "somebody_else", event = "server-down", "not ours");
        });
        let event = events.try_next().unwrap();
        assert_eq!(event.kind, EventKind::ServerDown);
        assert_eq!(event.line(), "real server is down (service web, weight 3)");
        assert_eq!(events.try_next(), None);
    }
}
