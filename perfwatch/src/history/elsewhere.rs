//! What a host has measured and the store gets later: asked for when a question reaches that far.

use async_trait::async_trait;
use time::OffsetDateTime;

use super::History;
use crate::snapshot::MetricType;
use crate::store::chunks::Chunk;
use crate::store::{Result, micros};

/// Questions that end earlier than this before now (µs) are answered by the store alone: the longest slot has an hour, and
/// takes a moment to arrive.
const REACH: i64 = 2 * 3600 * 1_000_000;

/// Asks hosts.
#[async_trait]
pub trait Elsewhere: std::fmt::Debug + Send + Sync {
    /// Chunks of a type's readings that a host has from a time on (µs), checked; none if it does not answer soon.
    async fn readings(&self, host: &str, of: MetricType, from: i64) -> Vec<Chunk>;
}

impl History {
    /// Readings of another machine that are not stored yet, if a question that ends at `to` (µs) needs them.
    pub(super) async fn elsewhere(&self, of: MetricType, to: i64) -> Result<Vec<Chunk>> {
        let Some(elsewhere) = &self.0.elsewhere else { return Ok(Vec::new()) };
        let reach = micros(OffsetDateTime::now_utc()).saturating_sub(REACH);
        if to < reach {
            return Ok(Vec::new());
        }
        let stored = self.chunks().span(self.host(), of.into(), 0).await?;
        let from = stored.map_or(reach, |(_, end)| end);
        Ok(elsewhere.readings(self.host(), of, from).await)
    }
}
