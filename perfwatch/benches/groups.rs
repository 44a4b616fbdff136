//! Cost of the source `cgroups` per tick: CPU time, user and system, of the calling thread.
//!
//! `cargo bench -p perfwatch --bench groups [-- [--ticks N] [--json FILE]]`
//!
//! In real groups, made below the machine's hierarchy (needs root): 100 and 1,000 of them, each with a sleeping process,
//! once all idle and once with a process in each that runs a moment before every tick. Medians over ticks, cold: 100 ms
//! apart. The goals are 1 ms for 100 groups and 5 ms for 1,000.
#![allow(clippy::print_stdout)]

#[path = "support/cgroups.rs"]
mod cgroups;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use cgroups::Groups;
use perfwatch::config::Roots;
use perfwatch::snapshot::source::Tick;
use serde_json::json;

fn main() -> Result<()> {
    let (mut ticks, mut path) = (40, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--ticks" => ticks = arguments.next().and_then(|text| text.parse().ok()).context("--ticks N")?,
            "--json" => path = Some(PathBuf::from(arguments.next().context("--json FILE")?)),
            _ => {}
        }
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let most = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, most)?;

    let mut figures = serde_json::Map::new();
    for count in [100, 1000] {
        for busy in [false, true] {
            let name = format!("{count}_{}", if busy { "busy" } else { "idle" });
            match Groups::make(count, |at| format!("{at}.service")) {
                Ok(mut groups) => {
                    let (median, worst) = measure(&mut groups, busy, ticks)?;
                    println!("{name:10} {median:8.0} us a tick, at most {worst:8.0} us");
                    figures.insert(name, json!({"us": median, "max_us": worst}));
                }
                Err(why) => println!("SKIPPED: {name}: {why:#}"),
            }
        }
    }
    if let Some(path) = path {
        let report = json!({"bench": "groups", "unit": "us of CPU per tick", "figures": figures});
        fs::write(&path, format!("{report:#}\n")).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Median and maximum, µs.
fn measure(groups: &mut Groups, busy: bool, ticks: usize) -> Result<(f64, f64)> {
    let mut sources = perfwatch::probes::all(&Roots::default(), perfwatch::probes::Options::UNLIMITED);
    // The others read the programs that it uses too, as in a server.
    sources.retain(|source| matches!(source.name(), "runqueue" | "block_io" | "cgroups"));
    let [runqueue, block_io, source] = &mut sources[..] else {
        anyhow::bail!("the sources have other names")
    };
    let mut costs = Vec::new();
    for round in 0..ticks + 5 {
        if busy {
            groups.run()?;
        }
        std::thread::sleep(Duration::from_millis(100));
        let tick = Tick::new(std::time::SystemTime::now().into(), Duration::from_secs(1));
        runqueue.sample(&tick).context("no reading of the scheduler")?;
        block_io.sample(&tick).context("no reading of block I/O")?;
        let begun = cpu_us();
        let reading = source.sample(&tick).context("no reading")?;
        let cost = cpu_us() - begun;
        anyhow::ensure!(reading.error.is_none(), "{:?}", reading.error);
        // The first ones open all files.
        if round >= 5 {
            costs.push(cost);
        }
    }
    costs.sort_by(f64::total_cmp);
    Ok((costs[costs.len() / 2], costs[costs.len() - 1]))
}

fn cpu_us() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    now.tv_sec as f64 * 1e6 + now.tv_nsec as f64 / 1e3
}
