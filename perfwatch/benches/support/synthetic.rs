//! A synthetic machine: snapshots of every type, with a daily rhythm, spikes and gaps.
//!
//! Deterministic: the same seed and times give the same readings. They have exactly the dictionary's fields that such a
//! machine would have.

#[path = "synthetic/json.rs"]
mod json;
#[path = "synthetic/probes.rs"]
mod probes;

use perfwatch::snapshot::histogram::{Histogram, Unit};
use perfwatch::snapshot::latency::{Latency, Statistic};
use perfwatch::snapshot::{MetricType, Reading, Snapshot};
use serde_json::Value;
use time::{Duration, OffsetDateTime};

use json::Json;

const EVENTS: [(&str, &str); 17] = [
    ("L1-dcache-load-misses", "count"),
    ("L1-dcache-loads", "count"),
    ("L1-icache-loads", "count"),
    ("LLC-load-misses", "count"),
    ("LLC-loads", "count"),
    ("branch-misses", "count"),
    ("branches", "count"),
    ("context-switches", "count"),
    ("cpu-clock", "msec"),
    ("cpu-migrations", "count"),
    ("cycles", "count"),
    ("dTLB-load-misses", "count"),
    ("dTLB-loads", "count"),
    ("iTLB-load-misses", "count"),
    ("iTLB-loads", "count"),
    ("instructions", "count"),
    ("page-faults", "count"),
];
const DERIVED: [&str; 12] = [
    "branch_miss_ratio",
    "branch_mpki",
    "dtlb_miss_ratio",
    "dtlb_mpki",
    "frequency_mhz",
    "ipc",
    "itlb_miss_ratio",
    "itlb_mpki",
    "l1d_miss_ratio",
    "l1d_mpki",
    "llc_miss_ratio",
    "llc_mpki",
];
const PROCESSES: [&str; 30] = [
    "postgres",
    "nginx",
    "node",
    "rustc",
    "sshd",
    "systemd-journal",
    "redis-server",
    "java",
    "kubelet",
    "dockerd",
    "python3",
    "fio",
    "prometheus",
    "grafana",
    "cron",
    "containerd",
    "etcd",
    "rsyslogd",
    "php-fpm",
    "mysqld",
    "haproxy",
    "memcached",
    "ruby",
    "cargo",
    "make",
    "gcc",
    "ld",
    "tar",
    "rsync",
    "gzip",
];

pub struct Machine {
    cpus: usize,
    noise: u64,
    /// Counters, which only grow.
    grown: [f64; 16],
    /// The last one in which all processes were reported.
    minute: i64,
}

impl Machine {
    pub fn new(cpus: usize) -> Self {
        Self { cpus, noise: 0x9e37_79b9_7f4a_7c15, grown: [1.0e6; 16], minute: 0 }
    }

    /// `None` if this machine was off: twenty minutes about every third day.
    pub fn snapshot(&mut self, at: OffsetDateTime) -> Option<Snapshot> {
        let seconds = at.unix_timestamp();
        if hash(seconds.div_euclid(1200)).is_multiple_of(216) {
            return None;
        }
        let day = seconds.rem_euclid(86_400) as f64 / 86_400.0;
        let weekend = seconds.div_euclid(86_400).rem_euclid(7) < 2;
        let rhythm = 0.5 - 0.5 * (day * std::f64::consts::TAU).cos();
        let spike = if hash(seconds.div_euclid(30)).is_multiple_of(700) { 0.6 } else { 0.0 };
        let load =
            (0.05 + rhythm * if weekend { 0.1 } else { 0.45 } + spike + self.jitter(0.05)).clamp(0.01, 1.0);
        let reading = |metric_type| {
            let mut out = Json::default();
            self.fill(metric_type, load, seconds, &mut out);
            Reading::new(metric_type, at, &out.finish()).expect("an object is a document")
        };
        // Machines measure no presence; hubs hear it.
        let measured = MetricType::ALL.into_iter().filter(|of| *of != MetricType::Presence);
        Some(Snapshot::new(at, measured.map(reading).collect()))
    }

    fn fill(&mut self, metric_type: MetricType, load: f64, seconds: i64, out: &mut Json) {
        match metric_type {
            MetricType::Cpu => self.cpu(load, out),
            MetricType::Memory => self.memory(load, out),
            MetricType::Network => self.network(load, out),
            MetricType::Disk => self.disk(load, out),
            MetricType::MemoryBandwidth => self.memory_bandwidth(load, out),
            MetricType::PerfEvents => self.perf_events(load, out),
            MetricType::Scheduler => self.scheduler(load, out),
            MetricType::BlockIo => self.block_io(load, out),
            MetricType::Tcp => self.tcp(load, out),
            MetricType::Processes => self.processes(load, seconds, out),
            MetricType::Pressure => self.pressure(load, out),
            MetricType::Cgroups => self.cgroups(load, out),
            MetricType::Usage => self.accounts(load, seconds, out),
            MetricType::Profile => self.profile(load, out),
            MetricType::Agent => agent(out),
            MetricType::Presence => {}
        }
    }

    fn profile(&mut self, load: f64, out: &mut Json) {
        let samples = (load * 19.0 * self.cpus as f64).round();
        out.whole("frequency_hz", 19.0);
        out.text("trigger", "cpu_clock");
        for name in ["samples", "user_stacks", "complete_stacks"] {
            out.whole(name, samples);
        }
        out.whole("lost_samples", 0.0);
    }

    fn cpu(&mut self, load: f64, out: &mut Json) {
        let busy = load * 100.0;
        out.rate("usage_percent", busy);
        let cores: Vec<f64> = (0..self.cpus).map(|_| (busy + self.jitter(15.0)).clamp(0.0, 100.0)).collect();
        out.rates("per_core", &cores);
        for (name, part) in
            [("user", 0.6), ("system", 0.25), ("irq", 0.01), ("softirq", 0.04), ("nice", 0.02)]
        {
            out.rate(name, busy * part + self.jitter(0.2).abs());
        }
        out.rate("idle", 100.0 - busy);
        for name in ["iowait", "steal", "guest"] {
            out.rate(name, self.jitter(0.5).max(0.0));
        }
        let frequency: Vec<f64> = cores.iter().map(|busy| 800.0 + 27.0 * busy.floor()).collect();
        out.rates("load_avg", &[load * 8.0, load * 7.5, load * 7.0]);
        out.rates("frequency_mhz", &frequency);
        out.rate("temperature", (40.0 + load * 45.0).floor());
        out.rates("temperature_celsius", &[40.0 + (load * 45.0).floor(), 38.0 + (load * 40.0).floor()]);
        out.whole("core_count", self.cpus as f64);
        out.whole("physical_cores", self.cpus as f64 / 2.0);
        out.whole("interrupts", self.grow(0, load * 40_000.0));
        for name in ["interrupts_per_sec", "context_switches_per_sec", "forks_per_sec"] {
            out.rate(name, load * 9000.0 + self.jitter(500.0).abs());
        }
        out.whole("processes_running", (load * 8.0).ceil());
        out.whole("processes_blocked", 0.0);
        out.put("events", Value::Array(Vec::new()));
    }

    fn memory(&mut self, load: f64, out: &mut Json) {
        let total = 64.0 * 1024.0 * 1024.0 * 1024.0;
        let used = self.pages(total * (0.3 + load * 0.3));
        out.whole("total_bytes", total);
        out.whole("available_bytes", total - used);
        out.whole("used_bytes", used);
        out.rate("usage_percent", used / total * 100.0);
        for (name, part) in [
            ("free", 0.2),
            ("buffers", 0.01),
            ("cached", 0.3),
            ("shared", 0.02),
            ("dirty", 0.001),
            ("slab", 0.03),
        ] {
            let bytes = self.pages(total * part * (1.0 - load * 0.2));
            out.whole(&format!("{name}_bytes"), bytes);
        }
        out.whole("swap_total_bytes", 8.0e9);
        out.whole("swap_used_bytes", 4096.0 * 77.0);
        out.whole("swap_free_bytes", 8.0e9 - 4096.0 * 77.0);
        for name in ["swap_percent", "swap_sin_bytes", "swap_sout_bytes", "writeback_bytes"] {
            out.whole(name, 0.0);
        }
        for name in ["hugepages_total", "hugepages_free", "hugepages_reserved"] {
            out.whole(name, 0.0);
        }
    }

    fn network(&mut self, load: f64, out: &mut Json) {
        let sent = load * 3.0e6 + self.jitter(2.0e5).abs();
        out.rate("bytes_sent_per_sec", sent);
        out.rate("bytes_recv_per_sec", sent * 0.4);
        let totals: Vec<f64> = (1..5).map(|i| self.grow(i, sent * 5.0 / i as f64)).collect();
        let names = ["total_bytes_sent", "total_bytes_recv", "packets_sent", "packets_recv"];
        names.iter().zip(&totals).for_each(|(name, total)| out.whole(name, *total));
        for name in ["errors_in", "errors_out", "drops_in", "drops_out"] {
            out.whole(name, 0.0);
        }
        out.list("interfaces", ["lo", "eth0"].len(), |out, i| {
            out.text("name", ["lo", "eth0"][i]);
            out.text("state", "up");
            out.whole("speed_mbps", 1000.0);
            names.iter().zip(&totals).for_each(|(n, t)| out.whole(n.trim_start_matches("total_"), *t));
            for name in ["errors_in", "errors_out", "drops_in", "drops_out"] {
                out.whole(name, 0.0);
            }
            for name in
                ["bytes_sent_per_sec", "bytes_recv_per_sec", "packets_sent_per_sec", "packets_recv_per_sec"]
            {
                out.rate(name, sent / (i + 1) as f64);
            }
            for name in ["errors_in", "errors_out", "drops_in", "drops_out"] {
                out.rate(&format!("{name}_per_sec"), 0.0);
            }
        });
        out.whole("connection_count", (40.0 + load * 300.0).floor());
        out.object("connections", |out| {
            for name in ["established", "time_wait", "close_wait", "listen", "udp"] {
                out.whole(name, (load * 60.0).floor());
            }
        });
        out.rate("tcp_retransmits_per_sec", load * 0.4);
    }

    fn disk(&mut self, load: f64, out: &mut Json) {
        out.list("partitions", 2, |out, i| {
            out.text("device", ["/dev/nvme0n1p2", "/dev/nvme1n1p1"][i]);
            out.text("mountpoint", ["/", "/srv"][i]);
            out.text("fstype", "ext4");
            out.whole("total_bytes", 512.0e9);
            out.whole("used_bytes", 200.0e9);
            out.whole("free_bytes", 312.0e9);
            out.rate("usage_percent", 39.06);
        });
        let rate = load * 2.0e7;
        let totals: Vec<f64> = (5..11).map(|i| self.grow(i, rate / (i * i) as f64)).collect();
        let jitter = self.jitter(0.2).abs();
        out.object("io", |out| {
            out.rate("read_bytes_per_sec", rate * 0.3);
            out.rate("write_bytes_per_sec", rate);
            let names =
                ["read_bytes", "write_bytes", "read_count", "write_count", "read_time_ms", "write_time_ms"];
            names.iter().zip(&totals).for_each(|(name, total)| out.whole(name, *total));
        });
        out.object("devices", |out| {
            for (i, device) in ["nvme0n1", "nvme1n1"].into_iter().enumerate() {
                out.object(device, |out| {
                    for name in ["read_bytes_per_sec", "write_bytes_per_sec", "read_iops", "write_iops"] {
                        out.rate(name, rate / (1 + i * 7) as f64);
                    }
                    for name in ["read_latency_ms", "write_latency_ms", "utilization_percent", "queue_depth"]
                    {
                        out.rate(name, load * 3.0 + jitter);
                    }
                });
            }
        });
    }

    fn memory_bandwidth(&mut self, load: f64, out: &mut Json) {
        out.flag("available", true);
        for name in [
            "pgpgin_per_sec",
            "pgpgout_per_sec",
            "page_io_bytes_per_sec",
            "pgfault_per_sec",
            "numa_hit_per_sec",
        ] {
            out.rate(name, load * 30_000.0 + self.jitter(900.0).abs());
        }
        for name in [
            "pswpin_per_sec",
            "pswpout_per_sec",
            "swap_io_bytes_per_sec",
            "pgmajfault_per_sec",
            "pgscan_per_sec",
            "pgsteal_per_sec",
            "compact_stall_per_sec",
            "compact_fail_per_sec",
            "compact_success_per_sec",
            "thp_fault_alloc_per_sec",
            "thp_fault_fallback_per_sec",
            "thp_collapse_alloc_per_sec",
            "numa_miss_per_sec",
            "numa_pages_migrated_per_sec",
            "oom_kill_per_sec",
        ] {
            out.rate(name, 0.0);
        }
    }

    fn times(&mut self, load: f64, centre: u16, samples: f64) -> Histogram {
        self.histogram(Unit::Nanoseconds, load, centre, samples)
    }

    /// A log16 histogram around bucket `centre`.
    fn histogram(&mut self, unit: Unit, load: f64, centre: u16, samples: f64) -> Histogram {
        let shift = (load * 24.0) as u16;
        let buckets: Vec<(u16, u64)> = (0..32u16)
            .map(|i| {
                let away = (f64::from(i) - 12.0) / 7.0;
                let count = samples * (0.2 + load) * (-away * away).exp() + self.jitter(2.0).abs();
                (centre + shift + i, count as u64)
            })
            .collect();
        // The smallest value in a bucket.
        let low = |index: u16| u64::from(16 + index % 16) << (index / 16 - 1);
        let within = self.jitter(0.03).abs();
        let sum: u64 = buckets.iter().map(|(index, count)| low(*index) * count).sum();
        let max = buckets.iter().rev().find(|(_, count)| *count > 0).map_or(0, |(index, _)| low(*index));
        let inside = |value: u64| (value as f64 * (1.0 + within)) as u64;
        Histogram::from_counts(unit, buckets, inside(sum), inside(max))
    }

    fn grow(&mut self, i: usize, by: f64) -> f64 {
        self.grown[i] = (self.grown[i] + by.abs()).floor();
        self.grown[i]
    }

    /// Memory changes by whole pages.
    fn pages(&mut self, bytes: f64) -> f64 {
        ((bytes + self.jitter(5.0e7)) / 4096.0).floor() * 4096.0
    }

    /// Between `-size` and `size`.
    fn jitter(&mut self, size: f64) -> f64 {
        self.noise ^= self.noise << 13;
        self.noise ^= self.noise >> 7;
        self.noise ^= self.noise << 17;
        ((self.noise >> 11) as f64 / (1u64 << 52) as f64 - 1.0) * size
    }
}

/// A latency with the quantiles that documents have.
fn latency(histogram: Histogram) -> Value {
    serde_json::to_value(Latency::of(histogram)).unwrap_or_default()
}

/// All ticks of a span that ends before `end`.
pub fn ticks(
    end: OffsetDateTime,
    span: Duration,
    interval: Duration,
) -> impl Iterator<Item = OffsetDateTime> {
    let step = interval.whole_seconds().max(1);
    let last = end.unix_timestamp().div_euclid(step);
    let first = last - span.whole_seconds() / step;
    (first..last).filter_map(move |n| OffsetDateTime::from_unix_timestamp(n * step).ok())
}

fn agent(out: &mut Json) {
    out.whole("failing", 0.0);
    let parts = ["database", "spool", "history", "source cpu", "source disk", "source processes"];
    let parts = parts.map(|part| serde_json::json!({"part": part, "failing": 0}));
    out.put("parts", Value::Array(parts.to_vec()));
}

fn hash(n: i64) -> u64 {
    let mut x = n.cast_unsigned().wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
