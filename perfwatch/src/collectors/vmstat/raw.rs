//! The counters of `/proc/vmstat` that a document uses.

use crate::kernel_files::keyed::Keyed;

macro_rules! counters {
    ($($name:ident = $line:literal),+ $(,)?) => {
        /// A line of `/proc/vmstat`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Counter { $($name),+ }

        impl Counter {
            pub(super) const ALL: &[Self] = &[$(Self::$name),+];

            /// As the kernel spells it.
            pub(super) const fn line(self) -> &'static str {
                match self { $(Self::$name => $line),+ }
            }
        }
    };
}

counters! {
    PageIn = "pgpgin",
    PageOut = "pgpgout",
    SwapIn = "pswpin",
    SwapOut = "pswpout",
    Fault = "pgfault",
    MajorFault = "pgmajfault",
    ScanKswapd = "pgscan_kswapd",
    ScanDirect = "pgscan_direct",
    ScanKhugepaged = "pgscan_khugepaged",
    StealKswapd = "pgsteal_kswapd",
    StealDirect = "pgsteal_direct",
    StealKhugepaged = "pgsteal_khugepaged",
    CompactStall = "compact_stall",
    CompactFail = "compact_fail",
    CompactSuccess = "compact_success",
    ThpFaultAlloc = "thp_fault_alloc",
    ThpFaultFallback = "thp_fault_fallback",
    ThpCollapseAlloc = "thp_collapse_alloc",
    NumaHit = "numa_hit",
    NumaMiss = "numa_miss",
    NumaPagesMigrated = "numa_pages_migrated",
    OomKill = "oom_kill",
}

const COUNTERS: usize = Counter::ALL.len();

/// Each counter; `None` if this kernel has no such line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Raw([Option<u64>; COUNTERS]);

impl Raw {
    pub(super) fn get(&self, counter: Counter) -> Option<u64> {
        self.0[counter as usize]
    }
}

#[derive(Debug)]
pub(super) struct Parser(Keyed<COUNTERS>);

impl Parser {
    pub(super) fn new() -> Self {
        Self(Keyed::new(std::array::from_fn(|at| Counter::ALL[at].line())))
    }

    pub(super) fn parse(&mut self, text: &[u8]) -> Raw {
        Raw(self.0.parse(text))
    }
}
