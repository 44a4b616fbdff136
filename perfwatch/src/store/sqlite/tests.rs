use super::*;
use crate::snapshot::MetricType;
use crate::store::sqlite_url;
use std::os::unix::fs::PermissionsExt;
use time::macros::datetime;

async fn open(dir: &std::path::Path) -> SqliteStore {
    SqliteStore::open(&sqlite_url(dir), "test-host").await.unwrap()
}

#[tokio::test]
async fn the_file_is_private_and_reopening_keeps_everything() {
    // Characters that end a URL's path must not end ours.
    let dir = tempfile::Builder::new().prefix("per cent%20?#").tempdir().unwrap();
    let store = open(dir.path()).await;
    store.create_user("ann", "hash", "admin").await.unwrap();
    store.close().await;
    let mode = std::fs::metadata(dir.path().join("perfwatch.db")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let store = open(dir.path()).await;
    assert_eq!(store.user_by_name("ann").await.unwrap().unwrap().password_hash, "hash");
    store.close().await;
}

#[tokio::test]
async fn a_replayed_batch_lands_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let rows: Vec<Row> = (0..200)
        .map(|i| Row {
            timestamp: datetime!(2026-01-01 00:00:00 UTC) + Duration::from_secs(5 * i),
            metric_type: MetricType::Cpu,
            json: br#"{"usage_percent":1.5}"#.as_slice().into(),
        })
        .collect();
    store.append(&rows[..100]).await.unwrap();
    store.append(&rows).await.unwrap();
    store.append(&[]).await.unwrap();
    let count: i64 =
        sqlx::query_scalar("SELECT count(*) FROM metrics_snapshots").fetch_one(&store.read).await.unwrap();
    assert_eq!(count, 200);
    store.close().await;
}

#[tokio::test]
async fn readers_cannot_write() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    assert!(sqlx::query("DELETE FROM users").execute(&store.read).await.is_err());
    store.close().await;
}

#[tokio::test]
async fn memory_databases_are_refused() {
    assert!(SqliteStore::open("sqlite::memory:", "h").await.is_err());
}

/// Every query of a chart walks an index and nothing else.
#[tokio::test]
async fn queries_are_answered_from_indexes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    for (query, index) in [
        (
            history::SCAN_RAW,
            "SEARCH metrics_snapshots USING INDEX idx_metrics_timestamp (host=? AND timestamp>? AND timestamp<?)",
        ),
        (
            history::SCAN_ROLLUPS,
            "SEARCH metrics_rollups USING PRIMARY KEY (host=? AND metric_type=? AND tier=? AND timestamp>? AND timestamp<?)",
        ),
        (
            history::STALE,
            "SEARCH rollup_stale USING PRIMARY KEY (host=? AND tier=? AND bucket>? AND bucket<?)",
        ),
    ] {
        let explain = format!("EXPLAIN QUERY PLAN {query}");
        let rows: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(sqlx::AssertSqlSafe(explain)).fetch_all(&store.read).await.unwrap();
        let steps: Vec<&str> = rows.iter().map(|r| r.3.as_str()).collect();
        assert_eq!(steps, [index]);
    }
    store.close().await;
}
