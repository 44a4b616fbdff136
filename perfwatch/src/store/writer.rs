//! From the tick to the table, without the tick ever waiting and without losing what it made.
//!
//! One task holds what is not stored yet, oldest first: what is in the [spool](super::spool) on disk, then
//! what it holds in memory. It offers the oldest part to the store, one attempt at a time. While the store
//! answers, memory holds one tick for a few milliseconds; once it has not taken something within a second,
//! everything goes to disk, so that not even a kill loses more than that second. An attempt whose outcome is
//! unknown is repeated: the store keeps a row once.

mod backlog;

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{Result, Row, Store, StoreError};
use crate::snapshot::Snapshot;
use backlog::Backlog;

/// Snapshots on their way to the writing task.
const QUEUE: usize = 64;
/// Snapshots are in memory only for this long.
const IN_MEMORY: Duration = Duration::from_secs(1);
/// Pause after a failed attempt.
const RETRY: Duration = Duration::from_secs(1);
/// When an attempt is given up, should the server have vanished without a word.
const ATTEMPT: Duration = Duration::from_secs(20);
/// What shutdown allows the last batch before it goes to disk.
const CLOSE: Duration = Duration::from_millis(600);
/// What the disk is allowed then. It is this machine's, and takes milliseconds unless that is very busy: better late
/// than without what was measured.
const LAST_SAVE: Duration = Duration::from_secs(5);

/// Where snapshots wait for a store that is away.
#[derive(Debug, Clone)]
pub struct SpoolPlace {
    pub dir: PathBuf,
    pub max_bytes: u64,
}

/// Counts since the start, and what waits now.
#[derive(Debug, Default)]
pub struct Stats {
    written: AtomicU64,
    dropped: AtomicU64,
    waiting: AtomicU64,
    spool_bytes: AtomicU64,
    failing: AtomicBool,
    caught_up: AtomicBool,
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

    /// Snapshots not yet in the table, on disk or in memory.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// What the spool takes on disk.
    pub fn spool_bytes(&self) -> u64 {
        self.spool_bytes.load(Ordering::Relaxed)
    }

    /// True while the store does not take what it is given.
    pub fn failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Whether the store has everything that an earlier run left in the spool.
    pub fn caught_up(&self) -> bool {
        self.caught_up.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
pub struct Writer {
    queue: mpsc::Sender<Arc<Snapshot>>,
    task: JoinHandle<()>,
    stats: Arc<Stats>,
}

impl Writer {
    /// Starts the writing task on the current runtime; what an earlier run left in the spool comes first.
    pub fn spawn(store: Arc<dyn Store>, spool: SpoolPlace) -> Self {
        let (queue, received) = mpsc::channel(QUEUE);
        let stats = Arc::new(Stats::default());
        let backlog = Backlog::new(spool, Arc::clone(&stats));
        let task = Task {
            store,
            backlog,
            stats: Arc::clone(&stats),
            attempt: None,
            retry_at: None,
            to_disk_at: None,
        };
        Self { queue, task: tokio::spawn(task.run(received)), stats }
    }

    /// Hands a snapshot over; returns at once, whatever the store does.
    pub fn submit(&self, snapshot: &Arc<Snapshot>) {
        if self.queue.try_send(Arc::clone(snapshot)).is_err() {
            self.stats.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Hands a snapshot over as soon as there is room: for those who have many and may wait.
    pub async fn submit_waiting(&self, snapshot: Arc<Snapshot>) {
        // The task ends only after this sender is gone.
        let _ = self.queue.send(snapshot).await;
    }

    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.stats)
    }

    /// Waits until everything handed over so far is in the table.
    pub async fn drained(&self) {
        while self.queue.capacity() < self.queue.max_capacity() || self.stats.waiting() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Stores what is left, or puts it on disk where the store does not take it, and ends the task.
    pub async fn close(self) {
        let Self { queue, mut task, stats: _ } = self;
        drop(queue);
        if tokio::time::timeout(CLOSE + LAST_SAVE, &mut task).await.is_err() {
            task.abort();
            tracing::error!("neither the store nor the spool took the last snapshots in time");
        }
    }
}

struct Task {
    store: Arc<dyn Store>,
    backlog: Backlog,
    stats: Arc<Stats>,
    attempt: Option<Attempt>,
    retry_at: Option<Instant>,
    /// When what is only in memory is put on disk, unless the attempt ends before.
    to_disk_at: Option<Instant>,
}

type Attempt = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

impl Task {
    async fn run(mut self, mut queue: mpsc::Receiver<Arc<Snapshot>>) {
        self.backlog.look_for_leftovers().await;
        let mut arrived = Vec::new();
        let mut closing: Option<Instant> = None;
        loop {
            if self.attempt.is_none() && self.retry_at.is_none_or(|at| at <= Instant::now()) {
                self.start_attempt().await;
            }
            if let Some(deadline) = closing
                && (self.attempt.is_none() || deadline <= Instant::now())
            {
                break;
            }
            let wake = self.wake_at(closing);
            tokio::select! {
                outcome = attempted(&mut self.attempt) => self.attempt_ended(outcome).await,
                count = queue.recv_many(&mut arrived, QUEUE), if closing.is_none() && self.backlog.has_room() => {
                    if count == 0 {
                        closing = Some(Instant::now() + CLOSE);
                    }
                    self.backlog.extend(arrived.drain(..));
                    if self.stats.failing() {
                        self.backlog.save().await;
                    }
                }
                () = sleep_until(wake) => self.check_patience().await,
            }
        }
        self.backlog.save().await;
    }

    async fn start_attempt(&mut self) {
        self.retry_at = None;
        let rows = match self.backlog.oldest().await {
            Ok(rows) => rows,
            Err(error) => {
                self.note_failure(&StoreError::Unreachable(format!("the spool cannot be read: {error}")));
                self.retry_at = Some(Instant::now() + RETRY);
                return;
            }
        };
        if !rows.is_empty() {
            let store = Arc::clone(&self.store);
            self.attempt = Some(Box::pin(append(store, rows)));
            self.to_disk_at = Some(Instant::now() + IN_MEMORY);
        }
    }

    async fn attempt_ended(&mut self, outcome: Result<()>) {
        self.attempt = None;
        self.to_disk_at = None;
        match outcome {
            Ok(()) => {
                self.backlog.stored().await;
                if self.backlog.spool_is_empty() {
                    self.note_success();
                }
            }
            Err(error) => {
                self.note_failure(&error);
                self.retry_at = Some(Instant::now() + RETRY);
                self.backlog.save().await;
            }
        }
    }

    /// When there is something to do although nothing arrives and no attempt ends.
    fn wake_at(&self, closing: Option<Instant>) -> Option<Instant> {
        [closing, self.retry_at, self.to_disk_at].into_iter().flatten().min()
    }

    async fn check_patience(&mut self) {
        if self.to_disk_at.is_some_and(|at| at <= Instant::now()) {
            self.backlog.save().await;
            self.to_disk_at = Some(Instant::now() + IN_MEMORY);
        }
    }

    /// One line per outage, however many attempts it takes.
    fn note_failure(&self, error: &StoreError) {
        if !self.stats.failing.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "history is not being stored; snapshots wait on disk until it is");
        }
    }

    fn note_success(&self) {
        if self.stats.failing.swap(false, Ordering::Relaxed) {
            tracing::info!(
                written = self.stats.written(),
                dropped = self.stats.dropped(),
                "history is being stored again, and so is what waited"
            );
        }
    }
}

async fn append(store: Arc<dyn Store>, rows: Vec<Row>) -> Result<()> {
    match tokio::time::timeout(ATTEMPT, store.append(&rows)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(StoreError::Unreachable(format!("no answer within {} s", ATTEMPT.as_secs()))),
    }
}

async fn attempted(attempt: &mut Option<Attempt>) -> Result<()> {
    match attempt {
        Some(attempt) => attempt.as_mut().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
