//! File descriptors that the service manager kept for this process (`sd_listen_fds(3)`, the file-descriptor store).

use std::os::fd::{FromRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// A descriptor and the name that it was stored under.
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

#[expect(unsafe_code, reason = "a number in an environment variable is how descriptors are passed")]
fn own(number: i32) -> OwnedFd {
    // SAFETY: the service manager opened it for this process (LISTEN_PID) and told nobody else, it is open (setting
    // close-on-exec has succeeded), and `inherited` hands each out once.
    unsafe { OwnedFd::from_raw_fd(number) }
}
