//! What history asks of an engine: to keep chunks, and to find them again. What is in them the engine does not know.

pub(super) mod sql;

use async_trait::async_trait;
use bytes::Bytes;
use time::OffsetDateTime;

use super::Result;
use super::policy::Extent;
use crate::snapshot::MetricType;

/// A chunk: some time of one metric type in one tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    pub metric_type: MetricType,
    /// Seconds of a bucket; 0 of raw readings.
    pub tier: i64,
    /// Of raw readings the time of the first, of rollups the start of the slot; µs.
    pub start: i64,
    /// The time of the first reading or bucket; µs.
    pub first: i64,
    /// After the last reading or bucket; µs.
    pub end: i64,
    pub data: Bytes,
}

/// Which chunks are wanted: those that may have something in `from..to` (µs).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    pub metric_type: MetricType,
    pub tier: i64,
    pub from: i64,
    pub to: i64,
}

/// Some time of a tier that lacks what arrived in a finer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stale {
    /// Seconds of the tier that is to be computed.
    pub tier: i64,
    /// Start of the hour or day, µs.
    pub start: i64,
    /// Changes with every arrival, so that what is computed meanwhile is not taken for complete.
    pub generation: i64,
}

/// What the planner has to know of a host's tiers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tiers {
    /// Seconds of a tier, and the time (µs) before which it has been removed.
    pub removed: Vec<(i64, i64)>,
    pub stale: Vec<Stale>,
}

/// Changes that are made together or not at all.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    pub put: Vec<Chunk>,
    /// Type, tier and start of chunks that others took the place of.
    pub remove: Vec<(MetricType, i64, i64)>,
    /// Tier and start of what has to be computed again.
    pub stale: Vec<(i64, i64)>,
    /// What has been computed, unless something arrived meanwhile.
    pub computed: Vec<Stale>,
    /// A tier's seconds, and the time (µs) before which there is nothing of it.
    pub removed: Vec<(i64, i64)>,
    /// Settings to keep with it.
    pub settings: Vec<(String, String)>,
}

/// Chunks removed in one transaction, of each type: a few milliseconds.
pub(super) const REMOVED_AT_A_TIME: i64 = 16;

/// What a chunk of a tier covers at most, µs.
pub(super) const fn longest(tier: i64) -> i64 {
    const HOUR: i64 = 3_600_000_000;
    match tier {
        0 | 60 => HOUR,
        300 => 24 * HOUR,
        3600 => 4 * 24 * HOUR,
        _ => 64 * 24 * HOUR,
    }
}

/// Keeps the chunks of many hosts.
#[async_trait]
pub trait ChunkStore: Send + Sync + std::fmt::Debug {
    /// Makes ready what the next days need. Called at the start and then every minute.
    async fn prepare(&self, _now: OffsetDateTime) -> Result<()> {
        Ok(())
    }

    /// Tells who a host is: its name may change, its id does not.
    async fn introduce(&self, host: &str, name: &str) -> Result<()>;
    /// Ids and names of all hosts that have ever stored anything here.
    async fn hosts(&self) -> Result<Vec<(String, String)>>;

    async fn commit(&self, host: &str, batch: &Batch) -> Result<()>;
    /// The first `limit` of the wanted chunks, by their start.
    async fn find(&self, host: &str, wanted: Wanted, limit: i64) -> Result<Vec<Chunk>>;
    async fn tiers(&self, host: &str) -> Result<Tiers>;
    /// Removes chunks that end before a time (µs), a few at a time so that no writer waits long; returns how many
    /// chunks. The planner is told with the first of them.
    async fn remove_before(&self, host: &str, tier: i64, before: i64) -> Result<u64>;
    async fn extent(&self, host: &str) -> Result<Extent>;

    /// Whether documents are wanted beside the chunks, for those who read them with SQL.
    fn wants_documents(&self) -> bool {
        false
    }
    /// Keeps the documents of one time each as JSON; those that are there already stay.
    async fn put_documents(&self, _host: &str, _documents: &[Document]) -> Result<()> {
        Ok(())
    }
    /// Removes documents before a time (µs).
    async fn remove_documents(&self, _host: &str, _before: i64) -> Result<u64> {
        Ok(0)
    }
}

/// A reading as the views of PostgreSQL see it.
#[derive(Debug, Clone)]
pub struct Document {
    /// µs.
    pub at: i64,
    pub metric_type: MetricType,
    pub json: Bytes,
}
