//! File descriptors that were opened for this process: kept by the service manager (`sd_listen_fds(3)`, the
//! file-descriptor store), or received.

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// A descriptor and the name that it was passed under.
pub type Named = (String, OwnedFd);

/// The descriptors, once: they have one owner. To be called before anything else is opened.
pub fn inherited() -> Vec<Named> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Vec::new();
    }
    match sd_notify::listen_fds_with_names() {
        Ok(descriptors) => descriptors.map(|(number, name)| (name, own(number))).collect(),
        Err(error) => {
            tracing::warn!(%error, "cannot take the file descriptors that the service manager kept; starting without");
            Vec::new()
        }
    }
}

/// Descriptors that the kernel has just made for this process, out of a message.
pub fn received(numbers: Vec<i32>) -> impl Iterator<Item = OwnedFd> {
    numbers.into_iter().map(own)
}

/// `CLOCK_MONOTONIC` in milliseconds: how a document that is passed on says when it was written.
///
/// # Errors
/// There is no such clock.
pub fn uptime() -> io::Result<u64> {
    let uptime = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC)?);
    u64::try_from(uptime.as_millis()).map_err(io::Error::other)
}

#[expect(unsafe_code, reason = "numbers are how descriptors are passed")]
fn own(number: i32) -> OwnedFd {
    // SAFETY: nobody else owns it. `inherited`: the service manager opened it for this process (LISTEN_PID), it is open
    // (setting close-on-exec has succeeded), and each is handed out once. `received`: the kernel opened it.
    unsafe { OwnedFd::from_raw_fd(number) }
}
