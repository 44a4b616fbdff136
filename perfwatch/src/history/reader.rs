//! The data that answers a query, in time order: readings and buckets from the store, then what is only in memory.

use std::collections::VecDeque;
use std::sync::Arc;

use super::History;
use super::bucket::Bucket;
use super::chunk::{Block, Buckets};
use super::plan::{Coverage, Segment, plan};
use super::tier::{Tier, floor};
use crate::snapshot::MetricType;
use crate::snapshot::selection::Selection;
use crate::store::Result;
use crate::store::chunks::{Chunk, Wanted};

/// Chunks read at a time.
const PAGE: usize = 16;

/// One type over a range. Half-open, µs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    pub metric_type: MetricType,
    pub from: i64,
    pub to: i64,
    /// Width of a point, µs.
    pub interval: i64,
}

/// One reading or bucket of an answer.
#[derive(Debug)]
pub enum Piece {
    Reading(Arc<Block>, usize),
    Bucket(Arc<Buckets>, usize),
}

impl Piece {
    /// Time of the reading, or start of the bucket, µs.
    pub fn at(&self) -> i64 {
        match self {
            Self::Reading(block, n) => block.times()[*n],
            Self::Bucket(buckets, n) => buckets.times()[*n],
        }
    }

    /// As a bucket that others can be merged into.
    pub fn bucket(&self) -> Bucket {
        match self {
            Self::Reading(block, n) => {
                let mut bucket = Bucket::new(block.metric_type());
                bucket.add(&block.reading(*n));
                bucket
            }
            Self::Bucket(buckets, n) => buckets.bucket(*n),
        }
    }

    /// Adds it to a sum.
    pub fn add_to(&self, sum: &mut Bucket) {
        match self {
            Self::Reading(block, n) => sum.add(&block.reading(*n)),
            Self::Bucket(buckets, n) => sum.merge(&buckets.at(*n)),
        }
    }
}

/// Reads the pieces of an answer, a few chunks at a time.
#[derive(Debug)]
pub struct Pieces {
    history: History,
    metric_type: MetricType,
    selection: Selection,
    segments: VecDeque<Segment>,
    /// Where the next page of the first segment starts: after the chunk that starts here.
    after: i64,
    chunks: VecDeque<Chunk>,
    ready: VecDeque<Piece>,
    /// What is only in memory.
    rest: VecDeque<Piece>,
}

impl Pieces {
    pub async fn open(history: &History, question: Question, selection: Selection) -> Result<Self> {
        // Memory first: the store is only queried up to the start of what is in memory.
        let Question { metric_type, from, to, interval } = question;
        let mut unstored = history.head().unstored(metric_type, from, to);
        unstored.chunks.extend(history.elsewhere(metric_type.into(), to).await?);
        let mut rest = Vec::new();
        for chunk in &unstored.chunks {
            match Block::decode_within(&chunk.data, &selection, from..to) {
                Ok(block) => rest.extend(within(block, from, to)),
                Err(error) => history.note_damage(chunk, error),
            }
        }
        rest.extend(within(unstored.open, from, to));
        // If the clock was set back, a time may occur twice: the first stays, as in the store.
        rest.sort_by_key(Piece::at);
        rest.dedup_by_key(|piece| piece.at());
        let ends = rest.first().map(Piece::at).zip(rest.last().map(|last| last.at() + 1));
        let coverage = Coverage::of(&history.chunks().tiers(history.host()).await?);
        let segments = match ends {
            None => plan(&coverage, from, to, interval),
            Some((first, end)) => {
                // For minutes that continue in memory, raw readings are read: their sums may already include some of
                // those in memory.
                let minute = Tier::Minute.width();
                let (first, end) =
                    (Tier::Minute.floor(first).max(from), (floor(end - 1, minute) + minute).min(to));
                let mut segments = plan(&coverage, from, first, interval);
                segments.push(Segment { tier: Tier::Raw, from: first, to: end });
                segments.extend(plan(&coverage, end, to, interval));
                segments
            }
        };
        Ok(Self {
            history: history.clone(),
            metric_type,
            selection,
            segments: segments.into(),
            after: i64::MIN,
            chunks: VecDeque::new(),
            ready: VecDeque::new(),
            rest: rest.into(),
        })
    }

    pub async fn next(&mut self) -> Result<Option<Piece>> {
        loop {
            if let Some(stored) = self.ready.front() {
                // If the clock was set back, both may have the same time: the first stays.
                let at = stored.at();
                match self.rest.front().map(Piece::at) {
                    Some(in_memory) if in_memory < at => return Ok(self.rest.pop_front()),
                    Some(in_memory) if in_memory == at => drop(self.rest.pop_front()),
                    _ => {}
                }
                return Ok(self.ready.pop_front());
            }
            let Some(segment) = self.segments.front().copied() else { return Ok(self.rest.pop_front()) };
            match self.chunks.pop_front() {
                Some(chunk) => self.unpack(&chunk, segment),
                None => self.fetch(segment).await?,
            }
        }
    }

    async fn fetch(&mut self, segment: Segment) -> Result<()> {
        let tier = segment.tier;
        let wanted = Wanted {
            content: self.metric_type.into(),
            tier: tier.seconds(),
            from: segment.from.max(self.after),
            to: segment.to,
        };
        let found = self
            .history
            .chunks()
            .find(self.history.host(), wanted, i64::try_from(PAGE).unwrap_or(i64::MAX))
            .await?;
        let full = found.len() == PAGE;
        if let Some(last) = found.last() {
            self.after = last.end;
        }
        self.chunks = found.into();
        if !full {
            // The last page of this segment; the next chunks belong to another.
            while let Some(chunk) = self.chunks.pop_front() {
                self.unpack(&chunk, segment);
            }
            self.segments.pop_front();
            self.after = i64::MIN;
        }
        Ok(())
    }

    fn unpack(&mut self, chunk: &Chunk, segment: Segment) {
        let Segment { tier, from, to } = segment;
        let unpacked = if tier == Tier::Raw {
            Block::decode_within(&chunk.data, &self.selection, from..to)
                .map(|block| self.ready.extend(within(block, from, to)))
        } else {
            let times = floor(from, tier.width())..to;
            Buckets::decode_within(&chunk.data, &self.selection, times.clone()).map(|buckets| {
                let buckets = Arc::new(buckets);
                self.ready.extend(buckets.within(&times).map(|n| Piece::Bucket(Arc::clone(&buckets), n)));
            })
        };
        if let Err(error) = unpacked {
            self.history.note_damage(chunk, error);
        }
    }
}

/// The readings of a block in `from..to`.
fn within(block: Block, from: i64, to: i64) -> impl Iterator<Item = Piece> {
    let block = Arc::new(block);
    block.within(from, to).map(move |n| Piece::Reading(Arc::clone(&block), n))
}
