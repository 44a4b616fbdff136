//! The writer's own statistics.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Counts since startup, and what is waiting now.
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
    /// Snapshots written to the store.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Snapshots lost permanently.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Snapshots refused because they had the same time as the newest one.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Snapshots not yet in the store, on disk or in memory.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Their size on disk.
    pub fn log_bytes(&self) -> u64 {
        self.log_bytes.load(Ordering::Relaxed)
    }

    /// True while older data on disk, of an earlier run or an outage, must be stored first.
    pub fn catching_up(&self) -> bool {
        self.catching_up.load(Ordering::Relaxed)
    }

    /// True while the log can't be written to disk.
    pub fn log_failing(&self) -> bool {
        self.log_failing.load(Ordering::Relaxed)
    }

    /// True while the store rejects writes.
    pub fn failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }
}
