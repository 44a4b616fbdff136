//! Probe `sched`: what the programs on the scheduler's tracepoints keep, and where in the running kernel's
//! structs they find it. Arrays are mapped into user space, which reads them without system calls.
//!
//! Times are in ns of the run queue's clock (`struct rq.clock`): every value is a difference of two readings.

use core::mem::offset_of;

use crate::cost::Costs;
use crate::counters::Reading;
use crate::histogram::Buckets;
use crate::waits::Pace;

/// Counters charged to tasks: cycles, instructions and three kinds of misses.
pub const COUNTERS: usize = 5;
/// The first of them leads their group: without it none counts.
pub const LEADER: usize = 0;

/// The programs, by their place in [`Cpu::costs`].
pub const PROGRAMS: [&str; 7] = ["switch", "migrate", "fork", "exec", "exit", "oom_kill", "flush"];
pub const SWITCH: usize = 0;
pub const MIGRATE: usize = 1;
pub const FORK: usize = 2;
pub const EXEC: usize = 3;
pub const EXIT: usize = 4;
pub const OOM_KILL: usize = 5;
pub const FLUSH: usize = 6;

/// Tasks of one CPU that user space may be behind before it must read the whole table.
pub const TOUCHED: u64 = 4096;

/// Byte offsets of struct members in the running kernel, from its BTF.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Offsets {
    pub task_pid: u32,
    pub task_tgid: u32,
    pub task_comm: u32,
    /// `__state` since 5.14, `state` before.
    pub task_state: u32,
    pub task_start_time: u32,
    pub task_cgroups: u32,
    pub task_group_leader: u32,
    pub task_real_cred: u32,
    /// `ioac.read_bytes`; 0 where the kernel does not account for it.
    pub task_read_bytes: u32,
    pub task_write_bytes: u32,
    /// `se.sum_exec_runtime`.
    pub task_exec_runtime: u32,
    /// `se.cfs_rq`, which leads to the run queue whatever class the task is of.
    pub task_cfs_rq: u32,
    pub task_run_delay: u32,
    pub task_last_queued: u32,
    pub task_last_arrival: u32,
    /// `se.sched_delayed`, since 6.12; 0 where there is none.
    pub task_sched_delayed: u32,
    pub cfs_rq_rq: u32,
    pub rq_clock: u32,
    pub cred_euid: u32,
    /// Where a `css_set` leads to the cgroup that tasks are charged to: its `dfl_cgrp` with version 2, a `subsys`
    /// entry with version 1.
    pub css_set_link: u32,
    /// 1 if that link is a `cgroup_subsys_state`.
    pub link_is_css: u32,
    pub css_cgroup: u32,
    pub cgroup_kn: u32,
    pub kernfs_node_id: u32,
}

/// How a task left the CPU.
pub const LEFT_UNKNOWN: u8 = 0;
/// It sleeps, or waits for something else than a CPU.
pub const LEFT_BLOCKED: u8 = 1;
/// It was preempted or yielded: it waits for a CPU.
pub const LEFT_RUNNABLE: u8 = 2;
/// It blocked, and since then the kernel noted a time of queueing that is not that of its wake-up: kernels that
/// leave sleepers on the queue for a while (`sched_delayed`, 6.12) do so when they move one to another CPU.
pub const LEFT_MISQUEUED: u8 = 3;
/// For good: who comes with its pid then is another.
pub const LEFT_DEAD: u8 = 4;

/// One task. Entry `pid & mask` of the table; totals only grow while `pid` and `born` stay the same. What every
/// switch touches fills the first cache line.
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Task {
    pub pid: u32,
    /// The epoch in which it last went to the list of touched tasks.
    pub epoch: u32,
    /// Times it left a CPU; wraps.
    pub switches: u32,
    pub last_cpu: u16,
    pub left: u8,
    /// Of its cgroup (see [`crate::groups`]), if `epoch` is the current one: it may be another's since.
    pub slot: u8,
    pub left_at: u64,
    /// `run_delay` when it last left.
    pub delay_seen: u64,
    /// `sum_exec_runtime` up to which time is charged.
    pub exec_seen: u64,
    pub cpu_ns: u64,
    pub wait_ns: u64,
    /// `read_bytes` plus `write_bytes`: shows whether one of them has changed.
    pub storage_seen: u64,
    /// Bytes it caused to be read from and written to storage since it began, as the kernel accounts for them.
    pub read_bytes: u64,
    pub write_bytes: u64,
    /// The same when this entry was made.
    pub read_base: u64,
    pub write_base: u64,
    pub counters: [u64; COUNTERS],
    /// Start time in µs, its low 32 bits: tells tasks with one pid apart.
    pub born: u32,
    pub tgid: u32,
    /// The kernel's number of its cgroup.
    pub cgroup: u64,
    /// The name of its process.
    pub comm: [u8; 16],
    /// Effective user.
    pub uid: u32,
    /// 1 if its last wait for something other than a CPU was long (see [`crate::waits`]).
    pub was_long: u32,
    /// 1 if its user stack was taken when it left.
    pub stack_taken: u32,
    /// The window in which that was last done, its low 32 bits.
    pub stack_window: u32,
    pub padding: [u32; 2],
}

/// One CPU: the totals of everything that ran there, and its histograms.
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpu {
    /// Set by user space at each reading.
    pub epoch: u32,
    /// The pid on this CPU, 0 when idle.
    pub current: u32,
    /// Entries ever written to this CPU's list of touched tasks.
    pub touched: u64,
    pub migrations: u64,
    pub cpu_ns: u64,
    pub wait_ns: u64,
    /// Times a task came to a CPU and nothing tells how long it had waited.
    pub unknown_waits: u64,
    /// Entries of the table taken over from a task that had been active since the last reading.
    pub evicted: u64,
    /// Processes (not threads) that were made here.
    pub forks: u64,
    /// First threads that exited.
    pub exits: u64,
    /// Also how many switches and execs there were.
    pub costs: Costs<{ PROGRAMS.len() }>,
    pub read_bytes: u64,
    pub write_bytes: u64,
    /// Of `exits` on any CPU, those whose process went on: another thread took over the first one's number when it
    /// ran another program.
    pub replaced: u64,
    pub pace: Pace,
    pub counters: [u64; COUNTERS],
    /// The counters' last raw readings.
    pub seen: [Reading; COUNTERS],
    pub share: Share,
    /// Run-queue wait after a wake-up.
    pub woken: Buckets,
    /// Run-queue wait of tasks that were preempted or yielded.
    pub preempted: Buckets,
    /// From when a task blocked until it ran again.
    pub off_cpu: Buckets,
}

/// How much of the time a CPU's counters really counted, where others make them take turns. It is measured over
/// [`SHARE_OVER`], which is many turns: within one turn they count all of a task's time or none of it, so what
/// they count is scaled by the share of the time around it, not by that of the task.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    /// Times since it was last measured, ns.
    pub enabled: u64,
    pub running: u64,
    /// What counts are multiplied by, in 65536ths; 0 until it was measured.
    pub scale: u64,
}

/// ns; a turn is 4 ms by the kernel's default.
pub const SHARE_OVER: u64 = 100_000_000;

impl Share {
    /// Notes that the counters were enabled and counting for so long.
    #[inline(always)]
    pub fn add(&mut self, enabled: u64, running: u64) {
        self.enabled += enabled;
        self.running += running;
        if self.enabled >= SHARE_OVER {
            // When they did not count at all nothing is known that is better than what was.
            if let Some(scale) = (self.enabled << 16).checked_div(self.running) {
                self.scale = scale;
            }
            self.enabled = 0;
            self.running = 0;
        }
    }

    /// What would have been counted in all of the time.
    #[inline(always)]
    pub fn scaled(&self, count: u64) -> u64 {
        // Half of the scale's binary places, so that counts up to 2^40 of one in 2^16 turns fit.
        if self.scale <= 1 << 16 { count } else { (count * (self.scale >> 8)) >> 8 }
    }
}

/// One entry of a list of touched tasks.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Touched {
    pub pid: u32,
    pub born: u32,
}

pub const OOM_KILLS: usize = 8;

/// A ring of the latest victims of the out-of-memory killer.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OomKills {
    pub count: u64,
    pub latest: [OomKill; OOM_KILLS],
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OomKill {
    /// `CLOCK_MONOTONIC`, ns.
    pub at_ns: u64,
    pub pid: u32,
    pub padding: u32,
    pub comm: [u8; 16],
}

const _: () = {
    assert!(size_of::<Task>() == 3 * 64 && offset_of!(Task, read_bytes) == 64);
    assert!(size_of::<Touched>() == 8);
    assert!(size_of::<OomKill>() == 32);
    // What every switch counts, and the counts of runs, fill two cache lines.
    assert!(size_of::<Cpu>().is_multiple_of(64) && offset_of!(Cpu, exits) == 64);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_scaled_by_the_share_of_many_turns() {
        let mut share = Share::default();
        assert_eq!(share.scaled(1000), 1000, "nothing is known yet");
        for turn in 0..100 {
            share.add(4_000_000, if turn % 5 == 0 { 4_000_000 } else { 0 });
        }
        assert_eq!(share.scaled(1000), 5000);
        // A slice of which all was counted is one of five such.
        assert_eq!(share.scaled(1 << 40), 5 << 40);
        share.add(SHARE_OVER, 0);
        assert_eq!(share.scaled(1000), 5000, "starved: what was known stands");
        share.add(SHARE_OVER, SHARE_OVER);
        assert_eq!(share.scaled(u64::MAX), u64::MAX, "nobody else counts any more");
    }
}

#[cfg(feature = "user")]
#[allow(unsafe_code)]
mod pod {
    use super::{Cpu, Offsets, OomKills, Task, Touched};

    // SAFETY: `repr(C)` and integers only, so every bit pattern is valid.
    unsafe impl aya::Pod for Offsets {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Cpu {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Task {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Touched {}
    // SAFETY: as above.
    unsafe impl aya::Pod for OomKills {}
}
