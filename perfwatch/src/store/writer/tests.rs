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
    let writer = Writer::spawn(Arc::clone(&store), spool_in(dir.path())).unwrap();
    let stats = writer.stats();
    for second in 0..40 {
        writer.handle().submit(&snapshot(second));
    }
    writer.close().await;
    store.close().await;
    assert_eq!((stats.written(), stats.dropped(), stats.failing()), (40, 0, false));
    assert_eq!(rows_in(dir.path()).await, 80);
    assert_eq!(files_in_spool(dir.path()), 0, "what is stored is not kept twice");
}

fn files_in_spool(dir: &std::path::Path) -> usize {
    std::fs::read_dir(dir.join("spool")).unwrap().count()
}

/// Waits for it, however busy the machine is.
async fn until(stats: &Stats, condition: impl Fn(&Stats) -> bool) {
    let since = Instant::now();
    while !condition(stats) {
        assert!(since.elapsed() < Duration::from_secs(60), "{stats:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A writer whose batches never come by themselves, and three snapshots with it.
async fn waiting(dir: &std::path::Path) -> (Arc<dyn Store>, Writer) {
    let store = store::open(&store::sqlite_url(dir)).await.unwrap();
    let writer = Writer::batching(Arc::clone(&store), spool_in(dir), Duration::from_secs(86_400)).unwrap();
    for second in 0..3 {
        writer.handle().submit(&snapshot(second));
    }
    until(&writer.stats, |stats| stats.waiting() == 3).await;
    (store, writer)
}

#[tokio::test]
async fn one_that_gets_nothing_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = store::open(&store::sqlite_url(dir.path())).await.unwrap();
    let writer = Writer::spawn(Arc::clone(&store), spool_in(dir.path())).unwrap();
    assert!(writer.handle().flush(snapshot(0).timestamp).await);
    writer.close().await;
    store.close().await;
    assert!(!dir.path().join("spool").exists());
}

#[tokio::test]
async fn a_reader_gets_what_waits_for_its_batch() {
    let dir = tempfile::tempdir().unwrap();
    let (store, writer) = waiting(dir.path()).await;
    let stats = writer.stats();
    assert_eq!((stats.written(), stats.failing(), stats.catching_up()), (0, false, false));
    assert_eq!(rows_in(dir.path()).await, 0);

    // Nothing was measured until then.
    assert!(!writer.handle().flush(snapshot(0).timestamp - Duration::from_secs(1)).await);
    assert_eq!(rows_in(dir.path()).await, 0);
    assert!(writer.handle().flush(snapshot(1).timestamp).await);
    assert_eq!(rows_in(dir.path()).await, 6);
    assert_eq!((stats.written(), stats.waiting(), stats.spool_bytes()), (3, 0, 0));
    assert_eq!(files_in_spool(dir.path()), 0);

    let handle = writer.handle();
    writer.close().await;
    assert!(handle.flush(snapshot(1).timestamp).await, "a writer that has ended keeps nobody");
    store.close().await;
}

#[tokio::test]
async fn what_waits_for_its_batch_outlives_a_kill() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (store, writer) = waiting(dir.path()).await;
    // What a kill would leave behind now.
    std::fs::create_dir(other.path().join("spool")).unwrap();
    for file in std::fs::read_dir(dir.path().join("spool")).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), other.path().join("spool").join(file.file_name())).unwrap();
    }
    writer.close().await;
    store.close().await;

    let store = store::open(&store::sqlite_url(other.path())).await.unwrap();
    let writer = Writer::spawn(Arc::clone(&store), spool_in(other.path())).unwrap();
    assert!(writer.handle().flush(snapshot(2).timestamp).await);
    assert_eq!(rows_in(other.path()).await, 6);
    assert_eq!(files_in_spool(other.path()), 0);
    writer.close().await;
    store.close().await;
}

#[tokio::test]
async fn many_do_not_wait_for_more() {
    let dir = tempfile::tempdir().unwrap();
    let (store, writer) = waiting(dir.path()).await;
    for second in 3..BATCH as u64 {
        writer.submit_waiting(snapshot(second)).await;
    }
    until(&writer.stats, |stats| stats.waiting() == 0).await;
    assert_eq!(rows_in(dir.path()).await, 2 * i64::try_from(BATCH).unwrap());
    writer.close().await;
    store.close().await;
}

#[tokio::test]
async fn a_batch_that_the_store_refuses_is_left_to_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let (store, writer) = waiting(dir.path()).await;
    store.close().await;
    let stats = writer.stats();
    assert!(!writer.handle().flush(snapshot(2).timestamp).await);
    assert!(stats.failing() && stats.catching_up());
    // From now on at once.
    writer.handle().submit(&snapshot(3));
    until(&stats, |stats| stats.waiting() == 4).await;
    writer.close().await;

    let store = store::open(&store::sqlite_url(dir.path())).await.unwrap();
    let writer = Writer::spawn(Arc::clone(&store), spool_in(dir.path())).unwrap();
    writer.drained().await;
    assert_eq!(rows_in(dir.path()).await, 8);
    assert_eq!((writer.stats().written(), writer.stats().catching_up()), (4, false));
    writer.close().await;
    store.close().await;
}

#[tokio::test]
async fn what_a_store_does_not_take_waits_on_disk_for_the_next_run() {
    let dir = tempfile::tempdir().unwrap();
    let url = store::sqlite_url(dir.path());
    let store = store::open(&url).await.unwrap();
    store.close().await;
    let writer = Writer::spawn(store, spool_in(dir.path())).unwrap();
    let stats = writer.stats();
    for second in 0..64 {
        writer.handle().submit(&snapshot(second));
    }
    writer.close().await;
    assert!(stats.failing());
    assert_eq!((stats.written(), stats.dropped(), stats.waiting()), (0, 0, 64));

    let store = store::open(&url).await.unwrap();
    let writer = Writer::spawn(Arc::clone(&store), spool_in(dir.path())).unwrap();
    writer.handle().submit(&snapshot(64));
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
    let writer = Writer::spawn(store, spool_in(dir.path())).unwrap();
    let stats = writer.stats();
    for second in 0..400 {
        writer.handle().submit(&snapshot(second));
        while writer.queue.capacity() < QUEUE / 2 {
            tokio::task::yield_now().await;
        }
    }
    writer.close().await;
    assert_eq!(stats.waiting() + stats.dropped(), 400);
    assert!((1..=256).contains(&stats.waiting()), "{}", stats.waiting());
    assert_eq!(stats.written(), 0);
}
