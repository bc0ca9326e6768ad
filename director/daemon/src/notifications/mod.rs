//! Notifications: what happens is told to programs, by mail and over HTTP.
//!
//! | file | what |
//! |---|---|
//! | `event` | events are log records with a field `event`; a layer of the log collects them |
//! | `queue` | what waits for one receiver: bounded, and many alike are one summary; pure |
//! | `message` | what receivers read: text, JSON, environment variables |
//! | `deliver` | hook, mail, webhook |
//!
//! Nothing in the director waits for any of this. Each receiver has a task and a queue of its own, so that one that
//! cannot be reached holds up no other.

mod deliver;
mod event;
mod message;
mod queue;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use fairway_config::{Config, Notify};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use self::deliver::{Delivery, Failure};
use self::message::Origin;
use self::queue::Queue;

pub use self::deliver::Error as DeliveryError;
pub use self::event::{Event, Events};

/// The pauses between the attempts of a message grow from the first to the second.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// What became of the messages of each receiver, by name.
pub type Status = BTreeMap<String, Deliveries>;

/// What became of the messages of one receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deliveries {
    /// `hook`, `mail` or `webhook`.
    pub way: &'static str,
    /// Messages that were delivered.
    pub delivered: u64,
    /// Messages that were given up, and hooks that failed.
    pub failed: u64,
    /// Events that were not told because too many waited.
    pub dropped: u64,
    /// Events that wait; counted when there is one, and after each delivery.
    pub waiting: u64,
    /// When the last message was delivered.
    pub last: Option<SystemTime>,
    /// Why the last attempt failed; empty if it did not.
    pub error: String,
}

/// Why the notifications of a configuration cannot be sent.
#[derive(Debug, thiserror::Error)]
#[error("notify.{name}: {source}")]
pub struct Error {
    name: String,
    source: Box<DeliveryError>,
}

/// Finds what keeps notifications from being sent, beyond what `Config::validate` knows.
///
/// # Errors
/// The first of them.
pub fn verify(config: &Config) -> Result<(), Error> {
    for (name, notify) in &config.notify {
        Delivery::new(notify).map_err(|source| Error { name: name.clone(), source: source.into() })?;
    }
    Ok(())
}

/// A request to tell at once what there is to be told, because the director is stopping.
pub type Flush = oneshot::Sender<()>;

/// Tells receivers, as the configuration that `wanted` has says, until nobody can want any more.
pub async fn run(
    mut events: Events,
    mut wanted: watch::Receiver<Arc<Config>>,
    mut flushes: mpsc::UnboundedReceiver<Flush>,
    status: watch::Sender<Status>,
) {
    let status = Arc::new(status);
    let mut receivers: BTreeMap<String, Receiver> = BTreeMap::new();
    configure(&mut receivers, &wanted.borrow_and_update(), &status);
    loop {
        tokio::select! {
            // What is logged before a request is told before it.
            biased;
            event = events.next() => {
                // What is logged after a reload is told to those whom the reload has brought.
                if wanted.has_changed().unwrap_or(false) {
                    configure(&mut receivers, &wanted.borrow_and_update(), &status);
                }
                tell(&receivers, &event);
            }
            changed = wanted.changed() => {
                if changed.is_err() {
                    return;
                }
                configure(&mut receivers, &wanted.borrow_and_update(), &status);
            }
            Some(done) = flushes.recv() => {
                while let Some(event) = events.try_next() {
                    tell(&receivers, &event);
                }
                receivers.values().for_each(Receiver::hurry);
                let idle = |status: &Status| status.values().all(|deliveries| deliveries.waiting == 0);
                let mut status = status.subscribe();
                let _ended = status.wait_for(idle).await;
                let _gone = done.send(());
            }
        }
    }
}

fn tell(receivers: &BTreeMap<String, Receiver>, event: &Event) {
    for receiver in receivers.values().filter(|receiver| receiver.notify.wants(event.kind)) {
        receiver.push(event.clone());
    }
}

/// Starts and ends receivers; those that stay as they are keep what waits.
fn configure(
    receivers: &mut BTreeMap<String, Receiver>,
    config: &Config,
    status: &Arc<watch::Sender<Status>>,
) {
    let origin = Origin { cluster: config.cluster.clone(), host: config.host.clone() };
    let mut before = std::mem::take(receivers);
    for (name, notify) in &config.notify {
        let kept = before
            .remove(name)
            .filter(|receiver| receiver.notify == *notify && receiver.shared.origin == origin);
        let receiver = kept.unwrap_or_else(|| Receiver::start(name, notify, &origin, status));
        receivers.insert(name.clone(), receiver);
    }
    drop(before);
    status.send_if_modified(|status| {
        let count = status.len();
        status.retain(|name, _| receivers.contains_key(name));
        status.len() != count
    });
}

/// One that is told, and the task that does it, which ends with this.
struct Receiver {
    notify: Notify,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    name: String,
    origin: Origin,
    state: Mutex<State>,
    /// Something has come, or there is no time left.
    changed: tokio::sync::Notify,
    status: Arc<watch::Sender<Status>>,
}

struct State {
    queue: Queue,
    /// There is no later.
    hurry: bool,
}

impl Receiver {
    fn start(name: &str, notify: &Notify, origin: &Origin, status: &Arc<watch::Sender<Status>>) -> Self {
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            origin: origin.clone(),
            state: Mutex::new(State { queue: Queue::new(notify), hurry: false }),
            changed: tokio::sync::Notify::new(),
            status: Arc::clone(status),
        });
        let way = notify.way().map_or("", |way| way.name());
        let fresh = Deliveries {
            way,
            delivered: 0,
            failed: 0,
            dropped: 0,
            waiting: 0,
            last: None,
            error: String::new(),
        };
        status.send_modify(|status| drop(status.insert(name.to_owned(), fresh)));
        let task = tokio::spawn(work(Arc::clone(&shared), notify.clone()));
        Self { notify: notify.clone(), shared, task }
    }

    fn push(&self, event: Event) {
        let first = {
            let mut state = self.shared.lock();
            let before = state.queue.waiting();
            state.queue.push(event, Instant::now());
            before == 0
        };
        if first {
            self.shared.note(|deliveries| deliveries.waiting = deliveries.waiting.max(1));
        }
        self.shared.changed.notify_one();
    }

    fn hurry(&self) {
        self.shared.lock().hurry = true;
        self.shared.changed.notify_one();
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    // Every change leaves it whole, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, change: impl FnOnce(&mut Deliveries)) {
        self.status.send_if_modified(|status| {
            let Some(deliveries) = status.get_mut(&self.name) else { return false };
            let before = deliveries.clone();
            change(deliveries);
            *deliveries != before
        });
    }

    /// What is to be told next.
    async fn next(&self) -> Vec<Event> {
        loop {
            let due = {
                let mut state = self.lock();
                let all = state.hurry;
                let events = state.queue.take(Instant::now(), all);
                if !events.is_empty() {
                    return events;
                }
                state.queue.due()
            };
            tokio::select! {
                () = self.changed.notified() => {}
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now).into()), if due.is_some() => {}
            }
        }
    }
}

async fn work(shared: Arc<Shared>, notify: Notify) {
    let delivery = Delivery::new(&notify);
    loop {
        let events = shared.next().await;
        let outcome = match &delivery {
            Ok(delivery) => attempts(&shared, &notify, delivery, &events).await,
            Err(error) => Err(error.to_string()),
        };
        let (waiting, dropped) = {
            let mut state = shared.lock();
            (state.queue.waiting(), state.queue.take_dropped())
        };
        if let Err(error) = &outcome {
            let (receiver, kind) = (&shared.name, events.first().map_or("", |event| event.kind.name()));
            tracing::error!(receiver, error, "{receiver} could not be told of {} ({kind})", count(&events));
        }
        shared.note(|deliveries| {
            deliveries.waiting = waiting;
            deliveries.dropped += dropped;
            match outcome {
                Ok(()) => {
                    deliveries.delivered += 1;
                    deliveries.last = Some(SystemTime::now());
                    deliveries.error.clear();
                }
                Err(error) => {
                    deliveries.failed += 1;
                    deliveries.error = error;
                }
            }
        });
    }
}

fn count(events: &[Event]) -> String {
    match events.iter().map(|event| event.count).sum() {
        1 => "an event".to_owned(),
        number => format!("{number} events"),
    }
}

/// Tries until it succeeds, cannot succeed, or has been tried often enough.
async fn attempts(
    shared: &Shared,
    notify: &Notify,
    delivery: &Delivery,
    events: &[Event],
) -> Result<(), String> {
    let limit = notify.timeout();
    let mut pause = RETRY.0;
    for attempt in 1.. {
        let outcome = tokio::time::timeout(limit.get(), delivery.deliver(&shared.origin, events)).await;
        let Failure { why, again } = match outcome {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(failure)) => failure,
            Err(_) => Failure { why: format!("not done within {limit}"), again: true },
        };
        if !again || attempt >= notify.attempts() || shared.lock().hurry {
            return Err(why);
        }
        tracing::warn!(
            receiver = shared.name,
            error = why,
            attempt,
            "{} cannot be told now; trying again: {why}",
            shared.name
        );
        shared.note(|deliveries| deliveries.error = why);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shared.hurried() => {}
        }
        pause = (pause * 2).min(RETRY.1);
    }
    Ok(())
}

impl Shared {
    /// Returns when there is no time left.
    async fn hurried(&self) {
        while !self.lock().hurry {
            self.changed.notified().await;
        }
    }
}
