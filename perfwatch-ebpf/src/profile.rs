//! Probe `profile`: which code runs, sampled by a perf event on each CPU.
//!
//! Stacks are taken by `bpf_get_stack`, and not as ids of a stack map: `bpf_get_stackid` in programs on perf events
//! has taken hosts down. Most user code has no frame pointers, so a sample also carries the registers and the top of
//! the user stack, from which user space unwinds.
#![no_std]
#![no_main]

use core::ffi::c_void;

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::{BPF_F_USER_STACK, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::bpf_get_smp_processor_id;
use aya_ebpf::helpers::generated::{
    bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_current_task, bpf_get_stack,
};
use aya_ebpf::macros::{map, perf_event};
use aya_ebpf::maps::{Array, RingBuf};
use aya_ebpf::programs::PerfEventContext;
use perfwatch_common::profile::{Account, Constants, Registers, SAMPLE, Sample};
use perfwatch_ebpf::{Access, Address, MAPPED, accounted, constant, now, user_stack};

perfwatch_ebpf::license!();

#[unsafe(no_mangle)]
static CONSTANTS: Constants = Constants {
    architecture: 0,
    has_task_regs: 0,
    task_cgroups: 0,
    css_set_link: 0,
    link_is_css: 0,
    css_cgroup: 0,
    cgroup_kn: 0,
    kernfs_node_id: 0,
};

/// Its size is set by user space.
#[map]
static SAMPLES: RingBuf = RingBuf::with_byte_size(4096, 0);

/// Where each CPU puts a sample together.
#[map]
static SCRATCH: Array<Sample> = Array::with_max_entries(1, 0);

/// One entry per CPU.
#[map]
static ACCOUNTS: Array<Account> = Array::with_max_entries(1, MAPPED);

#[perf_event]
pub fn sample(ctx: PerfEventContext) -> i32 {
    let cpu = unsafe { bpf_get_smp_processor_id() } as u32;
    let Some(account) = ACCOUNTS.get_ptr_mut(cpu) else { return 0 };
    let Some(sample) = SCRATCH.get_ptr_mut(cpu) else { return 0 };
    let task = unsafe { bpf_get_current_pid_tgid() };
    // An idle CPU runs nobody's code.
    if task as u32 == 0 {
        return 0;
    }
    accounted!(unsafe { &raw mut (*account).costs }, SAMPLE, unsafe {
        let head = &raw mut (*sample).head;
        (*head).cpu = cpu;
        (*head).pid = (task >> 32) as u32;
        (*head).tid = task as u32;
        let pages = take(&ctx, sample);
        // Nobody waits: user space looks several times a second.
        let sent = user_stack::valid(sample, pages)
            .is_some_and(|bytes| SAMPLES.output::<[u8]>(bytes, BPF_RB_NO_WAKEUP as u64).is_ok());
        if !sent {
            (*account).lost += 1;
        }
    });
    0
}

/// Returns the number of pages of the user stack.
#[inline(always)]
unsafe fn take(ctx: &PerfEventContext, sample: *mut Sample) -> u64 {
    unsafe {
        let head = &raw mut (*sample).head;
        (*head).at_ns = now();
        bpf_get_current_comm((&raw mut (*head).comm).cast(), 16);
        (*head).cgroup = cgroup();
        let stack = |to: *mut c_void, flags: u64| {
            bpf_get_stack(ctx.as_ptr(), to, size_of::<[u64; 127]>() as u32, flags)
        };
        (*head).kernel_bytes = stack((&raw mut (*head).kernel).cast(), 0) as i32;
        (*head).user_bytes = stack((&raw mut (*head).user).cast(), BPF_F_USER_STACK as u64) as i32;
        // Threads of the kernel have none.
        (*head).registers = if (*head).user_bytes > 0 { registers(ctx) } else { user_stack::NONE };
        let sp = (*head).registers.sp;
        let pages = if sp == 0 { 0 } else { user_stack::copy(sp, &raw mut (*sample).stack) };
        (*head).pages = pages as u32;
        pages
    }
}

#[inline(always)]
unsafe fn registers(ctx: &PerfEventContext) -> Registers {
    let architecture = constant!(CONSTANTS.architecture);
    let interrupted = unsafe { user_stack::interrupted(architecture, ctx.as_ptr().cast::<u64>()) };
    match interrupted {
        Some(registers) => registers,
        None if constant!(CONSTANTS.has_task_regs) == 0 => user_stack::NONE,
        None => unsafe { user_stack::saved(architecture) },
    }
}

#[inline(always)]
unsafe fn cgroup() -> u64 {
    unsafe {
        let task = bpf_get_current_task() as *const u8;
        let set: *const u8 = Address::member(task, constant!(CONSTANTS.task_cgroups));
        let link: *const u8 = Address::member(set, constant!(CONSTANTS.css_set_link));
        let cgroup: *const u8 = if constant!(CONSTANTS.link_is_css) == 1 {
            Address::member(link, constant!(CONSTANTS.css_cgroup))
        } else {
            link
        };
        let node: *const u8 = Address::member(cgroup, constant!(CONSTANTS.cgroup_kn));
        Address::member(node, constant!(CONSTANTS.kernfs_node_id))
    }
}
