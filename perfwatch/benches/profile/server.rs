//! What profiling costs while every CPU is busy.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

const PASSWORD: &str = "a password of this benchmark";
/// By then the symbols of what runs are known.
const SETTLING: Duration = Duration::from_secs(15);

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// At each frequency: percent of all CPUs, ns a sample, and memory.
pub async fn measure(seconds: u64) -> Result<Value> {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let dir = tempfile::tempdir()?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/profile/shape.c");
    let program = dir.path().join("shape");
    let compiled =
        Command::new("cc").args(["-O2", "-fomit-frame-pointer", "-o"]).arg(&program).arg(source).status();
    anyhow::ensure!(compiled.is_ok_and(|status| status.success()), "cannot compile shape.c");
    let mut busy = Vec::new();
    for _ in 0..cpus {
        busy.push(Running(Command::new(&program).stdin(Stdio::null()).spawn()?));
    }
    let mut figures = Map::new();
    let mut without = 0.0;
    for hz in [0, 19, 99] {
        let at = at(hz, seconds, cpus as f64).await?;
        let anonymous_kib = at["anonymous_kib"].as_f64().unwrap_or(f64::NAN);
        if hz == 0 {
            without = anonymous_kib;
        }
        let of = |name: &str| at[name].as_f64().unwrap_or(f64::NAN);
        println!(
            "{hz:>3} Hz: {:.3} % of {cpus} busy CPUs ({:.3} program, {:.3} unwinding, {:.3} naming), {:.0} ns a sample, \
             {:.1} MiB of memory of its own in both processes ({:+.1} against 0 Hz, where there are no profiles)",
            of("percent"),
            of("program_percent"),
            of("unwinding_percent"),
            of("naming_percent"),
            of("ns_a_sample"),
            anonymous_kib / 1024.0,
            (anonymous_kib - without) / 1024.0
        );
        let mut at = at;
        at.insert("more_kib".into(), json!(anonymous_kib - without));
        figures.insert(format!("{hz}_hz"), Value::Object(at));
    }
    figures.insert("floor".into(), Value::Object(crate::floor::measure(seconds)?));
    Ok(Value::Object(figures))
}

async fn at(hz: u32, seconds: u64, cpus: f64) -> Result<Map<String, Value>> {
    let data = tempfile::tempdir()?;
    let mut server = Command::new(env!("CARGO_BIN_EXE_perfwatch"));
    server
        .arg("serve")
        .env_clear()
        .env("PERFWATCH_LISTEN", "127.0.0.1:0")
        .env("PERFWATCH_DATA_DIR", data.path())
        .env("PERFWATCH_PROFILE_HZ", hz.to_string())
        .env("ADMIN_PASSWORD", PASSWORD)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut server = Running(server.spawn()?);
    let output = server.0.stdout.take().context("its output")?;
    let mut lines = BufReader::new(output).lines().map_while(Result::ok);
    let address = lines.find_map(|line| line.strip_prefix("PerfWatch is at ").map(str::to_owned));
    let address = address.context("the server does not say where it is")?;
    // The server closes what is idle between two questions.
    let client = reqwest::Client::builder().pool_max_idle_per_host(0).build()?;
    let login = json!({"username": "admin", "password": PASSWORD});
    let answer = client.post(format!("{address}/api/auth/login")).json(&login).send().await?;
    let token = answer.json::<Value>().await?["access_token"].as_str().context("no token")?.to_owned();
    let program = async || -> Result<(f64, f64)> {
        let request = client.get(format!("{address}/api/sources")).bearer_auth(&token);
        let sources: Value = request.send().await?.json().await?;
        let mut all = sources["sources"].as_array().into_iter().flatten();
        let profile = all.find(|source| source["name"] == "profile").context("no source profile")?;
        anyhow::ensure!(profile["state"] != "unavailable", "cannot sample: {}", profile["reason"]);
        let of = |name: &str| profile["programs"][0][name].as_f64().unwrap_or(0.0);
        Ok((of("run_count"), of("run_time_ns")))
    };
    tokio::time::sleep(SETTLING).await;
    let pid = server.0.id();
    let (begun, threads, before) = (Instant::now(), Threads::of(pid)?, program().await?);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let (elapsed, now, after) = (begun.elapsed().as_nanos() as f64, Threads::of(pid)?, program().await?);
    let percent = |ns: f64| 100.0 * ns / (elapsed * cpus);
    let parts = [
        ("program_percent", percent(after.1 - before.1)),
        ("unwinding_percent", percent(now.unwinding - threads.unwinding)),
        ("naming_percent", percent(now.naming - threads.naming)),
    ];
    let mut figures = Map::new();
    figures.insert("percent".into(), json!(parts.iter().map(|(_, percent)| percent).sum::<f64>()));
    figures.extend(parts.map(|(name, percent)| (name.to_owned(), json!(percent))));
    figures.insert("ns_a_sample".into(), json!((after.1 - before.1) / (after.0 - before.0).max(1.0)));
    figures.insert("anonymous_kib".into(), json!(now.anonymous_kib));
    Ok(figures)
}

/// CPU time so far, ns, and memory.
struct Threads {
    unwinding: f64,
    /// With the process that reads symbols.
    naming: f64,
    /// Of both processes.
    anonymous_kib: f64,
}

impl Threads {
    fn of(pid: u32) -> Result<Self> {
        let mut all = Self { unwinding: 0.0, naming: 0.0, anonymous_kib: anonymous_kib(pid) };
        for task in fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
            let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            match name.trim() {
                "profile" => all.unwinding += run_ns(&task.path()),
                "profile-names" => all.naming += run_ns(&task.path()),
                _ => {}
            }
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            for child in children.split_whitespace().filter_map(|pid| pid.parse().ok()) {
                all.naming += run_ns(Path::new(&format!("/proc/{child}/task/{child}")));
                all.anonymous_kib += anonymous_kib(child);
            }
        }
        Ok(all)
    }
}

fn run_ns(task: &Path) -> f64 {
    let schedstat = fs::read_to_string(task.join("schedstat")).unwrap_or_default();
    schedstat.split_whitespace().next().and_then(|ns| ns.parse().ok()).unwrap_or(0.0)
}

fn anonymous_kib(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0.0)
}
