//! Probe `counters`: what the program on each CPU hands to user space.

use crate::cost::Costs;

/// Descriptors per CPU. There are more of them than events, because an event that several ratios need is
/// opened in the group of each; user space decides which slot holds what.
pub const SLOTS: usize = 22;

/// CPUs look at the schedule this often, ns, and when a reading is due. Timers expire far more often, and the line of
/// the cache that it lies in is seldom at hand.
pub const LOOK_EVERY_NS: u64 = 50_000_000;

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

/// When CPUs are to read, written by user space.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Schedule {
    /// Time between readings, ns; 0 stops them.
    pub period_ns: u64,
    /// `CLOCK_MONOTONIC` of any one reading, ns: all others lie whole periods from it.
    pub phase_ns: u64,
}

impl Schedule {
    /// The first scheduled time after `now`, which is not before `phase_ns`.
    pub fn next(&self, now: u64) -> u64 {
        let since = now.saturating_sub(self.phase_ns);
        match since.checked_rem(self.period_ns) {
            Some(over) => now.saturating_add(self.period_ns - over),
            None => u64::MAX,
        }
    }
}

/// Two buffers written in turn, so that a copy never meets a half-written reading: the program reads at
/// most every 100 ms, a copy takes a microsecond.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuCounters {
    /// When to look at the schedule next, ns. Most runs need this and the count of runs, so they lie together.
    pub look_ns: u64,
    pub costs: Costs<1>,
    /// When the next reading is due, ns.
    pub due_ns: u64,
    /// The schedule that `due_ns` was computed from.
    pub schedule: Schedule,
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
    assert!(size_of::<Schedule>() == 16);
    assert!(size_of::<CpuCounters>() == 56 + 2 * size_of::<Readings>());
    assert!(align_of::<CpuCounters>() == 8);
};

#[cfg(feature = "user")]
#[allow(unsafe_code)]
// SAFETY: `repr(C)`, only u64 fields, so every bit pattern is valid and there is no padding.
unsafe impl aya::Pod for CpuCounters {}

#[cfg(feature = "user")]
#[allow(unsafe_code)]
// SAFETY: as above.
unsafe impl aya::Pod for Schedule {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_are_due_whole_periods_from_the_phase() {
        let schedule = Schedule { period_ns: 10, phase_ns: 3 };
        assert_eq!(schedule.next(3), 13);
        assert_eq!(schedule.next(12), 13);
        assert_eq!(schedule.next(13), 23);
        assert_eq!(Schedule::default().next(5), u64::MAX);
    }

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
