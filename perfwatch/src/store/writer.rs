//! From the tick to the table: a bounded queue the tick never waits for, and one task that writes batches.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{Row, Store, StoreError};
use crate::snapshot::Snapshot;

/// Snapshots waiting for the writer: five minutes at the default interval, about 1 MB.
const QUEUE: usize = 64;
/// Pause before a failed batch is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// What shutdown allows the last batch.
const CLOSE: Duration = Duration::from_millis(900);

/// Counts since the start.
#[derive(Debug, Default)]
pub struct Stats {
    written: AtomicU64,
    dropped: AtomicU64,
    failing: std::sync::atomic::AtomicBool,
}

impl Stats {
    /// Snapshots that are in the table.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Snapshots lost for good.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// True while the store does not take what it is given.
    pub fn failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
pub struct Writer {
    queue: mpsc::Sender<Arc<Snapshot>>,
    task: JoinHandle<()>,
    stats: Arc<Stats>,
}

impl Writer {
    /// Starts the writing task on the current runtime.
    pub fn spawn(store: Arc<dyn Store>) -> Self {
        let (queue, received) = mpsc::channel(QUEUE);
        let stats = Arc::new(Stats::default());
        let task = tokio::spawn(run(store, received, Arc::clone(&stats)));
        Self { queue, task, stats }
    }

    /// Hands a snapshot over; returns at once, whatever the store does.
    pub fn submit(&self, snapshot: &Arc<Snapshot>) {
        if self.queue.try_send(Arc::clone(snapshot)).is_err() {
            self.stats.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.stats)
    }

    /// Writes what is queued and ends the task, within a second.
    pub async fn close(self) {
        let Self { queue, mut task, stats: _ } = self;
        drop(queue);
        if tokio::time::timeout(CLOSE, &mut task).await.is_err() {
            task.abort();
            tracing::warn!("the store did not take the last batch in time");
        }
    }
}

async fn run(store: Arc<dyn Store>, mut queue: mpsc::Receiver<Arc<Snapshot>>, stats: Arc<Stats>) {
    let mut snapshots = Vec::new();
    while queue.recv_many(&mut snapshots, QUEUE).await > 0 {
        let rows: Vec<Row> = snapshots.iter().flat_map(|s| rows(s)).collect();
        while let Err(error) = store.append(&rows).await {
            note_failure(&stats, &error);
            tokio::time::sleep(RETRY).await;
        }
        note_success(&stats);
        stats.written.fetch_add(snapshots.len() as u64, Ordering::Relaxed);
        snapshots.clear();
    }
}

fn rows(snapshot: &Snapshot) -> impl Iterator<Item = Row> {
    snapshot.documents.iter().map(|document| Row {
        timestamp: snapshot.timestamp,
        metric_type: document.metric_type,
        json: document.json.clone(),
    })
}

/// One line per outage, however many attempts it takes.
fn note_failure(stats: &Stats, error: &StoreError) {
    if !stats.failing.swap(true, Ordering::Relaxed) {
        tracing::error!(%error, "history is not being stored; trying again until it is");
    }
}

fn note_success(stats: &Stats) {
    if stats.failing.swap(false, Ordering::Relaxed) {
        tracing::info!("history is being stored again");
    }
}

#[cfg(test)]
mod tests;
