//! One group: what was read of it, and the rates between two readings.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::files::{Files, Reader};
use super::raw::{self, Cpu, Device, File, Io, Memory, MemoryEvents, MemoryParser, Stalled, Transfers};
use crate::cgroups::{Directory, Hierarchy, Throttled};
use crate::kernel_files::fields::{lines, number};
use crate::probes::sched::interval::Usage;
use crate::snapshot::derive::round;

/// Until a group in which nothing runs is read again, and until limits and the kinds of memory are.
const IDLE_PAUSE: Duration = Duration::from_secs(15);
const SLOW_PAUSE: Duration = Duration::from_secs(15);
const SLOW_PAUSE_IDLE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Group {
    pub(super) inode: u64,
    pub(super) path: Arc<str>,
    pub(super) below: PathBuf,
    pub(super) parent: usize,
    pub(super) files: Files,
    /// It was made since the walk before: its counts began in this interval.
    born: bool,
    /// Something ran in it since the last tick.
    pub(super) active: bool,
    cpu: Option<(Cpu, Instant)>,
    traffic: Option<(Traffic, Instant)>,
    /// Nothing ran in it, and its rates were zero: they are until something runs again.
    settled: bool,
    pub(super) traffic_due: Instant,
    pub(super) slow_due: Instant,
    pub(super) rates: Rates,
    pub(super) counts: Counts,
    pub(super) memory_bytes: Option<u64>,
    pub(super) tasks: Option<u64>,
    pub(super) slow: Slow,
    /// Of the tasks in it and in the groups below, in this tick.
    pub(super) usage: Usage,
    /// The number of the same group in the hierarchy of block I/O, once it was looked for.
    number_of_requests: Option<Option<u64>>,
}

/// Of the time since the reading before.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Rates {
    pub(super) cpu_percent: Option<f64>,
    pub(super) user_percent: Option<f64>,
    pub(super) system_percent: Option<f64>,
    /// By device; `None` if there is no such file.
    pub(super) io: Option<Vec<(Device, IoRates)>>,
    /// CPU, memory and I/O.
    pub(super) stalled: [Share; 3],
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct IoRates {
    pub(super) read_bytes: f64,
    pub(super) write_bytes: f64,
    pub(super) reads: f64,
    pub(super) writes: f64,
}

/// Percent of the time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Share {
    pub(super) some: Option<f64>,
    pub(super) full: Option<f64>,
}

/// Counted since the reading before; `None` in a tick without a reading, so that sums are right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) throttled_periods: Option<u64>,
    pub(super) throttled_us: Option<u64>,
    pub(super) memory: MemoryEvents,
}

/// What changes at every moment.
#[derive(Debug, Clone, Default)]
struct Traffic {
    io: Option<Io>,
    stalled: [Option<Stalled>; 3],
    events: MemoryEvents,
    /// Version 1 only.
    throttled: Option<Throttled>,
    modes: Option<(u64, u64)>,
}

/// What rarely changes, or costs much to read.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Slow {
    pub(super) memory: Memory,
    pub(super) memory_max: Option<u64>,
    pub(super) memory_high: Option<u64>,
    pub(super) swap: Option<u64>,
    pub(super) swap_max: Option<u64>,
    pub(super) cpu_limit: Option<f64>,
    pub(super) tasks_max: Option<u64>,
    pub(super) processes: Option<usize>,
}

impl Group {
    pub(super) fn new(directory: Directory, born: bool, now: Instant) -> Self {
        Self {
            inode: directory.inode,
            path: directory.path,
            below: directory.below,
            parent: directory.parent,
            files: Files::default(),
            born,
            active: true,
            cpu: None,
            traffic: None,
            settled: false,
            traffic_due: now,
            slow_due: now,
            rates: Rates::default(),
            counts: Counts::default(),
            memory_bytes: None,
            tasks: None,
            slow: Slow::default(),
            usage: Usage::default(),
            number_of_requests: None,
        }
    }

    /// In hierarchies of version 1 groups of the same path have different numbers.
    pub(super) fn number_of_requests(&mut self, reader: &Reader) -> Option<u64> {
        *self.number_of_requests.get_or_insert_with(|| {
            let directory = reader.directory(File::Io, &self.below);
            std::fs::metadata(directory).ok().map(|directory| directory.ino())
        })
    }

    /// Whether it is charged with its own requests: else a group that it is in is.
    pub(super) fn has_requests(&self) -> bool {
        self.rates.io.is_some()
    }

    /// Nothing ran in a group that it is in, and so nothing in it.
    pub(super) fn rest(&mut self, now: Instant) {
        self.be_active(false, now);
        self.counts = Counts::default();
        if let Some((cpu, at)) = &mut self.cpu {
            *at = now;
            self.rates.cpu_percent = Some(0.0);
            self.rates.user_percent = cpu.user.map(|_| 0.0);
            self.rates.system_percent = cpu.system.map(|_| 0.0);
            self.counts.throttled_periods = cpu.throttled.map(|_| 0);
            self.counts.throttled_us = cpu.throttled.map(|_| 0);
        }
    }

    fn be_active(&mut self, active: bool, now: Instant) {
        self.active = active;
        if active {
            self.settled = false;
            self.traffic_due = now;
        } else if self.settled
            && let Some((_, at)) = &mut self.traffic
        {
            // Whatever comes next begins now.
            *at = now;
        }
    }

    /// Whether it has rates of what every tick reads.
    pub(super) fn was_read_twice(&self) -> bool {
        self.rates.io.is_some()
    }

    /// Whether CPU time was ever read: else it is not known to rest.
    pub(super) fn has_cpu(&self) -> bool {
        self.cpu.is_some()
    }

    pub(super) fn read_cpu(&mut self, reader: &mut Reader, now: Instant) {
        let hierarchy = reader.hierarchy();
        let text = reader.read(&mut self.files, &self.below, File::Cpu);
        let cpu = text.and_then(|text| Cpu::parse(text, hierarchy));
        let before = self.cpu.take();
        self.counts = Counts::default();
        let Some(cpu) = cpu else {
            (self.rates.cpu_percent, self.rates.user_percent, self.rates.system_percent) = (None, None, None);
            self.be_active(true, now);
            return;
        };
        self.be_active(before.as_ref().is_none_or(|(before, _)| before.usage != cpu.usage), now);
        let since = before.as_ref().map(|(before, at)| (before, now.saturating_duration_since(*at)));
        let percent = |of: fn(&Cpu) -> Option<u64>| {
            let (before, elapsed) = since?;
            share(of(before), of(&cpu), elapsed)
        };
        self.rates.cpu_percent = percent(|cpu| Some(cpu.usage));
        if hierarchy == Hierarchy::V2 {
            self.rates.user_percent = percent(|cpu| cpu.user);
            self.rates.system_percent = percent(|cpu| cpu.system);
        }
        let earlier = before.map(|(before, _)| before.throttled);
        self.count_throttled(earlier, cpu.throttled);
        self.cpu = Some((cpu, now));
    }

    /// `before` is `None` if there is no reading before.
    fn count_throttled(&mut self, before: Option<Option<Throttled>>, now: Option<Throttled>) {
        let began = self.born.then(Throttled::default);
        if let (Some(before), Some(now)) = (before.unwrap_or(began), now) {
            self.counts.throttled_periods = now.periods.checked_sub(before.periods);
            self.counts.throttled_us = now.micros.checked_sub(before.micros);
        }
    }

    /// Memory in use, events, I/O and pressure. With `sparing`, of a group in which nothing ran only memory and tasks,
    /// which others may have changed.
    pub(super) fn read_traffic(&mut self, reader: &mut Reader, sparing: bool, now: Instant) {
        let hierarchy = reader.hierarchy();
        let mut files = Of { reader, files: &mut self.files, below: &self.below };
        self.memory_bytes = files.number(File::Memory);
        self.tasks = files.number(File::Tasks);
        let has_begun = self.born || self.traffic.is_some();
        if sparing && !self.active && (self.settled || !has_begun) {
            self.traffic_due = now + IDLE_PAUSE;
            return;
        }
        let mut events = files.text(File::MemoryEvents).map(MemoryEvents::parse).unwrap_or_default();
        let stalled = [File::CpuPressure, File::MemoryPressure, File::IoPressure]
            .map(|file| files.text(file).and_then(raw::stalled));
        let mut current = Traffic { stalled, ..Traffic::default() };
        if hierarchy == Hierarchy::V1 {
            events.max = files.number(File::MemoryFailures);
            let bytes = files.text(File::Io).map(<[u8]>::to_vec);
            current.io =
                bytes.map(|bytes| raw::io_of_v1(&bytes, files.text(File::IoRequests).unwrap_or_default()));
            current.throttled = files
                .text(File::Throttling)
                .and_then(|text| Throttled::parse(&String::from_utf8_lossy(text)));
            current.modes = files.text(File::CpuModes).and_then(raw::modes);
        } else {
            current.io = files.text(File::Io).map(raw::io);
        }
        current.events = events;
        self.follow(current, now, hierarchy);
        self.settled = !self.active && self.is_still();
        self.traffic_due = if self.settled { now + IDLE_PAUSE } else { now };
    }

    /// The rates and counts between the reading before and this one.
    fn follow(&mut self, current: Traffic, now: Instant, hierarchy: Hierarchy) {
        let before = self.traffic.take();
        let elapsed = before.as_ref().map(|(_, at)| now.saturating_duration_since(*at));
        let began = self.born.then(Traffic::default);
        let earlier = before.map(|(traffic, _)| traffic);
        self.rates.stalled = std::array::from_fn(|at| {
            let both = earlier.as_ref().and_then(|earlier| earlier.stalled[at]).zip(current.stalled[at]);
            let (Some((before, now)), Some(elapsed)) = (both, elapsed) else { return Share::default() };
            // The kernel adds what it has measured a moment late.
            let percent = |before, now| share(before, now, elapsed).map(|percent| percent.min(100.0));
            Share { some: percent(before.some, now.some), full: percent(before.full, now.full) }
        });
        self.rates.io = earlier.as_ref().zip(elapsed).and_then(|(earlier, elapsed)| {
            // Devices appear in the file with their first request.
            let before = earlier.io.as_deref()?;
            let rates = current.io.as_ref()?.iter().filter_map(|(device, now)| {
                let before =
                    before.iter().find(|(known, _)| known == device).map(|(_, transfers)| *transfers);
                Some((*device, io_rates(before.unwrap_or_default(), *now, elapsed)?))
            });
            Some(rates.collect())
        });
        if hierarchy == Hierarchy::V1 {
            self.count_throttled(earlier.as_ref().map(|earlier| earlier.throttled), current.throttled);
            let modes = earlier.as_ref().and_then(|earlier| earlier.modes).zip(current.modes).zip(elapsed);
            let ticks = rustix::param::clock_ticks_per_second();
            let percent = |before: u64, now: u64, elapsed| {
                let micros = |ticks_of: u64| ticks_of.saturating_mul(1_000_000) / ticks;
                share(Some(micros(before)), Some(micros(now)), elapsed)
            };
            self.rates.user_percent =
                modes.and_then(|((before, now), elapsed)| percent(before.0, now.0, elapsed));
            self.rates.system_percent =
                modes.and_then(|((before, now), elapsed)| percent(before.1, now.1, elapsed));
        }
        let since = earlier.or(began).map(|earlier| earlier.events);
        let count = |of: fn(&MemoryEvents) -> Option<u64>| {
            let before = since.as_ref()?;
            of(&current.events)?.checked_sub(of(before).unwrap_or_default())
        };
        self.counts.memory = MemoryEvents {
            high: count(|events| events.high),
            max: count(|events| events.max),
            oom: count(|events| events.oom),
            oom_kill: count(|events| events.oom_kill),
        };
        self.traffic = Some((current, now));
        self.born = false;
    }

    /// Whether the kernel told of pressure.
    pub(super) fn has_pressure(&self) -> bool {
        self.rates.stalled.iter().any(|share| share.some.is_some())
    }

    /// Whether its newest rates are all zero and may stand while nothing runs in it.
    fn is_still(&self) -> bool {
        let no_io = |rates: &(Device, IoRates)| rates.1 == IoRates::default();
        let no_stall = |share: &Share| share.some.unwrap_or_default() == 0.0;
        self.rates.io.as_ref().is_none_or(|io| io.iter().all(no_io))
            && self.rates.stalled.iter().all(no_stall)
    }

    /// Limits, kinds of memory and the number of processes.
    pub(super) fn read_slow(&mut self, reader: &mut Reader, memory: &mut MemoryParser, now: Instant) {
        self.files.look_again();
        let hierarchy = reader.hierarchy();
        let mut files = Of { reader, files: &mut self.files, below: &self.below };
        let kinds = files.text(File::MemoryStat).map(|text| memory.parse(text)).unwrap_or_default();
        let memory_max = files.text(File::MemoryMax).and_then(raw::limit);
        let swap_max = files.text(File::SwapMax).and_then(raw::limit);
        let cpu_limit = match hierarchy {
            Hierarchy::V2 => files.text(File::CpuLimit).and_then(raw::cpu_limit),
            // Without one the quota is -1.
            Hierarchy::V1 => {
                let quota = files.number(File::CpuLimit);
                let period = files.number(File::CpuPeriod);
                quota.zip(period).and_then(|(quota, period)| raw::cpus(quota, period))
            }
        };
        self.slow = Slow {
            memory: kinds,
            memory_max,
            memory_high: files.text(File::MemoryHigh).and_then(raw::limit),
            swap: kinds.swap.or_else(|| files.number(File::Swap)),
            // Version 1 limits memory and swap together.
            swap_max: match hierarchy {
                Hierarchy::V2 => swap_max,
                Hierarchy::V1 => swap_max.map(|both| both.saturating_sub(memory_max.unwrap_or_default())),
            },
            cpu_limit,
            tasks_max: files.text(File::TasksMax).and_then(raw::limit),
            processes: files.text(File::Processes).map(|text| lines(text).count()),
        };
        self.slow_due = now + if self.active { SLOW_PAUSE } else { SLOW_PAUSE_IDLE };
    }
}

/// The files of one group.
struct Of<'a> {
    reader: &'a mut Reader,
    files: &'a mut Files,
    below: &'a Path,
}

impl Of<'_> {
    fn text(&mut self, file: File) -> Option<&[u8]> {
        self.reader.read(self.files, self.below, file)
    }

    fn number(&mut self, file: File) -> Option<u64> {
        self.text(file).and_then(number)
    }
}

/// Percent of the time, of counters in µs.
fn share(before: Option<u64>, now: Option<u64>, elapsed: Duration) -> Option<f64> {
    let micros = elapsed.as_secs_f64() * 1e6;
    let spent = now?.checked_sub(before?)?;
    (micros > 0.0).then(|| round(100.0 * spent as f64 / micros, 3))
}

/// Per second; `None` if a counter went back.
fn io_rates(before: Transfers, now: Transfers, elapsed: Duration) -> Option<IoRates> {
    let seconds = elapsed.as_secs_f64();
    let rate = |before: u64, now: u64| {
        let delta = now.checked_sub(before)?;
        (seconds > 0.0).then(|| round(delta as f64 / seconds, 2))
    };
    Some(IoRates {
        read_bytes: rate(before.read_bytes, now.read_bytes)?,
        write_bytes: rate(before.write_bytes, now.write_bytes)?,
        reads: rate(before.reads, now.reads)?,
        writes: rate(before.writes, now.writes)?,
    })
}
