//! What keeps the VRRP thread on time while the host is busy or short of memory: a real-time priority and
//! locked pages. Where the limits do not allow them the director works without, and says so once.

use thread_priority::{
    Error, RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

use crate::memory;

/// Above ordinary work, below the kernel's own real-time threads (50 and up).
const PRIORITY: u8 = 20;
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
    touch_stack();
    if let Err(error) = memory::lock() {
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

/// Uses the part of the thread's stack that its loop may need, so that it is there from now on.
#[inline(never)]
fn touch_stack() {
    std::hint::black_box([0_u8; STACK]);
}
