//! What the writer tells of itself.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Counts since the start, and what waits now.
#[derive(Debug, Default)]
pub struct Stats {
    pub(super) written: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) waiting: AtomicU64,
    pub(super) log_bytes: AtomicU64,
    pub(super) failing: AtomicBool,
    pub(super) log_failing: AtomicBool,
    pub(super) catching_up: AtomicBool,
}

impl Stats {
    /// Snapshots that are in the store.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Snapshots lost for good.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Snapshots that had the time of the newest one.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Snapshots not yet in the store, on disk and in memory.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// What they take on disk.
    pub fn log_bytes(&self) -> u64 {
        self.log_bytes.load(Ordering::Relaxed)
    }

    /// True while there is something on disk that the store shall have first: of an earlier run, or of an outage.
    pub fn catching_up(&self) -> bool {
        self.catching_up.load(Ordering::Relaxed)
    }

    /// True while the disk does not take what the log notes.
    pub fn log_failing(&self) -> bool {
        self.log_failing.load(Ordering::Relaxed)
    }

    /// True while the store does not take what it is given.
    pub fn failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }
}
