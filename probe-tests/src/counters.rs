//! Probe `counters`: counts against `/proc/stat` and against a `perf_event` group read in user space.

pub mod hardware;
pub mod live;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use perf_event::events::Software;
use perf_event::{Builder, Counter};
use perfwatch::snapshot::source::{Method, SourceSettings, State};
use serde_json::Value;

use crate::bracket::Bracket;
use crate::load::{self, Spinner};
use crate::probe::Probe;
use crate::{Test, Verdict};

pub const TESTS: &[Test] = &[
    Test { name: "counters::are_read_in_ebpf", run: are_read_in_ebpf },
    Test { name: "counters::context_switches_match_proc_stat", run: context_switches_match_proc_stat },
    Test { name: "counters::page_faults_match_a_group_read", run: page_faults_match_a_group_read },
    Test { name: "counters::idle_and_busy_cpus_are_read", run: idle_and_busy_cpus_are_read },
    Test { name: "counters::chosen_cores_are_obeyed", run: chosen_cores_are_obeyed },
    Test { name: "counters::nothing_stays_in_the_kernel", run: nothing_stays_in_the_kernel },
    Test { name: "counters::cost_per_run", run: cost_per_run },
];

/// A loaded probe. If its program cannot be loaded the test fails: a silent fall-back to reading in user
/// space would pass every comparison.
fn loaded() -> Result<Probe> {
    let mut probe = Probe::new("counters")?;
    probe.next()?;
    let report = probe.report();
    ensure!(
        report.state == State::Active && report.method == Method::Ebpf,
        "counters are not read in eBPF: {report:?}"
    );
    probe.next()?; // now every CPU has a reading in phase
    Ok(probe)
}

fn value(document: &Value, event: &str) -> Result<f64> {
    let event = &document["events"][event];
    event["value"].as_f64().with_context(|| format!("no value: {event}"))
}

fn elapsed_ms(document: &Value) -> Result<f64> {
    document["elapsed_ms"].as_f64().context("no elapsed_ms")
}

/// What the probe counted while something happened, and what brackets it.
struct Compared {
    counted: f64,
    bracket: Bracket,
}

impl Compared {
    /// Values are scaled by how long their counter ran, which is rounded.
    fn check(&self, what: &str, slack: f64) -> Result<String> {
        self.bracket.check(what, self.counted, slack + self.counted * 1e-3)
    }
}

/// Runs `work` between two readings of all CPUs and compares what both sources counted.
///
/// A CPU is read at some moment between two ticks, usually just before the second. So the independent source is read
/// before the tick before the first reading, and the last reading is of the second tick after the work or a later one.
fn compare(
    event: &str,
    independent: impl Fn() -> Result<f64>,
    work: impl FnOnce() -> Result<()>,
) -> Result<Compared> {
    const PATIENCE: Duration = Duration::from_secs(60);
    let began = Instant::now();
    let cpus = load::cpus()?;
    let all_read = |document: &Value| document["per_cpu"].as_array().map_or(0, Vec::len) == cpus;
    let mut probe = loaded()?;
    let mut before_last_tick = independent()?;
    probe.next()?;
    let before_start = loop {
        let before_this_tick = independent()?;
        if all_read(&probe.next()?) {
            break before_last_tick;
        }
        before_last_tick = before_this_tick;
        ensure!(began.elapsed() < PATIENCE, "not all of {cpus} CPUs were read within {PATIENCE:?}");
    };
    let after_start = independent()?;
    work()?;
    let before_end = independent()?;
    let mut counted = 0.0;
    for tick in 1.. {
        let document = probe.next()?;
        // If no CPU was read, the counts are in the next document.
        counted += value(&document, event).unwrap_or(0.0);
        if tick > 1 && all_read(&document) {
            break;
        }
        ensure!(began.elapsed() < PATIENCE, "not all of {cpus} CPUs were read within {PATIENCE:?}");
    }
    let bracket = Bracket::new([before_start, after_start], [before_end, independent()?]);
    Ok(Compared { counted, bracket })
}

fn are_read_in_ebpf() -> Result<Verdict> {
    let mut probe = loaded()?;
    let document = next_reading(&mut probe)?;
    let names = ["cpu-clock", "context-switches", "cpu-migrations", "page-faults"];
    for name in names {
        let ratio = document["events"][name]["running_ratio"].as_f64().context("no ratio")?;
        value(&document, name)?;
        ensure!(ratio > 0.999, "software events are never multiplexed, but {name} ran {ratio} of the time");
    }
    let unsupported = document["unsupported_events"].as_array().map_or(0, Vec::len);
    drop(probe);
    let began = Instant::now();
    let cpus = load::cpus()? as f64;
    let clock = || Ok(began.elapsed().as_secs_f64() * 1e3 * cpus);
    let words =
        compare("cpu-clock", clock, || load::count_down(1_000_000_000).map(drop))?.check("ms", 1.0)?;
    Ok(Verdict::Passed(format!(
        "4 software events count, {unsupported} of 13 hardware events unsupported; of the clocks {words}"
    )))
}

fn context_switches_match_proc_stat() -> Result<Verdict> {
    const ROUNDS: u32 = 20_000;
    let switches = || load::context_switches().map(|count| count as f64);
    let compared = compare("context-switches", switches, || load::ping_pong(0, ROUNDS))?;
    let caused = f64::from(2 * ROUNDS);
    ensure!(compared.counted >= caused, "{caused} switches were caused, {} counted", compared.counted);
    // One in progress on each CPU may be in either count.
    Ok(Verdict::Passed(compared.check("switches", load::cpus()? as f64)?))
}

fn page_faults_match_a_group_read() -> Result<Verdict> {
    const PAGES: usize = 50_000;
    let counters = (0..load::cpus()?)
        .map(|cpu| {
            let mut builder = Builder::new(Software::PAGE_FAULTS);
            builder.any_pid().one_cpu(cpu).include_kernel().include_hv().enabled(true);
            builder.build()
        })
        .collect::<Result<Vec<Counter>, _>>()?;
    let counters = std::cell::RefCell::new(counters);
    let read = || {
        let mut sum = 0;
        for counter in counters.borrow_mut().iter_mut() {
            sum += counter.read()?;
        }
        Ok(sum as f64)
    };
    let compared = compare("page-faults", read, || load::fault(PAGES))?;
    ensure!(compared.counted >= PAGES as f64, "{PAGES} faults were caused, {} counted", compared.counted);
    Ok(Verdict::Passed(compared.check("faults", load::cpus()? as f64)?))
}

/// If a machine has no time for its own timers, readings come late: some of many ticks must have them.
fn idle_and_busy_cpus_are_read() -> Result<Verdict> {
    const TICKS: usize = 2;
    const MAX_TICKS: usize = 20;
    let mut probe = loaded()?;
    let cpus = load::cpus()?;
    let _busy = Spinner::start(cpus - 1)?; // one task for as long as the test lasts; the others mostly idle
    let mut late = Vec::new();
    for tick in 0..MAX_TICKS {
        let last = Instant::now();
        let document = probe.next()?;
        let since_last = last.elapsed().as_secs_f64() * 1e3;
        let read = document["per_cpu"].as_array().map_or(0, Vec::len);
        if read != cpus {
            late.push(format!("tick {tick}: {read} of {cpus} CPUs had a new reading"));
        } else {
            // A missing or one tick old reading would be off by all of it.
            let elapsed = elapsed_ms(&document)?;
            if (elapsed / since_last - 1.0).abs() >= 0.2 {
                late.push(format!("tick {tick}: readings cover {elapsed} ms of {since_last} ms"));
            }
        }
        if tick + 1 - late.len() == TICKS {
            return Ok(Verdict::Passed(format!("{cpus} CPUs at {TICKS} of {} ticks", tick + 1)));
        }
    }
    anyhow::bail!("{}", late.join("; "))
}

/// Samples until a CPU has a new reading, which comes late on an overloaded machine.
fn next_reading(probe: &mut Probe) -> Result<Value> {
    const TIMEOUT: Duration = Duration::from_secs(60);
    let began = Instant::now();
    loop {
        let document = probe.next()?;
        if document["per_cpu"].as_array().is_some_and(|cpus| !cpus.is_empty()) {
            return Ok(document);
        }
        ensure!(began.elapsed() < TIMEOUT, "no reading within {TIMEOUT:?}: {document}");
    }
}

fn chosen_cores_are_obeyed() -> Result<Verdict> {
    let mut probe = loaded()?;
    let mut settings =
        SourceSettings { perf_events_cpu_cores: Some("0".parse()?), ..SourceSettings::default() };
    probe.apply(&settings);
    probe.next()?;
    let document = next_reading(&mut probe)?;
    let cpus: Vec<_> = document["per_cpu"].as_array().into_iter().flatten().map(|c| &c["cpu"]).collect();
    ensure!(cpus == [&Value::from(0)], "chose CPU 0, read {cpus:?}");
    settings.perf_events_enabled = false;
    probe.apply(&settings);
    let document = probe.next()?;
    ensure!(document["available"] == false && probe.report().state == State::Disabled, "not switched off");
    settings.perf_events_enabled = true;
    probe.apply(&settings);
    next_reading(&mut probe).context("not switched on again")?;
    Ok(Verdict::Passed("one core, none, one again".into()))
}

/// IDs of the programs that this process holds.
fn own_programs() -> Result<Vec<u32>> {
    let mut ids = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fdinfo")? {
        // The descriptor that lists them is closed by now.
        let Ok(info) = std::fs::read_to_string(entry?.path()) else { continue };
        let id: Option<u32> =
            info.lines().find_map(|line| line.strip_prefix("prog_id:")?.trim().parse().ok());
        ids.extend(id);
    }
    Ok(ids)
}

fn in_the_kernel(id: u32) -> Result<bool> {
    for program in aya::programs::loaded_programs() {
        if program?.id() == id {
            return Ok(true);
        }
    }
    Ok(false)
}

fn nothing_stays_in_the_kernel() -> Result<Verdict> {
    let probe = loaded()?;
    let own = own_programs()?.into_iter().max().context("no descriptor is one of a program")?;
    ensure!(in_the_kernel(own)?, "the program is not listed by the kernel");
    drop(probe);
    // The kernel frees a program some milliseconds after its last descriptor.
    for _ in 0..100 {
        if !in_the_kernel(own)? {
            return Ok(Verdict::Passed("the program left with its owner".into()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    anyhow::bail!("the program is still loaded two seconds after its owner dropped it")
}

fn cost_per_run() -> Result<Verdict> {
    let Ok(_stats) = aya::sys::enable_stats(aya::sys::Stats::RunTime) else {
        return Ok(Verdict::Skipped("BPF_ENABLE_STATS is not offered or not permitted here".into()));
    };
    let mut probe = loaded()?;
    for _ in 0..3 {
        probe.next()?;
    }
    let report = probe.report();
    let program = report.programs.first().context("no program in the report")?;
    let (runs, time) = (program.run_count, program.run_time_ns);
    ensure!(runs > 0, "the program never ran");
    Ok(Verdict::Passed(format!("{} ns per event over {runs} events", time / runs)))
}
