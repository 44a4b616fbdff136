//! What programs keep of groups of tasks (cgroups): user space gives a slot to each group that it follows, and what is in
//! others counts at the slot of a group that they are in. A group may have a slot once nobody knows its last owner there.

use crate::histogram::index;

/// Slots that a machine may have: a task's entry keeps the number of its own in a byte.
pub const MAX_SLOTS: u32 = 256;

/// Of everything that is in no group with a slot.
pub const NO_SLOT: u8 = 0;

/// Groups that are found at a slot, be it another group's.
pub const MAX_GROUPS: u32 = 4096;

/// Each CPU has its own of each slot: 16 MiB of them, where there are very many CPUs.
pub const fn slots(cpus: u32) -> u32 {
    match (16 << 20) / (size_of::<Group>() as u32) / if cpus == 0 { 1 } else { cpus } {
        few if few < 32 => 32,
        many if many > MAX_SLOTS => MAX_SLOTS,
        slots => slots,
    }
}

/// Buckets of a distribution: four to each power of two, which are four of `histogram` each, from 1 µs to half an hour.
/// The first and the last also have what lies beyond.
pub const COARSE: usize = 124;
const FIRST: u16 = index(1024) >> 2;

/// The coarse bucket of a bucket of `histogram`.
#[inline(always)]
pub const fn coarse(bucket: u16) -> u16 {
    let bucket = bucket >> 2;
    if bucket < FIRST {
        0
    } else if bucket >= FIRST + COARSE as u16 {
        COARSE as u16 - 1
    } else {
        bucket - FIRST
    }
}

/// The last bucket of `histogram` that a coarse one stands for, so that quantiles are never too low.
pub const fn last_of(coarse: u16) -> u16 {
    ((FIRST + coarse) << 2) + 3
}

/// Times, ns.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    pub sum: u64,
    /// The greatest since user space last took it.
    pub max: u64,
    /// They wrap.
    pub counts: [u32; COARSE],
}

impl Times {
    pub const EMPTY: Self = Self { sum: 0, max: 0, counts: [0; COARSE] };
}

/// What the tasks of one slot did on one CPU.
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    /// From when a task became runnable until it ran.
    pub wait: Times,
    /// From when a task blocked until it ran again.
    pub off_cpu: Times,
}

impl Group {
    pub const EMPTY: Self = Self { wait: Times::EMPTY, off_cpu: Times::EMPTY };
}

const _: () = assert!(size_of::<Group>() == 1024);

#[cfg(feature = "user")]
#[allow(unsafe_code)]
// SAFETY: `repr(C)` and integers only, without padding, so every bit pattern is valid.
unsafe impl aya::Pod for Group {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::{BUCKETS, bounds};

    #[test]
    fn coarse_buckets_are_of_four_and_end_where_their_last_does() {
        for bucket in 0..BUCKETS as u16 {
            let last = last_of(coarse(bucket));
            let (low, _) = bounds(bucket).unwrap();
            if low >= 1024 && bucket <= last_of(COARSE as u16 - 1) {
                assert!(bucket <= last && last - bucket < 4, "{bucket} is in {last}");
            }
        }
        let upper = |coarse| bounds(last_of(coarse)).unwrap().1;
        assert_eq!((upper(0), coarse(0), coarse(BUCKETS as u16 - 1)), (1279, 0, COARSE as u16 - 1));
        assert!(upper(COARSE as u16 - 1) > 1_800_000_000_000, "half an hour");
    }

    #[test]
    fn machines_with_many_cpus_have_fewer_slots() {
        assert_eq!((slots(0), slots(4), slots(64), slots(128), slots(4096)), (256, 256, 256, 128, 32));
    }
}
