//! The document's fields.

use std::collections::BTreeMap;

use serde::Serialize;

#[derive(Debug, Serialize, PartialEq)]
pub struct PerfEvents {
    /// At least one event is counted.
    pub available: bool,
    /// Cycles are counted.
    pub hardware_available: bool,
    pub cpu_cores: String,
    pub interval_ms: u64,
    /// Seconds since counting began.
    pub sample_time: f64,
    /// Milliseconds that the values cover, averaged over CPUs.
    pub elapsed_ms: Option<f64>,
    pub events: BTreeMap<&'static str, Event>,
    /// The CPU's own events counted instead of those that the kernel's table lacks.
    pub counted_as: BTreeMap<&'static str, String>,
    pub unsupported_events: Vec<&'static str>,
    pub missing_events: Vec<&'static str>,
    pub derived: Derived,
    /// On hybrid machines the same for each kind of core; empty elsewhere.
    pub pmus: BTreeMap<String, PerPmu>,
    pub per_cpu: Vec<PerCpu>,
}

#[derive(Debug, Serialize, PartialEq)]
pub struct Event {
    pub value: Option<f64>,
    pub unit: &'static str,
    /// Share of the time that the event was on the PMU; below 1 the value is an estimate.
    pub running_ratio: Option<f64>,
    pub error: Option<String>,
}

#[derive(Debug, Default, Serialize, PartialEq)]
pub struct Derived {
    pub ipc: Option<f64>,
    pub branch_miss_ratio: Option<f64>,
    pub l1d_miss_ratio: Option<f64>,
    pub llc_miss_ratio: Option<f64>,
    pub dtlb_miss_ratio: Option<f64>,
    pub itlb_miss_ratio: Option<f64>,
    pub branch_mpki: Option<f64>,
    pub l1d_mpki: Option<f64>,
    pub llc_mpki: Option<f64>,
    pub dtlb_mpki: Option<f64>,
    pub itlb_mpki: Option<f64>,
    /// Cycles per time that the CPUs were not idle.
    pub frequency_mhz: Option<f64>,
}

/// What one kind of a hybrid machine's cores counted.
#[derive(Debug, Serialize, PartialEq)]
pub struct PerPmu {
    /// The CPUs with a reading.
    pub cpus: String,
    pub events: BTreeMap<&'static str, Event>,
    pub counted_as: BTreeMap<&'static str, String>,
    pub derived: Derived,
}

#[derive(Debug, Serialize, PartialEq)]
pub struct PerCpu {
    pub cpu: u32,
    pub ipc: Option<f64>,
    pub cycles: Option<f64>,
    pub instructions: Option<f64>,
    /// Cycles per time the CPU was not idle; `null` if that time is not known accurately enough.
    pub frequency_mhz: Option<f64>,
}
