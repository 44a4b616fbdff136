//! PostgreSQL is killed, stays down, hangs and comes back while ticks continue: every tick is stored once.

use std::sync::Arc;
use std::time::Duration;

use perfwatch::history::History;
use perfwatch::history::maintenance::{DocumentDays, Maintenance};
use perfwatch::history::writer::{LogPlace, Stats, Writer};
use perfwatch::host::Host;
use perfwatch::snapshot::{MetricType, Snapshot};
use perfwatch::store::access::LoginRecord;
use perfwatch::store::{self, StoreError};
use serde_json::json;
use sqlx::{ConnectOptions, Connection};
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::postgres::Cluster;
use crate::readings::reading;
use crate::{HOST, points};

/// Between two ticks.
const TICK: Duration = Duration::from_millis(25);
/// How long a condition may take on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

struct Ticking {
    writer: Writer,
    /// Half a minute before a midnight, so that a new day begins on the way.
    start: OffsetDateTime,
    ticks: u64,
}

impl Ticking {
    /// Ticks until `enough`, and at least once.
    async fn until(&mut self, what: &str, mut enough: impl FnMut(&Stats) -> bool) {
        let since = Instant::now();
        let stats = self.writer.stats();
        loop {
            // A second apart, so that midnight and with it a new partition falls into the test.
            let at = self.start + Duration::from_secs(self.ticks);
            let readings = [
                reading(MetricType::Cpu, at, &json!({ "usage_percent": self.ticks })),
                reading(MetricType::Disk, at, &json!({"io": {"read_bytes": self.ticks}})),
            ];
            self.writer.handle().submit(&Arc::new(Snapshot::new(at, readings.into())));
            self.ticks += 1;
            tokio::time::sleep(TICK).await;
            if enough(&stats) {
                return;
            }
            assert!(since.elapsed() < TIMEOUT, "{what}: {stats:?} after {} ticks", self.ticks);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_tick_is_stored_once_whatever_the_server_does() {
    let mut cluster = match Cluster::start().await {
        Ok(cluster) => cluster,
        Err(reason) => {
            println!("SKIPPED: every_tick_is_stored_once_whatever_the_server_does: {reason}");
            return;
        }
    };
    let dir = tempfile::tempdir().unwrap();
    let url = cluster.database().await;
    let place = LogPlace { dir: dir.path().join("spool"), max_bytes: 1 << 20 };

    // The server is unreachable when we start.
    cluster.kill();
    let store = store::open(&url).await.unwrap();
    assert!(matches!(store.ping().await, Err(StoreError::Unreachable(_))));
    let documents = DocumentDays(7);
    let midnight = OffsetDateTime::now_utc().replace_time(time::Time::MIDNIGHT) - Duration::from_secs(86_400);
    let start = midnight - Duration::from_secs(30);
    let history = History::new(store.clone(), HOST);
    let writer = Writer::spawn(history.clone(), place.clone(), documents).unwrap();
    let maintenance = Maintenance::spawn(history, store.clone(), Host::new(HOST, "testbed"), documents);
    let mut ticking = Ticking { writer, start, ticks: 0 };
    ticking.until("an absent server is noticed", |s| s.failing() && s.waiting() >= 20).await;
    cluster.run().await;
    ticking.until("the first ticks are stored", |s| !s.failing() && !s.catching_up()).await;

    // Killed in the middle of writing, and down for a while.
    cluster.kill();
    ticking.until("the kill is noticed", Stats::failing).await;
    let waiting = ticking.writer.stats().waiting();
    ticking.until("ticks wait", |s| s.waiting() >= waiting + 100 && s.log_bytes() > 0).await;
    cluster.run().await;
    ticking.until("what waited is stored", |s| !s.failing() && !s.catching_up()).await;

    // It hangs: connections stay open and nothing answers.
    cluster.hang();
    ticking.until("ticks of a hang are on disk", |s| s.log_bytes() > 0 && s.waiting() >= 100).await;
    cluster.resume();
    ticking.until("the hang is over", |s| !s.failing() && !s.catching_up()).await;

    // We are stopped while it hangs again; the next run stores what this one could not.
    cluster.hang();
    ticking.until("a second hang", |s| s.waiting() >= 100).await;
    let Ticking { writer, ticks, .. } = ticking;
    let stats = writer.stats();
    writer.close().await;
    assert_eq!(stats.dropped(), 0);
    cluster.resume();
    maintenance.close().await;
    let history = History::new(store.clone(), HOST);
    let writer = Writer::spawn(history.clone(), place.clone(), documents).unwrap();
    writer.drained().await;
    writer.close().await;
    for (metric_type, field) in [(MetricType::Cpu, "/usage_percent"), (MetricType::Disk, "/io/read_bytes")] {
        let length = time::Duration::seconds(ticks.cast_signed());
        // A point is five ticks wide, so their number and their sum show that each is there once.
        let found = points(&history, metric_type, start, length, "5s").await;
        let all: u64 = found.iter().map(|point| point["count"].as_u64().unwrap()).sum();
        let times = || found.iter().map(|point| (&point["timestamp"], &point["count"])).collect::<Vec<_>>();
        assert_eq!(all, ticks, "{metric_type:?} from {start}: {:?}", times());
        for (n, point) in (0..).zip(&found[..found.len() - 1]) {
            let average = point["data"].pointer(field).unwrap();
            assert_eq!(average.as_f64(), Some(f64::from(n * 5 + 2)), "{metric_type:?}: {point}");
        }
    }
    store.close().await;

    let mut admin = cluster.options("postgres", "test0").connect().await.unwrap();
    // The same for documents queried in SQL.
    for (metric_type, field) in [("cpu", "{usage_percent}"), ("disk", "{io,read_bytes}")] {
        let stored: Vec<(OffsetDateTime, i64)> = sqlx::query_as(
            "SELECT timestamp, (metric_data #>> $2::text[])::bigint FROM metrics_snapshots
             WHERE metric_type = $1 ORDER BY timestamp",
        )
        .bind(metric_type)
        .bind(field)
        .fetch_all(&mut admin)
        .await
        .unwrap();
        let expected = (0..ticks).map(|n| (start + Duration::from_secs(n), n.cast_signed()));
        assert!(stored.iter().copied().eq(expected), "{metric_type}: {} rows of {ticks}", stored.len());
    }
    admin.close().await.unwrap();
    assert_eq!(std::fs::read_dir(&place.dir).unwrap().count(), 0, "nothing is left in the log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_asked_first_finds_the_tables_made() {
    let mut cluster = match Cluster::start().await {
        Ok(cluster) => cluster,
        Err(reason) => {
            println!("SKIPPED: whatever_is_asked_first_finds_the_tables_made: {reason}");
            return;
        }
    };
    let mut urls = Vec::new();
    for _ in 0..3 {
        urls.push(cluster.database().await);
    }
    cluster.kill();
    let mut stores = Vec::new();
    for url in &urls {
        stores.push(store::open(url).await.unwrap());
    }
    cluster.run().await;
    // Each of these is the first to find a database without a table.
    let long_ago = OffsetDateTime::UNIX_EPOCH;
    assert_eq!(answered(async || stores[0].login_failures(long_ago).await).await.len(), 0);
    assert_eq!(answered(async || stores[1].accounts_version().await).await, 0);
    let failure = LoginRecord { user_hash: "u".into(), address: "::1".into(), familiar: false, at: long_ago };
    answered(async || stores[2].record_failure(&failure, long_ago).await).await;
    assert_eq!(stores[2].login_failures(long_ago).await.unwrap().len(), 1);
}

/// Retries until the server is up: for a moment its absence is remembered.
async fn answered<T>(ask: impl AsyncFn() -> store::Result<T>) -> T {
    let since = Instant::now();
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(StoreError::Unreachable(_)) if since.elapsed() < TIMEOUT => tokio::time::sleep(TICK).await,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn behind_a_pooler_with_few_connections_nothing_hangs() {
    let cluster = match Cluster::start().await {
        Ok(cluster) => cluster,
        Err(reason) => {
            println!("SKIPPED: behind_a_pooler_with_few_connections_nothing_hangs: {reason}");
            return;
        }
    };
    for (mode, connections, enough) in
        [("session", 10, true), ("session", 1, false), ("transaction", 1, true)]
    {
        let pooler = match cluster.pooler(mode, connections).await {
            Ok(pooler) => pooler,
            Err(reason) => {
                println!("SKIPPED: behind_a_pooler_with_few_connections_nothing_hangs: {reason}");
                return;
            }
        };
        let url = pooler.url(&cluster.database().await);
        let store = store::open(&url).await.unwrap();
        store.create_user("ann", "hash", "admin").await.unwrap();
        let all = (0..24).map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let since = Instant::now();
                let outcome = match n % 3 {
                    0 => store.user_by_name("ann").await.map(|user| assert!(user.is_some())),
                    1 => store.set_config(&[("key", n.to_string())]).await,
                    _ => store.introduce(&Host::new(HOST, "name")).await,
                };
                (outcome, since.elapsed())
            })
        });
        let (mut done, mut refused) = (0, 0);
        for one in all.collect::<Vec<_>>() {
            let (outcome, took) = one.await.unwrap();
            assert!(took < TIMEOUT / 2, "{mode}: {took:?}");
            match outcome {
                Ok(()) => done += 1,
                Err(StoreError::Unreachable(_)) => refused += 1,
                Err(error) => panic!("{mode}: {error}"),
            }
        }
        println!("{mode}, {connections} connections: {done} done, {refused} refused in time");
        // A session keeps its connection: with fewer than we may have, some get none.
        assert!(done > 0 && (!enough || refused == 0), "{mode}: {done} done, {refused} refused");
        store.close().await;
    }
}
