//! The director's memory stays in memory: pages are locked as they are used, so that no advert waits for a disk. And it
//! stays small: what only a start or a reload needed goes back to the kernel.

use std::fs;
use std::ptr::{self, NonNull};
use std::sync::Mutex;
use std::thread;

use caps::{CapSet, Capability};
use nix::errno::Errno;
use nix::libc;
use nix::sys::mman::{MlockAllFlags, MmapAdvise, madvise, mlockall, munlockall};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};

use crate::vrrp::raise_priority;

/// `MCL_ONFAULT` (`linux/mman.h`): a page is locked when it is first used, and until then takes no memory.
const ON_FAULT: i32 = 4;

/// The VRRP thread's, which may wait for a lock of the heap.
const PRIORITY: u8 = 20;

/// Whether pages are locked, and that nobody else changes that.
static LOCKED: Mutex<bool> = Mutex::new(false);

/// Locks pages as they are used: a page that was needed once is there for good. Locking all that is mapped would
/// fill every thread's stack and hold code that nobody runs, three times the memory. Under a finite limit later
/// allocations would fail, so then nothing is locked.
///
/// # Errors
/// It is not allowed.
pub fn lock() -> Result<(), Errno> {
    let (soft, _) = getrlimit(Resource::RLIMIT_MEMLOCK)?;
    let any_amount = caps::has_cap(None, CapSet::Effective, Capability::CAP_IPC_LOCK).unwrap_or_default();
    if soft != RLIM_INFINITY && !any_amount {
        return Err(Errno::EPERM);
    }
    let mut locked = LOCKED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    lock_as_used()?;
    *locked = true;
    Ok(())
}

fn lock_as_used() -> Result<(), Errno> {
    let on_fault = MlockAllFlags::from_bits_retain(ON_FAULT);
    mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE | on_fault)
}

/// [`give_back`] on a thread of its own. Who holds a lock of the heap must not be kept from going on by ordinary work:
/// the VRRP thread may wait for it.
pub fn give_back_beside() {
    let work = || {
        if let Err(error) = raise_priority(PRIORITY) {
            tracing::debug!(%error, "memory is given back at ordinary priority");
        }
        give_back();
    };
    if let Err(error) = thread::Builder::new().name("memory".to_owned()).spawn(work) {
        tracing::debug!(%error, "no memory is given back");
    }
}

/// Gives back what reading a configuration has left: free pages amid the heap, and the mapping of code and constants
/// that were used once. What is used again is mapped again, in microseconds, from the kernel's copy of the file.
fn give_back() {
    let locked = LOCKED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    trim_heap();
    // What is locked is not given back.
    let unlocked = *locked && munlockall().is_ok();
    for (start, length) in fs::read_to_string("/proc/self/smaps").iter().flat_map(|maps| unchanged(maps)) {
        forget(start, length);
    }
    if unlocked && let Err(error) = lock_as_used() {
        tracing::warn!(%error, "memory is no longer locked: swapping may delay adverts");
    }
}

#[expect(unsafe_code, reason = "the C library's own function")]
fn trim_heap() {
    // SAFETY: it takes free pages only, under the allocator's locks.
    unsafe { libc::malloc_trim(0) };
}

#[expect(unsafe_code, reason = "advice about pages that are the same file's when they are used again")]
fn forget(start: usize, length: usize) {
    let Some(start) = NonNull::new(ptr::with_exposed_provenance_mut(start)) else { return };
    // SAFETY: the pages are a private mapping of this program's own file which may not be written and never was, so that
    // they are the same when they are read again.
    let advised = unsafe { madvise(start, length, MmapAdvise::MADV_DONTNEED) };
    if let Err(error) = advised {
        tracing::debug!(%error, "code that was used once stays mapped");
    }
}

/// Where the program's code and constants are, in a text like `/proc/self/smaps`: what may not be written, and was not
/// when it was relocated either, of the file that is mapped first.
fn unchanged(maps: &str) -> Vec<(usize, usize)> {
    let address = |text| usize::from_str_radix(text, 16).ok();
    let mut own = None;
    let mut last = None;
    let mut found = Vec::new();
    for line in maps.lines() {
        let fields: Vec<_> = line.split_whitespace().collect();
        match fields.as_slice() {
            [range, rights, _, _, _, file @ ..] if range.contains('-') => {
                let file = file.first().copied();
                own = own.or(file);
                let ends =
                    range.split_once('-').and_then(|(start, end)| Some((address(start)?, address(end)?)));
                last = ends.filter(|_| file == own && matches!(*rights, "r-xp" | "r--p"));
            }
            ["Anonymous:", "0", "kB"] => {
                found.extend(last.take().map(|(start, end)| (start, end.saturating_sub(start))));
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_never_changed_of_the_program_itself_is_found() {
        let map = |range: &str, rights: &str, file: &str, anonymous: u32| {
            format!(
                "{range} {rights} 00000000 fe:00 12 {file}\nRss: 4 kB\nAnonymous: {anonymous} kB\nVmFlags: rd\n"
            )
        };
        let (own, other) = ("/usr/bin/fairway-director", "/lib/libc.so.6");
        let maps = [
            map("1000-2000", "r--p", own, 0),
            map("2000-5000", "r-xp", own, 0),
            map("5000-6000", "r--p", own, 4), // relocated
            map("6000-7000", "rw-p", own, 0),
            map("8000-9000", "r-xp", other, 0),
            map("9000-a000", "r--p", "", 0),
            map("a000-b000", "r-xp", "[vdso]", 0),
        ]
        .concat();
        assert_eq!(unchanged(&maps), [(0x1000, 0x1000), (0x2000, 0x3000)]);
        assert_eq!(unchanged(""), []);
    }

    #[test]
    fn code_and_constants_are_there_when_they_are_used_again() {
        let resident = || -> usize {
            let maps = fs::read_to_string("/proc/self/smaps").unwrap();
            let own = maps.split_whitespace().nth(5).unwrap();
            let code = maps.split("VmFlags").find(|map| map.contains("r-xp") && map.contains(own)).unwrap();
            let rss = code.lines().find_map(|line| line.strip_prefix("Rss:")).unwrap();
            rss.trim().trim_end_matches(" kB").parse().unwrap()
        };
        let text = (0..1000).map(|number| number.to_string()).collect::<Vec<_>>().join(" ");
        let before = resident();
        give_back();
        let after = resident();
        assert!(after < before, "{after} KiB of {before} KiB");
        let sum: usize = text.split(' ').map(|word| word.parse::<usize>().unwrap()).sum();
        assert_eq!(sum, 499_500);
    }
}
