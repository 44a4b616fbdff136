use std::path::Path;
use std::sync::atomic::AtomicU64;

use super::*;
use crate::history::questions::HistoryQuery;
use crate::history::questions::points::Points;
use crate::history::testing::{START, history, snapshot};
use crate::host::Host;
use crate::snapshot::MetricType;
use crate::store::chunks::{Batch, Chunk, ChunkStore, Content, Size, Tiers, Wanted};
use crate::store::policy::Extent;

fn place(dir: &Path) -> LogPlace {
    LogPlace { dir: dir.join("spool"), max_bytes: 1 << 20 }
}

fn spawn(history: &History, dir: &Path) -> Writer {
    Writer::spawn(history.clone(), place(dir), DocumentDays(0)).unwrap()
}

/// Number of readings that a query returns.
async fn count(history: &History, seconds: i64) -> u64 {
    let query = HistoryQuery {
        interval: crate::history::questions::Interval::parse("1m").unwrap(),
        ..HistoryQuery::new(MetricType::Cpu, START, START + time::Duration::seconds(seconds))
    };
    let mut points = Points::open(history, query).await.unwrap();
    let mut count = 0;
    while let Some((_, sum)) = points.next_sum().await.unwrap() {
        count += sum.samples();
    }
    count
}

#[tokio::test]
async fn a_question_has_everything_before_and_after_it_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, history) = history(dir.path()).await;
    let writer = spawn(&history, dir.path());
    for second in 0..150 {
        writer.submit_waiting(snapshot(second)).await;
    }
    while writer.stats().written() < 60 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(count(&history, 1000).await, 150);
    writer.drained().await;
    assert_eq!(writer.stats().written(), 150);
    assert_eq!(count(&history, 1000).await, 150);
    assert_eq!(std::fs::read_dir(dir.path().join("spool")).unwrap().count(), 0);
    writer.close().await;
}

#[tokio::test]
async fn what_a_killed_run_left_is_stored_once() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, first) = history(dir.path()).await;
    {
        let mut log = Log::open(&place(dir.path()).dir, 1 << 20).unwrap();
        (0..90).for_each(|second| log.note(1, &snapshot(second)).unwrap());
    }
    let kept = std::fs::read(place(dir.path()).dir.join("000000000001.log")).unwrap();
    for run in 0..2i64 {
        let writer = spawn(&first, dir.path());
        writer.drained().await;
        assert_eq!(count(&first, 1000).await, 90, "run {run}");
        writer.close().await;
        // Killed between the commit and the removal of the file.
        std::fs::write(place(dir.path()).dir.join("000000000001.log"), &kept).unwrap();
    }
}

#[tokio::test]
async fn a_run_that_goes_on_amid_a_minute_adds_to_it() {
    let dir = tempfile::tempdir().unwrap();
    for (run, seconds) in [(0..20), (20..40), (40..130)].into_iter().enumerate() {
        let (store, history) = history(dir.path()).await;
        let writer = spawn(&history, dir.path());
        let end = seconds.end;
        for second in seconds {
            writer.submit_waiting(snapshot(second)).await;
        }
        writer.close().await;
        assert_eq!(count(&history, 1000).await, end.unsigned_abs(), "run {run}");
        store.close().await;
    }
}

/// The clock is set back; later readings are stored next to the existing ones.
#[tokio::test]
async fn a_clock_that_is_set_back_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, history) = history(dir.path()).await;
    let writer = spawn(&history, dir.path());
    for second in [500_000, 500_001, 10, 11, 11, 5, 6, 10, 12] {
        writer.submit_waiting(snapshot(second)).await;
    }
    while writer.stats().refused() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    writer.drained().await;
    // 5, 6, 10, 11, 12, 500000 and 500001, each once.
    assert_eq!((count(&history, 1_000_000).await, writer.stats().refused()), (7, 1));
    writer.close().await;
}

/// Readings from when the clock was ahead show up next to later ones, stored or not.
#[tokio::test]
async fn a_clock_that_returns_from_ahead_hides_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, history) = history(dir.path()).await;
    let writer = spawn(&history, dir.path());
    let ahead = 500_000..500_008;
    let around = [0..5, 500_003..500_005];
    for second in ahead {
        writer.submit_waiting(snapshot(second)).await;
    }
    writer.drained().await;
    // Two of the second group are already there, and the next slot is not stored yet.
    for second in around.into_iter().flatten().chain([500_020]) {
        writer.submit_waiting(snapshot(second)).await;
    }
    while history.head().ends().map(|(_, newest)| newest) != Some(snapshot(500_020).timestamp) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for seconds in [1_000_000, 600_000] {
        assert_eq!(count(&history, seconds).await, 8 + 5 + 1);
    }
    writer.drained().await;
    assert_eq!(count(&history, 1_000_000).await, 8 + 5 + 1);
    writer.close().await;
}

/// A store that permanently refuses the first slots it is given.
#[derive(Debug)]
struct Refusing {
    store: Arc<dyn crate::store::Store>,
    left: AtomicU64,
}

#[async_trait::async_trait]
impl ChunkStore for Refusing {
    async fn introduce(&self, host: &Host) -> Result<()> {
        self.store.introduce(host).await
    }

    async fn hosts(&self) -> Result<Vec<Host>> {
        self.store.hosts().await
    }

    async fn commit(&self, host: &str, batch: &Batch) -> Result<()> {
        if self.left.load(Ordering::Relaxed) > 0 {
            self.left.fetch_sub(1, Ordering::Relaxed);
            return Err(StoreError::Refused("too big".into()));
        }
        self.store.commit(host, batch).await
    }

    async fn find(&self, host: &str, wanted: Wanted, limit: i64) -> Result<Vec<Chunk>> {
        self.store.find(host, wanted, limit).await
    }

    async fn span(&self, host: &str, content: Content, tier: i64) -> Result<Option<(i64, i64)>> {
        self.store.span(host, content, tier).await
    }

    async fn tiers(&self, host: &str) -> Result<Tiers> {
        self.store.tiers(host).await
    }

    async fn remove_before(&self, host: &str, tier: i64, before: i64) -> Result<u64> {
        self.store.remove_before(host, tier, before).await
    }

    async fn extent(&self, host: &str) -> Result<Extent> {
        self.store.extent(host).await
    }

    async fn sizes(&self, host: &str, tier: i64, after: i64) -> Result<Vec<Size>> {
        self.store.sizes(host, tier, after).await
    }

    async fn newest(&self) -> Result<Vec<(String, i64)>> {
        self.store.newest().await
    }

    async fn stale_hosts(&self, tier: i64, until: i64) -> Result<Vec<String>> {
        self.store.stale_hosts(tier, until).await
    }
}

/// Slots stay separate even if the disk accepts only some of them while the store is unavailable.
#[tokio::test]
async fn what_only_memory_has_is_stored_in_its_turn() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = history(dir.path()).await;
    let refusing = Arc::new(Refusing { store, left: AtomicU64::new(5) });
    let history = History::new(refusing, "test-host");
    let spool = place(dir.path()).dir;
    std::fs::create_dir_all(spool.join("000000000002.log")).unwrap();
    std::fs::create_dir_all(spool.join("000000000002.chunks")).unwrap();
    let writer = spawn(&history, dir.path());
    for second in 0..240 {
        writer.submit_waiting(snapshot(second)).await;
    }
    writer.drained().await;
    assert_eq!((writer.stats().written(), writer.stats().dropped()), (240, 0));
    assert_eq!(count(&history, 1000).await, 240);
    writer.close().await;
}

#[tokio::test]
async fn a_slot_that_the_store_never_takes_is_set_aside_and_the_rest_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = history(dir.path()).await;
    let refusing = Arc::new(Refusing { store, left: AtomicU64::new(MAX_REFUSALS.into()) });
    let history = History::new(refusing, "test-host");
    let writer = spawn(&history, dir.path());
    for second in 0..120 {
        writer.submit_waiting(snapshot(second)).await;
    }
    writer.drained().await;
    assert_eq!((writer.stats().written(), writer.stats().dropped()), (60, 60));
    assert_eq!(count(&history, 1000).await, 60);
    let aside = std::fs::read_dir(dir.path().join("spool")).unwrap().flatten();
    let names: Vec<String> = aside.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    assert_eq!(names, ["000000000001.refused"]);
    writer.close().await;
}
