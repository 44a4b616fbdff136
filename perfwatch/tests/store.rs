//! The contract of `Store`: every test runs against every engine.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

#[path = "store/accounts.rs"]
mod accounts;
#[path = "store/history.rs"]
mod history;
#[path = "store/retention.rs"]
mod retention;

use std::sync::Arc;

use perfwatch::snapshot::MetricType;
use perfwatch::store::query::points::Points;
use perfwatch::store::query::{HistoryQuery, Interval, Stats};
use perfwatch::store::{self, Row, Store};
use serde_json::Value;
use time::{Duration, OffsetDateTime};

/// An empty store and what keeps it alive.
pub(crate) struct Fresh {
    pub store: Arc<dyn Store>,
    /// What keeps a file-backed store's folder alive.
    _dir: Option<tempfile::TempDir>,
}

pub(crate) async fn sqlite() -> Fresh {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let url = store::sqlite_url(dir.path());
    let store = store::open(&url).await.expect("a new SQLite store");
    Fresh { store, _dir: Some(dir) }
}

/// Defines a test per engine from one async function that takes a [`Fresh`].
macro_rules! on_every_engine {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $test() {
                let fresh = crate::sqlite().await;
                super::$test(&fresh).await;
                fresh.store.close().await;
            })+
        }
    };
}
pub(crate) use on_every_engine;

/// Microseconds since the epoch, as the roller counts.
pub fn micros(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1000).expect("a time of this age")
}

pub fn row(metric_type: MetricType, timestamp: OffsetDateTime, json: &Value) -> Row {
    Row { timestamp, metric_type, json: json.to_string().into() }
}

/// All points of a range with every statistic.
pub async fn points(
    store: &Arc<dyn Store>,
    metric_type: MetricType,
    start: OffsetDateTime,
    length: Duration,
    interval: &str,
) -> Vec<Value> {
    let query = HistoryQuery {
        interval: Interval::parse(interval).expect("a known interval"),
        limit: 100_000,
        stats: Stats { min: true, max: true, count: true },
        ..HistoryQuery::new(metric_type, start, start + length)
    };
    let mut read = Points::open(Arc::clone(store), query).await.expect("a planned query");
    let mut all = Vec::new();
    while let Some(point) = read.next().await.expect("a readable range") {
        all.push(serde_json::from_slice(&point.json).expect("points are JSON"));
    }
    assert!(!read.truncated());
    all
}
