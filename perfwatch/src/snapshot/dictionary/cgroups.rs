//! The fields of the document about cgroups: services, containers, sessions.

use super::Export::{Gauge, Interval, None};
use super::{Field, Kind, field};

const MS: f64 = 1e-3;
const US: f64 = 1e-6;
const PERCENT: f64 = 0.01;

const fn state(path: &'static str, help: &'static str) -> Field {
    field(path, "", help, None).of_kind(Kind::State)
}

/// Every group includes those below it. The number of groups is bounded, and with it what is exported.
pub(super) const CGROUPS: &[Field] = &[
    field("elapsed_ms", "ms", "Time since the last reading.", None),
    state("hierarchy", "Version of cgroups that is in use: `v1` or `v2`."),
    state("reason", "Why some values are missing for all groups."),
    field("count", "", "Groups of this machine.", Gauge("cgroups", 1.0)),
    field(
        "active",
        "",
        "Groups in which something ran since the last reading.",
        Gauge("cgroups_active", 1.0),
    ),
    state("groups[cgroup].cgroup", "The path of a group within its hierarchy."),
    state(
        "groups[cgroup].kind",
        "What it is: `root`, `slice`, `service`, `scope`, `unit`, `session`, `user`, `container`, `pod`, `vm` or `group`.",
    ),
    state("groups[cgroup].name", "What people call it."),
    state("groups[cgroup].id", "ID of the container that it is, or is in."),
    state("groups[cgroup].runtime", "Who runs that container."),
    state("groups[cgroup].image", "The image that it was made from."),
    state("groups[cgroup].pod", "Its pod: the name, or the UID if no name is known."),
    state("groups[cgroup].namespace", "The pod's namespace."),
    state("groups[cgroup].project", "Its Compose project."),
    state("groups[cgroup].name_problem", "Why there is no better name than the path has."),
    field(
        "groups[cgroup].cpu_percent",
        "%",
        "CPU time, as a share of one CPU.",
        Gauge("cgroup_cpu_ratio", PERCENT),
    ),
    field("groups[cgroup].user_percent", "%", "CPU time in user mode.", None),
    field("groups[cgroup].system_percent", "%", "CPU time in the kernel.", None),
    field(
        "groups[cgroup].cpu_limit",
        "CPUs",
        "CPU quota, in CPUs; `null` without one.",
        Gauge("cgroup_cpu_limit_cpus", 1.0),
    ),
    field(
        "groups[cgroup].throttled_periods",
        "",
        "Periods in which it was throttled by its CPU quota, in the interval.",
        Interval("cgroup_throttled_periods_total", 1.0),
    ),
    field(
        "groups[cgroup].throttled_ms",
        "ms",
        "Time that its CPUs were throttled, in the interval.",
        Interval("cgroup_throttled_seconds_total", MS),
    ),
    field(
        "groups[cgroup].cpu_some_percent",
        "%",
        "Share of the time that some of its tasks waited for a CPU (pressure).",
        Gauge("cgroup_pressure_stalled_ratio{resource=\"cpu\",kind=\"some\"}", PERCENT),
    ),
    field("groups[cgroup].cpu_full_percent", "%", "The same of all its tasks.", None),
    field(
        "groups[cgroup].runqueue_wait_ms_per_sec",
        "ms/s",
        "Time that its tasks waited for a CPU.",
        Gauge("cgroup_runqueue_wait_seconds_per_second", MS),
    ),
    field("groups[cgroup].runqueue_wait.mean_us", "µs", "Time from runnable to running: mean.", None),
    field("groups[cgroup].runqueue_wait.p50_us", "µs", "Median.", None),
    field(
        "groups[cgroup].runqueue_wait.p99_us",
        "µs",
        "Time from runnable to running: 99th percentile.",
        Gauge("cgroup_runqueue_wait_p99_seconds", US),
    ),
    field("groups[cgroup].runqueue_wait.max_us", "µs", "Maximum.", None),
    field(
        "groups[cgroup].runqueue_wait.histogram",
        "ns",
        "Time from runnable to running: full distribution.",
        None,
    )
    .of_kind(Kind::Histogram),
    field("groups[cgroup].off_cpu.mean_us", "µs", "Time from blocking to running again: mean.", None),
    field("groups[cgroup].off_cpu.p50_us", "µs", "Median.", None),
    field(
        "groups[cgroup].off_cpu.p99_us",
        "µs",
        "Time from blocking to running again: 99th percentile.",
        Gauge("cgroup_off_cpu_p99_seconds", US),
    ),
    field("groups[cgroup].off_cpu.max_us", "µs", "Maximum.", None),
    field(
        "groups[cgroup].off_cpu.histogram",
        "ns",
        "Time from blocking to running again: full distribution.",
        None,
    )
    .of_kind(Kind::Histogram),
    field("groups[cgroup].context_switches_per_sec", "1/s", "Context switches.", None),
    field("groups[cgroup].cycles", "", "Cycles in the interval.", None).of_kind(Kind::Interval),
    field("groups[cgroup].instructions", "", "Instructions in the interval.", None).of_kind(Kind::Interval),
    field("groups[cgroup].ipc", "IPC", "Instructions per cycle.", None),
    field("groups[cgroup].llc_mpki", "MPKI", "Last-level cache misses per thousand instructions.", None),
    field("groups[cgroup].branch_mpki", "MPKI", "Branch misses, likewise.", None),
    field("groups[cgroup].dtlb_mpki", "MPKI", "Data TLB misses, likewise.", None),
    field(
        "groups[cgroup].memory_bytes",
        "bytes",
        "Memory in use, with the page cache and the kernel's.",
        Gauge("cgroup_memory_bytes", 1.0),
    ),
    field("groups[cgroup].anon_bytes", "bytes", "Anonymous memory.", Gauge("cgroup_memory_anon_bytes", 1.0)),
    field("groups[cgroup].file_bytes", "bytes", "Page cache, with shared memory.", None),
    field("groups[cgroup].kernel_bytes", "bytes", "The kernel's memory for it.", None),
    field("groups[cgroup].slab_bytes", "bytes", "Of that, the slab caches.", None),
    field(
        "groups[cgroup].memory_limit_bytes",
        "bytes",
        "Memory limit; `null` without one.",
        Gauge("cgroup_memory_limit_bytes", 1.0),
    ),
    field(
        "groups[cgroup].memory_high_bytes",
        "bytes",
        "Memory above which it is slowed down; `null` without such a limit.",
        None,
    ),
    field(
        "groups[cgroup].memory_high_events",
        "",
        "Times that it was slowed down for that, in the interval.",
        Interval("cgroup_memory_events_total{event=\"high\"}", 1.0),
    ),
    field(
        "groups[cgroup].memory_max_events",
        "",
        "Times that it hit its memory limit, in the interval.",
        Interval("cgroup_memory_events_total{event=\"max\"}", 1.0),
    ),
    field(
        "groups[cgroup].oom_events",
        "",
        "Times that it was out of memory, in the interval.",
        Interval("cgroup_memory_events_total{event=\"oom\"}", 1.0),
    ),
    field(
        "groups[cgroup].oom_kills",
        "",
        "Processes killed by the OOM killer, in the interval.",
        Interval("cgroup_memory_events_total{event=\"oom_kill\"}", 1.0),
    ),
    field(
        "groups[cgroup].memory_some_percent",
        "%",
        "Share of the time that some of its tasks were stalled by a lack of memory (pressure).",
        Gauge("cgroup_pressure_stalled_ratio{resource=\"memory\",kind=\"some\"}", PERCENT),
    ),
    field(
        "groups[cgroup].memory_full_percent",
        "%",
        "The same of all its tasks.",
        Gauge("cgroup_pressure_stalled_ratio{resource=\"memory\",kind=\"full\"}", PERCENT),
    ),
    field("groups[cgroup].swap_bytes", "bytes", "Swap in use.", Gauge("cgroup_swap_bytes", 1.0)),
    field("groups[cgroup].swap_limit_bytes", "bytes", "Swap limit; `null` without one.", None),
    field(
        "groups[cgroup].read_bytes_per_sec",
        "bytes/s",
        "Read from disks.",
        Gauge("cgroup_io_bytes_per_second{direction=\"read\"}", 1.0),
    ),
    field(
        "groups[cgroup].write_bytes_per_sec",
        "bytes/s",
        "Written to disks.",
        Gauge("cgroup_io_bytes_per_second{direction=\"write\"}", 1.0),
    ),
    field(
        "groups[cgroup].reads_per_sec",
        "1/s",
        "Requests to read.",
        Gauge("cgroup_io_requests_per_second{direction=\"read\"}", 1.0),
    ),
    field(
        "groups[cgroup].writes_per_sec",
        "1/s",
        "Requests to write.",
        Gauge("cgroup_io_requests_per_second{direction=\"write\"}", 1.0),
    ),
    field(
        "groups[cgroup].io_some_percent",
        "%",
        "Share of the time that some of its tasks were stalled by I/O (pressure).",
        Gauge("cgroup_pressure_stalled_ratio{resource=\"io\",kind=\"some\"}", PERCENT),
    ),
    field(
        "groups[cgroup].io_full_percent",
        "%",
        "The same of all its tasks.",
        Gauge("cgroup_pressure_stalled_ratio{resource=\"io\",kind=\"full\"}", PERCENT),
    ),
    field(
        "groups[cgroup].block_latency.mean_us",
        "µs",
        "Requests to disks, from issue to completion: mean.",
        None,
    ),
    field("groups[cgroup].block_latency.p50_us", "µs", "Median.", None),
    field(
        "groups[cgroup].block_latency.p99_us",
        "µs",
        "Requests to disks, from issue to completion: 99th percentile.",
        Gauge("cgroup_block_latency_p99_seconds", US),
    ),
    field("groups[cgroup].block_latency.max_us", "µs", "Maximum.", None),
    field(
        "groups[cgroup].block_latency.histogram",
        "ns",
        "Requests to disks, from issue to completion: full distribution.",
        None,
    )
    .of_kind(Kind::Histogram),
    field("groups[cgroup].io{device}.read_bytes_per_sec", "bytes/s", "Read from a block device.", None),
    field("groups[cgroup].io{device}.write_bytes_per_sec", "bytes/s", "Written to it.", None),
    field("groups[cgroup].io{device}.reads_per_sec", "1/s", "Requests to read from it.", None),
    field("groups[cgroup].io{device}.writes_per_sec", "1/s", "Requests to write to it.", None),
    field("groups[cgroup].processes", "", "Processes in it, without the groups below.", None),
    field("groups[cgroup].tasks", "", "Tasks: processes and threads.", Gauge("cgroup_tasks", 1.0)),
    field("groups[cgroup].tasks_limit", "", "Limit of tasks; `null` without one.", None),
    field(
        "other.count",
        "",
        "Groups that are not listed: those with the least CPU time and memory.",
        Gauge("cgroups_unlisted", 1.0),
    ),
    field("other.cpu_percent", "%", "Their CPU time, as a share of one CPU.", None),
    field("other.memory_bytes", "bytes", "Their memory.", None),
];
