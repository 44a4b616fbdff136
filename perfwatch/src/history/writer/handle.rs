//! The pipeline's handle to the writer.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;

use super::{Message, Stats};
use crate::snapshot::Snapshot;

/// Submits snapshots to the writer.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(super) queue: mpsc::WeakSender<Message>,
    pub(super) stats: Arc<Stats>,
}

impl Handle {
    /// Submits a snapshot; drops and counts it if the thread is far behind.
    pub fn submit(&self, snapshot: &Arc<Snapshot>) {
        let sent = self.queue.upgrade().map(|queue| queue.try_send(Message::Snapshot(Arc::clone(snapshot))));
        if !matches!(sent, Some(Ok(()))) {
            self.stats.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn stats(&self) -> &Stats {
        &self.stats
    }
}
