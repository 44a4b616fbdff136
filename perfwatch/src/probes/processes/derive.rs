//! From per-task usage to the document `processes`: who used the CPUs, the storage and the counters.
//!
//! Rates are per second; percentages are of one CPU, so a process with two busy threads has 200.

use std::collections::HashMap;

use perfwatch_common::sched::COUNTERS;
use serde::Serialize;

use crate::probes::sched::interval::{Interval, OomKill, TaskInterval, Usage, comm};
use crate::snapshot::derive::round;
use crate::snapshot::processes::{ProcessRow, Rates};

/// Processes listed by CPU time.
pub(super) const TOP: usize = 20;
/// Of the others, those with the most storage traffic.
pub(super) const TOP_STORAGE: usize = 5;
pub(super) const TOP_CGROUPS: usize = 10;

/// The sums over an interval's threads, before names are looked up.
#[derive(Debug, Default)]
pub struct Ranking {
    /// By CPU time; then those of the others with the most storage traffic.
    pub top: Vec<Process>,
    /// Processes that were active but are not in `top`.
    pub others: usize,
    /// All processes' usage minus that of `top`, including threads that were not read in time.
    pub rest: Usage,
    pub cgroups: Vec<Cgroup>,
    pub other_cgroups: usize,
    pub cgroup_rest: Usage,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub pid: u32,
    pub comm: String,
    pub uid: u32,
    /// The cgroup of its busiest thread.
    pub cgroup: u64,
    /// Active threads.
    pub threads: usize,
    pub exited: bool,
    pub usage: Usage,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    pub id: u64,
    /// One of its processes.
    pub member: u32,
    pub processes: usize,
    pub usage: Usage,
}

/// What user space knows of a listed process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details {
    pub user: Option<String>,
    pub cgroup: Option<String>,
    pub rss_bytes: Option<u64>,
}

/// A momentary event, for charts to mark.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    OomKill {
        timestamp: String,
        pid: u32,
        comm: Option<String>,
        cgroup: Option<String>,
    },
    /// A cgroup was throttled by its CPU quota during the interval that ended then.
    CgroupThrottled {
        timestamp: String,
        cgroup: String,
        periods: u64,
        throttled_ms: f64,
    },
}

impl Event {
    /// `tasks` are those of the same interval: a killed task runs a last time. `path` looks a cgroup up by its
    /// number and one of its processes.
    pub fn oom_kill(
        kill: &OomKill,
        tasks: &[TaskInterval],
        path: impl FnOnce(u64, u32) -> Option<String>,
    ) -> Self {
        let victim = tasks.iter().find(|task| task.tgid == kill.pid);
        Self::OomKill {
            timestamp: kill.timestamp.clone(),
            pid: kill.pid,
            // Kernels before 6.8 report only the number.
            comm: kill.comm.clone().or_else(|| Some(comm(&victim?.comm))),
            cgroup: victim.and_then(|task| path(task.cgroup, task.tgid)),
        }
    }
}

/// The active processes, unordered.
pub(super) fn add_up(tasks: &[TaskInterval]) -> impl Iterator<Item = Process> {
    let mut processes: HashMap<u32, (Process, u64)> = HashMap::new();
    for task in tasks {
        let (process, busiest) = processes.entry(task.tgid).or_insert_with(|| (Process::of(task), 0));
        process.threads += 1;
        process.exited |= task.exited && task.pid == task.tgid;
        process.usage = process.usage.plus(&task.usage);
        if task.usage.cpu_ns > *busiest {
            *busiest = task.usage.cpu_ns;
            process.cgroup = task.cgroup;
        }
    }
    processes.into_values().map(|(process, _)| process)
}

/// Sums threads up to processes and cgroups and picks those to list.
pub fn rank(interval: &Interval) -> Ranking {
    let mut processes: Vec<Process> = add_up(&interval.tasks).collect();
    processes.sort_unstable_by_key(|process| (std::cmp::Reverse(process.usage.cpu_ns), process.pid));
    let mut remaining = processes.split_off(TOP.min(processes.len()));
    let mut top = processes;
    remaining.sort_by_key(|process| std::cmp::Reverse(process.usage.storage_bytes()));
    let storage = remaining.iter().take(TOP_STORAGE).filter(|process| process.usage.storage_bytes() > 0);
    let mut others = remaining.len();
    for process in storage {
        top.push(process.clone());
        others -= 1;
    }
    let listed = top.iter().fold(Usage::default(), |sum, process| sum.plus(&process.usage));

    let mut cgroups = by_cgroup(&interval.tasks);
    cgroups.sort_unstable_by_key(|cgroup| (std::cmp::Reverse(cgroup.usage.cpu_ns), cgroup.id));
    let other_cgroups = cgroups.len().saturating_sub(TOP_CGROUPS);
    cgroups.truncate(TOP_CGROUPS);
    let in_cgroups = cgroups.iter().fold(Usage::default(), |sum, cgroup| sum.plus(&cgroup.usage));
    Ranking {
        top,
        others,
        rest: interval.used.minus(&listed),
        cgroups,
        other_cgroups,
        cgroup_rest: interval.used.minus(&in_cgroups),
    }
}

fn by_cgroup(tasks: &[TaskInterval]) -> Vec<Cgroup> {
    let mut cgroups: HashMap<u64, (Cgroup, Vec<u32>)> = HashMap::new();
    for task in tasks {
        let new = || Cgroup { id: task.cgroup, member: task.tgid, processes: 0, usage: Usage::default() };
        let (cgroup, members) = cgroups.entry(task.cgroup).or_insert_with(|| (new(), Vec::new()));
        cgroup.usage = cgroup.usage.plus(&task.usage);
        members.push(task.tgid);
        if !task.exited {
            cgroup.member = task.tgid; // one that can still be asked for the cgroup's name
        }
    }
    cgroups
        .into_values()
        .map(|(mut cgroup, mut members)| {
            members.sort_unstable();
            members.dedup();
            cgroup.processes = members.len();
            cgroup
        })
        .collect()
}

impl Process {
    fn of(task: &TaskInterval) -> Self {
        Self {
            pid: task.tgid,
            comm: comm(&task.comm),
            uid: task.uid,
            cgroup: task.cgroup,
            threads: 0,
            exited: false,
            usage: Usage::default(),
        }
    }
}

/// All fields are `null` or empty in the first document, which has no interval yet.
#[derive(Debug, Default, Serialize)]
pub struct Processes {
    pub(super) elapsed_ms: Option<f64>,
    /// Processes that ran in the interval.
    pub(super) active: Option<usize>,
    /// Processes that `/proc` hides from us and that are therefore missing here.
    pub(super) hidden: Option<usize>,
    pub(super) forks_per_sec: Option<f64>,
    pub(super) execs_per_sec: Option<f64>,
    pub(super) exits_per_sec: Option<f64>,
    /// Threads whose entry another overwrote before it was read: their usage is part of `other`.
    pub(super) evicted: Option<u64>,
    /// Share of the time that the counters counted; multiplexed counts are scaled by it.
    pub(super) counters_running_ratio: Option<f64>,
    /// All processes.
    pub(super) total: Option<Rates>,
    pub(super) top: Vec<ProcessRow>,
    /// The processes that are not listed.
    pub(super) other: Option<Rest>,
    pub(super) cgroups: Vec<CgroupRow>,
    pub(super) other_cgroups: Option<Rest>,
    pub(super) events: Vec<Event>,
}

/// An active process.
pub(super) fn row(process: Process, details: Details, interval: &Interval) -> ProcessRow {
    ProcessRow {
        rates: rates(&process.usage, interval),
        pid: process.pid,
        comm: process.comm,
        user: details.user,
        uid: process.uid,
        cgroup: details.cgroup,
        threads: process.threads,
        exited: process.exited,
        rss_bytes: details.rss_bytes,
    }
}

#[derive(Debug, Serialize)]
pub(super) struct CgroupRow {
    /// The path within its hierarchy.
    pub(super) cgroup: Option<String>,
    pub(super) processes: usize,
    #[serde(flatten)]
    pub(super) rates: Rates,
}

#[derive(Debug, Serialize)]
pub(super) struct Rest {
    pub(super) count: usize,
    #[serde(flatten)]
    pub(super) rates: Rates,
}

/// Usage per second of the interval.
pub(in crate::probes) fn rates(usage: &Usage, interval: &Interval) -> Rates {
    let per_sec = |amount: u64, digits| {
        let seconds = interval.elapsed.as_secs_f64();
        (seconds > 0.0).then(|| round(amount as f64 / seconds, digits))
    };
    let counting = if interval.counted.starved() { 0 } else { interval.counting };
    let counter = |i: usize| (i < COUNTERS && counting & 1 << i != 0).then(|| usage.counters[i]);
    let ratio = |above: Option<u64>, below: Option<u64>, factor: f64| {
        let (above, below) = (above?, below.filter(|below| *below > 0)?);
        Some(round(factor * above as f64 / below as f64, 4))
    };
    let [cycles, instructions, llc, branch, dtlb] = std::array::from_fn(counter);
    let mpki = |misses| ratio(misses, instructions, 1000.0);
    Rates {
        // ns per second are ten millionths of a percent.
        cpu_percent: per_sec(usage.cpu_ns, 0).map(|ns| round(ns / 1e7, 3)),
        runqueue_wait_ms_per_sec: per_sec(usage.wait_ns, 0).map(|ns| round(ns / 1e6, 3)),
        context_switches_per_sec: per_sec(usage.switches, 1),
        read_bytes_per_sec: per_sec(usage.read_bytes, 0).filter(|_| interval.storage),
        write_bytes_per_sec: per_sec(usage.write_bytes, 0).filter(|_| interval.storage),
        cycles,
        instructions,
        ipc: ratio(instructions, cycles, 1.0),
        llc_mpki: mpki(llc),
        branch_mpki: mpki(branch),
        dtlb_mpki: mpki(dtlb),
    }
}

/// Makes the document; `details` and `cgroups` belong to the ranking's lists by position.
pub fn document(
    interval: &Interval,
    ranking: Ranking,
    details: Vec<Details>,
    cgroups: Vec<Option<String>>,
    events: Vec<Event>,
) -> Processes {
    let totals = interval.totals();
    let per_sec = |count: u64| {
        let seconds = interval.elapsed.as_secs_f64();
        (seconds > 0.0).then(|| round(count as f64 / seconds, 3))
    };
    let rest = |count, usage| Some(Rest { count, rates: rates(usage, interval) });
    Processes {
        elapsed_ms: Some(round(interval.elapsed.as_secs_f64() * 1e3, 3)),
        active: Some(ranking.top.len() + ranking.others),
        hidden: Some(0),
        forks_per_sec: per_sec(totals.forks),
        execs_per_sec: per_sec(totals.execs),
        exits_per_sec: per_sec(interval.exits),
        evicted: Some(totals.evicted),
        counters_running_ratio: interval.counted.running_ratio().map(|ratio| round(ratio, 4)),
        total: Some(rates(&interval.used, interval)),
        other: rest(ranking.others, &ranking.rest),
        other_cgroups: rest(ranking.other_cgroups, &ranking.cgroup_rest),
        top: ranking
            .top
            .into_iter()
            .zip(details)
            .map(|(process, details)| row(process, details, interval))
            .collect(),
        cgroups: ranking
            .cgroups
            .into_iter()
            .zip(cgroups)
            .map(|(cgroup, path)| CgroupRow {
                cgroup: path,
                processes: cgroup.processes,
                rates: rates(&cgroup.usage, interval),
            })
            .collect(),
        events,
    }
}

#[cfg(test)]
mod tests;
