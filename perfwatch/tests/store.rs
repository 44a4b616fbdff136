//! The contract of `Store`: every test runs against every engine.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step fails the test")]
#![allow(clippy::print_stdout, reason = "a skipped test says so")]

#[path = "store/access.rs"]
mod access;
#[path = "store/accounts.rs"]
mod accounts;
#[path = "store/history.rs"]
mod history;
#[path = "store/imports.rs"]
mod imports;
#[path = "store/outage.rs"]
mod outage;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "store/questions.rs"]
mod questions;
#[path = "store/retention.rs"]
mod retention;

use std::sync::Arc;

use perfwatch::snapshot::MetricType;
use perfwatch::store::query::points::Points;
use perfwatch::store::query::{HistoryQuery, Interval, Stats};
use perfwatch::store::{self, Row, Store};
use serde_json::Value;
use time::{Duration, OffsetDateTime};
use tokio::sync::OnceCell;

/// An empty store and what keeps it alive.
pub(crate) struct Fresh {
    pub store: Arc<dyn Store>,
    pub url: String,
    _dir: Option<tempfile::TempDir>,
}

/// An empty store in a file.
pub(crate) async fn sqlite() -> Option<Fresh> {
    let dir = tempfile::tempdir().unwrap();
    let url = store::sqlite_url(dir.path());
    let store = store::open(&url).await.unwrap();
    Some(Fresh { store, url, _dir: Some(dir) })
}

/// An empty store in a database of its own; `None` where there can be none.
pub(crate) async fn postgresql() -> Option<Fresh> {
    let url = empty_postgresql().await?;
    let store = store::open(&url).await.unwrap();
    Some(Fresh { store, url, _dir: None })
}

/// A new database in a cluster that all tests of this process share; `None` where there can be none.
pub(crate) async fn empty_postgresql() -> Option<String> {
    static CLUSTER: OnceCell<Result<postgres::Cluster, String>> = OnceCell::const_new();
    match CLUSTER.get_or_init(postgres::Cluster::start).await {
        Ok(cluster) => Some(cluster.database().await),
        Err(reason) => {
            let test = std::thread::current();
            println!("SKIPPED: {}: {reason}", test.name().unwrap_or("store"));
            None
        }
    }
}

/// Defines a test per engine from each async function that takes a [`Fresh`].
macro_rules! on_every_engine {
    ($($test:ident),+ $(,)?) => {
        crate::on_engine!(sqlite: $($test),+);
        crate::on_engine!(postgresql: $($test),+);
    };
}
macro_rules! on_engine {
    ($engine:ident: $($test:ident),+) => {
        mod $engine {
            $(#[tokio::test]
            async fn $test() {
                let Some(fresh) = crate::$engine().await else { return };
                super::$test(&fresh).await;
                fresh.store.close().await;
            })+
        }
    };
}
pub(crate) use {on_engine, on_every_engine};

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
