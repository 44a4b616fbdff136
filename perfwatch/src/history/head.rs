//! The newest readings in memory: those not packed into a chunk yet, and chunks of the last minutes.
//!
//! Live charts start from these, and a query reads them after the store's chunks.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use time::OffsetDateTime;

use super::bucket::Bucket;
use super::chunk::Block;
use super::tier::{Tier, floor};
use super::{Damaged, micros};
use crate::snapshot::{MetricType, Reading, Snapshot};
use crate::store::chunks::Chunk;

/// Approximate readings per slot: more compress better, but use more memory until they are packed.
const READINGS: i64 = 60;
/// Possible slot lengths, s: whole minutes, so that each minute is in one chunk.
const SLOTS: [i64; 6] = [60, 120, 300, 600, 1800, 3600];
/// Bytes of chunks kept by default after they were stored: about 15 minutes on a large machine.
const KEPT_BYTES: usize = 3 << 20;

/// A closed slot: its chunks, one per type.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// Slots of a run are numbered from 1.
    pub slot: i64,
    pub chunks: Arc<[Chunk]>,
    /// Minute sums, if they were computed as the readings arrived; by type and start, µs.
    pub minutes: Option<Arc<Minutes>>,
    /// Snapshots in it.
    pub snapshots: u64,
}

impl Sealed {
    /// Time of the first reading, µs.
    pub fn from(&self) -> i64 {
        self.chunks.iter().map(|chunk| chunk.start).min().unwrap_or(i64::MAX)
    }

    fn bytes(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.data.len()).sum()
    }

    fn chunk(&self, metric_type: MetricType) -> Option<&Chunk> {
        self.chunks.iter().find(|chunk| chunk.content == metric_type.into())
    }
}

#[derive(Debug)]
pub struct Head {
    state: Mutex<State>,
    /// Bytes of chunks kept after they were stored.
    kept_bytes: usize,
}

impl Default for Head {
    fn default() -> Self {
        Self::keeping(KEPT_BYTES)
    }
}

/// Minute sums, by type and start (µs).
pub type Minutes = BTreeMap<(MetricType, i64), Bucket>;

#[derive(Debug, Default)]
struct State {
    /// The slot being filled; empty before its first reading.
    open: Vec<Block>,
    minutes: Minutes,
    snapshots: u64,
    /// Start and end of the open slot, µs.
    slot: (i64, i64),
    /// Number of closed slots.
    over: i64,
    newest: Option<i64>,
    /// Not stored yet, oldest first.
    pending: VecDeque<Sealed>,
    /// Stored, oldest first.
    stored: VecDeque<Sealed>,
}

/// Start and end of the slot that contains a time, for snapshots `interval` apart.
fn slot_of(at: i64, interval: i64) -> (i64, i64) {
    let enough =
        SLOTS.into_iter().map(|seconds| seconds * 1_000_000).find(|width| *width >= READINGS * interval);
    let width = enough.unwrap_or(3_600_000_000);
    let start = floor(at, width);
    (start, start + width)
}

/// Where a pushed reading ended up.
#[derive(Debug)]
pub enum Pushed {
    /// In the open slot.
    Held,
    /// In a new slot: the previous one is over, or the clock was set back.
    NextSlot,
    /// Nowhere: the newest snapshot has the same time.
    Refused,
}

impl Head {
    pub fn keeping(kept_bytes: usize) -> Self {
        Self { state: Mutex::default(), kept_bytes }
    }

    /// Adds a snapshot; `interval` is the approximate time between snapshots, µs.
    pub fn push(&self, snapshot: &Snapshot, interval: i64) -> Pushed {
        let at = micros(snapshot.timestamp);
        let mut state = self.state();
        if state.newest == Some(at) {
            return Pushed::Refused;
        }
        // Snapshots taken after the clock was set back are stored next to earlier ones of the same time.
        let set_back = state.newest.is_some_and(|newest| at < newest);
        if state.snapshots == 1 && !set_back {
            // Until the second snapshot the interval is unknown.
            state.slot = slot_of(state.newest.unwrap_or(at), interval);
        }
        let next = state.snapshots > 0 && (set_back || at >= state.slot.1);
        if next {
            state.seal();
        }
        if state.snapshots == 0 {
            state.slot = slot_of(at, interval);
            if state.open.is_empty() {
                state.open = MetricType::ALL.into_iter().map(Block::new).collect();
            }
        }
        state.newest = Some(at);
        state.snapshots += 1;
        let minute = Tier::Minute.floor(at);
        for reading in &snapshot.readings {
            let metric_type = reading.metric_type;
            state.open[metric_type as usize].push(reading);
            let bucket = state.minutes.entry((metric_type, minute));
            bucket.or_insert_with(|| Bucket::new(metric_type)).add(reading);
        }
        if next { Pushed::NextSlot } else { Pushed::Held }
    }

    /// Closes the open slot, unless it is empty.
    pub fn seal(&self) -> Option<Sealed> {
        self.state().seal()
    }

    /// The number of the open slot, or of the next one.
    pub fn open_slot(&self) -> i64 {
        self.state().over + 1
    }

    /// Marks a slot as stored.
    pub fn stored(&self, slot: i64) {
        let mut state = self.state();
        if let Some(sealed) = state.take_pending(slot) {
            state.keep(sealed, self.kept_bytes);
        }
    }

    /// Drops a slot from memory, as it is on disk; returns its number of snapshots.
    pub fn let_go(&self, slot: i64) -> u64 {
        self.state().take_pending(slot).map_or(0, |sealed| sealed.snapshots)
    }

    /// The number of the oldest slot in memory that is not stored; that of the open slot if no other waits.
    pub fn oldest_slot(&self) -> i64 {
        let state = self.state();
        state.pending.front().map_or(state.over + 1, |sealed| sealed.slot)
    }

    /// The slot that has waited longest to be stored.
    pub fn oldest_pending(&self) -> Option<Sealed> {
        self.state().pending.front().cloned()
    }

    /// All slots waiting to be stored, oldest first.
    pub fn all_pending(&self) -> Vec<Sealed> {
        self.state().pending.iter().cloned().collect()
    }

    /// Times of the oldest and the newest unstored snapshot.
    pub fn ends(&self) -> Option<(OffsetDateTime, OffsetDateTime)> {
        let state = self.state();
        let first_pending = state.pending.front().map(Sealed::from);
        let first_open = state.open.iter().filter_map(|block| block.times().first().copied()).min();
        let oldest = first_pending.or(first_open)?;
        Some((super::from_micros(oldest), super::from_micros(state.newest?)))
    }

    /// Number of slots that are closed but not stored.
    pub fn pending(&self) -> usize {
        self.state().pending.len()
    }

    /// Prepends what an earlier run stored last.
    pub fn restore(&self, past: Vec<Sealed>) {
        let mut state = self.state();
        for sealed in past.into_iter().rev() {
            state.stored.push_front(sealed);
        }
        state.bound(self.kept_bytes);
    }

    /// A type's unstored readings; those of the open slot only from `from` to `to`.
    pub fn unstored(&self, metric_type: MetricType, from: i64, to: i64) -> Unstored {
        let state = self.state();
        let pending: Vec<&Sealed> = state.pending.iter().collect();
        let open = state.open.get(metric_type as usize).filter(|block| !block.is_empty());
        let chunks = pending.iter().filter_map(|sealed| sealed.chunk(metric_type)).cloned().collect();
        let mut wanted = Block::new(metric_type);
        if let Some(block) = open {
            for n in block.within(from, to) {
                wanted.push(&block.reading(n));
            }
        }
        Unstored { chunks, open: wanted }
    }

    /// All of a type that is in memory from a time on (µs), as chunks in time order; the first may begin earlier.
    pub fn since(&self, metric_type: MetricType, from: i64) -> Vec<Chunk> {
        let mut open = Block::new(metric_type);
        let mut chunks: Vec<Chunk> = {
            let state = self.state();
            if let Some(block) = state.open.get(metric_type as usize) {
                for n in block.within(from, i64::MAX) {
                    open.push(&block.reading(n));
                }
            }
            let closed = state.stored.iter().chain(&state.pending);
            closed
                .filter_map(|sealed| sealed.chunk(metric_type))
                .filter(|chunk| chunk.end > from)
                .cloned()
                .collect()
        };
        chunks.extend(pack(&[open]));
        chunks
    }

    /// The newest `count` snapshots in memory, oldest first.
    pub fn recent(&self, count: usize) -> Vec<Snapshot> {
        let (sealed, open) = {
            let state = self.state();
            let sealed: Vec<Sealed> = state.stored.iter().chain(&state.pending).cloned().collect();
            (sealed, state.open.clone())
        };
        let mut all: VecDeque<Snapshot> = assemble(open.iter()).into();
        for sealed in sealed.iter().rev() {
            if all.len() >= count {
                break;
            }
            let blocks: Result<Vec<Block>, Damaged> = sealed.chunks.iter().map(Block::of).collect();
            // These chunks were made here, so they are not damaged.
            let Ok(blocks) = blocks else { continue };
            for snapshot in assemble(blocks.iter()).into_iter().rev() {
                all.push_front(snapshot);
            }
        }
        let surplus = all.len().saturating_sub(count);
        all.drain(..surplus);
        all.into()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The result of [`Head::unstored`].
#[derive(Debug)]
pub struct Unstored {
    pub chunks: Vec<Chunk>,
    /// The readings of the open slot.
    pub open: Block,
}

impl State {
    fn seal(&mut self) -> Option<Sealed> {
        if self.snapshots == 0 {
            return None;
        }
        let mut minutes = std::mem::take(&mut self.minutes);
        minutes.values_mut().for_each(|minute| minute.bound(Tier::Minute));
        self.over += 1;
        let sealed = Sealed {
            slot: self.over,
            chunks: pack(&self.open).into(),
            minutes: Some(Arc::new(minutes)),
            snapshots: std::mem::take(&mut self.snapshots),
        };
        self.open.iter_mut().for_each(Block::clear);
        self.pending.push_back(sealed.clone());
        Some(sealed)
    }

    fn take_pending(&mut self, slot: i64) -> Option<Sealed> {
        let at = self.pending.iter().position(|sealed| sealed.slot == slot)?;
        self.pending.remove(at)
    }

    fn keep(&mut self, mut sealed: Sealed, kept_bytes: usize) {
        sealed.minutes = None;
        self.stored.push_back(sealed);
        self.bound(kept_bytes);
    }

    fn bound(&mut self, kept_bytes: usize) {
        let mut bytes: usize = self.stored.iter().map(Sealed::bytes).sum();
        while bytes > kept_bytes
            && let Some(oldest) = self.stored.pop_front()
        {
            bytes -= oldest.bytes();
        }
    }
}

/// Packs the non-empty blocks into chunks.
pub fn pack(blocks: &[Block]) -> Vec<Chunk> {
    let chunk = |block: &Block| {
        let (first, last) = (block.times().first()?, block.times().last()?);
        let data = Bytes::from(block.encode());
        Some(Chunk {
            content: block.metric_type().into(),
            tier: 0,
            start: *first,
            first: *first,
            end: last + 1,
            data,
        })
    };
    blocks.iter().filter_map(chunk).collect()
}

/// The snapshots in blocks of several types, in time order.
pub fn assemble<'b>(blocks: impl Iterator<Item = &'b Block>) -> Vec<Snapshot> {
    let mut ticks: BTreeMap<i64, Vec<Reading>> = BTreeMap::new();
    for block in blocks {
        for reading in block.readings() {
            ticks.entry(micros(reading.at)).or_default().push(reading);
        }
    }
    ticks.into_iter().map(|(at, readings)| Snapshot::new(super::from_micros(at), readings)).collect()
}
