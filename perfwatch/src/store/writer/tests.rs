use super::*;
use crate::snapshot::{Document, MetricType};
use crate::store;
use serde_json::json;
use time::macros::datetime;

fn snapshot(second: u64) -> Arc<Snapshot> {
    let at = datetime!(2026-01-01 00:00:00 UTC) + Duration::from_secs(second);
    let documents = [MetricType::Cpu, MetricType::Memory]
        .map(|t| Document::new(t, "t", &json!({ "value": second })).unwrap())
        .into();
    Arc::new(Snapshot::new(at, documents))
}

#[tokio::test]
async fn what_was_submitted_before_close_is_in_the_table() {
    let dir = tempfile::tempdir().unwrap();
    let url = store::sqlite_url(dir.path());
    let store = store::open(&url).await.unwrap();
    let writer = Writer::spawn(Arc::clone(&store));
    let stats = writer.stats();
    for second in 0..40 {
        writer.submit(&snapshot(second));
    }
    writer.close().await;
    store.close().await;
    assert_eq!((stats.written(), stats.dropped(), stats.failing()), (40, 0, false));
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    let count: i64 =
        sqlx::query_scalar("SELECT count(*) FROM metrics_snapshots").fetch_one(&pool).await.unwrap();
    assert_eq!(count, 80);
}

#[tokio::test]
async fn a_closed_store_neither_blocks_the_tick_nor_the_shutdown() {
    let dir = tempfile::tempdir().unwrap();
    let store = store::open(&store::sqlite_url(dir.path())).await.unwrap();
    store.close().await;
    let writer = Writer::spawn(store);
    let stats = writer.stats();
    for second in 0..1000 {
        writer.submit(&snapshot(second));
    }
    assert_eq!(stats.dropped(), 1000 - QUEUE as u64);
    writer.close().await;
    assert!(stats.failing());
    assert_eq!(stats.written(), 0);
}
