//! From `/proc/meminfo` to how memory is used.

use serde::Serialize;

use crate::snapshot::derive::{percent, round};

/// The lines of `/proc/meminfo` that the document uses, in the order of [`Meminfo::from`].
pub(super) const MEMINFO: [&str; 15] = [
    "MemTotal:",
    "MemFree:",
    "MemAvailable:",
    "Buffers:",
    "Cached:",
    "SReclaimable:",
    "Shmem:",
    "SwapTotal:",
    "SwapFree:",
    "Dirty:",
    "Writeback:",
    "Slab:",
    "HugePages_Total:",
    "HugePages_Free:",
    "HugePages_Rsvd:",
];

/// Raw sample: KiB as in the file, `None` where this kernel has no such line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Meminfo {
    pub(super) total: Option<u64>,
    pub(super) free: Option<u64>,
    pub(super) available: Option<u64>,
    pub(super) buffers: Option<u64>,
    pub(super) cached: Option<u64>,
    pub(super) reclaimable: Option<u64>,
    pub(super) shared: Option<u64>,
    pub(super) swap_total: Option<u64>,
    pub(super) swap_free: Option<u64>,
    pub(super) dirty: Option<u64>,
    pub(super) writeback: Option<u64>,
    pub(super) slab: Option<u64>,
    /// Pages, not KiB, like the two below.
    pub(super) hugepages_total: Option<u64>,
    pub(super) hugepages_free: Option<u64>,
    pub(super) hugepages_reserved: Option<u64>,
}

impl From<[Option<u64>; MEMINFO.len()]> for Meminfo {
    fn from(values: [Option<u64>; MEMINFO.len()]) -> Self {
        let [
            total,
            free,
            available,
            buffers,
            cached,
            reclaimable,
            shared,
            swap_total,
            swap_free,
            dirty,
            writeback,
            slab,
            hugepages_total,
            hugepages_free,
            hugepages_reserved,
        ] = values;
        Self {
            total,
            free,
            available,
            buffers,
            cached,
            reclaimable,
            shared,
            swap_total,
            swap_free,
            dirty,
            writeback,
            slab,
            hugepages_total,
            hugepages_free,
            hugepages_reserved,
        }
    }
}

impl Meminfo {
    pub(super) fn has_swap(&self) -> bool {
        self.swap_total.is_some_and(|total| total > 0)
    }

    /// The same without impossible values: emulations of the file in containers write negative numbers without their
    /// sign, and parts of the host's memory that exceed the container's.
    fn plausible(self) -> Self {
        let total = self.total.filter(|kib| (1..NEGATIVE).contains(kib));
        let part = |kib: Option<u64>| kib.filter(|kib| total.is_some_and(|total| *kib <= total));
        let swap_total = self.swap_total.filter(|kib| *kib < NEGATIVE);
        let hugepages_total = self.hugepages_total.filter(|pages| *pages < NEGATIVE);
        Self {
            total,
            free: part(self.free),
            buffers: part(self.buffers),
            cached: part(self.cached),
            reclaimable: part(self.reclaimable),
            shared: part(self.shared),
            // free(1), too, uses free memory where the estimate exceeds the total.
            available: self.available.and_then(|_| part(self.available).or(part(self.free))),
            dirty: part(self.dirty),
            writeback: part(self.writeback),
            slab: part(self.slab),
            swap_total,
            swap_free: swap_total.zip(self.swap_free).map(|(total, free)| match free {
                NEGATIVE.. => 0, // more in use than exists
                free => free.min(total),
            }),
            hugepages_total,
            hugepages_free: self.hugepages_free.filter(|pages| Some(*pages) <= hugepages_total),
            hugepages_reserved: self.hugepages_reserved.filter(|pages| Some(*pages) <= hugepages_total),
        }
    }

    /// The kernel's own estimate; before Linux 3.14, what `free` used instead.
    fn available(&self) -> Option<u64> {
        self.available.or_else(|| {
            let cache = self.buffers?.saturating_add(self.cached?).saturating_sub(self.shared.unwrap_or(0));
            Some(self.free?.saturating_add(cache)).filter(|available| Some(*available) <= self.total)
        })
    }
}

/// From here on, KiB are negative bytes in 64 bits.
const NEGATIVE: u64 = 1 << 53;

/// Pages read from and written to swap since boot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Swapped {
    pub(super) pages_in: Option<u64>,
    pub(super) pages_out: Option<u64>,
}

#[derive(Debug, Serialize, PartialEq)]
pub(super) struct Body {
    total_bytes: u64,
    available_bytes: Option<u64>,
    /// Total − available.
    used_bytes: Option<u64>,
    usage_percent: Option<f64>,
    free_bytes: Option<u64>,
    buffers_bytes: Option<u64>,
    /// Page cache and reclaimable slabs.
    cached_bytes: Option<u64>,
    shared_bytes: Option<u64>,
    swap_total_bytes: Option<u64>,
    swap_used_bytes: Option<u64>,
    swap_free_bytes: Option<u64>,
    /// 0 without swap (`swap_total_bytes` is 0).
    swap_percent: Option<f64>,
    /// Read from swap since boot.
    swap_sin_bytes: Option<u64>,
    /// Written to swap since boot.
    swap_sout_bytes: Option<u64>,
    dirty_bytes: Option<u64>,
    writeback_bytes: Option<u64>,
    slab_bytes: Option<u64>,
    /// Pages, like the two below.
    hugepages_total: Option<u64>,
    hugepages_free: Option<u64>,
    hugepages_reserved: Option<u64>,
}

/// `None` without a plausible total, of which everything else is a part.
pub(super) fn derive(raw: &Meminfo, swapped: Swapped, page_size: u64) -> Option<Body> {
    let raw = &raw.plausible();
    let bytes = |kib: Option<u64>| kib.map(|kib| kib.saturating_mul(1024));
    let cached = raw.cached.map(|cached| cached.saturating_add(raw.reclaimable.unwrap_or(0)));
    let total = raw.total?;
    let used = raw.available().map(|available| total.saturating_sub(available));
    let swap_used = raw.swap_total.zip(raw.swap_free).map(|(total, free)| total.saturating_sub(free));
    let swap_percent = raw.swap_total.zip(swap_used).map(|(total, used)| percent(used, total).unwrap_or(0.0));
    Some(Body {
        total_bytes: total.saturating_mul(1024),
        available_bytes: bytes(raw.available()),
        used_bytes: bytes(used),
        usage_percent: used.and_then(|used| percent(used, total)).map(|p| round(p, 2)),
        free_bytes: bytes(raw.free),
        buffers_bytes: bytes(raw.buffers),
        cached_bytes: bytes(cached.filter(|cached| Some(*cached) <= raw.total)),
        shared_bytes: bytes(raw.shared),
        swap_total_bytes: bytes(raw.swap_total),
        swap_used_bytes: bytes(swap_used),
        swap_free_bytes: bytes(raw.swap_free),
        swap_percent: swap_percent.map(|p| round(p, 2)),
        swap_sin_bytes: swapped.pages_in.and_then(|pages| pages.checked_mul(page_size)),
        swap_sout_bytes: swapped.pages_out.and_then(|pages| pages.checked_mul(page_size)),
        dirty_bytes: bytes(raw.dirty),
        writeback_bytes: bytes(raw.writeback),
        slab_bytes: bytes(raw.slab),
        hugepages_total: raw.hugepages_total,
        hugepages_free: raw.hugepages_free,
        hugepages_reserved: raw.hugepages_reserved,
    })
}
