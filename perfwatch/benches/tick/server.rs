//! Cost of the running server: `perfwatch serve`, storing and serving one client, measured from outside.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::{floor, threads};

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

const PASSWORD: &str = "a password of this benchmark";
/// By then caches have reached their size, and memory used at startup has been released.
const SETTLING: Duration = Duration::from_secs(10);
/// A minute is rolled up 8 s after its end; this leaves a margin.
const AFTER_ROLLUP: i64 = 12;
/// Long enough for a machine busy with other work.
const TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Figures {
    engine: &'static str,
    /// Total number of processes while measuring.
    processes: usize,
    interval: usize,
    ticks: usize,
    /// Kernel files that the server has open.
    files: usize,
    /// CPU µs per tick of the whole process, by thread name.
    threads: BTreeMap<String, f64>,
    /// Cost of the last tick, as reported by the server's sources.
    sources: BTreeMap<String, f64>,
    rss_kib: u64,
    anonymous_kib: u64,
    /// From exec until a client has the first snapshot, with an existing store and account.
    cold_start_ms: f64,
    floor: Floor,
}

/// CPU µs of raw preads, in the same seconds as the server's ticks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Floor {
    /// The files that the server reads.
    pub(crate) files_us: f64,
    /// Every process's `stat`, as the floor for the `processes` document.
    pub(crate) processes_us: f64,
}

impl Floor {
    fn us(self) -> f64 {
        self.files_us + self.processes_us
    }
}

impl Figures {
    fn cpu_us(&self) -> f64 {
        self.threads.values().sum()
    }

    /// Cost of the tick itself: reading, deriving, writing the documents.
    fn sampler_us(&self) -> f64 {
        self.threads.get("sampler").copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn print(&self) {
        let Floor { files_us, processes_us } = self.floor;
        let Self { engine, processes, interval, ticks, files, .. } = self;
        println!(
            "server on {engine}: storing and serving one client, {ticks} ticks of {interval} s, {processes} processes"
        );
        let (cpu, sampler, floor) = (self.cpu_us(), self.sampler_us(), self.floor.us());
        println!("  CPU per tick       {cpu:>8.0} µs   {:.2} times the floor", cpu / floor);
        for (thread, us) in &self.threads {
            println!("    {thread:<17}{us:>8.0} µs");
        }
        println!(
            "  the sampler is       {:>8.2} times the floor, {:.2} times that of its files alone",
            sampler / floor,
            sampler / files_us
        );
        println!(
            "  floor              {floor:>8.0} µs   its {files} files {files_us:.0}, every process's stat {processes_us:.0}"
        );
        let sources: Vec<_> = self.sources.iter().map(|(name, us)| format!("{name} {us:.0}")).collect();
        println!("  of which sources     {}", sources.join(", "));
        println!("  RSS                {:>8} KiB  {} anonymous", self.rss_kib, self.anonymous_kib);
        println!("  cold start         {:>8.0} ms", self.cold_start_ms);
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "us": self.cpu_us(),
            "floor_us": self.floor.us(),
            "ratio": self.cpu_us() / self.floor.us(),
            "sampler": {"us": self.sampler_us(), "floor_us": self.floor.us()},
            "sampler_and_its_files": {"us": self.sampler_us(), "floor_us": self.floor.files_us},
            "threads_us": self.threads,
            "sources_us": self.sources,
            "rss_kib": self.rss_kib,
            "anonymous_kib": self.anonymous_kib,
            "cold_start_ms": self.cold_start_ms,
        })
    }
}

/// A server that stores history and has one client.
pub(crate) struct Running {
    engine: &'static str,
    interval: usize,
    server: Server,
    token: String,
    stream: Stream,
    cold_start_ms: f64,
}

impl Running {
    pub(crate) async fn start(
        engine: &'static str,
        database_url: Option<&str>,
        data_dir: &Path,
        interval: usize,
    ) -> Result<Self> {
        // The first start creates the tables and the account.
        let mut server = Server::start(data_dir, database_url, interval)?;
        let token = server.log_in().await?;
        server.first_snapshot(&token).await?;
        server.stop()?;

        let begun = Instant::now();
        let began = time::OffsetDateTime::now_utc().unix_timestamp();
        let mut server = Server::start(data_dir, database_url, interval)?;
        let stream = server.first_snapshot(&token).await?;
        let cold_start_ms = begun.elapsed().as_secs_f64() * 1e3;
        let mut running = Self { engine, interval, server, token, stream, cold_start_ms };
        // From then on each minute has one rollup, of a minute that the server saw from its start.
        while !has_settled(began, time::OffsetDateTime::now_utc().unix_timestamp()) {
            next_tick(&mut running.stream).await?;
        }
        running.settle().await?;
        Ok(running)
    }

    /// Waits until the effects of the last change have worn off.
    pub(crate) async fn settle(&mut self) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < SETTLING {
            next_tick(&mut self.stream).await?;
        }
        Ok(())
    }

    /// Measures whole minutes; floor and ticks alternate, so that both see the same machine. `at_each_tick` makes it do
    /// something.
    pub(crate) async fn figures(
        &mut self,
        minutes: usize,
        processes: &floor::Processes,
        mountpoints: &[PathBuf],
        mut at_each_tick: impl FnMut() -> Result<()>,
    ) -> Result<Figures> {
        let Self { engine, interval, server, token, stream, cold_start_ms } = self;
        let files = floor::Files::of_server(server.child.id())?;
        let ticks = (60 * minutes).div_ceil(*interval);
        let mut buffer = vec![0; floor::BUFFER];
        let before = threads::times(server.child.id())?;
        let mut floors = Vec::new();
        for _ in 0..ticks {
            next_tick(stream).await?;
            at_each_tick()?;
            floors.push(Floor {
                files_us: files.floor(mountpoints, &mut buffer)?,
                processes_us: processes.floor(&mut buffer),
            });
        }
        let mut threads = threads::between(&before, threads::times(server.child.id())?);
        threads.values_mut().for_each(|us| *us /= ticks as f64);
        let median = |part: fn(&Floor) -> f64| floor::median(&floors.iter().map(part).collect::<Vec<_>>());
        Ok(Figures {
            engine,
            processes: processes.count(),
            interval: *interval,
            ticks,
            files: files.count(),
            threads,
            sources: server.sources(token).await?,
            rss_kib: server.memory_kib("VmRSS:")?,
            anonymous_kib: server.memory_kib("RssAnon:")?,
            cold_start_ms: *cold_start_ms,
            floor: Floor {
                files_us: median(|floor| floor.files_us),
                processes_us: median(|floor| floor.processes_us),
            },
        })
    }

    pub(crate) fn stop(mut self) -> Result<()> {
        self.server.stop()
    }
}

/// Whether the current minute began after the server started, and the previous one has been rolled up.
fn has_settled(began: i64, now: i64) -> bool {
    now / 60 > began / 60 && now % 60 >= AFTER_ROLLUP
}

/// Waits for the next snapshot and another half second: by then it has been processed, or waits for its batch.
async fn next_tick(stream: &mut Stream) -> Result<()> {
    next_message(stream).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    Ok(())
}

async fn next_message(stream: &mut Stream) -> Result<()> {
    loop {
        let message = tokio::time::timeout(TIMEOUT, stream.next()).await?.context("the stream ended")??;
        if message.is_text() {
            return Ok(());
        }
    }
}

struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(data_dir: &Path, database_url: Option<&str>, interval: usize) -> Result<Self> {
        // It was free a moment ago, and is unlikely to be taken in between.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_perfwatch"));
        command
            .args(["serve", "--listen", &address, "--sampling-interval-seconds", &interval.to_string()])
            .env("PERFWATCH_DATA_DIR", data_dir)
            .env("ADMIN_PASSWORD", PASSWORD)
            .env("PERFWATCH_LOG", "warn")
            .env_remove("DATABASE_URL")
            .stdout(Stdio::null());
        if let Some(url) = database_url {
            command.env("DATABASE_URL", url);
        }
        Ok(Self { child: command.spawn().context("cannot start perfwatch serve")?, address })
    }

    /// Retries until the server is up.
    async fn patiently<T, F: Future<Output = Result<T>>>(
        &mut self,
        mut step: impl FnMut(String) -> F,
    ) -> Result<T> {
        let begun = Instant::now();
        loop {
            match step(self.address.clone()).await {
                Ok(done) => return Ok(done),
                Err(error) if begun.elapsed() > TIMEOUT => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("perfwatch serve ended: {status}");
            }
        }
    }

    async fn log_in(&mut self) -> Result<String> {
        let answer = self
            .patiently(|address| async move {
                let login = json!({"username": "admin", "password": PASSWORD});
                let url = format!("http://{address}/api/auth/login");
                Ok(reqwest::Client::new().post(url).json(&login).send().await?.json::<Value>().await?)
            })
            .await?;
        Ok(answer["access_token"].as_str().with_context(|| format!("no token in {answer}"))?.to_owned())
    }

    /// A stream that has just received its first snapshot.
    async fn first_snapshot(&mut self, token: &str) -> Result<Stream> {
        let mut stream = self
            .patiently(|address| async move {
                Ok(connect_async(format!("ws://{address}/api/ws/metrics?token={token}")).await?.0)
            })
            .await?;
        next_message(&mut stream).await?;
        Ok(stream)
    }

    async fn sources(&self, token: &str) -> Result<BTreeMap<String, f64>> {
        let url = format!("http://{}/api/sources", self.address);
        let answer: Value = reqwest::Client::new().get(url).bearer_auth(token).send().await?.json().await?;
        let sources = answer["sources"].as_array().context("no sources")?;
        let cost = |source: &Value| {
            let name = source["name"].as_str()?.to_owned();
            Some((name, source["cost"]["last_us"].as_f64()?))
        };
        sources.iter().map(|source| cost(source).context("a source without its cost")).collect()
    }

    fn memory_kib(&self, line: &str) -> Result<u64> {
        floor::memory_kib(&format!("/proc/{}/status", self.child.id()), line)
    }

    fn stop(&mut self) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.context("a pid")?, rustix::process::Signal::TERM)?;
        let status = self.child.wait()?;
        if !status.success() {
            bail!("perfwatch serve ended with {status}");
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Only after a failure: otherwise it has been stopped and waited for, and this does nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
