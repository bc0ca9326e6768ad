//! What waits to be told to one receiver: pure, bounded, and calm. Of each kind the first few events are told one by
//! one; of what comes on top only the number and the last are kept, so that ten thousand servers that fail at once
//! are one summary.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use fairway_config::{EventKind, Notify};

use super::event::Event;

/// Events of one kind that are told one by one within a [`WINDOW`].
pub const BURST: u64 = 20;
/// From the first of them to the summary of the others.
pub const WINDOW: Duration = Duration::from_secs(10);
/// Events that may wait; a receiver that cannot be reached must not cost memory for ever.
const MOST: usize = 1000;

/// The queue of one receiver.
#[derive(Debug)]
pub struct Queue {
    collect: Duration,
    pause: Duration,
    /// Whether it is told one thing at a time.
    single: bool,
    pending: VecDeque<Event>,
    /// When the oldest of them came.
    first: Option<Instant>,
    windows: BTreeMap<EventKind, Window>,
    /// Nothing is told before this.
    not_before: Option<Instant>,
    dropped: u64,
}

#[derive(Debug)]
struct Window {
    since: Instant,
    told: u64,
    /// What is to be summarised.
    rest: Option<Event>,
}

impl Queue {
    /// Of a receiver that is told as `notify` says.
    pub fn new(notify: &Notify) -> Self {
        Self {
            collect: notify.collect().get(),
            pause: notify.pause().get(),
            single: notify.hook.is_some(),
            pending: VecDeque::new(),
            first: None,
            windows: BTreeMap::new(),
            not_before: None,
            dropped: 0,
        }
    }

    /// Something has happened.
    pub fn push(&mut self, event: Event, now: Instant) {
        let fresh = || Window { since: now, told: 0, rest: None };
        let window = self.windows.entry(event.kind).or_insert_with(fresh);
        if window.rest.is_none() && now.saturating_duration_since(window.since) >= WINDOW {
            *window = fresh();
        }
        if window.told >= BURST {
            let before = window.rest.as_ref().map_or(0, |rest| rest.count);
            window.rest = Some(Event { count: before + event.count, ..event });
            return;
        }
        window.told += 1;
        if self.pending.len() >= MOST {
            self.dropped += 1;
            return;
        }
        self.first.get_or_insert(now);
        self.pending.push_back(event);
    }

    /// When something is to be told, if nothing happens until then.
    pub fn due(&self) -> Option<Instant> {
        let pending = self.first.map(|first| first + self.collect);
        let rests = self.windows.values().filter(|window| window.rest.is_some());
        let rest = rests.map(|window| window.since + WINDOW).min();
        let earliest = [pending, rest].into_iter().flatten().min()?;
        Some(earliest.max(self.not_before.unwrap_or(earliest)))
    }

    /// What is to be told now; with `all`, whatever there is.
    pub fn take(&mut self, now: Instant, all: bool) -> Vec<Event> {
        if !all && self.due().is_none_or(|due| due > now) {
            return Vec::new();
        }
        self.not_before = Some(now + self.pause);
        if self.single
            && let Some(event) = self.pending.pop_front()
        {
            if self.pending.is_empty() {
                self.first = None;
            }
            return vec![event];
        }
        let over = |window: &Window| now.saturating_duration_since(window.since) >= WINDOW;
        let single = self.single;
        // A message that goes out anyway has all of it.
        let rests = self.windows.values_mut().filter(|window| all || !single || over(window));
        let rests: Vec<_> = rests
            .filter_map(|window| {
                let rest = window.rest.take();
                // What still comes is summarised again, a window later.
                window.since = if rest.is_some() { now } else { window.since };
                rest
            })
            .take(if single { 1 } else { usize::MAX })
            .collect();
        self.first = None;
        let mut events: Vec<_> = self.pending.drain(..).collect();
        events.extend(rests);
        events
    }

    /// Events that wait.
    pub fn waiting(&self) -> u64 {
        let rests = self.windows.values().filter_map(|window| window.rest.as_ref());
        self.pending.iter().chain(rests).map(|event| event.count).sum()
    }

    /// Events that were dropped, since this was last asked.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use fairway_config::{Hook, Mail};

    use super::*;

    fn event(kind: EventKind, number: u64) -> Event {
        Event { at: SystemTime::UNIX_EPOCH, kind, message: number.to_string(), fields: Vec::new(), count: 1 }
    }

    fn hook() -> Notify {
        Notify { hook: Some(Hook { command: vec!["/bin/true".to_owned()] }), ..Notify::default() }
    }

    fn mail() -> Notify {
        let mail: Mail =
            serde_json::from_str(r#"{"from": "a@example.org", "to": ["b@example.org"]}"#).unwrap();
        Notify { mail: Some(mail), ..Notify::default() }
    }

    fn take_all(queue: &mut Queue, now: Instant) -> Vec<(String, u64)> {
        let mut taken = Vec::new();
        while queue.due().is_some_and(|due| due <= now) {
            taken.extend(queue.take(now, false).into_iter().map(|event| (event.message, event.count)));
        }
        taken
    }

    #[test]
    fn a_hook_gets_one_event_after_the_other() {
        let (mut queue, now) = (Queue::new(&hook()), Instant::now());
        for number in 0..3 {
            queue.push(event(EventKind::GroupMaster, number), now);
        }
        let messages: Vec<_> = (0..3).map(|_| queue.take(now, false)[0].message.clone()).collect();
        assert_eq!(messages, ["0", "1", "2"]);
        assert_eq!(queue.due(), None);
    }

    #[test]
    fn ten_thousand_failures_are_a_few_hooks_and_one_summary_and_hide_nothing_else() {
        let (mut queue, now) = (Queue::new(&hook()), Instant::now());
        for number in 0..10_000 {
            queue.push(event(EventKind::ServerDown, number), now);
        }
        queue.push(event(EventKind::GroupMaster, 0), now);
        let at_once = take_all(&mut queue, now);
        assert_eq!(at_once.len() as u64, BURST + 1);
        assert_eq!(at_once.last().unwrap(), &("0".to_owned(), 1), "the group's event comes after a few");
        assert_eq!(queue.waiting(), 10_000 - BURST);
        assert_eq!(queue.due(), Some(now + WINDOW));
        assert_eq!(take_all(&mut queue, now + WINDOW), [("9999".to_owned(), 10_000 - BURST)]);
        assert_eq!(queue.due(), None);
        // What still comes is summarised, too, until there is quiet.
        queue.push(event(EventKind::ServerDown, 1), now + WINDOW);
        assert_eq!(queue.due(), Some(now + 2 * WINDOW));
        assert_eq!(take_all(&mut queue, now + 2 * WINDOW).len(), 1);
        queue.push(event(EventKind::ServerDown, 2), now + 4 * WINDOW);
        assert_eq!(take_all(&mut queue, now + 4 * WINDOW), [("2".to_owned(), 1)]);
    }

    #[test]
    fn mail_collects_and_pauses() {
        let (mut queue, now) = (Queue::new(&mail()), Instant::now());
        for number in 0..10_000 {
            queue.push(event(EventKind::ServerDown, number), now);
        }
        queue.push(event(EventKind::QuorumLost, 0), now + Duration::from_secs(1));
        let due = now + Duration::from_secs(5);
        assert_eq!(queue.due(), Some(due));
        let message = queue.take(due, false);
        assert_eq!(message.iter().map(|event| event.count).sum::<u64>(), 10_001);
        assert_eq!(message.len() as u64, BURST + 2, "some, the quorum, and a summary");
        queue.push(event(EventKind::QuorumReached, 0), due);
        assert_eq!(queue.due(), Some(due + Duration::from_secs(60)), "not so soon again");
        assert_eq!(queue.take(due, false), []);
        assert_eq!(queue.take(due, true).len(), 1, "unless there is no later");
    }

    #[test]
    fn a_receiver_that_is_away_costs_no_more_memory_than_this() {
        let (mut queue, start) = (Queue::new(&mail()), Instant::now());
        for number in 0..10_000 {
            for kind in EventKind::ALL {
                queue.push(event(kind, number.into()), start + WINDOW * number);
            }
        }
        assert_eq!(queue.pending.len(), MOST);
        assert_eq!(queue.waiting() + queue.take_dropped(), 10_000 * EventKind::ALL.len() as u64);
    }
}
