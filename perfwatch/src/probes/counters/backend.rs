//! Where the readings come from: the eBPF program, or group reads in user space where BPF is refused.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aya::Ebpf;
use aya::maps::{Array, MapData, PerCpuArray};
use perfwatch_common::cost::Costs;
use perfwatch_common::counters::{CpuCounters, Reading, SLOTS, Schedule};

use super::super::kernel::SharedKernel;
use super::super::loader::{self, Descriptors, Unavailable};
use super::super::paranoid;
use super::super::perf::{self, Core, Counter, CpuEvents};
use super::super::pmu::{self, CorePmu};
use super::derive::{Absent, GROUPS, Pmu};
use crate::config::Roots;

use crate::snapshot::cpulist::CpuList;
use crate::snapshot::source::{Method, ProgramStats, Report, SourceError, State};

/// Beyond this, the wall clock was stepped or slewed away from the schedule.
const MAX_DRIFT: Duration = Duration::from_millis(10);

static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../../perfwatch-ebpf/prebuilt/counters.o");
const PROGRAM: &str = "read_counters";

/// When the CPUs take readings: `lead` before each multiple of `period` of the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Start {
    pub period: Duration,
    pub lead: Duration,
}

pub(super) struct Backend {
    cpus: BTreeMap<u32, CpuEvents>,
    cores: Vec<CorePmu>,
    /// What each of `cores` counts; the last is for CPUs on which none of them counts.
    pmus: Vec<Pmu>,
    /// Whether the NMI watchdog held a counter when these were opened.
    pub(super) nmi_watchdog: bool,
    reader: Reader,
}

enum Reader {
    Ebpf(Box<Program>),
    /// Why BPF was refused.
    Groups(Unavailable),
}

impl Backend {
    pub(super) fn open(cpus: &CpuList, roots: &Roots, kernel: &SharedKernel) -> Result<Self, Unavailable> {
        let reader = match Program::load(kernel) {
            Ok(program) => Reader::Ebpf(Box::new(program)),
            Err(why) => Reader::Groups(why),
        };
        let watchdog = std::fs::read_to_string(roots.proc("sys/kernel/nmi_watchdog"));
        let mut backend = Self {
            cpus: BTreeMap::new(),
            cores: pmu::core_pmus(roots),
            pmus: Vec::new(),
            nmi_watchdog: watchdog.is_ok_and(|on| on.trim() == "1"),
            reader,
        };
        let kind = |name: &str| Pmu {
            name: name.to_owned(),
            absent: [const { None }; SLOTS],
            counted_as: [None; SLOTS],
        };
        backend.pmus = backend.cores.iter().map(|core| kind(&core.name)).collect();
        if cpus.iter().any(|cpu| backend.kind_of(cpu) == backend.cores.len()) {
            backend.pmus.push(kind("none"));
        }
        for cpu in cpus.iter() {
            backend.open_cpu(cpu).map_err(|error| {
                let why = Unavailable::from_error("opening performance counters (perf_event_open)", &error);
                match error.raw_os_error() {
                    Some(libc::EACCES) if paranoid::is_stricter(roots) => {
                        Unavailable { remedy: Some(paranoid::REMEDY.to_owned()), ..why }
                    }
                    _ => why,
                }
            })?;
        }
        Ok(backend)
    }

    /// The index of a CPU's PMU in `pmus`.
    pub(super) fn kind_of(&self, cpu: u32) -> usize {
        Core::of(&self.cores, cpu).0
    }

    fn open_cpu(&mut self, cpu: u32) -> io::Result<()> {
        let (kind, core) = Core::of(&self.cores, cpu);
        let Some(pmu) = self.pmus.get_mut(kind) else {
            return Err(io::Error::other(format!("no PMU of this machine covers CPU {cpu}")));
        };
        let events = CpuEvents::open(cpu, core, pmu).map_err(|refused| refused.0)?;
        if let Reader::Ebpf(program) = &mut self.reader {
            program.put(&events)?;
        }
        self.cpus.insert(cpu, events);
        Ok(())
    }

    /// Opens CPUs that came online, closes those that went, and maintains the timers. Returns those that went.
    pub(super) fn follow(&mut self, wanted: &CpuList, start: Start) -> Result<Vec<u32>, SourceError> {
        let gone: Vec<u32> = self.cpus.keys().copied().filter(|cpu| !wanted.contains(*cpu)).collect();
        for cpu in &gone {
            self.close(*cpu);
        }
        for cpu in wanted.iter().filter(|cpu| !self.cpus.contains_key(cpu)).collect::<Vec<_>>() {
            self.open_cpu(cpu).map_err(|error| SourceError::io(format!("counters of CPU {cpu}"), error))?;
        }
        if let Reader::Ebpf(program) = &mut self.reader {
            program
                .keep_phase(self.cpus.keys().copied(), start)
                .map_err(|error| SourceError::io("timers of the counters program", error))?;
        }
        Ok(gone)
    }

    /// Closes a CPU's counters; [`Backend::follow`] reopens them if the CPU is still wanted.
    pub(super) fn close(&mut self, cpu: u32) {
        self.cpus.remove(&cpu);
        if let Reader::Ebpf(program) = &mut self.reader {
            program.remove(cpu);
        }
    }

    /// The newest reading of every CPU that has one.
    pub(super) fn read(&mut self) -> Result<Vec<(u32, [Reading; SLOTS])>, SourceError> {
        match &mut self.reader {
            Reader::Ebpf(program) => program.read(&self.cpus),
            Reader::Groups(_) => self
                .cpus
                .iter_mut()
                .map(|(cpu, events)| match events.read_groups() {
                    Ok(readings) => Ok((*cpu, readings)),
                    Err(error) => Err(SourceError::io(format!("counters of CPU {cpu}"), error)),
                })
                .collect(),
        }
    }

    /// Why counters are read from user space.
    pub(super) fn fallback(&self) -> Option<&Unavailable> {
        match &self.reader {
            Reader::Groups(why) => Some(why),
            Reader::Ebpf(_) => None,
        }
    }

    pub(super) fn pmus(&self) -> &[Pmu] {
        &self.pmus
    }

    /// Time used by the program on all CPUs, ns.
    pub(super) fn program_ns(&self) -> u64 {
        match &self.reader {
            Reader::Ebpf(program) => program.costs.total_ns(0),
            Reader::Groups(_) => 0,
        }
    }

    pub(super) fn report(&self, report: Report) -> Report {
        let missing = self.pmus.iter().flat_map(|pmu| pmu.absent.iter().flatten());
        // Failures may be fixable; what the CPU lacks is not.
        let worst = missing.clone().find(|absent| matches!(absent, Absent::Failed(_)));
        let (mut reason, mut remedy) = match worst.or_else(|| missing.clone().next()) {
            None => (None, None),
            Some(Absent::Unsupported(_)) if self.no_hardware() => (
                Some("no hardware PMU: only software events are counted".to_owned()),
                Some(
                    "run on bare metal, or give this virtual machine a PMU (libvirt: <pmu state='on'/>; \
                     QEMU: -cpu host,pmu=on)"
                        .to_owned(),
                ),
            ),
            Some(Absent::Unsupported(why) | Absent::Failed(why)) => (Some(why.clone()), None),
        };
        match &self.reader {
            Reader::Ebpf(program) => Report { reason, remedy, programs: program.stats(), ..report },
            Reader::Groups(why) => {
                let hardware = reason.map_or_else(String::new, |reason| format!("; {reason}"));
                reason = Some(format!("counters are read from user space: {}{hardware}", why.reason));
                remedy = why.remedy.clone().or(remedy);
                Report { state: State::Active, method: Method::PerfRead, reason, remedy, ..report }
            }
        }
    }

    fn no_hardware(&self) -> bool {
        let software = GROUPS[0].len();
        self.pmus.iter().all(|pmu| pmu.absent[software..].iter().all(Option::is_some))
    }
}

/// The attached program with its maps and metronome.
struct Program {
    ebpf: Ebpf,
    /// One array per slot, indexed by CPU.
    descriptors: Vec<Descriptors>,
    counters: PerCpuArray<MapData, CpuCounters>,
    schedule: Array<MapData, Schedule>,
    metronome: Option<Metronome>,
    /// `CLOCK_MONOTONIC` ns at which a CPU's events were opened; older readings are of earlier descriptors.
    opened: BTreeMap<u32, u64>,
    /// The program's cost on all CPUs, by the last reading.
    costs: Costs<1>,
}

/// A timer per CPU that makes sure that one expires there when a reading is due.
struct Metronome {
    start: Start,
    cpus: Vec<u32>,
    /// Shared with the thread that enables them in phase.
    timers: Arc<Mutex<Vec<Counter>>>,
    /// Ticks in a row at which the newest reading was out of phase.
    late: u32,
}

impl Program {
    fn load(kernel: &SharedKernel) -> Result<Self, Unavailable> {
        let internal = |what: &str| Unavailable::new(format!("the counters object has no {what}"));
        let mut ebpf = loader::load(super::NAME, OBJECT, |_| {})?;
        let descriptors = (0..SLOTS)
            .map(|slot| {
                let name = format!("SLOT_{slot:02}");
                Descriptors::take(&mut ebpf, &name).ok_or_else(|| internal(&name))
            })
            .collect::<Result<_, _>>()?;
        let counters = ebpf.take_map("COUNTERS").ok_or_else(|| internal("COUNTERS"))?;
        let counters = PerCpuArray::try_from(counters).map_err(|_| internal("COUNTERS"))?;
        let schedule = ebpf.take_map("SCHEDULE").ok_or_else(|| internal("SCHEDULE"))?;
        let schedule = Array::try_from(schedule).map_err(|_| internal("SCHEDULE"))?;
        kernel.get()?.attach(&mut ebpf, PROGRAM, "hrtimer_expire_entry")?;
        Ok(Self {
            ebpf,
            descriptors,
            counters,
            schedule,
            metronome: None,
            opened: BTreeMap::new(),
            costs: Costs::default(),
        })
    }

    fn put(&mut self, events: &CpuEvents) -> io::Result<()> {
        self.opened.insert(events.cpu, monotonic_ns());
        for (slot, descriptor) in events.descriptors() {
            self.descriptors[slot].set(events.cpu, descriptor)?;
        }
        Ok(())
    }

    fn remove(&mut self, cpu: u32) {
        self.opened.remove(&cpu);
        // Its timer may be lost with it.
        self.metronome = None;
        for slot in &self.descriptors {
            slot.clear(cpu);
        }
    }

    /// Restarts schedule and metronome if the CPUs or the period changed, or if the wall clock drifted.
    fn keep_phase(&mut self, cpus: impl Iterator<Item = u32>, start: Start) -> io::Result<()> {
        let cpus: Vec<u32> = cpus.collect();
        if let Some(metronome) = &self.metronome
            && metronome.start == start
            && metronome.cpus == cpus
            && metronome.late < 3
        {
            return Ok(());
        }
        let period_ns = u64::try_from(start.period.as_nanos()).unwrap_or(u64::MAX);
        let wait = until_phase(start);
        let first = monotonic_ns().saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX));
        let schedule = Schedule { period_ns, phase_ns: first.saturating_sub(period_ns) };
        self.schedule.set(0, schedule, 0).map_err(io::Error::other)?;

        let timers = cpus.iter().map(|cpu| perf::timer(*cpu, period_ns)).collect::<io::Result<Vec<_>>>()?;
        let timers = Arc::new(Mutex::new(timers));
        let shared = Arc::clone(&timers);
        // Starting in phase means waiting for it, which a tick must not do.
        std::thread::Builder::new().name("counters-phase".into()).spawn(move || {
            std::thread::sleep(wait);
            for timer in shared.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
                if let Err(error) = timer.enable() {
                    tracing::warn!(%error, "cannot start a timer of the counters probe");
                }
            }
        })?;
        self.metronome = Some(Metronome { start, cpus, timers, late: 0 });
        Ok(())
    }

    /// One map look-up: a copy of every CPU's newest reading.
    fn read(&mut self, cpus: &BTreeMap<u32, CpuEvents>) -> Result<Vec<(u32, [Reading; SLOTS])>, SourceError> {
        let all = self
            .counters
            .get(&0, 0)
            .map_err(|error| SourceError::Malformed(format!("reading the counters map: {error}")))?;
        self.costs = all.iter().fold(Costs::default(), |sum, counters| sum.plus(&counters.costs));
        let mut newest = 0;
        let readings = cpus
            .keys()
            .filter_map(|cpu| {
                let reading = all.get(*cpu as usize)?.latest()?;
                newest = newest.max(reading.read_at_ns);
                (reading.read_at_ns > *self.opened.get(cpu)?).then_some((*cpu, reading.slots))
            })
            .collect();
        if let Some(metronome) = &mut self.metronome {
            let age = Duration::from_nanos(monotonic_ns().saturating_sub(newest));
            let late = newest != 0 && off_phase(metronome.start, age) > MAX_DRIFT;
            metronome.late = if late { metronome.late + 1 } else { 0 };
        }
        Ok(readings)
    }

    fn stats(&self) -> Vec<ProgramStats> {
        loader::stats(&self.ebpf, [PROGRAM], &self.costs)
    }
}

impl Drop for Metronome {
    fn drop(&mut self) {
        // The starting thread may still hold them for a period: stop them now.
        for timer in self.timers.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            drop(timer);
        }
    }
}

/// How far from its scheduled time a reading that is `age` old was taken.
fn off_phase(start: Start, age: Duration) -> Duration {
    let made = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(age);
    let period = start.period.as_nanos().max(1);
    let after = (made + start.lead).as_nanos() % period;
    Duration::from_nanos(u64::try_from(after.min(period - after)).unwrap_or(u64::MAX))
}

/// From now to `lead` before the next multiple of the period.
fn until_phase(start: Start) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let period = start.period.as_nanos().max(1);
    let wait = period - (now + start.lead.as_nanos()) % period;
    Duration::from_nanos(u64::try_from(wait).unwrap_or(0))
}

fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}
