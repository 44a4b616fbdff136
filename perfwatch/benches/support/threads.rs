//! CPU time of a process by its threads.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

/// µs of each thread since it started, with its name, by its ID.
pub type Times = BTreeMap<u32, (String, f64)>;

pub fn times(pid: u32) -> Result<Times> {
    let mut times = Times::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let task = task?;
        let id = task.file_name().to_string_lossy().parse()?;
        // ns on a CPU, ns waiting for one, number of time slices.
        let schedstat = std::fs::read_to_string(task.path().join("schedstat"))?;
        let ns: f64 = schedstat.split_whitespace().next().context("an empty schedstat")?.parse()?;
        let name = std::fs::read_to_string(task.path().join("comm"))?.trim_end().to_owned();
        times.insert(id, (name, ns / 1e3));
    }
    Ok(times)
}

/// µs by the name of threads, those of one name together.
pub fn between(before: &Times, after: Times) -> BTreeMap<String, f64> {
    let mut by_name = BTreeMap::new();
    for (id, (name, us)) in after {
        *by_name.entry(name).or_default() += us - before.get(&id).map_or(0.0, |(_, us)| *us);
    }
    by_name
}
