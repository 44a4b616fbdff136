//! Storing while a query runs.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use perfwatch::history::History;
use perfwatch::history::rollup::batch_of;
use perfwatch::host::Host;
use perfwatch::snapshot::{MetricType, Reading};
use perfwatch::store::chunks::{Batch, Chunk, ChunkStore, Content, Size, Tiers, Wanted};
use perfwatch::store::policy::Extent;
use perfwatch::store::{self, Store};
use serde_json::json;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use crate::readings::{self, reading, snapshots};
use crate::{Fresh, on_every_engine, points};

on_every_engine!(what_is_stored_while_a_question_is_asked_counts_once);

const START: OffsetDateTime = datetime!(2026-01-05 00:00:00 UTC);

/// A store that stores something just before the n-th query.
#[derive(Debug)]
struct Meanwhile {
    store: Arc<dyn Store>,
    host: String,
    stored: Mutex<Option<(usize, Batch)>>,
}

impl Meanwhile {
    async fn asked(&self) {
        let now = {
            let mut stored = self.stored.lock().unwrap();
            match &mut *stored {
                Some((0, _)) => stored.take().map(|(_, batch)| batch),
                Some((left, _)) => {
                    *left -= 1;
                    None
                }
                None => None,
            }
        };
        if let Some(batch) = now {
            self.store.commit(&self.host, &batch).await.unwrap();
        }
    }
}

#[async_trait]
impl ChunkStore for Meanwhile {
    async fn introduce(&self, host: &Host) -> store::Result<()> {
        self.store.introduce(host).await
    }

    async fn hosts(&self) -> store::Result<Vec<Host>> {
        self.store.hosts().await
    }

    async fn commit(&self, host: &str, batch: &Batch) -> store::Result<()> {
        self.store.commit(host, batch).await
    }

    async fn find(&self, host: &str, wanted: Wanted, limit: i64) -> store::Result<Vec<Chunk>> {
        self.asked().await;
        self.store.find(host, wanted, limit).await
    }

    async fn span(&self, host: &str, content: Content, tier: i64) -> store::Result<Option<(i64, i64)>> {
        self.store.span(host, content, tier).await
    }

    async fn tiers(&self, host: &str) -> store::Result<Tiers> {
        self.asked().await;
        self.store.tiers(host).await
    }

    async fn remove_before(&self, host: &str, tier: i64, before: i64) -> store::Result<u64> {
        self.store.remove_before(host, tier, before).await
    }

    async fn extent(&self, host: &str) -> store::Result<Extent> {
        self.store.extent(host).await
    }

    async fn sizes(&self, host: &str, tier: i64, after: i64) -> store::Result<Vec<Size>> {
        self.store.sizes(host, tier, after).await
    }

    async fn newest(&self) -> store::Result<Vec<(String, i64)>> {
        self.store.newest().await
    }

    async fn stale_hosts(&self, tier: i64, until: i64) -> store::Result<Vec<String>> {
        self.store.stale_hosts(tier, until).await
    }
}

async fn what_is_stored_while_a_question_is_asked_counts_once(fresh: &Fresh) {
    // The first half of a minute is stored, as after a restart; the other half waits.
    let cpu = |second: i64| {
        let at = START + Duration::seconds(second);
        reading(MetricType::Cpu, at, &json!({ "usage_percent": second }))
    };
    let readings: Vec<Reading> = (0..60).map(cpu).collect();
    for (interval, asked) in
        [("5s", 0), ("5s", 1), ("5s", 2), ("1m", 0), ("1m", 1), ("1m", 2), ("1h", 0), ("1h", 1)]
    {
        let host = format!("{interval} {asked}");
        let stored = History::new(fresh.store.clone(), &host);
        readings::store(&stored, &readings[..30]).await;
        let meanwhile =
            Arc::new(Meanwhile { store: fresh.store.clone(), host: host.clone(), stored: Mutex::default() });
        let history = History::new(meanwhile.clone(), &host);
        for snapshot in snapshots(&readings[30..]) {
            history.head().push(&snapshot, 1_000_000);
        }
        let sealed = history.head().seal().unwrap();
        let batch = batch_of(&stored, &sealed.chunks, sealed.minutes.as_deref()).await.unwrap();
        *meanwhile.stored.lock().unwrap() = Some((asked, batch));
        let found = points(&history, MetricType::Cpu, START, Duration::minutes(1), interval).await;
        let all: u64 = found.iter().map(|point| point["count"].as_u64().unwrap()).sum();
        assert_eq!(all, 60, "{interval}, stored when the store is asked for the {asked}. time");
    }
}
