//! How tasks begin and end: forks, execs, exits, and who was killed for lack of memory.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::macros::{btf_tracepoint, map};
use aya_ebpf::maps::Array;
use aya_ebpf::programs::BtfTracePointContext;
use perfwatch_common::sched::{Cpu, EXEC, EXIT, FORK, LEFT_DEAD, OOM_KILL, OOM_KILLS, OomKills};
use perfwatch_ebpf::{MAPPED, accounted, constant, member};

use super::{MASK, OFFSETS, TASKS, this_cpu};

#[map]
static OOM: Array<OomKills> = Array::with_max_entries(1, MAPPED);

/// 1 where `mark_victim` hands over the task (since 6.8), 0 where it hands over the pid.
#[unsafe(no_mangle)]
static VICTIM_IS_TASK: u32 = 0;

#[btf_tracepoint(function = "sched_process_fork")]
pub fn fork(ctx: BtfTracePointContext) -> i32 {
    let child: *const u8 = ctx.arg(1);
    let Some(cpu) = this_cpu() else { return 0 };
    accounted!(unsafe { &raw mut (*cpu).costs }, FORK, unsafe { (*cpu).forks += is_leader(child) as u64 });
    0
}

#[btf_tracepoint(function = "sched_process_exec")]
pub fn exec(ctx: BtfTracePointContext) -> i32 {
    let task: *const u8 = ctx.arg(0);
    let before: u32 = ctx.arg(1);
    let Some(cpu) = this_cpu() else { return 0 };
    accounted!(unsafe { &raw mut (*cpu).costs }, EXEC, unsafe {
        end_first_thread(cpu, task, before);
        rename(task);
    });
    0
}

/// Its process has another name now. Otherwise one that was switched away between fork and exec, and ends within the same
/// epoch, would be charged to its parent's name.
#[inline(always)]
unsafe fn rename(task: *const u8) {
    let pid: u32 = unsafe { member(task, constant!(OFFSETS.task_pid)) };
    // SAFETY: the task runs here, so nobody else writes its entry.
    if let Some(entry) = TASKS.get_ptr_mut(pid & constant!(MASK))
        && unsafe { (*entry).pid } == pid
        && unsafe { (*entry).left } != LEFT_DEAD
    {
        unsafe { (*entry).comm = member(task, constant!(OFFSETS.task_comm)) };
    }
}

/// A thread that is not the first takes over the number of the first one, which is gone by now: what stands at that
/// number is of that one. The kernel's first argument is the task, its second the number that it had.
#[inline(always)]
unsafe fn end_first_thread(cpu: *mut Cpu, task: *const u8, before: u32) {
    let pid: u32 = unsafe { member(task, constant!(OFFSETS.task_pid)) };
    if pid == before {
        return;
    }
    // The first thread's end was counted as its process's by `exit`.
    unsafe { (*cpu).replaced += 1 };
    // SAFETY: the task of this number runs here, so nobody else writes its entry.
    if let Some(entry) = TASKS.get_ptr_mut(pid & constant!(MASK))
        && unsafe { (*entry).pid } == pid
    {
        unsafe { (*entry).left = LEFT_DEAD };
    }
}

#[btf_tracepoint(function = "sched_process_exit")]
pub fn exit(ctx: BtfTracePointContext) -> i32 {
    let task: *const u8 = ctx.arg(0);
    let Some(cpu) = this_cpu() else { return 0 };
    accounted!(unsafe { &raw mut (*cpu).costs }, EXIT, unsafe { (*cpu).exits += is_leader(task) as u64 });
    0
}

/// Whether the task is its process's first thread.
#[inline(always)]
unsafe fn is_leader(task: *const u8) -> bool {
    unsafe {
        let pid: u32 = member(task, constant!(OFFSETS.task_pid));
        let tgid: u32 = member(task, constant!(OFFSETS.task_tgid));
        pid == tgid
    }
}

#[btf_tracepoint(function = "mark_victim")]
pub fn oom_kill(ctx: BtfTracePointContext) -> i32 {
    let Some(cpu) = this_cpu() else { return 0 };
    accounted!(unsafe { &raw mut (*cpu).costs }, OOM_KILL, unsafe { note_oom_kill(&ctx) });
    0
}

#[inline(always)]
unsafe fn note_oom_kill(ctx: &BtfTracePointContext) {
    let Some(kills) = OOM.get_ptr_mut(0) else { return };
    // SAFETY: the kernel holds its lock of the out-of-memory killer.
    let kills = unsafe { &mut *kills };
    let kill = &mut kills.latest[kills.count as usize % OOM_KILLS];
    kill.at_ns = unsafe { bpf_ktime_get_ns() };
    if constant!(VICTIM_IS_TASK) == 1 {
        let task: *const u8 = ctx.arg(0);
        unsafe {
            kill.pid = member(task, constant!(OFFSETS.task_tgid));
            kill.comm = member(task, constant!(OFFSETS.task_comm));
        }
    } else {
        kill.pid = ctx.arg(0);
        kill.comm = [0; 16];
    }
    kills.count += 1;
}
