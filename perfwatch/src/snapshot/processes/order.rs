//! Sort order of the list of processes.

use std::cmp::Ordering;

use super::ProcessRow;

type Compare = fn(&ProcessRow, &ProcessRow) -> Ordering;

/// By one field: texts and PIDs ascending, amounts descending, unknown values last.
#[derive(Debug, Clone, Copy)]
pub struct Order(Compare);

/// The fields by their names in JSON.
const FIELDS: [(&str, Compare); 17] = [
    ("pid", |a, b| a.pid.cmp(&b.pid)),
    ("comm", |a, b| a.comm.cmp(&b.comm)),
    ("user", |a, b| known_first(a.user.as_ref(), b.user.as_ref())),
    ("cgroup", |a, b| known_first(a.cgroup.as_ref(), b.cgroup.as_ref())),
    ("threads", |a, b| b.threads.cmp(&a.threads)),
    ("rss_bytes", |a, b| b.rss_bytes.cmp(&a.rss_bytes)),
    ("cpu_percent", |a, b| largest_first(a.rates.cpu_percent, b.rates.cpu_percent)),
    ("runqueue_wait_ms_per_sec", |a, b| {
        largest_first(a.rates.runqueue_wait_ms_per_sec, b.rates.runqueue_wait_ms_per_sec)
    }),
    ("context_switches_per_sec", |a, b| {
        largest_first(a.rates.context_switches_per_sec, b.rates.context_switches_per_sec)
    }),
    ("read_bytes_per_sec", |a, b| largest_first(a.rates.read_bytes_per_sec, b.rates.read_bytes_per_sec)),
    ("write_bytes_per_sec", |a, b| largest_first(a.rates.write_bytes_per_sec, b.rates.write_bytes_per_sec)),
    ("cycles", |a, b| b.rates.cycles.cmp(&a.rates.cycles)),
    ("instructions", |a, b| b.rates.instructions.cmp(&a.rates.instructions)),
    ("ipc", |a, b| largest_first(a.rates.ipc, b.rates.ipc)),
    ("llc_mpki", |a, b| largest_first(a.rates.llc_mpki, b.rates.llc_mpki)),
    ("branch_mpki", |a, b| largest_first(a.rates.branch_mpki, b.rates.branch_mpki)),
    ("dtlb_mpki", |a, b| largest_first(a.rates.dtlb_mpki, b.rates.dtlb_mpki)),
];

impl Order {
    pub fn by(field: &str) -> Option<Self> {
        FIELDS.iter().find(|(name, _)| *name == field).map(|(_, compare)| Self(*compare))
    }

    pub fn sort(self, rows: &mut [&ProcessRow]) {
        rows.sort_unstable_by(|a, b| (self.0)(a, b).then(a.pid.cmp(&b.pid)));
    }
}

impl Default for Order {
    /// The busiest first.
    fn default() -> Self {
        Self(|a, b| largest_first(a.rates.cpu_percent, b.rates.cpu_percent))
    }
}

fn known_first<T: Ord>(a: Option<T>, b: Option<T>) -> Ordering {
    a.is_none().cmp(&b.is_none()).then_with(|| a.cmp(&b))
}

fn largest_first(a: Option<f64>, b: Option<f64>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => b.total_cmp(&a),
        _ => a.is_none().cmp(&b.is_none()),
    }
}
