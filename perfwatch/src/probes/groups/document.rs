//! The document `cgroups`, and which groups are in it.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::group::{Group, IoRates};
use super::raw::Device;
use super::times::Times;
use crate::cgroups::{Named, Runtime};
use crate::snapshot::derive::round;
use crate::snapshot::histogram::Histogram;
use crate::snapshot::latency::Statistic;
use crate::snapshot::processes::Rates;

/// Groups in a document; the rest is only counted.
pub(super) const MAX_LISTED: usize = 256;

/// Every group includes those below it, as in the kernel's files.
#[derive(Debug, Serialize)]
pub(super) struct Body<'a> {
    pub(super) elapsed_ms: Option<f64>,
    /// Of cgroups: `v1` or `v2`.
    pub(super) hierarchy: &'static str,
    /// Why some values are missing for all groups.
    pub(super) reason: Option<&'static str>,
    /// Groups of the machine.
    pub(super) count: usize,
    /// Groups in which something ran.
    pub(super) active: usize,
    pub(super) groups: Vec<Row<'a>>,
    pub(super) other: Other,
}

#[derive(Debug, Serialize)]
pub(super) struct Row<'a> {
    cgroup: &'a str,
    kind: &'static str,
    name: &'a str,
    /// Of the container.
    id: Option<&'a str>,
    runtime: Option<&'static str>,
    image: Option<&'a str>,
    pod: Option<&'a str>,
    namespace: Option<&'a str>,
    project: Option<&'a str>,
    name_problem: Option<&'a str>,
    cpu_percent: Option<f64>,
    user_percent: Option<f64>,
    system_percent: Option<f64>,
    cpu_limit: Option<f64>,
    throttled_periods: Option<u64>,
    throttled_ms: Option<f64>,
    cpu_some_percent: Option<f64>,
    cpu_full_percent: Option<f64>,
    runqueue_wait_ms_per_sec: Option<f64>,
    runqueue_wait: Option<Distribution<'a>>,
    off_cpu: Option<Distribution<'a>>,
    context_switches_per_sec: Option<f64>,
    cycles: Option<u64>,
    instructions: Option<u64>,
    ipc: Option<f64>,
    llc_mpki: Option<f64>,
    branch_mpki: Option<f64>,
    dtlb_mpki: Option<f64>,
    memory_bytes: Option<u64>,
    anon_bytes: Option<u64>,
    file_bytes: Option<u64>,
    kernel_bytes: Option<u64>,
    slab_bytes: Option<u64>,
    memory_limit_bytes: Option<u64>,
    memory_high_bytes: Option<u64>,
    memory_high_events: Option<u64>,
    memory_max_events: Option<u64>,
    oom_events: Option<u64>,
    oom_kills: Option<u64>,
    memory_some_percent: Option<f64>,
    memory_full_percent: Option<f64>,
    swap_bytes: Option<u64>,
    swap_limit_bytes: Option<u64>,
    read_bytes_per_sec: Option<f64>,
    write_bytes_per_sec: Option<f64>,
    reads_per_sec: Option<f64>,
    writes_per_sec: Option<f64>,
    io_some_percent: Option<f64>,
    io_full_percent: Option<f64>,
    block_latency: Option<Distribution<'a>>,
    /// By device.
    io: BTreeMap<&'a str, IoRow>,
    processes: Option<usize>,
    tasks: Option<u64>,
    tasks_limit: Option<u64>,
}

/// Times with their usual quantiles; those are `null` without values.
#[derive(Debug, Serialize)]
struct Distribution<'a> {
    mean_us: Option<f64>,
    p50_us: Option<f64>,
    p99_us: Option<f64>,
    max_us: Option<f64>,
    histogram: &'a Histogram,
}

impl<'a> Distribution<'a> {
    fn of(histogram: &'a Histogram) -> Self {
        let of = |statistic: Statistic| statistic.of(histogram).as_f64();
        Self {
            mean_us: of(Statistic::MeanMicros),
            p50_us: of(Statistic::P50),
            p99_us: of(Statistic::P99),
            max_us: of(Statistic::MaxMicros),
            histogram,
        }
    }
}

#[derive(Debug, Serialize)]
struct IoRow {
    read_bytes_per_sec: f64,
    write_bytes_per_sec: f64,
    reads_per_sec: f64,
    writes_per_sec: f64,
}

/// The groups that are not listed, none of which contains one that is.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Other {
    pub(super) count: usize,
    pub(super) cpu_percent: Option<f64>,
    pub(super) memory_bytes: Option<u64>,
}

/// A block device's name, and whether its transfers are counted again by the disk below it.
pub(super) type Devices = HashMap<Device, (String, bool)>;

/// CPU time: from the group's file, else from the tasks that were in it.
pub(super) fn cpu_percent(group: &Group, used: Option<&Rates>) -> Option<f64> {
    group.rates.cpu_percent.or_else(|| used.and_then(|used| used.cpu_percent))
}

pub(super) fn row<'a>(
    group: &'a Group,
    named: &'a Named,
    used: Option<&Rates>,
    times: Option<&'a Times>,
    devices: &'a Devices,
) -> Row<'a> {
    let time = |of: fn(&Times) -> &Option<Histogram>| of(times?).as_ref().map(Distribution::of);
    let (rates, counts, slow) = (&group.rates, &group.counts, &group.slow);
    let [cpu, memory, io] = rates.stalled;
    let sum = rates.io.as_ref().map(|io| sum(io, devices));
    let used = used.copied().unwrap_or_default();
    Row {
        cgroup: &group.path,
        kind: named.identity.kind.as_str(),
        name: &named.name,
        id: named.identity.id.as_deref(),
        runtime: named.runtime.map(Runtime::as_str),
        image: named.image.as_deref(),
        pod: named.pod.as_deref().or(named.identity.pod.as_deref()),
        namespace: named.namespace.as_deref(),
        project: named.project.as_deref(),
        name_problem: named.problem.as_deref(),
        cpu_percent: cpu_percent(group, Some(&used)),
        user_percent: rates.user_percent,
        system_percent: rates.system_percent,
        cpu_limit: slow.cpu_limit.map(|cpus| round(cpus, 3)),
        throttled_periods: counts.throttled_periods,
        throttled_ms: counts.throttled_us.map(|micros| round(micros as f64 / 1e3, 3)),
        cpu_some_percent: cpu.some,
        cpu_full_percent: cpu.full,
        runqueue_wait_ms_per_sec: used.runqueue_wait_ms_per_sec,
        runqueue_wait: time(|times| &times.wait),
        off_cpu: time(|times| &times.off_cpu),
        context_switches_per_sec: used.context_switches_per_sec,
        cycles: used.cycles,
        instructions: used.instructions,
        ipc: used.ipc,
        llc_mpki: used.llc_mpki,
        branch_mpki: used.branch_mpki,
        dtlb_mpki: used.dtlb_mpki,
        memory_bytes: group.memory_bytes,
        anon_bytes: slow.memory.anon,
        file_bytes: slow.memory.file,
        kernel_bytes: slow.memory.kernel,
        slab_bytes: slow.memory.slab,
        memory_limit_bytes: slow.memory_max,
        memory_high_bytes: slow.memory_high,
        memory_high_events: counts.memory.high,
        memory_max_events: counts.memory.max,
        oom_events: counts.memory.oom,
        oom_kills: counts.memory.oom_kill,
        memory_some_percent: memory.some,
        memory_full_percent: memory.full,
        swap_bytes: slow.swap,
        swap_limit_bytes: slow.swap_max,
        read_bytes_per_sec: sum.map(|sum| sum.read_bytes),
        write_bytes_per_sec: sum.map(|sum| sum.write_bytes),
        reads_per_sec: sum.map(|sum| sum.reads),
        writes_per_sec: sum.map(|sum| sum.writes),
        io_some_percent: io.some,
        io_full_percent: io.full,
        block_latency: time(|times| &times.block).filter(|_| group.has_requests()),
        io: rates.io.as_ref().map(|io| by_device(io, devices)).unwrap_or_default(),
        processes: slow.processes,
        tasks: group.tasks,
        tasks_limit: slow.tasks_max,
    }
}

/// Of disks: what passes through a stacked device is counted below it.
fn sum(io: &[(Device, IoRates)], devices: &Devices) -> IoRates {
    let is_disk = |device: &Device| devices.get(device).is_none_or(|(_, stacked)| !stacked);
    io.iter().filter(|(device, _)| is_disk(device)).fold(IoRates::default(), |sum, (_, rates)| IoRates {
        read_bytes: round(sum.read_bytes + rates.read_bytes, 2),
        write_bytes: round(sum.write_bytes + rates.write_bytes, 2),
        reads: round(sum.reads + rates.reads, 2),
        writes: round(sum.writes + rates.writes, 2),
    })
}

fn by_device<'a>(io: &[(Device, IoRates)], devices: &'a Devices) -> BTreeMap<&'a str, IoRow> {
    let named = |(device, rates): &(Device, IoRates)| {
        let row = IoRow {
            read_bytes_per_sec: rates.read_bytes,
            write_bytes_per_sec: rates.write_bytes,
            reads_per_sec: rates.reads,
            writes_per_sec: rates.writes,
        };
        Some((devices.get(device)?.0.as_str(), row))
    };
    io.iter().filter_map(named).collect()
}

/// The groups to list, in the order given: half of the places for those that used the CPUs most, the others for those
/// with the most memory, and each with the groups that it is in. `cpu` is each group's percentage.
pub(super) fn choose(groups: &[Group], cpu: &[Option<f64>], most: usize) -> Vec<bool> {
    if groups.len() <= most {
        return vec![true; groups.len()];
    }
    let mut chosen = vec![false; groups.len()];
    let mut count = 0;
    let cpu_of = |at: usize| cpu[at].unwrap_or_default();
    let memory_of = |at: usize| groups[at].memory_bytes.unwrap_or_default();
    let mut by_cpu: Vec<usize> = (0..groups.len()).collect();
    by_cpu.sort_by(|a, b| cpu_of(*b).total_cmp(&cpu_of(*a)).then(a.cmp(b)));
    let mut by_memory: Vec<usize> = (0..groups.len()).collect();
    by_memory.sort_by(|a, b| memory_of(*b).cmp(&memory_of(*a)).then(a.cmp(b)));
    for (order, most) in [(by_cpu, most / 2), (by_memory, most)] {
        for mut at in order {
            let mut path = Vec::new();
            while !chosen[at] {
                path.push(at);
                if groups[at].parent == at {
                    break;
                }
                at = groups[at].parent;
            }
            if count + path.len() <= most {
                count += path.len();
                path.into_iter().for_each(|at| chosen[at] = true);
            }
        }
    }
    chosen
}

/// What is not listed: a group whose parent is not listed either is part of that one.
pub(super) fn other(groups: &[Group], cpu: &[Option<f64>], chosen: &[bool]) -> Other {
    let mut other = Other::default();
    for (at, group) in groups.iter().enumerate().filter(|(at, _)| !chosen[*at]) {
        other.count += 1;
        if chosen[group.parent] {
            let add = |sum: Option<f64>, more: Option<f64>| {
                sum.map_or(more, |sum| Some(sum + more.unwrap_or_default()))
            };
            other.cpu_percent = add(other.cpu_percent, cpu[at]).map(|percent| round(percent, 3));
            let memory = group.memory_bytes.or(other.memory_bytes.map(|_| 0));
            other.memory_bytes = memory.map(|memory| memory + other.memory_bytes.unwrap_or_default());
        }
    }
    other
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Instant;

    use proptest::prelude::*;

    use super::*;
    use crate::cgroups::Directory;

    proptest! {
        /// Groups with random parents before them, CPU and memory.
        #[test]
        fn the_listed_are_few_and_stand_with_what_they_are_in(
            made in proptest::collection::vec((any::<proptest::sample::Index>(), 0u64..100, 0.0f64..100.0), 1..60),
            most in 1usize..70,
        ) {
            let groups: Vec<Group> = made.iter().enumerate().map(|(at, (parent, memory, _))| {
                let parent = if at == 0 { 0 } else { parent.index(at) };
                let directory = Directory { inode: 0, path: "/".into(), below: PathBuf::new(), parent };
                let mut group = Group::new(directory, false, Instant::now());
                group.memory_bytes = Some(*memory);
                group
            }).collect();
            let cpu: Vec<Option<f64>> = made.iter().map(|(_, _, cpu)| Some(*cpu)).collect();
            let chosen = choose(&groups, &cpu, most);
            let count = chosen.iter().filter(|chosen| **chosen).count();
            prop_assert!(count <= most && (count > 0 || most < 2));
            for (at, group) in groups.iter().enumerate() {
                prop_assert!(!chosen[at] || chosen[group.parent]);
            }
            let other = other(&groups, &cpu, &chosen);
            prop_assert_eq!(other.count, groups.len() - count);
        }
    }
}
