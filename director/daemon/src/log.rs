//! Logs: to the journal with structured fields when systemd has connected it, otherwise to stderr.

mod journal;
mod pace;
mod sink;

use std::fs;
use std::io::IsTerminal;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::FilterExt as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

pub use self::journal::Fields;
use self::journal::Journal;
use self::pace::Pace;
use self::sink::{Output, Sink};
use crate::notifications::Events;

/// Flushes the log when dropped; keep it until the end of `main`.
#[derive(Debug)]
pub struct Guard(Sink);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.flush(Duration::from_secs(1));
    }
}

/// Sets logging up for the process. `level` is a filter as `RUST_LOG` takes it and comes before it; without
/// either it is `info`. Returns what ends with the log, and the events that are in it, whatever the filter.
///
/// # Errors
/// A filter that makes no sense, or no thread to be had.
pub fn init(level: Option<&str>) -> anyhow::Result<(Guard, Events)> {
    let (filter, origin) = match (level, std::env::var("RUST_LOG")) {
        (Some(level), _) => (level.to_owned(), "--log-level"),
        (None, Ok(variable)) => (variable, "RUST_LOG"),
        (None, Err(_)) => ("info".to_owned(), "the default"),
    };
    let filter = EnvFilter::try_new(&filter).with_context(|| {
        format!(
            "the log filter \"{filter}\" ({origin}) makes no sense: use error, warn, info, debug or trace"
        )
    })?;
    let (tap, events) = Events::tap();
    let registry = tracing_subscriber::registry().with(tap);
    if stderr_is_the_journal() {
        let sink = Sink::start(Output::journal().context("cannot reach the journal")?)?;
        let filter = filter.and(Pace::new(sink.clone()));
        registry.with(Journal::new(sink.clone()).with_filter(filter)).init();
        Ok((Guard(sink), events))
    } else {
        let sink = Sink::start(Output::Stderr)?;
        let writer = sink.clone();
        let layer = tracing_subscriber::fmt::layer()
            .compact()
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(move || writer.clone())
            .with_filter(filter.and(Pace::new(sink.clone())));
        registry.with(layer).init();
        Ok((Guard(sink), events))
    }
}

/// `JOURNAL_STREAM` names device and inode of the stream systemd connected to the journal
/// (`systemd.exec(5)`); it is inherited, so only the comparison tells whether it is still our stderr.
fn stderr_is_the_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(stderr) = fs::metadata("/proc/self/fd/2") else { return false };
    stream == format!("{}:{}", stderr.dev(), stderr.ino())
}
