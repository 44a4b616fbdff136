//! Data about one process, as in the document `processes` and in the list of all processes.
//!
//! Rates are per second; percentages are of one CPU, so a process with two busy threads has 200.

pub mod listing;
pub mod order;

use std::sync::Arc;

use serde::Serialize;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProcessRow {
    pub pid: u32,
    pub comm: String,
    pub user: Option<String>,
    pub uid: u32,
    pub cgroup: Option<String>,
    /// Active threads.
    pub threads: usize,
    pub exited: bool,
    pub rss_bytes: Option<u64>,
    #[serde(flatten)]
    pub rates: Rates,
}

/// What people call a cgroup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CgroupName {
    /// As in the document `cgroups`.
    pub kind: Arc<str>,
    pub name: Arc<str>,
    pub runtime: Option<Arc<str>>,
    pub image: Option<Arc<str>>,
    pub pod: Option<Arc<str>>,
    pub namespace: Option<Arc<str>>,
}

/// Usage of a process, a cgroup or all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Rates {
    pub cpu_percent: Option<f64>,
    pub runqueue_wait_ms_per_sec: Option<f64>,
    pub context_switches_per_sec: Option<f64>,
    /// Storage I/O; writes count when they dirty the page cache.
    pub read_bytes_per_sec: Option<f64>,
    pub write_bytes_per_sec: Option<f64>,
    /// Counts in the interval; `null` if the CPU doesn't count this event.
    pub cycles: Option<u64>,
    pub instructions: Option<u64>,
    pub ipc: Option<f64>,
    pub llc_mpki: Option<f64>,
    pub branch_mpki: Option<f64>,
    pub dtlb_mpki: Option<f64>,
}
