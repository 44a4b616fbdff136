//! What changes while the counters count: the reading interval, and the set of CPUs.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use perfwatch::snapshot::source::SourceSettings;
use serde_json::Value;

use super::loaded;
use crate::probe::Probe;
use crate::{Test, Verdict, load};

pub const TESTS: &[Test] = &[
    Test { name: "counters::a_new_interval_is_obeyed_at_once", run: a_new_interval_is_obeyed },
    Test { name: "counters::a_cpu_that_comes_back_is_counted_again", run: a_cpu_comes_back },
];

const TIMEOUT: Duration = Duration::from_secs(60);

fn cpus_read(document: &Value) -> usize {
    document["per_cpu"].as_array().map_or(0, Vec::len)
}

/// Samples with this pause until CPU 0 has a new reading. Returns the moments between which it was taken: after the
/// previous sample, and before the one that has it.
fn next_reading(probe: &mut Probe, pause: Duration) -> Result<[Instant; 2]> {
    let began = Instant::now();
    loop {
        let before = Instant::now();
        std::thread::sleep(pause);
        if cpus_read(&probe.now()?) > 0 {
            return Ok([before, Instant::now()]);
        }
        ensure!(began.elapsed() < TIMEOUT, "no reading within {TIMEOUT:?}");
    }
}

/// The interval limits the maximum number of readings in a period, however busy the machine is; it does not guarantee
/// a minimum, so the test waits until there have been more than a longer interval allows.
fn a_new_interval_is_obeyed() -> Result<Verdict> {
    const SHORT: Duration = Duration::from_millis(100);
    const LONG: Duration = Duration::from_secs(1);
    let mut probe = loaded()?;
    // One CPU: others would have readings of the same period at other moments.
    let mut settings =
        SourceSettings { perf_events_cpu_cores: Some("0".parse()?), ..SourceSettings::default() };
    let mut words = Vec::new();
    for interval in [SHORT, LONG, SHORT] {
        settings.perf_events_interval = interval;
        probe.apply(&settings);
        probe.next()?;
        probe.next()?; // from here on at the new interval
        if interval == LONG {
            // As rarely as keeps the silent samples in a row below the number after which a CPU counts as dead.
            let pause = Duration::from_millis(400);
            let [after, _] = next_reading(&mut probe, pause)?;
            let [_, before] = next_reading(&mut probe, pause)?;
            let apart = before - after;
            ensure!(apart >= LONG.mul_f64(0.98), "two readings lie within {apart:?}");
            words.push(format!("then two within {apart:.0?}"));
        } else {
            let began = Instant::now();
            let mut readings = 0;
            // More than at half the long interval.
            while f64::from(readings) < 3.0 + 2.0 * began.elapsed().as_secs_f64() {
                next_reading(&mut probe, SHORT.mul_f64(0.6))?;
                readings += 1;
                ensure!(began.elapsed() < TIMEOUT, "{readings} readings within {TIMEOUT:?}");
            }
            words.push(format!("{readings} readings within {:.0?}", began.elapsed()));
        }
        let document = probe.now()?;
        let milliseconds = interval.as_millis() as u64;
        ensure!(
            document["interval_ms"] == milliseconds,
            "{} instead of {interval:?}",
            document["interval_ms"]
        );
    }
    Ok(Verdict::Passed(words.join(", ")))
}

fn a_cpu_comes_back() -> Result<Verdict> {
    if !load::in_guest() || load::cpus()? < 2 {
        return Ok(Verdict::Skipped("only a guest with two CPUs may take one away".into()));
    }
    const SWITCH: &str = "/sys/devices/system/cpu/cpu1/online";
    let mut probe = loaded()?;
    let mut words = Vec::new();
    // With ticks between, and in the middle of one.
    for ticks_without in [2, 0] {
        std::fs::write(SWITCH, "0")?;
        let mut counted = Ok(());
        for _ in 0..ticks_without {
            counted = counted.and_then(|()| check(&probe.next()?));
        }
        std::fs::write(SWITCH, "1")?;
        counted?;
        let mut ticks = 0;
        loop {
            let document = probe.next()?;
            check(&document)?;
            ticks += 1;
            if cpus_read(&document) == 2 && ticks > 1 {
                break;
            }
            ensure!(ticks < 20, "CPU 1 does not count again: {}", document["per_cpu"]);
        }
        words.push(format!("after {ticks_without} ticks offline it counts within {ticks}"));
    }
    Ok(Verdict::Passed(words.join("; ")))
}

/// Nothing is negative or exceeds the elapsed time. If a guest is so slow that its timers expire after the tick,
/// no CPU has a reading by then, and the counts are in the next document.
fn check(document: &Value) -> Result<()> {
    if cpus_read(document) == 0 {
        return Ok(());
    }
    let events = document["events"].as_object().context("no events")?;
    for (name, event) in events {
        ensure!(event["value"].is_null() || event["value"].as_f64() >= Some(0.0), "{name}: {event}");
    }
    let clock = events["cpu-clock"]["value"].as_f64().context("no cpu-clock")?;
    let elapsed = document["elapsed_ms"].as_f64().context("no elapsed_ms")?;
    ensure!(clock <= 2.0 * elapsed * 1.1 + 20.0, "cpu-clock {clock} ms in {elapsed} ms of two CPUs");
    Ok(())
}
