//! Running checks: one task for each subject, however many services depend on it.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::warn;

use crate::schedule::{self, Clock, Schedule};
use crate::{Advice, Health, Judge, Outcome, Subject, probe};

/// Reports that may wait for the receiver; a check that has more to say waits with its next probe. Enough for
/// the first second of a start with thousands of checks.
const REPORTS: usize = 1024;

/// Probes that are due within this time start together: the machine wakes up a hundred times a second, however
/// many checks there are.
const TICK: Duration = Duration::from_millis(10);

/// Names a running check. A [`Monitor`] never uses one again for another check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckId(pub u64);

/// What a check says about its subject.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The judgement, rise and fall applied.
    pub health: Health,
    /// What the last probe saw, for people; empty before the first one.
    pub detail: String,
    /// How much the server says it can take, if it does.
    pub advice: Option<Advice>,
}

/// A check's verdict has changed, in health or in detail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Which check.
    pub check: CheckId,
    /// What it says now.
    pub verdict: Verdict,
}

/// Runs the checks it was last told to run. Dropping it stops them all.
#[derive(Debug)]
pub struct Monitor {
    running: HashMap<Subject, Running>,
    started: u64,
    /// Where the checks run.
    runtime: Handle,
    clock: Clock,
    reports: mpsc::Sender<Report>,
}

#[derive(Debug)]
struct Running {
    id: CheckId,
    /// `None` while suspended.
    task: Option<Probing>,
}

/// A task that ends with its handle.
#[derive(Debug)]
struct Probing(JoinHandle<()>);

impl Drop for Probing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Monitor {
    /// A monitor without checks that will run them on this runtime, which needs I/O and time; and where its reports
    /// arrive.
    pub fn new(runtime: Handle) -> (Self, mpsc::Receiver<Report>) {
        let (reports, receiver) = mpsc::channel(REPORTS);
        let clock = Clock { origin: Instant::now(), tick: TICK };
        (Self { running: HashMap::new(), started: 0, runtime, clock, reports }, receiver)
    }

    /// Makes the running checks those of `subjects`: new ones start, known ones go on undisturbed with their
    /// verdict, all others stop. Equal subjects share one check. Returns the check of each subject, in order.
    ///
    /// Reports of stopped checks may still arrive; their ids are not among those returned.
    pub fn watch(&mut self, subjects: &[Subject]) -> Vec<CheckId> {
        self.resume(subjects, &HashMap::new())
    }

    /// The same; new checks whose verdict is `known`, by [`Subject::fingerprint`], go on from it as those of a process
    /// that never ended: they report what differs, and are in no hurry.
    #[expect(
        clippy::mutable_key_type,
        reason = "a compiled pattern caches inside; equality does not look there"
    )]
    pub fn resume(&mut self, subjects: &[Subject], known: &HashMap<String, Verdict>) -> Vec<CheckId> {
        let mut before = std::mem::take(&mut self.running);
        let mut fresh = Vec::new();
        let mut ids = Vec::with_capacity(subjects.len());
        let mut wanted: HashMap<Subject, CheckId> = HashMap::with_capacity(subjects.len());
        for subject in subjects {
            let id = *wanted.entry(subject.clone()).or_insert_with(|| {
                if let Some((subject, running)) = before.remove_entry(subject) {
                    let id = running.id;
                    self.running.insert(subject, running);
                    return id;
                }
                self.started += 1;
                let id = CheckId(self.started);
                fresh.push((subject.clone(), id));
                id
            });
            ids.push(id);
        }
        drop(before);
        let count = fresh.len();
        for (index, (subject, id)) in fresh.into_iter().enumerate() {
            let verdict = if known.is_empty() { None } else { known.get(&subject.fingerprint()) };
            let task = Some(self.start(&subject, id, (index, count), verdict.cloned().unwrap_or_default()));
            self.running.insert(subject, Running { id, task });
        }
        ids
    }

    /// Suspends these checks and no others: those that were suspended and are not named begin anew. Until its
    /// first report the last verdict of a check is the one to go by.
    pub fn suspend(&mut self, checks: &HashSet<CheckId>) {
        let again: Vec<_> = self
            .running
            .iter_mut()
            .filter_map(|(subject, running)| {
                if checks.contains(&running.id) {
                    running.task = None;
                    return None;
                }
                running.task.is_none().then(|| (subject.clone(), running.id))
            })
            .collect();
        let count = again.len();
        for (index, (subject, id)) in again.into_iter().enumerate() {
            let task = Some(self.start(&subject, id, (index, count), Verdict::default()));
            self.running.insert(subject, Running { id, task });
        }
    }

    /// Starts a check, as one of several that start together.
    fn start(
        &self,
        subject: &Subject,
        id: CheckId,
        (index, count): (usize, usize),
        known: Verdict,
    ) -> Probing {
        let check = subject.spec().check();
        let (every, phase) = (subject.spec().every(), schedule::phase(id.0));
        let delay = match known.health {
            Health::Unknown => schedule::first_delay(index, count, every),
            Health::Up | Health::Down => every.mul_f64(phase),
        };
        let schedule = Schedule::new(Instant::now() + delay, every, phase)
            .retry_every(check.retry_every.map(fairway_config::Period::get))
            .jitter(check.jitter.get())
            .clock(self.clock);
        Probing(self.runtime.spawn(run(subject.clone(), id, (schedule, known), self.reports.clone())))
    }
}

async fn run(
    subject: Subject,
    check: CheckId,
    (mut schedule, mut last): (Schedule, Verdict),
    reports: mpsc::Sender<Report>,
) {
    let spec = subject.spec();
    let mut judge =
        Judge::new(spec.rise(), spec.fall()).fast_fail(spec.check().fast_fail).knowing(last.health);
    let mut told = String::new();
    let mut outcome = Outcome::Inconclusive("".into());
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(schedule.next().into()) => {}
            () = subject.changed(&outcome) => {}
        }
        outcome = probe(&subject).await;
        // Once for each change of the text.
        match &outcome {
            Outcome::Inconclusive(detail) if told != *detail => {
                told = detail.to_string();
                warn!(target = %subject.target(), detail = told, "health check could not be made");
            }
            Outcome::Warn(detail) if told != *detail => {
                told = detail.to_string();
                warn!(target = %subject.target(), detail = told, "health check passed, with a warning");
            }
            Outcome::Inconclusive(_) | Outcome::Warn(_) => {}
            _ => told.clear(),
        }
        let health = judge.observe(&outcome);
        let advice = match &outcome {
            Outcome::Advice(advice, _) => Some(*advice),
            Outcome::Pass(_) => None,
            // Nothing new about that.
            _ => last.advice,
        };
        if health != last.health || advice != last.advice || outcome.detail() != last.detail {
            last = Verdict { health, detail: outcome.detail().to_owned(), advice };
            if reports.send(Report { check, verdict: last.clone() }).await.is_err() {
                return;
            }
        }
        schedule.advance(Instant::now(), health != Health::Unknown, judge.in_doubt());
    }
}
