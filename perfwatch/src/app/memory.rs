//! Keeping the resident set small: a monitor must not be what fills the machine.
#![allow(unsafe_code)] // mallopt and malloc_trim have no safe wrapper

/// Tells glibc's allocator to use few arenas; by default each thread may have one of its own that keeps
/// what it once used.
pub(super) fn keep_small() {
    #[cfg(target_env = "gnu")]
    // SAFETY: called before any other thread exists; unknown parameters are ignored.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
    }
}

/// Returns what starting took, such as the kernel's type information, to the system.
pub(super) fn release_unused() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no preconditions; the allocator locks itself.
    unsafe {
        libc::malloc_trim(0);
    }
}
