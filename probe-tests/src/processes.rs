//! Probe `processes`: hogs told apart, a process against its own `schedstat`, and counters charged to processes.

pub mod table;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use perf_event::events::Hardware;
use perf_event::{Builder, Counter};
use perfwatch::snapshot::source::State;
use serde_json::Value;

use crate::bracket::Bracket;
use crate::hogs::{self, Hog};
use crate::load;
use crate::probe::{Probe, TICK};
use crate::{Test, Verdict};

pub const TESTS: &[Test] = &[
    Test { name: "processes::hogs_are_told_apart_in_one_tick", run: hogs_are_told_apart },
    Test { name: "processes::a_hog_matches_its_schedstat", run: a_hog_matches_its_schedstat },
    Test { name: "processes::an_exited_process_is_not_lost", run: an_exited_process_is_not_lost },
    Test { name: "processes::forks_and_exits_are_counted", run: forks_and_exits_are_counted },
    Test { name: "processes::hardware_instructions_of_a_known_loop", run: instructions_of_a_known_loop },
    Test {
        name: "processes::hardware_counts_are_scaled_where_counters_take_turns",
        run: counts_are_scaled_where_counters_take_turns,
    },
    Test { name: "processes::hardware_counters_follow_a_cpu_that_was_offline", run: counters_follow_hotplug },
];

fn loaded() -> Result<Probe> {
    let mut probe = Probe::new("processes")?;
    probe.next()?;
    let report = probe.report();
    ensure!(report.state == State::Active && report.reason.is_none(), "not all of it works: {report:?}");
    probe.next()?; // every task that runs has been seen
    Ok(probe)
}

fn row(document: &Value, pid: u32) -> Result<&Value> {
    let rows = document["top"].as_array().context("no list")?;
    rows.iter().find(|row| row["pid"] == pid).with_context(|| {
        let names: Vec<_> = rows.iter().map(|row| row["comm"].as_str().unwrap_or("?")).collect();
        format!("process {pid} is not among {}", names.join(", "))
    })
}

fn number(row: &Value, field: &str) -> Result<f64> {
    row[field].as_f64().with_context(|| format!("no {field} in {row}"))
}

/// What the kernel reports for a process's only thread: on-CPU time in ms, bytes written to storage, and how often it
/// left its CPU. `None` for what this kernel does not report.
fn kernel_counts(pid: u32) -> [Option<f64>; 3] {
    let lines = |file: &str, names: [&str; 2]| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
        let of = |name| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
        Some(names.into_iter().filter_map(of).sum())
    };
    [
        schedstat(pid).ok().map(|[on_cpu, _]| on_cpu / 1e6),
        lines("io", ["write_bytes:", "-"]),
        lines("status", ["voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"]),
    ]
}

/// Each as the kernel counts it, however little the others on this machine let it run.
fn hogs_are_told_apart() -> Result<Verdict> {
    let Some(directory) = hogs::storage() else {
        return Ok(Verdict::Skipped("no directory here lies on storage (PROBE_TESTS_DIR)".into()));
    };
    let mut probe = loaded()?;
    let cpu = load::cpus()? - 1;
    let hogs = [
        (hogs::CPU, Hog::start(hogs::CPU, &cpu.to_string())?),
        (hogs::IO, Hog::start(hogs::IO, &directory.to_string_lossy())?),
        (hogs::SLEEPER, Hog::start(hogs::SLEEPER, "")?),
    ];
    let counts = || hogs.each_ref().map(|(_, hog)| kernel_counts(hog.pid()));
    let before_start = counts();
    probe.now()?;
    let after_start = counts();
    std::thread::sleep(TICK);
    let before_end = counts();
    let document = probe.now()?;
    let after_end = counts();
    let seconds = number(&document, "elapsed_ms")? / 1e3;
    let mut words = Vec::new();
    for (at, (name, hog)) in hogs.iter().enumerate() {
        let bracket = |count: usize| {
            let [a, b, c, d] = [&before_start, &after_start, &before_end, &after_end].map(|of| of[at][count]);
            Some(Bracket::new([a?, b?], [c?, d?]))
        };
        let Ok(row) = row(&document, hog.pid()) else {
            // Twenty others used more: a valid reason, if it is true.
            let least = document["top"].as_array().and_then(|rows| rows.get(19)).context("not listed")?;
            let least = number(least, "cpu_percent")? * 10.0 * seconds;
            let used = bracket(0).map_or(0.0, |used| used.least);
            ensure!(
                used <= 1.01 * least + 15.0,
                "{name} is not listed, but used {used} ms, a listed one {least} ms"
            );
            words.push(format!("{name} below the twenty busiest"));
            continue;
        };
        ensure!(row["comm"] == *name, "its name: {row}");
        let used = number(row, "cpu_percent")? * 10.0 * seconds;
        if let Some(bracket) = bracket(0) {
            // A time is charged up to the last tick of the scheduler.
            words.push(bracket.check(&format!("ms of {name}"), used, 15.0 + 0.01 * used)?);
        }
        let written = number(row, "write_bytes_per_sec")? * seconds;
        match bracket(1) {
            _ if *name != hogs::IO => ensure!(written == 0.0, "who did not write wrote: {row}"),
            Some(bracket) => words.push(bracket.check("bytes written", written, 1.0 + seconds)?),
            None => ensure!(written > 0.0, "the writer wrote nothing: {row}"),
        }
        if let Some(bracket) = bracket(2) {
            // The rate is rounded.
            let left = number(row, "context_switches_per_sec")? * seconds;
            words.push(bracket.check(&format!("switches of {name}"), left, 1.0 + seconds)?);
        }
        if *name == hogs::CPU {
            ensure!(row["user"].is_string() && row["cgroup"].is_string(), "no names: {row}");
            ensure!(number(row, "rss_bytes")? > 0.0, "no memory: {row}");
        }
    }
    Ok(Verdict::Passed(words.join("; ")))
}

/// On-CPU time and run-queue wait of a process's only thread, in ns.
fn schedstat(pid: u32) -> Result<[f64; 2]> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat"))?;
    let mut fields = text.split_whitespace().map(str::parse::<f64>);
    let mut next = || fields.next().context("too few fields")?.context("not a number");
    Ok([next()?, next()?])
}

fn a_hog_matches_its_schedstat() -> Result<Verdict> {
    let mut probe = loaded()?;
    let cpu = (load::cpus()? - 1).to_string();
    // Two, so that they wait for each other.
    let hog = Hog::start(hogs::CPU, &cpu)?;
    let _other = Hog::start(hogs::CPU, &cpu)?;
    if schedstat(hog.pid()).is_err() {
        return Ok(Verdict::Skipped("this kernel has no /proc/<pid>/schedstat".into()));
    }
    std::thread::sleep(Duration::from_millis(100));
    // The reader's own CPU may stall at any point: the kernel's counts bracket the probe's.
    let before_start = schedstat(hog.pid())?;
    probe.now()?;
    let after_start = schedstat(hog.pid())?;
    std::thread::sleep(Duration::from_millis(600));
    let before_end = schedstat(hog.pid())?;
    let document = probe.now()?;
    let after_end = schedstat(hog.pid())?;
    let got = before_end[0] - after_start[0];
    if got < 50e6 && row(&document, hog.pid()).is_err() {
        return Ok(Verdict::Skipped(format!("others left the hog {:.0} ms of 600 ms", got / 1e6)));
    }
    let row = row(&document, hog.pid())?;
    let seconds = number(&document, "elapsed_ms")? / 1e3;
    let counted = [
        number(row, "cpu_percent")? * 1e7 * seconds,
        number(row, "runqueue_wait_ms_per_sec")? * 1e6 * seconds,
    ];
    let mut words = Vec::new();
    for (i, what) in ["on-CPU time", "run-queue wait"].into_iter().enumerate() {
        let (least, most) = (before_end[i] - after_start[i], after_end[i] - before_start[i]);
        let [counted, least, most] = [counted[i], least, most].map(|ns| ns / 1e6);
        let text = format!("{what} {counted:.1} ms, {least:.1} to {most:.1} ms by schedstat");
        // A time is charged up to the last tick of the scheduler, and one slice may be waited for at a reading.
        ensure!(counted >= 0.99 * least - 15.0 && counted <= 1.01 * most + 15.0, "{text}");
        words.push(text);
    }
    Ok(Verdict::Passed(words.join(", ")))
}

fn an_exited_process_is_not_lost() -> Result<Verdict> {
    const TIME: Duration = Duration::from_millis(200);
    let mut probe = loaded()?;
    let began = Instant::now();
    let pid = hogs::run_and_exit(load::cpus()? - 1, TIME)?;
    let took = began.elapsed().as_secs_f64() * 1e3;
    let document = probe.now()?;
    let row = row(&document, pid)?;
    ensure!(row["exited"] == true, "not told to have exited: {row}");
    let used = number(row, "cpu_percent")? * number(&document, "elapsed_ms")? / 100.0;
    // It spins for that long, but may not get all of it on a busy machine.
    ensure!(used > 20.0 && used < took + 15.0, "it spun for {TIME:?} within {took} ms and used {used} ms");
    let document = probe.next()?;
    ensure!(self::row(&document, pid).is_err(), "it is still listed a tick later");
    Ok(Verdict::Passed(format!("{used:.0} ms of a process that had exited")))
}

fn forks_and_exits_are_counted() -> Result<Verdict> {
    const CHILDREN: usize = 20;
    let mut probe = loaded()?;
    for _ in 0..CHILDREN {
        hogs::run_and_exit(0, Duration::ZERO)?;
    }
    let document = probe.now()?;
    let seconds = number(&document, "elapsed_ms")? / 1e3;
    let mut words = Vec::new();
    for what in ["forks", "execs", "exits"] {
        let counted = (number(&document, &format!("{what}_per_sec"))? * seconds).round();
        ensure!(counted >= CHILDREN as f64, "{CHILDREN} children, {counted} {what}");
        words.push(format!("{counted} {what}"));
    }
    Ok(Verdict::Passed(format!("{CHILDREN} children: {}", words.join(", "))))
}

fn instructions_of_a_known_loop() -> Result<Verdict> {
    const ROUNDS: u64 = 50_000_000;
    if load::in_guest() && load::cpus()? > 1 {
        return Ok(Verdict::Skipped("each emulated CPU counts the instructions of all".into()));
    }
    let mut probe = loaded()?;
    if probe.now()?["total"]["instructions"].is_null() {
        return Ok(Verdict::Skipped("no hardware PMU is visible: instructions are not counted here".into()));
    }
    let executed = load::count_down(ROUNDS)? as f64;
    let document = probe.now()?;
    let row = row(&document, std::process::id())?;
    let counted = number(row, "instructions")?;
    let off = (counted / executed - 1.0) * 100.0;
    let words = format!("{executed} instructions executed, {counted} counted for this process ({off:+.3}%)");
    // Taking the readings is this process's work too, and interrupts are charged to whoever is running.
    ensure!((-1.0..=10.0).contains(&off), "{words}");
    let ipc = number(row, "ipc")?;
    ensure!(ipc > 0.0, "{ipc} instructions per cycle");
    Ok(Verdict::Passed(format!("{words}, IPC {ipc}")))
}

/// Events that each count instructions on one CPU: more of them than a PMU has counters.
fn rivals(cpu: usize) -> Result<Vec<Counter>> {
    let one = |_| {
        let mut builder = Builder::new(Hardware::INSTRUCTIONS);
        builder.any_pid().one_cpu(cpu).include_kernel().include_hv().enabled(true);
        Ok(builder.build()?)
    };
    (0..24).map(one).collect()
}

/// A task that runs for less than a turn of the counters has all of its time counted, or none. Its total must
/// be right all the same.
fn counts_are_scaled_where_counters_take_turns() -> Result<Verdict> {
    const SLICES: u64 = 600;
    let mut probe = loaded()?;
    if probe.now()?["total"]["instructions"].is_null() {
        return Ok(Verdict::Skipped("no hardware PMU is visible: instructions are not counted here".into()));
    }
    let cpu = load::cpus()? - 1;
    let rivals = rivals(cpu)?;
    // On a separate thread, which ends: pinning would stay with this one.
    let worker = std::thread::spawn(move || -> Result<(Value, f64)> {
        load::pin(cpu)?;
        // Until the sharing of turns is known.
        let settled = Instant::now() + Duration::from_millis(500);
        while Instant::now() < settled {
            load::count_down(1_000_000)?;
        }
        probe.now()?;
        let mut executed = 0;
        let mut random = 1u64;
        for _ in 0..SLICES {
            // Lengths that are not in step with the turns'.
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            executed += load::count_down(100_000 + (random >> 33) % 400_000)?;
            std::thread::sleep(Duration::from_micros(200 + (random >> 40) % 2_000));
        }
        Ok((probe.now()?, executed as f64))
    });
    let (document, executed) = worker.join().expect("the thread does not panic")?;
    drop(rivals);
    let row = row(&document, std::process::id())?;
    let counted = number(row, "instructions")?;
    let off = (counted / executed - 1.0) * 100.0;
    let ratio = number(&document, "counters_running_ratio")?;
    let words = format!(
        "counting {:.0}% of the time: {executed} instructions executed, {counted} counted ({off:+.1}%)",
        ratio * 100.0
    );
    if ratio > 0.95 {
        return Ok(Verdict::Skipped(format!("this PMU has counters for everybody: {words}")));
    }
    // Which slices are counted is chance.
    ensure!(off.abs() <= 25.0, "{words}");
    Ok(Verdict::Passed(words))
}

/// The kernel releases a CPU's counters when it goes offline, and gives none to an offline one.
fn counters_follow_hotplug() -> Result<Verdict> {
    const ROUNDS: u64 = 20_000_000;
    if !load::in_guest() || load::cpus()? < 2 {
        return Ok(Verdict::Skipped("only a guest with two CPUs may take one away".into()));
    }
    const SWITCH: &str = "/sys/devices/system/cpu/cpu1/online";
    let mut words = Vec::new();
    std::fs::write(SWITCH, "0")?;
    let loaded = loaded();
    std::fs::write(SWITCH, "1")?;
    let mut probe = loaded?;
    if probe.now()?["total"]["instructions"].is_null() {
        return Ok(Verdict::Skipped("no hardware PMU is visible: instructions are not counted here".into()));
    }
    for what in ["offline when the probe was loaded", "offline and online again"] {
        // Its switches in one interval show that it is back; from the next on it counts.
        for _ in 0..3 {
            std::thread::spawn(|| load::pin(1)).join().expect("the thread does not panic")?;
            load::ping_pong(1, 10)?;
            probe.now()?;
        }
        let work = std::thread::spawn(|| load::pin(1).and_then(|()| load::count_down(ROUNDS)));
        let executed = work.join().expect("the thread does not panic")? as f64;
        let document = probe.now()?;
        let counted = number(row(&document, std::process::id())?, "instructions")?;
        words.push(format!("{what}: {counted} instructions of {executed}"));
        ensure!(counted >= executed, "{}", words.join("; "));
        std::fs::write(SWITCH, "0")?;
        std::fs::write(SWITCH, "1")?;
    }
    Ok(Verdict::Passed(words.join("; ")))
}
