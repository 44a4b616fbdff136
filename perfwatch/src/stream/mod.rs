//! Live fan-out: the newest snapshot for everyone who watches, and the last ones for those who just came.
//!
//! Publishing never waits. Each subscriber holds one place for the newest message, so a slow one skips
//! what it missed and is told how many; it delays nobody and costs no queue.

mod ring;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;

use crate::snapshot::Snapshot;
use ring::Ring;

/// Snapshots kept for a backfill at most.
pub const BACKFILL_MESSAGES: usize = 720;
/// Bytes kept for a backfill, whatever their number: snapshots grow with CPUs, disks and processes, and all that the
/// server idles in is 40 MB. A quarter of an hour at the default interval on a machine that is not large.
pub const BACKFILL_BYTES: usize = 5 << 20;

/// Hands every published snapshot to all subscribers. Clones share one hub.
#[derive(Debug, Clone)]
pub struct Hub(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    newest: watch::Sender<Option<Published>>,
    ring: Mutex<Ring>,
    /// How often an earlier run was put before what is in the ring; changed with the ring locked.
    restored: AtomicUsize,
    subscribers: AtomicUsize,
}

#[derive(Debug, Clone)]
struct Published {
    /// Counts from 1, without gaps.
    sequence: u64,
    snapshot: Arc<Snapshot>,
}

impl Default for Hub {
    fn default() -> Self {
        Self::with_limits(BACKFILL_MESSAGES, BACKFILL_BYTES)
    }
}

impl Hub {
    /// A hub that keeps at most `messages` messages of together at most `bytes` bytes for backfills.
    pub fn with_limits(messages: usize, bytes: usize) -> Self {
        Self(Arc::new(Shared {
            newest: watch::Sender::new(None),
            ring: Mutex::new(Ring::new(messages, bytes)),
            restored: AtomicUsize::new(0),
            subscribers: AtomicUsize::new(0),
        }))
    }

    /// Shows `snapshot` to everyone. The pipeline is the only publisher.
    pub fn publish(&self, snapshot: &Arc<Snapshot>) {
        let message = snapshot.message();
        // The ring is locked until the newest is set as well, so that a new subscriber gets each
        // snapshot exactly once: either in its backfill or live.
        let mut ring = self.ring();
        ring.push(message);
        self.0.newest.send_modify(|newest| {
            let sequence = newest.as_ref().map_or(0, |published| published.sequence) + 1;
            *newest = Some(Published { sequence, snapshot: Arc::clone(snapshot) });
        });
    }

    /// Puts messages of an earlier run before everything published, so that backfills reach over a restart. Those who
    /// began to watch before learn of it by [`Subscription::missed_past`].
    pub fn restore(&self, past: Vec<Bytes>) {
        if past.is_empty() {
            return;
        }
        let mut ring = self.ring();
        ring.prepend(past);
        self.0.restored.fetch_add(1, Ordering::Relaxed);
    }

    pub fn latest(&self) -> Option<Arc<Snapshot>> {
        self.0.newest.borrow().as_ref().map(|published| Arc::clone(&published.snapshot))
    }

    /// The number of the newest message, and those after number `seen` that are still kept, oldest first.
    pub fn since(&self, seen: u64) -> (u64, Vec<Bytes>) {
        let ring = self.ring();
        let newest = self.0.newest.borrow().as_ref().map_or(0, |published| published.sequence);
        let count = usize::try_from(newest.saturating_sub(seen)).unwrap_or(usize::MAX);
        (newest, ring.newest(count))
    }

    /// How many subscriptions are alive.
    pub fn subscribers(&self) -> usize {
        self.0.subscribers.load(Ordering::Relaxed)
    }

    /// Starts watching; the newest snapshot, if there is one, is the first update.
    pub fn subscribe(&self) -> Subscription {
        self.subscribe_with_backfill(0).1
    }

    /// The last `count` messages before the newest one, oldest first, and a subscription that goes on from there.
    pub fn subscribe_with_backfill(&self, count: usize) -> (Vec<Bytes>, Subscription) {
        let ring = self.ring();
        let mut updates = self.0.newest.subscribe();
        updates.mark_changed();
        let seen = updates.borrow().as_ref().map_or(0, |published| published.sequence - 1);
        let past = ring.before_newest(count);
        let restored = self.0.restored.load(Ordering::Relaxed);
        drop(ring);
        self.0.subscribers.fetch_add(1, Ordering::Relaxed);
        (past, Subscription { hub: self.clone(), updates, seen, restored })
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.0.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One watcher's place in the stream.
#[derive(Debug)]
pub struct Subscription {
    hub: Hub,
    updates: watch::Receiver<Option<Published>>,
    /// Sequence number of the last update returned.
    seen: u64,
    restored: usize,
}

/// What a subscriber gets next.
#[derive(Debug, Clone)]
pub struct Update {
    pub snapshot: Arc<Snapshot>,
    /// Snapshots that were published since the last update and are not this one.
    pub skipped: u64,
}

impl Subscription {
    /// Whether the backfill that this subscription began with would reach further back by now.
    pub fn missed_past(&self) -> bool {
        self.hub.0.restored.load(Ordering::Relaxed) != self.restored
    }

    /// Waits for a snapshot not seen yet and returns the newest. Cancel-safe.
    pub async fn next(&mut self) -> Update {
        loop {
            // The sender lives in the hub that `self` holds, so the channel cannot close.
            let _ = self.updates.changed().await;
            let newest = self.updates.borrow_and_update();
            if let Some(published) = newest.as_ref().filter(|published| published.sequence > self.seen) {
                let skipped = published.sequence - self.seen - 1;
                self.seen = published.sequence;
                return Update { snapshot: Arc::clone(&published.snapshot), skipped };
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.hub.0.subscribers.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
