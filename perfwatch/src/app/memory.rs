//! Keeps the resident set small: a monitor must not use up the machine's memory.
#![allow(unsafe_code)] // mallopt and malloc_trim have no safe wrapper

use std::time::Duration;

/// Makes glibc's allocator keep little freed memory: few arenas, where by default each thread may have one, and fixed
/// thresholds, where by default freeing one large buffer raises them permanently to twice its size. The top of an arena
/// is released only by these thresholds, not by `malloc_trim`.
pub(super) fn keep_small() {
    #[cfg(target_env = "gnu")]
    for (parameter, value) in
        [(libc::M_ARENA_MAX, 2), (libc::M_MMAP_THRESHOLD, 256 << 10), (libc::M_TRIM_THRESHOLD, 512 << 10)]
    {
        // SAFETY: called before any other thread exists; unknown parameters are ignored.
        unsafe { libc::mallopt(parameter, value) };
    }
}

/// By then the sources are set up, which needs many times the memory of normal operation. On a busy machine that takes
/// longer, so further releases follow at growing intervals.
const FIRST: Duration = Duration::from_secs(10);
/// Long queries and exports leave holes that the allocator would keep.
const MAX_PAUSE: Duration = Duration::from_secs(600);

/// Returns freed memory to the system, soon after startup and then occasionally.
pub(super) async fn keep_releasing() {
    let mut pause = FIRST;
    loop {
        tokio::time::sleep(pause).await;
        release();
        pause = (pause * 6).min(MAX_PAUSE);
    }
}

/// Returns freed memory to the system, in less than a millisecond.
pub(super) fn release() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no preconditions; the allocator locks itself.
    unsafe {
        libc::malloc_trim(0);
    }
}
