//! What systemd is told (`sd_notify(3)`). Without systemd all of this does nothing.
//!
//! A datagram to a service manager that does not read blocks its sender. So a thread of its own sends, and nobody
//! else waits: what has become old news meanwhile is not sent any more.

use std::io;
use std::os::fd::AsFd as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use sd_notify::NotifyState;

use crate::descriptors::Named;
use crate::vrrp::Heartbeat;

/// The way to systemd. Nothing here waits for it.
#[derive(Debug, Clone, Default)]
pub struct Notify(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    pending: Mutex<Pending>,
    arrived: Condvar,
}

/// What is to be sent.
#[derive(Debug, Default)]
struct Pending {
    /// In this order; reloading and ready belong together.
    messages: Vec<Message>,
    /// Only the latest counts.
    status: Option<String>,
    alive: bool,
}

#[derive(Debug)]
enum Message {
    Ready,
    /// With `CLOCK_MONOTONIC` in microseconds.
    Reloading(i128),
    /// With the time it may take, in microseconds.
    Stopping(u32),
    /// A name in the file-descriptor store.
    Forget(String),
}

impl Notify {
    /// Starts the thread that sends.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn spawn() -> io::Result<Self> {
        Self::spawn_with(|states| {
            if let Err(error) = sd_notify::notify(states) {
                tracing::debug!(%error, "systemd does not take the notification");
            }
        })
    }

    fn spawn_with(mut send: impl FnMut(&[NotifyState<'_>]) + Send + 'static) -> io::Result<Self> {
        let notify = Self::default();
        let shared = Arc::clone(&notify.0);
        std::thread::Builder::new().name("notify".to_owned()).spawn(move || {
            loop {
                shared.take().send(&mut send);
            }
        })?;
        Ok(notify)
    }

    /// The service is up.
    pub fn ready(&self) {
        self.0.add(|pending| pending.messages.push(Message::Ready));
    }

    /// One line for `systemctl status`.
    pub fn status(&self, text: &str) {
        self.0.add(|pending| pending.status = Some(text.to_owned()));
    }

    /// A reload has begun; [`Notify::ready`] ends it.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(NotifyState::MonotonicUsec(now)) => {
                self.0.add(|pending| pending.messages.push(Message::Reloading(now)));
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "no monotonic clock"),
        }
    }

    /// The service is stopping and may take up to `limit`.
    pub fn stopping(&self, limit: Duration) {
        let limit = u32::try_from(limit.as_micros()).unwrap_or(u32::MAX);
        self.0.add(|pending| pending.messages.push(Message::Stopping(limit)));
    }

    /// What was stored under this name is not wanted any more.
    pub fn forget(&self, name: String) {
        self.0.add(|pending| pending.messages.push(Message::Forget(name)));
    }

    /// Has the service manager keep the descriptors for the next process, and waits until it has them. Returns how
    /// many it keeps: none, without a service manager.
    ///
    /// # Errors
    /// When it does not take them within `limit`.
    pub async fn keep(&self, descriptors: Vec<Named>, limit: Duration) -> anyhow::Result<usize> {
        if std::env::var_os("NOTIFY_SOCKET").is_none() {
            return Ok(0);
        }
        let count = descriptors.len();
        let send = tokio::task::spawn_blocking(move || {
            // Without FDPOLL=0 systemd drops a socket that reports an error, as one does when its link goes down.
            let states =
                |name| [NotifyState::FdStore, NotifyState::FdName(name), NotifyState::Custom("FDPOLL=0")];
            descriptors.iter().try_for_each(|(name, descriptor)| {
                sd_notify::notify_with_fds(&states(name), &[descriptor.as_fd()])
            })
        });
        let sent = tokio::time::timeout(limit, send).await.context("the service manager does not answer")?;
        sent?.context("the service manager does not take the VRRP state and sockets")?;
        Ok(count)
    }

    /// Feeds the watchdog while the VRRP loop shows signs of life, if systemd asked for it. A stuck loop gets the
    /// process killed and restarted; the next one adopts what is in the kernel. A thread does this and nothing else:
    /// a disk that does not answer holds up the rest of the director, and is no reason to kill it.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn watchdog(&self, heartbeat: Heartbeat) -> io::Result<()> {
        let Some(limit) = sd_notify::watchdog_enabled() else { return Ok(()) };
        let notify = self.clone();
        let feed = move || notify.feed(limit, &heartbeat);
        std::thread::Builder::new().name("watchdog".to_owned()).spawn(feed).map(drop)
    }

    fn feed(&self, limit: Duration, heartbeat: &Heartbeat) {
        let mut stuck = false;
        loop {
            let age = heartbeat.age();
            if age < limit / 2 {
                stuck = false;
                self.0.add(|pending| pending.alive = true);
            } else if !stuck {
                stuck = true;
                tracing::error!(
                    silent_ms = age.as_millis(),
                    "the VRRP loop is stuck: not feeding the watchdog"
                );
            }
            std::thread::sleep(limit / 4);
        }
    }
}

impl Shared {
    fn add(&self, change: impl FnOnce(&mut Pending)) {
        change(&mut self.lock());
        self.arrived.notify_one();
    }

    /// Waits until there is something to send.
    fn take(&self) -> Pending {
        let mut pending = self.lock();
        while pending.messages.is_empty() && pending.status.is_none() && !pending.alive {
            pending = self.arrived.wait(pending).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::take(&mut pending)
    }

    // Every change leaves it whole, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    fn send(self, send: &mut impl FnMut(&[NotifyState<'_>])) {
        if self.alive {
            send(&[NotifyState::Watchdog]);
        }
        for message in self.messages {
            match message {
                Message::Ready => send(&[NotifyState::Ready]),
                // systemd matches the two, so they travel in one message.
                Message::Reloading(now) => send(&[NotifyState::Reloading, NotifyState::MonotonicUsec(now)]),
                Message::Forget(name) => send(&[NotifyState::FdStoreRemove, NotifyState::FdName(&name)]),
                Message::Stopping(limit) => {
                    send(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(limit)]);
                }
            }
        }
        if let Some(text) = self.status {
            send(&[NotifyState::Status(&text)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_manager_that_does_not_read_holds_nobody_up_and_gets_the_latest() {
        let (sent, seen) = mpsc::channel();
        // Each message is taken only once somebody reads it, as from a socket whose queue is full.
        let (read, may_go) = mpsc::channel::<()>();
        let notify = Notify::spawn_with(move |states| {
            may_go.recv().unwrap();
            sent.send(format!("{states:?}")).unwrap();
        })
        .unwrap();
        notify.status("first");
        // The thread has taken the first line once a second one does not replace it any more.
        while notify.0.lock().status.is_some() {
            std::thread::yield_now();
        }
        notify.reloading();
        for turn in 0..1000 {
            notify.status(&format!("turn {turn}"));
        }
        notify.ready();
        for _ in 0..4 {
            read.send(()).unwrap();
        }
        let seen: Vec<_> = (0..4).map(|_| seen.recv().unwrap()).collect();
        assert!(seen[0].contains("first"), "{seen:?}");
        assert!(seen[1].contains("Reloading") && seen[1].contains("MonotonicUsec"), "{seen:?}");
        assert!(seen[2].contains("Ready"), "{seen:?}");
        assert!(seen[3].contains("turn 999"), "{seen:?}");
    }
}
