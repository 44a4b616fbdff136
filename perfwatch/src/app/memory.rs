//! Keeping the resident set small: a monitor must not be what fills the machine.
#![allow(unsafe_code)] // mallopt and malloc_trim have no safe wrapper

use std::time::Duration;

/// Tells glibc's allocator to use few arenas; by default each thread may have one of its own that keeps
/// what it once used.
pub(super) fn keep_small() {
    #[cfg(target_env = "gnu")]
    // SAFETY: called before any other thread exists; unknown parameters are ignored.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
    }
}

/// By then most sources are set up and the live charts filled, which takes many times what running does. On a busy
/// machine it takes longer, so the next releases follow at growing distances.
const FIRST: Duration = Duration::from_secs(10);
/// Long queries and exports leave holes behind that the allocator would keep.
const LONGEST: Duration = Duration::from_secs(600);

/// Returns memory that is not used any more to the system, after the start and then now and again.
pub(super) async fn keep_releasing() {
    let mut pause = FIRST;
    loop {
        tokio::time::sleep(pause).await;
        release_unused();
        pause = (pause * 2).min(LONGEST);
    }
}

fn release_unused() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no preconditions; the allocator locks itself.
    unsafe {
        libc::malloc_trim(0);
    }
}
