//! From two samples of `/proc/vmstat` to rates.

use serde::Serialize;

use super::raw::{Counter, Raw};
use crate::collectors::rates::Rates;
use crate::snapshot::derive::round;

/// All per second; `null` on the first tick, after the counter restarted, and if the kernel has no such counter.
#[derive(Debug, Serialize, PartialEq)]
pub(super) struct Body {
    /// The kernel counts paging.
    available: bool,
    /// KiB read from block devices.
    pgpgin_per_sec: Option<f64>,
    /// KiB written to block devices.
    pgpgout_per_sec: Option<f64>,
    /// Pages.
    pswpin_per_sec: Option<f64>,
    /// Pages.
    pswpout_per_sec: Option<f64>,
    page_io_bytes_per_sec: Option<f64>,
    swap_io_bytes_per_sec: Option<f64>,
    pgfault_per_sec: Option<f64>,
    pgmajfault_per_sec: Option<f64>,
    /// Pages scanned and reclaimed to free memory: by kswapd, by direct reclaim, and for huge pages.
    pgscan_per_sec: Option<f64>,
    pgsteal_per_sec: Option<f64>,
    compact_stall_per_sec: Option<f64>,
    compact_fail_per_sec: Option<f64>,
    compact_success_per_sec: Option<f64>,
    thp_fault_alloc_per_sec: Option<f64>,
    thp_fault_fallback_per_sec: Option<f64>,
    thp_collapse_alloc_per_sec: Option<f64>,
    numa_hit_per_sec: Option<f64>,
    numa_miss_per_sec: Option<f64>,
    numa_pages_migrated_per_sec: Option<f64>,
    oom_kill_per_sec: Option<f64>,
}

pub(super) fn derive(previous: Option<(&Raw, Rates)>, current: &Raw, page_size: u64) -> Body {
    use Counter::*;
    let rate =
        |counter| previous.and_then(|(raw, rates)| rates.of_optional(raw.get(counter), current.get(counter)));
    // Counters that this kernel lacks are left out; one that went back makes the sum unknown.
    let sum = |counters: &[Counter]| {
        let mut present = counters.iter().filter(|c| current.get(**c).is_some()).peekable();
        present.peek()?;
        present.map(|counter| rate(*counter)).sum::<Option<f64>>().map(|sum| round(sum, 2))
    };
    let (page_in, page_out) = (rate(PageIn), rate(PageOut));
    let (swap_in, swap_out) = (rate(SwapIn), rate(SwapOut));
    let both = |a: Option<f64>, b: Option<f64>, unit: u64| Some(round((a? + b?) * unit as f64, 2));
    Body {
        available: current.get(PageIn).is_some(),
        pgpgin_per_sec: page_in,
        pgpgout_per_sec: page_out,
        pswpin_per_sec: swap_in,
        pswpout_per_sec: swap_out,
        page_io_bytes_per_sec: both(page_in, page_out, 1024),
        swap_io_bytes_per_sec: both(swap_in, swap_out, page_size),
        pgfault_per_sec: rate(Fault),
        pgmajfault_per_sec: rate(MajorFault),
        pgscan_per_sec: sum(&[ScanKswapd, ScanDirect, ScanKhugepaged]),
        pgsteal_per_sec: sum(&[StealKswapd, StealDirect, StealKhugepaged]),
        compact_stall_per_sec: rate(CompactStall),
        compact_fail_per_sec: rate(CompactFail),
        compact_success_per_sec: rate(CompactSuccess),
        thp_fault_alloc_per_sec: rate(ThpFaultAlloc),
        thp_fault_fallback_per_sec: rate(ThpFaultFallback),
        thp_collapse_alloc_per_sec: rate(ThpCollapseAlloc),
        numa_hit_per_sec: rate(NumaHit),
        numa_miss_per_sec: rate(NumaMiss),
        numa_pages_migrated_per_sec: rate(NumaPagesMigrated),
        oom_kill_per_sec: rate(OomKill),
    }
}
