//! The collectors, and the lowest possible cost: raw preads of the files that they read.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, Result};
use perfwatch::collectors;
use perfwatch::config::Roots;
use perfwatch::snapshot::source::{Source, Tick};
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;
use time::macros::datetime;

/// Larger than any of the files.
pub(crate) const BUFFER: usize = 256 * 1024;

/// A collector and the files its floor reads.
pub(crate) struct Subject {
    pub(crate) source: Box<dyn Source>,
    files: Vec<File>,
    pub(crate) mountpoints: Vec<PathBuf>,
}

/// Kept open, but not read at every tick: the mount table is polled for changes, link speeds are read once a minute.
const NOT_EVERY_TICK: [&str; 2] = ["mountinfo", "speed"];

pub(crate) fn tick() -> Tick {
    Tick::new(datetime!(2026-01-02 03:04:05 UTC), Duration::from_secs(1))
}

/// Every collector after two ticks, with the files that it has open by then.
pub(crate) fn subjects() -> Result<Vec<Subject>> {
    let mut subjects = Vec::new();
    for mut source in collectors::all(&Roots::default()) {
        let before = open_files("self")?;
        source.sample(&tick())?;
        let document: Value = serde_json::from_slice(&source.sample(&tick())?.json())?;
        let has_swap = document["swap_total_bytes"].as_u64() > Some(0);
        let read_each_tick = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let idle_swap = source.name() == "memory" && name == "vmstat" && !has_swap;
            !NOT_EVERY_TICK.contains(&&*name) && !idle_swap
        };
        let files = open_files("self")?
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

/// The kernel files a process has open, by descriptor.
fn open_files(process: &str) -> Result<BTreeMap<OsString, PathBuf>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(format!("/proc/{process}/fd"))? {
        let entry = entry?;
        let path = std::fs::read_link(entry.path()).unwrap_or_default();
        if path.is_file() && (path.starts_with("/proc") || path.starts_with("/sys")) {
            files.insert(entry.file_name(), path);
        }
    }
    Ok(files)
}

impl Subject {
    /// CPU µs of reading the same files and querying the same file systems, without parsing.
    pub(crate) fn floor(&self, buffer: &mut [u8]) -> Result<f64> {
        let begun = thread_cpu_us();
        read_all(&self.files, buffer);
        for path in &self.mountpoints {
            rustix::fs::statvfs(path)?;
        }
        Ok(thread_cpu_us() - begun)
    }

    pub(crate) fn tick(&mut self, tick: &Tick) -> Result<f64> {
        let begun = thread_cpu_us();
        let reading = self.source.sample(tick)?;
        let cost = thread_cpu_us() - begun;
        drop(reading);
        Ok(cost)
    }
}

/// The kernel files that a running server reads at each tick, without duplicates.
pub(crate) struct Files(Vec<File>);

impl Files {
    pub(crate) fn of_server(id: u32) -> Result<Self> {
        let mut paths: Vec<PathBuf> = open_files(&id.to_string())?.into_values().collect();
        paths.retain(|path| {
            !NOT_EVERY_TICK.contains(&&*path.file_name().unwrap_or_default().to_string_lossy())
        });
        paths.sort();
        paths.dedup();
        // A file of a process that has just exited is gone.
        Ok(Self(paths.iter().filter_map(|path| File::open(path).ok()).collect()))
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// CPU µs of reading them, and of querying the file systems' space.
    pub(crate) fn floor(&self, mountpoints: &[PathBuf], buffer: &mut [u8]) -> Result<f64> {
        let begun = thread_cpu_us();
        read_all(&self.0, buffer);
        for path in mountpoints {
            rustix::fs::statvfs(path)?;
        }
        Ok(thread_cpu_us() - begun)
    }
}

/// Idle processes, so that every machine has at least this many, and the `stat` files of all processes.
pub(crate) struct Processes {
    idle: Vec<Child>,
    stats: Vec<File>,
}

impl Processes {
    pub(crate) fn start(idle: usize) -> Result<Self> {
        let idle = (0..idle)
            .map(|_| Command::new("sleep").arg("infinity").spawn().context("cannot start sleep"))
            .collect::<Result<_>>()?;
        let mut processes = Self { idle, stats: Vec::new() };
        for entry in std::fs::read_dir("/proc")? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit()) {
                // A process may just have exited.
                processes.stats.extend(File::open(entry.path().join("stat")));
            }
        }
        Ok(processes)
    }

    pub(crate) fn count(&self) -> usize {
        self.stats.len()
    }

    /// CPU µs of reading every process's `stat`.
    pub(crate) fn floor(&self, buffer: &mut [u8]) -> f64 {
        let begun = thread_cpu_us();
        read_all(&self.stats, buffer);
        thread_cpu_us() - begun
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for child in &mut self.idle {
            // They only wait for this.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn read_all(files: &[File], buffer: &mut [u8]) {
    for file in files {
        let mut length = 0;
        loop {
            match file.read_at(&mut buffer[length..], length as u64) {
                Ok(0) | Err(_) => break,
                Ok(read) => length += read,
            }
        }
    }
}

pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn thread_cpu_us() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 * 1e6 + now.tv_nsec as f64 / 1e3
}

/// A value in KiB from a `status` file in `/proc`.
pub(crate) fn memory_kib(path: &str, line: &str) -> Result<u64> {
    let status = std::fs::read_to_string(path)?;
    let value = status.lines().find_map(|text| text.strip_prefix(line));
    let value = value.with_context(|| format!("{path} has no {line}"))?;
    Ok(value.split_whitespace().next().context("no number")?.parse()?)
}
