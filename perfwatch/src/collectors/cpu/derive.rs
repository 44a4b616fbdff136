//! From two samples of `/proc/stat` to shares of time and rates.

use serde::Serialize;
use time::OffsetDateTime;

use crate::collectors::rates::Rates;
use crate::kernel_files::stat::{Stat, Times};
use crate::snapshot::derive::{percent, round};
use crate::snapshot::rfc3339;

/// Percentages are shares of the time of all CPUs, 0 to 100; `user` includes `guest`.
#[derive(Debug, Serialize, PartialEq)]
pub(super) struct Body {
    usage_percent: Option<f64>,
    /// By CPU number; `null` for one that is offline or has just come online.
    per_core: Vec<Option<f64>>,
    user: Option<f64>,
    system: Option<f64>,
    idle: Option<f64>,
    iowait: Option<f64>,
    irq: Option<f64>,
    softirq: Option<f64>,
    nice: Option<f64>,
    steal: Option<f64>,
    guest: Option<f64>,
    load_avg: Option<[f64; 3]>,
    frequency_mhz: Option<Vec<Option<f64>>>,
    /// The hottest sensor that responds.
    temperature: Option<f64>,
    temperature_celsius: Option<Vec<Option<f64>>>,
    core_count: usize,
    physical_cores: Option<usize>,
    interrupts: Option<u64>,
    interrupts_per_sec: Option<f64>,
    context_switches_per_sec: Option<f64>,
    forks_per_sec: Option<f64>,
    processes_running: Option<u64>,
    processes_blocked: Option<u64>,
    events: Vec<Event>,
}

/// For charts to mark.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Event {
    /// The machine itself, from `/proc/stat`.
    MachineStarted { timestamp: String },
    /// This program.
    PerfwatchStarted { timestamp: String },
}

impl Event {
    pub(super) fn of_start(raw: &Stat, timestamp: &str) -> Vec<Self> {
        let booted = raw.booted.and_then(|seconds| i64::try_from(seconds).ok());
        let booted = booted.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
        let machine = booted.map(|moment| Self::MachineStarted { timestamp: rfc3339(moment) });
        let here = Self::PerfwatchStarted { timestamp: timestamp.to_owned() };
        machine.into_iter().chain([here]).collect()
    }
}

/// What the document reports besides `/proc/stat`.
#[derive(Debug, Default)]
pub(super) struct Context {
    pub(super) events: Vec<Event>,
    pub(super) load_avg: Option<[f64; 3]>,
    /// By CPU number.
    pub(super) frequency_mhz: Option<Vec<Option<f64>>>,
    /// Every sensor of the CPU packages and cores; `None` for one that does not respond.
    pub(super) temperature_celsius: Option<Vec<Option<f64>>>,
    pub(super) physical_cores: Option<usize>,
}

/// Shares of the time between two samples, in percent.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct Shares {
    usage: Option<f64>,
    user: Option<f64>,
    nice: Option<f64>,
    system: Option<f64>,
    idle: Option<f64>,
    iowait: Option<f64>,
    irq: Option<f64>,
    softirq: Option<f64>,
    steal: Option<f64>,
    guest: Option<f64>,
}

/// A larger time than this between two samples means that the counter went below zero: stolen time as accounted by a
/// hypervisor has done so after a migration.
const MAX_TICKS: u64 = 1 << 48;

impl Shares {
    /// The kernel lets idle, iowait and steal go back a little (proc(5); remote accounting of idle CPUs, live
    /// migration): such a share is unknown for the tick and adds nothing to the total. Any other time that goes
    /// back means that the counters restarted, and nothing is known.
    fn between(previous: &Times, current: &Times) -> Option<Self> {
        let delta = |field: fn(&Times) -> u64| {
            field(current).checked_sub(field(previous)).filter(|ticks| *ticks < MAX_TICKS)
        };
        let user = delta(|t| t.user)?;
        let nice = delta(|t| t.nice)?;
        let system = delta(|t| t.system)?;
        let irq = delta(|t| t.irq)?;
        let softirq = delta(|t| t.softirq)?;
        let (idle, iowait, steal) = (delta(|t| t.idle), delta(|t| t.iowait), delta(|t| t.steal));
        let guest = delta(|t| t.guest.saturating_add(t.guest_nice));
        let sum = |times: &[u64]| times.iter().fold(0u64, |a, b| a.saturating_add(*b));
        let busy = sum(&[user, nice, system, irq, softirq, steal.unwrap_or(0)]);
        let whole = sum(&[busy, idle.unwrap_or(0), iowait.unwrap_or(0)]);
        let share = |part: Option<u64>| percent(part?, whole).map(|p| round(p.min(100.0), 2));
        Some(Self {
            usage: share(Some(busy)),
            user: share(Some(user)),
            nice: share(Some(nice)),
            system: share(Some(system)),
            idle: share(idle),
            iowait: share(iowait),
            irq: share(Some(irq)),
            softirq: share(Some(softirq)),
            steal: share(steal),
            guest: share(guest),
        })
    }
}

pub(super) fn derive(context: Context, previous: Option<(&Stat, Rates)>, current: &Stat) -> Body {
    let raw = previous.map(|(raw, _)| raw);
    let shares = raw.and_then(|raw| Shares::between(&raw.total, &current.total)).unwrap_or_default();
    let rate = |counter: fn(&Stat) -> Option<u64>| {
        previous.and_then(|(raw, rates)| rates.of_optional(counter(raw), counter(current)))
    };
    let hottest = context.temperature_celsius.iter().flatten().flatten().copied().reduce(f64::max);
    Body {
        usage_percent: shares.usage,
        per_core: by_cpu(current.cpus.iter().map(|(cpu, times)| {
            let shares = raw.and_then(|raw| raw.cpu(*cpu)).and_then(|before| Shares::between(before, times));
            (*cpu, shares.and_then(|shares| shares.usage))
        })),
        user: shares.user,
        system: shares.system,
        idle: shares.idle,
        iowait: shares.iowait,
        irq: shares.irq,
        softirq: shares.softirq,
        nice: shares.nice,
        steal: shares.steal,
        guest: shares.guest,
        load_avg: context.load_avg,
        frequency_mhz: context.frequency_mhz,
        temperature: hottest,
        temperature_celsius: context.temperature_celsius,
        core_count: current.cpus.len(),
        physical_cores: context.physical_cores,
        interrupts: current.interrupts,
        interrupts_per_sec: rate(|raw| raw.interrupts),
        context_switches_per_sec: rate(|raw| raw.context_switches),
        forks_per_sec: rate(|raw| raw.forks),
        processes_running: current.running,
        processes_blocked: current.blocked,
        events: context.events,
    }
}

/// Puts each CPU's value at the index of its number, so that a CPU going offline does not shift the others.
pub(super) fn by_cpu(values: impl Iterator<Item = (u32, Option<f64>)>) -> Vec<Option<f64>> {
    let mut list = Vec::with_capacity(values.size_hint().0);
    for (cpu, value) in values {
        let at = cpu as usize;
        if list.len() <= at {
            list.resize(at + 1, None);
        }
        list[at] = value;
    }
    list
}
