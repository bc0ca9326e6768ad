//! Other routers that something is wrong with, by their addresses: for the log, and for who asks later.

use std::mem::{Discriminant, discriminant};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::output::Event;
use crate::packet::PacketError;

/// The same about the same router is reported this often at most.
const REPORT_EVERY: Duration = Duration::from_secs(10);
/// More than this many at a time is somebody who makes addresses up.
const MOST: usize = 8;

/// What was last reported about another router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherRouter {
    /// Its address.
    pub source: IpAddr,
    /// What is wrong.
    pub what: String,
    /// How often that had been seen when it was last reported.
    pub count: u64,
    /// When it was last reported.
    pub at: Instant,
}

/// What an event is about, so that one kind, or one router, does not hide another.
type Kind = (IpAddr, Discriminant<Event>, Option<Discriminant<PacketError>>);

#[derive(Debug, Clone)]
struct Entry {
    kind: Kind,
    /// How often it has been seen by now.
    seen: u64,
    last: Instant,
    told: OtherRouter,
}

/// The latest of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Others(Vec<Entry>);

impl Others {
    /// Notes an event. Whether it is to be reported: the first of its kind, and after a while again. Where many
    /// routers misbehave at once, those that came first are followed until they are quiet.
    pub(crate) fn note(&mut self, now: Instant, event: &Event) -> bool {
        let Some(source) = event.source() else { return true };
        let error = match event {
            Event::BadPacket { error, .. } => Some(discriminant(error)),
            _ => None,
        };
        let kind = (source, discriminant(event), error);
        if let Some(entry) = self.0.iter_mut().find(|entry| entry.kind == kind) {
            entry.seen += 1;
            entry.last = now;
            let due = entry.told.at + REPORT_EVERY <= now;
            if due {
                entry.told = OtherRouter { source, what: event.to_string(), count: entry.seen, at: now };
            }
            return due;
        }
        if self.0.len() == MOST {
            let (place, oldest) =
                self.0.iter().enumerate().min_by_key(|(_, entry)| entry.last).expect("there are some");
            if oldest.last + REPORT_EVERY > now {
                return false;
            }
            self.0.remove(place);
        }
        let told = OtherRouter { source, what: event.to_string(), count: 1, at: now };
        self.0.reserve_exact(1);
        self.0.push(Entry { kind, seen: 1, last: now, told });
        true
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &OtherRouter> {
        self.0.iter().map(|entry| &entry.told)
    }
}
