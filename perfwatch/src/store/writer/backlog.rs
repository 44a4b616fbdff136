//! What is not in the table yet, oldest first: the spool on disk, then memory.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{QUEUE, SpoolPlace, Stats};
use crate::snapshot::Snapshot;
use crate::store::Row;
use crate::store::spool::Spool;

/// Snapshots held in memory while not even the disk takes them.
const HELD: usize = 4 * QUEUE;

pub(super) struct Backlog {
    place: SpoolPlace,
    /// `None` until it could be opened.
    spool: Option<Spool>,
    held: VecDeque<Arc<Snapshot>>,
    /// What the attempt under way would store.
    offered: Offered,
    /// The disk refused what it was given last.
    disk_failing: bool,
    stats: Arc<Stats>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Offered {
    Nothing,
    /// The first of `held`, so many.
    Held(usize),
    /// What the spool gave last.
    Spooled,
}

impl Backlog {
    pub(super) fn new(place: SpoolPlace, stats: Arc<Stats>) -> Self {
        Self {
            place,
            spool: None,
            held: VecDeque::new(),
            offered: Offered::Nothing,
            disk_failing: false,
            stats,
        }
    }

    /// Opens the spool of an earlier run, if there is one.
    pub(super) async fn look_for_leftovers(&mut self) {
        if self.place.dir.is_dir()
            && let Ok(spool) = self.with_spool(|spool| Ok(spool.len())).await
            && spool > 0
        {
            tracing::info!(snapshots = spool, "storing what an earlier run left in the spool");
        }
        self.count();
    }

    pub(super) fn extend(&mut self, arrived: impl Iterator<Item = Arc<Snapshot>>) {
        self.held.extend(arrived);
        while self.held.len() > HELD {
            self.held.pop_front();
            if let Offered::Held(n) = &mut self.offered {
                *n = n.saturating_sub(1);
            }
            self.stats.dropped.fetch_add(1, Ordering::Relaxed);
        }
        self.count();
    }

    /// False while a store that is only slow should be waited for. The newest are not kept out for what neither store
    /// nor disk takes.
    pub(super) fn has_room(&self) -> bool {
        self.disk_failing || self.held.len() + QUEUE <= HELD
    }

    pub(super) fn spool_is_empty(&self) -> bool {
        self.spool.as_ref().is_none_or(Spool::is_empty)
    }

    /// The rows to store next; empty when nothing waits.
    pub(super) async fn oldest(&mut self) -> io::Result<Vec<Row>> {
        if !self.spool_is_empty() {
            let rows = self.with_spool(Spool::oldest).await?;
            if !rows.is_empty() {
                self.offered = Offered::Spooled;
                return Ok(rows);
            }
        }
        let count = self.held.len().min(QUEUE);
        self.offered = if count == 0 { Offered::Nothing } else { Offered::Held(count) };
        Ok(self.held.iter().take(count).flat_map(|s| rows(s)).collect())
    }

    /// What [`Self::oldest`] gave is in the table.
    pub(super) async fn stored(&mut self) {
        let before = self.waiting();
        match std::mem::replace(&mut self.offered, Offered::Nothing) {
            // It went to disk meanwhile and is stored from there, to no effect.
            Offered::Nothing => return,
            Offered::Held(count) => drop(self.held.drain(..count)),
            Offered::Spooled => {
                if let Err(error) = self.with_spool(Spool::advance).await {
                    // Replayed once more after a restart, to no effect.
                    tracing::warn!(%error, "cannot remove a file of the spool");
                }
            }
        }
        self.stats.written.fetch_add(before.saturating_sub(self.waiting()), Ordering::Relaxed);
        self.count();
    }

    /// Puts on disk what is only in memory.
    pub(super) async fn save(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let snapshots: Vec<Vec<Row>> = self.held.iter().map(|s| rows(s).collect()).collect();
        let outcome = self
            .with_spool(move |spool| {
                let mut written = 0;
                let pushed = spool.push(&snapshots, &mut written);
                Ok((written, pushed))
            })
            .await;
        let (written, pushed) = match outcome {
            Ok(done) => done,
            Err(error) => (0, Err(error)),
        };
        self.held.drain(..written);
        if written > 0 && matches!(self.offered, Offered::Held(_)) {
            self.offered = Offered::Nothing;
        }
        match pushed {
            Ok(dropped) => {
                self.stats.dropped.fetch_add(dropped, Ordering::Relaxed);
                self.disk_failing = false;
            }
            Err(error) if !self.disk_failing => {
                tracing::error!(%error, "the spool does not take snapshots either; holding them in memory");
                self.disk_failing = true;
            }
            Err(_) => {}
        }
        self.count();
    }

    fn waiting(&self) -> u64 {
        self.spool.as_ref().map_or(0, Spool::len) + self.held.len() as u64
    }

    fn count(&self) {
        self.stats.waiting.store(self.waiting(), Ordering::Relaxed);
        self.stats.spool_bytes.store(self.spool.as_ref().map_or(0, Spool::bytes), Ordering::Relaxed);
        if self.spool_is_empty() {
            self.stats.caught_up.store(true, Ordering::Relaxed);
        }
    }

    /// Runs `work` where waiting for the disk is allowed.
    async fn with_spool<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Spool) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let spool = self.spool.take();
        let place = self.place.clone();
        let worked = tokio::task::spawn_blocking(move || {
            let mut spool = match spool {
                Some(spool) => spool,
                None => match Spool::open(&place.dir, place.max_bytes) {
                    Ok(spool) => spool,
                    Err(error) => return (None, Err(error)),
                },
            };
            let done = work(&mut spool);
            (Some(spool), done)
        });
        match worked.await {
            Ok((spool, done)) => {
                self.spool = spool;
                done
            }
            // Reopened from what is on disk at the next use.
            Err(panicked) => Err(io::Error::other(panicked)),
        }
    }
}

fn rows(snapshot: &Snapshot) -> impl Iterator<Item = Row> {
    snapshot.documents.iter().map(|document| Row {
        timestamp: snapshot.timestamp,
        metric_type: document.metric_type,
        json: document.json.clone(),
    })
}
