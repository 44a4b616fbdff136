//! Probe `sched`: the programs on the scheduler's tracepoints. Its readings become two documents:
//! `scheduler` (see `runqueue`) and `processes`.
//!
//! # Hook points
//! tp_btf `sched_switch`, `sched_migrate_task` (since 6.12), `sched_process_fork`, `sched_process_exec`,
//! `sched_process_exit`, `mark_victim`. At each reading the busy CPUs run `flush`, so that a task which does
//! not leave its CPU is charged too.
//!
//! # Output
//! Arrays mapped into our memory: per CPU totals and histograms; a table of tasks, 192 bytes each, at
//! `pid & mask`; per CPU a list of the tasks that were active since the last reading. A reading looks only at
//! those. A task whose entry was overwritten by another before it was read is part of the CPUs' totals,
//! which are counted separately, and so of what documents call the rest. Per CPU and cgroup two histograms, 1 KiB: see
//! `perfwatch_common::groups`.
//!
//! Cost: about 100 ns per switch by the kernel's accounting, of which an empty program with the same look-ups has 60
//! (`cargo xtask bench ebpf`).

mod counting;
mod groups;
pub mod interval;
mod layout;
mod programs;
mod shared;

pub(super) use self::layout::hierarchy_link;
pub(super) use self::shared::SharedSched;
