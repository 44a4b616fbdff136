//! The document `processes` without task accounting: from two walks over `/proc`. What that cannot provide (waits,
//! switches, counters, starts and exits) is `null`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::derive::{CgroupRow, Event, Processes, Rest, TOP, TOP_CGROUPS, TOP_STORAGE};
use super::listing::of_procfs;
use super::names::Names;
use super::walk::{Present, Walk, Walker};
use crate::config::Roots;
use crate::kernel_files::file::KernelFile;
use crate::kernel_files::stat::Stat;
use crate::snapshot::derive::round;
use crate::snapshot::processes::{ProcessRow, Rates};

/// The pause after a walk, as a multiple of its duration: with ten thousand processes, walks would use a quarter of a
/// CPU otherwise.
const REST: u32 = 20;

#[derive(Debug)]
pub(super) struct FromProcfs {
    walker: Walker,
    file: KernelFile,
    stat: Stat,
    ticks_per_second: f64,
    /// Total usage of all processes at the last walk, in clock ticks.
    used: Option<(Instant, u64)>,
    newest: Option<Newest>,
}

#[derive(Debug)]
struct Newest {
    walk: Arc<Walk>,
    began: Instant,
    took: Duration,
}

impl Newest {
    fn stands(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.began) < self.took * REST
    }
}

impl FromProcfs {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            walker: Walker::new(roots),
            file: KernelFile::new(roots.proc("stat")),
            stat: Stat::default(),
            ticks_per_second: rustix::param::clock_ticks_per_second() as f64,
            used: None,
            newest: None,
        }
    }

    /// The newest walk: taken now, unless that would use too much CPU.
    pub(super) fn walk(&mut self, names: &mut Names) -> Arc<Walk> {
        let began = Instant::now();
        if let Some(newest) = self.newest.as_ref().filter(|newest| newest.stands(began)) {
            return Arc::clone(&newest.walk);
        }
        let total_cpu_percent = self.total_cpu_percent();
        let walk = self.walker.walk(names, true);
        // Not read at the same moment, and in whole clock ticks, so the parts may slightly exceed the whole.
        let parts = round(walk.present.iter().map(cpu).sum(), 3);
        let total_cpu_percent = total_cpu_percent.map(|total| total.max(parts));
        let walk = Arc::new(Walk { total_cpu_percent, ..walk });
        self.newest = Some(Newest { walk: Arc::clone(&walk), began, took: began.elapsed() });
        walk
    }

    /// Call this if there was no walk for a while.
    pub(super) fn forget(&mut self) {
        self.walker.forget();
        self.used = None;
        self.newest = None;
    }

    fn total_cpu_percent(&mut self) -> Option<f64> {
        let now = Instant::now();
        let used = self.file.read_optional().and_then(|text| self.stat.parse(text));
        let used = used.map(|()| (now, self.stat.total.of_processes()));
        let (before, used) = (std::mem::replace(&mut self.used, used)?, used?);
        let seconds = (used.0 - before.0).as_secs_f64();
        let ticks = used.1.checked_sub(before.1)?;
        (seconds > 0.0).then(|| round(100.0 * ticks as f64 / self.ticks_per_second / seconds, 3))
    }
}

/// A walk's processes in document order, and which of them are listed.
pub(super) struct Ranking<'a> {
    /// By CPU time, then by memory; then those of the others with the most storage traffic.
    top: Vec<&'a Present>,
    others: Vec<&'a Present>,
    cgroups: Vec<(&'a str, Vec<&'a Present>)>,
    other_cgroups: Vec<(&'a str, Vec<&'a Present>)>,
}

impl<'a> Ranking<'a> {
    pub(super) fn of(walk: &'a Walk) -> Self {
        let mut all: Vec<&Present> = walk.present.iter().collect();
        all.sort_by(|a, b| {
            let order = f64::total_cmp(&cpu(b), &cpu(a));
            order.then(b.details.rss_bytes.cmp(&a.details.rss_bytes)).then(a.pid.cmp(&b.pid))
        });
        let mut others = all.split_off(TOP.min(all.len()));
        let mut top = all;
        others.sort_by(|a, b| f64::total_cmp(&storage(b), &storage(a)));
        let by_storage = others.iter().take(TOP_STORAGE).filter(|present| storage(present) > 0.0).count();
        top.extend(others.drain(..by_storage));

        let mut groups: BTreeMap<&str, Vec<&Present>> = BTreeMap::new();
        for present in walk.present.iter() {
            if let Some(cgroup) = &present.details.cgroup {
                groups.entry(cgroup).or_default().push(present);
            }
        }
        let mut cgroups: Vec<(&str, Vec<&Present>)> = groups.into_iter().collect();
        let cpu_of =
            |(_, members): &(&str, Vec<&Present>)| members.iter().map(|present| cpu(present)).sum::<f64>();
        cgroups.sort_by(|a, b| f64::total_cmp(&cpu_of(b), &cpu_of(a)));
        let other_cgroups = cgroups.split_off(TOP_CGROUPS.min(cgroups.len()));
        Self { top, others, cgroups, other_cgroups }
    }

    /// The paths of the listed cgroups.
    pub(super) fn cgroups(&self) -> impl Iterator<Item = &'a str> {
        self.cgroups.iter().map(|(cgroup, _)| *cgroup)
    }

    /// Makes the document from this walk.
    pub(super) fn document(self, walk: &Walk, events: Vec<Event>) -> Processes {
        let Some(elapsed) = walk.elapsed else {
            return Processes { hidden: walk.hidden, ..Processes::default() };
        };
        let all = || self.top.iter().chain(&self.others).copied();
        let total = Rates { cpu_percent: walk.total_cpu_percent, ..sum(all()) };
        let listed = sum(self.top.iter().copied());
        // Usage of hidden or exited processes belongs to no listed one.
        let rest = |listed: &Rates| Rates {
            cpu_percent: total
                .cpu_percent
                .map(|total| round((total - listed.cpu_percent.unwrap_or(0.0)).max(0.0), 3)),
            ..Rates::default()
        };
        let others = Rates { cpu_percent: rest(&listed).cpu_percent, ..sum(self.others.iter().copied()) };
        let in_cgroups = sum(self.cgroups.iter().flat_map(|(_, members)| members.iter().copied()));
        let active = |members: &[&Present]| members.iter().filter(|present| present.used.is_any()).count();
        Processes {
            elapsed_ms: Some(round(elapsed.as_secs_f64() * 1e3, 3)),
            active: Some(walk.active()),
            hidden: walk.hidden,
            total: Some(total),
            other: Some(Rest { count: active(&self.others), rates: others }),
            top: self.top.iter().map(|present| of_procfs(present)).collect::<Vec<ProcessRow>>(),
            other_cgroups: Some(Rest {
                count: self.other_cgroups.iter().filter(|(_, members)| active(members) > 0).count(),
                rates: rest(&in_cgroups),
            }),
            cgroups: self
                .cgroups
                .iter()
                .map(|(cgroup, members)| CgroupRow {
                    cgroup: Some((*cgroup).to_owned()),
                    processes: active(members),
                    rates: sum(members.iter().copied()),
                })
                .collect(),
            events,
            ..Processes::default()
        }
    }
}

fn cpu(present: &Present) -> f64 {
    present.used.cpu_percent.unwrap_or(0.0)
}

fn storage(present: &Present) -> f64 {
    let bytes = |bytes: Option<f64>| bytes.unwrap_or(0.0);
    bytes(present.used.read_bytes_per_sec) + bytes(present.used.write_bytes_per_sec)
}

/// Combined usage of processes. CPU time is known of all visible ones; storage traffic perhaps only of some, and
/// then the sum would be meaningless.
fn sum<'a>(members: impl Iterator<Item = &'a Present> + Clone) -> Rates {
    let bytes = |of: fn(&Present) -> Option<f64>| members.clone().map(of).sum::<Option<f64>>();
    Rates {
        cpu_percent: Some(round(members.clone().map(cpu).sum(), 3)),
        read_bytes_per_sec: bytes(|present| present.used.read_bytes_per_sec),
        write_bytes_per_sec: bytes(|present| present.used.write_bytes_per_sec),
        ..Rates::default()
    }
}

#[cfg(test)]
mod tests;
