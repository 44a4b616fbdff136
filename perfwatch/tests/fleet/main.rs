//! The fleet with real NATS servers and real databases: what is sealed on a machine is on the hub once and only once,
//! whatever dies meanwhile.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step fails the test")]
#![allow(clippy::print_stdout, reason = "a skipped test says so")]

mod alerts;
mod arrival;
mod credentials;
mod faults;
mod joining;
mod live;
mod nats;
mod network;
mod overview;
#[path = "../support/postgres.rs"]
mod postgres;
mod processes;
#[path = "../support/readings.rs"]
mod readings;
#[path = "../support/receiver.rs"]
mod receiver;
mod refused;
mod watched;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use perfwatch::config;
use perfwatch::fleet::courses::Courses;
use perfwatch::fleet::forward::SendingOnly;
use perfwatch::fleet::hub::receiver::{Parts, Receiver};
use perfwatch::fleet::hub::{Stats, Turns};
use perfwatch::fleet::outbox::Outbox;
use perfwatch::fleet::presence::Presence;
use perfwatch::fleet::sender::Sender;
use perfwatch::history::History;
use perfwatch::history::maintenance::DocumentDays;
use perfwatch::history::questions::points::Points;
use perfwatch::history::questions::{HistoryQuery, Interval};
use perfwatch::history::writer::{LogPlace, Writer};
use perfwatch::host::Host;
use perfwatch::snapshot::{MetricType, Reading, Snapshot};
use perfwatch::store::{self, Store};
use serde_json::json;
use time::OffsetDateTime;
use time::macros::datetime;
use tokio::sync::OnceCell;
use tokio::time::Instant;

/// A machine's ID, with a dot, which separates the tokens of a subject.
const HOST: &str = "web.1";
const START: OffsetDateTime = datetime!(2026-01-05 00:00:00 UTC);
/// How long anything may take on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(90);

fn at(second: i64) -> OffsetDateTime {
    START + time::Duration::seconds(second)
}

/// Two documents a tick.
fn snapshot(second: i64) -> Snapshot {
    let cpu = json!({"usage_percent": (second % 100) as f64, "per_core": [1.5, null]});
    let disk = json!({"disks": []});
    let readings: Vec<Reading> = [(MetricType::Cpu, cpu), (MetricType::Disk, disk)]
        .into_iter()
        .map(|(of, body)| readings::reading(of, at(second), &body))
        .collect();
    Snapshot::new(at(second), readings)
}

/// Waits until `done` returns something.
async fn until<T>(what: &str, mut done: impl AsyncFnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = done().await {
            return found;
        }
        assert!(since.elapsed() < TIMEOUT, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A machine that only sends, as `perfwatch agent` does, but with given snapshots.
struct Machine {
    writer: Writer,
    outbox: Outbox,
}

impl Machine {
    fn start(dir: &Path, host: &str) -> Self {
        let outbox = Outbox::open(&dir.join("outbox"), 64 << 20).unwrap();
        let history = History::new(Arc::new(SendingOnly::new(outbox.clone())), host);
        let place = LogPlace { dir: dir.join("spool"), max_bytes: 64 << 20 };
        Self { writer: Writer::spawn(history, place, DocumentDays(0)).unwrap(), outbox }
    }

    /// Measures these seconds, and seals them.
    async fn measure(&self, seconds: std::ops::Range<i64>) {
        for second in seconds {
            self.writer.submit_waiting(Arc::new(snapshot(second))).await;
        }
        self.writer.drained().await;
    }

    async fn sender(&self, host: &str, nats: &nats::Nats) -> Sender {
        Sender::spawn(&fleet(nats), Host::new(host, "web"), self.outbox.clone(), Duration::ZERO)
            .await
            .unwrap()
    }
}

fn fleet(nats: &nats::Nats) -> config::Fleet {
    config::Fleet {
        servers: vec![nats.url()],
        outbox_max_bytes: 64 << 20,
        stream_replicas: 1,
        ..config::Fleet::default()
    }
}

struct Hub {
    receiver: Receiver,
    stats: Stats,
    presence: Presence,
}

async fn hub(nats: &nats::Nats, store: &Arc<dyn Store>) -> Hub {
    hub_of(&fleet(nats), store).await
}

async fn hub_of(fleet: &config::Fleet, store: &Arc<dyn Store>) -> Hub {
    let (stats, presence) = (Stats::default(), Presence::default());
    let parts = Parts {
        store: Arc::clone(store),
        turns: Turns::new(store.clone()),
        presence: presence.clone(),
        courses: Courses::default(),
        stats: stats.clone(),
    };
    Hub { receiver: Receiver::spawn(fleet, parts).await.unwrap(), stats, presence }
}

/// Readings of `cpu` that a query at this interval counts.
async fn count(store: &Arc<dyn Store>, host: &str, interval: &str) -> u64 {
    let query = HistoryQuery {
        interval: Interval::parse(interval).unwrap(),
        limit: 10_000,
        ..HistoryQuery::new(MetricType::Cpu, START, at(100_000))
    };
    let mut points = Points::open(&History::new(store.clone(), host), query).await.unwrap();
    let mut count = 0;
    while let Some((_, sum)) = points.next_sum().await.unwrap() {
        count += sum.samples();
    }
    count
}

/// Waits until readings and minutes are there; afterwards none may be doubled.
async fn arrived(store: &Arc<dyn Store>, host: &str, readings: u64) {
    until("all readings", async || (count(store, host, "1s").await >= readings).then_some(())).await;
    assert_eq!(count(store, host, "1s").await, readings);
    assert_eq!(count(store, host, "1m").await, readings, "minutes are stored with their readings");
}

/// An empty store of each engine that this machine has, and what keeps it alive.
async fn engines(test: &str) -> Vec<(Arc<dyn Store>, tempfile::TempDir)> {
    let dir = tempfile::tempdir().unwrap();
    let mut urls = vec![(store::sqlite_url(dir.path()), dir)];
    match cluster().await {
        Ok(cluster) => urls.push((cluster.database().await, tempfile::tempdir().unwrap())),
        Err(reason) => println!("SKIPPED: {test}: {reason}"),
    }
    let mut stores = Vec::new();
    for (url, dir) in urls {
        stores.push((store::open(&url).await.unwrap(), dir));
    }
    stores
}

async fn cluster() -> Result<&'static postgres::Cluster, String> {
    static CLUSTER: OnceCell<Result<postgres::Cluster, String>> = OnceCell::const_new();
    CLUSTER.get_or_init(postgres::Cluster::start).await.as_ref().map_err(Clone::clone)
}

/// A server, or a line that says why this test can't run.
async fn nats(test: &str) -> Option<nats::Nats> {
    or_skipped(test, nats::Nats::start().await)
}

fn or_skipped<T>(test: &str, part: Result<T, String>) -> Option<T> {
    match part {
        Ok(part) => Some(part),
        Err(reason) => {
            println!("SKIPPED: {test}: {reason}");
            None
        }
    }
}
