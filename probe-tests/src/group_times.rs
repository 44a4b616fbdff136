//! How long the tasks and requests of cgroups waited: as the kernel counts for each task, and nobody else's.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::bracket::Bracket;
use crate::group::Group;
use crate::hogs::{self, Hog};
use crate::load;
use crate::probe::Probe;
use crate::{Test, Verdict};

pub const TESTS: &[Test] = &[
    Test { name: "group_times::each_group_has_the_waits_of_its_own_tasks", run: each_has_its_own },
    Test { name: "group_times::a_slot_is_handed_on_without_its_numbers", run: slots_are_handed_on_empty },
    Test { name: "group_times::requests_count_for_the_group_that_made_them", run: requests_count },
];

const TIMEOUT: Duration = Duration::from_secs(120);
/// Of a sleeper, at least.
const NAP_NS: f64 = 10e6;

/// Samples until all of these groups have waits of their own.
fn wait_until_known(probe: &mut Probe, groups: &[&Group]) -> Result<Value> {
    let end = Instant::now() + TIMEOUT;
    loop {
        let document = probe.now()?;
        let is_known =
            |group: &&Group| group.row(&document).is_some_and(|row| !row["runqueue_wait"].is_null());
        if groups.iter().all(is_known) {
            return Ok(document);
        }
        ensure!(
            Instant::now() < end,
            "not within {TIMEOUT:?}: {}",
            probe.report().reason.unwrap_or_default()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn histogram(document: &Value, group: &Group, of: &str, member: &str) -> Result<f64> {
    let row = group.row(document).with_context(|| format!("{} has no row", group.path))?;
    row[of]["histogram"][member].as_f64().with_context(|| format!("no {of} of {row}"))
}

/// What the kernel counted of a task: time spent waiting for a CPU in ns, how often it got one, how often it blocked.
#[derive(Debug, Clone, Copy, Default)]
struct Task {
    waited: f64,
    slices: f64,
    blocked: f64,
}

fn tasks(pids: &[u32]) -> Result<Task> {
    let mut sum = Task::default();
    for pid in pids {
        let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat"))?;
        let fields = text.split_whitespace().map(str::parse::<f64>).collect::<Result<Vec<_>, _>>()?;
        let [_, waited, slices] = fields[..] else { bail!("schedstat: {text}") };
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let blocked = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        let blocked: f64 = blocked.context("no voluntary_ctxt_switches")?.trim().parse()?;
        sum =
            Task { waited: sum.waited + waited, slices: sum.slices + slices, blocked: sum.blocked + blocked };
    }
    Ok(sum)
}

fn group(name: &str, controller: &str) -> std::result::Result<Group, Verdict> {
    Group::named(name, controller, &[], &[]).map_err(|why| Verdict::Skipped(format!("no group here: {why}")))
}

/// A sleeper in one group, two that spin on one CPU in another.
fn each_has_its_own() -> Result<Verdict> {
    const SLICES: f64 = 100.0;
    let (sleeping, spinning) = match (group("-sleeping", "memory"), group("-spinning", "memory")) {
        (Ok(sleeping), Ok(spinning)) => (sleeping, spinning),
        (Err(why), _) | (_, Err(why)) => return Ok(why),
    };
    let sleeper = Hog::start(hogs::SLEEPER, "")?;
    sleeping.take(sleeper.pid())?;
    if std::fs::metadata(format!("/proc/{}/schedstat", sleeper.pid())).is_err() {
        return Ok(Verdict::Skipped("this kernel has no /proc/<pid>/schedstat".into()));
    }
    let cpu = (load::cpus()? - 1).to_string();
    let spinners = [Hog::start(hogs::CPU, &cpu)?, Hog::start(hogs::CPU, &cpu)?];
    let pids = spinners.each_ref().map(Hog::pid);
    pids.iter().try_for_each(|pid| spinning.take(*pid))?;
    let mut probe = Probe::new("cgroups")?;
    wait_until_known(&mut probe, &[&sleeping, &spinning])?;

    let read = || Ok::<_, anyhow::Error>((tasks(&[sleeper.pid()])?, tasks(&pids)?));
    let before_start = read()?;
    probe.now()?;
    let after_start = read()?;
    let end = Instant::now() + TIMEOUT;
    loop {
        let (sleeper, spinners) = read()?;
        let enough = |now: Task, then: Task| now.slices >= then.slices + SLICES;
        if enough(sleeper, after_start.0) && enough(spinners, after_start.1) {
            break;
        }
        ensure!(Instant::now() < end, "{sleeper:?}, {spinners:?} after {TIMEOUT:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
    let before_end = read()?;
    let document = probe.now()?;
    let after_end = read()?;
    let bracket = |of: fn(&(Task, Task)) -> f64| {
        Bracket::new([of(&before_start), of(&after_start)], [of(&before_end), of(&after_end)])
    };
    let counted = |group, of, member| histogram(&document, group, of, member);
    let waits = counted(&sleeping, "runqueue_wait", "count")?;
    let naps = counted(&sleeping, "off_cpu", "count")?;
    let slept = counted(&sleeping, "off_cpu", "sum")?;
    // A wait whose beginning the kernel did not note is not counted: see `runqueue_wait_unknown`.
    let some = bracket(|(sleeper, _)| sleeper.slices);
    ensure!(waits <= some.most + 1.0 && waits >= 0.9 * some.least - 1.0, "{waits} waits, {some:?} slices");
    let mut words =
        format!("{waits} waits, {}", bracket(|(sleeper, _)| sleeper.blocked).check("naps", naps, 1.0)?);
    let elapsed = document["elapsed_ms"].as_f64().context("no elapsed_ms")? * 1e6;
    // The first nap began before, and in a guest CPUs may take turns.
    ensure!(slept >= naps * NAP_NS && slept <= elapsed + 2e9, "{naps} naps of {slept} ns in {elapsed}");
    let told = bracket(|(_, spinners)| spinners.waited).check(
        "ns of waiting",
        counted(&spinning, "runqueue_wait", "sum")?,
        20e6,
    )?;
    words = format!("{words}; two that spin: {told}");
    let blocked = counted(&spinning, "off_cpu", "count")?;
    let some = bracket(|(_, spinners)| spinners.blocked);
    ensure!(blocked <= some.most + 2.0, "{blocked} times off CPU, blocked {some:?}: {words}");
    let row = sleeping.row(&document).context("no row")?;
    let median = row["off_cpu"]["p50_us"].as_f64().context("no median")?;
    ensure!(median * 1e3 >= NAP_NS, "the median nap took {median} µs: {row}");
    Ok(Verdict::Passed(words))
}

/// A group ends; the next one that gets its slot has none of its times, not even from a task that was asleep meanwhile.
fn slots_are_handed_on_empty() -> Result<Verdict> {
    let first = match group("-first", "memory") {
        Ok(first) => first,
        Err(why) => return Ok(why),
    };
    let mut sleeper = Hog::start(hogs::SLEEPER, "")?;
    let mut waiter = Hog::start(hogs::WAITER, "")?;
    first.take(sleeper.pid())?;
    first.take(waiter.pid())?;
    let mut probe = Probe::new("cgroups")?;
    wait_until_known(&mut probe, &[&first])?;
    // It runs in the group once more, and is elsewhere when it wakes up the next time.
    waiter.wake()?;
    std::thread::sleep(Duration::from_millis(200));
    let document = probe.now()?;
    ensure!(
        histogram(&document, &first, "off_cpu", "count")? > 1.0,
        "the sleeper does not sleep: {document}"
    );
    let root = first.named.parent().context("below the root")?.to_owned();
    std::fs::write(root.join("cgroup.procs"), waiter.pid().to_string())?;
    let asleep = Instant::now();
    sleeper.stop()?;
    let path = first.path.clone();
    drop(first);
    let end = Instant::now() + TIMEOUT;
    let mut without = 0;
    // Groups are listed again now and then. Later, its slot is the first that is free.
    while without < 4 {
        let document = probe.next()?;
        let mut rows = document["groups"].as_array().into_iter().flatten();
        without = if rows.any(|row| row["cgroup"] == path.as_str()) { 0 } else { without + 1 };
        ensure!(Instant::now() < end, "{path} is still listed after {TIMEOUT:?}");
    }
    let second = match group("-second", "memory") {
        Ok(second) => second,
        Err(why) => return Ok(why),
    };
    let spinner = Hog::start(hogs::CPU, "0")?;
    second.take(spinner.pid())?;
    let mut documents = vec![wait_until_known(&mut probe, &[&second])?];
    let slept = asleep.elapsed();
    waiter.wake()?;
    std::thread::sleep(Duration::from_millis(200));
    documents.push(probe.now()?);
    documents.push(probe.next()?);
    let mut longest_of_all: f64 = 0.0;
    for document in &documents {
        let times = histogram(document, &second, "off_cpu", "count")?;
        ensure!(times == 0.0, "what spins was off CPU {times} times: {:?}", second.row(document));
        let root = document["groups"].as_array().and_then(|rows| rows.first()).context("no root")?;
        longest_of_all = longest_of_all.max(root["off_cpu"]["max_us"].as_f64().unwrap_or_default());
    }
    ensure!(longest_of_all >= slept.as_micros() as f64, "{longest_of_all} µs, {slept:?} asleep");
    Ok(Verdict::Passed(format!("asleep for {:.1} s in no group of ours", longest_of_all / 1e6)))
}

fn requests_count() -> Result<Verdict> {
    let Some(storage) = hogs::storage() else {
        return Ok(Verdict::Skipped("no storage here (PROBE_TESTS_DIR)".into()));
    };
    let controller =
        if std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists() { "io" } else { "blkio" };
    let (writing, sleeping) = match (group("-writing", controller), group("-idle", controller)) {
        (Ok(writing), Ok(sleeping)) => (writing, sleeping),
        (Err(why), _) | (_, Err(why)) => return Ok(why),
    };
    let writer = Hog::start(hogs::IO, &storage.to_string_lossy())?;
    let sleeper = Hog::start(hogs::SLEEPER, "")?;
    writing.take(writer.pid())?;
    sleeping.take(sleeper.pid())?;
    let mut probe = Probe::after(&["block_io"], "cgroups")?;
    wait_until_known(&mut probe, &[&writing, &sleeping])?;
    let mut requests = 0.0;
    let mut document = Value::Null;
    let end = Instant::now() + TIMEOUT;
    while requests < 20.0 {
        if Instant::now() > end {
            let row = writing.row(&document).context("no row")?;
            // Where the storage is no disk, or its requests are charged to nobody.
            if row["writes_per_sec"].as_f64().unwrap_or_default() == 0.0 {
                return Ok(Verdict::Skipped(format!(
                    "{} is on no disk that is accounted",
                    storage.display()
                )));
            }
            bail!("{requests} requests: {row}");
        }
        document = probe.next()?;
        requests += histogram(&document, &writing, "block_latency", "count").unwrap_or_default();
    }
    let row = writing.row(&document).context("no row")?;
    let median = row["block_latency"]["p50_us"].as_f64().context("no median")?;
    let root = document["groups"].as_array().and_then(|rows| rows.first()).context("no root")?;
    let of = |row: &Value| row["block_latency"]["histogram"]["count"].as_f64().unwrap_or_default();
    ensure!(median > 0.0 && of(root) >= of(row), "{row}, {}", root["block_latency"]);
    let others = histogram(&document, &sleeping, "block_latency", "count").unwrap_or_default();
    ensure!(others == 0.0, "one that sleeps made {others} requests");
    Ok(Verdict::Passed(format!("{requests} requests, median {median} µs")))
}
