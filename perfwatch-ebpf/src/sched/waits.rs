//! Where tasks waited for something other than a CPU: long waits, added up by task and kernel stack, and some of their
//! user stacks.

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::{BPF_F_USER_STACK, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::bpf_get_smp_processor_id;
use aya_ebpf::helpers::generated::{bpf_get_current_comm, bpf_get_stack, bpf_get_task_stack};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, RingBuf};
use aya_ebpf::programs::BtfTracePointContext;
use perfwatch_common::profile::Sample;
use perfwatch_common::sched::{Cpu, Task};
use perfwatch_common::waits::{
    CHARGED, DEPTH, ENTRIES, Ended, Key, MANY, MEDIUM, PAUSE, Pace, SHORT, TAKEN, Total, WINDOW, Wait,
};
use perfwatch_ebpf::{constant, member, user_stack};

use super::OFFSETS;

/// ns; shorter waits are not looked at. 0 where the kernel does not tell another task's stack (before 5.9).
#[unsafe(no_mangle)]
static LONG_WAIT: u64 = 0;

/// Whose registers to take user stacks from; 0 where the kernel does not tell them (before 5.15).
#[unsafe(no_mangle)]
static ARCHITECTURE: u32 = 0;

/// Which of the two maps is written to.
#[map]
static WAITS_INTO: Array<u32> = Array::with_max_entries(1, 0);

#[map]
static WAITS_0: HashMap<Key, Wait> = HashMap::with_max_entries(ENTRIES, 0);

#[map]
static WAITS_1: HashMap<Key, Wait> = HashMap::with_max_entries(ENTRIES, 0);

/// User stacks as waits begin, and [`Ended`]. Its size is set by user space.
#[map]
static STACKS: RingBuf = RingBuf::with_byte_size(4096, 0);

/// Where each CPU puts one together.
#[map]
static WAIT: Array<Wait> = Array::with_max_entries(1, 0);

#[map]
static STACK: Array<Sample> = Array::with_max_entries(1, 0);

/// Whether a wait is to be charged.
#[inline(always)]
pub fn is_long(off_cpu: u64) -> bool {
    let least = constant!(LONG_WAIT);
    least != 0 && off_cpu >= least
}

#[inline(always)]
fn enter_window(pace: &mut Pace, clock: u64) {
    let window = clock >> WINDOW;
    if window != pace.window {
        pace.window = window;
        pace.waits = 0;
        pace.stacks = 0;
    }
}

/// Charges a wait to the stack of `next`, which is about to run and has not moved since. Most switches have none.
#[cold]
#[inline(never)]
pub unsafe fn charge(cpu: &mut Cpu, task: &mut Task, next: *const u8, off_cpu: u64, runnable: u64) {
    // What an older kernel lacks may not stand here.
    if constant!(LONG_WAIT) == 0 {
        return;
    }
    let pace = &mut cpu.pace;
    // When it left, plus how long it was away, is now.
    enter_window(pace, task.left_at + off_cpu);
    pace.waits += 1;
    let mut total = Total { count: 1, off_cpu_ns: off_cpu, runnable_ns: runnable };
    let short = if pace.waits > MANY { MEDIUM } else { SHORT };
    if pace.waits > CHARGED && off_cpu < short {
        add(&mut pace.rest, &total);
        if pace.rest.off_cpu_ns < short {
            return;
        }
        total = pace.rest;
        pace.rest = Total { count: 0, off_cpu_ns: 0, runnable_ns: 0 };
    }
    let number = unsafe { bpf_get_smp_processor_id() } as u32;
    let Some(wait) = WAIT.get_ptr_mut(number) else { return };
    unsafe {
        let stack = (&raw mut (*wait).stack).cast();
        let bytes =
            bpf_get_task_stack(next.cast_mut().cast(), stack, size_of::<[u64; DEPTH]>() as u32, 0) as i64;
        let key = Key {
            hash: hash(wait, bytes),
            cgroup: task.cgroup,
            tgid: task.tgid,
            cpu: number,
            comm: member(next, constant!(OFFSETS.task_comm)),
        };
        if task.stack_taken != 0 {
            let ended = Ended { tid: task.pid, tgid: task.tgid, hash: key.hash, off_cpu_ns: off_cpu };
            let _ = STACKS.output::<Ended>(&ended, BPF_RB_NO_WAKEUP as u64);
        }
        let into = match WAITS_INTO.get(0) {
            Some(1) => &WAITS_1,
            _ => &WAITS_0,
        };
        if let Some(known) = into.get_ptr_mut(&key) {
            // Only this CPU writes to it.
            add(&mut (*known).total, &total);
            return;
        }
        (*wait).total = total;
        (*wait).bytes = bytes;
        if into.insert(&key, &*wait, 0).is_err() {
            pace.lost += 1;
        }
    }
}

#[inline(always)]
fn add(to: &mut Total, total: &Total) {
    to.count += total.count;
    to.off_cpu_ns += total.off_cpu_ns;
    to.runnable_ns += total.runnable_ns;
}

/// Takes the user stack of the current task, which blocks, and blocked for long the last time.
#[cold]
#[inline(never)]
pub unsafe fn take_stack(ctx: &BtfTracePointContext, cpu: &mut Cpu, task: &mut Task, clock: u64) {
    if constant!(LONG_WAIT) == 0 || constant!(ARCHITECTURE) == 0 {
        return;
    }
    let pace = &mut cpu.pace;
    enter_window(pace, clock);
    let window = pace.window as u32;
    // One in four by chance, or a pause that ends amid a long wait would always choose what comes after it.
    let is_chosen = (clock >> 12) & 3 == 0;
    if !is_chosen || pace.stacks >= TAKEN || window.wrapping_sub(task.stack_window) < PAUSE {
        return;
    }
    pace.stacks += 1;
    task.stack_window = window;
    let number = unsafe { bpf_get_smp_processor_id() } as u32;
    let Some(sample) = STACK.get_ptr_mut(number) else { return };
    unsafe {
        let head = &raw mut (*sample).head;
        let size = size_of_val(&(*head).user) as u32;
        let user = (&raw mut (*head).user).cast();
        (*head).user_bytes = bpf_get_stack(ctx.as_ptr(), user, size, BPF_F_USER_STACK as u64) as i32;
        if (*head).user_bytes <= 0 {
            // A thread of the kernel.
            return;
        }
        (*head).at_ns = clock;
        bpf_get_current_comm((&raw mut (*head).comm).cast(), 16);
        (*head).cpu = number;
        (*head).pid = task.tgid;
        (*head).tid = task.pid;
        (*head).cgroup = task.cgroup;
        (*head).kernel_bytes = 0;
        (*head).registers = user_stack::saved(constant!(ARCHITECTURE));
        let sp = (*head).registers.sp;
        let pages = if sp == 0 { 0 } else { user_stack::copy(sp, &raw mut (*sample).stack) };
        (*head).pages = pages as u32;
        let sent = user_stack::valid(sample, pages)
            .is_some_and(|bytes| STACKS.output::<[u8]>(bytes, BPF_RB_NO_WAKEUP as u64).is_ok());
        if sent {
            task.stack_taken = 1;
        } else {
            pace.lost += 1;
        }
    }
}

/// FNV-1a, over words.
#[inline(always)]
unsafe fn hash(wait: *const Wait, bytes: i64) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for at in 0..DEPTH {
        if (at * 8) as i64 >= bytes {
            break;
        }
        hash = (hash ^ unsafe { (*wait).stack[at] }).wrapping_mul(0x0100_0000_01b3);
    }
    hash
}
