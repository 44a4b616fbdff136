//! Probe `counters`: reads this CPU's performance counters, on this CPU, once per period.
#![no_std]
#![no_main]

use core::ffi::c_void;

use aya_ebpf::bindings::BPF_F_CURRENT_CPU;
use aya_ebpf::helpers::generated::bpf_perf_event_read_value;
use aya_ebpf::macros::{btf_tracepoint, map};
use aya_ebpf::maps::{Array, PerCpuArray, PerfEventArray};
use aya_ebpf::programs::BtfTracePointContext;
use perfwatch_common::counters::{CpuCounters, LOOK_EVERY_NS, Reading, SLOTS, Schedule};
use perfwatch_ebpf::{accounted, debug, now};

perfwatch_ebpf::license!();

/// Declares one array of descriptors per slot, indexed by CPU, and `read_slots` to read them: a perf-event array
/// may not hold more descriptors than there are CPUs.
macro_rules! slots {
    ($($name:ident)*) => {
        $(
            #[map]
            static $name: PerfEventArray<u8> = PerfEventArray::new(0);
        )*

        /// Reads every slot's counter on this CPU; those without one become zero.
        #[inline(always)]
        fn read_slots(slots: &mut [Reading; SLOTS]) {
            let mut values = slots.iter_mut();
            $(
                if let Some(value) = values.next() {
                    read((&raw const $name).cast_mut().cast(), value);
                }
            )*
        }
    };
}

slots! {
    SLOT_00 SLOT_01 SLOT_02 SLOT_03 SLOT_04 SLOT_05 SLOT_06 SLOT_07 SLOT_08 SLOT_09 SLOT_10
    SLOT_11 SLOT_12 SLOT_13 SLOT_14 SLOT_15 SLOT_16 SLOT_17 SLOT_18 SLOT_19 SLOT_20 SLOT_21
}

#[inline(always)]
fn read(descriptors: *mut c_void, value: &mut Reading) {
    // SAFETY: the map is live, `value` has the size that is passed.
    let failed = unsafe {
        bpf_perf_event_read_value(
            descriptors,
            BPF_F_CURRENT_CPU,
            (value as *mut Reading).cast(),
            size_of::<Reading>() as u32,
        )
    };
    if failed != 0 {
        *value = Reading { counter: 0, enabled: 0, running: 0 };
    }
}

#[map]
static COUNTERS: PerCpuArray<CpuCounters> = PerCpuArray::with_max_entries(1, 0);

#[map]
static SCHEDULE: Array<Schedule> = Array::with_max_entries(1, 0);

/// Runs at every expiry of a high-resolution timer; most find nothing due.
#[btf_tracepoint(function = "hrtimer_expire_entry")]
pub fn read_counters(ctx: BtfTracePointContext) -> i32 {
    let Some(counters) = COUNTERS.get_ptr_mut(0) else { return 0 };
    // SAFETY: the element belongs to this CPU. A timer that expires in an interrupt inside another's soft
    // expiry would make this program meet itself; both then write the same moment's counts.
    accounted!(unsafe { &raw mut (*counters).costs }, 0, read_if_due(&ctx, unsafe { &mut *counters }));
    0
}

#[inline(always)]
fn read_if_due(ctx: &BtfTracePointContext, counters: &mut CpuCounters) {
    let now = now();
    if now < counters.look_ns {
        return;
    }
    let Some(schedule) = SCHEDULE.get(0) else { return };
    let due = now >= counters.due_ns || counters.schedule != *schedule;
    if due {
        counters.schedule = *schedule;
        counters.due_ns = schedule.next(now);
    }
    counters.look_ns = counters.due_ns.min(now + LOOK_EVERY_NS);
    if !due || schedule.period_ns == 0 {
        return;
    }

    let [a, b] = &mut counters.buffers;
    let (current, previous) = if a.sequence > b.sequence { (b, a) } else { (a, b) };
    // Volatile: user space reads this field between the two stores.
    unsafe { core::ptr::write_volatile(&raw mut current.read_at_ns, 0) };
    read_slots(&mut current.slots);
    current.sequence = previous.sequence + 1;
    unsafe { core::ptr::write_volatile(&raw mut current.read_at_ns, now) };
    debug!(ctx, "reading {} of this CPU", current.sequence);
    let _ = ctx; // used in objects that log
}
