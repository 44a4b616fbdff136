//! Limits of cgroups that are hit: as events in the document `processes`, and counted in the document `cgroups` like the
//! kernel's files do.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use perfwatch::snapshot::source::State;
use serde_json::Value;

use crate::group::Group;
use crate::hogs::{self, Hog};
use crate::probe::Probe;
use crate::{Test, Verdict};

pub const TESTS: &[Test] = &[
    Test { name: "cgroups::an_oom_kill_is_an_event", run: an_oom_kill_is_an_event },
    Test { name: "cgroups::throttling_is_an_event", run: throttling_is_an_event },
    Test { name: "cgroups::throttling_is_counted_as_the_kernel_does", run: throttling_is_counted },
    Test { name: "cgroups::oom_kills_are_counted_as_the_kernel_does", run: oom_kills_are_counted },
    Test { name: "cgroups::a_process_that_moved_renames_no_group", run: moving_renames_nothing },
];

/// How long to wait for what must happen sooner or later.
const TIMEOUT: Duration = Duration::from_secs(60);

fn loaded() -> Result<Probe> {
    let mut probe = Probe::new("processes")?;
    probe.now()?;
    ensure!(probe.report().state == State::Active, "it does not work: {:?}", probe.report());
    Ok(probe)
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

/// The group's row in the document `cgroups`.
fn row<'a>(document: &'a Value, group: &Group) -> Result<&'a Value> {
    let mut rows = document["groups"].as_array().into_iter().flatten();
    rows.find(|row| row["cgroup"] == group.path).with_context(|| format!("{} has no row", group.path))
}

/// Samples every second until the counts of `field` sum up to what `kernel` says, which must be at least one.
fn count_until(
    probe: &mut Probe,
    group: &Group,
    field: &str,
    kernel: impl Fn() -> Result<f64>,
) -> Result<f64> {
    let end = Instant::now() + TIMEOUT;
    let mut sum = 0.0;
    loop {
        let document = probe.next()?;
        sum += row(&document, group)?[field].as_f64().unwrap_or_default();
        let wanted = kernel()?;
        // Counted between our reading and the kernel's: then the next one has it.
        ensure!(sum <= wanted, "{field}: {sum}, {wanted} by the kernel");
        if sum == wanted && sum > 0.0 {
            return Ok(sum);
        }
        ensure!(Instant::now() < end, "{field}: {sum}, {wanted} by the kernel");
    }
}

fn throttling_is_counted() -> Result<Verdict> {
    let limits = Group::new(
        "cpu",
        &[("cpu.max", "20000 100000")],
        &[("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "20000")],
    );
    let group = match limits {
        Ok(group) => group,
        Err(why) => return Ok(Verdict::Skipped(format!("no group with a limit of CPU time here: {why}"))),
    };
    let mut probe = Probe::new("cgroups")?;
    probe.now()?;
    let mut hog = Hog::start(hogs::MEMORY, &group.directories())?; // which spins until told otherwise
    let (mut periods, mut throttled_ms, mut percent) = (0.0, 0.0, Vec::new());
    let mut limit = Value::Null;
    for _ in 0..4 {
        let document = probe.next()?;
        let row = row(&document, &group)?;
        periods += row["throttled_periods"].as_f64().unwrap_or_default();
        throttled_ms += row["throttled_ms"].as_f64().unwrap_or_default();
        percent.extend(row["cpu_percent"].as_f64());
        limit = row["cpu_limit"].clone();
    }
    hog.stop()?;
    ensure!(limit.as_f64() == Some(0.2), "a limit of {limit} CPUs");
    // The first covers a part of the time only.
    let last = percent.last().copied().context("no CPU time")?;
    ensure!((5.0..40.0).contains(&last), "{percent:?} percent of a CPU with a quota of 20");
    // What was counted after the last of these comes with the next ones.
    let end = Instant::now() + TIMEOUT;
    let (periods, throttled_ms) = loop {
        let (kernel_periods, kernel_ms) = if group.limited.join("cpu.max").exists() {
            (group.number("cpu.stat", "nr_throttled")?, group.number("cpu.stat", "throttled_usec")? / 1e3)
        } else {
            (group.number("cpu.stat", "nr_throttled")?, group.number("cpu.stat", "throttled_time")? / 1e6)
        };
        // In whole µs each, and rounded to them by us.
        if periods == kernel_periods && (throttled_ms - kernel_ms).abs() < 0.1 {
            break (periods, throttled_ms);
        }
        ensure!(
            periods <= kernel_periods && Instant::now() < end,
            "{periods} periods and {throttled_ms} ms, {kernel_periods} and {kernel_ms} by the kernel"
        );
        let document = probe.next()?;
        let row = row(&document, &group)?;
        periods += row["throttled_periods"].as_f64().unwrap_or_default();
        throttled_ms += row["throttled_ms"].as_f64().unwrap_or_default();
    };
    ensure!(periods >= 5.0, "throttled in {periods} periods only");
    drop(group);
    Ok(Verdict::Passed(format!("{periods} periods, {throttled_ms:.1} ms, {last} % of a CPU")))
}

fn oom_kills_are_counted() -> Result<Verdict> {
    const LIMIT: u64 = 32 << 20;
    let limits = Group::new(
        "memory",
        &[("memory.max", "33554432"), ("?memory.swap.max", "0")],
        &[("memory.limit_in_bytes", "33554432"), ("?memory.memsw.limit_in_bytes", "33554432")],
    );
    let group = match limits {
        Ok(group) => group,
        Err(why) => return Ok(Verdict::Skipped(format!("no group with a limit of memory here: {why}"))),
    };
    let (file, is_v2) = match group.limited.join("memory.events").exists() {
        true => ("memory.events", true),
        false => ("memory.oom_control", false),
    };
    let mut probe = Probe::new("cgroups")?;
    probe.now()?;
    let mut hog = Hog::start(hogs::MEMORY, &group.directories())?;
    hog.go()?;
    ensure!(!hog.wait()?.success(), "it took 128 MB in a group that may have 32");
    let kills = count_until(&mut probe, &group, "oom_kills", || group.number(file, "oom_kill"))?;
    let mut told = format!("{kills} killed");
    if is_v2 {
        // Counted with the kills, so none is left for now.
        let document = probe.next()?;
        let row = row(&document, &group)?;
        ensure!(row["oom_kills"] == 0 && row["memory_max_events"] == 0, "twice: {row}");
        told = format!("{told}, {} in use of {}", row["memory_bytes"], row["memory_limit_bytes"]);
        ensure!(row["memory_limit_bytes"] == LIMIT, "{row}");
    }
    drop(group);
    Ok(Verdict::Passed(told))
}

fn moving_renames_nothing() -> Result<Verdict> {
    let group = match Group::new("memory", &[], &[]) {
        Ok(group) => group,
        Err(why) => return Ok(Verdict::Skipped(format!("no group here: {why}"))),
    };
    let mut probe = loaded()?;
    let hog = Hog::start(hogs::MEMORY, &group.directories())?;
    let at = format!("/proc/{}/cgroup", hog.pid());
    // It ran in the group, and is elsewhere when its group is looked up: it does not run there.
    std::thread::sleep(Duration::from_millis(200));
    let pid = rustix::process::Pid::from_raw(i32::try_from(hog.pid())?).context("no pid")?;
    rustix::process::kill_process(pid, rustix::process::Signal::STOP)?;
    std::thread::sleep(Duration::from_millis(200));
    let root = group.named.parent().context("below the root")?;
    std::fs::write(root.join("cgroup.procs"), hog.pid().to_string())?;
    ensure!(!std::fs::read_to_string(at)?.contains(&group.path), "it was not moved");
    let document = probe.now()?;
    let mut rows = document["cgroups"].as_array().into_iter().flatten();
    let row = rows.find(|row| row["cgroup"] == group.path);
    let row = row.with_context(|| format!("{} has no row: {}", group.path, document["cgroups"]))?;
    let told = format!("{} with {} % of a CPU", group.path, row["cpu_percent"]);
    drop(hog);
    drop(group);
    Ok(Verdict::Passed(told))
}
