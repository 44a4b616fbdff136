//! From counter deltas to rates per second.

use std::time::Duration;

use crate::kernel_files::counter::Width;
use crate::snapshot::derive::round;

/// `delta` per second of `elapsed`; `None` when no time has passed.
pub(super) fn per_second(delta: u64, elapsed: Duration) -> Option<f64> {
    let seconds = elapsed.as_secs_f64();
    (seconds > 0.0).then(|| round(delta as f64 / seconds, 2))
}

/// Turns a counter's earlier and later values into a rate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rates {
    pub(super) width: Width,
    pub(super) elapsed: Duration,
}

impl Rates {
    /// Per second; `None` when the counter went back or no time has passed.
    pub(super) fn of(self, previous: u64, current: u64) -> Option<f64> {
        per_second(self.width.delta(previous, current)?, self.elapsed)
    }

    /// Like [`Self::of`], for counters that this kernel may lack.
    pub(super) fn of_optional(self, previous: Option<u64>, current: Option<u64>) -> Option<f64> {
        self.of(previous?, current?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rates_are_finite_and_never_negative(a: u64, b: u64, ms in 0u64..100_000) {
            for width in [Width::Bits32, Width::Bits64] {
                let rate = Rates { width, elapsed: Duration::from_millis(ms) }.of(a, b);
                prop_assert!(rate.is_none_or(|r| r >= 0.0 && r.is_finite()));
                prop_assert!(ms > 0 || rate.is_none());
            }
        }
    }
}
