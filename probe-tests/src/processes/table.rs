//! The table of tasks: nobody's time is lost or counted twice, whoever overwrites whose entry.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use perfwatch_common::sched::TOUCHED;
use serde_json::Value;

use super::{loaded, number, row, schedstat};
use crate::hogs::{self, Hog};
use crate::{Test, Verdict, load};

pub const TESTS: &[Test] = &[
    Test { name: "processes::parts_add_up_to_totals", run: parts_add_up_to_totals },
    Test { name: "processes::who_share_an_entry_lose_no_time", run: who_share_an_entry_lose_no_time },
    Test {
        name: "processes::an_overrun_list_counts_nothing_twice",
        run: an_overrun_list_counts_nothing_twice,
    },
    Test {
        name: "processes::a_thread_that_becomes_the_first_keeps_its_time",
        run: a_thread_becomes_the_first,
    },
    Test {
        name: "processes::a_thread_that_becomes_the_first_is_no_process_that_exited",
        run: who_becomes_the_first_has_not_exited,
    },
];

fn parts_add_up_to_totals() -> Result<Verdict> {
    let mut probe = loaded()?;
    let _hog = Hog::start(hogs::CPU, "0")?;
    load::ping_pong(load::cpus()? - 1, 100)?;
    std::thread::sleep(Duration::from_millis(400));
    let document = probe.now()?;
    let sum = |list: &str, rest: &str, field: &str| -> Result<f64> {
        let rows = document[list].as_array().context("no list")?;
        let parts = rows.iter().map(|row| number(row, field)).sum::<Result<f64>>()?;
        Ok(parts + number(&document[rest], field)?)
    };
    // In the kernel's integers parts and total are equal (the document's unit tests prove it); a document rounds each
    // separately, so that every number in the comparison may be off by half a unit of its last place.
    const FLOATING_POINT: f64 = 1e-6;
    for (field, unit) in
        [("cpu_percent", 0.001), ("runqueue_wait_ms_per_sec", 0.001), ("context_switches_per_sec", 0.1)]
    {
        let total = number(&document["total"], field)?;
        for (list, rest) in [("top", "other"), ("cgroups", "other_cgroups")] {
            let sum = sum(list, rest, field)?;
            let numbers = document[list].as_array().map_or(0, Vec::len) + 2;
            let off = (sum - total).abs();
            ensure!(
                off <= unit / 2.0 * numbers as f64 + FLOATING_POINT,
                "{field} of {list}: {sum} is not {total}"
            );
        }
    }
    // Counts are not rounded.
    if document["total"]["instructions"].is_u64() {
        for (list, rest) in [("top", "other"), ("cgroups", "other_cgroups")] {
            let sum = sum(list, rest, "instructions")?;
            ensure!(sum == number(&document["total"], "instructions")?, "{sum} of {list}: {document}");
        }
    }
    let total = number(&document["total"], "cpu_percent")?;
    let most = 100.0 * load::cpus()? as f64;
    // What runs at a reading is charged up to the last tick of the scheduler.
    ensure!(total > 0.0 && total <= most * 1.04, "{total}% of {most}% of CPUs");
    Ok(Verdict::Passed(format!("{total:.1}% CPU in all")))
}

/// Two hogs whose PIDs map to one entry of the table take turns on one CPU, and each finds the other's entry: what
/// could be charged to neither is part of the rest, and of the total.
fn who_share_an_entry_lose_no_time() -> Result<Verdict> {
    /// Maximum number of entries in the table.
    const ENTRIES: u32 = 65_536;
    const PID_MAX: &str = "/proc/sys/kernel/pid_max";
    const LAST_PID: &str = "/proc/sys/kernel/ns_last_pid";
    if !load::in_guest() {
        return Ok(Verdict::Skipped("it would change the numbers that processes get here".into()));
    }
    std::fs::write(PID_MAX, (4 * ENTRIES).to_string())?;
    let mut probe = loaded()?;
    let cpu = (load::cpus()? - 1).to_string();
    let one = Hog::start(hogs::CPU, &cpu)?;
    // The next process has the number after this one.
    if std::fs::write(LAST_PID, (one.pid() + ENTRIES - 1).to_string()).is_err() {
        return Ok(Verdict::Skipped("this kernel does not let numbers of processes be chosen".into()));
    }
    let other = Hog::start(hogs::CPU, &cpu)?;
    ensure!(other.pid() == one.pid() + ENTRIES, "the hogs are {} and {}", one.pid(), other.pid());
    let used = || Ok::<f64, anyhow::Error>((schedstat(one.pid())?[0] + schedstat(other.pid())?[0]) / 1e6);
    probe.now()?;
    let after_start = used()?;
    std::thread::sleep(Duration::from_millis(600));
    let before_end = used()?;
    let document = probe.now()?;
    let evicted = number(&document, "evicted")?;
    let milliseconds = number(&document, "elapsed_ms")? / 100.0;
    let total = number(&document["total"], "cpu_percent")? * milliseconds;
    let rest = number(&document["other"], "cpu_percent")? * milliseconds;
    let least = before_end - after_start;
    let words = format!(
        "{evicted} evictions; the hogs used {least:.0} ms, everybody {total:.0} ms, of which {rest:.0} ms are the rest"
    );
    ensure!(evicted > 0.0, "they did not share an entry: {words}");
    // A time is charged up to the last tick of the scheduler.
    ensure!(total >= 0.99 * least - 15.0, "time was lost: {words}");
    Ok(Verdict::Passed(words))
}

/// More tasks in one interval than a CPU's list holds: the whole table is read, but earlier exits are in it too.
fn an_overrun_list_counts_nothing_twice() -> Result<Verdict> {
    const TIME: Duration = Duration::from_millis(200);
    const THREADS: u64 = TOUCHED + 200;
    let mut probe = loaded()?;
    let cpu = load::cpus()? - 1;
    let pid = hogs::run_and_exit(cpu, TIME)?;
    let document = probe.now()?;
    row(&document, pid)?;
    probe.now()?;
    let threads = std::thread::spawn(move || -> Result<()> {
        load::pin(cpu)?;
        for _ in 0..THREADS {
            std::thread::spawn(|| ()).join().expect("the thread does not panic");
        }
        Ok(())
    });
    threads.join().expect("the thread does not panic")?;
    let document = probe.now()?;
    let counted = number(row(&document, std::process::id())?, "threads")?;
    ensure!(counted >= THREADS as f64, "{counted} of {THREADS} threads counted");
    ensure!(row(&document, pid).is_err(), "who exited two readings ago is counted again");
    Ok(Verdict::Passed(format!("{counted} threads in one interval")))
}

/// A thread that runs another program takes over the PID of its process's first thread, but not the time used by
/// that thread.
fn a_thread_becomes_the_first() -> Result<Verdict> {
    const TIME: Duration = Duration::from_millis(300);
    let mut probe = loaded()?;
    let (pid, used) = hogs::run_another_from_a_thread(load::cpus()? - 1, TIME)?;
    let document = probe.now()?;
    let row = row(&document, pid)?;
    let counted = number(row, "cpu_percent")? * number(&document, "elapsed_ms")? / 100.0;
    let used = used.as_secs_f64() * 1e3;
    let words = format!("{counted:.1} ms counted, {used:.1} ms by the kernel");
    // What the first thread used before it was replaced is part of `other`; starting a program is expensive in a guest.
    ensure!(counted <= 1.05 * used + 15.0 && counted >= 0.8 * used - 15.0, "{words}");
    Ok(Verdict::Passed(words))
}

/// Processes forked and exited since the last document.
fn forked_and_exited(document: &Value) -> Result<[f64; 2]> {
    let seconds = number(document, "elapsed_ms")? / 1e3;
    let count = |what| Ok::<_, anyhow::Error>((number(document, what)? * seconds).round());
    Ok([count("forks_per_sec")?, count("exits_per_sec")?])
}

/// The end of the first thread is not that of its process, which must not be counted twice.
fn who_becomes_the_first_has_not_exited() -> Result<Verdict> {
    const CHILDREN: usize = 20;
    if !load::in_guest() {
        return Ok(Verdict::Skipped("other programs fork and exit here".into()));
    }
    let mut probe = loaded()?;
    for _ in 0..CHILDREN {
        hogs::run_another_from_a_thread(load::cpus()? - 1, Duration::ZERO)?;
    }
    let [forks, exits] = forked_and_exited(&probe.now()?)?;
    let words = format!("{CHILDREN} children: {forks} forks, {exits} exits");
    ensure!(forks == CHILDREN as f64 && exits == CHILDREN as f64, "{words}");
    Ok(Verdict::Passed(words))
}
