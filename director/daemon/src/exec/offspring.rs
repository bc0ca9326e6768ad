//! Ends everything that has come of this process, which adopts what loses its parent.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// Between two looks at what is left.
const PAUSE: Duration = Duration::from_millis(2);

/// Kills all descendants and collects them, for no longer than `patience`.
///
/// They are all stopped before any is killed: a process that is killed makes room for another one below the limit of
/// processes, which a script that forks without end would fill at once.
pub(super) fn end(patience: Duration) {
    let deadline = Instant::now() + patience;
    while collect() && Instant::now() < deadline {
        let mut stopped = BTreeSet::new();
        loop {
            let fresh: Vec<_> = descendants().into_iter().filter(|pid| !stopped.contains(pid)).collect();
            if fresh.is_empty() || Instant::now() >= deadline {
                break;
            }
            for pid in fresh {
                // Gone meanwhile, at worst.
                let _gone = kill(pid, Signal::SIGSTOP);
                stopped.insert(pid);
            }
        }
        for pid in stopped {
            let _gone = kill(pid, Signal::SIGKILL);
        }
        thread::sleep(PAUSE);
    }
}

/// Collects children that have ended; returns whether others are left.
fn collect() -> bool {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => return true,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
}

/// All descendants of this process.
fn descendants() -> Vec<Pid> {
    let mut children: BTreeMap<Pid, Vec<Pid>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok()).map(Pid::from_raw);
        let Some(pid) = pid else { continue };
        let parent = fs::read_to_string(entry.path().join("stat")).ok().as_deref().and_then(parent);
        if let Some(parent) = parent {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = children.remove(&Pid::this()).unwrap_or_default();
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        let more = children.remove(pid).unwrap_or_default();
        found.extend(more);
        next += 1;
    }
    found
}

/// The parent, of `/proc/PID/stat`: the second word after the name, which may have any characters in it.
fn parent(stat: &str) -> Option<Pid> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok().map(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_does_not_hide_its_parent() {
        assert_eq!(parent("12 (sh) S 7 12 12 0 -1"), Some(Pid::from_raw(7)));
        assert_eq!(parent("12 (a) Z 1 (b) c) S 7 12 12 0 -1"), Some(Pid::from_raw(7)));
        assert_eq!(parent("12 (sh"), None);
        assert_eq!(parent(""), None);
    }
}
