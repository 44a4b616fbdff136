//! The contract of `Store`: every test runs against every engine.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step fails the test")]
#![allow(clippy::print_stdout, reason = "a skipped test says so")]

#[path = "store/access.rs"]
mod access;
#[path = "store/accounts.rs"]
mod accounts;
#[path = "store/boards.rs"]
mod boards;
#[path = "store/alerts.rs"]
mod alerts;
#[path = "store/deliveries.rs"]
mod deliveries;
#[path = "store/fleet.rs"]
mod fleet;
#[path = "store/history.rs"]
mod history;
#[path = "store/imports.rs"]
mod imports;
#[path = "store/interleaving.rs"]
mod interleaving;
#[path = "store/marks.rs"]
mod marks;
#[path = "store/outage.rs"]
mod outage;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "store/questions.rs"]
mod questions;
#[path = "support/readings.rs"]
mod readings;
#[path = "store/retention.rs"]
mod retention;

use std::sync::Arc;

use perfwatch::history::History;
use perfwatch::history::questions::points::Points;
use perfwatch::history::questions::{HistoryQuery, Interval, Stats};
use perfwatch::host::Host;
use perfwatch::snapshot::MetricType;
use perfwatch::store::{self, Store};
use serde_json::Value;
use time::{Duration, OffsetDateTime};
use tokio::sync::OnceCell;

/// The id of the machine whose history the tests write.
pub(crate) const HOST: &str = "0123abcd";

/// An empty store and what keeps it alive.
pub(crate) struct Fresh {
    pub store: Arc<dyn Store>,
    pub history: History,
    pub url: String,
    _dir: Option<tempfile::TempDir>,
}

/// An empty store in a file.
pub(crate) async fn sqlite() -> Option<Fresh> {
    let dir = tempfile::tempdir().unwrap();
    let url = store::sqlite_url(dir.path());
    let store = store::open(&url).await.unwrap();
    Some(Fresh { history: history_in(&store).await, store, url, _dir: Some(dir) })
}

/// An empty store in a separate database; `None` if there can be none.
pub(crate) async fn postgresql() -> Option<Fresh> {
    let url = empty_postgresql().await?;
    let store = store::open(&url).await.unwrap();
    Some(Fresh { history: history_in(&store).await, store, url, _dir: None })
}

/// The same behind `PgBouncer`, which gives each transaction another of two connections.
pub(crate) async fn pooled() -> Option<Fresh> {
    static POOLER: OnceCell<Result<postgres::Pooler, String>> = OnceCell::const_new();
    let direct = empty_postgresql().await?;
    let start = async || cluster().await.as_ref().map_err(Clone::clone)?.pooler("transaction", 2).await;
    match POOLER.get_or_init(start).await {
        Ok(pooler) => {
            let url = pooler.url(&direct);
            let store = store::open(&url).await.unwrap();
            // What a test does besides, it does directly.
            Some(Fresh { history: history_in(&store).await, store, url: direct, _dir: None })
        }
        Err(reason) => {
            skipped(reason);
            None
        }
    }
}

/// A machine's history, with nothing in memory.
pub(crate) async fn history_in(store: &Arc<dyn Store>) -> History {
    store.introduce(&Host::new(HOST, "testbed")).await.unwrap();
    History::new(store.clone(), HOST)
}

/// A new database in a cluster that all tests of this process share; `None` if there can be none.
pub(crate) async fn empty_postgresql() -> Option<String> {
    match cluster().await {
        Ok(cluster) => Some(cluster.database().await),
        Err(reason) => {
            skipped(reason);
            None
        }
    }
}

async fn cluster() -> &'static Result<postgres::Cluster, String> {
    static CLUSTER: OnceCell<Result<postgres::Cluster, String>> = OnceCell::const_new();
    CLUSTER.get_or_init(postgres::Cluster::start).await
}

fn skipped(reason: &str) {
    let test = std::thread::current();
    println!("SKIPPED: {}: {reason}", test.name().unwrap_or("store"));
}

/// Defines a test per engine from each async function that takes a [`Fresh`].
macro_rules! on_every_engine {
    ($($test:ident),+ $(,)?) => {
        crate::on_engine!(sqlite: $($test),+);
        crate::on_engine!(postgresql: $($test),+);
        crate::on_engine!(pooled: $($test),+);
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

/// Microseconds since the epoch.
pub fn micros(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1000).expect("a time of this age")
}

/// All points of a range with every statistic.
pub async fn points(
    history: &History,
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
    let mut read = Points::open(history, query).await.expect("a planned query");
    let mut all = Vec::new();
    while let Some(point) = read.next().await.expect("a readable range") {
        all.push(serde_json::from_slice(&point.json).expect("points are JSON"));
    }
    assert!(!read.truncated());
    all
}
