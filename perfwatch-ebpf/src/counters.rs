//! Probe `counters`: reads this CPU's performance counters, on this CPU, once per period.
#![no_std]
#![no_main]

use aya_ebpf::helpers::generated::bpf_perf_event_read_value;
use aya_ebpf::helpers::{bpf_get_smp_processor_id, bpf_ktime_get_ns};
use aya_ebpf::macros::{map, perf_event};
use aya_ebpf::maps::{PerCpuArray, PerfEventArray};
use aya_ebpf::programs::PerfEventContext;
use perfwatch_common::counters::{CpuCounters, SLOTS, Reading};

perfwatch_ebpf::license!();

/// Descriptors: slot s of CPU c at `s * CPUS + c`. User space sets the size.
#[map]
static DESCRIPTORS: PerfEventArray<u8> = PerfEventArray::new(0);

#[map]
static COUNTERS: PerCpuArray<CpuCounters> = PerCpuArray::with_max_entries(1, 0);

/// Possible CPUs, the stride of `DESCRIPTORS`.
#[unsafe(no_mangle)]
static CPUS: u32 = 0;

#[perf_event]
pub fn read_counters(_ctx: PerfEventContext) -> u32 {
    // SAFETY: the slot belongs to this CPU and this program does not nest.
    let Some(counters) = COUNTERS.get_ptr_mut(0) else { return 0 };
    let counters = unsafe { &mut *counters };
    let cpus = unsafe { core::ptr::read_volatile(&raw const CPUS) };
    let cpu = unsafe { bpf_get_smp_processor_id() } as u32;

    let [a, b] = &mut counters.buffers;
    let (current, previous) = if a.sequence > b.sequence { (b, a) } else { (a, b) };
    // Volatile: user space reads this field between the two stores.
    unsafe { core::ptr::write_volatile(&raw mut current.read_at_ns, 0) };
    for slot in 0..SLOTS {
        let index = slot as u32 * cpus + cpu;
        let value = &mut current.slots[slot];
        let failed = unsafe {
            bpf_perf_event_read_value(
                (&raw const DESCRIPTORS).cast_mut().cast(),
                index as u64,
                (value as *mut Reading).cast(),
                size_of::<Reading>() as u32,
            )
        };
        if failed != 0 {
            *value = Reading { counter: 0, enabled: 0, running: 0 };
        }
    }
    current.sequence = previous.sequence + 1;
    current.read_at_ns = unsafe { bpf_ktime_get_ns() };
    0
}
