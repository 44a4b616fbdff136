//! What is not in the table yet, oldest first: what only the spool on disk has, then memory. What memory holds is noted
//! in the spool as well, so that a killed process loses none of it.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use time::OffsetDateTime;

use super::{QUEUE, SpoolPlace, Stats};
use crate::snapshot::Snapshot;
use crate::store::Row;
use crate::store::spool::Spool;

/// Snapshots held in memory while not even the disk takes them.
const HELD: usize = 4 * QUEUE;

/// Waits for the disk: belongs on a thread that may.
pub(super) struct Backlog {
    place: SpoolPlace,
    /// `None` until it could be opened.
    spool: Option<Spool>,
    held: VecDeque<Arc<Snapshot>>,
    /// So many of the first of `held` are in the spool too. While there are any, the spool has nothing else.
    noted: usize,
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
            noted: 0,
            offered: Offered::Nothing,
            disk_failing: false,
            stats,
        }
    }

    /// Opens the spool of an earlier run, if there is one.
    pub(super) fn look_for_leftovers(&mut self) {
        if self.place.dir.is_dir()
            && let Ok(spool) = self.spool().map(|spool| spool.len())
            && spool > 0
        {
            tracing::info!(snapshots = spool, "storing what an earlier run left in the spool");
        }
        self.count();
    }

    /// Takes over what arrived and puts it on disk.
    pub(super) fn extend(&mut self, arrived: impl Iterator<Item = Arc<Snapshot>>) {
        self.held.extend(arrived);
        if self.only_spooled() {
            self.save();
        } else {
            let outcome = self.note();
            self.tell_disk(outcome);
        }
        if self.held.len() > HELD {
            self.let_go(self.noted);
        }
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

    pub(super) fn disk_failing(&self) -> bool {
        self.disk_failing
    }

    /// Whether there is something on disk that memory does not hold.
    pub(super) fn only_spooled(&self) -> bool {
        self.noted == 0 && self.spool.as_ref().is_some_and(|spool| !spool.is_empty())
    }

    /// Snapshots in memory.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// Whether something until then waits, and not so much else before it that nobody would wait for it.
    pub(super) fn is_near(&self, until: OffsetDateTime) -> bool {
        if self.only_spooled() {
            self.waiting() <= QUEUE as u64
        } else {
            self.held.front().is_some_and(|oldest| oldest.timestamp <= until)
        }
    }

    /// The rows to store next; empty when nothing waits.
    pub(super) fn oldest(&mut self) -> io::Result<Vec<Row>> {
        if self.only_spooled() {
            let rows = self.spool()?.oldest()?;
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
    pub(super) fn stored(&mut self) {
        let before = self.waiting();
        let forgotten = match std::mem::replace(&mut self.offered, Offered::Nothing) {
            // It is only spooled meanwhile and is stored from there, to no effect.
            Offered::Nothing => return,
            Offered::Held(count) => {
                self.held.drain(..count);
                let noted = self.noted.min(count);
                self.noted -= noted;
                self.spool.as_mut().map_or(Ok(()), |spool| spool.forget(noted as u64))
            }
            Offered::Spooled => self.spool().and_then(Spool::advance),
        };
        if let Err(error) = forgotten {
            // Replayed once more after a restart, to no effect.
            tracing::warn!(%error, "cannot remove a file of the spool");
            self.let_go(self.noted);
        }
        self.stats.written.fetch_add(before.saturating_sub(self.waiting()), Ordering::Relaxed);
        self.count();
    }

    /// Leaves to the disk what memory holds.
    pub(super) fn save(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let snapshots = self.not_noted();
        let mut written = 0;
        let pushed = self.spool().and_then(|spool| spool.push(&snapshots, &mut written));
        self.let_go(self.noted + written);
        let outcome = pushed.map(|dropped| {
            self.stats.dropped.fetch_add(dropped, Ordering::Relaxed);
        });
        self.tell_disk(outcome);
        self.count();
    }

    /// Puts on disk what is only in memory, and keeps it in memory too.
    fn note(&mut self) -> io::Result<()> {
        if self.noted == self.held.len() {
            return Ok(());
        }
        let snapshots = self.not_noted();
        let mut written = 0;
        let noted = self.spool().and_then(|spool| spool.note(&snapshots, &mut written));
        self.noted += written;
        noted
    }

    fn not_noted(&self) -> Vec<Vec<Row>> {
        self.held.iter().skip(self.noted).map(|snapshot| rows(snapshot).collect()).collect()
    }

    /// Holds the first `count` no more: they are on disk.
    fn let_go(&mut self, count: usize) {
        self.held.drain(..count);
        self.noted = 0;
        if count > 0 && matches!(self.offered, Offered::Held(_)) {
            self.offered = Offered::Nothing;
        }
    }

    fn tell_disk(&mut self, outcome: io::Result<()>) {
        match outcome {
            Ok(()) => self.disk_failing = false,
            Err(error) if !self.disk_failing => {
                tracing::error!(%error, "the spool does not take snapshots; those that are not stored are only in memory");
                self.disk_failing = true;
            }
            Err(_) => {}
        }
    }

    fn waiting(&self) -> u64 {
        self.spool.as_ref().map_or(0, Spool::len) + (self.held.len() - self.noted) as u64
    }

    fn count(&self) {
        self.stats.waiting.store(self.waiting(), Ordering::Relaxed);
        self.stats.spool_bytes.store(self.spool.as_ref().map_or(0, Spool::bytes), Ordering::Relaxed);
        self.stats.catching_up.store(self.only_spooled(), Ordering::Relaxed);
    }

    fn spool(&mut self) -> io::Result<&mut Spool> {
        match &mut self.spool {
            Some(spool) => Ok(spool),
            closed => Ok(closed.insert(Spool::open(&self.place.dir, self.place.max_bytes)?)),
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
