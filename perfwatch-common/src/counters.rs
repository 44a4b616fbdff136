//! Probe `counters`: what the program on each CPU hands to user space.

/// Descriptors per CPU. There are more of them than events, because an event that several ratios need is
/// opened in the group of each; user space decides which slot holds what.
pub const SLOTS: usize = 21;

/// The layout of the kernel's `struct bpf_perf_event_value`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reading {
    /// Events counted since the descriptor was opened.
    pub counter: u64,
    /// Time the event was enabled, ns.
    pub enabled: u64,
    /// Time it was on the PMU, ns; less than `enabled` when counters were multiplexed.
    pub running: u64,
}

/// All slots of one CPU, read at one moment.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Readings {
    /// `CLOCK_MONOTONIC` of the reading, ns; 0 while it is being written, or if there was none yet.
    pub read_at_ns: u64,
    /// How many readings this CPU has made.
    pub sequence: u64,
    /// Slots without a descriptor stay all zero.
    pub slots: [Reading; SLOTS],
}

/// Two buffers written in turn, so that a copy never meets a half-written reading: the program runs at
/// most every 100 ms, a copy takes a microsecond.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuCounters {
    pub buffers: [Readings; 2],
}

impl CpuCounters {
    /// The newest complete reading, if there was one.
    pub fn latest(&self) -> Option<&Readings> {
        let [a, b] = &self.buffers;
        let newest = if a.read_at_ns >= b.read_at_ns { a } else { b };
        (newest.read_at_ns != 0).then_some(newest)
    }
}

const _: () = {
    assert!(size_of::<Reading>() == 24);
    assert!(size_of::<Readings>() == 16 + 24 * SLOTS);
    assert!(size_of::<CpuCounters>() == 2 * size_of::<Readings>());
    assert!(align_of::<CpuCounters>() == 8);
};

#[cfg(feature = "user")]
#[allow(unsafe_code)]
// SAFETY: `repr(C)`, only u64 fields, so every bit pattern is valid and there is no padding.
unsafe impl aya::Pod for CpuCounters {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_complete_reading_is_taken() {
        let mut counters = CpuCounters::default();
        assert_eq!(counters.latest(), None);
        counters.buffers[1].read_at_ns = 5;
        assert_eq!(counters.latest().unwrap().read_at_ns, 5);
        counters.buffers[0].read_at_ns = 9;
        assert_eq!(counters.latest().unwrap().read_at_ns, 9);
        counters.buffers[0].read_at_ns = 0; // being rewritten
        assert_eq!(counters.latest().unwrap().read_at_ns, 5);
    }
}
