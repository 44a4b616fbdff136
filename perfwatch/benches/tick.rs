//! Cost of a tick, compared with the floor: raw preads of the same files, in the same run.
//!
//! `cargo bench -p perfwatch --bench tick [-- [--ticks N] [--interval S] [--minutes N] [--processes N] [--json FILE]]`
//!
//! First the procfs collectors alone: CPU time (user and system) of the calling thread; medians over ticks, alternating
//! between floor and collectors. *Warm* is a tight loop. *Cold* sleeps 100 ms between ticks, so that caches go cold as
//! between real ticks. The floor reads open descriptors into a reused buffer without parsing.
//!
//! Then the whole server, started as users start it, with every source available on this machine: CPU time of all its
//! threads while it stores each tick and serves it to one client, over whole minutes, each including a rollup and its
//! batches, and its memory use at the end. 200 idle processes run meanwhile; on SQLite it is also measured without
//! them, and with a hundred containers, in each of which a process runs a moment every tick. The floor reads the files that this server has open, and the `stat` of every process: the cost of per-process
//! data without programs in the kernel.
#![allow(clippy::print_stdout, clippy::print_stderr)]

#[path = "support/cgroups.rs"]
mod cgroups;
#[path = "tick/floor.rs"]
mod floor;
#[allow(clippy::expect_used)]
#[path = "../tests/support/postgres.rs"]
mod postgres;
#[path = "tick/server.rs"]
mod server;
#[path = "support/threads.rs"]
mod threads;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cgroups::Groups;
use floor::{Processes, Subject, median};
use perfwatch::snapshot::source::Tick;
use serde_json::{Value, json};
use server::{Figures, Running};

const CONTAINERS: usize = 100;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let options = Options::parse()?;
    let resident = || floor::memory_kib("/proc/self/status", "VmRSS:");
    let rss_before = resident()?;
    let mut subjects = floor::subjects()?;
    let rss = resident()?.saturating_sub(rss_before);

    let warm = measure(&mut subjects, options.ticks * 10, Duration::ZERO)?;
    let cold = measure(&mut subjects, options.ticks, Duration::from_millis(100))?;
    print("warm (tight loop)", &subjects, &warm);
    print("cold (10 ticks a second)", &subjects, &cold);
    println!("memory of the collectors after two ticks: {rss} KiB RSS");

    let servers = servers(&options, &subjects).await?;
    servers.iter().for_each(|(_, figures)| figures.print());

    if let Some(path) = &options.json {
        let report = json!({
            "bench": "tick",
            "unit": "us of CPU per tick",
            "warm": to_json(&subjects, &warm),
            "cold": to_json(&subjects, &cold),
            "collectors_rss_kib": rss,
            "server": servers
                .iter()
                .map(|(name, figures)| ((*name).to_owned(), figures.to_json()))
                .collect::<serde_json::Map<_, _>>(),
        });
        std::fs::write(path, format!("{report:#}\n")).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// The server's figures on each engine available here, by their name in the report.
async fn servers(options: &Options, subjects: &[Subject]) -> Result<Vec<(&'static str, Figures)>> {
    let mountpoints: Vec<PathBuf> = subjects.iter().flat_map(|subject| subject.mountpoints.clone()).collect();
    let Options { interval, minutes, .. } = *options;
    let mut measured = Vec::new();

    let processes = Processes::start(options.processes)?;
    let data_dir = tempfile::tempdir()?;
    let mut sqlite = Running::start("sqlite", None, data_dir.path(), interval).await?;
    measured.push(("sqlite", sqlite.figures(minutes, &processes, &mountpoints, || Ok(())).await?));
    drop(processes);
    sqlite.settle().await?;
    let processes = Processes::start(0)?;
    measured.push(("sqlite_idle", sqlite.figures(minutes, &processes, &mountpoints, || Ok(())).await?));
    match Groups::make(CONTAINERS, |at| format!("docker-{at:064x}.scope")) {
        Ok(mut groups) => {
            groups.run()?;
            sqlite.settle().await?;
            let processes = Processes::start(0)?;
            let figures = sqlite.figures(minutes, &processes, &mountpoints, || groups.run()).await?;
            measured.push(("sqlite_containers", figures));
        }
        Err(why) => println!("SKIPPED: the server with {CONTAINERS} containers: {why:#}"),
    }
    sqlite.stop()?;

    match postgres::Cluster::start().await {
        Err(reason) => println!("SKIPPED: the server on postgresql: {reason}"),
        Ok(cluster) => {
            let url = cluster.database().await;
            let processes = Processes::start(options.processes)?;
            let data_dir = tempfile::tempdir()?;
            let mut server = Running::start("postgresql", Some(&url), data_dir.path(), interval).await?;
            measured
                .push(("postgresql", server.figures(minutes, &processes, &mountpoints, || Ok(())).await?));
            server.stop()?;
        }
    }
    Ok(measured)
}

struct Options {
    /// Number of cold ticks; there are ten times as many warm ones.
    ticks: usize,
    /// Seconds between the servers' ticks.
    interval: usize,
    /// How long each server is measured.
    minutes: usize,
    /// Number of idle processes to start.
    processes: usize,
    json: Option<PathBuf>,
}

impl Options {
    fn parse() -> Result<Self> {
        let mut options = Self { ticks: 100, interval: 1, minutes: 1, processes: 200, json: None };
        let mut arguments = std::env::args_os().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.to_str() {
                Some("--bench") => {} // cargo adds it
                Some("--ticks") => {
                    options.ticks = number(arguments.next()).context("--ticks needs a number")?;
                }
                Some("--interval") => {
                    options.interval = number(arguments.next()).context("--interval needs seconds")?;
                }
                Some("--minutes") => {
                    options.minutes = number(arguments.next()).context("--minutes needs a number")?;
                }
                Some("--processes") => {
                    options.processes = number(arguments.next()).context("--processes needs a number")?;
                }
                Some("--json") => {
                    options.json = Some(arguments.next().context("--json needs a file")?.into());
                }
                _ => bail!(
                    "unknown argument {}; known are --ticks N, --interval S, --minutes N, --processes N and --json FILE",
                    argument.display()
                ),
            }
        }
        Ok(options)
    }
}

/// At least one, since a median needs a value.
fn number(argument: Option<std::ffi::OsString>) -> Option<usize> {
    argument?.to_str()?.parse().ok().filter(|number| *number > 0)
}

/// CPU µs of each tick.
#[derive(Default)]
struct Costs {
    floor: Vec<f64>,
    collector: Vec<f64>,
}

/// One entry per subject, then one for whole ticks.
fn measure(subjects: &mut [Subject], ticks: usize, pause: Duration) -> Result<Vec<Costs>> {
    let mut costs: Vec<Costs> = (0..=subjects.len()).map(|_| Costs::default()).collect();
    let mut buffer = vec![0; floor::BUFFER];
    let tick: Tick = floor::tick();
    for _ in 0..ticks {
        std::thread::sleep(pause);
        let mut whole = 0.0;
        for (subject, costs) in subjects.iter().zip(&mut costs) {
            let us = subject.floor(&mut buffer)?;
            costs.floor.push(us);
            whole += us;
        }
        costs[subjects.len()].floor.push(whole);

        std::thread::sleep(pause);
        let mut whole = 0.0;
        for (subject, costs) in subjects.iter_mut().zip(&mut costs) {
            let us = subject.tick(&tick)?;
            costs.collector.push(us);
            whole += us;
        }
        costs[subjects.len()].collector.push(whole);
    }
    Ok(costs)
}

fn rows<'a>(
    subjects: &'a [Subject],
    costs: &'a [Costs],
) -> impl Iterator<Item = (&'static str, f64, f64)> + 'a {
    let names = subjects.iter().map(|subject| subject.source.name()).chain(["all"]);
    names.zip(costs).map(|(name, costs)| (name, median(&costs.collector), median(&costs.floor)))
}

fn print(title: &str, subjects: &[Subject], costs: &[Costs]) {
    println!("{title}: µs of CPU per tick, medians");
    println!("  {:<18}{:>10}{:>10}{:>8}", "", "collector", "floor", "ratio");
    for (name, collector, floor) in rows(subjects, costs) {
        println!("  {name:<18}{collector:>10.1}{floor:>10.1}{:>8.2}", collector / floor);
    }
}

fn to_json(subjects: &[Subject], costs: &[Costs]) -> Value {
    rows(subjects, costs)
        .map(|(name, collector, floor)| {
            (name.to_owned(), json!({"us": collector, "floor_us": floor, "ratio": collector / floor}))
        })
        .collect::<serde_json::Map<_, _>>()
        .into()
}
