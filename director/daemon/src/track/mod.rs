//! Trackers: watches what failover groups depend on, and tells the VRRP thread.
//!
//! | file | what it watches | how it hears of a change at once |
//! |---|---|---|
//! | `source` | scripts, pings, services, BFD sessions | services and sessions: their status channels |
//! | `interface` | carrier of an interface | netlink |
//! | `file` | a file | inotify on its directory |
//! | `process` | processes by name | a pidfd of each: its end; a new one is found by the next look at `/proc` |
//! | `unit` | a systemd unit | its signal on the system bus |
//!
//! Everything is looked at each `every` besides, so that a change that nobody tells of is seen, too. All of this
//! runs on the main runtime: the VRRP thread gets results, and never waits for one.

mod file;
mod interface;
mod process;
mod source;
mod unit;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use fairway_config::{Config, Tracker};
use fairway_health::{Health, Judge, Outcome};
use fairway_vrrp::Verdict;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub use self::source::Eyes;
use self::source::{Look, Source};
use crate::status::{Handle, VrrpCommand};

/// However much is told, this much time is between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Watches the trackers of the groups that are `wanted` until nobody can want any more.
pub async fn run(vrrp: Handle<VrrpCommand>, eyes: Eyes, mut wanted: watch::Receiver<Arc<Config>>) {
    let mut watched: BTreeMap<(String, String), Watched> = BTreeMap::new();
    loop {
        let config = Arc::clone(&wanted.borrow_and_update());
        let mut before = std::mem::take(&mut watched);
        for group in &config.failover {
            for (name, tracker) in &group.track {
                let key = (group.name.clone(), name.clone());
                let kept = before.remove(&key).filter(|known| known.tracker == *tracker);
                let started = || Watched::start(&key, tracker.clone(), &eyes, &vrrp);
                watched.insert(key.clone(), kept.unwrap_or_else(started));
            }
        }
        drop(before);
        if wanted.changed().await.is_err() {
            return;
        }
    }
}

/// A tracker and the task that watches it, which ends with this.
struct Watched {
    tracker: Tracker,
    task: JoinHandle<()>,
}

impl Watched {
    fn start(
        (group, name): &(String, String),
        tracker: Tracker,
        eyes: &Eyes,
        vrrp: &Handle<VrrpCommand>,
    ) -> Self {
        let watch = Watch {
            group: group.clone(),
            name: name.clone(),
            source: Source::new(&tracker, eyes),
            judge: Judge::new(tracker.rise, tracker.fall),
            tracker: tracker.clone(),
            told: None,
            complaint: String::new(),
            vrrp: vrrp.clone(),
        };
        Self { tracker, task: tokio::spawn(watch.run()) }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Watch {
    group: String,
    name: String,
    tracker: Tracker,
    source: Source,
    judge: Judge,
    /// What the VRRP thread was told last.
    told: Option<(Verdict, String)>,
    /// Why the last look saw nothing.
    complaint: String,
    vrrp: Handle<VrrpCommand>,
}

impl Watch {
    async fn run(mut self) {
        loop {
            let start = Instant::now();
            match self.source.look().await {
                Look::Number(number, detail) => self.tell(Verdict::Number(number), detail),
                Look::Seen(outcome) => self.observe(&outcome),
            }
            tokio::select! {
                () = tokio::time::sleep_until(start + self.tracker.every.get()) => {}
                () = self.source.changed() => tokio::time::sleep_until(start + PAUSE).await,
            }
        }
    }

    fn observe(&mut self, outcome: &Outcome) {
        if let Outcome::Inconclusive(why) = outcome {
            if self.complaint != **why {
                let (group, tracker) = (&self.group, &self.name);
                tracing::info!(group, tracker, detail = %why, "tracker {tracker} sees nothing");
                self.complaint = why.clone().into_owned();
            }
            return;
        }
        self.complaint.clear();
        let passed = !matches!(outcome, Outcome::Fail(_) | Outcome::Refused(_));
        match self.judge.observe(outcome) {
            Health::Up if passed => self.tell(Verdict::Passing, outcome.detail().to_owned()),
            Health::Down if !passed => self.tell(Verdict::Failing, outcome.detail().to_owned()),
            // No verdict yet, or not often enough to change it.
            Health::Unknown | Health::Up | Health::Down => {}
        }
    }

    fn tell(&mut self, verdict: Verdict, detail: String) {
        let new = Some((verdict, detail.clone()));
        if self.told == new {
            return;
        }
        if self.told.as_ref().map(|(before, _)| *before) != Some(verdict) {
            self.log(verdict, &detail);
        }
        self.told = new;
        let (group, tracker, of) = (self.group.clone(), self.name.clone(), Box::new(self.tracker.clone()));
        self.vrrp.tell(VrrpCommand::Track { group, tracker, of, verdict, detail });
    }

    fn log(&self, verdict: Verdict, detail: &str) {
        let (group, tracker) = (&self.group, &self.name);
        match (verdict, self.tracker.weight) {
            (Verdict::Passing, _) => {
                tracing::info!(
                    event = "tracker-passing",
                    group,
                    tracker,
                    detail,
                    "tracker {tracker} passes: {detail}"
                );
            }
            (Verdict::Number(number), _) => {
                tracing::info!(group, tracker, detail, "tracker {tracker} adds {number} to the priority");
            }
            (Verdict::Failing, Some(weight)) => tracing::warn!(
                event = "tracker-failing",
                group,
                tracker,
                detail,
                weight,
                "tracker {tracker} fails, which adds {weight} to the priority: {detail}"
            ),
            (Verdict::Failing, None) => {
                tracing::warn!(
                    event = "tracker-failing",
                    group,
                    tracker,
                    detail,
                    "tracker {tracker} fails, which is a fault: {detail}"
                );
            }
        }
    }
}

/// A descriptor as the runtime wants it.
#[derive(Debug)]
struct Fd<T>(T);

impl<T: AsFd> AsRawFd for Fd<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

#[expect(
    deprecated,
    reason = "the unsafe function in its place asks for what AsFd promises: the descriptor lives as long as its owner"
)]
fn register<T: AsFd>(source: T) -> io::Result<AsyncFd<Fd<T>>> {
    AsyncFd::new(Fd(source))
}

#[cfg(test)]
mod tests;
