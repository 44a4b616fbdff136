//! What others have of the writer: those who measure, and readers of the store.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::{mpsc, oneshot};

use super::{Flush, Message, Stats};
use crate::snapshot::Snapshot;

/// What a reader waits for a store that is slow to take what it is given; then the answer lacks the last seconds.
const FLUSHED_WITHIN: Duration = Duration::from_secs(5);

/// Does not keep the writer from ending. Clones are the same.
#[derive(Debug, Clone)]
pub struct Handle {
    queue: mpsc::WeakSender<Message>,
    stats: Arc<Stats>,
}

impl Handle {
    pub(super) fn new(queue: mpsc::WeakSender<Message>, stats: Arc<Stats>) -> Self {
        Self { queue, stats }
    }

    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Hands a snapshot over; returns at once, whatever the store does.
    pub fn submit(&self, snapshot: &Arc<Snapshot>) {
        let message = Message::Snapshot(Arc::clone(snapshot));
        let taken = self.queue.upgrade().is_some_and(|queue| queue.try_send(message).is_ok());
        if !taken {
            self.stats.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Has everything that was measured until then stored, if the store takes it and it does not take long. True where
    /// nothing waits any more.
    pub async fn flush(&self, until: OffsetDateTime) -> bool {
        // A writer that has ended left what it could.
        let _ = tokio::time::timeout(FLUSHED_WITHIN, self.asked(until)).await;
        self.stats.waiting() == 0
    }

    async fn asked(&self, until: OffsetDateTime) {
        let Some(queue) = self.queue.upgrade() else { return };
        let (done, answered) = oneshot::channel();
        if queue.send(Message::Flush(Flush { until, done })).await.is_ok() {
            drop(queue);
            // An error is the answer: there is nothing to wait for any more.
            let _ = answered.await;
        }
    }
}
