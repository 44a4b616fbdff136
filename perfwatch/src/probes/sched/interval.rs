//! What probe `sched` counted between two readings: raw, for the documents `scheduler` and `processes`.

use std::time::Duration;

use perfwatch_common::counters::Reading;
use perfwatch_common::sched::{COUNTERS, Cpu, EXEC, LEFT_DEAD, SWITCH, Task};

use crate::snapshot::histogram::{Histogram, Unit};

/// Everything of one interval.
#[derive(Debug, Clone, Default)]
pub struct Interval {
    pub elapsed: Duration,
    pub cpus: Vec<CpuInterval>,
    /// The active tasks, unordered.
    pub tasks: Vec<TaskInterval>,
    /// Slots of cgroups at which something was counted.
    pub groups: Vec<GroupInterval>,
    /// Usage of all tasks, including those missing in `tasks`; see [`Ledger`].
    pub used: Usage,
    /// Processes that exited; see [`Exits`].
    pub exits: u64,
    pub oom_kills: Vec<OomKill>,
    /// A bit for each counter that this machine has.
    pub counting: u32,
    pub counted: Counted,
    /// Whether the kernel accounts storage reads and writes.
    pub storage: bool,
}

/// Usage of one or several tasks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Time on a CPU, ns.
    pub cpu_ns: u64,
    /// Time spent waiting for a CPU, ns.
    pub wait_ns: u64,
    /// Times it left a CPU. The idle tasks' switches count for the CPU, not for any task.
    pub switches: u64,
    pub read_bytes: u64,
    pub write_bytes: u64,
    /// Cycles, instructions, misses of the last-level cache, of branches and of the data TLB.
    pub counters: [u64; COUNTERS],
}

impl Usage {
    /// Field by field.
    fn with(self, other: &Self, f: fn(u64, u64) -> u64) -> Self {
        Self {
            cpu_ns: f(self.cpu_ns, other.cpu_ns),
            wait_ns: f(self.wait_ns, other.wait_ns),
            switches: f(self.switches, other.switches),
            read_bytes: f(self.read_bytes, other.read_bytes),
            write_bytes: f(self.write_bytes, other.write_bytes),
            counters: std::array::from_fn(|i| f(self.counters[i], other.counters[i])),
        }
    }

    #[must_use]
    pub fn plus(self, other: &Self) -> Self {
        self.with(other, u64::saturating_add)
    }

    #[must_use]
    pub fn minus(self, other: &Self) -> Self {
        self.with(other, u64::saturating_sub)
    }

    pub fn storage_bytes(&self) -> u64 {
        self.read_bytes.saturating_add(self.write_bytes)
    }
}

/// For how long the counters were requested and actually counted, ns, summed over CPUs. If they are multiplexed,
/// the counts are scaled up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    pub enabled: u64,
    pub running: u64,
}

impl Counted {
    /// From two readings of one CPU; nothing for counters that were reopened in between.
    pub fn between(previous: &Reading, current: &Reading) -> Self {
        let enabled = current.enabled.checked_sub(previous.enabled);
        let running = current.running.checked_sub(previous.running);
        enabled.zip(running).map_or_else(Self::default, |(enabled, running)| Self { enabled, running })
    }

    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { enabled: self.enabled + other.enabled, running: self.running + other.running }
    }

    /// Share of the time that they counted.
    pub fn running_ratio(&self) -> Option<f64> {
        (self.enabled > 0).then(|| self.running as f64 / self.enabled as f64)
    }

    /// Whether they never got to count, so that counts of zero mean nothing.
    pub fn starved(&self) -> bool {
        self.enabled > 0 && self.running == 0
    }
}

/// Keeps the total usage at or above that of the known tasks, without counting anything twice: a task is
/// read a moment before or after its CPU, and an excess in one interval is deducted from the next.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Since the beginning, by the CPUs' own totals.
    counted: Usage,
    /// Since the beginning, in intervals.
    reported: Usage,
}

impl Ledger {
    /// What to report for an interval in which the CPUs counted `cpus` and the known tasks used `tasks`.
    pub fn close(&mut self, cpus: &Usage, tasks: &Usage) -> Usage {
        self.counted = self.counted.plus(cpus);
        let reported = self.counted.with(&self.reported.plus(tasks), u64::max);
        let interval = reported.minus(&self.reported);
        self.reported = reported;
        interval
    }
}

/// Counts exited processes. When a thread other than the first runs another program, the first one has exited
/// some time before, in this interval or another; an excess is deducted as soon as possible.
#[derive(Debug, Default)]
pub struct Exits {
    /// Since the beginning.
    ended: u64,
    reported: u64,
}

impl Exits {
    /// What to report for an interval with these totals.
    pub fn close(&mut self, totals: &Totals) -> u64 {
        self.ended = (self.ended + totals.exits).saturating_sub(totals.replaced);
        let interval = self.ended.saturating_sub(self.reported);
        self.reported += interval;
        interval
    }
}

/// What one CPU, or all together, did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    pub usage: Usage,
    pub migrations: u64,
    pub unknown_waits: u64,
    pub evicted: u64,
    pub forks: u64,
    pub execs: u64,
    /// First threads that exited.
    pub exits: u64,
    /// First threads, of any interval, whose process continued as another thread.
    pub replaced: u64,
}

#[derive(Debug, Clone)]
pub struct CpuInterval {
    pub cpu: u32,
    pub totals: Totals,
    pub woken: Histogram,
    pub preempted: Histogram,
    pub off_cpu: Histogram,
}

/// What was counted at one slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupInterval {
    pub slot: u8,
    /// Run-queue wait.
    pub wait: Histogram,
    pub off_cpu: Histogram,
}

/// Usage of one thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskInterval {
    pub pid: u32,
    pub tgid: u32,
    /// The name of its process.
    pub comm: [u8; 16],
    pub uid: u32,
    /// The kernel's number of its cgroup.
    pub cgroup: u64,
    pub usage: Usage,
    pub exited: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OomKill {
    /// RFC 3339.
    pub timestamp: String,
    pub pid: u32,
    pub comm: Option<String>,
}

impl Totals {
    /// Running totals of a CPU.
    pub fn of(cpu: &Cpu) -> Self {
        Self {
            usage: Usage::of_cpu(cpu),
            migrations: cpu.migrations,
            unknown_waits: cpu.unknown_waits,
            evicted: cpu.evicted,
            forks: cpu.forks,
            execs: cpu.costs.runs(EXEC),
            exits: cpu.exits,
            replaced: cpu.replaced,
        }
    }

    /// The increase since `earlier`.
    #[must_use]
    pub fn since(self, earlier: &Self) -> Self {
        Self {
            usage: self.usage.minus(&earlier.usage),
            migrations: self.migrations.saturating_sub(earlier.migrations),
            unknown_waits: self.unknown_waits.saturating_sub(earlier.unknown_waits),
            evicted: self.evicted.saturating_sub(earlier.evicted),
            forks: self.forks.saturating_sub(earlier.forks),
            execs: self.execs.saturating_sub(earlier.execs),
            exits: self.exits.saturating_sub(earlier.exits),
            replaced: self.replaced.saturating_sub(earlier.replaced),
        }
    }

    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        self.usage = self.usage.plus(&other.usage);
        self.migrations += other.migrations;
        self.unknown_waits += other.unknown_waits;
        self.evicted += other.evicted;
        self.forks += other.forks;
        self.execs += other.execs;
        self.exits += other.exits;
        self.replaced += other.replaced;
        self
    }
}

impl Usage {
    fn of_cpu(cpu: &Cpu) -> Self {
        Self {
            cpu_ns: cpu.cpu_ns,
            wait_ns: cpu.wait_ns,
            switches: cpu.costs.runs(SWITCH),
            read_bytes: cpu.read_bytes,
            write_bytes: cpu.write_bytes,
            counters: cpu.counters,
        }
    }

    /// Since its table entry was made; `switches` is left out, because it wraps.
    fn of_task(task: &Task) -> Self {
        Self {
            cpu_ns: task.cpu_ns,
            wait_ns: task.wait_ns,
            switches: 0,
            read_bytes: task.read_bytes,
            write_bytes: task.write_bytes,
            counters: task.counters,
        }
    }
}

impl TaskInterval {
    /// A task's usage since `previous`, or since it was first seen.
    pub fn between(previous: Option<&Task>, current: &Task) -> Self {
        let unseen =
            Task { read_bytes: current.read_base, write_bytes: current.write_base, ..Task::default() };
        let previous = previous.unwrap_or(&unseen);
        let switches = u64::from(current.switches.wrapping_sub(previous.switches));
        Self {
            pid: current.pid,
            tgid: current.tgid,
            comm: current.comm,
            uid: current.uid,
            cgroup: current.cgroup,
            usage: Usage { switches, ..Usage::of_task(current).minus(&Usage::of_task(previous)) },
            exited: current.left == LEFT_DEAD,
        }
    }
}

impl Interval {
    pub fn totals(&self) -> Totals {
        self.cpus.iter().fold(Totals::default(), |sum, cpu| sum.plus(&cpu.totals))
    }

    /// One distribution over all CPUs.
    pub fn merged(&self, of: fn(&CpuInterval) -> &Histogram) -> Histogram {
        let mut all = Histogram::empty(Unit::Nanoseconds);
        for cpu in &self.cpus {
            let same_unit = all.merge(of(cpu));
            debug_assert!(same_unit, "all of the scheduler's distributions are of times");
        }
        all
    }
}

/// A kernel name: the bytes up to the first NUL.
pub fn comm(bytes: &[u8; 16]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cpu(ns: u64) -> Usage {
        Usage { cpu_ns: ns, ..Usage::default() }
    }

    #[test]
    fn a_task_first_seen_is_charged_since_then() {
        let mut task = Task { pid: 7, read_base: 1000, read_bytes: 1500, cpu_ns: 9, ..Task::default() };
        task.switches = u32::MAX;
        let first = TaskInterval::between(None, &task).usage;
        assert_eq!((first.read_bytes, first.cpu_ns), (500, 9));
        let before = task;
        task.switches = 2; // wrapped
        task.read_bytes += 4096;
        let next = TaskInterval::between(Some(&before), &task).usage;
        assert_eq!((next.read_bytes, next.cpu_ns, next.switches), (4096, 0, 3));
    }

    #[test]
    fn counters_that_were_opened_anew_tell_nothing_of_the_interval() {
        let at = |enabled, running| Reading { counter: 0, enabled, running };
        let counted = Counted::between(&at(100, 80), &at(300, 130));
        assert_eq!(counted, Counted { enabled: 200, running: 50 });
        assert_eq!(counted.running_ratio(), Some(0.25));
        let anew = Counted::between(&at(300, 130), &at(10, 10));
        assert_eq!((anew, anew.running_ratio()), (Counted::default(), None));
        assert!(!anew.starved() && Counted { enabled: 5, running: 0 }.starved());
    }

    #[test]
    fn what_one_interval_has_too_much_the_next_has_less() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.close(&cpu(100), &cpu(103)).cpu_ns, 103);
        assert_eq!(ledger.close(&cpu(100), &cpu(90)).cpu_ns, 97);
        assert_eq!(ledger.close(&cpu(5), &cpu(5)).cpu_ns, 5);
    }

    #[test]
    fn a_first_thread_that_is_replaced_is_no_process_that_exited() {
        let close = |exits: &mut Exits, first_threads, replaced| {
            exits.close(&Totals { exits: first_threads, replaced, ..Totals::default() })
        };
        let mut exits = Exits::default();
        assert_eq!(close(&mut exits, 3, 1), 2, "in one interval");
        assert_eq!(close(&mut exits, 1, 0), 1, "not known yet");
        assert_eq!(close(&mut exits, 0, 1), 0);
        assert_eq!(close(&mut exits, 5, 0), 4, "one of them had been told");
        assert_eq!(close(&mut exits, 2, 0), 2);
        let mut began_in_between = Exits::default();
        assert_eq!(close(&mut began_in_between, 0, 1), 0);
        assert_eq!(close(&mut began_in_between, 1, 0), 1);
    }

    proptest! {
        #[test]
        fn totals_cover_the_parts_and_lose_nothing(
            intervals in proptest::collection::vec((0u64..1000, 0u64..1000), 1..50),
        ) {
            let mut ledger = Ledger::default();
            let (mut reported, mut counted) = (0, 0);
            for (cpus, tasks) in intervals {
                let interval = ledger.close(&cpu(cpus), &cpu(tasks)).cpu_ns;
                prop_assert!(interval >= tasks);
                reported += interval;
                counted += cpus;
            }
            prop_assert!(reported >= counted);
        }
    }
}
