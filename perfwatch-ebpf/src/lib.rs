//! What the probes share.
#![no_std]
#![feature(core_intrinsics)]
#![allow(internal_features)] // for `add`

pub mod user_stack;

use core::hint::black_box;
use core::intrinsics::{AtomicOrdering, atomic_xadd};
use core::mem::MaybeUninit;

use aya_ebpf::helpers::bpf_ktime_get_ns;
use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use perfwatch_common::groups::{COARSE, Times, coarse};
use perfwatch_common::histogram::{BUCKETS, Buckets, index};

/// Programs call helpers reserved to GPL-compatible ones; the sources are MIT.
#[macro_export]
macro_rules! license {
    () => {
        #[unsafe(link_section = "license")]
        #[unsafe(no_mangle)]
        static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

        #[panic_handler]
        fn panic(_info: &core::panic::PanicInfo) -> ! {
            // The verifier proves that no program gets here.
            loop {}
        }
    };
}

/// Logs to the server's log, in objects built with `--log`; nothing in the committed ones.
#[macro_export]
macro_rules! debug {
    ($context:expr, $($message:tt)*) => {{
        #[cfg(feature = "log")]
        $crate::log::debug!($context, $($message)*);
        #[cfg(not(feature = "log"))]
        let _ = $context;
    }};
}

#[cfg(feature = "log")]
#[doc(hidden)]
pub use aya_log_ebpf as log;

/// Flags of maps that user space maps into its memory.
pub const MAPPED: u32 = 1024; // BPF_F_MMAPABLE

/// Reads a constant that user space set before loading. Volatile, or the compiler would take the value that
/// stands in the source; the verifier knows it (the section is frozen) and drops the code that it rules out.
#[macro_export]
macro_rules! constant {
    ($($place:tt)+) => {
        // SAFETY: an initialized static that nothing writes to once it is loaded.
        unsafe { core::ptr::read_volatile(&raw const $($place)+) }
    };
}

/// A member of a kernel struct.
///
/// # Safety
/// `base` is a pointer that the verifier knows the struct of, and `offset` a [`constant!`]: it checks the access.
#[inline(always)]
pub unsafe fn member<T: Copy>(base: *const u8, offset: u32) -> T {
    unsafe { Known::member(base, offset) }
}

/// How members of kernel structs are read.
pub trait Access {
    /// A member of a kernel struct.
    ///
    /// # Safety
    /// `base` is what the implementation says, and `offset` a [`constant!`].
    unsafe fn member<T: Copy>(base: *const u8, offset: u32) -> T;
}

/// Pointers that the verifier knows the struct of: plain loads, which it checks.
pub struct Known;

impl Access for Known {
    #[inline(always)]
    unsafe fn member<T: Copy>(base: *const u8, offset: u32) -> T {
        unsafe { core::ptr::read_volatile(base.add(offset as usize).cast()) }
    }
}

/// Any address, read through a helper that checks it when it runs; what cannot be read is zero.
pub struct Address;

impl Access for Address {
    #[inline(always)]
    unsafe fn member<T: Copy>(base: *const u8, offset: u32) -> T {
        let mut value = MaybeUninit::<T>::zeroed();
        unsafe {
            bpf_probe_read_kernel(
                value.as_mut_ptr().cast(),
                size_of::<T>() as u32,
                base.wrapping_add(offset as usize).cast(),
            );
            value.assume_init()
        }
    }
}

/// The bucket of `value` and its coarse one, if the verifier asks: it cannot follow the arithmetic, so it needs the
/// comparisons that the compiler can prove needless.
///
/// It would follow each way through the comparisons to the end of the program, since what is known of the bucket
/// differs among them. Of what lies on the stack it forgets all that does not begin at a multiple of 8.
#[inline(always)]
fn buckets(value: u64) -> Option<(usize, usize)> {
    #[repr(C, align(8))]
    struct Forgotten([u16; 4]);
    let mut forgotten = Forgotten([0; 4]);
    // The compiler shall not know either, or it would move the value.
    let place = black_box(&raw mut forgotten).cast::<u16>();
    let (bucket, coarser) = unsafe {
        let bucket = index(value);
        place.add(1).write_volatile(bucket);
        place.add(3).write_volatile(coarse(bucket));
        (place.add(1).read_volatile() as usize, place.add(3).read_volatile() as usize)
    };
    (bucket < BUCKETS && coarser < COARSE).then_some((bucket, coarser))
}

/// Adds `value` to a histogram and to that of a group, both of which only this CPU writes.
#[inline(always)]
pub fn record_both(histogram: &mut Buckets, group: &mut Times, value: u64) {
    if let Some((bucket, coarse)) = buckets(value) {
        histogram.counts[bucket] += 1;
        histogram.sum += value;
        if value > histogram.max {
            histogram.max = value;
        }
        group.counts[coarse] = group.counts[coarse].wrapping_add(1);
        group.sum += value;
        if value > group.max {
            group.max = value;
        }
    }
}

/// Adds to a counter that several CPUs, or programs that interrupt each other, write.
///
/// # Safety
/// `counter` lies in a map.
#[inline(always)]
pub unsafe fn add(counter: *mut u64, value: u64) {
    // The atomic types' own method is not offered for BPF. The result must stay unused: kernels before 5.12 know
    // no instruction that yields it.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(counter, value) };
}

/// Adds `value` to a histogram that others write too. Of two maxima at one moment either may remain.
///
/// # Safety
/// `histogram` lies in a map.
#[inline(always)]
pub unsafe fn record_shared(histogram: *mut Buckets, value: u64) {
    if let Some((bucket, _)) = buckets(value) {
        unsafe {
            add(&raw mut (*histogram).counts[bucket], 1);
            add(&raw mut (*histogram).sum, value);
            if value > (*histogram).max {
                (*histogram).max = value;
            }
        }
    }
}

/// Runs a program's work and accounts for it. `$costs` points to the costs of this object on this CPU. A macro,
/// because a closure would become a function of its own, called with everything it uses on the stack.
#[macro_export]
macro_rules! accounted {
    ($costs:expr, $program:expr, $work:expr) => {{
        let costs = $costs;
        // SAFETY: it lies in a map, and no other run of this program uses what belongs to it meanwhile.
        let timed = unsafe { (*costs).count($program) };
        // The compiler shall not know, or it would make two copies of the work.
        let began = core::hint::black_box(if timed { $crate::now() } else { 0 });
        $work;
        if began != 0 {
            unsafe { (*costs).add_time($program, $crate::now() - began) };
        }
    }};
}

/// `CLOCK_MONOTONIC`, ns.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: no preconditions.
    unsafe { bpf_ktime_get_ns() }
}
