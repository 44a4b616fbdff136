//! Probe `runqueue`: switches against `/proc/stat`, and sleeps and waits of known length.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use perfwatch::snapshot::source::State;
use serde_json::Value;

use crate::bracket::Bracket;
use crate::load::{self, Spinner};
use crate::probe::Probe;
use crate::{Test, Verdict};

pub const TESTS: &[Test] = &[
    Test { name: "scheduler::context_switches_match_proc_stat", run: context_switches_match_proc_stat },
    Test { name: "scheduler::a_long_sleep_is_off_cpu_time", run: a_long_sleep_is_off_cpu_time },
    Test { name: "scheduler::two_on_one_cpu_wait_for_it", run: two_on_one_cpu_wait_for_it },
    Test { name: "scheduler::cost_per_run", run: cost_per_run },
];

fn loaded() -> Result<Probe> {
    let mut probe = Probe::new("runqueue")?;
    probe.next()?;
    let report = probe.report();
    ensure!(report.state == State::Active && report.reason.is_none(), "not all of it works: {report:?}");
    Ok(probe)
}

/// Values of a distribution in buckets that lie between two bounds.
fn values_between(distribution: &Value, low: Duration, high: Duration) -> Result<u64> {
    let buckets = distribution["histogram"]["buckets"].as_array().context("no histogram")?;
    let index = |time: Duration| perfwatch_common::histogram::index(time.as_nanos() as u64);
    let range = u64::from(index(low))..=u64::from(index(high));
    let in_range = buckets.iter().filter(|bucket| bucket[0].as_u64().is_some_and(|i| range.contains(&i)));
    Ok(in_range.filter_map(|bucket| bucket[1].as_u64()).sum())
}

fn context_switches_match_proc_stat() -> Result<Verdict> {
    const ROUNDS: u32 = 20_000;
    let switches = || load::context_switches().map(|count| count as f64);
    let mut probe = loaded()?;
    let before_start = switches()?;
    probe.now()?;
    let after_start = switches()?;
    load::ping_pong(0, ROUNDS)?;
    let before_end = switches()?;
    let document = probe.now()?;
    let bracket = Bracket::new([before_start, after_start], [before_end, switches()?]);
    let counted = number(&document, "context_switches")?;
    ensure!(counted >= f64::from(2 * ROUNDS), "{} were caused, {counted} counted", 2 * ROUNDS);
    // One in progress on each CPU may be in either count.
    let words = bracket.check("switches", counted, load::cpus()? as f64)?;
    // Each time one of the two gets the CPU it has waited, after waking up or after being preempted by the
    // one that it woke up.
    let waits = document["runqueue_wait"]["histogram"]["count"].as_u64().context("no waits")?;
    let unknown = document["runqueue_wait_unknown"].as_u64().context("no unknown waits")?;
    ensure!(waits + unknown >= u64::from(2 * ROUNDS), "{waits} waits, {unknown} unknown: {words}");
    ensure!(unknown <= waits / 100, "of {waits} waits {unknown} more are unknown");
    Ok(Verdict::Passed(format!("{words}, {waits} waits, {unknown} unknown")))
}

fn number(document: &Value, field: &str) -> Result<f64> {
    document[field].as_f64().with_context(|| format!("no {field}"))
}

fn a_long_sleep_is_off_cpu_time() -> Result<Verdict> {
    // More than 2^31 ns: 32-bit arithmetic would put it in the wrong bucket.
    const SLEEP: Duration = Duration::from_millis(2_400);
    const SLEEPERS: usize = 5;
    let mut probe = loaded()?;
    let sleep = || {
        let began = Instant::now();
        std::thread::sleep(SLEEP);
        began.elapsed()
    };
    let sleepers: Vec<_> = (0..SLEEPERS).map(|_| std::thread::spawn(sleep)).collect();
    let longest =
        sleepers.into_iter().map(|sleeper| sleeper.join().expect("the thread does not panic")).max();
    let document = probe.now()?;
    let found = values_between(&document["off_cpu"], SLEEP, longest.unwrap_or(SLEEP))?;
    ensure!(found >= SLEEPERS as u64, "{SLEEPERS} slept for {SLEEP:?}, {found} of that length found");
    let max = document["off_cpu"]["max_us"].as_f64().context("no maximum")?;
    ensure!(max >= SLEEP.as_micros() as f64, "the longest is {max} µs");
    Ok(Verdict::Passed(format!("{found} sleeps of 2.4 s found, {SLEEPERS} caused")))
}

/// What the kernel reports for some threads: time on a CPU and time spent waiting for one, in ms, and how often
/// they got one.
fn schedstat(threads: &[i32]) -> Result<[f64; 3]> {
    let mut sum = [0.0; 3];
    for thread in threads {
        let text = std::fs::read_to_string(format!("/proc/self/task/{thread}/schedstat"))?;
        let fields = text.split_whitespace().map(str::parse::<f64>).collect::<Result<Vec<_>, _>>()?;
        for (sum, (field, unit)) in sum.iter_mut().zip(fields.into_iter().zip([1e6, 1e6, 1.0])) {
            *sum += field / unit;
        }
    }
    Ok(sum)
}

/// One of them waits at any time, so they wait as long as the clock runs. But the clock and the counts are read
/// one after the other, and the reader's CPU may stall in between: QEMU lets two emulated CPUs take turns of
/// 100 ms, and the host of a virtual machine may do so too. The kernel's own counts, read before and after, bracket
/// the probe's whatever the clock says.
fn two_on_one_cpu_wait_for_it() -> Result<Verdict> {
    const SLICES: f64 = 20.0;
    let mut probe = loaded()?;
    let cpu = load::cpus()? - 1;
    let spinners = [Spinner::start(cpu)?, Spinner::start(cpu)?];
    let threads = spinners.each_ref().map(Spinner::thread);
    if schedstat(&threads).is_err() {
        return Ok(Verdict::Skipped("this kernel has no /proc/<pid>/schedstat".into()));
    }
    probe.now()?;
    let from = schedstat(&threads)?;
    let patience = Instant::now() + Duration::from_secs(60);
    while schedstat(&threads)?[2] < from[2] + SLICES && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(50));
    }
    let until = schedstat(&threads)?;
    let document = probe.now()?;
    drop(spinners);
    let [ran, waited, slices] = std::array::from_fn(|i| until[i] - from[i]);
    ensure!(slices >= SLICES, "in a minute two threads that spin on one CPU came to it {slices} times");
    let seconds = document["elapsed_ms"].as_f64().context("no elapsed_ms")? / 1e3;
    let total = document["runqueue_wait_ms_per_sec"].as_f64().context("no waiting time")? * seconds;
    let preempted = document["runqueue_wait_preempted"]["histogram"]["count"].as_f64().unwrap_or(0.0);
    let busy = document["per_cpu"].as_array().into_iter().flatten().find(|one| one["cpu"] == cpu);
    let busy = busy.and_then(|one| one["busy_percent"].as_f64()).context("no such CPU")? * seconds * 10.0;
    let words = format!(
        "two on CPU {cpu} waited {waited:.1} ms, {total:.1} ms counted in {preempted} waits; they ran {ran:.1} ms, \
         {busy:.1} ms of that CPU counted"
    );
    // Plus rounding. Others wait and run, too.
    ensure!(total >= waited - 0.1 && preempted >= slices, "{slices} slices: {words}");
    ensure!(busy >= ran.min(seconds * 1e3) - 1.0, "{words}");
    Ok(Verdict::Passed(words))
}

fn cost_per_run() -> Result<Verdict> {
    let mut probe = loaded()?;
    load::ping_pong(0, 20_000)?;
    probe.next()?;
    let report = probe.report();
    let costs: Vec<String> = report
        .programs
        .iter()
        .filter_map(|program| {
            let per_run = program.run_time_ns.checked_div(program.run_count)?;
            Some(format!("{} {per_run} ns × {}", program.name, program.run_count))
        })
        .collect();
    ensure!(
        costs.iter().any(|cost| cost.starts_with("switch ")),
        "no cost of the switch program: {report:?}"
    );
    Ok(Verdict::Passed(costs.join(", ")))
}
