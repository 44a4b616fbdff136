//! From the tick to the table, without the tick ever waiting and without losing what it made.
//!
//! A thread holds what is not stored yet, oldest first: what only the [spool](super::spool) on disk has, then what
//! memory holds. Each snapshot is noted in the spool as it arrives, so that not even a kill loses it. The store gets
//! the oldest part, one attempt at a time: every few seconds, since most of what a transaction costs does not depend on
//! what is in it, and at once for whoever reads. Once the store has not taken something within a second, it is left to
//! the disk. An attempt whose outcome is unknown is repeated: the store keeps a row once.

mod backlog;
mod handle;

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use time::{OffsetDateTime, PrimitiveDateTime};
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::{Result, Row, Store, StoreError};
use crate::snapshot::Snapshot;
use backlog::Backlog;
pub use handle::Handle;

/// How long a snapshot waits for others, unless someone reads what it belongs to.
const BATCH_EVERY: Duration = Duration::from_secs(30);
/// So many do not wait for others.
const BATCH: usize = 32;

/// Snapshots on their way to the writing task.
const QUEUE: usize = 64;
/// What a store that does not answer is given before its batch is left to the disk.
const PATIENCE: Duration = Duration::from_secs(1);
/// Pause after a failed attempt.
const RETRY: Duration = Duration::from_secs(1);
/// When an attempt is given up, should the server have vanished without a word.
const ATTEMPT: Duration = Duration::from_secs(20);
/// What shutdown allows the last batch before it goes to disk.
const CLOSE: Duration = Duration::from_millis(600);
/// What the disk is allowed then. It is this machine's, and takes milliseconds unless that is very busy: better late
/// than without what was measured.
const LAST_SAVE: Duration = Duration::from_secs(5);

/// Where snapshots wait for their batch, or for a store that is away.
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
    catching_up: AtomicBool,
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

    /// What they take on disk.
    pub fn spool_bytes(&self) -> u64 {
        self.spool_bytes.load(Ordering::Relaxed)
    }

    /// True while there is something on disk that the store shall have first: of an earlier run, or of an outage.
    pub fn catching_up(&self) -> bool {
        self.catching_up.load(Ordering::Relaxed)
    }

    /// True while the store does not take what it is given.
    pub fn failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
pub struct Writer {
    queue: mpsc::Sender<Message>,
    ended: oneshot::Receiver<()>,
    stats: Arc<Stats>,
}

#[derive(Debug)]
enum Message {
    Snapshot(Arc<Snapshot>),
    Flush(Flush),
}

/// Someone wants to read what was measured until then.
#[derive(Debug)]
struct Flush {
    until: OffsetDateTime,
    /// Told when there is nothing to wait for any more.
    done: oneshot::Sender<()>,
}

impl Writer {
    /// Starts the writing thread, which uses the current runtime; what an earlier run left in the spool comes first.
    pub fn spawn(store: Arc<dyn Store>, spool: SpoolPlace) -> std::io::Result<Self> {
        Self::batching(store, spool, BATCH_EVERY)
    }

    fn batching(store: Arc<dyn Store>, spool: SpoolPlace, every: Duration) -> std::io::Result<Self> {
        let (queue, received) = mpsc::channel(QUEUE);
        // Until the spool was looked at.
        let stats = Arc::new(Stats { catching_up: AtomicBool::new(true), ..Stats::default() });
        let backlog = Backlog::new(spool, Arc::clone(&stats));
        let task = Task {
            store,
            backlog,
            stats: Arc::clone(&stats),
            batch_every: every,
            attempt: None,
            retry_at: None,
            to_disk_at: None,
            batch_at: None,
            flushes: Vec::new(),
        };
        let (end, ended) = oneshot::channel();
        let runtime = runtime::Handle::current();
        // Its own thread, because it waits for the disk at every tick.
        std::thread::Builder::new().name("writer".into()).spawn(move || {
            runtime.block_on(task.run(received));
            // Whoever started this may have left.
            let _ = end.send(());
        })?;
        Ok(Self { queue, ended, stats })
    }

    /// Hands a snapshot over as soon as there is room: for those who have many and may wait.
    pub async fn submit_waiting(&self, snapshot: Arc<Snapshot>) {
        // The thread ends only after this sender is gone.
        let _ = self.queue.send(Message::Snapshot(snapshot)).await;
    }

    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.stats)
    }

    /// For those who measure, and those who read what is written.
    pub fn handle(&self) -> Handle {
        Handle::new(self.queue.downgrade(), Arc::clone(&self.stats))
    }

    /// Waits until everything handed over so far is in the table.
    pub async fn drained(&self) {
        while !self.handle().flush(PrimitiveDateTime::MAX.assume_utc()).await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Stores what is left, or puts it on disk where the store does not take it, and ends the thread.
    pub async fn close(self) {
        let Self { queue, ended, stats: _ } = self;
        drop(queue);
        if !matches!(tokio::time::timeout(CLOSE + LAST_SAVE, ended).await, Ok(Ok(()))) {
            tracing::error!("neither the store nor the spool took the last snapshots in time");
        }
    }
}

struct Task {
    store: Arc<dyn Store>,
    backlog: Backlog,
    stats: Arc<Stats>,
    batch_every: Duration,
    attempt: Option<Attempt>,
    retry_at: Option<Instant>,
    /// When a batch is left to the disk, unless the attempt ends before.
    to_disk_at: Option<Instant>,
    /// When what is in memory has waited long enough for more.
    batch_at: Option<Instant>,
    flushes: Vec<Flush>,
}

type Attempt = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

impl Task {
    async fn run(mut self, mut queue: mpsc::Receiver<Message>) {
        self.backlog.look_for_leftovers();
        let mut arrived = Vec::new();
        let mut closing: Option<Instant> = None;
        loop {
            self.answer_flushes();
            if self.retry_at.is_some_and(|at| at <= Instant::now()) {
                self.retry_at = None;
            }
            if self.attempt.is_none() && self.retry_at.is_none() && (closing.is_some() || self.is_due()) {
                self.start_attempt();
            }
            if let Some(deadline) = closing
                && (self.attempt.is_none() || deadline <= Instant::now())
            {
                break;
            }
            let wake = self.wake_at(closing);
            tokio::select! {
                outcome = attempted(&mut self.attempt) => self.attempt_ended(outcome),
                count = queue.recv_many(&mut arrived, QUEUE), if closing.is_none() && self.backlog.has_room() => {
                    if count == 0 {
                        closing = Some(Instant::now() + CLOSE);
                    }
                    self.take(&mut arrived);
                }
                () = sleep_until(wake) => self.check_patience(),
            }
        }
        self.backlog.save();
    }

    fn take(&mut self, arrived: &mut Vec<Message>) {
        let mut flushes = Vec::new();
        let snapshots = arrived.drain(..).filter_map(|message| match message {
            Message::Snapshot(snapshot) => Some(snapshot),
            Message::Flush(flush) => {
                flushes.push(flush);
                None
            }
        });
        self.backlog.extend(snapshots);
        self.flushes.append(&mut flushes);
        if self.backlog.held() > 0 && self.batch_at.is_none() {
            self.batch_at = Some(Instant::now() + self.batch_every);
        }
    }

    /// Whether what waits has waited long enough.
    fn is_due(&self) -> bool {
        self.backlog.only_spooled()
            || self.backlog.disk_failing()
            || self.backlog.held() >= BATCH
            || !self.flushes.is_empty()
            || self.batch_at.is_some_and(|at| at <= Instant::now())
    }

    /// Lets those go whose answer would not be another one later.
    fn answer_flushes(&mut self) {
        let Self { flushes, backlog, stats, .. } = self;
        let pointless = |flush: &mut Flush| stats.failing() || !backlog.is_near(flush.until);
        for flush in flushes.extract_if(.., pointless) {
            // Whoever asked may have left.
            let _ = flush.done.send(());
        }
    }

    fn start_attempt(&mut self) {
        let rows = match self.backlog.oldest() {
            Ok(rows) => rows,
            Err(error) => {
                self.note_failure(&StoreError::Unreachable(format!("the spool cannot be read: {error}")));
                self.retry_at = Some(Instant::now() + RETRY);
                return;
            }
        };
        if rows.is_empty() {
            self.batch_at = None;
        } else {
            let store = Arc::clone(&self.store);
            self.attempt = Some(Box::pin(append(store, rows)));
            self.to_disk_at = Some(Instant::now() + PATIENCE);
        }
    }

    fn attempt_ended(&mut self, outcome: Result<()>) {
        self.attempt = None;
        self.to_disk_at = None;
        match outcome {
            Ok(()) => {
                self.backlog.stored();
                // What came meanwhile begins to wait.
                self.batch_at = (self.backlog.held() > 0).then(|| Instant::now() + self.batch_every);
                if !self.backlog.only_spooled() {
                    self.note_success();
                }
            }
            Err(error) => {
                self.note_failure(&error);
                self.retry_at = Some(Instant::now() + RETRY);
                self.backlog.save();
            }
        }
    }

    /// When there is something to do although nothing arrives and no attempt ends.
    fn wake_at(&self, closing: Option<Instant>) -> Option<Instant> {
        let batch_at = self.batch_at.filter(|_| self.attempt.is_none() && self.retry_at.is_none());
        [closing, self.retry_at, self.to_disk_at, batch_at].into_iter().flatten().min()
    }

    fn check_patience(&mut self) {
        if self.to_disk_at.is_some_and(|at| at <= Instant::now()) {
            self.backlog.save();
            self.to_disk_at = Some(Instant::now() + PATIENCE);
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
