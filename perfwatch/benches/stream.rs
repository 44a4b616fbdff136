//! Cost of live clients for the server, and the effect of a crowd on other users: the real server, real sockets.
//!
//! 1. 1,000 WebSocket clients at a snapshot per second: CPU per tick and client (minus the server's CPU without
//!    clients), the time from the first to the last client of a tick, RSS. Compared with the floor: one thread that
//!    writes the same bytes to as many sockets.
//! 2. 5,000 clients and 200 logins at once: latency of `/health` meanwhile.
//!
//! `cargo bench -p perfwatch --bench stream [-- <clients> <crowd> <logins>] [--json <file>]`
//!
//! All clients share one thread here, and arrival times come from the kernel: otherwise the clients' own reading, on
//! the same CPUs, would dominate the measurement.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

#[allow(clippy::unwrap_used)]
#[path = "stream/listeners.rs"]
mod listeners;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use listeners::Listeners;

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PASSWORD: &str = "kx83 admin tail";
const TICKS: usize = 30;
/// Clients that connect at once: more would overflow the listener's backlog, and their own retries would slow them
/// down.
const BATCH_SIZE: usize = 100;

fn main() {
    let numbers: Vec<usize> = std::env::args().filter_map(|arg| arg.parse().ok()).collect();
    let number = |place: usize, default: usize| numbers.get(place).copied().unwrap_or(default);
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let most = rustix::process::Rlimit { current: files.maximum, maximum: files.maximum };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, most).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let figures = runtime.block_on(async {
        let fan_out = fan_out(number(0, 1000)).await;
        let crowd = crowd(number(1, 5000), number(2, 200)).await;
        json!({"fan_out": fan_out, "crowd": crowd})
    });
    if let Some(file) = std::env::args().skip_while(|arg| arg != "--json").nth(1) {
        std::fs::write(file, figures.to_string()).unwrap();
    }
}

async fn fan_out(count: usize) -> Value {
    let server = Server::start().await;
    let alone = server.cpu_of(TICKS).await;
    let rss_alone = server.rss();
    let clients = Clients::connect(&server, count).await;
    // The first messages are the handshakes' responses.
    clients.ticks(3).await;
    clients.forget();
    let with = server.cpu_of(TICKS).await;
    let (ticks, size) = clients.whole();
    let rss = server.rss();
    let floor = floor(count, size).await;
    let extra = with.saturating_sub(alone);
    let per_client = micros(extra) / count as f64;
    println!("{count} clients, {TICKS} ticks of 1 s, messages of {:.1} KB", size as f64 / 1e3);
    println!("  CPU per tick           {:8.2} ms (without clients {:.2} ms)", millis(with), millis(alone));
    println!("  CPU per client a tick  {per_client:8.2} µs (the original: 250 µs)");
    println!(
        "  floor: one thread writing these bytes to {count} sockets {:.2} µs a client; ratio {:.2}",
        micros(floor) / count as f64,
        micros(extra) / micros(floor)
    );
    let late: Vec<f64> = ticks.concat();
    println!(
        "  first to last client   {:8.2} ms median of {} ticks; behind the first: p50 {:.2}, p99 {:.2}, max {:.2} ms",
        spread(&ticks),
        ticks.len(),
        percentile(&late, 0.5),
        percentile(&late, 0.99),
        percentile(&late, 1.0)
    );
    println!(
        "  RSS                    {:8.1} MB (without clients {:.1} MB; {:.1} KB a client)",
        rss as f64 / 1e3,
        rss_alone as f64 / 1e3,
        rss.saturating_sub(rss_alone) as f64 / count as f64
    );
    json!({
        "clients": count,
        "cpu_per_client_us": per_client,
        "floor_cpu_per_client_us": micros(floor) / count as f64,
        "first_to_last_median_ms": spread(&ticks),
        "behind_the_first_p99_ms": percentile(&late, 0.99),
        "rss_kib": rss,
        "message_bytes": size,
    })
}

async fn crowd(count: usize, logins: usize) -> Value {
    let server = Server::start().await;
    let _clients = Clients::connect(&server, count).await;
    let quiet = Prober::start(server.address);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let quiet = quiet.finish();
    let meanwhile = Prober::start(server.address);
    let started = Instant::now();
    let attempts: Vec<_> = (0..logins)
        .map(|_| {
            let address = server.address;
            tokio::spawn(async move { login(address).await.is_some() })
        })
        .collect();
    let mut accepted = 0;
    for attempt in attempts {
        accepted += usize::from(attempt.await.unwrap());
    }
    let took = started.elapsed();
    let busy = meanwhile.finish();
    println!("{count} clients and {logins} logins at once");
    println!("  logins                 {accepted} accepted in {:.1} s", took.as_secs_f64());
    for (what, times) in [("with the clients", &quiet), ("and the logins", &busy)] {
        println!(
            "  /health {what:17} p50 {:.2}, p99 {:.2}, max {:.2} ms of {} (goal: p99 under 50 ms)",
            percentile(times, 0.5),
            percentile(times, 0.99),
            percentile(times, 1.0),
            times.len()
        );
    }
    println!("  RSS                    {:8.1} MB", server.rss() as f64 / 1e3);
    json!({
        "clients": count,
        "logins": logins,
        "accepted": accepted,
        "quiet_health_p99_ms": percentile(&quiet, 0.99),
        "health_p99_ms": percentile(&busy, 0.99),
        "rss_kib": server.rss(),
    })
}

struct Server {
    child: Child,
    address: SocketAddr,
    _data: tempfile::TempDir,
}

impl Server {
    async fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_perfwatch"));
        command.arg("serve").env_clear().stdin(Stdio::null()).stdout(Stdio::piped());
        for (name, value) in [
            ("PERFWATCH_LISTEN", "127.0.0.1:0"),
            ("PERFWATCH_DATA_DIR", data.path().to_str().unwrap()),
            ("ADMIN_PASSWORD", PASSWORD),
            ("SAMPLING_INTERVAL_SECONDS", "1"),
            ("LOGIN_ATTEMPTS_PER_MINUTE", "10000"),
            ("PERFWATCH_LOG", "warn"),
        ] {
            command.env(name, value);
        }
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let address =
            lines.find_map(|line| line.strip_prefix("PerfWatch is at http://").map(|a| a.parse().unwrap()));
        Self { child, address: address.unwrap(), _data: data }
    }

    /// CPU time per tick, averaged over `ticks` seconds.
    async fn cpu_of(&self, ticks: usize) -> Duration {
        let before = self.cpu();
        tokio::time::sleep(Duration::from_secs(ticks as u64)).await;
        (self.cpu() - before) / u32::try_from(ticks).unwrap()
    }

    /// User and kernel time so far, including threads that have ended; in clock ticks of 10 ms.
    fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // The name in parentheses may contain anything.
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks = |place: usize| fields[place].parse::<u64>().unwrap();
        Duration::from_millis((ticks(11) + ticks(12)) * 1000 / rustix::param::clock_ticks_per_second())
    }

    /// KB
    fn rss(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Clients {
    listeners: Listeners,
    count: usize,
}

impl Clients {
    async fn connect(server: &Server, count: usize) -> Self {
        let token = Arc::new(login(server.address).await.unwrap());
        let mut sockets = Vec::with_capacity(count);
        while sockets.len() < count {
            let joining: Vec<_> = (0..(count - sockets.len()).min(BATCH_SIZE))
                .map(|_| {
                    let (address, token) = (server.address, Arc::clone(&token));
                    tokio::spawn(async move { upgrade(address, &token).await })
                })
                .collect();
            for joined in joining {
                sockets.push(joined.await.unwrap());
            }
        }
        Self { listeners: Listeners::start(sockets), count }
    }

    /// Waits until `wanted` ticks have reached all clients.
    async fn ticks(&self, wanted: usize) {
        while self.whole().0.len() < wanted {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn forget(&self) {
        self.listeners.arrivals.lock().unwrap().ticks.clear();
    }

    /// Each tick that reached all clients, as their delays after the first client in ms; and the size of a message.
    fn whole(&self) -> (Vec<Vec<f64>>, usize) {
        let arrivals = self.listeners.arrivals.lock().unwrap();
        let whole = arrivals.ticks.values().filter(|tick| tick.len() == self.count);
        let delays = whole.map(|tick| {
            let first = tick.iter().min().unwrap();
            tick.iter().map(|at| (at - first) as f64 / 1e6).collect()
        });
        (delays.collect(), arrivals.size)
    }
}

async fn upgrade(address: SocketAddr, token: &str) -> std::net::TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /api/ws/metrics HTTP/1.1\r\nhost: {address}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         sec-websocket-protocol: bearer, {token}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    // Read exactly to the end of the head: the first message follows.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    stream.into_std().unwrap()
}

/// CPU time of one thread that writes `size` bytes to each of `count` sockets, with readers at the other ends.
async fn floor(count: usize, size: usize) -> Duration {
    const ROUNDS: u32 = 10;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut sockets = Vec::new();
    for _ in 0..count {
        let mut reader = TcpStream::connect(address).await.unwrap();
        sockets.push(listener.accept().unwrap().0);
        tokio::spawn(async move {
            let mut buffer = vec![0; 64 * 1024];
            while matches!(reader.read(&mut buffer).await, Ok(n) if n > 0) {}
        });
    }
    let writing = std::thread::spawn(move || {
        let bytes = vec![b'x'; size];
        let cpu = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
        let mut took = Duration::ZERO;
        for _ in 0..ROUNDS {
            let before = cpu();
            for socket in &mut sockets {
                socket.write_all(&bytes).unwrap();
            }
            took += cpu() - before;
            // As in a real tick: everything has been read.
            std::thread::sleep(Duration::from_millis(300));
        }
        took / ROUNDS
    });
    tokio::task::spawn_blocking(move || writing.join().unwrap()).await.unwrap()
}

async fn login(address: SocketAddr) -> Option<String> {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let body = json!({"username": "admin", "password": PASSWORD});
    let answer = http.post(format!("http://{address}/api/auth/login")).json(&body).send().await.ok()?;
    Some(answer.json::<Value>().await.ok()?["access_token"].as_str()?.to_owned())
}

/// Requests `/health` twenty times a second from its own thread, on a new connection each time.
struct Prober {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Vec<f64>>,
}

impl Prober {
    fn start(address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                let mut times = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let asked = Instant::now();
                    ask_for_health(address);
                    times.push(millis(asked.elapsed()));
                    std::thread::sleep(Duration::from_millis(50));
                }
                times
            }
        });
        Self { stop, thread }
    }

    /// Latency of each call in ms.
    fn finish(self) -> Vec<f64> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn ask_for_health(address: SocketAddr) {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "GET /health HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// Median over the ticks of the time from the first to the last client, ms.
fn spread(ticks: &[Vec<f64>]) -> f64 {
    let last: Vec<f64> = ticks.iter().map(|delays| delays.iter().copied().fold(0.0, f64::max)).collect();
    percentile(&last, 0.5)
}

fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
    sorted.get(place).copied().unwrap_or(f64::NAN)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
