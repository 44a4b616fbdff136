//! Scheme `log16`: base-2 log-linear buckets, 16 to each power of two (relative error ≤ 1/16).
//!
//! The same integer arithmetic sorts values in the kernel and names the bounds of a bucket in user space.
//! Values below 32 have a bucket each; above, a bucket is a sixteenth of its power of two.

/// Buckets that cover all of `u64`.
pub const BUCKETS: usize = 976;

const SUB_BITS: u32 = 4;

/// The bucket of `value`: monotone and below [`BUCKETS`].
#[inline(always)]
pub const fn index(value: u64) -> u16 {
    // Comparisons that a CPU predicts, because latencies resemble each other. BPF has no instruction that counts
    // leading zeros, and what compilers make of it there is a chain of 45.
    let mut mantissa = value;
    let mut shift = 0;
    if mantissa >= 1 << (32 + SUB_BITS) {
        mantissa >>= 32;
        shift += 32;
    }
    if mantissa >= 1 << (16 + SUB_BITS) {
        mantissa >>= 16;
        shift += 16;
    }
    if mantissa >= 1 << (8 + SUB_BITS) {
        mantissa >>= 8;
        shift += 8;
    }
    if mantissa >= 1 << (4 + SUB_BITS) {
        mantissa >>= 4;
        shift += 4;
    }
    if mantissa >= 1 << (2 + SUB_BITS) {
        mantissa >>= 2;
        shift += 2;
    }
    if mantissa >= 1 << (1 + SUB_BITS) {
        mantissa >>= 1;
        shift += 1;
    }
    // From 32 on the mantissa is 16 to 31 and its leading bit adds a power of two; below it is the value itself.
    ((shift << SUB_BITS) + mantissa) as u16
}

/// The smallest and the greatest value of bucket `index`; `None` if there is no such bucket.
pub const fn bounds(index: u16) -> Option<(u64, u64)> {
    if index as usize >= BUCKETS {
        return None;
    }
    if index < 32 {
        return Some((index as u64, index as u64));
    }
    let shift = (index as u32 >> SUB_BITS) - 1;
    let mantissa = 16 + (index as u64 & 15);
    let low = mantissa << shift;
    Some((low, low + ((1 << shift) - 1)))
}

/// What a program keeps of one distribution. The number of values is the sum of the buckets.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buckets {
    pub sum: u64,
    /// The greatest value since user space last took it.
    pub max: u64,
    pub counts: [u64; BUCKETS],
}

impl Buckets {
    pub const EMPTY: Self = Self { sum: 0, max: 0, counts: [0; BUCKETS] };
}

const _: () = {
    assert!(size_of::<Buckets>() == 8 * (BUCKETS + 2));
    assert!(index(u64::MAX) as usize == BUCKETS - 1);
};

#[cfg(feature = "user")]
#[allow(unsafe_code)]
// SAFETY: `repr(C)` and integers only, so every bit pattern is valid.
unsafe impl aya::Pod for Buckets {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn small_values_are_exact_and_large_ones_fit() {
        for value in 0..32 {
            assert_eq!(index(value), value as u16);
            assert_eq!(bounds(value as u16), Some((value, value)));
        }
        assert_eq!(index(32), 32);
        assert_eq!(index(33), 32);
        assert_eq!(bounds(975), Some((31 << 59, u64::MAX)));
        assert_eq!(bounds(976), None);
    }

    #[test]
    fn buckets_follow_each_other_without_gap() {
        for i in 1..BUCKETS as u16 {
            assert_eq!(bounds(i).unwrap().0, bounds(i - 1).unwrap().1 + 1);
        }
    }

    #[test]
    fn every_power_of_two_begins_a_bucket() {
        for power in SUB_BITS..64 {
            let first = index(1 << power);
            assert_eq!(first as u32, (power - SUB_BITS + 1) << SUB_BITS);
            assert_eq!(index((1 << power) - 1), first - 1);
        }
    }

    proptest! {
        #[test]
        fn a_value_lies_in_its_bucket(value: u64, shift in 0u32..64) {
            let value = value >> shift;
            let (low, high) = bounds(index(value)).unwrap();
            prop_assert!(low <= value && value <= high);
            // Relative error ≤ 6.25%.
            prop_assert!(high - low <= low / 16);
        }

        #[test]
        fn order_is_kept(a: u64, b: u64, shift in 0u32..64) {
            let (a, b) = (a >> shift, b >> shift);
            prop_assert_eq!(index(a.min(b)) <= index(a.max(b)), true);
        }
    }
}
