//! What a host has measured and the store gets later: asked for when a question reaches that far.

use async_trait::async_trait;
use time::OffsetDateTime;

use super::History;
use super::tier::Tier;
use crate::store::chunks::{Chunk, Content};
use crate::store::{Result, micros};

/// Questions that end earlier than this before now (µs) are answered by the store alone: the longest slot has an hour, and
/// takes a moment to arrive.
const REACH: i64 = 2 * 3600 * 1_000_000;

/// Asks hosts.
#[async_trait]
pub trait Elsewhere: std::fmt::Debug + Send + Sync {
    /// Chunks that a host has from a time on (µs), checked; none if it does not answer soon.
    async fn newest(&self, host: &str, of: Content, from: i64) -> Vec<Chunk>;
}

impl History {
    /// What another machine has and is not stored yet, if a question that ends at `to` (µs) needs it: readings, or
    /// profiles by the minute.
    pub async fn elsewhere(&self, of: Content, to: i64) -> Result<Vec<Chunk>> {
        let Some(elsewhere) = &self.0.elsewhere else { return Ok(Vec::new()) };
        let reach = micros(OffsetDateTime::now_utc()).saturating_sub(REACH);
        if to < reach {
            return Ok(Vec::new());
        }
        let tier = if of.readings().is_some() { Tier::Raw } else { Tier::Minute };
        let stored = self.chunks().span(self.host(), of, tier.seconds()).await?;
        let from = stored.map_or(reach, |(_, end)| end);
        Ok(elsewhere.newest(self.host(), of, from).await)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::history::questions::points::Points;
    use crate::history::questions::{HistoryQuery, Interval};
    use crate::history::tier::Tier;
    use crate::history::{from_micros, rollup, testing};
    use crate::host::Host;
    use crate::snapshot::{MetricType, Reading, Snapshot};

    /// A machine without the way to it.
    #[derive(Debug)]
    struct Machine(History);

    #[async_trait]
    impl Elsewhere for Machine {
        async fn newest(&self, _: &str, of: Content, from: i64) -> Vec<Chunk> {
            self.0.head().since(of.readings().unwrap(), from)
        }
    }

    async fn count(history: &History, (start, end): (i64, i64), interval: &str) -> u64 {
        let query = HistoryQuery {
            interval: Interval::parse(interval).unwrap(),
            ..HistoryQuery::new(MetricType::Cpu, from_micros(start), from_micros(end))
        };
        let mut points = Points::open(history, query).await.unwrap();
        let mut count = 0;
        while let Some((_, sum)) = points.next_sum().await.unwrap() {
            count += sum.samples();
        }
        count
    }

    #[tokio::test]
    async fn what_is_not_stored_yet_counts_once_before_and_after_it_is_stored() {
        let dir = tempfile::tempdir().unwrap();
        let (store, here) = testing::history(dir.path()).await;
        store.introduce(&Host::new("test-host", "web")).await.unwrap();
        let machine = History::new(store.clone(), "test-host");
        let start = Tier::Minute.floor(micros(OffsetDateTime::now_utc())) - 300_000_000;
        for second in 0..150 {
            let at = from_micros(start + second * 1_000_000);
            let cpu = Reading::new(MetricType::Cpu, at, &json!({"usage_percent": second})).unwrap();
            machine.head().push(&Snapshot::new(at, vec![cpu]), 1_000_000);
        }
        let complete = here.of_host_and("test-host", Arc::new(Machine(machine.clone())));
        let range = (start, start + 600_000_000);
        for stored in [0, 60, 120] {
            assert_eq!(count(&here, range, "1s").await, stored);
            for interval in ["1s", "1m", "5m"] {
                assert_eq!(count(&complete, range, interval).await, 150, "{stored} stored, by {interval}");
            }
            let window = complete.window(100).await.unwrap();
            assert_eq!(window.len(), 100);
            assert_eq!(micros(window[99].timestamp), start + 149_000_000);
            let Some(slot) = machine.head().oldest_pending() else { return };
            let batch = rollup::batch_of(&here, &slot.chunks, slot.minutes.as_deref()).await.unwrap();
            here.chunks().commit("test-host", &batch).await.unwrap();
            machine.head().stored(slot.slot);
        }
    }

    #[tokio::test]
    async fn a_question_about_long_ago_asks_nobody() {
        #[derive(Debug)]
        struct Nobody;
        #[async_trait]
        impl Elsewhere for Nobody {
            async fn newest(&self, _: &str, _: Content, _: i64) -> Vec<Chunk> {
                unreachable!("it is about long ago")
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let (_store, here) = testing::history(dir.path()).await;
        let end = micros(OffsetDateTime::now_utc()) - 2 * REACH;
        let history = here.of_host_and("test-host", Arc::new(Nobody));
        assert_eq!(count(&history, (end - 1_000_000, end), "1s").await, 0);
    }
}
