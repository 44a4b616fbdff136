//! What changes while the counters count: how often they are read, and which CPUs there are.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use perfwatch::snapshot::source::SourceSettings;
use serde_json::Value;

use super::{loaded, next_reading};
use crate::probe::Probe;
use crate::{Test, Verdict, agreeing, load};

pub const TESTS: &[Test] = &[
    Test { name: "counters::a_new_interval_is_obeyed_at_once", run: || agreeing(a_new_interval_is_obeyed) },
    Test { name: "counters::a_cpu_that_comes_back_is_counted_again", run: a_cpu_comes_back },
];

const TIMEOUT: Duration = Duration::from_secs(60);

fn cpus_read(document: &Value) -> usize {
    document["per_cpu"].as_array().map_or(0, Vec::len)
}

/// Samples until there were this many documents with new readings; the time that took for each. Often enough to
/// miss few that are 100 ms apart, and no oftener: who has none for some samples in a row is taken for dead.
fn time_between_readings(probe: &mut Probe, readings: u32) -> Result<Duration> {
    let began = Instant::now();
    let mut had = 0;
    while had < readings {
        std::thread::sleep(Duration::from_millis(60));
        had += u32::from(cpus_read(&probe.now()?) > 0);
        ensure!(began.elapsed() < TIMEOUT, "{had} of {readings} readings within {TIMEOUT:?}");
    }
    Ok(began.elapsed() / readings)
}

/// Readings follow each other as timers of the kernel expire, however busy the CPUs are: a machine that is slow to
/// ask only misses some, so times are compared with each other and not with the clock.
fn a_new_interval_is_obeyed() -> Result<Verdict> {
    let mut probe = loaded()?;
    // One CPU: others would have readings of the same period at other moments.
    let mut settings =
        SourceSettings { perf_events_cpu_cores: Some("0".parse()?), ..SourceSettings::default() };
    let mut took = Vec::new();
    for interval in [100, 1000, 100] {
        settings.perf_events_interval = Duration::from_millis(interval);
        probe.apply(&settings);
        probe.next()?;
        probe.next()?; // from here on at the new interval
        took.push(if interval == 100 {
            time_between_readings(&mut probe, 10)?
        } else {
            let began = Instant::now();
            for _ in 0..2 {
                next_reading(&mut probe)?;
            }
            began.elapsed() / 2
        });
        let document = probe.now()?;
        ensure!(document["interval_ms"] == interval, "{} instead of {interval} ms", document["interval_ms"]);
    }
    let words = format!("a reading every {:.0?}, {:.0?} and {:.0?}", took[0], took[1], took[2]);
    ensure!(2 * took[0] < took[1] && 2 * took[2] < took[1], "{words}");
    Ok(Verdict::Passed(words))
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

/// Nothing is negative, and no more than the time that went by. Where a guest is so slow that its timers expire
/// after the tick, no CPU has read by then, and what was counted is in the next document.
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
