//! Document `perf_events`: from two readings of each CPU's counters to counts, ratios and their reliability.
//!
//! Events come in groups that the kernel schedules onto the PMU together, so that both halves of a ratio are
//! counted over the same time; `instructions` is opened once per group that needs it. No group has more than
//! three of the PMU's events, which fits the smallest PMUs even when the NMI watchdog holds one of four counters.

use std::collections::BTreeMap;
use std::time::Duration;

use perfwatch_common::counters::{Reading, SLOTS};

pub use self::document::{Derived, Event, PerCpu, PerPmu, PerfEvents};
use crate::snapshot::cpulist::CpuList;
use crate::snapshot::derive::round;

mod document;

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
pub const GROUPS: [&[&str]; 8] = [
    &["cpu-clock", "context-switches", "cpu-migrations", "page-faults"],
    &["cycles", "instructions"],
    &["instructions", "branches", "branch-misses"],
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
    /// Its PMU, as an index into [`Context::pmus`].
    pub pmu: usize,
    /// How long it was not idle; `None` if that is not known accurately enough.
    pub busy: Option<Duration>,
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

/// The events of one kind of core. A machine without a PMU has one kind, too: its software events count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pmu {
    pub name: String,
    /// `None` for slots that count.
    pub absent: [Option<Absent>; SLOTS],
    /// The CPU's own event that a slot counts instead of the generic one.
    pub counted_as: [Option<&'static str>; SLOTS],
}

impl Pmu {
    /// Every slot absent for the same reason.
    pub fn absent(name: &str, why: &Absent) -> Self {
        let absent = std::array::from_fn(|_| Some(why.clone()));
        Self { name: name.to_owned(), absent, counted_as: [None; SLOTS] }
    }
}

/// What is known of the interval besides the counts.
#[derive(Debug)]
pub struct Context<'a> {
    pub cpu_cores: &'a str,
    pub interval: Duration,
    /// Since counting began, as `perf stat -I` prints it.
    pub sample_time: Duration,
    /// Never empty.
    pub pmus: &'a [Pmu],
    /// The NMI watchdog holds one counter of each CPU.
    pub nmi_watchdog: bool,
}

const NEVER_RAN: &str = "not scheduled on the PMU in this interval: too many events share its counters";
const WATCHDOG: &str = ", and the NMI watchdog holds one of them (sudo sysctl kernel.nmi_watchdog=0)";
const NO_READING: &str = "no reading in this interval yet";

/// A slot's count over an interval, and for how much of it the slot counted.
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
    // Never below 1: the two clocks are not read at the same instant.
    let scale = (enabled as f64 / running as f64).max(1.0);
    Some(Count { scaled: raw as f64 * scale, enabled, running })
}

/// Sums a slot over CPUs; `None` if one of them did not count, since a partial sum would be taken for a total.
fn sum(context: &Context<'_>, cpus: &[&CpuInterval], slot: usize) -> Option<Count> {
    if cpus.is_empty() {
        return None;
    }
    cpus.iter().try_fold(Count::default(), |total, cpu| {
        let one = cpu.count(context, slot)?;
        Some(Count {
            scaled: total.scaled + one.scaled,
            enabled: total.enabled.saturating_add(one.enabled),
            running: total.running.saturating_add(one.running),
        })
    })
}

impl CpuInterval {
    fn count(&self, context: &Context<'_>, slot: usize) -> Option<Count> {
        match &context.pmus.get(self.pmu)?.absent[slot] {
            None => count(self.previous[slot], self.current[slot]),
            Some(_) => None,
        }
    }
}

fn ratio(numerator: Option<Count>, denominator: Option<Count>, factor: f64) -> Option<f64> {
    let (n, d) = (numerator?.scaled, denominator?.scaled);
    (d > 0.0).then(|| round(n * factor / d, 4))
}

/// Derives the document. `cpus` holds the CPUs that have a new reading.
pub fn derive(context: &Context<'_>, cpus: &[CpuInterval]) -> PerfEvents {
    let all: Vec<&CpuInterval> = cpus.iter().collect();
    let pmus: Vec<&Pmu> = context.pmus.iter().collect();
    let whole = Part::of(context, &pmus, &all);
    let hybrid = pmus.len() > 1;
    let kinds = pmus.iter().enumerate().filter(|_| hybrid).filter_map(|(index, pmu)| {
        let cpus: Vec<&CpuInterval> = all.iter().copied().filter(|cpu| cpu.pmu == index).collect();
        let list: CpuList = cpus.iter().map(|cpu| cpu.cpu).collect();
        let own = [*pmu];
        let part = Part::of(context, &own, &cpus);
        let kind = PerPmu {
            cpus: list.to_string(),
            events: part.events(),
            counted_as: part.counted_as(),
            derived: part.derived(),
        };
        (!cpus.is_empty()).then(|| (pmu.name.clone(), kind))
    });
    let kinds: BTreeMap<String, PerPmu> = kinds.collect();
    let events = whole.events();
    let any_kind = kinds.values().flat_map(|kind| kind.events.values()).any(|event| event.value.is_some());
    let clock = whole.counts[first_slot_of("cpu-clock")];
    let unsupported =
        |slot: usize| pmus.iter().any(|pmu| matches!(pmu.absent[slot], Some(Absent::Unsupported(_))));
    PerfEvents {
        available: any_kind || events.values().any(|event| event.value.is_some()),
        hardware_available: whole.counts[first_slot_of("cycles")].is_some(),
        cpu_cores: context.cpu_cores.to_owned(),
        interval_ms: u64::try_from(context.interval.as_millis()).unwrap_or(u64::MAX),
        sample_time: round(context.sample_time.as_secs_f64(), 3),
        elapsed_ms: clock.map(|c| round(c.enabled as f64 / cpus.len() as f64 / 1e6, 3)),
        unsupported_events: names_where(unsupported),
        missing_events: names_where(|slot| !unsupported(slot) && whole.counts[slot].is_none()),
        events,
        counted_as: whole.counted_as(),
        derived: whole.derived(),
        pmus: kinds,
        per_cpu: cpus.iter().map(|cpu| per_cpu(cpu, context)).collect(),
    }
}

fn names_where(mut wanted: impl FnMut(usize) -> bool) -> Vec<&'static str> {
    EVENTS.into_iter().filter(|name| wanted(first_slot_of(name))).collect()
}

/// All CPUs, or those of one kind.
struct Part<'a> {
    context: &'a Context<'a>,
    pmus: &'a [&'a Pmu],
    counts: [Option<Count>; SLOTS],
    /// Time not idle, µs, summed over CPUs.
    busy_us: Option<f64>,
    any_reading: bool,
}

impl<'a> Part<'a> {
    fn of(context: &'a Context<'a>, pmus: &'a [&'a Pmu], cpus: &[&CpuInterval]) -> Self {
        let busy = cpus.iter().map(|cpu| cpu.busy).sum::<Option<Duration>>();
        Self {
            context,
            pmus,
            counts: std::array::from_fn(|slot| sum(context, cpus, slot)),
            busy_us: busy.map(|busy| busy.as_secs_f64() * 1e6),
            any_reading: !cpus.is_empty(),
        }
    }

    fn events(&self) -> BTreeMap<&'static str, Event> {
        EVENTS.into_iter().map(|name| (name, self.event(name))).collect()
    }

    fn event(&self, name: &str) -> Event {
        let slot = first_slot_of(name);
        let count = self.counts[slot];
        let (unit, value) = match name {
            "cpu-clock" => ("msec", count.map(|c| round(c.scaled / 1e6, 3))), // the kernel counts nanoseconds
            _ => ("count", count.map(|c| c.scaled.round())),
        };
        let running_ratio = count.map(|c| round((c.running as f64 / c.enabled.max(1) as f64).min(1.0), 4));
        let error = if count.is_some() { None } else { Some(self.reason(slot)) };
        Event { value, unit, running_ratio, error }
    }

    fn counted_as(&self) -> BTreeMap<&'static str, String> {
        let stand_ins = |name: &'static str| {
            let slot = first_slot_of(name);
            let mut stand_ins: Vec<&str> = self.pmus.iter().filter_map(|pmu| pmu.counted_as[slot]).collect();
            stand_ins.dedup();
            (!stand_ins.is_empty()).then(|| (name, stand_ins.join(", ")))
        };
        EVENTS.into_iter().filter_map(stand_ins).collect()
    }

    /// Why a slot has no count.
    fn reason(&self, slot: usize) -> String {
        let absent = self.pmus.iter().find_map(|pmu| Some((*pmu, pmu.absent[slot].as_ref()?)));
        match absent {
            Some((pmu, Absent::Unsupported(why) | Absent::Failed(why))) if self.pmus.len() > 1 => {
                format!("{}: {why}; for what other cores count, see `pmus`", pmu.name)
            }
            Some((_, Absent::Unsupported(why) | Absent::Failed(why))) => why.clone(),
            None if !self.any_reading => NO_READING.to_owned(),
            None if self.context.nmi_watchdog => format!("{NEVER_RAN}{WATCHDOG}"),
            None => NEVER_RAN.to_owned(),
        }
    }

    fn derived(&self) -> Derived {
        let at = |group: usize, event: &str| self.counts[slot_of(group, event)];
        let miss_ratio = |group, misses, accesses| ratio(at(group, misses), at(group, accesses), 1.0);
        let mpki = |group, misses| ratio(at(group, misses), at(group, "instructions"), 1000.0);
        Derived {
            ipc: ratio(at(1, "instructions"), at(1, "cycles"), 1.0),
            branch_miss_ratio: miss_ratio(2, "branch-misses", "branches"),
            l1d_miss_ratio: miss_ratio(3, "L1-dcache-load-misses", "L1-dcache-loads"),
            llc_miss_ratio: miss_ratio(4, "LLC-load-misses", "LLC-loads"),
            dtlb_miss_ratio: miss_ratio(5, "dTLB-load-misses", "dTLB-loads"),
            itlb_miss_ratio: miss_ratio(6, "iTLB-load-misses", "iTLB-loads"),
            branch_mpki: mpki(2, "branch-misses"),
            l1d_mpki: mpki(3, "L1-dcache-load-misses"),
            llc_mpki: mpki(4, "LLC-load-misses"),
            dtlb_mpki: mpki(5, "dTLB-load-misses"),
            itlb_mpki: mpki(6, "iTLB-load-misses"),
            frequency_mhz: frequency(at(1, "cycles"), self.busy_us),
        }
    }
}

fn frequency(cycles: Option<Count>, busy_us: Option<f64>) -> Option<f64> {
    let (cycles, busy_us) = (cycles?.scaled, busy_us?);
    (busy_us > 0.0).then(|| round(cycles / busy_us, 1))
}

fn per_cpu(cpu: &CpuInterval, context: &Context<'_>) -> PerCpu {
    let at = |event| cpu.count(context, slot_of(1, event));
    let (cycles, instructions) = (at("cycles"), at("instructions"));
    PerCpu {
        cpu: cpu.cpu,
        ipc: ratio(instructions, cycles, 1.0),
        cycles: cycles.map(|c| c.scaled.round()),
        instructions: instructions.map(|c| c.scaled.round()),
        frequency_mhz: frequency(cycles, cpu.busy.map(|busy| busy.as_secs_f64() * 1e6)),
    }
}

#[cfg(test)]
mod tests;
