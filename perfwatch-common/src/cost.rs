//! What programs cost, measured by themselves: every run is counted, one in [`TIMED_EVERY`] is timed.
//!
//! The kernel's own accounting (`kernel.bpf_stats_enabled`) needs rights that PerfWatch does not ask for and adds
//! about 30 ns to every run; this adds about one.

/// A power of two. The first run of all is timed too.
pub const TIMED_EVERY: u64 = 256;

/// What `N` programs of one object cost on one CPU. All counts of runs lie together, so that a program which seldom
/// runs finds its own in the cache lines of one that often does.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Costs<const N: usize> {
    runs: [u64; N],
    sampled: [Sampled; N],
}

/// The timed runs of one program.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sampled {
    timed: u64,
    /// It includes one reading of the clock each.
    time_ns: u64,
}

impl<const N: usize> Default for Costs<N> {
    fn default() -> Self {
        Self { runs: [0; N], sampled: [Sampled::default(); N] }
    }
}

impl<const N: usize> Costs<N> {
    /// Counts a run; true if it is one to time.
    #[inline(always)]
    pub fn count(&mut self, program: usize) -> bool {
        let timed = self.runs[program] & (TIMED_EVERY - 1) == 0;
        self.runs[program] += 1;
        timed
    }

    #[inline(always)]
    pub fn add_time(&mut self, program: usize, ns: u64) {
        self.sampled[program].timed += 1;
        self.sampled[program].time_ns += ns;
    }

    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        for program in 0..N {
            self.runs[program] += other.runs[program];
            self.sampled[program].timed += other.sampled[program].timed;
            self.sampled[program].time_ns += other.sampled[program].time_ns;
        }
        self
    }

    /// Times a program has run.
    pub fn runs(&self, program: usize) -> u64 {
        self.runs[program]
    }

    /// Time of all runs of a program, at the mean of the timed ones, ns.
    pub fn total_ns(&self, program: usize) -> u64 {
        let Sampled { timed, time_ns } = self.sampled[program];
        let scaled = u128::from(time_ns) * u128::from(self.runs[program]) / u128::from(timed.max(1));
        u64::try_from(scaled).unwrap_or(u64::MAX)
    }
}

const _: () = assert!(size_of::<Costs<3>>() == 3 * 24);

#[cfg(feature = "user")]
#[allow(unsafe_code)]
// SAFETY: `repr(C)`, only u64 fields, so every bit pattern is valid and there is no padding.
unsafe impl<const N: usize> aya::Pod for Costs<N> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_run_and_then_one_in_so_many_is_timed() {
        let mut costs = Costs::<2>::default();
        for run in 0..=2 * TIMED_EVERY {
            if costs.count(1) {
                assert!(run.is_multiple_of(TIMED_EVERY));
                costs.add_time(1, 50);
            }
        }
        let runs = 2 * TIMED_EVERY + 1;
        assert_eq!((costs.runs(1), costs.total_ns(1)), (runs, 50 * runs));
        assert_eq!((costs.runs(0), costs.total_ns(0)), (0, 0));
        let twice = costs.plus(&costs);
        assert_eq!((twice.runs(1), twice.total_ns(1)), (2 * runs, 100 * runs));
    }
}
