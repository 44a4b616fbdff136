//! The server under limits of the machine: memory, open files, address space, CPU.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step fails the test")]
#![allow(clippy::print_stdout, reason = "a skipped test says so")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(90);
static NEXT: AtomicU32 = AtomicU32::new(0);

/// `perfwatch serve`, after a line of shell.
fn serve(data: &Path, address: &str, first: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{first}; exec \"$0\" serve"), env!("CARGO_BIN_EXE_perfwatch")]);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("PERFWATCH_DATA_DIR", data);
    command.env("PERFWATCH_LISTEN", address).env("SAMPLING_INTERVAL_SECONDS", "1");
    command.env("PERFWATCH_METRICS_PUBLIC", "true");
    command.stdout(Stdio::null());
    command
}

fn refused(first: &str) -> String {
    let data = tempfile::tempdir().unwrap();
    let Output { status, stderr, .. } =
        serve(data.path(), "127.0.0.1:0", first).stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{said}");
    assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 0, "before anything is made");
    said
}

struct Server {
    process: Child,
    address: String,
    _data: tempfile::TempDir,
}

impl Server {
    async fn start(first: &str) -> Self {
        let data = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let process = serve(data.path(), &address, first).stderr(Stdio::null()).spawn().unwrap();
        let server = Self { process, address, _data: data };
        server.until("build_info").await;
        server
    }

    async fn get(&self, path: &str) -> Option<String> {
        reqwest::get(format!("http://{}{path}", self.address)).await.ok()?.text().await.ok()
    }

    /// Waits for a line of `/metrics` that contains a text.
    async fn until(&self, text: &str) -> String {
        let since = Instant::now();
        loop {
            let metrics = self.get("/metrics").await.unwrap_or_default();
            let found = metrics.lines().find(|line| !line.starts_with('#') && line.contains(text));
            if let Some(line) = found {
                return line.to_owned();
            }
            assert!(since.elapsed() < TIMEOUT, "no {text}: {metrics}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A cgroup of the test's own.
struct Cgroup(PathBuf);

impl Cgroup {
    /// With the limits of either version written.
    fn new(controller: &str, limits: &[(&str, &str)]) -> Result<Self, String> {
        let own = std::fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
        let mut places = Vec::new();
        for line in own.lines() {
            let mut parts = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
            let path = path.trim_start_matches('/');
            if controllers.is_empty() {
                places.push(Path::new("/sys/fs/cgroup").join(path));
            } else if controllers.split(',').any(|known| known == controller) {
                places.push(Path::new("/sys/fs/cgroup").join(controller).join(path));
            }
        }
        let mut why = format!("no cgroup has the controller {controller}");
        for place in places {
            let cgroup = place.join(format!(
                "perfwatch-test-{}-{}",
                std::process::id(),
                NEXT.fetch_add(1, Ordering::Relaxed)
            ));
            if let Err(error) = std::fs::create_dir(&cgroup) {
                why = format!("{}: {error}", cgroup.display());
                continue;
            }
            let cgroup = Self(cgroup);
            if cgroup.set(limits) {
                return Ok(cgroup);
            }
        }
        Err(why)
    }

    /// False if it has none of the files.
    fn set(&self, limits: &[(&str, &str)]) -> bool {
        let written = limits.iter().filter(|(file, value)| {
            let file = self.0.join(file);
            file.exists() && std::fs::write(file, value).is_ok()
        });
        written.count() > 0
    }

    fn read(&self, file: &str) -> Option<u64> {
        std::fs::read_to_string(self.0.join(file)).ok()?.trim().parse().ok()
    }

    /// Puts the shell, and what it becomes, into it.
    fn enter(&self) -> String {
        format!("echo $$ > {}/cgroup.procs", self.0.display())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // It is empty as soon as the last process is gone.
        for _ in 0..100 {
            if std::fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn what_is_needed_is_said_before_it_starts() {
    assert!(refused("ulimit -n 64").contains("the limit of open files is 64, and 256 are needed"));
    assert!(
        refused("ulimit -v 200000").contains("the limit of address space is 195 MiB, and 384 are needed")
    );
    let name = "what_is_needed_is_said_before_it_starts (memory)";
    match Cgroup::new("memory", &[("memory.max", "100663296"), ("memory.limit_in_bytes", "100663296")]) {
        Ok(cgroup) => {
            let said = refused(&cgroup.enter());
            assert!(said.contains("memory limit of this cgroup is 96 MiB, and 128 are needed"), "{said}");
        }
        Err(reason) => println!("SKIPPED: {name}: {reason}"),
    }
}

#[tokio::test]
async fn the_limits_that_it_asks_for_are_enough() {
    let server = Server::start("ulimit -n 256; ulimit -v 393216").await;
    server.until("perfwatch_process_open_fds").await;
    drop(server);
    let name = "the_limits_that_it_asks_for_are_enough (memory)";
    let limits = [("memory.max", "134217728"), ("memory.limit_in_bytes", "134217728")];
    let cgroup = match Cgroup::new("memory", &limits) {
        Ok(cgroup) => cgroup,
        Err(reason) => {
            println!("SKIPPED: {name}: {reason}");
            return;
        }
    };
    let mut server = Server::start(&cgroup.enter()).await;
    // By then all sources have been set up, which takes most.
    server.until(r#"perfwatch_source_active{source="cpu"} 1"#).await;
    for _ in 0..5 {
        let stored = server.until("perfwatch_process_resident_memory_bytes").await;
        println!("{stored}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(server.process.try_wait().unwrap().is_none(), "it was killed");
    let peak = cgroup.read("memory.peak").or_else(|| cgroup.read("memory.max_usage_in_bytes"));
    println!("peak of a cgroup of 128 MiB: {} MiB", peak.unwrap_or_default() >> 20);
}

#[tokio::test]
async fn ticks_missed_by_a_cpu_quota_are_counted_and_told() {
    let unlimited = [("cpu.max", "max"), ("cpu.cfs_quota_us", "-1")];
    // 1% of a CPU is far less than it takes.
    let limits = [("cpu.max", "1000 100000"), ("cpu.cfs_quota_us", "1000")];
    let cgroup = match Cgroup::new("cpu", &unlimited) {
        Ok(cgroup) => cgroup,
        Err(reason) => {
            println!("SKIPPED: ticks_missed_by_a_cpu_quota_are_counted_and_told: {reason}");
            return;
        }
    };
    let server = Server::start(&cgroup.enter()).await;
    server.until(r#"perfwatch_source_active{source="cpu"} 1"#).await;
    assert!(cgroup.set(&limits));
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert!(cgroup.set(&unlimited));
    let since = Instant::now();
    loop {
        let line = server.until(r#"perfwatch_ticks_missed_total{cause="cpu_quota"}"#).await;
        if !line.ends_with(" 0") {
            break;
        }
        assert!(since.elapsed() < TIMEOUT, "{line}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let health: Value = serde_json::from_str(&server.get("/health").await.unwrap()).unwrap();
    assert!(health["problems"].to_string().contains("throttled by its CPU quota"), "{health}");
}
