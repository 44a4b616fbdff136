//! Where the readings come from: the eBPF program, or group reads in user space where BPF is refused.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aya::Ebpf;
use aya::maps::{MapData, PerCpuArray};
use aya::programs::PerfEvent;
use perf_event::Counter;
use perfwatch_common::counters::{CpuCounters, Reading, SLOTS};

use super::super::loader::{self, Descriptors, Unavailable};
use super::super::perf::{self, CpuEvents};
use crate::snapshot::counters::Absent;
use crate::snapshot::cpulist::CpuList;
use crate::snapshot::source::{Method, ProgramStats, Report, SourceError, State};

static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../../perfwatch-ebpf/prebuilt/counters.o");
const PROGRAM: &str = "read_counters";

/// When the CPUs are to read: `lead` before each multiple of `period` of the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Start {
    pub period: Duration,
    pub lead: Duration,
}

pub(super) struct Backend {
    cpus: BTreeMap<u32, CpuEvents>,
    absent: [Option<Absent>; SLOTS],
    reader: Reader,
}

enum Reader {
    Ebpf(Box<Program>),
    /// Why BPF was refused.
    Groups(Unavailable),
}

impl Backend {
    pub(super) fn open(cpus: &CpuList) -> Result<Self, Unavailable> {
        let reader = match Program::load() {
            Ok(program) => Reader::Ebpf(Box::new(program)),
            Err(why) => Reader::Groups(why),
        };
        let mut backend = Self { cpus: BTreeMap::new(), absent: [const { None }; SLOTS], reader };
        for cpu in cpus.iter() {
            backend.open_cpu(cpu).map_err(|error| {
                Unavailable::from_error("opening performance counters (perf_event_open)", &error)
            })?;
        }
        Ok(backend)
    }

    fn open_cpu(&mut self, cpu: u32) -> io::Result<()> {
        let events = CpuEvents::open(cpu, &mut self.absent).map_err(|refused| refused.0)?;
        if let Reader::Ebpf(program) = &mut self.reader {
            program.put(&events)?;
        }
        self.cpus.insert(cpu, events);
        Ok(())
    }

    /// Opens CPUs that came, closes those that went, and sees to the timers. Returns those that went.
    pub(super) fn follow(&mut self, wanted: &CpuList, start: Start) -> Result<Vec<u32>, SourceError> {
        let gone: Vec<u32> = self.cpus.keys().copied().filter(|cpu| !wanted.contains(*cpu)).collect();
        for cpu in &gone {
            self.cpus.remove(cpu);
            if let Reader::Ebpf(program) = &mut self.reader {
                program.remove(*cpu);
            }
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

    pub(super) fn absent(&self) -> &[Option<Absent>; SLOTS] {
        &self.absent
    }

    pub(super) fn report(&self, report: Report) -> Report {
        let missing = self.absent.iter().flatten().next();
        let (mut reason, mut remedy) = match missing {
            None => (None, None),
            Some(Absent::Unsupported(_)) if self.no_hardware() => (
                Some("no hardware PMU is visible: only the software events count".to_owned()),
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
        let software = crate::snapshot::counters::GROUPS[0].len();
        self.absent[software..].iter().all(Option::is_some)
    }
}

/// The loaded program with its maps and timers.
struct Program {
    ebpf: Ebpf,
    descriptors: Descriptors,
    counters: PerCpuArray<MapData, CpuCounters>,
    /// Possible CPUs: the stride of `descriptors`.
    stride: u32,
    timers: Option<Timers>,
    /// `CLOCK_MONOTONIC` ns at which a CPU's events were opened; older readings are of earlier descriptors.
    opened: BTreeMap<u32, u64>,
}

struct Timers {
    start: Start,
    cpus: Vec<u32>,
    /// Shared with the thread that enables them in phase.
    counters: Arc<Mutex<Vec<Counter>>>,
    /// Ticks in a row at which the newest reading was older than it should be.
    late: u32,
}

impl Program {
    fn load() -> Result<Self, Unavailable> {
        let internal =
            |what: &str| Unavailable { reason: format!("the counters object has no {what}"), remedy: None };
        let stride = aya::util::nr_cpus()
            .map_err(|(what, error)| Unavailable::from_error(what, &error))?
            .try_into()
            .unwrap_or(u32::MAX);
        let mut ebpf = loader::load(super::NAME, OBJECT, |loader| {
            loader.override_global("CPUS", &stride, true);
            loader.map_max_entries("DESCRIPTORS", stride * SLOTS as u32);
        })?;
        let descriptors =
            Descriptors::take(&mut ebpf, "DESCRIPTORS").ok_or_else(|| internal("DESCRIPTORS"))?;
        let counters = ebpf.take_map("COUNTERS").ok_or_else(|| internal("COUNTERS"))?;
        let counters = PerCpuArray::try_from(counters).map_err(|_| internal("COUNTERS"))?;
        let program: &mut PerfEvent = ebpf
            .program_mut(PROGRAM)
            .and_then(|program| program.try_into().ok())
            .ok_or_else(|| internal(PROGRAM))?;
        program.load().map_err(|error| loader::program_error(PROGRAM, &error))?;
        let program = Self { ebpf, descriptors, counters, stride, timers: None, opened: BTreeMap::new() };
        // Attaching may be refused where loading was not: find out before the descriptors are opened.
        program.timer(0, Duration::from_secs(1)).map_err(|error| {
            Unavailable::from_error("running the counters program on a perf event", &error)
        })?;
        Ok(program)
    }

    fn timer(&self, cpu: u32, period: Duration) -> io::Result<Counter> {
        let program = self.ebpf.program(PROGRAM).ok_or(io::ErrorKind::NotFound)?;
        let descriptor = program.fd().map_err(io::Error::other)?.as_fd().as_raw_fd();
        perf::timer(cpu, u64::try_from(period.as_nanos()).unwrap_or(u64::MAX), descriptor)
    }

    fn put(&mut self, events: &CpuEvents) -> io::Result<()> {
        self.opened.insert(events.cpu, monotonic_ns());
        for (slot, descriptor) in events.descriptors() {
            self.descriptors.set(slot as u32 * self.stride + events.cpu, descriptor)?;
        }
        Ok(())
    }

    fn remove(&mut self, cpu: u32) {
        self.opened.remove(&cpu);
        for slot in 0..SLOTS as u32 {
            self.descriptors.clear(slot * self.stride + cpu);
        }
    }

    /// Starts the timers anew when the CPUs or the period changed, or when the wall clock drifted from them.
    fn keep_phase(&mut self, cpus: impl Iterator<Item = u32>, start: Start) -> io::Result<()> {
        let cpus: Vec<u32> = cpus.collect();
        if let Some(timers) = &self.timers
            && timers.start == start
            && timers.cpus == cpus
            && timers.late < 3
        {
            return Ok(());
        }
        let counters =
            cpus.iter().map(|cpu| self.timer(*cpu, start.period)).collect::<io::Result<Vec<_>>>()?;
        let counters = Arc::new(Mutex::new(counters));
        let shared = Arc::clone(&counters);
        // Starting in phase means waiting for it, which a tick must not.
        std::thread::Builder::new().name("counters-phase".into()).spawn(move || {
            std::thread::sleep(until_phase(start));
            for timer in shared.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
                if let Err(error) = timer.enable() {
                    tracing::warn!(%error, "cannot start a counters timer");
                }
            }
        })?;
        self.timers = Some(Timers { start, cpus, counters, late: 0 });
        Ok(())
    }

    /// One map look-up: a copy of every CPU's newest reading.
    fn read(&mut self, cpus: &BTreeMap<u32, CpuEvents>) -> Result<Vec<(u32, [Reading; SLOTS])>, SourceError> {
        let all = self
            .counters
            .get(&0, 0)
            .map_err(|error| SourceError::Malformed(format!("reading the counters map: {error}")))?;
        let mut newest = 0;
        let readings = cpus
            .keys()
            .filter_map(|cpu| {
                let reading = all.get(*cpu as usize)?.latest()?;
                newest = newest.max(reading.read_at_ns);
                (reading.read_at_ns > *self.opened.get(cpu)?).then_some((*cpu, reading.slots))
            })
            .collect();
        if let Some(timers) = &mut self.timers {
            let age = Duration::from_nanos(monotonic_ns().saturating_sub(newest));
            let late = newest != 0 && age > timers.start.lead * 10;
            timers.late = if late { timers.late + 1 } else { 0 };
        }
        Ok(readings)
    }

    fn stats(&self) -> Vec<ProgramStats> {
        loader::stats(&self.ebpf)
    }
}

impl Drop for Timers {
    fn drop(&mut self) {
        // The thread that starts them may still hold them for a period: stop them now.
        for timer in self.counters.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            drop(timer);
        }
    }
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
