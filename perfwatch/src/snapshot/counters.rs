//! Document `perf_events`: from two readings of each CPU's counters to counts, ratios and their reliability.
//!
//! Events come in groups that the kernel schedules onto the PMU together, so that both halves of a ratio are
//! counted over the same time; `instructions` is opened once per group that needs it.

use std::collections::BTreeMap;
use std::time::Duration;

use perfwatch_common::counters::{Reading, SLOTS};
use serde::Serialize;

use super::derive::round;

/// Events as `perf` spells them, in the order of the document.
pub const EVENTS: [&str; 17] = [
    "cpu-clock",
    "context-switches",
    "cpu-migrations",
    "page-faults",
    "cycles",
    "instructions",
    "branches",
    "branch-misses",
    "L1-dcache-loads",
    "L1-dcache-load-misses",
    "LLC-loads",
    "LLC-load-misses",
    "L1-icache-loads",
    "dTLB-loads",
    "dTLB-load-misses",
    "iTLB-loads",
    "iTLB-load-misses",
];

/// The event in each slot; slots of one inner list form one group. The first slot of an event is the one
/// its own value is taken from.
pub const GROUPS: [&[&str]; 7] = [
    &["cpu-clock", "context-switches", "cpu-migrations", "page-faults"],
    &["cycles", "instructions", "branches", "branch-misses"],
    &["instructions", "L1-dcache-loads", "L1-dcache-load-misses"],
    &["instructions", "LLC-loads", "LLC-load-misses"],
    &["instructions", "dTLB-loads", "dTLB-load-misses"],
    &["instructions", "iTLB-loads", "iTLB-load-misses"],
    &["L1-icache-loads"],
];

/// Every slot's event with the number of its group, in slot order.
pub fn slots() -> impl Iterator<Item = (usize, &'static str)> {
    GROUPS.iter().enumerate().flat_map(|(group, events)| events.iter().map(move |event| (group, *event)))
}

fn slot_of(group: usize, event: &str) -> usize {
    slots()
        .position(|slot| slot == (group, event))
        .expect("called with constants that stand in GROUPS; a test walks all of them")
}

fn first_slot_of(event: &str) -> usize {
    slots().position(|(_, name)| name == event).expect("every event stands in GROUPS; a test proves it")
}

/// One CPU's counters at two moments.
#[derive(Debug, Clone)]
pub struct CpuInterval {
    pub cpu: u32,
    pub previous: [Reading; SLOTS],
    pub current: [Reading; SLOTS],
}

/// Why a slot counts nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Absent {
    /// The CPU or kernel does not offer the event.
    Unsupported(String),
    /// It should be there, but could not be opened.
    Failed(String),
}

/// What is known of the interval besides the counts.
#[derive(Debug)]
pub struct Context<'a> {
    pub cpu_cores: &'a str,
    pub interval: Duration,
    /// Since counting began, as `perf stat -I` prints it.
    pub sample_time: Duration,
    /// `None` for slots that count.
    pub absent: &'a [Option<Absent>; SLOTS],
}

#[derive(Debug, Serialize, PartialEq)]
pub struct PerfEvents {
    pub available: bool,
    pub hardware_available: bool,
    pub cpu_cores: String,
    pub interval_ms: u64,
    /// Seconds since counting began.
    pub sample_time: f64,
    /// Milliseconds that the values cover, averaged over CPUs.
    pub elapsed_ms: Option<f64>,
    pub events: BTreeMap<&'static str, Event>,
    pub unsupported_events: Vec<&'static str>,
    pub missing_events: Vec<&'static str>,
    pub derived: Derived,
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
}

#[derive(Debug, Serialize, PartialEq)]
pub struct PerCpu {
    pub cpu: u32,
    pub ipc: Option<f64>,
    pub cycles: Option<f64>,
    pub instructions: Option<f64>,
    /// Cycles per time the CPU was not idle; `null` where that time is not known.
    pub frequency_mhz: Option<f64>,
}

const NEVER_RAN: &str = "never got onto the PMU in this interval: too many events share its counters";
const NO_READING: &str = "no reading in this interval yet";

/// A slot's count over an interval, and for how much of it it counted.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Count {
    scaled: f64,
    enabled: u64,
    running: u64,
}

/// The scaled count between two readings; `None` if the event was never on the PMU, or went back.
fn count(previous: Reading, current: Reading) -> Option<Count> {
    let raw = current.counter.checked_sub(previous.counter)?;
    let enabled = current.enabled.checked_sub(previous.enabled)?;
    let running = current.running.checked_sub(previous.running)?;
    if running == 0 {
        return None;
    }
    // Never below 1: the two clocks are read an instant apart.
    let scale = (enabled as f64 / running as f64).max(1.0);
    Some(Count { scaled: raw as f64 * scale, enabled, running })
}

/// Sums a slot over CPUs; `None` if one of them did not count, since a partial sum would pass for a total.
fn sum(cpus: &[CpuInterval], slot: usize) -> Option<Count> {
    if cpus.is_empty() {
        return None;
    }
    cpus.iter().try_fold(Count::default(), |total, cpu| {
        let one = count(cpu.previous[slot], cpu.current[slot])?;
        Some(Count {
            scaled: total.scaled + one.scaled,
            enabled: total.enabled.saturating_add(one.enabled),
            running: total.running.saturating_add(one.running),
        })
    })
}

fn ratio(numerator: Option<Count>, denominator: Option<Count>, factor: f64) -> Option<f64> {
    let (n, d) = (numerator?.scaled, denominator?.scaled);
    (d > 0.0).then(|| round(n * factor / d, 4))
}

/// Derives the document. `cpus` holds the CPUs that have a new reading.
pub fn derive(context: &Context<'_>, cpus: &[CpuInterval]) -> PerfEvents {
    let counts: [Option<Count>; SLOTS] = std::array::from_fn(|slot| match context.absent[slot] {
        None => sum(cpus, slot),
        Some(_) => None,
    });
    let events: BTreeMap<_, _> = EVENTS
        .into_iter()
        .map(|name| {
            let slot = first_slot_of(name);
            (name, event(name, counts[slot], context.absent[slot].as_ref(), !cpus.is_empty()))
        })
        .collect();
    let counted = |slot: usize| counts[slot].is_some();
    let clock = counts[first_slot_of("cpu-clock")];
    PerfEvents {
        available: EVENTS.iter().any(|name| counted(first_slot_of(name))),
        hardware_available: counted(first_slot_of("cycles")),
        cpu_cores: context.cpu_cores.to_owned(),
        interval_ms: u64::try_from(context.interval.as_millis()).unwrap_or(u64::MAX),
        sample_time: round(context.sample_time.as_secs_f64(), 3),
        elapsed_ms: clock.map(|c| round(c.enabled as f64 / cpus.len() as f64 / 1e6, 3)),
        unsupported_events: names_where(|slot| matches!(context.absent[slot], Some(Absent::Unsupported(_)))),
        missing_events: names_where(|slot| {
            !matches!(context.absent[slot], Some(Absent::Unsupported(_))) && counts[slot].is_none()
        }),
        events,
        derived: derived(&counts),
        per_cpu: cpus.iter().map(|cpu| per_cpu(cpu, context)).collect(),
    }
}

fn names_where(mut wanted: impl FnMut(usize) -> bool) -> Vec<&'static str> {
    EVENTS.into_iter().filter(|name| wanted(first_slot_of(name))).collect()
}

fn event(name: &str, count: Option<Count>, absent: Option<&Absent>, any_reading: bool) -> Event {
    let unit = if name == "cpu-clock" { "msec" } else { "count" };
    let value = count.map(|c| match name {
        "cpu-clock" => round(c.scaled / 1e6, 3), // the kernel counts nanoseconds
        _ => c.scaled.round(),
    });
    let error = match (count, absent) {
        (Some(_), _) => None,
        (None, Some(Absent::Unsupported(why) | Absent::Failed(why))) => Some(why.clone()),
        (None, None) => Some(if any_reading { NEVER_RAN } else { NO_READING }.to_owned()),
    };
    let running_ratio = count.map(|c| round((c.running as f64 / c.enabled.max(1) as f64).min(1.0), 4));
    Event { value, unit, running_ratio, error }
}

fn derived(counts: &[Option<Count>; SLOTS]) -> Derived {
    let at = |group: usize, event: &str| counts[slot_of(group, event)];
    let miss_ratio = |group, misses, accesses| ratio(at(group, misses), at(group, accesses), 1.0);
    let mpki = |group, misses| ratio(at(group, misses), at(group, "instructions"), 1000.0);
    Derived {
        ipc: ratio(at(1, "instructions"), at(1, "cycles"), 1.0),
        branch_miss_ratio: miss_ratio(1, "branch-misses", "branches"),
        l1d_miss_ratio: miss_ratio(2, "L1-dcache-load-misses", "L1-dcache-loads"),
        llc_miss_ratio: miss_ratio(3, "LLC-load-misses", "LLC-loads"),
        dtlb_miss_ratio: miss_ratio(4, "dTLB-load-misses", "dTLB-loads"),
        itlb_miss_ratio: miss_ratio(5, "iTLB-load-misses", "iTLB-loads"),
        branch_mpki: mpki(1, "branch-misses"),
        l1d_mpki: mpki(2, "L1-dcache-load-misses"),
        llc_mpki: mpki(3, "LLC-load-misses"),
        dtlb_mpki: mpki(4, "dTLB-load-misses"),
        itlb_mpki: mpki(5, "iTLB-load-misses"),
    }
}

fn per_cpu(cpu: &CpuInterval, context: &Context<'_>) -> PerCpu {
    let at = |event| {
        let slot = slot_of(1, event);
        context.absent[slot].is_none().then(|| count(cpu.previous[slot], cpu.current[slot])).flatten()
    };
    let (cycles, instructions) = (at("cycles"), at("instructions"));
    PerCpu {
        cpu: cpu.cpu,
        ipc: ratio(instructions, cycles, 1.0),
        cycles: cycles.map(|c| c.scaled.round()),
        instructions: instructions.map(|c| c.scaled.round()),
        frequency_mhz: None,
    }
}

#[cfg(test)]
mod tests;
