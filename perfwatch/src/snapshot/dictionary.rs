//! Every field of every document: what it measures, its unit, and its Prometheus name.
//!
//! docs/metrics.md and `/metrics` are generated from this; a test compares it with the documents that are sent.

mod agent;
mod cgroups;
mod devices;
mod machine;
mod path;
mod presence;
mod probes;
mod profile;
mod usage;

use super::MetricType;

pub use path::{Path, Place, Step};

/// A field, or all fields with one name in a list or map.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its path in the document, in the notation of [`Path`].
    pub path: &'static str,
    /// Empty for texts and counts; the web page formats values by it.
    pub unit: &'static str,
    pub help: &'static str,
    pub kind: Kind,
    pub export: Export,
}

/// What a field's values are, and how they are aggregated over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A current value or one of the last interval: longer periods have average, min and max.
    Gauge,
    /// A count that only grows, until its source restarts.
    Counter,
    /// A count of one interval.
    Interval,
    /// A histogram; intervals are merged.
    Histogram,
    /// A text or boolean that stays for a while: longer periods have the time spent in each.
    State,
    /// Text that the dictionary does not describe.
    Text,
    /// A list of events: longer periods have all of them.
    Events,
    /// Whether an object, list or map is present.
    Gate,
}

/// How a field is exported to Prometheus. Names omit `perfwatch_` and may have a constant label
/// (`cpu_time_ratio{mode="user"}`); values are multiplied by the scale, which converts them to base units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Export {
    /// Texts, duplicates of other fields, and fields with too many labels.
    None,
    /// A current value, or one of the last interval.
    Gauge(&'static str, f64),
    /// A count since boot, kept by the kernel.
    Counter(&'static str, f64),
    /// A count of one interval: intervals are added up.
    Interval(&'static str, f64),
    /// A histogram of one interval: intervals are merged.
    Histogram(&'static str),
}

impl Export {
    /// The name with its constant label, if it is exported.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Gauge(name, _)
            | Self::Counter(name, _)
            | Self::Interval(name, _)
            | Self::Histogram(name) => Some(name),
        }
    }
}

/// The fields of a document, except `_timestamp` and `_error`, which every document has.
pub const fn fields(metric_type: MetricType) -> &'static [Field] {
    match metric_type {
        MetricType::Cpu => machine::CPU,
        MetricType::Memory => machine::MEMORY,
        MetricType::Network => devices::NETWORK,
        MetricType::Disk => devices::DISK,
        MetricType::MemoryBandwidth => machine::MEMORY_BANDWIDTH,
        MetricType::Pressure => machine::PRESSURE,
        MetricType::Cgroups => cgroups::CGROUPS,
        MetricType::PerfEvents => probes::PERF_EVENTS,
        MetricType::Scheduler => probes::SCHEDULER,
        MetricType::Processes => probes::PROCESSES,
        MetricType::BlockIo => probes::BLOCK_IO,
        MetricType::Tcp => probes::TCP,
        MetricType::Usage => usage::USAGE,
        MetricType::Profile => profile::PROFILE,
        MetricType::Agent => agent::AGENT,
        MetricType::Presence => presence::PRESENCE,
    }
}

/// Where a document's numbers come from.
pub const fn source(metric_type: MetricType) -> &'static str {
    match metric_type {
        MetricType::Cpu => "`/proc/stat`, `/proc/loadavg`, cpufreq, and hwmon or thermal zones",
        MetricType::Memory => "`/proc/meminfo`, and swapped pages from `/proc/vmstat`",
        MetricType::Network => {
            "`/proc/net/dev`, `/sys/class/net`, and sockets from sockstat, snmp and sock_diag; totals are of the \
             traffic to and from the outside, each packet once"
        }
        MetricType::Disk => "`/proc/diskstats`, mountinfo and statvfs",
        MetricType::MemoryBandwidth => "`/proc/vmstat`",
        MetricType::Pressure => "`/proc/pressure` (PSI)",
        MetricType::Cgroups => {
            "the cgroups' files, eBPF at context switches, and the files of container runtimes; every group \
             includes those below it, of disks without the devices stacked on them"
        }
        MetricType::PerfEvents => {
            "`perf_event_open`, read inside an eBPF program if permitted, otherwise by group reads"
        }
        MetricType::Scheduler => "eBPF at context switches and wakeups",
        MetricType::BlockIo => "eBPF at the issue and completion of block requests",
        MetricType::Tcp => "eBPF at TCP's tracepoints, and `/proc/net/snmp`",
        MetricType::Processes => {
            "eBPF at context switches, and `/proc/[pid]`; without eBPF, `/proc/[pid]` only"
        }
        MetricType::Agent => "PerfWatch itself; not sent to live clients",
        MetricType::Presence => {
            "what a hub hears of each host; only for rules of hubs, neither stored nor sent to live clients"
        }
        MetricType::Usage => {
            "the same as `processes`, added up for each process; only stored, not sent to live clients"
        }
        MetricType::Profile => "eBPF on a perf event of each CPU; not sent to live clients",
    }
}

/// Help texts of families with several fields; a family of one uses its field's description.
pub const FAMILIES: &[(&str, &str)] = &[
    ("cpu_time_ratio", "Share of the time of all CPUs in each mode; user includes guest."),
    ("disk_transferred_bytes_total", "Transferred by whole disks since boot."),
    ("disk_requests_total", "Requests completed by whole disks since boot."),
    (
        "disk_request_seconds_total",
        "Time of requests of whole disks since boot, from queueing to completion.",
    ),
    ("device_transferred_bytes_per_second", "Transferred by a disk, or a device stacked on disks."),
    ("device_requests_per_second", "Requests completed by a disk, or a device stacked on disks."),
    ("device_request_seconds", "Mean time of the requests that completed in the last interval."),
    ("network_bytes_total", "Traffic to and from the outside, each packet once."),
    ("network_packets_total", "Traffic to and from the outside, each packet once."),
    ("network_errors_total", "Errors on the interfaces that lead outside."),
    ("network_drops_total", "Packets dropped by the interfaces that lead outside."),
    ("interface_bytes_total", "Traffic of an interface since it was created."),
    ("interface_packets_total", "Traffic of an interface since it was created."),
    ("interface_errors_total", "Errors of an interface since it was created."),
    ("interface_drops_total", "Packets dropped by an interface since it was created."),
    ("sockets", "Sockets by state; UDP sockets have none."),
    ("memory_hugepages", "Huge pages by state."),
    (
        "pressure_stalled_ratio",
        "Share of the time that some, or all (full), tasks were stalled, over 10, 60 and 300 s.",
    ),
    (
        "pressure_stalled_seconds_per_second",
        "Time that some, or all (full), tasks were stalled, per second of the last interval.",
    ),
    (
        "cgroup_pressure_stalled_ratio",
        "Share of the time that some, or all (full), tasks of a cgroup were stalled.",
    ),
    ("cgroup_memory_events_total", "Events of the memory limits of a cgroup."),
    ("cgroup_io_bytes_per_second", "Read and written by a cgroup."),
    ("cgroup_io_requests_per_second", "Requests of a cgroup."),
    ("block_requests_total", "Completed requests of a disk."),
    ("block_request_errors_total", "Requests of a disk that failed."),
    ("block_requests_in_flight", "Requests of a disk in flight."),
    ("block_device_request_seconds", "From issue of a request to its completion."),
    ("tcp_resets_total", "Connections that were reset."),
    ("perf_miss_ratio", "Misses per access, of the last interval."),
    (
        "perf_misses_per_thousand_instructions",
        "Misses per thousand instructions (MPKI), of the last interval.",
    ),
];

const fn field(path: &'static str, unit: &'static str, help: &'static str, export: Export) -> Field {
    let kind = match export {
        Export::Counter(..) => Kind::Counter,
        Export::Interval(..) => Kind::Interval,
        Export::Histogram(..) => Kind::Histogram,
        Export::None | Export::Gauge(..) => Kind::Gauge,
    };
    Field { path, unit, help, kind, export }
}

impl Field {
    /// The same field, with a kind that can't be derived from its export.
    const fn of_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }
}

#[cfg(test)]
mod tests;
