//! Cost of the source `cgroups` per tick: CPU time, user and system, of the calling thread.
//!
//! `cargo bench -p perfwatch --bench groups [-- [--ticks N] [--json FILE]]`
//!
//! In real groups, made below the machine's hierarchy (needs root): 100 and 1,000 of them, each with a sleeping process,
//! once all idle and once with a process in each that runs a moment before every tick. Medians over ticks, cold: 100 ms
//! apart. The goals are 1 ms for 100 groups and 5 ms for 1,000.
#![allow(clippy::print_stdout)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
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
            match Groups::make(count) {
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
    // The other one reads the programs that both use, as in a server.
    sources.retain(|source| matches!(source.name(), "runqueue" | "cgroups"));
    let [runqueue, source] = &mut sources[..] else { anyhow::bail!("the sources have other names") };
    let mut costs = Vec::new();
    for round in 0..ticks + 5 {
        if busy {
            groups.run()?;
        }
        std::thread::sleep(Duration::from_millis(100));
        let tick = Tick::new(std::time::SystemTime::now().into(), Duration::from_secs(1));
        runqueue.sample(&tick).context("no reading of the scheduler")?;
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

/// Groups with a process each; removed when dropped.
struct Groups {
    folders: Vec<PathBuf>,
    members: Vec<Child>,
}

impl Groups {
    fn make(count: usize) -> Result<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let v1 = ["memory", "cpu", "cpuacct", "pids", "blkio"].map(|controller| root.join(controller));
        let is_v2 = root.join("cgroup.controllers").exists();
        if is_v2 {
            fs::write(root.join("cgroup.subtree_control"), "+cpu +memory +io +pids")
                .context("controllers")?;
        }
        let mounts = if is_v2 {
            vec![root.to_owned()]
        } else {
            v1.into_iter().filter(|mount| mount.is_dir()).collect()
        };
        anyhow::ensure!(!mounts.is_empty(), "no cgroups are mounted");
        let mut groups = Self { folders: Vec::new(), members: Vec::new() };
        for at in 0..count {
            let member = Command::new("sh")
                .args(["-c", "while read line; do :; done"])
                .stdin(Stdio::piped())
                .spawn()
                .context("no shell")?;
            let pid = member.id().to_string();
            groups.members.push(member);
            for mount in &mounts {
                let slice = mount.join(format!("perfwatch-bench-{}", std::process::id()));
                let folder = slice.join(format!("{at}.service"));
                fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
                if is_v2 && at == 0 {
                    fs::write(slice.join("cgroup.subtree_control"), "+cpu +memory +io +pids")?;
                }
                groups.folders.push(folder.clone());
                fs::write(folder.join("cgroup.procs"), &pid).with_context(|| folder.display().to_string())?;
            }
        }
        Ok(groups)
    }

    /// Lets every member run for a moment.
    fn run(&mut self) -> Result<()> {
        for member in &mut self.members {
            member.stdin.as_mut().context("a pipe")?.write_all(b"x\n")?;
        }
        Ok(())
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for member in &mut self.members {
            let _ = member.kill();
            let _ = member.wait();
        }
        for folder in &self.folders {
            // Busy for a moment after the last process has ended.
            for _ in 0..100 {
                if fs::remove_dir(folder).is_ok() || !folder.exists() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        let slices: std::collections::BTreeSet<&Path> =
            self.folders.iter().filter_map(|folder| folder.parent()).collect();
        for slice in slices {
            let _ = fs::remove_dir(slice);
        }
    }
}
