//! `cargo xtask armv7`: the server on 32-bit ARM, compiled here and run under QEMU's user emulation.
//!
//! Little is compiled with optimization, which is quicker overall: two starts of the server and some requests. A
//! recorded machine has what 32 bits may get wrong: counters that wrap, more memory than an address can hold, and
//! times after January 2038.

mod machine;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use self::machine::Machine;
use crate::client::Client;
use crate::cross::{Architecture, Toolchain};
use crate::prerequisites::{self, Purpose, emulator};
use crate::step::{Running, command, quiet, root};
use crate::{build_ebpf, page};

const PASSWORD: &str = "kx83 admin tail";
/// A sign-in takes seconds, emulated and unoptimized, and minutes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(5);
/// 2050-01-01, in seconds since 1970: twelve years after signed 32 bits end.
const LATER: u64 = 2_524_608_000;
/// How far the emulator's clock is ahead in the last test.
const LATER_BY: u64 = 25 * 365 * 86_400;

/// A test's name and function.
type Test = (&'static str, fn(&mut Tried) -> Result<()>);

const TESTS: [Test; 10] = [
    ("it tells its version", Tried::version),
    ("this machine is measured", Tried::this_machine),
    ("a sign-in, and the page", Tried::page),
    ("what cannot be measured says why", Tried::sources),
    ("32-bit counters pass zero", Tried::wraps),
    ("sizes beyond 4 GiB", Tried::sizes),
    ("a start of the machine after 2038", Tried::started_later),
    ("history is kept", Tried::history),
    ("a store of after 2038 is opened", Tried::store_of_later),
    ("a clock past 2038", Tried::later),
];

/// Why a test cannot run here.
#[derive(Debug)]
struct Skipped(&'static str);

impl std::fmt::Display for Skipped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Skipped {}

pub fn armv7() -> Result<()> {
    if let Err(reason) = prerequisites::ensure(Purpose::Armv7) {
        println!("SKIPPED: armv7: {reason:#}");
        println!("armv7: 0 passed, 0 failed, 1 skipped");
        return Ok(());
    }
    build_ebpf::ensure()?;
    page::build()?;
    let binaries =
        Toolchain::find(&[Architecture::Armv7])?.build("perfwatch", "armv7", &[Architecture::Armv7])?;
    let mut tried = Tried::new(binaries.into_iter().next().context("no binary was built")?)?;
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for (name, test) in TESTS {
        match test(&mut tried) {
            Ok(()) => {
                passed += 1;
                println!("PASS {name}");
            }
            Err(error) if error.is::<Skipped>() => {
                skipped += 1;
                println!("SKIPPED: armv7: {name}: {error}");
            }
            Err(error) => {
                failed += 1;
                println!("FAILED {name}: {error:#}");
            }
        }
    }
    println!("armv7: {passed} passed, {failed} failed, {skipped} skipped");
    if failed > 0 {
        bail!("the server does not work on 32-bit ARM");
    }
    Ok(())
}

/// The binary, a machine for it to measure, and a server.
#[derive(Debug)]
struct Tried {
    binary: PathBuf,
    machine: Machine,
    server: Option<Server>,
    /// What the next server measures.
    measured: Measured,
    /// The library that changes the emulator's clock, preloaded into it.
    clock: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Measured {
    Recording,
    Here,
}

#[derive(Debug)]
struct Server {
    client: Client,
    running: Running,
}

impl Tried {
    fn new(binary: PathBuf) -> Result<Self> {
        let folder = root().join("target/armv7-unknown-linux-gnueabihf/tried");
        let _ = std::fs::remove_dir_all(&folder);
        Ok(Self {
            binary,
            machine: Machine::new(folder)?,
            server: None,
            measured: Measured::Recording,
            clock: None,
        })
    }

    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let name = Architecture::Armv7.emulator();
        let mut command = match &self.clock {
            None => Command::new(emulator(name).with_context(|| format!("no {name}"))?),
            Some(clock) => {
                // Debian's other one is statically linked and ignores preloads.
                let mut command = Command::new(name);
                command.env("LD_PRELOAD", clock);
                command
            }
        };
        command.arg(&self.binary).args(arguments).current_dir(root());
        for (name, value) in [
            ("PERFWATCH_LISTEN", "127.0.0.1:0"),
            ("PERFWATCH_DATA_DIR", &*self.data().to_string_lossy()),
            ("DATABASE_URL", ""),
            ("ADMIN_USERNAME", "admin"),
            ("ADMIN_PASSWORD", PASSWORD),
            ("SAMPLING_INTERVAL_SECONDS", "2"),
            ("PERFWATCH_LOG", "warn"),
        ] {
            command.env(name, value);
        }
        Ok(command)
    }

    fn data(&self) -> PathBuf {
        let folder = match (self.measured, &self.clock) {
            (Measured::Here, _) => "here",
            (Measured::Recording, None) => "data",
            (Measured::Recording, Some(_)) => "later",
        };
        self.machine.folder.join(folder)
    }

    fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.running.stop(PATIENCE);
        }
    }

    /// The server's client, signed in.
    fn client(&mut self) -> Result<&Client> {
        if self.server.is_none() {
            let mut serve = self.command(&["serve"])?;
            if self.measured == Measured::Recording {
                for (name, folder) in
                    [("PERFWATCH_PROCFS", "proc"), ("PERFWATCH_SYSFS", "sys"), ("PERFWATCH_ROOTFS", "root")]
                {
                    serve.env(name, self.machine.folder.join(folder));
                }
            }
            let mut running = Running::start({
                serve.stdout(Stdio::piped());
                serve
            })?;
            let stdout = running.take_stdout().context("the server's output was not captured")?;
            let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
            let address =
                lines.find_map(|line| line.strip_prefix("PerfWatch is at http://").map(str::to_owned));
            let mut client = Client::at(&address.context("the server did not start")?, PATIENCE);
            client.log_in("admin", PASSWORD)?;
            self.server = Some(Server { client, running });
        }
        self.server.as_ref().map(|server| &server.client).context("no server")
    }

    /// The newest snapshots until one satisfies `is_it`.
    fn wait_for(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Result<Value> {
        // Enough for the slowest machines to see a change.
        const SNAPSHOTS: usize = 60;
        let mut stream = self.client()?.stream()?;
        let mut last = Value::Null;
        for _ in 0..SNAPSHOTS {
            last = stream.snapshot()?.1;
            if is_it(&last) {
                return Ok(last);
            }
        }
        bail!("{what} did not come in {SNAPSHOTS} snapshots, the last: {last}");
    }

    fn version(&mut self) -> Result<()> {
        let said = self.command(&["--version"])?.output()?;
        let said = String::from_utf8_lossy(&said.stdout).trim().to_owned();
        ensure!(said == concat!("perfwatch ", env!("CARGO_PKG_VERSION")), "--version: {said:?}");
        Ok(())
    }

    /// The running kernel's files, processes among them, and the space on its file systems.
    fn this_machine(&mut self) -> Result<()> {
        let said = self.command(&["snapshot"])?.output()?;
        let errors = String::from_utf8_lossy(&said.stderr).into_owned();
        let snapshot: Value = serde_json::from_slice(&said.stdout).with_context(|| errors)?;
        ensure!(snapshot["data"]["cpu"].is_object(), "{snapshot}");

        self.measured = Measured::Here;
        // Under emulation, the first walk over /proc may take longer than a source's timeout, and two make a list.
        let documents = self.wait_for("a list of processes", |documents| {
            documents["processes"]["top"].as_array().is_some_and(|top| !top.is_empty())
                && documents["disk"]["partitions"].is_array()
                && documents["cpu"]["usage_percent"].is_f64()
        })?;
        self.stop();
        self.measured = Measured::Recording;
        let usage = documents["cpu"]["usage_percent"].as_f64();
        ensure!(usage.is_some_and(|usage| (0.0..=100.0).contains(&usage)), "CPU usage: {usage:?}");
        let partitions = documents["disk"]["partitions"].as_array().context("no partitions")?;
        let seen = partitions.iter().find(|partition| partition["mountpoint"] == "/").context("no root")?;
        let space = rustix::fs::statvfs("/")?;
        let bytes = space.f_blocks * space.f_frsize;
        ensure!(seen["total_bytes"].as_u64() == Some(bytes), "/ has {bytes} bytes: {seen}");
        Ok(())
    }

    fn page(&mut self) -> Result<()> {
        let client = self.client()?;
        let page = client.get("/", "text/html")?;
        ensure!(page.status == 200 && page.body.contains("id=\"app\""), "no page: {page:?}");
        let script =
            page.body.split('"').find(|part| part.ends_with(".js")).context("a page without scripts")?;
        // The page names its files from where it is.
        let script = client.get(script.trim_start_matches('.'), "*/*")?;
        ensure!(script.status == 200 && script.content_type.contains("javascript"), "{}", script.status);
        let me = client.json("/api/auth/me")?;
        ensure!(me["username"] == "admin", "{me}");
        Ok(())
    }

    /// As soon as those have answered that were too slow for the first snapshots.
    fn sources(&mut self) -> Result<()> {
        const SNAPSHOTS: usize = 30;
        let mut stream = self.client()?.stream()?;
        let mut found = Ok(());
        for _ in 0..SNAPSHOTS {
            found = states(&self.client()?.json("/api/sources")?);
            if found.is_ok() {
                break;
            }
            stream.snapshot()?;
        }
        found
    }

    /// Increases across 2^32: the counters are set twice, so that it is a step within one interval.
    fn wraps(&mut self) -> Result<()> {
        const BYTES: u64 = 3_000_000;
        const PAGED_IN: u64 = 4096;
        let received = |documents: &Value| documents["network"]["interfaces"][0]["bytes_recv"].as_u64();
        let (below, past) = ((1 << 32) - BYTES / 3, BYTES - BYTES / 3);
        self.machine.count(below, (1 << 32) - PAGED_IN)?;
        self.wait_for("the counter below 2^32", |documents| received(documents) == Some(below))?;
        self.machine.count(past, 0)?;
        let documents =
            self.wait_for("the counter past zero", |documents| received(documents) == Some(past))?;
        // Over an interval of two seconds, or more if this machine is busy.
        let (network, paging) = (&documents["network"], &documents["memory_bandwidth"]);
        let rate = network["interfaces"][0]["bytes_recv_per_sec"].as_f64();
        ensure!(rate.is_some_and(|rate| rate > 0.0 && rate < 0.75 * BYTES as f64), "received: {network}");
        let rate = paging["pgpgin_per_sec"].as_f64();
        ensure!(rate.is_some_and(|rate| rate > 0.0 && rate < 0.75 * PAGED_IN as f64), "paged in: {paging}");
        Ok(())
    }

    fn sizes(&mut self) -> Result<()> {
        let documents = self.wait_for("memory", |documents| documents["memory"].is_object())?;
        let memory = &documents["memory"]["total_bytes"];
        ensure!(memory.as_u64() == Some(machine::MEMORY_KIB * 1024), "memory: {memory}");
        let read = &documents["disk"]["io"]["read_bytes"];
        ensure!(read.as_u64() == Some(machine::SECTORS * 512), "read: {read}");
        Ok(())
    }

    fn started_later(&mut self) -> Result<()> {
        // The event is of the first snapshot, so history has it when later ones have arrived.
        self.wait_for("a snapshot", |_| true)?;
        let found = self.points("cpu")?;
        let started = machine::STARTED_AT;
        ensure!(found.to_string().contains(started), "no event of {started}: {found}");
        Ok(())
    }

    /// What history has of a metric in the last hour.
    fn points(&mut self, metric: &str) -> Result<Value> {
        let ahead = if self.clock.is_some() { LATER_BY } else { 0 };
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() + ahead;
        let range = format!("start_time={}&end_time={}", now - 3600, now + 3600);
        self.client()?.json(&format!("/api/history/metrics?metric_type={metric}&{range}&interval=5s"))
    }

    fn history(&mut self) -> Result<()> {
        let found = self.points("memory")?;
        let points = found["data_points"].as_array().context("no points")?;
        ensure!(!points.is_empty(), "no points: {found}");
        Ok(())
    }

    /// stat(2) with 32-bit times refuses files that were changed after 2038.
    fn store_of_later(&mut self) -> Result<()> {
        let before = self.points("memory")?["data_points"].as_array().map_or(0, Vec::len);
        self.stop();
        let files = change_later(&self.data())?;
        ensure!(files > 0, "the store has no files");
        let after = self.points("memory")?["data_points"].as_array().map_or(0, Vec::len);
        ensure!(after >= before && before > 0, "{before} points before, {after} after");
        Ok(())
    }

    /// Everything time-related once more.
    fn later(&mut self) -> Result<()> {
        self.stop();
        let (source, library) = (self.machine.folder.join("later.c"), self.machine.folder.join("later.so"));
        std::fs::write(&source, include_str!("armv7/later.c"))?;
        let mut compile = command("cc", &["-shared", "-fPIC", &format!("-DLATER_BY={LATER_BY}L"), "-o"]);
        compile.arg(&library).arg(&source);
        quiet("Compiling a clock", compile)?;
        self.clock = Some(library);
        if Command::new(Architecture::Armv7.emulator()).arg("--version").output().is_err() {
            return Err(Skipped("there is no qemu-arm that is linked dynamically (Debian: qemu-user)").into());
        }
        let (timestamp, documents) = self.client()?.stream()?.snapshot()?;
        // RFC 3339 sorts as text.
        if *timestamp < *"2038-01-20" {
            return Err(Skipped("qemu-arm is linked statically, and its clock is this machine's").into());
        }
        ensure!(documents["cpu"]["_error"].is_null(), "{documents}");
        self.wait_for("a second snapshot", |documents| !documents["cpu"]["forks_per_sec"].is_null())?;
        let before = self.points("memory")?["data_points"].as_array().map_or(0, Vec::len);
        self.stop();
        let after = self.points("memory")?["data_points"].as_array().map_or(0, Vec::len);
        ensure!(after >= before && before > 0, "{before} points before a restart, {after} after");
        Ok(())
    }
}

/// Whether every source is in the state expected on 32-bit ARM, for the right reason.
fn states(answer: &Value) -> Result<()> {
    let sources = answer["sources"].as_array().context("no sources")?;
    let source = |name: &str| {
        sources.iter().find(|source| source["name"] == name).with_context(|| format!("no source {name}"))
    };
    for (name, why) in [
        ("counters", "perf-event2"),
        ("runqueue", "64-bit kernels"),
        ("block_io", "64-bit kernels"),
        ("tcp", "64-bit kernels"),
    ] {
        let source = source(name)?;
        let reason = source["reason"].as_str().unwrap_or_default();
        ensure!(source["state"] == "unavailable", "{source}");
        ensure!(reason.contains("32-bit build") && reason.contains(why), "{source}");
    }
    for name in ["cpu", "memory", "network", "disk", "memory_bandwidth"] {
        ensure!(source(name)?["state"] == "active", "{}", source(name)?);
    }
    let processes = source("processes")?;
    ensure!(processes["state"] == "active" && processes["method"] == "procfs", "{processes}");
    Ok(())
}

/// Gives every file a time after 2038; returns how many there are.
fn change_later(folder: &Path) -> Result<usize> {
    let mut files = 0;
    for entry in walkdir::WalkDir::new(folder) {
        let entry = entry?;
        if entry.file_type().is_file() {
            let file = std::fs::File::options().write(true).open(entry.path())?;
            file.set_modified(UNIX_EPOCH + Duration::from_secs(LATER))?;
            files += 1;
        }
    }
    Ok(files)
}
