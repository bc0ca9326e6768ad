//! What keeps the VRRP thread on time while the host is busy or short of memory: a real-time priority and
//! locked pages. Where the limits do not allow them the director works without, and says so once.

use nix::errno::Errno;
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use thread_priority::{
    Error, RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

/// Above ordinary work, below the kernel's own real-time threads (50 and up).
const PRIORITY: u8 = 20;
/// `CAP_IPC_LOCK` (`linux/capability.h`).
const CAP_IPC_LOCK: u32 = 14;
/// `MCL_ONFAULT` (`linux/mman.h`): a page is locked when it is first used, and until then takes no memory.
const ON_FAULT: i32 = 4;
/// More than the loop's frames take.
const STACK: usize = 64 * 1024;

/// Gives the calling thread a real-time priority and locks the process's memory.
pub(super) fn acquire() {
    if let Err(error) = raise_priority(PRIORITY) {
        tracing::warn!(
            %error,
            "no real-time priority for the VRRP thread: a busy host may delay adverts; grant CAP_SYS_NICE or \
             LimitRTPRIO={PRIORITY}"
        );
    }
    if let Err(error) = lock_memory() {
        tracing::warn!(
            %error,
            "memory is not locked: swapping may delay adverts; grant CAP_IPC_LOCK or LimitMEMLOCK=infinity"
        );
    }
}

/// Gives the calling thread a real-time priority.
pub(crate) fn raise_priority(priority: u8) -> Result<(), Error> {
    let priority = ThreadPriorityValue::try_from(priority).map_err(|_| Error::Priority("out of range"))?;
    set_thread_priority_and_policy(
        thread_native_id(),
        ThreadPriority::Crossplatform(priority),
        ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::RoundRobin),
    )
}

/// Locks pages as they are used: a page that was needed once is there for good. Locking all that is mapped would
/// fill every thread's stack and hold code that nobody runs, three times the memory. Under a finite limit later
/// allocations would fail, so then nothing is locked.
fn lock_memory() -> Result<(), Errno> {
    let (soft, _) = getrlimit(Resource::RLIMIT_MEMLOCK)?;
    if soft != RLIM_INFINITY && !may_lock_any_amount() {
        return Err(Errno::EPERM);
    }
    let on_fault = MlockAllFlags::from_bits_retain(ON_FAULT);
    mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE | on_fault)?;
    touch_stack();
    Ok(())
}

/// Uses the part of the thread's stack that its loop may need, so that it is there from now on.
#[inline(never)]
fn touch_stack() {
    std::hint::black_box([0_u8; STACK]);
}

fn may_lock_any_amount() -> bool {
    std::fs::read_to_string("/proc/thread-self/status")
        .is_ok_and(|status| has_capability(&status, CAP_IPC_LOCK))
}

/// Whether the effective set in a `/proc/PID/status` text has the capability.
fn has_capability(status: &str, capability: u32) -> bool {
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    bits.is_some_and(|bits| bits >> capability & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::{CAP_IPC_LOCK, has_capability};

    #[test]
    fn reads_the_effective_set() {
        let status = "Name:\tx\nCapPrm:\tffffffffffffffff\nCapEff:\t0000000000004000\n";
        assert!(has_capability(status, CAP_IPC_LOCK));
        assert!(!has_capability(status, CAP_IPC_LOCK + 1));
        assert!(!has_capability("Name:\tx\n", CAP_IPC_LOCK));
    }
}
