//! What programs cost, measured by themselves: every run is counted, one in [`TIMED_EVERY`] is timed.
//!
//! The kernel's own accounting (`kernel.bpf_stats_enabled`) needs rights that PerfWatch does not ask for and adds
//! about 30 ns to every run; this adds about one.

/// A power of two. The first run of all is timed too.
pub const TIMED_EVERY: u64 = 256;

/// One program on one CPU.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    pub runs: u64,
    pub timed: u64,
    /// Time of the timed runs, ns; it includes one reading of the clock each.
    pub time_ns: u64,
}

impl Cost {
    /// Counts a run; true if it is one to time.
    #[inline(always)]
    pub fn count(&mut self) -> bool {
        let timed = self.runs & (TIMED_EVERY - 1) == 0;
        self.runs += 1;
        timed
    }

    #[inline(always)]
    pub fn add_time(&mut self, ns: u64) {
        self.timed += 1;
        self.time_ns += ns;
    }

    #[must_use]
    pub fn plus(self, other: &Self) -> Self {
        Self {
            runs: self.runs + other.runs,
            timed: self.timed + other.timed,
            time_ns: self.time_ns + other.time_ns,
        }
    }

    /// Time of all runs, at the mean of the timed ones, ns.
    pub fn total_ns(&self) -> u64 {
        let scaled = u128::from(self.time_ns) * u128::from(self.runs) / u128::from(self.timed.max(1));
        u64::try_from(scaled).unwrap_or(u64::MAX)
    }
}

const _: () = assert!(size_of::<Cost>() == 24);

#[cfg(feature = "user")]
#[allow(unsafe_code)]
// SAFETY: `repr(C)`, only u64 fields, so every bit pattern is valid and there is no padding.
unsafe impl aya::Pod for Cost {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_run_and_then_one_in_so_many_is_timed() {
        let mut cost = Cost::default();
        for run in 0..=2 * TIMED_EVERY {
            if cost.count() {
                assert!(run.is_multiple_of(TIMED_EVERY));
                cost.add_time(50);
            }
        }
        assert_eq!((cost.runs, cost.timed, cost.time_ns), (2 * TIMED_EVERY + 1, 3, 150));
        assert_eq!(cost.total_ns(), 50 * cost.runs);
        assert_eq!(Cost::default().total_ns(), 0);
    }
}
