//! What a tick of the procfs collectors costs, beside the floor: raw preads of the same files, in the same run.
//!
//! `cargo bench -p perfwatch --bench tick [-- [--ticks N] [--json FILE]]`
//!
//! CPU time (user and system) of the calling thread; medians over ticks, floor and collectors taking turns. *Warm* is
//! a tight loop. *Cold* sleeps 100 ms between ticks, so that caches are lost as they are between real ticks: that is
//! the figure that counts. The floor reads with kept descriptors into a kept buffer and looks at nothing.
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use perfwatch::collectors;
use perfwatch::config::Roots;
use perfwatch::snapshot::source::{Source, Tick};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

fn main() -> Result<()> {
    let options = Options::parse()?;
    let rss_before = resident_kib()?;
    let mut subjects = subjects()?;
    let rss = resident_kib()?.saturating_sub(rss_before);

    let warm = measure(&mut subjects, options.ticks * 10, Duration::ZERO)?;
    let cold = measure(&mut subjects, options.ticks, Duration::from_millis(100))?;
    print("warm (tight loop)", &subjects, &warm);
    print("cold (10 ticks a second)", &subjects, &cold);
    println!("memory of the collectors after two ticks: {rss} KiB RSS");

    if let Some(path) = &options.json {
        let report = json!({
            "bench": "tick",
            "unit": "us of CPU per tick",
            "warm": to_json(&subjects, &warm),
            "cold": to_json(&subjects, &cold),
            "collectors_rss_kib": rss,
        });
        std::fs::write(path, format!("{report:#}\n")).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

struct Options {
    /// Cold ticks; warm ones are ten times as many.
    ticks: usize,
    json: Option<PathBuf>,
}

impl Options {
    fn parse() -> Result<Self> {
        let mut options = Self { ticks: 100, json: None };
        let mut arguments = std::env::args_os().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.to_str() {
                Some("--bench") => {} // cargo adds it
                Some("--ticks") => {
                    let count = arguments.next().context("--ticks needs a number")?;
                    options.ticks =
                        count.to_str().and_then(|n| n.parse().ok()).context("--ticks needs a number")?;
                }
                Some("--json") => {
                    options.json = Some(arguments.next().context("--json needs a file")?.into());
                }
                _ => bail!("unknown argument {}; known are --ticks N and --json FILE", argument.display()),
            }
        }
        Ok(options)
    }
}

/// A collector and what its floor reads.
struct Subject {
    source: Box<dyn Source>,
    files: Vec<File>,
    mountpoints: Vec<PathBuf>,
}

/// Kept open, but not read at every tick: the mount table is polled for changes, link speeds are asked for once a minute.
const NOT_EVERY_TICK: [&str; 2] = ["mountinfo", "speed"];

fn tick() -> Tick {
    Tick { timestamp: "2026-01-02T03:04:05Z".into(), interval: Duration::from_secs(1) }
}

/// Every collector after two ticks, with the files that it has open by then.
fn subjects() -> Result<Vec<Subject>> {
    let mut subjects = Vec::new();
    for mut source in collectors::all(&Roots::default()) {
        let before = open_files()?;
        source.sample(&tick())?;
        let document: Value = serde_json::from_slice(&source.sample(&tick())?.json)?;
        let has_swap = document["swap_total_bytes"].as_u64() > Some(0);
        let read_each_tick = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let idle_swap = source.name() == "memory" && name == "vmstat" && !has_swap;
            !NOT_EVERY_TICK.contains(&&*name) && !idle_swap
        };
        let files = open_files()?
            .into_iter()
            .filter(|(descriptor, path)| !before.contains_key(descriptor) && read_each_tick(path))
            .map(|(_, path)| File::open(&path).with_context(|| path.display().to_string()))
            .collect::<Result<_>>()?;
        let partitions = document["partitions"].as_array().into_iter().flatten();
        let mountpoints =
            partitions.filter_map(|partition| partition["mountpoint"].as_str()).map(PathBuf::from).collect();
        subjects.push(Subject { source, files, mountpoints });
    }
    Ok(subjects)
}

/// The kernel files that this process has open, by descriptor.
fn open_files() -> Result<BTreeMap<OsString, PathBuf>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let entry = entry?;
        let path = std::fs::read_link(entry.path()).unwrap_or_default();
        if path.is_file() && (path.starts_with("/proc") || path.starts_with("/sys")) {
            files.insert(entry.file_name(), path);
        }
    }
    Ok(files)
}

impl Subject {
    /// CPU µs of reading the same files and asking the same file systems, without a look at what they say.
    fn floor(&self, buffer: &mut [u8]) -> Result<f64> {
        let begun = thread_cpu_us();
        for file in &self.files {
            let mut length = 0;
            loop {
                match file.read_at(&mut buffer[length..], length as u64) {
                    Ok(0) | Err(_) => break,
                    Ok(read) => length += read,
                }
            }
        }
        for path in &self.mountpoints {
            rustix::fs::statvfs(path)?;
        }
        Ok(thread_cpu_us() - begun)
    }

    fn tick(&mut self, tick: &Tick) -> Result<f64> {
        let begun = thread_cpu_us();
        let document = self.source.sample(tick)?;
        let cost = thread_cpu_us() - begun;
        drop(document);
        Ok(cost)
    }
}

/// CPU µs of each tick.
#[derive(Default)]
struct Costs {
    floor: Vec<f64>,
    collector: Vec<f64>,
}

/// One entry per subject, then one for the whole ticks.
fn measure(subjects: &mut [Subject], ticks: usize, pause: Duration) -> Result<Vec<Costs>> {
    let mut costs: Vec<Costs> = (0..=subjects.len()).map(|_| Costs::default()).collect();
    let mut buffer = vec![0; 256 * 1024];
    let tick = tick();
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

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
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

fn thread_cpu_us() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 * 1e6 + now.tv_nsec as f64 / 1e3
}

fn resident_kib() -> Result<u64> {
    let status = std::fs::read_to_string(Path::new("/proc/self/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    line.split_whitespace().next().context("no number")?.parse().context("VmRSS")
}
