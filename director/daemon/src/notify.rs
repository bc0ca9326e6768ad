//! What systemd is told (`sd_notify(3)`). Without systemd all of this does nothing.

use std::time::Duration;

use sd_notify::NotifyState;

use crate::vrrp::Heartbeat;

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd does not take the notification");
    }
}

/// The service is up.
pub fn ready() {
    send(&[NotifyState::Ready]);
}

/// One line for `systemctl status`.
pub fn status(text: &str) {
    send(&[NotifyState::Status(text)]);
}

/// A reload has begun; [`ready`] ends it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        // systemd matches the two, so they travel in one message.
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "no monotonic clock"),
    }
}

/// The service is stopping and may take up to `limit`.
pub fn stopping(limit: Duration) {
    let limit = u32::try_from(limit.as_micros()).unwrap_or(u32::MAX);
    send(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(limit)]);
}

/// Feeds the watchdog while the VRRP loop shows signs of life, if systemd asked for it. A stuck loop gets the
/// process killed and restarted; the next one adopts what is in the kernel.
pub async fn watchdog(heartbeat: Heartbeat) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let mut turns = tokio::time::interval(limit / 4);
    let mut stuck = false;
    loop {
        turns.tick().await;
        let age = heartbeat.age();
        if age < limit / 2 {
            stuck = false;
            send(&[NotifyState::Watchdog]);
        } else if !stuck {
            stuck = true;
            tracing::error!(silent_ms = age.as_millis(), "the VRRP loop is stuck: not feeding the watchdog");
        }
    }
}
