//! Probe `counters`, document `perf_events`: the events of METRICS.md per CPU, read inside eBPF.
//!
//! # Trigger
//!
//! `read_counters` runs at `hrtimer_expire_entry`, the expiry of a high-resolution timer, and returns at once
//! unless this CPU's reading is due. A cpu-clock sampling event per CPU, which is an hrtimer pinned there, is
//! the metronome that makes sure that one does expire on time. So
//! - an idle CPU and a CPU that runs one task for minutes are read alike and on time (a program on
//!   `sched_switch` sees neither), whatever `nohz` does to the scheduler's tick;
//! - every CPU reads its own counters: no interrupt crosses CPUs, which reading descriptors from user space
//!   costs once per group and CPU;
//! - nothing is counted twice: counts are running totals, and an interval is the difference of two readings.
//!
//! A program attached to the cpu-clock event itself would be simpler, and was tried first: on some kernels
//! (seen on 6.18 in a virtual machine) the event's overflow is not delivered while a CPU other than the first
//! idles, although its timer expires; `perf record -e cpu-clock` loses the same samples.
//!
//! Readings are due [`LEAD`] before the tick; if the wall clock is slewed away from that phase the schedule is
//! recreated. Where BPF is refused the same groups are read from user space (`method: perf_read`).
//!
//! Cost: about 260 ns per event (`cargo xtask bench ebpf`), on 4 virtual CPUs that mostly idle and expire some 200
//! timers a second each: 0.02% of a CPU.

mod backend;
mod busy;
pub(super) mod derive;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use perfwatch_common::counters::{Reading, SLOTS};

use self::backend::{Backend, Start};
use self::busy::BusyTime;
use self::derive::{Absent, Context, CpuInterval, Pmu, derive, slots};
use super::Common;
use super::budget::Budget;
use super::guarded::Retry;
use super::kernel::SharedKernel;
use super::loader::Unavailable;
use super::target;
use crate::config::Roots;
use crate::kernel_files::file::KernelFile;
use crate::snapshot::cpulist::CpuList;
use crate::snapshot::source::{Method, Report, Source, SourceError, SourceSettings, State, Tick};
use crate::snapshot::{self, MetricType};

pub(super) const NAME: &str = "counters";

/// How long before a tick the CPUs read their counters.
const LEAD: Duration = Duration::from_millis(4);

/// Ticks without a new reading after which a CPU's counters are reopened. They are dead if the CPU was taken
/// offline and brought back between two ticks.
const MAX_SILENT_TICKS: u32 = 3;

pub(super) struct Counters {
    /// Why this build opens none on any machine.
    refused: Option<Unavailable>,
    budget: Budget,
    settings: SourceSettings,
    roots: Roots,
    kernel: SharedKernel,
    online: OnlineCpus,
    busy: BusyTime,
    phase: Phase,
    /// When to open again what failed for a reason that may pass.
    retry: Option<Retry>,
    began: Instant,
    /// The newest reading of each CPU that was used in a document.
    previous: BTreeMap<u32, [Reading; SLOTS]>,
    /// Ticks in a row at which a CPU had no new reading.
    silent: BTreeMap<u32, u32>,
}

enum Phase {
    /// To be opened at the next sample.
    Closed,
    Open(Box<Backend>),
    Disabled,
    Unavailable(Unavailable),
}

impl Phase {
    /// Why it is not all that it could be.
    fn lacks(&self) -> Option<&Unavailable> {
        match self {
            Self::Unavailable(why) => Some(why),
            Self::Open(backend) => backend.fallback(),
            Self::Closed | Self::Disabled => None,
        }
    }
}

impl Counters {
    pub(super) fn new(common: &Common<'_>) -> Self {
        let refused = target::no_counters(common.roots);
        Self {
            phase: refused.clone().map_or(Phase::Closed, Phase::Unavailable),
            refused,
            retry: None,
            budget: common.budget.clone(),
            settings: SourceSettings::default(),
            roots: common.roots.clone(),
            kernel: common.kernel.clone(),
            online: OnlineCpus::new(common.roots),
            busy: BusyTime::new(common.roots),
            began: Instant::now(),
            previous: BTreeMap::new(),
            silent: BTreeMap::new(),
        }
    }

    fn wanted_cpus(&mut self) -> Result<CpuList, SourceError> {
        let online = self.online.read()?;
        Ok(match &self.settings.perf_events_cpu_cores {
            None => online,
            Some(chosen) => chosen.iter().filter(|cpu| online.contains(*cpu)).collect(),
        })
    }

    fn cpu_cores(&self) -> String {
        self.settings.perf_events_cpu_cores.as_ref().map_or_else(|| "all".to_owned(), ToString::to_string)
    }

    /// Turns the CPUs that have a new reading into intervals.
    fn intervals(&mut self, cpus: &CpuList, start: Start) -> Result<Vec<CpuInterval>, SourceError> {
        let now = Instant::now();
        let again = self.retry.is_some_and(|retry| retry.is_due(now));
        if again || matches!(self.phase, Phase::Closed) {
            self.previous.clear();
            self.silent.clear();
            self.began = now;
            self.phase = match Backend::open(cpus, &self.roots, &self.kernel) {
                Ok(backend) => Phase::Open(Box::new(backend)),
                Err(unavailable) => Phase::Unavailable(unavailable),
            };
            self.retry = self.phase.lacks().map(|why| Retry::after(self.retry, why, now));
        }
        self.kernel.release();
        let Phase::Open(backend) = &mut self.phase else { return Ok(Vec::new()) };
        for cpu in self.silent.extract_if(.., |_, ticks| *ticks >= MAX_SILENT_TICKS).map(|(cpu, _)| cpu) {
            tracing::info!(cpu, "counters are stuck; reopening them");
            backend.close(cpu);
            self.previous.remove(&cpu);
            self.busy.forget(cpu);
        }
        for gone in backend.follow(cpus, start)? {
            self.previous.remove(&gone);
            self.busy.forget(gone);
            self.silent.remove(&gone);
        }
        // Used only for frequencies: if no CPU counts cycles, the file is not worth reading.
        let cycles = slots().position(|(_, event)| event == "cycles");
        let counts_cycles =
            backend.pmus().iter().any(|pmu| cycles.is_some_and(|slot| pmu.absent[slot].is_none()));
        if counts_cycles {
            self.busy.look();
        }
        let mut intervals = Vec::with_capacity(cpus.len());
        for (cpu, current) in backend.read()? {
            // Counters start from zero when they are opened, so the first reading has a whole interval too.
            let previous = self.previous.insert(cpu, current).unwrap_or_default();
            if previous != current {
                let (pmu, busy) = (backend.kind_of(cpu), self.busy.since_last_reading(cpu));
                intervals.push(CpuInterval { cpu, pmu, busy, previous, current });
            }
        }
        for cpu in cpus.iter() {
            if intervals.iter().any(|interval| interval.cpu == cpu) {
                self.silent.remove(&cpu);
            } else {
                *self.silent.entry(cpu).or_default() += 1;
            }
        }
        Ok(intervals)
    }

    /// The status of events when none is open.
    fn nothing(&self) -> Vec<Pmu> {
        let absent = match &self.phase {
            // Failures may be fixable.
            Phase::Unavailable(why) if self.refused.is_some() => Absent::Unsupported(why.reason.clone()),
            Phase::Unavailable(why) => Absent::Failed(why.reason.clone()),
            _ => Absent::Failed(DISABLED.to_owned()),
        };
        vec![Pmu::absent("", &absent)]
    }
}

/// The longest period that is not over `wanted` and divides the tick evenly.
fn period(wanted: Duration, tick: Duration) -> Duration {
    let times = tick.as_nanos().div_ceil(wanted.as_nanos().max(1)).max(1);
    tick / u32::try_from(times).unwrap_or(u32::MAX)
}

impl Source for Counters {
    fn name(&self) -> &'static str {
        NAME
    }

    fn metric_type(&self) -> MetricType {
        MetricType::PerfEvents
    }

    fn apply(&mut self, settings: &SourceSettings) {
        let reopen = settings.perf_events_enabled != self.settings.perf_events_enabled
            || matches!(self.phase, Phase::Unavailable(_));
        self.settings = settings.clone();
        if reopen {
            self.retry = None;
        }
        match (settings.perf_events_enabled, reopen) {
            (false, _) => self.phase = Phase::Disabled,
            (true, true) => self.phase = self.refused.clone().map_or(Phase::Closed, Phase::Unavailable),
            (true, false) => {} // cores and interval are followed in `sample`
        }
    }

    fn sample(&mut self, tick: &Tick) -> Result<snapshot::Reading, SourceError> {
        let start = Start { period: period(self.settings.perf_events_interval, tick.interval), lead: LEAD };
        let intervals = match self.refused {
            Some(_) => Vec::new(),
            None => {
                let cpus = self.wanted_cpus()?;
                self.intervals(&cpus, start)?
            }
        };
        if let Phase::Open(backend) = &self.phase {
            self.budget.charge(NAME, false, backend.program_ns(), Instant::now());
        }
        let nothing;
        let (pmus, nmi_watchdog) = match &self.phase {
            Phase::Open(backend) => (backend.pmus(), backend.nmi_watchdog),
            _ => {
                nothing = self.nothing();
                (&nothing[..], false)
            }
        };
        let context = Context {
            cpu_cores: &self.cpu_cores(),
            interval: self.settings.perf_events_interval,
            sample_time: self.began.elapsed(),
            pmus,
            nmi_watchdog,
        };
        Ok(snapshot::Reading::new(MetricType::PerfEvents, tick.at, &derive(&context, &intervals))?)
    }

    fn report(&self) -> Report {
        let report = Report::active(NAME, MetricType::PerfEvents, Method::Ebpf);
        let mut report = match &self.phase {
            Phase::Open(backend) => backend.report(report),
            Phase::Closed => Report { reason: Some("not loaded yet".into()), ..report },
            Phase::Disabled => Report {
                state: State::Disabled,
                reason: Some(DISABLED.into()),
                remedy: Some("enable performance events (PERF_EVENTS_ENABLED, or Settings)".into()),
                ..report
            },
            Phase::Unavailable(why) => Report {
                state: State::Unavailable,
                reason: Some(why.reason.clone()),
                remedy: why.remedy.clone(),
                ..report
            },
        };
        if let (Some(retry), Some(reason)) = (self.retry, &mut report.reason) {
            *reason = retry.told(reason);
        }
        report
    }
}

const DISABLED: &str = "disabled in the configuration (perf_events_enabled)";

/// `/sys/devices/system/cpu/online`, followed tick by tick.
struct OnlineCpus {
    file: KernelFile,
    text: Vec<u8>,
    cpus: Option<CpuList>,
}

impl OnlineCpus {
    fn new(roots: &Roots) -> Self {
        Self { file: KernelFile::new(roots.sys("devices/system/cpu/online")), text: Vec::new(), cpus: None }
    }

    fn read(&mut self) -> Result<CpuList, SourceError> {
        let path = self.file.path().display().to_string();
        let text = self.file.read().map_err(|error| SourceError::io(&path, error.source))?;
        if let Some(cpus) = &self.cpus
            && self.text == text
        {
            return Ok(cpus.clone());
        }
        let cpus: CpuList = String::from_utf8_lossy(text)
            .parse()
            .map_err(|error| SourceError::Malformed(format!("{path}: {error}")))?;
        self.text = text.to_vec();
        self.cpus = Some(cpus.clone());
        Ok(cpus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_period_divides_the_tick_and_is_not_over_what_is_wanted() {
        let ms = Duration::from_millis;
        assert_eq!(period(ms(1000), ms(5000)), ms(1000));
        assert_eq!(period(ms(5000), ms(1000)), ms(1000));
        assert_eq!(period(ms(2000), ms(5000)), ms(5000) / 3);
        assert_eq!(period(ms(100), ms(3_600_000)), ms(100));
    }
}
