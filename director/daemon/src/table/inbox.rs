//! What the thread is asked to do: the latest desired state, and requests in order.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use fairway_ipvs::{ServiceKey, Statistics};

use super::Desired;
use crate::status::Reply;

/// A request that is answered.
#[derive(Debug)]
pub(super) enum Request {
    /// Counters of a service.
    Statistics { service: ServiceKey, reply: Reply<Statistics> },
    /// Set the counters of services to zero.
    Zero { services: Vec<ServiceKey>, reply: Reply<()> },
    /// End, with or without deleting our services.
    Stop { keep: bool, reply: Reply<()> },
}

/// What has come in since the thread last looked.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// The latest desired state and its number.
    pub(super) desired: Option<(u64, Desired)>,
    /// Requests, oldest first.
    pub(super) requests: VecDeque<Request>,
    /// Nobody is left to ask for anything.
    pub(super) abandoned: bool,
}

impl Work {
    fn is_empty(&self) -> bool {
        self.desired.is_none() && self.requests.is_empty() && !self.abandoned
    }
}

/// Where work is put down and picked up.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct State {
    generation: u64,
    ended: bool,
    work: Work,
}

impl Inbox {
    /// Replaces the desired state; returns its number.
    pub(super) fn set(&self, desired: Desired) -> u64 {
        let mut state = self.lock();
        state.generation += 1;
        state.work.desired = Some((state.generation, desired));
        let generation = state.generation;
        drop(state);
        self.arrived.notify_one();
        generation
    }

    /// Adds a request. After the end its reply channel is dropped, which the asker sees.
    pub(super) fn request(&self, request: Request) {
        let mut state = self.lock();
        if !state.ended {
            state.work.requests.push_back(request);
        }
        drop(state);
        self.arrived.notify_one();
    }

    /// Takes the work there is, waiting for some until `deadline` (for ever without one).
    pub(super) fn wait(&self, deadline: Option<Instant>) -> Work {
        let mut state = self.lock();
        while state.work.is_empty() {
            let Some(deadline) = deadline else {
                state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.arrived.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        std::mem::take(&mut state.work)
    }

    /// Takes no more requests and drops those not answered.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        state.work = Work::default();
    }

    fn abandon(&self) {
        self.lock().work.abandoned = true;
        self.arrived.notify_one();
    }

    // Every change leaves the state whole, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The askers' side: ends the thread with the last of them.
#[derive(Debug)]
pub(super) struct Owner(pub(super) Arc<Inbox>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.abandon();
    }
}
