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
async fn a_damaged_file_is_named_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("perfwatch.db");
    std::fs::write(&file, "this is a letter to my aunt, and no database").unwrap();
    let error = SqliteStore::open(&sqlite_url(dir.path()), "h").await.unwrap_err().to_string();
    assert!(error.contains(&format!("mv {0} {0}.damaged", file.display())), "{error}");
    assert_eq!(std::fs::read(&file).unwrap().len(), 44, "it is left as it was");

    // One that was whole, and whose first table's page is not any more.
    std::fs::remove_file(&file).unwrap();
    open(dir.path()).await.close().await;
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[100..2000].fill(0xee);
    std::fs::write(&file, &bytes).unwrap();
    let error = SqliteStore::open(&sqlite_url(dir.path()), "h").await.unwrap_err().to_string();
    assert!(error.contains("is damaged"), "{error}");
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_named_with_what_to_do() {
    // Not even root makes files there.
    let error = SqliteStore::open("sqlite:/proc/perfwatch.db", "h").await.unwrap_err().to_string();
    assert!(
        error.contains("/proc/perfwatch.db cannot be written") && error.contains("PERFWATCH_DATA_DIR"),
        "{error}"
    );
}

#[tokio::test]
async fn a_locked_file_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.create_user("ann", "hash", "admin").await.unwrap();
    store.close().await;
    let options = SqliteConnectOptions::from_str(&sqlite_url(dir.path())).unwrap();
    let mut other = options.pragma("locking_mode", "exclusive").connect().await.unwrap();
    sqlx::query("UPDATE users SET role = 'viewer'").execute(&mut other).await.unwrap();

    let opening = open(dir.path());
    tokio::pin!(opening);
    // However long it is given, it cannot be opened yet.
    assert!(tokio::time::timeout(Duration::from_secs(1), &mut opening).await.is_err());
    sqlx::Connection::close(other).await.unwrap();
    let store = opening.await;
    assert_eq!(store.user_by_name("ann").await.unwrap().unwrap().role, "viewer");
    store.close().await;
}

#[tokio::test]
async fn memory_databases_are_refused() {
    assert!(SqliteStore::open("sqlite::memory:", "h").await.is_err());
}

#[tokio::test]
async fn documents_fill_their_pages() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let empty = store.extent().await.unwrap().bytes;
    // As long as those of a machine with hardware counters.
    let lengths = [585, 530, 1100, 1050, 425, 2500, 7700, 2100, 785, 10_800, 530];
    let rows: Vec<Row> = (0..200u64)
        .flat_map(|tick| MetricType::ALL.into_iter().zip(lengths).map(move |(t, length)| (tick, t, length)))
        .map(|(tick, metric_type, length)| Row {
            timestamp: datetime!(2026-01-01 00:00:00 UTC) + Duration::from_secs(5 * tick),
            metric_type,
            json: format!("{{\"text\":\"{}\"}}", "x".repeat(length - 11)).into(),
        })
        .collect();
    store.append(&rows).await.unwrap();
    let text: u64 = rows.iter().map(|row| row.json.len() as u64).sum();
    let taken = store.extent().await.unwrap().bytes - empty;
    assert!(taken < text * 5 / 4, "{taken} bytes for {text}");
    store.close().await;
}

/// Every query of a chart walks an index and nothing else.
#[tokio::test]
async fn queries_are_answered_from_indexes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    for (query, index) in [
        (
            history::SCAN_RAW,
            "SEARCH packed_snapshots USING INDEX idx_metrics_timestamp (host=? AND timestamp>? AND timestamp<?)",
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
    let explain = format!("EXPLAIN QUERY PLAN {}", history::COVERAGE);
    let rows: Vec<(i64, i64, i64, String)> =
        sqlx::query_as(sqlx::AssertSqlSafe(explain)).fetch_all(&store.read).await.unwrap();
    assert!(rows.iter().all(|row| !row.3.contains("SCAN")), "{rows:?}");
    // Others ask the view.
    let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(
        "EXPLAIN QUERY PLAN SELECT usage_percent FROM perfwatch_cpu WHERE host = 'h' AND timestamp > 1",
    )
    .fetch_all(&store.read)
    .await
    .unwrap();
    assert!(plan[0].3.contains("USING INDEX idx_metrics_timestamp (host=? AND timestamp>?"), "{plan:?}");
    store.close().await;
}
