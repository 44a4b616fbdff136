//! Probe `profile`: which code runs, sampled by a perf event on each CPU.
//!
//! Stacks are taken by `bpf_get_stack`, and not as ids of a stack map: `bpf_get_stackid` in programs on perf events
//! has taken hosts down. Most user code has no frame pointers, so a sample also carries the registers and the top of
//! the user stack, from which user space unwinds.
#![no_std]
#![no_main]

use core::ffi::c_void;
use core::hint::black_box;

use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::{BPF_F_USER_STACK, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::bpf_get_smp_processor_id;
use aya_ebpf::helpers::generated::{
    bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_current_task, bpf_get_current_task_btf,
    bpf_get_stack, bpf_probe_read_user, bpf_task_pt_regs,
};
use aya_ebpf::macros::{map, perf_event};
use aya_ebpf::maps::{Array, RingBuf};
use aya_ebpf::programs::PerfEventContext;
use perfwatch_common::profile::{
    AARCH64, Account, Constants, Head, PAGE, PAGES, Registers, SAMPLE, Sample, X86_64,
};
use perfwatch_ebpf::{Access, Address, MAPPED, accounted, constant, now};

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

/// What `struct pt_regs` is made of, in words; user space sees it so, which makes it stay.
mod x86_64 {
    pub const WORDS: usize = 21;
    pub const FP: usize = 4;
    pub const IP: usize = 16;
    pub const CS: usize = 17;
    pub const SP: usize = 19;
}

mod aarch64 {
    pub const WORDS: usize = 34;
    pub const FP: usize = 29;
    pub const LR: usize = 30;
    pub const SP: usize = 31;
    pub const PC: usize = 32;
    pub const STATE: usize = 33;
}

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
        if !send(sample, pages) {
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
        (*head).registers =
            if (*head).user_bytes > 0 { registers(ctx) } else { Registers { ip: 0, sp: 0, fp: 0, lr: 0 } };
        let sp = (*head).registers.sp;
        let pages = if sp == 0 { 0 } else { copy(sp, &raw mut (*sample).stack) };
        (*head).pages = pages as u32;
        pages
    }
}

/// Whole pages, because the verifier wants constants, and what is mapped ends with one.
#[inline(always)]
unsafe fn copy(sp: u64, to: *mut [[u8; PAGE]; PAGES]) -> u64 {
    let first = sp & !(PAGE as u64 - 1);
    let mut pages = 0;
    for page in 0..PAGES {
        let from = first + (page * PAGE) as u64;
        let result =
            unsafe { bpf_probe_read_user((&raw mut (*to)[page]).cast(), PAGE as u32, from as *const c_void) };
        if result != 0 {
            break;
        }
        pages = page as u64 + 1;
    }
    pages
}

#[inline(always)]
unsafe fn registers(ctx: &PerfEventContext) -> Registers {
    let none = Registers { ip: 0, sp: 0, fp: 0, lr: 0 };
    let interrupted = ctx.as_ptr().cast::<u64>();
    match constant!(CONSTANTS.architecture) {
        X86_64 => unsafe {
            // The two lowest bits are the privilege level.
            if *interrupted.add(x86_64::CS) & 3 == 3 {
                return Registers {
                    ip: *interrupted.add(x86_64::IP),
                    sp: *interrupted.add(x86_64::SP),
                    fp: *interrupted.add(x86_64::FP),
                    lr: 0,
                };
            }
            let Some(saved) = saved::<{ x86_64::WORDS }>() else { return none };
            Registers { ip: saved[x86_64::IP], sp: saved[x86_64::SP], fp: saved[x86_64::FP], lr: 0 }
        },
        AARCH64 => unsafe {
            // Exception level and stack pointer selection: 0 is EL0.
            if *interrupted.add(aarch64::STATE) & 0xf == 0 {
                return Registers {
                    ip: *interrupted.add(aarch64::PC),
                    sp: *interrupted.add(aarch64::SP),
                    fp: *interrupted.add(aarch64::FP),
                    lr: *interrupted.add(aarch64::LR),
                };
            }
            let Some(saved) = saved::<{ aarch64::WORDS }>() else { return none };
            Registers {
                ip: saved[aarch64::PC],
                sp: saved[aarch64::SP],
                fp: saved[aarch64::FP],
                lr: saved[aarch64::LR],
            }
        },
        _ => none,
    }
}

/// The user registers as the kernel saved them when it was entered.
#[inline(always)]
unsafe fn saved<const WORDS: usize>() -> Option<[u64; WORDS]> {
    if constant!(CONSTANTS.has_task_regs) == 0 {
        return None;
    }
    unsafe {
        let registers = bpf_task_pt_regs(bpf_get_current_task_btf()) as *const u8;
        Some(Address::member(registers, 0))
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

#[inline(always)]
unsafe fn send(sample: *mut Sample, pages: u64) -> bool {
    // The compiler shall not know the bound, or it would drop the comparison that the verifier asks for.
    let length = black_box(size_of::<Head>() as u64 + pages * PAGE as u64) as usize;
    if length > size_of::<Sample>() {
        return false;
    }
    let bytes = unsafe { core::slice::from_raw_parts(sample.cast::<u8>(), length) };
    // Nobody waits: user space looks several times a second.
    SAMPLES.output::<[u8]>(bytes, BPF_RB_NO_WAKEUP as u64).is_ok()
}
