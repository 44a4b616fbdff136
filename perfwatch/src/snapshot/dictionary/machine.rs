//! The fields of the documents about CPUs and memory.

use super::Export::{Counter, Gauge, None};
use super::{Field, Kind, field};

const PERCENT: f64 = 0.01;
const MHZ: f64 = 1e6;
const KIB: f64 = 1024.0;
const US: f64 = 1e-6;

pub(super) const CPU: &[Field] = &[
    field(
        "usage_percent",
        "%",
        "CPU usage: share of the time of all CPUs that was not idle or iowait.",
        Gauge("cpu_usage_ratio", PERCENT),
    ),
    field(
        "per_core[#cpu]",
        "%",
        "Usage of each CPU, by number; `null` if it is offline.",
        Gauge("cpu_core_usage_ratio", PERCENT),
    ),
    field(
        "user",
        "%",
        "Share of time in user mode, including guests.",
        Gauge("cpu_time_ratio{mode=\"user\"}", PERCENT),
    ),
    field("system", "%", "Share of time in the kernel.", Gauge("cpu_time_ratio{mode=\"system\"}", PERCENT)),
    field("idle", "%", "Share of time idle.", Gauge("cpu_time_ratio{mode=\"idle\"}", PERCENT)),
    field(
        "iowait",
        "%",
        "Share of time idle while a task waited for storage.",
        Gauge("cpu_time_ratio{mode=\"iowait\"}", PERCENT),
    ),
    field("irq", "%", "Share of time in interrupts.", Gauge("cpu_time_ratio{mode=\"irq\"}", PERCENT)),
    field(
        "softirq",
        "%",
        "Share of time in soft interrupts.",
        Gauge("cpu_time_ratio{mode=\"softirq\"}", PERCENT),
    ),
    field(
        "nice",
        "%",
        "Share of time in user mode at a lowered priority.",
        Gauge("cpu_time_ratio{mode=\"nice\"}", PERCENT),
    ),
    field(
        "steal",
        "%",
        "Share of time that the hypervisor gave to other machines.",
        Gauge("cpu_time_ratio{mode=\"steal\"}", PERCENT),
    ),
    field("guest", "%", "Share of time in guests; part of user and nice.", Gauge("cpu_guest_ratio", PERCENT)),
    field(
        "load_avg[0]",
        "",
        "Load average over 1 min: tasks running or in uninterruptible sleep.",
        Gauge("load1", 1.0),
    ),
    field("load_avg[1]", "", "Load average over 5 min.", Gauge("load5", 1.0)),
    field("load_avg[2]", "", "Load average over 15 min.", Gauge("load15", 1.0)),
    field(
        "frequency_mhz[#cpu]",
        "MHz",
        "Frequency of each CPU, by number; `null` without cpufreq.",
        Gauge("cpu_frequency_hertz", MHZ),
    ),
    field(
        "temperature",
        "°C",
        "The hottest valid reading of the CPUs' packages and cores.",
        Gauge("cpu_temperature_celsius", 1.0),
    ),
    field(
        "temperature_celsius[#sensor]",
        "°C",
        "Each CPU sensor, always at the same position; `null` if it does not respond or its value is impossible.",
        Gauge("cpu_sensor_temperature_celsius", 1.0),
    ),
    field("core_count", "", "CPUs online.", Gauge("cpus_online", 1.0)),
    field("physical_cores", "", "Physical cores of the online CPUs.", Gauge("cpu_physical_cores", 1.0)),
    field("interrupts", "", "Interrupts since boot.", Counter("interrupts_total", 1.0)),
    field("interrupts_per_sec", "1/s", "Interrupts.", None),
    field(
        "context_switches_per_sec",
        "1/s",
        "Context switches of all CPUs.",
        Gauge("context_switches_per_second", 1.0),
    ),
    field("forks_per_sec", "1/s", "Processes and threads created.", Gauge("forks_per_second", 1.0)),
    field("processes_running", "", "Runnable tasks.", Gauge("tasks_running", 1.0)),
    field("processes_blocked", "", "Tasks blocked on storage.", Gauge("tasks_blocked", 1.0)),
    field(
        "events[#n]",
        "",
        "In the first documents after a start: when the machine and PerfWatch started.",
        None,
    )
    .of_kind(Kind::Events),
];

pub(super) const MEMORY: &[Field] = &[
    field("total_bytes", "bytes", "Memory that the kernel manages.", Gauge("memory_total_bytes", 1.0)),
    field(
        "available_bytes",
        "bytes",
        "Memory available to programs without swapping, as estimated by the kernel; free memory if the estimate exceeds the total.",
        Gauge("memory_available_bytes", 1.0),
    ),
    field("used_bytes", "bytes", "Total − available.", Gauge("memory_used_bytes", 1.0)),
    field("usage_percent", "%", "Used share of the total.", Gauge("memory_usage_ratio", PERCENT)),
    field("free_bytes", "bytes", "Unused memory.", Gauge("memory_free_bytes", 1.0)),
    field("buffers_bytes", "bytes", "Buffers of block devices.", Gauge("memory_buffers_bytes", 1.0)),
    field("cached_bytes", "bytes", "Page cache and reclaimable slabs.", Gauge("memory_cached_bytes", 1.0)),
    field("shared_bytes", "bytes", "Shared memory and tmpfs.", Gauge("memory_shared_bytes", 1.0)),
    field("swap_total_bytes", "bytes", "Swap space; 0 without swap.", Gauge("swap_size_bytes", 1.0)),
    field("swap_used_bytes", "bytes", "Swap space in use.", Gauge("swap_used_bytes", 1.0)),
    field("swap_free_bytes", "bytes", "Swap space not in use.", Gauge("swap_free_bytes", 1.0)),
    field("swap_percent", "%", "Swap in use; 0 without swap.", Gauge("swap_usage_ratio", PERCENT)),
    field("swap_sin_bytes", "bytes", "Read from swap since boot.", Counter("swap_read_bytes_total", 1.0)),
    field(
        "swap_sout_bytes",
        "bytes",
        "Written to swap since boot.",
        Counter("swap_written_bytes_total", 1.0),
    ),
    field("dirty_bytes", "bytes", "Waiting to be written to storage.", Gauge("memory_dirty_bytes", 1.0)),
    field("writeback_bytes", "bytes", "Being written to storage.", Gauge("memory_writeback_bytes", 1.0)),
    field("slab_bytes", "bytes", "Kernel objects (slab).", Gauge("memory_slab_bytes", 1.0)),
    field(
        "hugepages_total",
        "pages",
        "Huge pages in the pool.",
        Gauge("memory_hugepages{state=\"all\"}", 1.0),
    ),
    field(
        "hugepages_free",
        "pages",
        "Huge pages not in use.",
        Gauge("memory_hugepages{state=\"free\"}", 1.0),
    ),
    field(
        "hugepages_reserved",
        "pages",
        "Huge pages reserved and not in use yet.",
        Gauge("memory_hugepages{state=\"reserved\"}", 1.0),
    ),
];

pub(super) const MEMORY_BANDWIDTH: &[Field] = &[
    field("available", "", "Whether the kernel counts paging.", None).of_kind(Kind::State),
    field("pgpgin_per_sec", "KiB/s", "Read from block devices.", Gauge("paged_in_bytes_per_second", KIB)),
    field("pgpgout_per_sec", "KiB/s", "Written to block devices.", Gauge("paged_out_bytes_per_second", KIB)),
    field("pswpin_per_sec", "pages/s", "Read from swap.", Gauge("swap_in_pages_per_second", 1.0)),
    field("pswpout_per_sec", "pages/s", "Written to swap.", Gauge("swap_out_pages_per_second", 1.0)),
    field("page_io_bytes_per_sec", "bytes/s", "Paging in both directions.", None),
    field("swap_io_bytes_per_sec", "bytes/s", "Swapping in both directions.", None),
    field("pgfault_per_sec", "1/s", "Page faults.", Gauge("page_faults_per_second", 1.0)),
    field(
        "pgmajfault_per_sec",
        "1/s",
        "Major page faults, which had to wait for storage.",
        Gauge("major_page_faults_per_second", 1.0),
    ),
    field(
        "pgscan_per_sec",
        "pages/s",
        "Pages scanned by reclaim.",
        Gauge("reclaim_scanned_pages_per_second", 1.0),
    ),
    field("pgsteal_per_sec", "pages/s", "Pages freed by reclaim.", Gauge("reclaimed_pages_per_second", 1.0)),
    field(
        "compact_stall_per_sec",
        "1/s",
        "Stalls of tasks in memory compaction.",
        Gauge("compaction_stalls_per_second", 1.0),
    ),
    field("compact_fail_per_sec", "1/s", "Failed compactions.", Gauge("compaction_failures_per_second", 1.0)),
    field(
        "compact_success_per_sec",
        "1/s",
        "Successful compactions.",
        Gauge("compaction_successes_per_second", 1.0),
    ),
    field(
        "thp_fault_alloc_per_sec",
        "1/s",
        "Transparent huge pages allocated at page faults.",
        Gauge("thp_fault_allocations_per_second", 1.0),
    ),
    field(
        "thp_fault_fallback_per_sec",
        "1/s",
        "Page faults that fell back to small pages.",
        Gauge("thp_fault_fallbacks_per_second", 1.0),
    ),
    field(
        "thp_collapse_alloc_per_sec",
        "1/s",
        "Small pages collapsed into a huge page.",
        Gauge("thp_collapses_per_second", 1.0),
    ),
    field(
        "numa_hit_per_sec",
        "pages/s",
        "Allocated on the intended node.",
        Gauge("numa_hit_pages_per_second", 1.0),
    ),
    field(
        "numa_miss_per_sec",
        "pages/s",
        "Allocated on another node.",
        Gauge("numa_miss_pages_per_second", 1.0),
    ),
    field(
        "numa_pages_migrated_per_sec",
        "pages/s",
        "Migrated to another node.",
        Gauge("numa_migrated_pages_per_second", 1.0),
    ),
    field(
        "oom_kill_per_sec",
        "1/s",
        "Processes killed by the OOM killer.",
        Gauge("oom_kills_per_second", 1.0),
    ),
];

macro_rules! pressure {
    ($resource:literal, $some:literal) => {
        [
            field(
                concat!($resource, ".some.avg10"),
                "%",
                concat!("Share of time in which some task waited for ", $some, ", over 10 s."),
                Gauge(
                    concat!(
                        "pressure_stalled_ratio{resource=\"",
                        $resource,
                        "\",tasks=\"some\",seconds=\"10\"}"
                    ),
                    PERCENT,
                ),
            ),
            field(
                concat!($resource, ".some.avg60"),
                "%",
                "The same over 60 s.",
                Gauge(
                    concat!(
                        "pressure_stalled_ratio{resource=\"",
                        $resource,
                        "\",tasks=\"some\",seconds=\"60\"}"
                    ),
                    PERCENT,
                ),
            ),
            field(
                concat!($resource, ".some.avg300"),
                "%",
                "The same over 300 s.",
                Gauge(
                    concat!(
                        "pressure_stalled_ratio{resource=\"",
                        $resource,
                        "\",tasks=\"some\",seconds=\"300\"}"
                    ),
                    PERCENT,
                ),
            ),
            field(
                concat!($resource, ".some.stalled_us_per_sec"),
                "µs/s",
                "The same over the last interval.",
                Gauge(
                    concat!(
                        "pressure_stalled_seconds_per_second{resource=\"",
                        $resource,
                        "\",tasks=\"some\"}"
                    ),
                    US,
                ),
            ),
            field(
                concat!($resource, ".full.avg10"),
                "%",
                concat!("Share of time in which all tasks waited for ", $some, ", over 10 s."),
                Gauge(
                    concat!(
                        "pressure_stalled_ratio{resource=\"",
                        $resource,
                        "\",tasks=\"full\",seconds=\"10\"}"
                    ),
                    PERCENT,
                ),
            ),
            field(
                concat!($resource, ".full.avg60"),
                "%",
                "The same over 60 s.",
                Gauge(
                    concat!(
                        "pressure_stalled_ratio{resource=\"",
                        $resource,
                        "\",tasks=\"full\",seconds=\"60\"}"
                    ),
                    PERCENT,
                ),
            ),
            field(
                concat!($resource, ".full.avg300"),
                "%",
                "The same over 300 s.",
                Gauge(
                    concat!(
                        "pressure_stalled_ratio{resource=\"",
                        $resource,
                        "\",tasks=\"full\",seconds=\"300\"}"
                    ),
                    PERCENT,
                ),
            ),
            field(
                concat!($resource, ".full.stalled_us_per_sec"),
                "µs/s",
                "The same over the last interval.",
                Gauge(
                    concat!(
                        "pressure_stalled_seconds_per_second{resource=\"",
                        $resource,
                        "\",tasks=\"full\"}"
                    ),
                    US,
                ),
            ),
        ]
    };
}

pub(super) const PRESSURE: &[Field] = {
    const CPU: [Field; 8] = pressure!("cpu", "a CPU");
    const MEMORY: [Field; 8] = pressure!("memory", "memory");
    const IO: [Field; 8] = pressure!("io", "storage");
    const ALL: [Field; 26] = {
        let mut all =
            [field("available", "", "Whether the kernel provides pressure stall information (PSI).", None)
                .of_kind(Kind::State); 26];
        all[1] = field("reason", "", "Why not, or which resources lack it.", None).of_kind(Kind::State);
        let mut at = 0;
        while at < 8 {
            all[2 + at] = CPU[at];
            all[10 + at] = MEMORY[at];
            all[18 + at] = IO[at];
            at += 1;
        }
        all
    };
    &ALL
};
