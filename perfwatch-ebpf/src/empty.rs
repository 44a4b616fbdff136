//! Programs that do nothing: what the benchmark compares the probes' programs with.
//!
//! Hook points: tp_btf `sched_switch`, `sched_wakeup`. No output.
#![no_std]
#![no_main]

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;

perfwatch_ebpf::license!();

#[btf_tracepoint(function = "sched_switch")]
pub fn empty_switch(_ctx: BtfTracePointContext) -> i32 {
    0
}

#[btf_tracepoint(function = "sched_wakeup")]
pub fn empty_wakeup(_ctx: BtfTracePointContext) -> i32 {
    0
}
