//! Live fan-out: the newest snapshot for every subscriber, and the last few for new ones.
//!
//! Publishing never blocks. Each subscriber has one slot for the newest message, so a slow one skips what it missed and
//! learns how many; it delays no one and needs no queue.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use std::collections::VecDeque;
use tokio::sync::watch;

use crate::snapshot::Snapshot;

/// Snapshots kept for subscribers that arrive after a snapshot is published and before history has it.
const BRIDGE: usize = 4;

/// Passes every published snapshot to all subscribers. Clones share one hub.
#[derive(Debug, Clone)]
pub struct Hub(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    newest: watch::Sender<Option<Published>>,
    /// The newest few, oldest first.
    bridge: Mutex<VecDeque<Arc<Snapshot>>>,
    /// How often more past snapshots became available, for example from an earlier run.
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
        Self(Arc::new(Shared {
            newest: watch::Sender::new(None),
            bridge: Mutex::default(),
            restored: AtomicUsize::new(0),
            subscribers: AtomicUsize::new(0),
        }))
    }
}

impl Hub {
    /// Shows `snapshot` to everyone. The pipeline is the only publisher.
    pub fn publish(&self, snapshot: &Arc<Snapshot>) {
        // Locked until the newest is set as well, so that a new subscriber gets each snapshot exactly once: either in
        // its past or live.
        let mut bridge = self.bridge();
        bridge.push_back(Arc::clone(snapshot));
        if bridge.len() > BRIDGE {
            bridge.pop_front();
        }
        self.0.newest.send_modify(|newest| {
            let sequence = newest.as_ref().map_or(0, |published| published.sequence) + 1;
            *newest = Some(Published { sequence, snapshot: Arc::clone(snapshot) });
        });
    }

    /// Announces that the past reaches further back now; subscribers see it in [`Subscription::missed_past`].
    pub fn past_restored(&self) {
        self.0.restored.fetch_add(1, Ordering::Relaxed);
    }

    pub fn latest(&self) -> Option<Arc<Snapshot>> {
        self.0.newest.borrow().as_ref().map(|published| Arc::clone(&published.snapshot))
    }

    /// Number of live subscriptions.
    pub fn subscribers(&self) -> usize {
        self.0.subscribers.load(Ordering::Relaxed)
    }

    /// Subscribes; the newest snapshot, if there is one, is the first update.
    pub fn subscribe(&self) -> Subscription {
        self.subscribe_with_bridge().1
    }

    /// The last few snapshots before the newest one, oldest first, and a subscription that continues from there.
    pub fn subscribe_with_bridge(&self) -> (Vec<Arc<Snapshot>>, Subscription) {
        let bridge = self.bridge();
        let mut updates = self.0.newest.subscribe();
        updates.mark_changed();
        let seen = updates.borrow().as_ref().map_or(0, |published| published.sequence - 1);
        let past = bridge.iter().take(bridge.len().saturating_sub(1)).cloned().collect();
        let restored = self.0.restored.load(Ordering::Relaxed);
        drop(bridge);
        self.0.subscribers.fetch_add(1, Ordering::Relaxed);
        (past, Subscription { hub: self.clone(), updates, seen, restored })
    }

    fn bridge(&self) -> MutexGuard<'_, VecDeque<Arc<Snapshot>>> {
        self.0.bridge.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One subscriber's position in the stream.
#[derive(Debug)]
pub struct Subscription {
    hub: Hub,
    updates: watch::Receiver<Option<Published>>,
    /// Sequence number of the last update returned.
    seen: u64,
    restored: usize,
}

/// A subscriber's next update.
#[derive(Debug, Clone)]
pub struct Update {
    pub snapshot: Arc<Snapshot>,
    /// Snapshots published since the last update and skipped.
    pub skipped: u64,
}

impl Subscription {
    /// The time of the first update, if there is one already.
    pub fn newest_at(&self) -> Option<time::OffsetDateTime> {
        self.updates.borrow().as_ref().map(|published| published.snapshot.timestamp)
    }

    /// Whether the past that this subscription started with would reach further back now.
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
