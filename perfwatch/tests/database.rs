//! `perfwatch db check` and `db salvage`, and the server on a file that is damaged or a disk that is full.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step fails the test")]
#![allow(clippy::print_stdout, reason = "a skipped test says so")]

#[path = "support/postgres.rs"]
mod postgres;

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use perfwatch::history::chunk::Block;
use perfwatch::host::Host;
use perfwatch::snapshot::{MetricType, Reading};
use perfwatch::store::chunks::{Batch, Chunk};
use perfwatch::store::{self, sqlite_url};
use postgres::Cluster;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use serde_json::{Value, json};
use sqlx::{ConnectOptions, Connection};
use time::OffsetDateTime;

const HOST: &str = "a-host";
const PASSWORD: &str = "quiet damaged file";
/// Chunks of each of two types, of which each takes more than a page.
const CHUNKS: i64 = 100;
const PAGE: usize = 16384;
const TIMEOUT: Duration = Duration::from_secs(90);

fn db(data: &Path, action: &str, database: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_perfwatch"));
    command.args(["db", action]).env_clear().env("PERFWATCH_DATA_DIR", data);
    command.envs(database.map(|url| ("DATABASE_URL", url))).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Runs a check that must find the database sound, or not.
fn check(data: &Path, database: Option<&str>, sound: bool) -> String {
    let output = db(data, "check", database);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(i32::from(!sound)), "{said}");
    assert_eq!(said.contains("The database is sound."), sound, "{said}");
    said
}

fn salvage(data: &Path) -> String {
    let output = db(data, "salvage", None);
    let said = said(&output);
    assert!(output.status.success(), "{said}");
    said
}

/// Minutes ago, as a chunk that is larger than a page.
fn chunk(metric_type: MetricType, minutes: i64) -> Chunk {
    let start = OffsetDateTime::now_utc() - time::Duration::minutes(minutes);
    let mut block = Block::new(metric_type);
    for second in 0..30 {
        let noise: Vec<f64> = (0..100u64)
            .map(|core| {
                ((core * 7919 + second * 104_729 + minutes.unsigned_abs() * 31) % 9973) as f64 / 99.73
            })
            .collect();
        let body = match metric_type {
            MetricType::Cpu => json!({"usage_percent": noise[0], "per_core": noise}),
            _ => json!({"total_bytes": 1000 + second, "used_bytes": 900 - second}),
        };
        let at = start + time::Duration::seconds(second.cast_signed());
        assert!(block.push(&Reading::new(metric_type, at, &body).unwrap()));
    }
    let (start, end) = (block.times()[0], block.times()[29] + 1);
    Chunk { content: metric_type.into(), tier: 0, start, first: start, end, data: block.encode().into() }
}

/// A store with an account, a setting and two hundred chunks, the oldest an hour and 40 minutes old.
async fn fill(url: &str) {
    let store = store::open(url).await.unwrap();
    store.create_user("ann", "hash of a password", "admin").await.unwrap();
    store.set_config(&[("a-key", "it's a value".to_owned())]).await.unwrap();
    store.introduce(&Host::new(HOST, "a host")).await.unwrap();
    let put = (0..CHUNKS).flat_map(|n| [chunk(MetricType::Cpu, n + 2), chunk(MetricType::Memory, n + 2)]);
    let batch = Batch { put: put.collect(), ..Batch::default() };
    store.commit(HOST, &batch).await.unwrap();
    store.close().await;
}

/// Changes a byte in the middle of the data of the chunks whose row number is a multiple of ten.
async fn damage_some(url: &str) {
    let options: sqlx::sqlite::SqliteConnectOptions = url.parse().unwrap();
    let mut connection = options.connect().await.unwrap();
    let changed = sqlx::query(
        "UPDATE chunks SET data = substr(data, 1, length(data) / 2) || x'00ff00' || substr(data, length(data) / 2 + 4)
         WHERE metric_type = 'cpu' AND rowid % 20 = 1",
    );
    assert_eq!(changed.execute(&mut connection).await.unwrap().rows_affected(), 10);
    connection.close().await.unwrap();
}

/// Overwrites pages in the middle of the file.
fn overwrite_pages(file: &Path, pages: std::ops::Range<u64>) {
    let file = File::options().write(true).open(file).unwrap();
    for page in pages {
        file.write_all_at(&[0xee; PAGE], page * PAGE as u64).unwrap();
    }
}

#[tokio::test]
async fn damage_is_found_counted_and_left_behind() {
    let dir = tempfile::tempdir().unwrap();
    let (data, url) = (dir.path(), sqlite_url(dir.path()));
    let file = data.join("perfwatch.db");
    fill(&url).await;
    assert!(check(data, None, true).contains("Sound chunks of history: 200"));
    assert!(salvage(data).contains("nothing to salvage"));

    damage_some(&url).await;
    let found = check(data, None, false);
    assert!(found.contains("Damaged chunks of history: 10 (cpu 10)"), "{found}");
    assert!(found.contains("`perfwatch db salvage`"), "{found}");

    let pages = file.metadata().unwrap().len() / PAGE as u64;
    // Behind the roots of the other tables.
    overwrite_pages(&file, pages * 3 / 4..pages * 3 / 4 + 4);
    let damaged = std::fs::read(&file).unwrap();
    let found = check(data, None, false);
    let number = |said: &str, name: &str| -> u64 {
        let line = said.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{said}"));
        line[name.len()..].split_whitespace().next().unwrap().parse().unwrap()
    };
    let (sound, lost) =
        (number(&found, "Sound chunks of history:"), number(&found, "Damaged chunks of history:"));
    assert!(lost > 10 && sound > 150 && sound + lost == 200, "{found}");
    assert_eq!(std::fs::read(&file).unwrap(), damaged, "a check changes nothing");

    let done = salvage(data);
    assert_eq!((number(&done, "Copied"), number(&done, "Sound chunks of history:")), (1, sound), "{done}");
    assert_eq!(number(&done, "Damaged chunks of history:"), lost, "{done}");
    let aside: Vec<PathBuf> = std::fs::read_dir(data)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains("perfwatch.db.damaged-"))
        .collect();
    assert_eq!(aside.len(), 1, "{aside:?}");
    assert_eq!(std::fs::read(&aside[0]).unwrap(), damaged);
    assert!(done.contains(&aside[0].display().to_string()), "{done}");
    assert!(!data.join("perfwatch.db.salvaged").exists());
    assert!(check(data, None, true).contains(&format!("Sound chunks of history: {sound}")));
    let store = store::open(&url).await.unwrap();
    let ann = store.user_by_name("ann").await.unwrap().unwrap();
    assert_eq!((&*ann.password_hash, &*ann.role), ("hash of a password", "admin"));
    assert_eq!(store.config("a-key").await.unwrap().as_deref(), Some("it's a value"));
    assert_eq!(store.hosts().await.unwrap(), [Host::new(HOST, "a host")]);
    store.close().await;
}

#[tokio::test]
async fn a_file_without_a_header_is_replaced_and_the_server_starts() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path();
    fill(&sqlite_url(data)).await;
    overwrite_pages(&data.join("perfwatch.db"), 0..1);
    let refused = Server::command(data).stderr(Stdio::piped()).output().unwrap();
    let error = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{error}");
    assert!(error.contains("`perfwatch db salvage`"), "{error}");
    check(data, None, false);
    let done = salvage(data);
    assert!(done.contains("Copied 0 accounts") && done.contains("creates the first one"), "{done}");
    let server = Server::start(data).await;
    assert_eq!(server.get("/api/sources", Some(&server.login().await)).await.0, 200);
    let running = db(data, "salvage", None);
    let error = said(&running);
    assert!(
        !running.status.success() && error.contains(&format!("(process {})", server.process.id())),
        "{error}"
    );
    check(data, None, true);
}

#[tokio::test]
async fn chunks_are_checked_on_postgresql() {
    let cluster = match Cluster::start().await {
        Ok(cluster) => cluster,
        Err(reason) => {
            println!("SKIPPED: chunks_are_checked_on_postgresql: {reason}");
            return;
        }
    };
    let url = cluster.database().await;
    let dir = tempfile::tempdir().unwrap();
    fill(&url).await;
    assert!(check(dir.path(), Some(&url), true).contains("Sound chunks of history: 200"));
    let options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql(
        "UPDATE chunks SET data = '\\x00'::bytea WHERE (tableoid, ctid) IN
             (SELECT tableoid, ctid FROM chunks WHERE metric_type = 'memory' LIMIT 3);
         DROP TABLE audit_log",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    connection.close().await.unwrap();
    let found = check(dir.path(), Some(&url), false);
    assert!(found.contains("Damaged chunks of history: 3 (memory 3)"), "{found}");
    assert!(found.contains("audit_log"), "{found}");
    let refused = db(dir.path(), "salvage", Some(&url));
    assert!(!refused.status.success() && said(&refused).contains("only an SQLite file"), "{refused:?}");
}

/// `perfwatch serve` at one tick a second.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn command(data: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_perfwatch"));
        command.arg("serve").env_clear().stdout(Stdio::null());
        command.env("PERFWATCH_DATA_DIR", data).env("PERFWATCH_LISTEN", "127.0.0.1:0");
        command.env("SAMPLING_INTERVAL_SECONDS", "1").env("ADMIN_PASSWORD", PASSWORD);
        command.env("PERFWATCH_HOST_ID", HOST);
        command
    }

    async fn start(data: &Path) -> Self {
        Self::start_on(data, None).await
    }

    async fn start_on(data: &Path, database: Option<&str>) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let mut command = Self::command(data);
        command.env("PERFWATCH_LISTEN", &address).stderr(Stdio::null());
        command.envs(database.map(|url| ("DATABASE_URL", url)));
        let server = Self { process: command.spawn().unwrap(), address };
        let since = Instant::now();
        while reqwest::get(format!("http://{}/health", server.address)).await.is_err() {
            assert!(since.elapsed() < TIMEOUT, "the server does not answer");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        server
    }

    async fn get(&self, path: &str, token: Option<&str>) -> (u16, Value) {
        let mut request = reqwest::Client::new().get(format!("http://{}{path}", self.address));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or_default())
    }

    async fn login(&self) -> String {
        self.try_login().await.unwrap_or_else(|answer| panic!("{answer}"))
    }

    /// The token, or the answer without one.
    async fn try_login(&self) -> Result<String, Value> {
        let login = json!({"username": "admin", "password": PASSWORD});
        let login =
            reqwest::Client::new().post(format!("http://{}/api/auth/login", self.address)).json(&login);
        let answer: Value = login.send().await.unwrap().json().await.unwrap();
        answer["access_token"].as_str().map(str::to_owned).ok_or(answer)
    }

    /// Waits until `/health` names such a problem, or none.
    async fn until_problem(&self, wanted: Option<&str>) {
        let since = Instant::now();
        loop {
            let (_, health) = self.get("/health", None).await;
            let problems = health["problems"].to_string();
            if wanted.map_or(health["status"] == "healthy", |wanted| problems.contains(wanted)) {
                return;
            }
            assert!(since.elapsed() < TIMEOUT, "{wanted:?}: {health}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.process), signal).unwrap();
    }

    fn stop(mut self) {
        self.signal(rustix::process::Signal::TERM);
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn an_emptied_database_gets_its_first_account_without_a_restart() {
    let cluster = match Cluster::start().await {
        Ok(cluster) => cluster,
        Err(reason) => {
            println!("SKIPPED: an_emptied_database_gets_its_first_account_without_a_restart: {reason}");
            return;
        }
    };
    let url = cluster.database().await;
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_on(dir.path(), Some(&url)).await;
    server.login().await;
    let options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql("DROP OWNED BY CURRENT_USER CASCADE").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let since = Instant::now();
    while let Err(answer) = server.try_login().await {
        assert!(since.elapsed() < TIMEOUT, "{answer}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn readings(server: &Server, token: &str) -> usize {
    let now = OffsetDateTime::now_utc();
    let start = (now - time::Duration::hours(3)).unix_timestamp();
    let path = format!(
        "/api/history/metrics?metric_type=cpu&start_time={start}&end_time={}&interval=5s&limit=5000&fields=usage_percent",
        now.unix_timestamp() - 90
    );
    let (status, answer) = server.get(&path, Some(token)).await;
    assert_eq!(status, 200, "{answer}");
    answer["data_points"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_file_damaged_while_it_is_used_leaves_gaps_and_everything_else_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path();
    fill(&sqlite_url(data)).await;
    store::open(&sqlite_url(data)).await.unwrap().close().await;
    let file = data.join("perfwatch.db");
    let pages = file.metadata().unwrap().len() / PAGE as u64;
    let server = Server::start_with_account(data).await;
    let before = readings(&server, &server.login().await).await;
    server.stop();
    // Another one, which has none of these pages in its cache.
    let server = Server::start(data).await;
    let token = server.login().await;
    overwrite_pages(&file, pages / 2..pages / 2 + 20);
    let after = readings(&server, &token).await;
    assert!(after > 0 && after < before, "{after} of {before}");
    assert_eq!(server.get("/api/users", Some(&token)).await.0, 200);
    assert_eq!(server.get("/api/sources", Some(&token)).await.0, 200);
    server.login().await;
    server.until_problem(Some("A part of the stored history is damaged")).await;
    server.stop();
    check(data, None, false);
    salvage(data);
    check(data, None, true);
}

#[tokio::test]
async fn a_start_on_a_full_disk_serves_what_can_be_read_and_stores_again_once_there_is_room() {
    let place = tempfile::tempdir().unwrap();
    let size = c"size=16m";
    if let Err(error) = mount("tmpfs", place.path(), "tmpfs", MountFlags::empty(), Some(size)) {
        println!(
            "SKIPPED: a_start_on_a_full_disk_serves_what_can_be_read_and_stores_again_once_there_is_room: no file system \
             of its own can be mounted: {error}"
        );
        return;
    }
    let disk = Disk(place.path().to_owned());
    let data = disk.0.join("data");
    std::fs::create_dir(&data).unwrap();
    fill(&sqlite_url(&data)).await;
    let server = Server::start_with_account(&data).await;
    let token = server.login().await;
    let before = readings(&server, &token).await;
    server.stop();
    assert!(!data.join("perfwatch.db-shm").exists());

    let ballast = disk.0.join("ballast");
    let mut file = File::create(&ballast).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    drop(file);
    let server = Server::start(&data).await;
    server.until_problem(Some("The disk of the database is full")).await;
    let token = server.login().await;
    assert!(readings(&server, &token).await >= before);
    let stored = server.get("/api/db-status", None).await.1;
    assert_eq!(stored["status"], "error", "{stored}");

    std::fs::remove_file(&ballast).unwrap();
    server.until_problem(None).await;
    let user = json!({"username": "bob", "password": "a long enough password", "role": "viewer"});
    let url = format!("http://{}/api/users", server.address);
    let added = reqwest::Client::new().post(url).bearer_auth(&token).json(&user).send().await.unwrap();
    assert!(added.status().is_success(), "{}", added.status());
    server.stop();
    check(&data, None, true);
}

impl Server {
    /// On a store whose account is not the one that this logs in with.
    async fn start_with_account(data: &Path) -> Self {
        let mut add = Command::new(env!("CARGO_BIN_EXE_perfwatch"));
        add.args(["user", "add", "admin", "--role", "admin"]).env_clear().env("PERFWATCH_DATA_DIR", data);
        let mut add = add.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        add.stdin.take().unwrap().write_all(format!("{PASSWORD}\n").as_bytes()).unwrap();
        assert!(add.wait().unwrap().success());
        Self::start(data).await
    }
}

struct Disk(PathBuf);

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}
