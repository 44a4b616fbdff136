//! What the probes' programs could cost at best: for each one of the same name that only calls the helpers which it
//! has to call (map look-ups are helpers too), and three that do nothing at all. Only the benchmark loads this object.
//!
//! Hook points: those of the probes, given by the benchmark. No output.
#![no_std]
#![no_main]

use core::hint::black_box;

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::BPF_F_CURRENT_CPU;
use aya_ebpf::helpers::generated::bpf_perf_event_read_value;
use aya_ebpf::helpers::{bpf_get_smp_processor_id, bpf_probe_read_kernel};
use aya_ebpf::macros::{btf_tracepoint, map, perf_event};
use aya_ebpf::maps::{Array, HashMap, PerCpuArray, PerfEventArray};
use aya_ebpf::programs::{BtfTracePointContext, PerfEventContext};
use perfwatch_common::block_io::{IN_FLIGHT, Issued, Operation};
use perfwatch_common::counters::{Reading, SLOTS};
use perfwatch_common::groups::{Group, MAX_GROUPS};
use perfwatch_common::histogram::Buckets;
use perfwatch_common::profile::Sample;
use perfwatch_common::sched::{COUNTERS, Task};
use perfwatch_common::tcp::CONNECTING;
use perfwatch_ebpf::{MAPPED, constant, now, user_stack};

perfwatch_ebpf::license!();

// `enum` of net/tcp_states.h.
const TCP_ESTABLISHED: i32 = 1;
const TCP_SYN_SENT: i32 = 2;

/// One entry per CPU, of no matter what.
#[map]
static CPUS: Array<[u64; 8]> = Array::with_max_entries(1, MAPPED);

#[map]
static TASKS: Array<Task> = Array::with_max_entries(1024, MAPPED);

#[map]
static GROUPS: Array<Group> = Array::with_max_entries(1, MAPPED);

#[map]
static GROUP_SLOTS: HashMap<u64, u32> = HashMap::with_max_entries(MAX_GROUPS, 0);

#[map]
static LATENCIES: Array<Buckets> = Array::with_max_entries(1, MAPPED);

#[map]
static HELD: HashMap<u64, Issued> = HashMap::with_max_entries(IN_FLIGHT, 0);

#[map]
static CONNECTING_SINCE: HashMap<u64, u64> = HashMap::with_max_entries(CONNECTING, 0);

#[map]
static DEVICES: HashMap<u32, u32> = HashMap::with_max_entries(1, 0);

#[map]
static TOTALS: Array<Operation> = Array::with_max_entries(1, MAPPED);

#[map]
static SCHEDULE: Array<u64> = Array::with_max_entries(1, 0);

/// When this CPU last read its events.
#[map]
static READ_AT: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Any event: what reading costs depends on the helper more than on what is counted.
#[map]
static EVENTS: PerfEventArray<u8> = PerfEventArray::new(0);

/// Counters that are charged to tasks on this machine.
#[unsafe(no_mangle)]
static COUNTING: u32 = 0;

/// Where a CPU copies a stack to.
#[map]
static SCRATCH: Array<Sample> = Array::with_max_entries(1, 0);

/// As the probe `profile` is told.
#[unsafe(no_mangle)]
static ARCHITECTURE: u32 = 0;

/// A look-up in an array alone would touch no memory, unlike one in a hash map: what is found is read once.
#[inline(always)]
fn look_up<T>(array: &Array<T>, number: u32) {
    if let Some(found) = array.get_ptr(number) {
        black_box(unsafe { found.cast::<u32>().read_volatile() });
    }
}

#[inline(always)]
fn look_up_cpu() {
    look_up(&CPUS, unsafe { bpf_get_smp_processor_id() } as u32);
}

#[inline(always)]
fn read_event() {
    let mut value = Reading { counter: 0, enabled: 0, running: 0 };
    unsafe {
        bpf_perf_event_read_value(
            (&raw const EVENTS).cast_mut().cast(),
            BPF_F_CURRENT_CPU,
            (&raw mut value).cast(),
            size_of::<Reading>() as u32,
        );
    }
}

#[btf_tracepoint(function = "sched_switch")]
pub fn empty_switch(_ctx: BtfTracePointContext) -> i32 {
    0
}

#[btf_tracepoint(function = "sched_wakeup")]
pub fn empty_wakeup(_ctx: BtfTracePointContext) -> i32 {
    0
}

/// This CPU's entry, those of two tasks, and that of the next one's cgroup: any, since the verifier lets no number be made of a task's address.
#[btf_tracepoint(function = "sched_switch")]
pub fn switch(_ctx: BtfTracePointContext) -> i32 {
    look_up_cpu();
    for counter in 0..COUNTERS as u32 {
        if constant!(COUNTING) & 1 << counter != 0 {
            read_event();
        }
    }
    look_up(&TASKS, black_box(0));
    look_up(&TASKS, black_box(1));
    look_up(&GROUPS, black_box(0));
    0
}

/// Declares programs that need this CPU's entry only.
macro_rules! counting {
    ($($name:ident $tracepoint:literal)*) => {
        $(
            #[btf_tracepoint(function = $tracepoint)]
            pub fn $name(_ctx: BtfTracePointContext) -> i32 {
                look_up_cpu();
                0
            }
        )*
    };
}

counting! {
    fork "sched_process_fork"
    exec "sched_process_exec"
    exit "sched_process_exit"
    retransmit "tcp_retransmit_skb"
    reset_sent "tcp_send_reset"
    reset_received "tcp_receive_reset"
    synack "tcp_retransmit_synack"
}

/// This CPU's entry and the task's.
#[btf_tracepoint(function = "sched_migrate_task")]
pub fn migrate(_ctx: BtfTracePointContext) -> i32 {
    look_up_cpu();
    look_up(&TASKS, black_box(0));
    0
}

/// The clock, and once a second the events.
#[btf_tracepoint(function = "hrtimer_expire_entry")]
pub fn read_counters(_ctx: BtfTracePointContext) -> i32 {
    let (Some(_schedule), Some(read_at)) = (SCHEDULE.get(0), READ_AT.get_ptr_mut(0)) else { return 0 };
    let now = now();
    let read_at = unsafe { &mut *read_at };
    if now - *read_at > 1_000_000_000 {
        *read_at = now;
        for _ in 0..SLOTS {
            read_event();
        }
    }
    0
}

/// The clock, and one insertion.
#[btf_tracepoint(function = "block_rq_issue")]
pub fn issue(ctx: BtfTracePointContext) -> i32 {
    let request: u64 = ctx.arg(0);
    look_up_cpu();
    let _ = HELD.insert(request, Issued { at_ns: now(), bytes: 0 }, 0);
    0
}

/// The clock, the time of the issue and its removal, the device and its totals, the cgroup's slot and what is there.
#[btf_tracepoint(function = "block_rq_complete")]
pub fn complete(ctx: BtfTracePointContext) -> i32 {
    let request: u64 = ctx.arg(0);
    look_up_cpu();
    black_box(now());
    black_box(unsafe { HELD.get(request) });
    let _ = HELD.remove(request);
    black_box(unsafe { DEVICES.get(0) });
    look_up(&TOTALS, black_box(0));
    black_box(unsafe { GROUP_SLOTS.get(0) });
    look_up(&LATENCIES, black_box(0));
    0
}

/// One value from beyond what the verifier knows.
#[btf_tracepoint(function = "tcp_rcv_space_adjust")]
pub fn received(ctx: BtfTracePointContext) -> i32 {
    let sock: u64 = ctx.arg(0);
    look_up_cpu();
    read_value(sock);
    0
}

#[inline(always)]
fn read_value(sock: u64) {
    let _ = black_box(unsafe { bpf_probe_read_kernel(sock as *const u32) });
}

/// What the transition asks for.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub fn state(ctx: BtfTracePointContext) -> i32 {
    let sock: u64 = ctx.arg(0);
    let (old, new): (i32, i32) = (ctx.arg(1), ctx.arg(2));
    look_up_cpu();
    if new == TCP_SYN_SENT {
        let _ = CONNECTING_SINCE.insert(sock, now(), 0);
    } else if old == TCP_SYN_SENT {
        black_box(unsafe { CONNECTING_SINCE.get(sock) });
        let _ = CONNECTING_SINCE.remove(sock);
        if new == TCP_ESTABLISHED {
            black_box(now());
        }
    } else if old == TCP_ESTABLISHED {
        read_value(sock);
    }
    0
}

#[perf_event]
pub fn empty_sample(_ctx: PerfEventContext) -> i32 {
    0
}

/// The top of the stack of the user's code that was interrupted.
#[perf_event]
pub fn copy_stack(ctx: PerfEventContext) -> i32 {
    let cpu = unsafe { bpf_get_smp_processor_id() } as u32;
    let Some(sample) = SCRATCH.get_ptr_mut(cpu) else { return 0 };
    let interrupted = unsafe { user_stack::interrupted(constant!(ARCHITECTURE), ctx.as_ptr().cast::<u64>()) };
    if let Some(registers) = interrupted {
        black_box(unsafe { user_stack::copy(registers.sp, &raw mut (*sample).stack) });
    }
    0
}
