//! The fields of `usage`: what every process used, for history.

use super::Export::None;
use super::{Field, Kind, field};

const fn amount(path: &'static str, unit: &'static str, help: &'static str) -> Field {
    field(path, unit, help, None).of_kind(Kind::Interval)
}

const fn fact(path: &'static str, help: &'static str) -> Field {
    field(path, "", help, None).of_kind(Kind::State)
}

pub(super) const USAGE: &[Field] = &[
    field("elapsed_ms", "ms", "Time that the values cover.", None),
    fact(
        "processes[cgroup,comm,pid].cgroup",
        "The path of the cgroup of its busiest thread; `null` if it is not known.",
    ),
    fact(
        "processes[cgroup,comm,pid].comm",
        "The kernel's name of the process; empty for all others of the cgroup together.",
    ),
    field(
        "processes[cgroup,comm,pid].pid",
        "",
        "0 for several processes together: short-lived ones, and those that used very little.",
        None,
    ),
    field("processes[cgroup,comm,pid].processes", "", "Processes in this row.", None),
    amount("processes[cgroup,comm,pid].exits", "", "Processes of this row that ended."),
    amount("processes[cgroup,comm,pid].cpu_us", "us", "CPU time."),
    amount("processes[cgroup,comm,pid].runqueue_wait_us", "us", "Time spent runnable, waiting for a CPU."),
    amount("processes[cgroup,comm,pid].context_switches", "", "Times its threads left a CPU."),
    amount("processes[cgroup,comm,pid].read_bytes", "bytes", "Read from storage."),
    amount(
        "processes[cgroup,comm,pid].write_bytes",
        "bytes",
        "Written to storage, counted when the page cache is dirtied.",
    ),
    amount("processes[cgroup,comm,pid].cycles", "", "CPU cycles."),
    amount("processes[cgroup,comm,pid].instructions", "", "Instructions."),
    amount("processes[cgroup,comm,pid].llc_misses", "", "Misses of the last-level cache."),
    amount("processes[cgroup,comm,pid].branch_misses", "", "Mispredicted branches."),
    amount("processes[cgroup,comm,pid].dtlb_misses", "", "Misses of the data TLB."),
    field("processes[cgroup,comm,pid].rss_bytes", "bytes", "Resident memory.", None),
    amount("processes[cgroup,comm,pid].minor_faults", "", "Page faults that needed no storage."),
    amount("processes[cgroup,comm,pid].major_faults", "", "Page faults that waited for storage."),
    fact("processes[cgroup,comm,pid].user", "User."),
    fact("processes[cgroup,comm,pid].parent_pid", "PID of its parent when it was first listed."),
    fact("processes[cgroup,comm,pid].started", "When it started."),
    fact("processes[cgroup,comm,pid].executable", "Path of its program."),
    fact("processes[cgroup,comm,pid].command", "Its command line, with secrets masked."),
    fact("groups[cgroup].cgroup", "The path of a cgroup in which there is a process."),
    fact("groups[cgroup].kind", "What it is, as in `cgroups`."),
    fact("groups[cgroup].name", "What people call it."),
    fact("groups[cgroup].runtime", "Who runs the container that it is, or is in."),
    fact("groups[cgroup].image", "The image that the container was made from."),
    fact("groups[cgroup].pod", "Its pod."),
    fact("groups[cgroup].namespace", "The pod's namespace."),
];
