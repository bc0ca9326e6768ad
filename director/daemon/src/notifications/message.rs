//! What receivers get to read.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::SystemTime;

use fairway_config::EventKind;
use serde_json::{Map, Value, json};

use super::event::Event;

/// Longer subjects are hard to read.
const SUBJECT: usize = 120;

/// Who tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The cluster.
    pub cluster: String,
    /// The director.
    pub host: String,
}

/// UTC, as RFC 3339 writes it.
pub fn time(at: SystemTime) -> String {
    humantime::format_rfc3339_seconds(at).to_string()
}

/// One line about all of them: `[shop] lb1: edge is master`, or `[shop] lb1: 12 server-down, 1 quorum-lost`.
pub fn subject(origin: &Origin, events: &[Event]) -> String {
    let text = match events {
        [event] => event.line(),
        _ => {
            let mut counts: BTreeMap<EventKind, u64> = BTreeMap::new();
            for event in events {
                *counts.entry(event.kind).or_default() += event.count;
            }
            counts
                .iter()
                .map(|(kind, count)| format!("{count} {}", kind.name()))
                .collect::<Vec<_>>()
                .join(", ")
        }
    };
    let text = format!("[{}] {}: {text}", origin.cluster, origin.host);
    if text.chars().count() <= SUBJECT {
        return text;
    }
    format!("{}...", text.chars().take(SUBJECT - 3).collect::<String>())
}

/// A line for each.
pub fn text(events: &[Event]) -> String {
    let mut text = String::new();
    for event in events {
        let _ = writeln!(text, "{}  {}: {}", time(event.at), event.kind.name(), event.line());
    }
    text
}

/// An event as JSON.
pub fn event(origin: &Origin, event: &Event) -> Value {
    let fields: Map<String, Value> =
        event.fields.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    json!({
        "event": event.kind.name(),
        "time": time(event.at),
        "cluster": origin.cluster,
        "host": origin.host,
        "message": event.message,
        "count": event.count,
        "fields": fields,
    })
}

/// Events as JSON, with a text that chat services show.
pub fn body(origin: &Origin, events: &[Event]) -> Value {
    json!({
        "cluster": origin.cluster,
        "host": origin.host,
        "text": format!("{}\n{}", subject(origin, events), text(events)),
        "events": events.iter().map(|e| event(origin, e)).collect::<Vec<_>>(),
    })
}

/// An event as environment variables.
pub fn environment(origin: &Origin, event: &Event) -> Vec<(String, String)> {
    let named = [
        ("FAIRWAY_EVENT", event.kind.name().to_owned()),
        ("FAIRWAY_TIME", time(event.at)),
        ("FAIRWAY_CLUSTER", origin.cluster.clone()),
        ("FAIRWAY_HOST", origin.host.clone()),
        ("FAIRWAY_MESSAGE", event.message.clone()),
        ("FAIRWAY_COUNT", event.count.to_string()),
    ];
    let fields = event.fields.iter().map(|(name, value)| {
        let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        (format!("FAIRWAY_{}", name.to_ascii_uppercase()), value.clone())
    });
    // A variable cannot hold what ends it.
    fields
        .chain(named.map(|(name, value)| (name.to_owned(), value)))
        .map(|(name, value)| (name, value.replace('\0', " ")))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn origin() -> Origin {
        Origin { cluster: "shop".to_owned(), host: "lb1".to_owned() }
    }

    fn down(server: &str, count: u64) -> Event {
        Event {
            at: UNIX_EPOCH,
            kind: EventKind::ServerDown,
            message: "real server is down".to_owned(),
            fields: vec![("service", "web".to_owned()), ("server", server.to_owned())],
            count,
        }
    }

    #[test]
    fn one_event_is_its_own_subject_and_many_are_counted() {
        let one = [down("web1", 1)];
        assert_eq!(subject(&origin(), &one), "[shop] lb1: real server is down (service web, server web1)");
        let many = [down("web1", 1), down("web2", 9)];
        assert_eq!(subject(&origin(), &many), "[shop] lb1: 10 server-down");
        assert!(text(&many).ends_with(
            "1970-01-01T00:00:00Z  server-down: 9 times server-down, the last one: real server is down \
             (service web, server web2)\n"
        ));
    }

    #[test]
    fn what_a_server_says_ends_no_line_and_no_variable() {
        let mut event = down("web1", 1);
        event.message = "a\nSubject: b".to_owned();
        event.fields.push(("detail", "c\0d".to_owned()));
        assert!(!subject(&origin(), &[event.clone()]).contains('\n'));
        let environment = environment(&origin(), &event);
        assert!(environment.contains(&("FAIRWAY_DETAIL".to_owned(), "c d".to_owned())));
        assert!(environment.contains(&("FAIRWAY_EVENT".to_owned(), "server-down".to_owned())));
    }
}
