//! The complete server while its database dies, hangs and returns, and while it is itself killed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step fails the test")]
#![allow(clippy::print_stdout, reason = "a skipped test says so")]

#[path = "support/postgres.rs"]
mod postgres;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::StreamExt;
use perfwatch::history::chunk::Block;
use perfwatch::snapshot::MetricType;
use perfwatch::snapshot::selection::Selection;
use perfwatch::store::chunks::{ChunkStore, Wanted};
use perfwatch::store::{self, sqlite_url};
use postgres::Cluster;
use serde_json::{Value, json};
use sqlx::{ConnectOptions, Connection};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

const PASSWORD: &str = "quiet tested outage";
/// How long anything may take on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(90);
/// Shutdown takes a second or two by itself; a busy machine may stretch that. Less than any timeout that something
/// else could hold it up by: a statement has 30 s, an attempt to store 10 s.
const STOP_TIMEOUT: Duration = Duration::from_secs(8);
/// How long the database stays down, and how long it hangs.
const AWAY: Duration = Duration::from_secs(60);
const HUNG: Duration = Duration::from_secs(30);
/// Longer than this means that something waits for the database: far less than an outage, far more than a busy machine
/// makes of a second.
const PAUSE: Duration = Duration::from_secs(20);

/// The ID of another machine.
const OTHER: &str = "another-machine";

/// `perfwatch serve` at one tick a second.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    async fn start(data: &Path, database: Option<&str>) -> Self {
        Self::start_with(data, database.map(|url| ("DATABASE_URL", url))).await
    }

    async fn start_with(data: &Path, setting: Option<(&str, &str)>) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let mut command = Command::new(env!("CARGO_BIN_EXE_perfwatch"));
        command.arg("serve").env_clear().stdout(Stdio::null()).stderr(Stdio::null());
        command.env("PERFWATCH_DATA_DIR", data).env("PERFWATCH_LISTEN", &address);
        command.env("SAMPLING_INTERVAL_SECONDS", "1").env("ADMIN_PASSWORD", PASSWORD);
        command.envs(setting);
        let server = Self { process: command.spawn().unwrap(), address };
        let since = Instant::now();
        while server.health().await.is_none() {
            assert!(since.elapsed() < TIMEOUT, "the server does not answer");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        server
    }

    async fn health(&self) -> Option<Value> {
        let answer = reqwest::get(format!("http://{}/health", self.address)).await.ok()?;
        assert_eq!(answer.status(), 200);
        answer.json().await.ok()
    }

    /// The token, or why there is none.
    async fn login(&self) -> Result<String, u16> {
        let login = json!({"username": "admin", "password": PASSWORD});
        let login =
            reqwest::Client::new().post(format!("http://{}/api/auth/login", self.address)).json(&login);
        let answer = login.send().await.unwrap();
        let status = answer.status().as_u16();
        let answer: Value = answer.json().await.unwrap();
        answer["access_token"].as_str().map(str::to_owned).ok_or(status)
    }

    /// Tells it to stop, and returns when it has.
    async fn stop(mut self) -> Duration {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let asked = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                assert!(status.success(), "{status}");
                return asked.elapsed();
            }
            assert!(asked.elapsed() < TIMEOUT, "it does not end");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn live(&self) -> Live {
        self.live_with("").await
    }

    /// The stream with this many earlier snapshots, if `backfill` asks for them.
    async fn live_with(&self, backfill: &str) -> Live {
        let since = Instant::now();
        let token = loop {
            match self.login().await {
                Ok(token) => break token,
                // A busy machine's database may be slow to answer.
                Err(503) if since.elapsed() < TIMEOUT => tokio::time::sleep(Duration::from_secs(1)).await,
                Err(status) => panic!("{status}"),
            }
        };
        let url = format!("ws://{}/api/ws/metrics?token={token}{backfill}", self.address);
        Live { socket: connect_async(url).await.unwrap().0, ticks: BTreeSet::new() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What a browser sees.
struct Live {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    ticks: BTreeSet<OffsetDateTime>,
}

impl Live {
    /// Receives the next message; none may have been skipped.
    async fn next(&mut self) {
        let message = tokio::time::timeout(TIMEOUT, self.socket.next()).await;
        let message = message.expect("the stream goes on").expect("the stream is open").unwrap();
        assert_eq!(self.note(&message), 0);
    }

    /// Follows the stream for this many ticks.
    async fn follow(&mut self, ticks: usize) {
        let enough = self.ticks.len() + ticks;
        while self.ticks.len() < enough {
            self.next().await;
        }
    }

    /// Follows the stream and requests `/health` every half second for this long: neither may pause, and the
    /// last responses must report a problem.
    async fn follow_outage(&mut self, server: &Server, length: Duration) {
        let since = Instant::now();
        let stream = async {
            while since.elapsed() < length {
                let before = Instant::now();
                self.next().await;
                assert!(before.elapsed() < PAUSE, "the stream paused for {:.0?}", before.elapsed());
            }
        };
        let health = async {
            let mut last = Value::Null;
            while since.elapsed() < length {
                let before = Instant::now();
                last = server.health().await.expect("an answer");
                assert!(before.elapsed() < PAUSE, "/health paused for {:.0?}", before.elapsed());
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            last
        };
        let ((), last) = tokio::join!(stream, health);
        assert_eq!(last["status"], "degraded");
    }

    /// Follows the stream until its backfill, or the one sent once the store had it, has all of these ticks.
    async fn follow_until_filled(mut self, ticks: &BTreeSet<OffsetDateTime>) {
        let since = Instant::now();
        let mut missing = ticks.clone();
        while !missing.is_empty() {
            assert!(since.elapsed() < TIMEOUT, "not in the backfill: {missing:?}");
            let message = tokio::time::timeout(TIMEOUT, self.socket.next()).await;
            let message = message.expect("the stream goes on").expect("the stream is open").unwrap();
            let Ok(message) = serde_json::from_str::<Value>(message.to_text().unwrap()) else { continue };
            let Some(past) = message["snapshots"].as_array() else { continue };
            let past: BTreeSet<_> = past
                .iter()
                .map(|snapshot| {
                    OffsetDateTime::parse(snapshot["timestamp"].as_str().unwrap(), &Rfc3339).unwrap()
                })
                .collect();
            missing = ticks.difference(&past).copied().collect();
        }
    }

    /// Follows the stream to its end.
    async fn rest(mut self) -> BTreeSet<OffsetDateTime> {
        while let Some(Ok(message)) =
            tokio::time::timeout(TIMEOUT, self.socket.next()).await.expect("the stream ends")
        {
            self.note(&message);
        }
        self.ticks
    }

    /// Notes a message's tick; returns how many were skipped before it.
    fn note(&mut self, message: &Message) -> u64 {
        let Ok(text) = message.to_text() else { return 0 };
        let Ok(message) = serde_json::from_str::<Value>(text) else { return 0 };
        let Some(at) = message["timestamp"].as_str() else { return 0 };
        let at = OffsetDateTime::parse(at, &Rfc3339).unwrap();
        // The very first is shown early and not stored.
        if at.nanosecond() == 0 {
            self.ticks.insert(at);
        }
        message.get("skipped").and_then(Value::as_u64).unwrap_or(0)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_view_and_health_go_on_through_a_long_outage_and_every_tick_is_stored_once() {
    let mut cluster = match Cluster::start().await {
        Ok(cluster) => cluster,
        Err(reason) => {
            println!(
                "SKIPPED: live_view_and_health_go_on_through_a_long_outage_and_every_tick_is_stored_once: {reason}"
            );
            return;
        }
    };
    let url = cluster.database().await;
    let data = tempfile::tempdir().unwrap();

    // The database is down: the server runs, and becomes complete when the database comes up.
    cluster.kill();
    let server = Server::start(data.path(), Some(&url)).await;
    assert_eq!(server.health().await.expect("an answer")["status"], "degraded");
    assert_eq!(server.login().await, Err(503));
    cluster.run().await;
    let since = Instant::now();
    while let Err(status) = server.login().await {
        // Until the account is created, the name is unknown.
        assert!(matches!(status, 503 | 401) && since.elapsed() < TIMEOUT, "{status}");
        // Slower than the allowed attempts per minute.
        tokio::time::sleep(Duration::from_secs(7)).await;
    }
    let mut live = server.live().await;
    live.follow(3).await;

    cluster.kill();
    live.follow_outage(&server, AWAY).await;
    cluster.run().await;
    live.follow(3).await;

    cluster.hang();
    live.follow_outage(&server, HUNG).await;
    cluster.resume();
    live.follow(3).await;

    all_arrive(&cluster, &live.ticks).await;
    // The server knew, and rules can be about it.
    let mut admin = cluster.options("postgres", "test0").connect().await.unwrap();
    let failing: i64 = sqlx::query_scalar(
        r#"SELECT count(*) FROM metrics_snapshots
           WHERE metric_type = 'agent' AND metric_data @> '{"parts": [{"part": "database", "failing": 1}]}'"#,
    )
    .fetch_one(&mut admin)
    .await
    .unwrap();
    assert!(failing > 0);
    admin.close().await.unwrap();
}

/// Waits until everything that was seen is stored, once.
async fn all_arrive(cluster: &Cluster, seen: &BTreeSet<OffsetDateTime>) {
    let mut admin = cluster.options("postgres", "test0").connect().await.unwrap();
    let since = Instant::now();
    loop {
        let stored: Vec<(OffsetDateTime, i64)> = sqlx::query_as(
            "SELECT timestamp, count(*) FROM metrics_snapshots WHERE metric_type = 'cpu' GROUP BY 1",
        )
        .fetch_all(&mut admin)
        .await
        .unwrap();
        assert!(stored.iter().all(|(_, count)| *count == 1));
        let stored: BTreeSet<_> = stored.into_iter().map(|(at, _)| at).collect();
        let missing: Vec<_> = seen.difference(&stored).collect();
        if missing.is_empty() {
            break;
        }
        assert!(since.elapsed() < TIMEOUT, "of {} ticks these are not stored: {missing:?}", seen.len());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    admin.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asked_to_stop_while_the_database_hangs_or_is_away_it_goes_and_loses_nothing() {
    let mut cluster = match Cluster::start().await {
        Ok(cluster) => cluster,
        Err(reason) => {
            println!(
                "SKIPPED: asked_to_stop_while_the_database_hangs_or_is_away_it_goes_and_loses_nothing: {reason}"
            );
            return;
        }
    };
    let url = cluster.database().await;
    let data = tempfile::tempdir().unwrap();
    let mut seen = BTreeSet::new();
    for away in [false, true] {
        let server = Server::start(data.path(), Some(&url)).await;
        let mut live = server.live().await;
        live.follow(2).await;
        if away {
            cluster.kill();
        } else {
            cluster.hang();
        }
        live.follow(2).await;
        let took = server.stop().await;
        println!("stopped within {took:.2?} while the database {}", if away { "is away" } else { "hangs" });
        assert!(took < STOP_TIMEOUT, "{took:?}");
        seen.extend(live.rest().await);
        if !away {
            cluster.resume();
        }
    }
    // The next run is up before its database, and finally shows what the others measured, too.
    let server = Server::start(data.path(), Some(&url)).await;
    cluster.run().await;
    server.live_with("&backfill=720").await.follow_until_filled(&seen).await;
    all_arrive(&cluster, &seen).await;
}

/// How many documents a machine has of each time.
async fn stored_of(store: &dyn ChunkStore, host: &str) -> BTreeMap<i64, usize> {
    let mut stored: BTreeMap<i64, usize> = BTreeMap::new();
    for metric_type in MetricType::ALL {
        let wanted = Wanted { content: metric_type.into(), tier: 0, from: 0, to: i64::MAX };
        for chunk in store.find(host, wanted, 100_000).await.unwrap() {
            let block = Block::decode(&chunk.data, Selection::all(metric_type)).unwrap();
            block.times().iter().for_each(|at| *stored.entry(*at).or_default() += 1);
        }
    }
    stored
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_leaves_whole_snapshots_and_the_next_one_stores_them() {
    let data = tempfile::tempdir().unwrap();
    let mut seen = BTreeSet::new();
    for _ in 0..2 {
        let mut server = Server::start(data.path(), None).await;
        let mut live = server.live().await;
        live.follow(4).await;
        server.process.kill().unwrap();
        server.process.wait().unwrap();
        // The newest tick may have been in transit.
        live.ticks.pop_last();
        seen.extend(live.ticks);
    }
    // Some of what the last one held is only in the log. Under another ID that is not its own,
    Server::start_with(data.path(), Some(("PERFWATCH_HOST_ID", OTHER))).await.stop().await;
    // and this one moves it to its place.
    Server::start(data.path(), None).await.stop().await;
    let url = sqlite_url(data.path());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    let intact: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&pool).await.unwrap();
    assert_eq!(intact, "ok");
    pool.close().await;
    let store = store::open(&url).await.unwrap();
    let hosts = store.hosts().await.unwrap();
    let host = hosts.iter().find(|host| host.id != OTHER).unwrap();
    assert_eq!(hosts.len(), 2);
    assert!(host.facts.kernel.is_some() && host.facts.memory_total_bytes > Some(0), "{:?}", host.facts);
    let stored = stored_of(store.as_ref(), &host.id).await;
    let of_other = stored_of(store.as_ref(), OTHER).await;
    store.close().await;
    let strayed: Vec<_> =
        seen.iter().filter(|at| of_other.contains_key(&(at.unix_timestamp() * 1_000_000))).collect();
    assert!(strayed.is_empty(), "stored as another machine's: {strayed:?}");
    let documents: BTreeSet<usize> = stored.values().copied().collect();
    assert_eq!(documents.len(), 1, "every snapshot is stored whole or not at all: {stored:?}");
    let stored: BTreeSet<i64> = stored.into_keys().collect();
    let lost: Vec<_> =
        seen.iter().filter(|at| !stored.contains(&(at.unix_timestamp() * 1_000_000))).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

#[tokio::test]
async fn a_hung_database_keeps_no_known_token_out_and_holds_no_other_for_long() {
    let cluster = match Cluster::start().await {
        Ok(cluster) => cluster,
        Err(reason) => {
            println!(
                "SKIPPED: a_hung_database_keeps_no_known_token_out_and_holds_no_other_for_long: {reason}"
            );
            return;
        }
    };
    let url = cluster.database().await;
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), Some(&url)).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = async |token: &str, path: &str| {
        let since = Instant::now();
        let request = http.get(format!("http://{}{path}", server.address)).bearer_auth(token);
        let answer = request.send().await.unwrap();
        let took = since.elapsed();
        println!("{path}: {} after {took:.2?}", answer.status());
        assert!(took < PAUSE, "{path}: {took:?}");
        (answer.status().as_u16(), answer.headers().contains_key("retry-after"))
    };
    server.live().await.follow(1).await;
    let (known, unknown) = (server.login().await.unwrap(), server.login().await.unwrap());
    assert_eq!(get(&known, "/metrics").await, (200, false));
    cluster.hang();
    for path in ["/metrics", "/api/sources", "/metrics"] {
        assert_eq!(get(&known, path).await, (200, false));
    }
    assert_eq!(get(&unknown, "/metrics").await, (503, true));
    cluster.resume();
}
