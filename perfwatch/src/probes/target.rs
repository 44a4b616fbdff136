//! What this build cannot measure on any machine: eBPF programs and counters need a 64-bit target.
//!
//! The programs read the kernel's pointers and longs as 64-bit words, and perf-event2 has the kernel's structures for
//! 64-bit targets only. The user side of the programs compiles everywhere; counters use
//! `perf/without.rs` instead of the library.

use perfwatch_common::profile::{AARCH64, X86_64};

use super::loader::Unavailable;
use crate::config::Roots;
use crate::kernel_files::counter::Width;

/// Why no program can be loaded.
pub fn no_programs(roots: &Roots) -> Option<Unavailable> {
    refusal(BUILT_FOR, Width::of_kernel(&roots.procfs), "the eBPF programs read 64-bit kernels only")
}

/// Why no counter can be opened.
pub fn no_counters(roots: &Roots) -> Option<Unavailable> {
    let why = "perf-event2, which opens performance counters, has no bindings for 32-bit ARM";
    refusal(BUILT_FOR, Width::of_kernel(&roots.procfs), why)
}

/// Whether this build can measure inside the kernel, if allowed.
pub const IN_KERNEL: bool = cfg!(target_pointer_width = "64");

/// Whose registers the programs take user stacks from, as they know it; 0 for one that they do not know.
pub const REGISTERS_OF: u32 = if cfg!(target_arch = "x86_64") {
    X86_64
} else if cfg!(target_arch = "aarch64") {
    AARCH64
} else {
    0
};

const BUILT_FOR: Width = if IN_KERNEL { Width::Bits64 } else { Width::Bits32 };

fn refusal(built_for: Width, kernel: Width, why: &str) -> Option<Unavailable> {
    if built_for == Width::Bits64 {
        return None;
    }
    // Common on boards with a 32-bit system, such as Raspberry Pi OS.
    let remedy = match kernel {
        Width::Bits64 => {
            Some("install the arm64 build: this kernel is 64-bit, and the build needs no libraries")
        }
        Width::Bits32 => None,
    };
    Some(Unavailable {
        remedy: remedy.map(str::to_owned),
        ..Unavailable::new(format!("this is a 32-bit build, and {why}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_32_bit_build_lacks_them_and_a_64_bit_kernel_takes_another() {
        assert_eq!(refusal(Width::Bits64, Width::Bits32, "no"), None);
        let both = refusal(Width::Bits32, Width::Bits32, "no").unwrap();
        assert_eq!((both.reason.as_str(), both.remedy), ("this is a 32-bit build, and no", None));
        let remedy = refusal(Width::Bits32, Width::Bits64, "no").unwrap().remedy;
        assert!(remedy.unwrap().contains("arm64"));
    }
}
