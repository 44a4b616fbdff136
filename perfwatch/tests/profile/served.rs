//! What the server keeps of programs whose shape is known.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{Running, compile, start};

const PASSWORD: &str = "kx83 admin tail";
/// For anything the server does, on a machine busy with other tests.
const TIMEOUT: Duration = Duration::from_secs(90);

/// Few user stacks of waits are taken, of the whole machine: tests of them take turns.
static WAITS: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

struct Server {
    process: Child,
    _data: tempfile::TempDir,
    address: String,
    token: String,
    client: reqwest::Client,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    async fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_perfwatch"))
            .arg("serve")
            .env_clear()
            .env("PERFWATCH_LISTEN", "127.0.0.1:0")
            .env("PERFWATCH_DATA_DIR", data.path())
            .env("PERFWATCH_PROFILE_HZ", "199")
            .env("ADMIN_PASSWORD", PASSWORD)
            .env("SAMPLING_INTERVAL_SECONDS", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        let address = lines.find_map(|line| line.strip_prefix("PerfWatch is at ").map(str::to_owned));
        // The server closes what is idle for as long as a program is waited for.
        let client = reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap();
        let mut server =
            Self { process, _data: data, address: address.unwrap(), token: String::new(), client };
        let login = json!({"username": "admin", "password": PASSWORD});
        let answer = server.client.post(format!("{}/api/auth/login", server.address)).json(&login).send();
        let answer: Value = answer.await.unwrap().json().await.unwrap();
        server.token = answer["access_token"].as_str().unwrap().to_owned();
        server
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        let request = self.client.get(format!("{}{path}", self.address)).bearer_auth(&self.token);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        answer
    }

    async fn set_frequency(&self, hz: u32) {
        let request = self.client.put(format!("{}/api/config", self.address)).bearer_auth(&self.token);
        let answer = request.json(&json!({"profile_hz": hz})).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        // Settings are applied with the next tick.
        tokio::time::sleep(Duration::from_secs(3)).await;
    }

    /// Why nothing is sampled here, if that is so.
    async fn absent(&self) -> Option<String> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let sources: Value = self.get("/api/sources").await.json().await.unwrap();
            let profile =
                sources["sources"].as_array().unwrap().iter().find(|source| source["name"] == "profile");
            let profile = profile.expect("it is a source").clone();
            match profile["state"].as_str().unwrap() {
                "active" if profile["programs"].as_array().is_some_and(|all| !all.is_empty()) => return None,
                "active" => {}
                _ => return Some(profile["reason"].to_string()),
            }
            assert!(Instant::now() < deadline, "{profile}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The last minutes of one kind, as folded stacks or JSON.
    async fn profile(&self, kind: &str, process: &str, format: &str) -> reqwest::Response {
        let now = time::OffsetDateTime::now_utc().unix_timestamp();
        let (from, to) = (now - 600, now + 60);
        let range = format!("kind={kind}&start_time={from}&end_time={to}");
        self.get(&format!("/api/profiles?{range}&process={process}&format={format}")).await
    }

    async fn folded(&self, kind: &str, process: &str) -> Vec<(String, u64)> {
        let text = self.profile(kind, process, "folded").await.text().await.unwrap();
        let lines = text.lines().map(|line| line.rsplit_once(' ').unwrap());
        lines.map(|(stack, value)| (stack.to_owned(), value.parse().unwrap())).collect()
    }
}

fn with<'a>(stacks: &'a [(String, u64)], frame: &str) -> impl Iterator<Item = &'a (String, u64)> {
    stacks.iter().filter(move |(stack, _)| stack.split(';').any(|other| other == frame))
}

fn sum<'a>(stacks: impl Iterator<Item = &'a (String, u64)>) -> f64 {
    stacks.map(|(_, value)| *value as f64).sum()
}

macro_rules! skip_without_samples {
    ($server:expr) => {
        if let Some(reason) = $server.absent().await {
            println!("SKIPPED: {}: {reason}", std::thread::current().name().unwrap_or("profile"));
            return;
        }
    };
}

#[tokio::test]
async fn the_server_keeps_which_functions_ran() {
    let server = Server::start().await;
    skip_without_samples!(server);
    let dir = tempfile::tempdir().unwrap();
    let _running = start(dir.path(), &["-fomit-frame-pointer"]);
    let deadline = Instant::now() + TIMEOUT;
    let stacks = loop {
        let stacks = server.folded("cpu", "pw-shape").await;
        if sum(stacks.iter()) >= 1000.0 {
            break stacks;
        }
        assert!(Instant::now() < deadline, "{stacks:#?}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    for (function, expected) in [("sixty", 60.0), ("thirty", 30.0), ("ten", 10.0), ("main", 100.0)] {
        let share = 100.0 * sum(with(&stacks, function)) / sum(stacks.iter());
        assert!((share - expected).abs() <= 5.0, "{function}: {share}\n{stacks:#?}");
    }
    let profile: Value = server.profile("cpu", "pw-shape", "json").await.json().await.unwrap();
    assert_eq!(profile["processes"][0]["name"], "pw-shape", "{}", profile["processes"]);
    let [complete, all] =
        ["complete_stacks", "user_stacks"].map(|name| profile["processes"][0][name].as_f64().unwrap());
    assert!(complete >= 0.95 * all && all >= 1000.0, "{complete} of {all}");
    // A sample stands for the time until the next.
    let (total, samples) = (profile["total"].as_f64().unwrap(), profile["samples"].as_f64().unwrap());
    assert!((total / samples - 1e9 / 199.0).abs() < 1e3, "{total} ns in {samples} samples");
    let pprof = server.profile("cpu", "pw-shape", "pprof").await;
    let bytes = pprof.bytes().await.unwrap();
    assert!(bytes.windows(5).any(|window| window == b"sixty"));
}

fn wait_for_seconds(program: &Path, seconds: u32) -> Running {
    let mut waiter = Command::new(program);
    waiter.arg(seconds.to_string()).stdin(Stdio::null()).stdout(Stdio::piped());
    Running(waiter.spawn().unwrap())
}

#[tokio::test]
async fn a_sleep_a_lock_and_a_pipe_are_told_apart_and_all_of_their_time_is_there() {
    let _turn = WAITS.lock().await;
    let server = Server::start().await;
    skip_without_samples!(server);
    let dir = tempfile::tempdir().unwrap();
    let program = compile(dir.path(), "waiter", &["-fomit-frame-pointer", "-pthread"]);
    // Few user stacks are taken a second, and every test that runs meanwhile waits for something.
    let mut running = wait_for_seconds(&program, 20);
    let lines = BufReader::new(running.0.stdout.take().unwrap()).lines();
    let waited: Vec<(String, f64)> = lines
        .take(3)
        .map(|line| {
            let line = line.unwrap();
            let (name, ns) = line.split_once(' ').unwrap();
            (name.to_owned(), ns.parse::<f64>().unwrap() / 1e3)
        })
        .collect();
    let places = [
        ("nap", "pw-sleeper", "nanosleep"),
        ("await_lock", "pw-locker", "futex"),
        ("await_pipe", "pw-piper", "pipe_read"),
    ];
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let mut wrong = Vec::new();
        for (function, thread, place) in places {
            let (_, micros) = waited.iter().find(|(name, _)| name == function).unwrap();
            let stacks = server.folded("off_cpu", &format!("pw-waiter&thread={thread}")).await;
            let there = sum(stacks.iter().filter(|(stack, _)| stack.contains(place)));
            let of_function = sum(with(&stacks, function));
            // All of the time, and most of it with its user stack: those of the first waits are not taken yet.
            if (there / micros - 1.0).abs() > 0.05 || of_function < 0.6 * micros {
                wrong.push(format!(
                    "{function}: {there} µs in {place} of {micros}, {of_function} with it: {stacks:#?}"
                ));
            }
            let elsewhere = sum(with(&stacks, function).filter(|(stack, _)| !stack.contains(place)));
            assert!(elsewhere <= 0.01 * micros, "{function}: {elsewhere} µs not in {place}\n{stacks:#?}");
        }
        if wrong.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "{wrong:?} of {waited:?}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test]
async fn a_read_from_a_disk_is_told() {
    const TEST: &str = "a_read_from_a_disk_is_told";
    const LENGTH: usize = 64 << 20;
    let _turn = WAITS.lock().await;
    let server = Server::start().await;
    skip_without_samples!(server);
    // Where programs are built: /tmp may be memory.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let program = compile(dir.path(), "reader", &["-fomit-frame-pointer"]);
    let file = dir.path().join("file");
    std::fs::write(&file, vec![7; LENGTH]).unwrap();
    std::fs::File::open(&file).unwrap().sync_all().unwrap();
    let mut running = Running(Command::new(&program).arg(&file).stdin(Stdio::null()).spawn().unwrap());
    let deadline = Instant::now() + TIMEOUT;
    loop {
        if let Some(status) = running.0.try_wait().unwrap() {
            assert_eq!(status.code(), Some(2), "{status}");
            println!("SKIPPED: {TEST}: the file system refuses O_DIRECT");
            return;
        }
        let stacks = server.folded("off_cpu", "pw-reader").await;
        let read: Vec<_> = with(&stacks, "await_disk").collect();
        if sum(read.iter().copied()) > 100_000.0 {
            let kernel = ["io_schedule", "iomap", "blkdev", "direct_IO"];
            let is_disk = |stack: &str| kernel.iter().any(|function| stack.contains(function));
            let elsewhere = sum(read.iter().copied().filter(|(stack, _)| !is_disk(stack)));
            assert!(elsewhere <= 0.1 * sum(read.iter().copied()), "{elsewhere} µs elsewhere\n{stacks:#?}");
            return;
        }
        assert!(Instant::now() < deadline, "{stacks:#?}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// How much off-CPU time of the program is known once it has waited, and there was time to tell of it.
async fn told_of_a_waiter(server: &Server, program: &Path) -> f64 {
    let mut running = wait_for_seconds(program, 3);
    let lines = BufReader::new(running.0.stdout.take().unwrap()).lines();
    assert_eq!(lines.map_while(Result::ok).take(3).count(), 3);
    tokio::time::sleep(Duration::from_secs(10)).await;
    sum(server.folded("off_cpu", "pw-waiter").await.iter())
}

#[tokio::test]
async fn waits_are_told_again_once_profiles_are_no_longer_off() {
    let _turn = WAITS.lock().await;
    let server = Server::start().await;
    skip_without_samples!(server);
    let dir = tempfile::tempdir().unwrap();
    let program = compile(dir.path(), "waiter", &["-pthread"]);
    server.set_frequency(0).await;
    assert!(server.absent().await.unwrap().contains("profile_hz"));
    assert!(told_of_a_waiter(&server, &program).await.abs() < f64::EPSILON);
    server.set_frequency(19).await;
    assert_eq!(server.absent().await, None);
    assert!(told_of_a_waiter(&server, &program).await > 0.0);
}
