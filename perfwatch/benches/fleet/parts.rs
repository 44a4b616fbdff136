//! The processes that are measured: the hub, and what it costs NATS and PostgreSQL.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use time::OffsetDateTime;

use crate::TIMEOUT;
use crate::nats::Nats;

const PASSWORD: &str = "many quiet machines";
/// How often the hub is asked how much it has stored.
const LOOK: Duration = Duration::from_millis(250);

/// A process with its children.
pub(crate) struct Part(u32);

impl Part {
    pub(crate) const fn new(pid: u32) -> Self {
        Self(pid)
    }

    fn processes(&self) -> Vec<u32> {
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.0)).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
        std::iter::once(self.0).chain(children).collect()
    }

    /// CPU seconds, with children that have ended.
    pub(crate) fn cpu(&self) -> f64 {
        let ticks = self.processes().into_iter().map(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // utime, stime, cutime, cstime
            let fields =
                stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().skip(11).take(4);
            fields.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>()
        });
        ticks.sum::<f64>() / rustix::param::clock_ticks_per_second() as f64
    }

    pub(crate) fn anonymous_mib(&self) -> f64 {
        let kib = self.processes().into_iter().filter_map(|pid| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
            line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()
        });
        kib.sum::<f64>() / 1024.0
    }
}

/// Bytes of the database, its log of changes aside.
pub(crate) async fn disk_bytes(database: &str) -> Result<u64> {
    let mut connection = PgConnection::connect(database).await?;
    let bytes: i64 =
        sqlx::query_scalar("SELECT pg_database_size(current_database())").fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(u64::try_from(bytes)?)
}

/// Seconds from when the slot was over until a message was stored.
pub(crate) struct Delays {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

pub(crate) struct Hub {
    process: Child,
    address: String,
    token: String,
    client: reqwest::Client,
    _dir: tempfile::TempDir,
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Hub {
    pub(crate) async fn start(nats: &Nats, database: &str) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let mut hub = Command::new(env!("CARGO_BIN_EXE_perfwatch"));
        hub.arg("hub").env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        hub.env("PERFWATCH_DATA_DIR", dir.path()).env("PERFWATCH_FLEET_URL", nats.url());
        hub.env("DATABASE_URL", database).env("PERFWATCH_JSONB_DAYS", "0");
        hub.env("PERFWATCH_LISTEN", "127.0.0.1:0").env("ADMIN_PASSWORD", PASSWORD);
        let mut process = hub.spawn()?;
        let output = process.stdout.take().context("it is piped")?;
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let address = lines.find_map(|line| line.strip_prefix("PerfWatch is at http://").map(str::to_owned));
        let address = address.context("the hub did not start")?;
        let client = reqwest::Client::builder().no_proxy().build()?;
        let login = json!({"username": "admin", "password": PASSWORD});
        let login = client.post(format!("http://{address}/api/auth/login")).json(&login).send().await?;
        let answer: Value = login.error_for_status()?.json().await?;
        let token = answer["access_token"].as_str().context("no token")?.to_owned();
        Ok(Self { process, address, token, client, _dir: dir })
    }

    pub(crate) fn part(&self) -> Part {
        Part::new(self.process.id())
    }

    async fn get(&self, path: &str) -> Result<String> {
        let request = self.client.get(format!("http://{}{path}", self.address)).bearer_auth(&self.token);
        Ok(request.send().await?.error_for_status()?.text().await?)
    }

    /// Messages stored since it started, introductions aside.
    async fn stored(&self) -> Result<u64> {
        let metrics = self.get("/metrics").await?;
        let name = "perfwatch_fleet_messages_total{outcome=\"stored\"}";
        let line =
            metrics.lines().find_map(|line| line.strip_prefix(name)).context("no count of messages")?;
        Ok(line.trim().parse::<f64>()? as u64)
    }

    /// Waits until so many chunks are stored, besides introductions, and says how long they took.
    pub(crate) async fn until_stored(&self, wanted: u64, since: Instant) -> Result<Delays> {
        let introduced = self.hosts().await?;
        let mut course: Vec<(f64, u64)> = Vec::new();
        loop {
            let stored = self.stored().await?.saturating_sub(introduced);
            course.push((since.elapsed().as_secs_f64(), stored));
            if stored >= wanted {
                break;
            }
            ensure!(since.elapsed() < TIMEOUT, "{stored} of {wanted} messages were stored");
            tokio::time::sleep(LOOK).await;
        }
        let first = course[0].1;
        let after = |share: f64| {
            let enough = first as f64 + (wanted - first) as f64 * share;
            course.iter().find(|(_, stored)| *stored as f64 >= enough).map_or(f64::NAN, |(at, _)| *at)
        };
        Ok(Delays { p50: after(0.5), p99: after(0.99) })
    }

    /// How many hosts it knows besides itself.
    async fn hosts(&self) -> Result<u64> {
        let answer: Value = serde_json::from_str(&self.get("/api/hosts").await?)?;
        let hosts = answer["hosts"].as_array().context("no hosts")?;
        Ok(hosts.iter().filter(|host| host["this"] != true).count() as u64)
    }

    pub(crate) fn hour_of(&self, host: &str, now: i64) -> String {
        format!("/api/history/metrics?metric_type=cpu&{}&host={host}", hour(now))
    }

    pub(crate) fn field_over_hosts(&self, now: i64) -> String {
        format!("/api/fleet/series?field=cpu.usage_percent&{}", hour(now))
    }

    /// Milliseconds that answers took.
    pub(crate) async fn ask(&self, path: &str, times: usize) -> Result<Vec<f64>> {
        let mut took = Vec::with_capacity(times);
        for _ in 0..times {
            let since = Instant::now();
            let answer = self.get(path).await?;
            took.push(since.elapsed().as_secs_f64() * 1e3);
            ensure!(answer.len() > 2, "an empty answer to {path}");
        }
        Ok(took)
    }
}

fn hour(now: i64) -> String {
    let at = |seconds: i64| {
        let time = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        perfwatch::snapshot::rfc3339(time)
    };
    format!("start_time={}&end_time={}", at(now - 3600), at(now))
}
