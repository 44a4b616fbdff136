use super::*;
use crate::snapshot::MetricType;
use crate::store::sqlite_url;
use std::os::unix::fs::PermissionsExt;

async fn open(dir: &Path) -> SqliteStore {
    SqliteStore::open(&sqlite_url(dir)).await.unwrap()
}

#[tokio::test]
async fn the_file_is_private_and_reopening_keeps_everything() {
    // Characters that are special in a URL must not truncate our path.
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
async fn readers_cannot_write() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    assert!(sqlx::query("DELETE FROM users").execute(store.read().unwrap()).await.is_err());
    store.close().await;
}

#[tokio::test]
async fn a_damaged_file_is_named_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("perfwatch.db");
    std::fs::write(&file, "this is a letter to my aunt, and no database").unwrap();
    let error = SqliteStore::open(&sqlite_url(dir.path())).await.unwrap_err().to_string();
    let file_name = file.display().to_string();
    assert!(error.contains(&file_name) && error.contains("`perfwatch db salvage`"), "{error}");
    assert_eq!(std::fs::read(&file).unwrap().len(), 44, "it is left as it was");

    // Was intact, but the page of its first table has since been damaged.
    std::fs::remove_file(&file).unwrap();
    open(dir.path()).await.close().await;
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[100..2000].fill(0xee);
    std::fs::write(&file, &bytes).unwrap();
    let error = SqliteStore::open(&sqlite_url(dir.path())).await.unwrap_err().to_string();
    assert!(error.contains("is corrupt"), "{error}");
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_named_with_what_to_do() {
    // Not even root can create files there.
    let error = SqliteStore::open("sqlite:/proc/perfwatch.db").await.unwrap_err().to_string();
    assert!(
        error.contains("cannot write /proc/perfwatch.db") && error.contains("PERFWATCH_DATA_DIR"),
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
    // It can't be opened yet, however long we wait.
    assert!(tokio::time::timeout(Duration::from_secs(1), &mut opening).await.is_err());
    other.close().await.unwrap();
    let store = opening.await;
    assert_eq!(store.user_by_name("ann").await.unwrap().unwrap().role, "viewer");
    store.close().await;
}

#[tokio::test]
async fn memory_databases_are_refused() {
    assert!(SqliteStore::open("sqlite::memory:").await.is_err());
}

fn chunk(start: i64, byte: u8) -> Chunk {
    Chunk {
        content: MetricType::Cpu.into(),
        tier: 0,
        start,
        first: start,
        end: start + 1000,
        data: vec![byte; 40_000].into(),
    }
}

#[tokio::test]
async fn a_question_is_one_step_down_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let batch = Batch { put: (0..50).map(|n| chunk(n * 1000, 1)).collect(), ..Batch::default() };
    store.commit("a-host", &batch).await.unwrap();
    let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(
        "EXPLAIN QUERY PLAN SELECT start, ends, data FROM chunks
         WHERE host = 'a-host' AND metric_type = 'cpu' AND tier = 0 AND start > 1 AND start < 9 AND ends > 3
         ORDER BY start LIMIT 4",
    )
    .fetch_all(store.read().unwrap())
    .await
    .unwrap();
    let steps: Vec<&str> = plan.iter().map(|row| row.3.as_str()).collect();
    let step = "SEARCH chunks USING INDEX sqlite_autoindex_chunks_1 \
                (host=? AND metric_type=? AND tier=? AND start>? AND start<?)";
    assert_eq!(steps, [step]);
    store.close().await;
}

#[tokio::test]
async fn space_of_removed_chunks_goes_back_to_the_file_system() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let batch = Batch { put: (0..100).map(|n| chunk(n * 1000, 1)).collect(), ..Batch::default() };
    store.commit("a-host", &batch).await.unwrap();
    let full = store.extent("a-host").await.unwrap().bytes;
    assert_eq!(store.remove_before("a-host", 0, 90_000).await.unwrap(), 90);
    let left = store.extent("a-host").await.unwrap().bytes;
    assert!(left < full / 3, "{left} of {full}");
    store.close().await;
}

/// A connection would go on writing to a file that no longer has a name.
#[tokio::test]
async fn a_file_that_is_removed_or_replaced_is_noticed_and_taken_up_again_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let batch = Batch { put: vec![chunk(0, 1)], ..Batch::default() };
    store.commit("a-host", &batch).await.unwrap();
    let (file, aside) = (store.file.clone(), dir.path().join("aside"));
    std::fs::rename(&file, &aside).unwrap();
    for _ in 0..2 {
        for outcome in [store.ping().await, store.commit("a-host", &batch).await] {
            let error = outcome.unwrap_err();
            assert!(
                matches!(&error, StoreError::Unreachable(said) if said.contains("put it back")),
                "{error}"
            );
        }
        // In the second round, another file takes its place.
        std::fs::write(&file, b"").unwrap();
    }
    std::fs::rename(&aside, &file).unwrap();
    store.ping().await.unwrap();
    store.commit("a-host", &batch).await.unwrap();
    store.close().await;
}

/// SQLite then ends the transaction by itself; the connection must work for the next one.
#[tokio::test]
async fn a_full_disk_is_over_when_it_is_no_longer_full() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(store.write().unwrap()).await.unwrap();
    let limit = |pages: i64| sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
    sqlx::raw_sql(limit(pages + 4)).execute(store.write().unwrap()).await.unwrap();
    let batch = Batch { put: (0..50).map(|n| chunk(n * 1000, 1)).collect(), ..Batch::default() };
    for _ in 0..2 {
        let full = store.commit("a-host", &batch).await;
        assert!(matches!(full, Err(StoreError::Full)), "{full:?}");
        // A new connection is back to the default.
        if sqlx::raw_sql(limit(pages + 4)).execute(store.write().unwrap()).await.is_err() {
            break;
        }
    }
    sqlx::raw_sql(limit(1 << 30)).execute(store.write().unwrap()).await.unwrap();
    store.commit("a-host", &batch).await.unwrap();
    assert!(store.extent("a-host").await.unwrap().oldest.is_some());
    store.close().await;
}

#[tokio::test]
async fn the_threads_of_sqlite_have_a_low_priority() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.ping().await.unwrap();
    store.users().await.unwrap();
    let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let nice = threads.filter_map(|thread| {
        let name = std::fs::read_to_string(thread.path().join("comm")).ok()?;
        let stat = std::fs::read_to_string(thread.path().join("stat")).ok()?;
        // Niceness is field 19, the 17th behind the name.
        let nice: i32 = stat.rsplit_once(") ")?.1.split(' ').nth(16)?.parse().ok()?;
        name.starts_with("sqlx-sqlite").then_some(nice)
    });
    // Other tests of this process may be connecting just now.
    assert!(nice.into_iter().any(|nice| nice >= NICE));
    store.close().await;
}
