//! The programs of the probe `sched` from loading to reading: see [`super`].

use std::collections::{BTreeSet, HashMap};
use std::mem::offset_of;
use std::time::{Duration, Instant};

use aya::Ebpf;
use aya::programs::{RawTracePoint, RawTracePointRunOptions, TestRun as _};
use perfwatch_common::cost::Costs;
use perfwatch_common::groups;
use perfwatch_common::sched::{
    Cpu, LEADER, LEFT_DEAD, OOM_KILLS, OomKills, PROGRAMS, SWITCH, TOUCHED, Task, Touched,
};
use perfwatch_common::waits;
use time::OffsetDateTime;

use super::counting::Counting;
use super::groups::GroupTimes;
use super::interval::{
    Counted, CpuInterval, Exits, Interval, Ledger, OomKill, TaskInterval, Totals, Usage, comm,
};
use super::layout;
use crate::cgroups::Hierarchy;
use crate::probes::feed::Waits;
use crate::probes::guarded::Loaded;
use crate::probes::kernel::Kernel;
use crate::probes::loader::{self, Unavailable};
use crate::probes::mapped::Mapped;
use crate::probes::pmu::CorePmu;
use crate::probes::slot_map::Slots;
use crate::probes::target::REGISTERS_OF;
use crate::snapshot::histogram::Unit;
use crate::snapshot::rfc3339;
use crate::snapshot::source::ProgramStats;

static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../../perfwatch-ebpf/prebuilt/sched.o");

/// Maximum number of entries in the task table: 12 MB.
const MAX_TASKS: u32 = 65_536;

/// Waits from this on are charged to where they were.
const LONG_WAIT_NS: u64 = 1_000_000;
/// Entries of each map of waits: 14 MB.
const MAX_WAITS: u32 = 32 << 10;
/// Bytes for user stacks of waits: those of a second.
const STACKS_OF_CPU: u32 = 512 << 10;
const MAX_STACKS: u32 = 8 << 20;

/// Programs besides `switch`, without which the rest still works.
const OPTIONAL: [(&str, &str); 4] = [
    ("fork", "sched_process_fork"),
    ("exec", "sched_process_exec"),
    ("exit", "sched_process_exit"),
    ("oom_kill", "mark_victim"),
];

pub(super) struct Sched {
    ebpf: Ebpf,
    cpus: Mapped<Cpu>,
    tasks: Mapped<Task>,
    touched: Mapped<Touched>,
    oom: Mapped<OomKills>,
    groups: GroupTimes,
    /// The variant of `flush` that this kernel accepts.
    flush: Option<&'static str>,
    /// What could not be loaded although the rest was.
    missing: Vec<Unavailable>,
    /// The readings at the end of the last interval.
    before: Vec<Cpu>,
    /// How far each CPU's list of active tasks has been read.
    heads: Vec<u64>,
    /// What each active task had used by the last reading, by its index in the table.
    seen: HashMap<u32, Task>,
    /// Those of them that the last reading found dead, by index, pid and `born`.
    dead: Vec<(u32, u32, u32)>,
    oom_seen: u64,
    counting: Counting,
    /// Whether the kernel accounts for storage traffic.
    storage: bool,
    ledger: Ledger,
    exits: Exits,
    epoch: u32,
    read_at: Instant,
}

impl Sched {
    /// Loads and attaches the programs; counting begins at once.
    pub(super) fn load(
        kernel: &Kernel,
        hierarchy: Hierarchy,
        pid_max: u32,
        cores: Vec<CorePmu>,
        tells_waits: bool,
    ) -> Result<(Self, Waits), Unavailable> {
        let possible = loader::possible_cpus()?;
        let offsets = layout::offsets(kernel, hierarchy)?;
        let mut counting = Counting::open(0..possible, cores);
        let counting_mask = counting.mask();
        let entries = pid_max.clamp(1024, MAX_TASKS).next_power_of_two();
        let mask = entries - 1;
        let victim = kernel.arguments("mark_victim").is_some_and(|arguments| {
            arguments.first().is_some_and(|first| first.as_deref() == Some("task_struct"))
        });
        let victim = u32::from(victim);
        let delayed_sleepers = offsets.task_sched_delayed != 0;
        let touched_entries = possible.saturating_mul(TOUCHED as u32);
        let slots = groups::slots(possible);
        // Since 5.9.
        let tells_waits = tells_waits && kernel.has_helper("get_task_stack");
        let long_wait = if tells_waits { LONG_WAIT_NS } else { 0 };
        // The smallest that there is where nothing is told.
        let sized =
            |size: u32, most: u32| if tells_waits { possible.saturating_mul(size).min(most) } else { 1 };
        let waits = sized(waits::ENTRIES, MAX_WAITS);
        let architecture = if kernel.has_helper("task_pt_regs") { REGISTERS_OF } else { 0 };
        let stacks = sized(STACKS_OF_CPU, MAX_STACKS).next_power_of_two();
        let mut ebpf = loader::load("sched", OBJECT, |loader| {
            loader
                .override_global("OFFSETS", &offsets, true)
                .override_global("MASK", &mask, true)
                .override_global("COUNTING", &counting_mask, true)
                .override_global("VICTIM_IS_TASK", &victim, true)
                .override_global("SLOTS", &slots, true)
                .override_global("LONG_WAIT", &long_wait, true)
                .override_global("ARCHITECTURE", &architecture, true)
                .map_max_entries("WAIT", possible)
                .map_max_entries("STACK", possible)
                .map_max_entries("STACKS", stacks)
                .map_max_entries("WAITS_0", waits)
                .map_max_entries("WAITS_1", waits)
                .map_max_entries("CPUS", possible)
                .map_max_entries("TASKS", entries)
                .map_max_entries("TOUCHED_TASKS", touched_entries)
                .map_max_entries("GROUPS", possible.saturating_mul(slots));
        })?;
        counting.attach(&mut ebpf);
        let cpus = Mapped::<Cpu>::new(&ebpf, "CPUS", possible)?;
        let tasks = Mapped::new(&ebpf, "TASKS", entries)?;
        let touched = Mapped::new(&ebpf, "TOUCHED_TASKS", touched_entries)?;
        let oom = Mapped::new(&ebpf, "OOM", 1)?;
        let groups = GroupTimes::take(&mut ebpf, possible, slots)?;
        let waits = Waits::take(&mut ebpf)?;
        // Entries of the table start with epoch 0, which must not be the current one.
        let epoch = 1;
        set_epoch(&cpus, epoch);

        if delayed_sleepers {
            // Without it, false waits would be counted, so it is not optional here.
            kernel.attach(&mut ebpf, "migrate", "sched_migrate_task")?;
        }
        let mut missing = Vec::new();
        for (program, tracepoint) in OPTIONAL {
            if let Err(why) = kernel.attach(&mut ebpf, program, tracepoint) {
                missing.push(why);
            }
        }
        let flush = match load_flush(&mut ebpf) {
            Ok(program) => Some(program),
            Err(why) => {
                missing.push(why);
                None
            }
        };
        kernel.attach(&mut ebpf, "switch", "sched_switch")?;
        let before = (0..possible).filter_map(|cpu| cpus.get(cpu)).collect();
        let sched = Self {
            ebpf,
            cpus,
            tasks,
            touched,
            oom,
            groups,
            flush,
            missing,
            before,
            heads: vec![0; possible as usize],
            seen: HashMap::new(),
            dead: Vec::new(),
            oom_seen: 0,
            counting,
            storage: offsets.task_read_bytes != 0,
            ledger: Ledger::default(),
            exits: Exits::default(),
            epoch,
            read_at: Instant::now(),
        };
        Ok((sched, waits))
    }

    /// Everything since the last reading.
    pub(super) fn read(&mut self) -> Interval {
        self.flush();
        // The order matters: what is touched from now on is noted behind these ends, in the next epoch or this.
        let ends: Vec<u64> = (0..self.cpus.len()).map(|cpu| self.touched_end(cpu)).collect();
        self.epoch = self.epoch.wrapping_add(1);
        set_epoch(&self.cpus, self.epoch);
        let tasks = self.read_tasks(&ends);

        let elapsed = self.read_at.elapsed();
        self.read_at = Instant::now();
        let mut cpus = Vec::with_capacity(self.before.len());
        let mut counted = Counted::default();
        for (number, before) in (0u32..).zip(&mut self.before) {
            let (earlier, seen) = (Totals::of(before), before.seen[LEADER]);
            self.cpus.refresh(number, before, offset_of!(Cpu, woken));
            // A CPU that never switched is missing, or has nothing to report.
            if before.costs.runs(SWITCH) == 0 {
                continue;
            }
            let now = Totals::of(before);
            let cpu = |offset, copy| self.cpus.grown(number, offset, Unit::Nanoseconds, copy);
            let interval = CpuInterval {
                cpu: number,
                totals: now.since(&earlier),
                woken: cpu(offset_of!(Cpu, woken), &mut before.woken),
                preempted: cpu(offset_of!(Cpu, preempted), &mut before.preempted),
                off_cpu: cpu(offset_of!(Cpu, off_cpu), &mut before.off_cpu),
            };
            let times = Counted::between(&seen, &before.seen[LEADER]);
            // If only a few switches happened, all may precede the counters' first reading.
            if interval.totals.usage.switches > 1 {
                self.counting.follow(number, times.enabled > 0);
            }
            counted = counted.plus(times);
            cpus.push(interval);
        }
        let running: Vec<u32> = cpus.iter().map(|cpu| cpu.cpu).collect();
        let totals = cpus.iter().fold(Totals::default(), |sum, cpu| sum.plus(&cpu.totals));
        let known = tasks.iter().fold(Usage::default(), |sum, task| sum.plus(&task.usage));
        Interval {
            elapsed,
            cpus,
            tasks,
            groups: self.groups.read(&running),
            used: self.ledger.close(&totals.usage, &known),
            exits: self.exits.close(&totals),
            oom_kills: self.read_oom_kills(),
            counting: self.counting.mask(),
            counted,
            storage: self.storage,
        }
    }

    /// Counts the tasks of these groups at their slots.
    pub(super) fn follow(&mut self, slots: &Slots) {
        self.groups.follow(slots);
    }

    /// Makes each CPU that is running a task charge it now.
    fn flush(&mut self) {
        let Some(name) = self.flush else { return };
        let busy: Vec<u32> = (0..self.cpus.len()).filter(|cpu| self.is_busy(*cpu)).collect();
        let Ok(program) = flush_program(&mut self.ebpf, name) else { return };
        for cpu in busy {
            // A CPU that has just gone offline runs nothing to charge.
            let _ = program.test_run(RawTracePointRunOptions { cpu: Some(cpu), ..Default::default() });
        }
    }

    fn is_busy(&self, cpu: u32) -> bool {
        self.cpus.load_u32(cpu, offset_of!(Cpu, current)) != 0
    }

    fn touched_end(&self, cpu: u32) -> u64 {
        self.cpus.load_u64(cpu, offset_of!(Cpu, touched))
    }

    fn read_tasks(&mut self, ends: &[u64]) -> Vec<TaskInterval> {
        let mask = self.tasks.len() - 1;
        let mut indices = BTreeSet::new();
        let mut overrun = false;
        for ((cpu, end), head) in (0u32..).zip(ends).zip(&mut self.heads) {
            if end.wrapping_sub(*head) > TOUCHED {
                overrun = true;
            } else {
                indices.extend((*head..*end).filter_map(|at| {
                    let slot = cpu * TOUCHED as u32 + (at % TOUCHED) as u32;
                    Some(self.touched.get(slot)?.pid & mask)
                }));
            }
            *head = *end;
        }
        if overrun {
            // Any task may have been in a list that wrapped. Active tasks have the epoch that has just ended, or this
            // one; others were read when they were active, and those that died since then would be read again.
            let epoch = |index| self.tasks.load_u32(index, offset_of!(Task, epoch));
            indices.extend((0..self.tasks.len()).filter(|&index| self.epoch.wrapping_sub(epoch(index)) <= 1));
        }
        let dead = std::mem::take(&mut self.dead);
        let tasks = indices.into_iter().filter_map(|index| self.read_task(index)).collect();
        // Tasks active during the last reading may have been in a list again.
        for (index, pid, born) in dead {
            if self.seen.get(&index).is_some_and(|task| (task.pid, task.born) == (pid, born)) {
                self.seen.remove(&index);
            }
        }
        tasks
    }

    fn read_task(&mut self, index: u32) -> Option<TaskInterval> {
        let now = self.tasks.get(index).filter(|task| task.pid != 0)?;
        if now.left == LEFT_DEAD {
            self.dead.push((index, now.pid, now.born));
        }
        let before = self.seen.insert(index, now);
        let before = before.filter(|before| (before.pid, before.born) == (now.pid, now.born));
        let used = TaskInterval::between(before.as_ref(), &now);
        (used.usage != Usage::default()).then_some(used)
    }

    fn read_oom_kills(&mut self) -> Vec<OomKill> {
        let Some(oom) = self.oom.get(0) else { return Vec::new() };
        let new = oom.count.saturating_sub(self.oom_seen).min(OOM_KILLS as u64);
        self.oom_seen = oom.count;
        (oom.count - new..oom.count)
            .map(|at| oom.latest[(at % OOM_KILLS as u64) as usize])
            .map(|kill| OomKill {
                timestamp: wall_clock(kill.at_ns),
                pid: kill.pid,
                comm: Some(comm(&kill.comm)).filter(|comm| !comm.is_empty()),
            })
            .collect()
    }
}

impl Loaded for Sched {
    fn stats(&self) -> Vec<ProgramStats> {
        let costs = self.before.iter().fold(Costs::default(), |sum, cpu| sum.plus(&cpu.costs));
        loader::stats(&self.ebpf, PROGRAMS, &costs)
    }

    fn missing(&self) -> &[Unavailable] {
        &self.missing
    }
}

fn set_epoch(cpus: &Mapped<Cpu>, epoch: u32) {
    for cpu in 0..cpus.len() {
        cpus.set_u32(cpu, offset_of!(Cpu, epoch), epoch);
    }
}

/// Loads `flush`, or its replacement on kernels before 5.11.
fn load_flush(ebpf: &mut Ebpf) -> Result<&'static str, Unavailable> {
    let load = |ebpf: &mut Ebpf, name| {
        let loaded = flush_program(ebpf, name)?.load();
        loaded.map_err(|error| Unavailable::from_error(&format!("loading the program {name}"), &error))
    };
    let older = "flush_by_address";
    match load(ebpf, "flush") {
        Ok(()) => Ok("flush"),
        Err(why) => load(ebpf, older).map(|()| older).map_err(|_| why),
    }
}

fn flush_program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut RawTracePoint, Unavailable> {
    ebpf.program_mut(name)
        .and_then(|program| program.try_into().ok())
        .ok_or_else(|| Unavailable::new(format!("the object has no program {name}")))
}

/// The wall-clock time of a recent `CLOCK_MONOTONIC` reading.
fn wall_clock(at_ns: u64) -> String {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let now_ns = now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs();
    rfc3339(OffsetDateTime::now_utc() - Duration::from_nanos(now_ns.saturating_sub(at_ns)))
}
