//! What user space unwinds a user stack from: the registers, and a copy of the stack's top.

use core::ffi::c_void;
use core::sync::atomic::{Ordering, compiler_fence};

use aya_ebpf::helpers::generated::{bpf_get_current_task_btf, bpf_probe_read_user, bpf_task_pt_regs};
use perfwatch_common::profile::{AARCH64, PAGE, PAGES, Registers, X86_64};

use crate::{Access, Address};

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

pub const NONE: Registers = Registers { ip: 0, sp: 0, fp: 0, lr: 0 };

/// Those of the interrupted code, if that is a user's.
///
/// # Safety
/// `interrupted` points to the `struct pt_regs` of a program on a perf event.
#[inline(always)]
pub unsafe fn interrupted(architecture: u32, interrupted: *const u64) -> Option<Registers> {
    unsafe {
        match architecture {
            // The two lowest bits are the privilege level.
            X86_64 if *interrupted.add(x86_64::CS) & 3 == 3 => Some(Registers {
                ip: *interrupted.add(x86_64::IP),
                sp: *interrupted.add(x86_64::SP),
                fp: *interrupted.add(x86_64::FP),
                lr: 0,
            }),
            // Exception level and stack pointer selection: 0 is EL0.
            AARCH64 if *interrupted.add(aarch64::STATE) & 0xf == 0 => {
                let registers = Registers {
                    ip: *interrupted.add(aarch64::PC),
                    sp: *interrupted.add(aarch64::SP),
                    fp: *interrupted.add(aarch64::FP),
                    lr: *interrupted.add(aarch64::LR),
                };
                // The compiler would join the loads of both architectures into one from a computed address, which the
                // verifier refuses for a context.
                compiler_fence(Ordering::SeqCst);
                Some(registers)
            }
            _ => None,
        }
    }
}

/// The current task's as the kernel saved them when it was entered. Only for kernels that tell (`bpf_task_pt_regs`).
///
/// # Safety
/// No other than that of the helpers.
#[inline(always)]
pub unsafe fn saved(architecture: u32) -> Registers {
    match architecture {
        X86_64 => {
            let saved: [u64; x86_64::WORDS] = unsafe { words() };
            Registers { ip: saved[x86_64::IP], sp: saved[x86_64::SP], fp: saved[x86_64::FP], lr: 0 }
        }
        AARCH64 => {
            let saved: [u64; aarch64::WORDS] = unsafe { words() };
            Registers {
                ip: saved[aarch64::PC],
                sp: saved[aarch64::SP],
                fp: saved[aarch64::FP],
                lr: saved[aarch64::LR],
            }
        }
        _ => NONE,
    }
}

#[inline(always)]
unsafe fn words<const WORDS: usize>() -> [u64; WORDS] {
    unsafe {
        let registers = bpf_task_pt_regs(bpf_get_current_task_btf()) as *const u8;
        Address::member(registers, 0)
    }
}

/// Copies the current task's stack from `sp` on; returns the number of pages. Whole ones, because the verifier wants
/// constants, and what is mapped ends with one.
///
/// # Safety
/// `to` lies in a map.
#[inline(always)]
pub unsafe fn copy(sp: u64, to: *mut [[u8; PAGE]; PAGES]) -> u64 {
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

/// The valid part of a sample with so many pages.
///
/// # Safety
/// `sample` lies in a map.
#[inline(always)]
pub unsafe fn valid<'a>(sample: *const perfwatch_common::profile::Sample, pages: u64) -> Option<&'a [u8]> {
    use perfwatch_common::profile::{Head, Sample};
    // The compiler shall not know the bound, or it would drop the comparison that the verifier asks for.
    let length = core::hint::black_box(size_of::<Head>() as u64 + pages * PAGE as u64) as usize;
    if length > size_of::<Sample>() {
        return None;
    }
    Some(unsafe { core::slice::from_raw_parts(sample.cast::<u8>(), length) })
}
