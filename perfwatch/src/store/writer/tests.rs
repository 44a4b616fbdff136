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

fn spool_in(dir: &std::path::Path) -> SpoolPlace {
    SpoolPlace { dir: dir.join("spool"), max_bytes: 1 << 20 }
}

async fn rows_in(dir: &std::path::Path) -> i64 {
    let pool = sqlx::SqlitePool::connect(&store::sqlite_url(dir)).await.unwrap();
    sqlx::query_scalar("SELECT count(*) FROM metrics_snapshots").fetch_one(&pool).await.unwrap()
}

#[tokio::test]
async fn what_was_submitted_before_close_is_in_the_table() {
    let dir = tempfile::tempdir().unwrap();
    let store = store::open(&store::sqlite_url(dir.path())).await.unwrap();
    let writer = Writer::spawn(Arc::clone(&store), spool_in(dir.path()));
    let stats = writer.stats();
    for second in 0..40 {
        writer.submit(&snapshot(second));
    }
    writer.close().await;
    store.close().await;
    assert_eq!((stats.written(), stats.dropped(), stats.failing()), (40, 0, false));
    assert_eq!(rows_in(dir.path()).await, 80);
    assert!(!dir.path().join("spool").exists(), "a store that answers needs no spool");
}

#[tokio::test]
async fn what_a_store_does_not_take_waits_on_disk_for_the_next_run() {
    let dir = tempfile::tempdir().unwrap();
    let url = store::sqlite_url(dir.path());
    let store = store::open(&url).await.unwrap();
    store.close().await;
    let writer = Writer::spawn(store, spool_in(dir.path()));
    let stats = writer.stats();
    for second in 0..64 {
        writer.submit(&snapshot(second));
    }
    writer.close().await;
    assert!(stats.failing());
    assert_eq!((stats.written(), stats.dropped(), stats.waiting()), (0, 0, 64));

    let store = store::open(&url).await.unwrap();
    let writer = Writer::spawn(Arc::clone(&store), spool_in(dir.path()));
    writer.submit(&snapshot(64));
    writer.drained().await;
    let stats = writer.stats();
    assert_eq!((stats.written(), stats.dropped(), stats.waiting()), (65, 0, 0));
    writer.close().await;
    store.close().await;
    assert_eq!(rows_in(dir.path()).await, 130);
}

#[tokio::test]
async fn with_neither_store_nor_disk_the_newest_stay_in_memory_and_the_rest_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    // A file where the directory should be refuses everyone, root too.
    std::fs::write(dir.path().join("spool"), "").unwrap();
    let store = store::open(&store::sqlite_url(dir.path())).await.unwrap();
    store.close().await;
    let writer = Writer::spawn(store, spool_in(dir.path()));
    let stats = writer.stats();
    for second in 0..400 {
        writer.submit(&snapshot(second));
        while writer.queue.capacity() < QUEUE / 2 {
            tokio::task::yield_now().await;
        }
    }
    writer.close().await;
    assert_eq!(stats.waiting() + stats.dropped(), 400);
    assert!((1..=256).contains(&stats.waiting()), "{}", stats.waiting());
    assert_eq!(stats.written(), 0);
}
