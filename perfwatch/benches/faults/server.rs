//! `perfwatch serve` as a separate process with a tick per second, and a client that watches it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use perfwatch::history::chunk::Block;
use perfwatch::snapshot::MetricType;
use perfwatch::snapshot::selection::Selection;
use perfwatch::store;
use perfwatch::store::chunks::Wanted;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio_tungstenite::connect_async;

pub const PASSWORD: &str = "a password of this benchmark";
/// Long enough for a machine busy with other work.
const TIMEOUT: Duration = Duration::from_secs(120);

pub struct Server {
    process: Child,
    pub address: String,
}

impl Server {
    /// Starts the server and waits until it responds.
    pub async fn start(data: &Path, database: Option<&str>) -> Result<Self> {
        // It was free a moment ago, and is unlikely to be taken in between.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_perfwatch"));
        command.arg("serve").env_clear().stdout(Stdio::null());
        command.env("PERFWATCH_DATA_DIR", data).env("PERFWATCH_LISTEN", &address);
        command.env("SAMPLING_INTERVAL_SECONDS", "1").env("ADMIN_PASSWORD", PASSWORD);
        command.env("PERFWATCH_LOG", "off");
        if let Some(url) = database {
            command.env("DATABASE_URL", url);
        }
        let process = command.spawn().context("cannot start perfwatch serve")?;
        let mut server = Self { process, address };
        let begun = Instant::now();
        while reqwest::get(server.url("/health")).await.is_err() {
            if let Some(status) = server.process.try_wait()? {
                bail!("perfwatch serve ended: {status}");
            }
            if begun.elapsed() > TIMEOUT {
                bail!("perfwatch serve does not answer");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(server)
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn log_in(&self) -> Result<String> {
        let begun = Instant::now();
        loop {
            let login = json!({"username": "admin", "password": PASSWORD});
            let answer = reqwest::Client::new().post(self.url("/api/auth/login")).json(&login).send().await?;
            let status = answer.status();
            let answer: Value = answer.json().await?;
            match answer["access_token"].as_str() {
                Some(token) => return Ok(token.to_owned()),
                // After a kill, the store may take a moment to be available again.
                None if status == 503 && begun.elapsed() < TIMEOUT => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                None => bail!("no token: {status} {answer}"),
            }
        }
    }

    pub fn memory_kib(&self, line: &str) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let value = status.lines().find_map(|of| of.strip_prefix(line)).context("no such line")?;
        Ok(value.trim().trim_end_matches(" kB").parse()?)
    }

    /// Kills it.
    pub fn kill(mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// Asks it to stop, and waits until it has.
    pub fn stop(mut self) -> Result<()> {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let status = self.process.wait()?;
        if status.success() { Ok(()) } else { bail!("perfwatch serve ended with {status}") }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Only after a failure: otherwise it has already been waited for, and this does nothing.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Follows the stream in the background.
pub struct Watcher {
    seen: Arc<Mutex<Seen>>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Ticks, and when they arrived.
    ticks: BTreeMap<i64, Instant>,
    longest_pause: Duration,
}

impl Watcher {
    pub async fn start(server: &Server, token: &str) -> Result<Self> {
        let url = format!("ws://{}/api/ws/metrics?token={token}", server.address);
        let (mut stream, _) = connect_async(url).await?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let noted = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            let mut before = Instant::now();
            while let Some(Ok(message)) = stream.next().await {
                let Ok(message) = serde_json::from_str::<Value>(message.to_text().unwrap_or_default()) else {
                    continue;
                };
                let Some(at) = message["timestamp"].as_str() else { continue };
                let Ok(at) = OffsetDateTime::parse(at, &Rfc3339) else { continue };
                let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
                noted.longest_pause = noted.longest_pause.max(before.elapsed());
                before = Instant::now();
                // The first snapshot is off the grid and not stored.
                if at.nanosecond() == 0 {
                    noted.ticks.insert(at.unix_timestamp(), before);
                }
            }
        });
        Ok(Self { seen, task })
    }

    pub fn longest_pause(&self) -> Duration {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).longest_pause
    }

    /// The ticks that arrived before a given moment.
    pub fn ticks_before(self, moment: Instant) -> BTreeSet<i64> {
        self.task.abort();
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.ticks.iter().filter(|(_, came)| **came < moment).map(|(at, _)| *at).collect()
    }
}

/// What happened to the ticks that were seen.
#[derive(Debug, Default, Clone, Copy)]
pub struct Kept {
    pub seen: usize,
    /// Not stored for any type.
    pub lost: usize,
    /// Stored for some types only.
    pub torn: usize,
    pub twice: usize,
}

impl Kept {
    /// Inspects a store that no server is writing to.
    pub async fn of(url: &str, seen: &BTreeSet<i64>) -> Result<Self> {
        let store = store::open(url).await?;
        let hosts = store.hosts().await?;
        let mut times: BTreeMap<i64, Vec<MetricType>> = BTreeMap::new();
        for host in &hosts {
            for metric_type in MetricType::ALL {
                let wanted = Wanted { content: metric_type.into(), tier: 0, from: 0, to: i64::MAX };
                for chunk in store.find(&host.id, wanted, 1 << 20).await? {
                    let block = Block::decode(&chunk.data, Selection::all(metric_type))?;
                    let seconds = block.times().iter().map(|at| at / 1_000_000);
                    seconds.for_each(|at| times.entry(at).or_default().push(metric_type));
                }
            }
        }
        store.close().await;
        let types = MetricType::ALL.len();
        let mut kept = Self { seen: seen.len(), ..Self::default() };
        kept.lost = seen.iter().filter(|at| !times.contains_key(at)).count();
        for stored in times.values() {
            let distinct: BTreeSet<&str> = stored.iter().map(|of| of.as_str()).collect();
            kept.torn += usize::from(distinct.len() < types);
            kept.twice += usize::from(stored.len() > distinct.len());
        }
        Ok(kept)
    }

    pub fn to_json(self) -> Value {
        json!({"seen": self.seen, "lost": self.lost, "torn": self.torn, "twice": self.twice})
    }
}

impl std::fmt::Display for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { seen, lost, torn, twice } = self;
        write!(f, "{seen} ticks seen, {lost} lost, {torn} torn, {twice} stored twice")
    }
}

/// The `p`-th quantile of durations, ms.
pub fn quantile_ms(durations: &mut [Duration], p: f64) -> f64 {
    durations.sort_unstable();
    let index = ((durations.len() as f64 * p).ceil() as usize).clamp(1, durations.len().max(1)) - 1;
    durations.get(index).map_or(f64::NAN, |of| of.as_secs_f64() * 1e3)
}
