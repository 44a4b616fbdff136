//! Probe `sched`: run-queue wait, off-CPU time and what each task used.
//!
//! Hook points: tp_btf `sched_switch` (`switch`), `sched_migrate_task` (since 6.12), `sched_process_fork`,
//! `sched_process_exec`, `sched_process_exit`, `mark_victim`; `flush` runs on one CPU when user space asks for it.
//!
//! One program does everything at a switch, and no program runs at a wake-up: the kernel itself notes when it
//! queues a task (`sched_info.last_queued`) and what the time is (`rq.clock`), so neither a clock is read nor a
//! map entry made and deleted for each wait.
#![no_std]
#![no_main]

#[path = "sched/group.rs"]
mod group;
#[path = "sched/life.rs"]
mod life;
#[path = "sched/waits.rs"]
mod waits;

use core::ffi::c_void;

use aya_ebpf::bindings::{BPF_F_CURRENT_CPU, task_struct};
use aya_ebpf::helpers::bpf_get_smp_processor_id;
use aya_ebpf::helpers::generated::{
    bpf_get_current_task, bpf_get_current_task_btf, bpf_perf_event_read_value,
};
use aya_ebpf::macros::{btf_tracepoint, map, raw_tracepoint};
use aya_ebpf::maps::{Array, PerfEventArray};
use aya_ebpf::programs::{BtfTracePointContext, RawTracePointContext};
use perfwatch_common::counters::Reading;
use perfwatch_common::groups::Group;
use perfwatch_common::sched::{
    COUNTERS, Cpu, FLUSH, LEADER, LEFT_BLOCKED, LEFT_DEAD, LEFT_MISQUEUED, LEFT_RUNNABLE, LEFT_UNKNOWN,
    MIGRATE, Offsets, SWITCH, TOUCHED, Task, Touched,
};
use perfwatch_ebpf::{Access, Address, Known, MAPPED, accounted, constant, member, record_both};

perfwatch_ebpf::license!();

/// ns. Longer times are held against when the task came to its CPU.
const LONG_SLICE: u64 = 1 << 24;

/// A task that has left for good (`TASK_DEAD`).
const TASK_DEAD: u32 = 0x80;

#[map]
static CPUS: Array<Cpu> = Array::with_max_entries(1, MAPPED);

/// A power of two of entries.
#[map]
static TASKS: Array<Task> = Array::with_max_entries(1, MAPPED);

/// `TOUCHED` entries to each CPU.
#[map]
static TOUCHED_TASKS: Array<Touched> = Array::with_max_entries(1, MAPPED);

/// `SLOTS` entries to each CPU.
#[map]
static GROUPS: Array<Group> = Array::with_max_entries(1, MAPPED);

/// Declares one array of descriptors per counter, indexed by CPU, and `read_counters` to read them.
macro_rules! counters {
    ($($name:ident)*) => {
        $(
            #[map]
            static $name: PerfEventArray<u8> = PerfEventArray::new(0);
        )*

        /// What the counters of this CPU counted since they were last read.
        #[inline(always)]
        unsafe fn read_counters(cpu: &mut Cpu, used: &mut [u64; COUNTERS]) {
            // One question on machines without a PMU: the verifier drops what it rules out, but not the asking.
            if constant!(COUNTING) == 0 {
                return;
            }
            let mut counter = 0;
            $(
                if counting(counter) {
                    used[counter] = unsafe { read_counter(cpu, counter, (&raw const $name).cast_mut().cast()) };
                }
                counter += 1;
            )*
            let _ = counter;
        }
    };
}

counters! { COUNTER_0 COUNTER_1 COUNTER_2 COUNTER_3 COUNTER_4 }

/// Whether a counter counts on this machine. The verifier drops the code of those that do not.
#[inline(always)]
fn counting(counter: usize) -> bool {
    constant!(COUNTING) & (1 << counter) != 0
}

#[unsafe(no_mangle)]
static OFFSETS: Offsets = Offsets {
    task_pid: 0,
    task_tgid: 0,
    task_comm: 0,
    task_state: 0,
    task_start_time: 0,
    task_cgroups: 0,
    task_group_leader: 0,
    task_real_cred: 0,
    task_read_bytes: 0,
    task_write_bytes: 0,
    task_exec_runtime: 0,
    task_cfs_rq: 0,
    task_run_delay: 0,
    task_last_queued: 0,
    task_last_arrival: 0,
    task_sched_delayed: 0,
    cfs_rq_rq: 0,
    rq_clock: 0,
    cred_euid: 0,
    css_set_link: 0,
    link_is_css: 0,
    css_cgroup: 0,
    cgroup_kn: 0,
    kernfs_node_id: 0,
};

/// Entries of `TASKS` less one.
#[unsafe(no_mangle)]
static MASK: u32 = 0;

/// Slots of groups to each CPU.
#[unsafe(no_mangle)]
static SLOTS: u32 = 1;

/// A bit for each counter that counts on this machine.
#[unsafe(no_mangle)]
static COUNTING: u32 = 0;

#[btf_tracepoint(function = "sched_switch")]
pub fn switch(ctx: BtfTracePointContext) -> i32 {
    let preempted: u64 = ctx.arg(0);
    let prev: *const u8 = ctx.arg(1);
    let next: *const u8 = ctx.arg(2);
    let number = unsafe { bpf_get_smp_processor_id() } as u32;
    let Some(cpu) = CPUS.get_ptr_mut(number) else { return 0 };
    accounted!(unsafe { &raw mut (*cpu).costs }, SWITCH, unsafe {
        // SAFETY: this CPU's own entry, and interrupts are off: nothing else of this object runs here now.
        let cpu = &mut *cpu;
        let clock = clock::<Known>(prev);
        leave(&ctx, cpu, number, prev, preempted as u8 != 0, clock);
        arrive(cpu, number, next, clock);
    });
    0
}

/// The run queue's clock as this pass of the scheduler has set it.
#[inline(always)]
unsafe fn clock<A: Access>(task: *const u8) -> u64 {
    unsafe {
        let cfs_rq: *const u8 = A::member(task, constant!(OFFSETS.task_cfs_rq));
        let rq: *const u8 = A::member(cfs_rq, constant!(OFFSETS.cfs_rq_rq));
        A::member(rq, constant!(OFFSETS.rq_clock))
    }
}

#[inline(always)]
unsafe fn leave(
    ctx: &BtfTracePointContext,
    cpu: &mut Cpu,
    number: u32,
    prev: *const u8,
    preempted: bool,
    clock: u64,
) {
    let Some(task) = (unsafe { charge::<Known>(cpu, number, prev, clock) }) else { return };
    let state: u32 = unsafe { member(prev, constant!(OFFSETS.task_state)) };
    task.switches += 1;
    // A task preempted on its way to sleep has a state other than running, but stays on the run queue.
    task.left = if preempted || state == 0 {
        LEFT_RUNNABLE
    } else if state & TASK_DEAD != 0 {
        LEFT_DEAD
    } else {
        LEFT_BLOCKED
    };
    task.left_at = clock;
    task.delay_seen = unsafe { member(prev, constant!(OFFSETS.task_run_delay)) };
    if task.left == LEFT_BLOCKED && task.was_long != 0 {
        unsafe { waits::take_stack(ctx, cpu, task, clock) };
    }
}

/// Charges what `running` used since it was last charged; `None` for the idle task.
#[inline(always)]
unsafe fn charge<A: Access>(
    cpu: &mut Cpu,
    number: u32,
    running: *const u8,
    clock: u64,
) -> Option<&'static mut Task> {
    unsafe {
        let mut used = [0u64; COUNTERS];
        // The idle task's counts are read too, so that they are not the next one's.
        read_counters(cpu, &mut used);
        let pid: u32 = A::member(running, constant!(OFFSETS.task_pid));
        if pid == 0 {
            return None;
        }
        let (task, is_new) = entry::<A>(cpu, running, pid)?;
        let exec: u64 = A::member(running, constant!(OFFSETS.task_exec_runtime));
        if is_new {
            // First seen while it runs: it is charged from when it came to this CPU.
            let arrived: u64 = A::member(running, constant!(OFFSETS.task_last_arrival));
            task.exec_seen = exec.saturating_sub(clock.saturating_sub(arrived));
        }
        if exec > task.exec_seen {
            let mut time = exec - task.exec_seen;
            task.exec_seen = exec;
            if time > LONG_SLICE {
                // It may be another task's that has just taken over this one's number (see `exec`).
                let arrived: u64 = A::member(running, constant!(OFFSETS.task_last_arrival));
                time = time.min(clock.saturating_sub(arrived));
            }
            task.cpu_ns += time;
            cpu.cpu_ns += time;
        }
        let (read, written) = storage_bytes::<A>(running);
        if read.wrapping_add(written) != task.storage_seen {
            charge_storage(cpu, task, read, written);
        }
        if constant!(COUNTING) != 0 {
            for counter in 0..COUNTERS {
                if counting(counter) {
                    task.counters[counter] += used[counter];
                    cpu.counters[counter] += used[counter];
                }
            }
        }
        if task.epoch != cpu.epoch {
            touch::<A>(cpu, number, task, running);
        }
        Some(task)
    }
}

#[inline(always)]
fn charge_storage(cpu: &mut Cpu, task: &mut Task, read: u64, written: u64) {
    cpu.read_bytes += read.saturating_sub(task.read_bytes);
    cpu.write_bytes += written.saturating_sub(task.write_bytes);
    task.read_bytes = read;
    task.write_bytes = written;
    task.storage_seen = read.wrapping_add(written);
}

/// What a task has caused to be read from and written to storage since it began.
#[inline(always)]
unsafe fn storage_bytes<A: Access>(task: *const u8) -> (u64, u64) {
    if constant!(OFFSETS.task_read_bytes) == 0 {
        return (0, 0);
    }
    unsafe {
        (
            A::member(task, constant!(OFFSETS.task_read_bytes)),
            A::member(task, constant!(OFFSETS.task_write_bytes)),
        )
    }
}

#[inline(always)]
unsafe fn arrive(cpu: &mut Cpu, number: u32, next: *const u8, clock: u64) {
    unsafe {
        let pid: u32 = member(next, constant!(OFFSETS.task_pid));
        cpu.current = pid;
        if pid == 0 {
            return;
        }
        let Some((task, is_new)) = entry::<Known>(cpu, next, pid) else { return };
        if is_new {
            task.exec_seen = member(next, constant!(OFFSETS.task_exec_runtime));
        } else if task.last_cpu != number as u16 {
            cpu.migrations += 1;
        }
        task.last_cpu = number as u16;
        if task.epoch != cpu.epoch {
            group::find_slot(task, next);
        }
        let place = number * constant!(SLOTS) + task.slot as u32;
        let Some(group) = GROUPS.get_ptr_mut(place) else { return };
        // SAFETY: this CPU's own entry, as `cpu` is.
        let group = &mut *group;

        let since_left = clock.saturating_sub(task.left_at);
        let left = task.left;
        task.left = LEFT_UNKNOWN;
        let wait = if left == LEFT_RUNNABLE {
            record_both(&mut cpu.preempted, &mut group.wait, since_left);
            since_left
        } else {
            if left != LEFT_UNKNOWN {
                record_both(&mut cpu.off_cpu, &mut group.off_cpu, since_left);
            }
            let queued: u64 = member(next, constant!(OFFSETS.task_last_queued));
            // Of a task that was there before the probe it is not known whether `queued` is right.
            let known = left == LEFT_BLOCKED || (left == LEFT_UNKNOWN && is_new && task.exec_seen == 0);
            let was_long = left != LEFT_UNKNOWN && waits::is_long(since_left);
            task.was_long = was_long as u32;
            if !known || queued == 0 {
                cpu.unknown_waits += 1;
                if was_long {
                    waits::charge(cpu, task, next, since_left, 0);
                }
                task.stack_taken = 0;
                return;
            }
            let mut wait = clock.saturating_sub(queued);
            if left == LEFT_BLOCKED {
                // The kernel has moved the part of the wait on other CPUs' queues to `run_delay`.
                let delay: u64 = member(next, constant!(OFFSETS.task_run_delay));
                wait += delay.saturating_sub(task.delay_seen);
            }
            record_both(&mut cpu.woken, &mut group.wait, wait);
            if was_long {
                waits::charge(cpu, task, next, since_left, wait);
            }
            task.stack_taken = 0;
            wait
        };
        task.wait_ns += wait;
        cpu.wait_ns += wait;
    }
}

/// Attached only to kernels that have `sched_delayed`.
#[btf_tracepoint(function = "sched_migrate_task")]
pub fn migrate(ctx: BtfTracePointContext) -> i32 {
    let moved: *const u8 = ctx.arg(0);
    let Some(cpu) = this_cpu() else { return 0 };
    accounted!(unsafe { &raw mut (*cpu).costs }, MIGRATE, unsafe { note_migration(moved) });
    0
}

#[inline(always)]
unsafe fn note_migration(moved: *const u8) {
    unsafe {
        if member::<u8>(moved, constant!(OFFSETS.task_sched_delayed)) == 0 {
            return;
        }
        let pid: u32 = member(moved, constant!(OFFSETS.task_pid));
        // SAFETY: the task is on no CPU, and its run queue is locked.
        if let Some(task) = TASKS.get_ptr_mut(pid & constant!(MASK))
            && (*task).pid == pid
            && (*task).left == LEFT_BLOCKED
        {
            (*task).left = LEFT_MISQUEUED;
        }
    }
}

/// The entry of a task, and whether it was made just now.
#[inline(always)]
unsafe fn entry<A: Access>(cpu: &mut Cpu, kernel: *const u8, pid: u32) -> Option<(&'static mut Task, bool)> {
    let task = TASKS.get_ptr_mut(pid & constant!(MASK))?;
    // SAFETY: only the CPU that a task is on writes its entry, under the run queue's lock. Two tasks whose pids
    // share an entry may race; both then count as evicted or new, and the CPU's totals stay right.
    let task = unsafe { &mut *task };
    if task.pid == pid && task.left != LEFT_DEAD {
        return Some((task, false));
    }
    if task.pid != 0 && task.epoch == cpu.epoch {
        cpu.evicted += 1;
    }
    let started: u64 = unsafe { A::member(kernel, constant!(OFFSETS.task_start_time)) };
    let born = (started >> 10) as u32;
    // A thread that takes over the first one's number takes over its start time too.
    task.born = if task.pid == pid && task.born == born { born ^ 1 } else { born };
    task.pid = pid;
    task.tgid = unsafe { A::member(kernel, constant!(OFFSETS.task_tgid)) };
    task.epoch = cpu.epoch.wrapping_sub(1);
    task.switches = 0;
    task.left = LEFT_UNKNOWN;
    task.was_long = 0;
    task.stack_taken = 0;
    task.stack_window = 0;
    task.cpu_ns = 0;
    task.wait_ns = 0;
    task.counters = [0; COUNTERS];
    let (read, written) = unsafe { storage_bytes::<A>(kernel) };
    task.read_bytes = read;
    task.write_bytes = written;
    task.storage_seen = read.wrapping_add(written);
    task.read_base = read;
    task.write_base = written;
    Some((task, true))
}

/// Notes that the task was active in this epoch, with what may have changed since the last. A function of its own, so
/// that what most switches skip lies elsewhere.
#[cold]
#[inline(never)]
unsafe fn touch<A: Access>(cpu: &mut Cpu, number: u32, task: &mut Task, kernel: *const u8) {
    let slot = number * TOUCHED as u32 + (cpu.touched % TOUCHED) as u32;
    let Some(touched) = TOUCHED_TASKS.get_ptr_mut(slot) else { return };
    unsafe {
        task.epoch = cpu.epoch;
        let leader: *const u8 = A::member(kernel, constant!(OFFSETS.task_group_leader));
        task.comm = A::member(leader, constant!(OFFSETS.task_comm));
        let cred: *const u8 = A::member(kernel, constant!(OFFSETS.task_real_cred));
        task.uid = A::member(cred, constant!(OFFSETS.cred_euid));
        task.cgroup = group::cgroup_of::<A>(kernel);
        task.slot = group::slot_of(task.cgroup);
        (*touched).pid = task.pid;
        (*touched).born = task.born;
    }
    cpu.touched += 1;
}

/// What a counter of this CPU counted since it was last read, scaled up when it was multiplexed.
#[inline(always)]
unsafe fn read_counter(cpu: &mut Cpu, counter: usize, descriptors: *mut c_void) -> u64 {
    let mut now = Reading { counter: 0, enabled: 0, running: 0 };
    let failed = unsafe {
        bpf_perf_event_read_value(
            descriptors,
            BPF_F_CURRENT_CPU,
            (&raw mut now).cast(),
            size_of::<Reading>() as u32,
        )
    };
    if failed != 0 {
        return 0;
    }
    let seen = cpu.seen[counter];
    cpu.seen[counter] = now;
    // The first reading only shows where the counter stands, and so does one of a counter opened anew.
    if seen.enabled == 0 || now.enabled < seen.enabled || now.counter < seen.counter {
        return 0;
    }
    // All are of one group: they count, or do not, together.
    if counter == LEADER {
        cpu.share.add(now.enabled - seen.enabled, now.running.wrapping_sub(seen.running));
    }
    cpu.share.scaled(now.counter - seen.counter)
}

/// Charges the task that runs on this CPU up to now: it may not leave for a long time.
#[raw_tracepoint(tracepoint = "sys_enter")]
pub fn flush(_ctx: RawTracePointContext) -> i32 {
    let task: *mut task_struct = unsafe { bpf_get_current_task_btf() };
    unsafe { charge_current::<Known>(task.cast()) };
    0
}

/// The same for kernels before 5.11, which tell the running task's address only.
#[raw_tracepoint(tracepoint = "sys_enter")]
pub fn flush_by_address(_ctx: RawTracePointContext) -> i32 {
    let task = unsafe { bpf_get_current_task() };
    unsafe { charge_current::<Address>(task as *const u8) };
    0
}

#[inline(always)]
unsafe fn charge_current<A: Access>(task: *const u8) {
    let number = unsafe { bpf_get_smp_processor_id() } as u32;
    let Some(cpu) = CPUS.get_ptr_mut(number) else { return };
    accounted!(unsafe { &raw mut (*cpu).costs }, FLUSH, unsafe {
        // SAFETY: it runs in an interrupt, which does not come in the middle of `switch`.
        charge::<A>(&mut *cpu, number, task, clock::<A>(task))
    });
}

/// A pointer, since programs on different tracepoints may interrupt each other: each writes fields of its own.
#[inline(always)]
fn this_cpu() -> Option<*mut Cpu> {
    CPUS.get_ptr_mut(unsafe { bpf_get_smp_processor_id() } as u32)
}
