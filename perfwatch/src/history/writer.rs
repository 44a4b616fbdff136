//! Writes snapshots to the store, without blocking the tick and without losing data.
//!
//! A thread appends each snapshot to the [log](super::log) and adds it to the [head](super::head). A closed slot is
//! stored, the oldest first, one attempt at a time; what the store does not accept waits on disk. An attempt with an
//! unknown outcome is repeated: readings already stored stay as they are.

mod attempt;
mod handle;
mod stats;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::head::{Pushed, Sealed};
use super::log::{Log, Replayed};
use super::maintenance::DocumentDays;
use super::{History, micros};
use crate::snapshot::Snapshot;
use crate::store::{Result, StoreError};
use attempt::{documents_of, limited, sleep_until, store};
pub use handle::Handle;
pub use stats::Stats;

/// Snapshots queued for the writing thread.
const QUEUE: usize = 64;
/// How long documents are batched, if the store wants them.
const DOCUMENTS_EVERY: Duration = Duration::from_secs(8);
/// This many documents are written at once, and at most this many are held.
const DOCUMENTS: usize = 16;
const MAX_DOCUMENTS: usize = 256;
/// Pause after a failed attempt; shorter in tests, which have many.
const RETRY_DELAY: Duration = Duration::from_millis(if cfg!(test) { 10 } else { 1000 });
/// A slot that the store has permanently refused this often is set aside.
const MAX_REFUSALS: u32 = 10;
/// How long shutdown waits for the last slot before leaving it on disk.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(600);
/// How long the final sync may take: better late than losing data.
const LAST_SYNC: Duration = Duration::from_secs(5);
/// Closed slots held in memory; older ones are only on disk.
const HELD: usize = 8;

/// Where snapshots wait until their slot is closed, or while the store is unavailable.
#[derive(Debug, Clone)]
pub struct LogPlace {
    pub dir: PathBuf,
    pub max_bytes: u64,
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
    /// Notified when everything before it is in the store.
    Drain(oneshot::Sender<()>),
}

impl Writer {
    /// Starts the writing thread on the current runtime; what an earlier run left on disk is stored first.
    pub fn spawn(history: History, place: LogPlace, documents: DocumentDays) -> std::io::Result<Self> {
        let (queue, received) = mpsc::channel(QUEUE);
        // True until the log has been checked.
        let stats = Arc::new(Stats { catching_up: AtomicBool::new(true), ..Stats::default() });
        let task = Task {
            wants_documents: documents.0 > 0 && history.chunks().wants_documents(),
            history,
            place,
            log: None,
            stats: Arc::clone(&stats),
            newest: None,
            interval: 5_000_000,
            attempt: JoinSet::new(),
            attempted: Attempted::Documents(0),
            retry_at: None,
            refusals: 0,
            documents: Vec::new(),
            documents_at: None,
            drains: Vec::new(),
        };
        let (end, ended) = oneshot::channel();
        let runtime = runtime::Handle::current();
        // A thread of its own, because it blocks on the disk at every tick.
        std::thread::Builder::new().name("writer".into()).spawn(move || {
            runtime.block_on(task.run(received));
            // The receiver may be gone.
            let _ = end.send(());
        })?;
        Ok(Self { queue, ended, stats })
    }

    /// Submits a snapshot as soon as there is room, for callers with many that can wait.
    pub async fn submit_waiting(&self, snapshot: Arc<Snapshot>) {
        // The thread ends only after this sender is dropped.
        let _ = self.queue.send(Message::Snapshot(snapshot)).await;
    }

    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.stats)
    }

    pub fn handle(&self) -> Handle {
        Handle { queue: self.queue.downgrade(), stats: Arc::clone(&self.stats) }
    }

    /// Closes the open slot and waits until everything submitted so far is in the store.
    pub async fn drained(&self) {
        let (done, drained) = oneshot::channel();
        if self.queue.send(Message::Drain(done)).await.is_ok() {
            let _ = drained.await;
        }
    }

    /// Stores what is left, or leaves it on disk if the store doesn't accept it, and ends the thread.
    pub async fn close(self) {
        let Self { queue, ended, stats: _ } = self;
        drop(queue);
        if !matches!(tokio::time::timeout(CLOSE_TIMEOUT + LAST_SYNC, ended).await, Ok(Ok(()))) {
            tracing::error!("the last snapshots could be neither stored nor logged in time");
        }
    }
}

/// What is being stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempted {
    Slot {
        slot: i64,
        snapshots: u64,
    },
    /// The documents of this many snapshots.
    Documents(usize),
}

struct Task {
    history: History,
    wants_documents: bool,
    place: LogPlace,
    /// `None` until it could be opened.
    log: Option<Log>,
    stats: Arc<Stats>,
    newest: Option<i64>,
    /// Approximate time between snapshots, µs.
    interval: i64,
    /// One at most. It runs beside the thread, which goes on taking what is measured.
    attempt: JoinSet<Result<()>>,
    attempted: Attempted,
    retry_at: Option<Instant>,
    /// How often in a row the store has permanently refused the oldest slot.
    refusals: u32,
    documents: Vec<Arc<Snapshot>>,
    documents_at: Option<Instant>,
    drains: Vec<oneshot::Sender<()>>,
}

impl Task {
    async fn run(mut self, mut queue: mpsc::Receiver<Message>) {
        self.look_for_leftovers();
        let mut arrived = Vec::new();
        let mut closing: Option<Instant> = None;
        loop {
            if self.retry_at.is_some_and(|at| at <= Instant::now()) {
                self.retry_at = None;
            }
            if self.attempt.is_empty() && self.retry_at.is_none() {
                self.start_attempt(closing.is_some());
            }
            self.answer_drains();
            self.count();
            if let Some(deadline) = closing
                && (self.attempt.is_empty() || deadline <= Instant::now())
            {
                break;
            }
            let documents_at =
                self.documents_at.filter(|_| self.attempt.is_empty() && self.retry_at.is_none());
            let wake = [closing, self.retry_at, documents_at].into_iter().flatten().min();
            tokio::select! {
                outcome = attempted(&mut self.attempt) => self.attempt_ended(outcome),
                count = queue.recv_many(&mut arrived, QUEUE), if closing.is_none() => {
                    if count == 0 {
                        closing = Some(Instant::now() + CLOSE_TIMEOUT);
                        self.history.head().seal();
                        self.end_slot();
                    }
                    for message in arrived.drain(..) {
                        self.take(message);
                    }
                }
                () = sleep_until(wake) => {}
            }
        }
        // Makes what was written survive a power cut as well.
        if let Some(log) = &self.log
            && let Err(error) = log.sync()
        {
            tracing::error!(%error, "cannot sync the log on disk");
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Snapshot(snapshot) => self.take_snapshot(&snapshot),
            Message::Drain(done) => {
                self.history.head().seal();
                self.end_slot();
                self.drains.push(done);
            }
        }
    }

    fn take_snapshot(&mut self, snapshot: &Arc<Snapshot>) {
        let at = micros(snapshot.timestamp);
        if let Some(newest) = self.newest.replace(at)
            && at > newest
        {
            self.interval = at - newest;
        }
        match self.history.head().push(snapshot, self.interval) {
            Pushed::Refused => {
                self.stats.refused.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Pushed::NextSlot => self.end_slot(),
            Pushed::Held => {}
        }
        let slot = self.history.head().open_slot();
        let noted = self.log().and_then(|log| log.note(slot, snapshot));
        self.tell_log(noted);
        if self.wants_documents {
            self.documents.push(Arc::clone(snapshot));
            let surplus = self.documents.len().saturating_sub(MAX_DOCUMENTS);
            self.documents.drain(..surplus);
            if let Attempted::Documents(count) = &mut self.attempted {
                *count = count.saturating_sub(surplus);
            }
            if self.documents_at.is_none() {
                self.documents_at = Some(Instant::now() + DOCUMENTS_EVERY);
            }
        }
    }

    fn end_slot(&mut self) {
        // While the store is unavailable, memory holds only the newest few.
        while self.history.head().pending() > HELD
            && let Some(oldest) = self.history.head().oldest_pending()
        {
            let on_disk = self.log.as_ref().map_or(0, |log| log.snapshots_of(oldest.slot));
            let lost = self.history.head().let_go(oldest.slot).saturating_sub(on_disk);
            if lost > 0 {
                self.stats.dropped.fetch_add(lost, Ordering::Relaxed);
                tracing::error!(
                    snapshots = lost,
                    "neither the store nor the disk takes what was measured; the oldest of it is lost"
                );
            }
        }
    }

    fn look_for_leftovers(&mut self) {
        if self.place.dir.is_dir()
            && let Ok(slots) = self.log().map(|log| log.len())
            && slots > 0
        {
            tracing::info!(slots, "storing what an earlier run left in the log on disk");
        }
    }

    /// The oldest slot that is on disk and not in memory.
    fn oldest_on_disk(&self) -> Option<i64> {
        self.log.as_ref()?.oldest().filter(|slot| *slot < self.history.head().oldest_slot())
    }

    fn start_attempt(&mut self, closing: bool) {
        let due = self.documents.len() >= DOCUMENTS
            || closing
            || !self.drains.is_empty()
            || self.documents_at.is_some_and(|at| at <= Instant::now());
        if due && !self.documents.is_empty() {
            let documents = documents_of(self.documents.iter().map(|snapshot| &**snapshot));
            let count = self.documents.len();
            self.documents_at = None;
            self.attempted = Attempted::Documents(count);
            let history = self.history.clone();
            self.attempt.spawn(limited(async move {
                history.chunks().put_documents(history.host(), &documents).await
            }));
            return;
        }
        while let Some(slot) = self.oldest_on_disk() {
            match self.log().and_then(|log| log.read(slot)) {
                Ok(Some(Replayed { sealed, .. })) => return self.store(slot, sealed, self.wants_documents),
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(%error, "a file of the log on disk cannot be read; it is left for the next start");
                    if let Some(log) = &mut self.log {
                        log.leave(slot);
                    }
                }
            }
        }
        if let Some(sealed) = self.history.head().oldest_pending() {
            let late = self.wants_documents && self.stats.failing();
            self.store(sealed.slot, sealed, late);
        }
    }

    fn store(&mut self, slot: i64, sealed: Sealed, with_documents: bool) {
        self.attempted = Attempted::Slot { slot, snapshots: sealed.snapshots };
        self.attempt.spawn(limited(store(self.history.clone(), sealed, with_documents)));
    }

    fn attempt_ended(&mut self, outcome: Result<()>) {
        match outcome {
            Ok(()) => {
                match self.attempted {
                    Attempted::Documents(count) => {
                        self.documents.drain(..count.min(self.documents.len()));
                        if !self.documents.is_empty() {
                            self.documents_at = Some(Instant::now() + DOCUMENTS_EVERY);
                        }
                    }
                    Attempted::Slot { slot, snapshots } => {
                        self.history.head().stored(slot);
                        self.refusals = 0;
                        self.stats.written.fetch_add(snapshots, Ordering::Relaxed);
                        if let Some(log) = &mut self.log
                            && let Err(error) = log.forget(slot)
                        {
                            // It is replayed once more after a restart, without effect.
                            tracing::warn!(%error, "cannot remove a file of the log");
                        }
                    }
                }
                self.note_success();
            }
            Err(error) => {
                let is_permanent = matches!(error, StoreError::Refused(_));
                match self.attempted {
                    Attempted::Documents(count) => {
                        self.documents_at = Some(Instant::now() + DOCUMENTS_EVERY);
                        if is_permanent {
                            // Their readings are in the chunks: only the views lack them.
                            self.documents.drain(..count.min(self.documents.len()));
                            tracing::error!(%error, snapshots = count, "the database rejects JSON documents; they are missing in SQL views");
                            return;
                        }
                    }
                    Attempted::Slot { slot, snapshots } if is_permanent => {
                        self.refusals += 1;
                        if self.refusals >= MAX_REFUSALS {
                            return self.set_aside(slot, snapshots, &error);
                        }
                    }
                    Attempted::Slot { .. } => {}
                }
                self.note_failure(&error);
                self.retry_at = Some(Instant::now() + RETRY_DELAY);
                let packed = self.pack();
                self.tell_log(packed);
            }
        }
    }

    /// The store will never accept this slot: it must not block all others.
    fn set_aside(&mut self, slot: i64, snapshots: u64, error: &StoreError) {
        self.refusals = 0;
        self.history.head().let_go(slot);
        self.stats.dropped.fetch_add(snapshots, Ordering::Relaxed);
        let aside = self.log().and_then(|log| log.set_aside(slot));
        let kept = aside.as_ref().ok().and_then(Option::as_ref).map(|path| path.display().to_string());
        tracing::error!(%error, snapshots, kept, "the database keeps rejecting a slot of history; set aside");
        self.tell_log(aside.map(drop));
    }

    /// Replaces snapshots on disk by chunks while the store is unavailable.
    fn pack(&mut self) -> std::io::Result<()> {
        for sealed in self.history.head().all_pending() {
            self.log()?.pack(&sealed)?;
        }
        let dropped = self.log()?.bound()?;
        self.stats.dropped.fetch_add(dropped, Ordering::Relaxed);
        Ok(())
    }

    fn answer_drains(&mut self) {
        let idle = self.attempt.is_empty()
            && self.documents.is_empty()
            && self.history.head().pending() == 0
            && self.oldest_on_disk().is_none();
        if idle {
            for done in self.drains.drain(..) {
                // The receiver may be gone.
                let _ = done.send(());
            }
        }
    }

    fn tell_log(&mut self, outcome: std::io::Result<()>) {
        match outcome {
            Ok(()) => self.stats.log_failing.store(false, Ordering::Relaxed),
            Err(error) => {
                if !self.stats.log_failing.swap(true, Ordering::Relaxed) {
                    tracing::error!(%error, "cannot write the log on disk; snapshots not yet stored are only in memory");
                }
            }
        }
    }

    fn log(&mut self) -> std::io::Result<&mut Log> {
        match &mut self.log {
            Some(log) => Ok(log),
            closed => Ok(closed.insert(Log::open(&self.place.dir, self.place.max_bytes)?)),
        }
    }

    fn count(&self) {
        let log = self.log.as_ref();
        self.stats.waiting.store(log.map_or(0, Log::snapshots), Ordering::Relaxed);
        self.stats.log_bytes.store(log.map_or(0, Log::bytes), Ordering::Relaxed);
        self.stats.catching_up.store(self.oldest_on_disk().is_some(), Ordering::Relaxed);
    }

    /// One log line per outage, however many attempts it takes.
    fn note_failure(&self, error: &StoreError) {
        if !self.stats.failing.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "the database does not accept history; snapshots wait on disk");
        }
    }

    fn note_success(&self) {
        if self.stats.failing.swap(false, Ordering::Relaxed) {
            tracing::info!(
                written = self.stats.written(),
                dropped = self.stats.dropped(),
                "history is being stored again, including the snapshots that waited"
            );
        }
    }
}

/// Without an attempt, never completes.
async fn attempted(attempt: &mut JoinSet<Result<()>>) -> Result<()> {
    match attempt.join_next().await {
        Some(Ok(outcome)) => outcome,
        Some(Err(error)) => Err(StoreError::Database(error.to_string())),
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
