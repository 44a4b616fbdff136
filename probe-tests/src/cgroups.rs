//! Events of cgroups in the document `processes`: a process killed by its group's memory limit, and a group throttled
//! by its CPU quota.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use perfwatch::snapshot::source::State;
use serde_json::Value;

use crate::hogs::{self, Hog};
use crate::probe::Probe;
use crate::{Test, Verdict};

pub const TESTS: &[Test] = &[
    Test { name: "cgroups::an_oom_kill_is_an_event", run: an_oom_kill_is_an_event },
    Test { name: "cgroups::throttling_is_an_event", run: throttling_is_an_event },
];

/// How long to wait for what must happen sooner or later.
const TIMEOUT: Duration = Duration::from_secs(60);

fn loaded() -> Result<Probe> {
    let mut probe = Probe::new("processes")?;
    probe.now()?;
    ensure!(probe.report().state == State::Active, "it does not work: {:?}", probe.report());
    Ok(probe)
}

/// A group made for a test, in the hierarchy that names groups and in that of a controller; removed when dropped, after
/// its members are gone.
struct Group {
    path: String,
    /// The same one twice with version 2.
    named: PathBuf,
    limited: PathBuf,
}

impl Group {
    /// Limited by files of a controller, each with its value; all must exist except those that begin with a question
    /// mark. `Err` says why there can be none.
    fn new(controller: &str, v2: &[(&str, &str)], v1: &[(&str, &str)]) -> std::result::Result<Self, String> {
        let path = format!("/perfwatch-probe-{}", std::process::id());
        let root = Path::new("/sys/fs/cgroup");
        let make = |directory: &Path| {
            std::fs::create_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))
        };
        let is_v2 = root.join("cgroup.controllers").exists();
        let (named, limited, files) = if is_v2 {
            let enable = std::fs::write(root.join("cgroup.subtree_control"), format!("+{controller}"));
            enable.map_err(|error| format!("the controller {controller} cannot be enabled: {error}"))?;
            let directory = root.join(&path[1..]);
            (directory.clone(), directory, v2)
        } else {
            (root.join("memory").join(&path[1..]), root.join(controller).join(&path[1..]), v1)
        };
        if !limited.parent().is_some_and(Path::exists) || !named.parent().is_some_and(Path::exists) {
            return Err(format!("there is no cgroup hierarchy of the controller {controller}"));
        }
        make(&named)?;
        let group = Self { path, named, limited };
        if group.named != group.limited {
            make(&group.limited)?;
        }
        for (file, value) in files {
            let (optional, file) = file.strip_prefix('?').map_or((false, *file), |file| (true, file));
            let file = group.limited.join(file);
            if optional && !file.exists() {
                continue;
            }
            std::fs::write(&file, value).map_err(|error| format!("{}: {error}", file.display()))?;
        }
        Ok(group)
    }

    /// In the form that a hog takes.
    fn directories(&self) -> String {
        format!("{},{}", self.named.display(), self.limited.display())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A group is busy for a moment after its last process has ended.
        for directory in [&self.named, &self.limited] {
            let end = Instant::now() + Duration::from_secs(5);
            while std::fs::remove_dir(directory).is_err() && directory.exists() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// Samples until a document has the wanted event.
fn wait_for(probe: &mut Probe, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    let end = Instant::now() + TIMEOUT;
    loop {
        let document = probe.now()?;
        let found = document["events"].as_array().into_iter().flatten().find(|event| wanted(event));
        if let Some(event) = found {
            return Ok(event.clone());
        }
        ensure!(Instant::now() < end, "no such event within {TIMEOUT:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Samples until a group has a row, and so a name.
fn wait_for_row(probe: &mut Probe, group: &Group) -> Result<()> {
    let end = Instant::now() + TIMEOUT;
    loop {
        let document = probe.now()?;
        let mut rows = document["cgroups"].as_array().into_iter().flatten();
        if rows.any(|row| row["cgroup"] == group.path) {
            return Ok(());
        }
        ensure!(Instant::now() < end, "{} has no row: {}", group.path, document["cgroups"]);
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn seconds_of_day(timestamp: &Value) -> Result<f64> {
    let text = timestamp.as_str().context("no timestamp")?;
    let time = text.split_once('T').context("no time of day")?.1;
    let fields = time.trim_end_matches(|c: char| !c.is_ascii_digit()).split(':');
    fields.map(str::parse::<f64>).try_fold(0.0, |sum, field| Ok(sum * 60.0 + field?))
}

fn an_oom_kill_is_an_event() -> Result<Verdict> {
    let limits = Group::new(
        "memory",
        &[("memory.max", "33554432"), ("?memory.swap.max", "0")],
        &[("memory.limit_in_bytes", "33554432"), ("?memory.memsw.limit_in_bytes", "33554432")],
    );
    let group = match limits {
        Ok(group) => group,
        Err(why) => return Ok(Verdict::Skipped(format!("no group with a limit of memory here: {why}"))),
    };
    let mut probe = loaded()?;
    let mut hog = Hog::start(hogs::MEMORY, &group.directories())?;
    wait_for_row(&mut probe, &group)?;
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let before = now()?.as_secs_f64();
    hog.go()?;
    let status = hog.wait()?;
    let after = now()?.as_secs_f64();
    ensure!(!status.success(), "it took 128 MB in a group that may have 32");
    let event = wait_for(&mut probe, |event| event["kind"] == "oom_kill" && event["pid"] == hog.pid())?;
    ensure!(event["comm"] == hogs::MEMORY && event["cgroup"] == group.path, "{event}");
    // Of the day, so that midnight between the two does not fail: it lies on the circle between them.
    let day = 86_400.0;
    let since = (seconds_of_day(&event["timestamp"])? - before).rem_euclid(day);
    ensure!(since <= (after - before) + 0.1 || since >= day - 0.1, "not between start and end: {event}");
    drop(group);
    Ok(Verdict::Passed(event.to_string()))
}

fn throttling_is_an_event() -> Result<Verdict> {
    let limits = Group::new(
        "cpu",
        &[("cpu.max", "20000 100000")],
        &[("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "20000")],
    );
    let group = match limits {
        Ok(group) => group,
        Err(why) => return Ok(Verdict::Skipped(format!("no group with a limit of CPU time here: {why}"))),
    };
    let mut probe = loaded()?;
    let hog = Hog::start(hogs::MEMORY, &group.directories())?; // which spins until told otherwise
    let event = wait_for(&mut probe, |event| {
        event["kind"] == "cgroup_throttled" && event["cgroup"] == group.path.as_str()
    })?;
    let number = |field: &str| event[field].as_f64().with_context(|| format!("no {field}: {event}"));
    let (periods, throttled_ms) = (number("periods")?, number("throttled_ms")?);
    ensure!(periods >= 1.0 && throttled_ms > 0.0, "{event}");
    let stat = std::fs::read_to_string(group.limited.join("cpu.stat"))?;
    let line = stat.lines().find_map(|line| line.strip_prefix("nr_throttled ")).context("no nr_throttled")?;
    let independent: f64 = line.trim().parse()?;
    ensure!(periods <= independent, "{periods} periods, {independent} by the kernel: {event}");
    drop(hog);
    drop(group);
    Ok(Verdict::Passed(event.to_string()))
}
