//! The tables of notifications, which are those of director.toml.

use super::check::{ARGUMENT, HEADER, HEADER_VALUE, TLS};
use super::{FILE, HTTP_HOST, PERIOD, defaulted, optional, required};
use crate::schema::{Kind, Shape, Text};

static MAIL_ADDRESS: Text = Text { name: "mail address", pattern: "", examples: &["ops@example.org"] };

static URL: Text = Text { name: "URL", pattern: "", examples: &["https://chat.example.org/hooks/abc"] };

/// The events, as the director names them.
const EVENTS: [&str; fairway_config::EventKind::ALL.len()] = {
    let mut names = [""; fairway_config::EventKind::ALL.len()];
    let mut number = 0;
    while number < names.len() {
        names[number] = fairway_config::EventKind::ALL[number].name();
        number += 1;
    }
    names
};

pub static NOTIFY: Shape = Shape {
    name: "notify",
    doc: "Somebody who is told of what happens on every director: exactly one way.",
    keys: &[
        optional("hook", Kind::Table(&HOOK), "A program is run for each event, in their order."),
        optional("mail", Kind::Table(&MAIL), "Mail is sent."),
        optional("webhook", Kind::Table(&WEBHOOK), "JSON is posted to a URL."),
        optional("events", Kind::List(&Kind::Word(&EVENTS)), "Which events; all of them unless written."),
        optional(
            "collect",
            Kind::Text(&PERIOD),
            "From the first event of a message to the message: 5s for mail, 1s for a webhook, no time for a hook \
             unless written.",
        ),
        optional(
            "pause",
            Kind::Text(&PERIOD),
            "The least time between two messages: 1m for mail, 1s for a webhook, no time for a hook unless written.",
        ),
        defaulted(
            "timeout",
            "\"10s\"",
            Kind::Text(&PERIOD),
            "A delivery that takes longer has failed; a hook is killed with all it has started.",
        ),
        optional(
            "attempts",
            Kind::Integer(1, 1000),
            "Mail and webhook: how often a message is tried, at growing intervals; 8 unless written.",
        ),
    ],
};

static HOOK: Shape = Shape {
    name: "hook",
    doc: "A program that runs on the director, without rights, with the event in FAIRWAY_* variables and as JSON on its \
          standard input.",
    keys: &[required(
        "command",
        Kind::List(&Kind::Text(&ARGUMENT)),
        "The program, by absolute path, and its arguments.",
    )],
};

static MAIL: Shape = Shape {
    name: "mail",
    doc: "Mail, by SMTP.",
    keys: &[
        required("from", Kind::Text(&MAIL_ADDRESS), "The sender's address."),
        required("to", Kind::List(&Kind::Text(&MAIL_ADDRESS)), "The receivers' addresses."),
        defaulted("server", "\"localhost\"", Kind::Text(&HTTP_HOST), "The mail server's name or address."),
        optional(
            "port",
            Kind::Integer(1, 65535),
            "Its port: 25, 587 with a user, 465 with security = \"tls\" unless written.",
        ),
        defaulted(
            "security",
            "\"none\"",
            Kind::Word(&["none", "starttls", "tls"]),
            "How the connection is secured; certificates are verified.",
        ),
        optional("ca-file", Kind::Text(&FILE), "Certificates (PEM) to trust; the system's unless written."),
        optional("helo", Kind::Text(&HTTP_HOST), "The name to say; the director's unless written."),
        optional("user", Kind::Text(&NAME_OF_USER), "The user to log in as."),
        optional("password-file", Kind::Text(&FILE), "A file on the directors with the user's password."),
    ],
};

static NAME_OF_USER: Text = Text { name: "user name", pattern: "", examples: &["fairway"] };

static WEBHOOK: Shape = Shape {
    name: "webhook",
    doc: "An HTTP request: POST, with JSON.",
    keys: &[
        required("url", Kind::Text(&URL), "Where to."),
        optional(
            "headers",
            Kind::Named(&HEADER, 0, &Kind::Text(&HEADER_VALUE)),
            "Further headers of the request.",
        ),
        optional(
            "header-file",
            Kind::Text(&FILE),
            "A file on the directors with further headers, one a line: \"Authorization: Bearer ...\".",
        ),
        optional("tls", Kind::Table(&TLS), "How TLS is spoken with https://."),
    ],
};
