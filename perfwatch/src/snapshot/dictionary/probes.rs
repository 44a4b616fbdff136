//! The fields of the documents built from performance counters and eBPF programs.

use super::Export::{Gauge, Interval, None};
use super::{Export, Field, Kind, field};

const MHZ: f64 = 1e6;
const MS: f64 = 1e-3;
const PERCENT: f64 = 0.01;
const US: f64 = 1e-6;

pub(super) const PERF_EVENTS: &[Field] = &[
    field("available", "", "Whether at least one event is counted.", None).of_kind(Kind::State),
    field("hardware_available", "", "Whether cycles are counted.", Gauge("perf_hardware_available", 1.0))
        .of_kind(Kind::State),
    field("cpu_cores", "", "Monitored CPUs: `all`, or a list.", None).of_kind(Kind::State),
    field("interval_ms", "ms", "Time between two readings, as configured.", None),
    field("sample_time", "s", "Time since counting began.", None),
    field("elapsed_ms", "ms", "Time that the values cover.", None),
    field(
        "events{event!cpu-clock}.value",
        "",
        "Events in the interval, scaled up if they were counted for only part of it.",
        Interval("perf_events_total", 1.0),
    ),
    field(
        "events.cpu-clock.value",
        "ms",
        "CPU time counted in the interval.",
        Interval("perf_cpu_clock_seconds_total", MS),
    ),
    field("events{event}.unit", "", "`msec` for cpu-clock, `count` for all others.", None)
        .of_kind(Kind::State),
    field(
        "events{event}.running_ratio",
        "ratio",
        "Share of the time that the event was on the PMU; below 1, its value is an estimate.",
        Gauge("perf_event_running_ratio", 1.0),
    ),
    field("events{event}.error", "", "Why it is not counted.", None).of_kind(Kind::State),
    field(
        "counted_as{event}",
        "",
        "The CPU's own event that is counted instead, if the kernel has no generic one.",
        None,
    )
    .of_kind(Kind::State),
    field("unsupported_events[#n]", "", "Events that this machine does not offer.", None)
        .of_kind(Kind::State),
    field("missing_events[#n]", "", "Events that are offered but had no value in this interval.", None)
        .of_kind(Kind::State),
    field("derived.ipc", "IPC", "Instructions per cycle.", Gauge("perf_instructions_per_cycle", 1.0)),
    field(
        "derived.branch_miss_ratio",
        "ratio",
        "Share of branches that were mispredicted.",
        Gauge("perf_miss_ratio{of=\"branches\"}", 1.0),
    ),
    field(
        "derived.l1d_miss_ratio",
        "ratio",
        "Share of loads that missed the first-level data cache.",
        Gauge("perf_miss_ratio{of=\"l1d\"}", 1.0),
    ),
    field(
        "derived.llc_miss_ratio",
        "ratio",
        "Share of loads from the last-level cache that missed it.",
        Gauge("perf_miss_ratio{of=\"llc\"}", 1.0),
    ),
    field(
        "derived.dtlb_miss_ratio",
        "ratio",
        "Share of loads that missed the data TLB.",
        Gauge("perf_miss_ratio{of=\"dtlb\"}", 1.0),
    ),
    field(
        "derived.itlb_miss_ratio",
        "ratio",
        "Share of instruction fetches that missed the instruction TLB.",
        Gauge("perf_miss_ratio{of=\"itlb\"}", 1.0),
    ),
    field(
        "derived.branch_mpki",
        "MPKI",
        "Branch misses per thousand instructions.",
        Gauge("perf_misses_per_thousand_instructions{of=\"branches\"}", 1.0),
    ),
    field(
        "derived.l1d_mpki",
        "MPKI",
        "First-level data cache misses, likewise.",
        Gauge("perf_misses_per_thousand_instructions{of=\"l1d\"}", 1.0),
    ),
    field(
        "derived.llc_mpki",
        "MPKI",
        "Last-level cache misses, likewise.",
        Gauge("perf_misses_per_thousand_instructions{of=\"llc\"}", 1.0),
    ),
    field(
        "derived.dtlb_mpki",
        "MPKI",
        "Data TLB misses, likewise.",
        Gauge("perf_misses_per_thousand_instructions{of=\"dtlb\"}", 1.0),
    ),
    field(
        "derived.itlb_mpki",
        "MPKI",
        "Instruction TLB misses, likewise.",
        Gauge("perf_misses_per_thousand_instructions{of=\"itlb\"}", 1.0),
    ),
    field(
        "derived.frequency_mhz",
        "MHz",
        "Mean frequency while busy: cycles per time that CPUs were not idle.",
        Gauge("perf_frequency_hertz", MHZ),
    ),
    field("pmus{pmu}.cpus", "", "CPUs of one kind of core, on hybrid machines.", None).of_kind(Kind::State),
    field("pmus{pmu}.events{event}.value", "", "Its events in the interval, as in `events`.", None)
        .of_kind(Kind::Interval),
    field("pmus{pmu}.events{event}.unit", "", "As in `events`.", None).of_kind(Kind::State),
    field("pmus{pmu}.events{event}.running_ratio", "ratio", "As in `events`.", None),
    field("pmus{pmu}.events{event}.error", "", "Why it is not counted on this kind of core.", None)
        .of_kind(Kind::State),
    field(
        "pmus{pmu}.counted_as{event}",
        "",
        "Its own events that are counted instead of generic ones.",
        None,
    )
    .of_kind(Kind::State),
    field("pmus{pmu}.derived{ratio}", "", "As in `derived`.", None),
    field("per_cpu[cpu].cpu", "", "Each monitored CPU.", None),
    field(
        "per_cpu[cpu].ipc",
        "IPC",
        "Its instructions per cycle.",
        Gauge("perf_core_instructions_per_cycle", 1.0),
    ),
    field("per_cpu[cpu].cycles", "", "Its cycles in the interval.", Interval("perf_core_cycles_total", 1.0)),
    field(
        "per_cpu[cpu].instructions",
        "",
        "Its instructions in the interval.",
        Interval("perf_core_instructions_total", 1.0),
    ),
    field(
        "per_cpu[cpu].frequency_mhz",
        "MHz",
        "Its mean frequency while busy.",
        Gauge("perf_core_frequency_hertz", MHZ),
    ),
];

macro_rules! distribution {
    ($path:literal, $what:literal, $export:expr) => {
        [
            field(concat!($path, ".mean_us"), "µs", concat!($what, ": mean."), None),
            field(concat!($path, ".p50_us"), "µs", "Median.", None),
            field(concat!($path, ".p90_us"), "µs", "90th percentile.", None),
            field(concat!($path, ".p99_us"), "µs", "99th percentile.", None),
            field(concat!($path, ".p999_us"), "µs", "99.9th percentile.", None),
            field(concat!($path, ".max_us"), "µs", "Maximum.", None),
            field(concat!($path, ".histogram"), "ns", concat!($what, ": full distribution."), $export)
                .of_kind(Kind::Histogram),
        ]
    };
}

/// Concatenates lists of fields.
const fn joined<const N: usize>(parts: &[&[Field]]) -> [Field; N] {
    let mut all = [field("", "", "", None); N];
    let (mut part, mut to) = (0, 0);
    while part < parts.len() {
        let mut from = 0;
        while from < parts[part].len() {
            all[to] = parts[part][from];
            from += 1;
            to += 1;
        }
        part += 1;
    }
    assert!(to == N, "the number of fields is wrong");
    all
}

pub(super) const SCHEDULER: &[Field] = &joined::<40>(&[
    &[
        field("elapsed_ms", "ms", "Time that the values cover.", None),
        field(
            "context_switches",
            "",
            "Context switches in the interval.",
            Interval("scheduler_context_switches_total", 1.0),
        ),
        field("context_switches_per_sec", "1/s", "Context switches.", None),
        field(
            "migrations",
            "",
            "Times a task moved to another CPU, in the interval.",
            Interval("scheduler_migrations_total", 1.0),
        ),
        field("migrations_per_sec", "1/s", "The same per second.", None),
        field(
            "runqueue_wait_ms_per_sec",
            "ms/s",
            "Time spent waiting for a CPU, all tasks combined.",
            Gauge("scheduler_runqueue_wait_seconds_per_second", MS),
        ),
        field(
            "runqueue_wait_unknown",
            "",
            "Times a task got a CPU without a known waiting time.",
            Interval("scheduler_runqueue_waits_unknown_total", 1.0),
        ),
    ],
    &distribution!(
        "runqueue_wait",
        "Time from runnable to running",
        Export::Histogram("scheduler_runqueue_wait_seconds")
    ),
    &distribution!("runqueue_wait_woken", "Run queue wait after waking up", None),
    &distribution!("runqueue_wait_preempted", "Run queue wait after being preempted", None),
    &distribution!(
        "off_cpu",
        "Time from blocking to running again",
        Export::Histogram("scheduler_off_cpu_seconds")
    ),
    &[
        field("per_cpu[cpu].cpu", "", "Each CPU.", None),
        field(
            "per_cpu[cpu].context_switches_per_sec",
            "1/s",
            "Its context switches.",
            Gauge("scheduler_core_context_switches_per_second", 1.0),
        ),
        field(
            "per_cpu[cpu].busy_percent",
            "%",
            "Share of the time that it was running tasks.",
            Gauge("scheduler_core_busy_ratio", PERCENT),
        ),
        field("per_cpu[cpu].runqueue_wait_p99_us", "µs", "99th percentile of the run queue wait.", None),
        field(
            "per_cpu[cpu].runqueue_wait_max_us",
            "µs",
            "Maximum run queue wait.",
            Gauge("scheduler_core_runqueue_wait_max_seconds", US),
        ),
    ],
]);

macro_rules! usage {
    ($path:literal) => {
        [
            field(concat!($path, ".cpu_percent"), "%", "CPU time, as a share of one CPU.", None),
            field(concat!($path, ".runqueue_wait_ms_per_sec"), "ms/s", "Time spent waiting for a CPU.", None),
            field(concat!($path, ".context_switches_per_sec"), "1/s", "Context switches.", None),
            field(concat!($path, ".read_bytes_per_sec"), "bytes/s", "Read from storage.", None),
            field(
                concat!($path, ".write_bytes_per_sec"),
                "bytes/s",
                "Written to storage, counted when the page cache is dirtied.",
                None,
            ),
            field(concat!($path, ".cycles"), "", "Cycles in the interval.", None).of_kind(Kind::Interval),
            field(concat!($path, ".instructions"), "", "Instructions in the interval.", None)
                .of_kind(Kind::Interval),
            field(concat!($path, ".ipc"), "IPC", "Instructions per cycle.", None),
            field(
                concat!($path, ".llc_mpki"),
                "MPKI",
                "Last-level cache misses per thousand instructions.",
                None,
            ),
            field(concat!($path, ".branch_mpki"), "MPKI", "Branch misses, likewise.", None),
            field(concat!($path, ".dtlb_mpki"), "MPKI", "Data TLB misses, likewise.", None),
        ]
    };
}

macro_rules! operation {
    ($path:literal, $name:literal) => {
        [
            field(
                concat!($path, ".requests"),
                "",
                concat!("Completed requests to ", $name, ", in the interval."),
                Interval(concat!("block_requests_total{operation=\"", $name, "\"}"), 1.0),
            ),
            field(concat!($path, ".requests_per_sec"), "1/s", "The same per second.", None),
            field(concat!($path, ".bytes_per_sec"), "bytes/s", "Bytes transferred.", None),
            field(
                concat!($path, ".errors"),
                "",
                concat!("Failed requests to ", $name, ", in the interval."),
                Interval(concat!("block_request_errors_total{operation=\"", $name, "\"}"), 1.0),
            ),
            field(
                concat!($path, ".unseen"),
                "",
                "Requests whose issue was not seen; not included in the times from issue.",
                None,
            ),
        ]
    };
}

macro_rules! sizes {
    ($path:literal) => {
        [
            field(concat!($path, ".size.mean_bytes"), "bytes", "Mean size.", None),
            field(concat!($path, ".size.max_bytes"), "bytes", "Maximum size.", None),
            field(concat!($path, ".size.histogram"), "bytes", "Sizes: full distribution.", None)
                .of_kind(Kind::Histogram),
        ]
    };
}

pub(super) const BLOCK_IO: &[Field] = &joined::<98>(&[
    &[field("elapsed_ms", "ms", "Time that the values cover.", None)],
    &distribution!(
        "total",
        "From issue to completion, reads and writes of all disks",
        Export::Histogram("block_request_seconds")
    ),
    &[
        field(
            "devices{device}.in_flight.read",
            "",
            "Reads in flight.",
            Gauge("block_requests_in_flight{operation=\"read\"}", 1.0),
        ),
        field(
            "devices{device}.in_flight.write",
            "",
            "Writes in flight.",
            Gauge("block_requests_in_flight{operation=\"write\"}", 1.0),
        ),
    ],
    &operation!("devices{device}.read", "read"),
    &distribution!(
        "devices{device}.read",
        "From issue to completion",
        Export::Histogram("block_device_request_seconds{operation=\"read\"}")
    ),
    &distribution!("devices{device}.read.from_queue", "From queueing to completion", None),
    &sizes!("devices{device}.read"),
    &operation!("devices{device}.write", "write"),
    &distribution!(
        "devices{device}.write",
        "From issue to completion",
        Export::Histogram("block_device_request_seconds{operation=\"write\"}")
    ),
    &distribution!("devices{device}.write.from_queue", "From queueing to completion", None),
    &sizes!("devices{device}.write"),
    &operation!("devices{device}.flush", "flush"),
    &distribution!(
        "devices{device}.flush",
        "From issue to completion",
        Export::Histogram("block_device_request_seconds{operation=\"flush\"}")
    ),
    &distribution!("devices{device}.flush.from_queue", "From queueing to completion", None),
    &sizes!("devices{device}.flush"),
    &operation!("devices{device}.discard", "discard"),
    &distribution!(
        "devices{device}.discard",
        "From issue to completion",
        Export::Histogram("block_device_request_seconds{operation=\"discard\"}")
    ),
    &distribution!("devices{device}.discard.from_queue", "From queueing to completion", None),
    &sizes!("devices{device}.discard"),
]);

/// A count of one interval, and the same per second.
macro_rules! counted {
    ($name:literal, $help:literal, $export:literal) => {
        [
            field($name, "", $help, Interval($export, 1.0)),
            field(concat!($name, "_per_sec"), "1/s", "The same per second.", None),
        ]
    };
}

pub(super) const TCP: &[Field] = &joined::<30>(&[
    &[field("elapsed_ms", "ms", "Time that the values cover.", None)],
    &counted!("retransmits", "Segments retransmitted, in the interval.", "tcp_retransmitted_segments_total"),
    &[field(
        "retransmit_percent",
        "%",
        "Share of sent segments that were retransmitted.",
        Gauge("tcp_retransmit_ratio", PERCENT),
    )],
    &counted!("resets_sent", "Connections reset by this machine.", "tcp_resets_total{direction=\"sent\"}"),
    &counted!("resets_received", "Connections reset by others.", "tcp_resets_total{direction=\"received\"}"),
    &counted!("connects", "Connections opened from here.", "tcp_connects_total"),
    &counted!("connect_failures", "Failed attempts to open a connection.", "tcp_connect_failures_total"),
    &counted!("accepts", "Connections accepted.", "tcp_accepts_total"),
    &[
        field("segments_received_per_sec", "1/s", "Segments received.", None),
        field("segments_sent_per_sec", "1/s", "Segments sent for the first time.", None),
    ],
    &distribution!(
        "connect_latency",
        "Time from the first packet to the established connection",
        Export::Histogram("tcp_connect_seconds")
    ),
    &distribution!(
        "smoothed_rtt",
        "Smoothed round-trip time, sampled when data is received and when a connection ends",
        Export::Histogram("tcp_smoothed_rtt_seconds")
    ),
]);

/// Processes and cgroups come and go without bound, so their names are not exported to Prometheus.
pub(super) const PROCESSES: &[Field] = &joined::<76>(&[
    &[
        field("elapsed_ms", "ms", "Time that the values cover.", None),
        field("active", "", "Processes that ran in the interval.", Gauge("processes_active", 1.0)),
        field(
            "hidden",
            "",
            "Processes hidden by `hidepid`; `null` if it is not known how many.",
            Gauge("processes_hidden", 1.0),
        ),
        field("forks_per_sec", "1/s", "Processes created.", None),
        field("execs_per_sec", "1/s", "Programs started.", Gauge("execs_per_second", 1.0)),
        field("exits_per_sec", "1/s", "Processes that ended.", Gauge("exits_per_second", 1.0)),
        field(
            "evicted",
            "",
            "Threads that were evicted from the table before it was read; their usage is part of `other`.",
            Interval("processes_evicted_threads_total", 1.0),
        ),
        field(
            "counters_running_ratio",
            "ratio",
            "Share of the time that the counters were on the PMU; multiplexed counts are scaled up.",
            None,
        ),
    ],
    &usage!("total"),
    &[
        field(
            "top[pid].pid",
            "",
            "The processes with the most CPU time, then those with the most storage traffic.",
            None,
        ),
        field("top[pid].comm", "", "Name.", None).of_kind(Kind::State),
        field("top[pid].user", "", "User.", None).of_kind(Kind::State),
        field("top[pid].uid", "", "User ID.", None).of_kind(Kind::State),
        field("top[pid].cgroup", "", "The cgroup of its busiest thread.", None).of_kind(Kind::State),
        field("top[pid].threads", "", "Active threads; all threads if only `/proc` is available.", None),
        field("top[pid].exited", "", "Whether it has exited.", None).of_kind(Kind::State),
        field("top[pid].rss_bytes", "bytes", "Resident memory.", None),
    ],
    &usage!("top[pid]"),
    &[field("other.count", "", "Active processes that are not listed.", None)],
    &usage!("other"),
    &[
        field("cgroups[cgroup].cgroup", "", "The path of a cgroup within its hierarchy.", None)
            .of_kind(Kind::State),
        field("cgroups[cgroup].processes", "", "Active processes in it.", None),
    ],
    &usage!("cgroups[cgroup]"),
    &[field("other_cgroups.count", "", "Active cgroups that are not listed.", None)],
    &usage!("other_cgroups"),
    &[field(
        "events[#n]",
        "",
        "Processes killed by the OOM killer, and cgroups throttled by their CPU quota.",
        None,
    )
    .of_kind(Kind::Events)],
]);
