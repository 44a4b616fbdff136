//! How far a kernel counter has come: the one place that knows how wide counters are.

use std::time::Duration;

use crate::config::Roots;
use crate::snapshot::derive::round;

/// The width of the kernel's `unsigned long`, in which it keeps most counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    Bits32,
    Bits64,
}

impl Width {
    /// By the architecture that the kernel names itself (since 6.1; otherwise by uname(2)).
    pub(super) fn of_kernel(roots: &Roots) -> Self {
        let arch = std::fs::read_to_string(roots.proc("sys/kernel/arch"))
            .unwrap_or_else(|_| rustix::system::uname().machine().to_string_lossy().into_owned());
        let wide = arch.contains("64") || matches!(arch.trim(), "s390x" | "alpha");
        if wide { Self::Bits64 } else { Self::Bits32 }
    }

    /// What was counted between two readings; `None` when the counter went back, that is, started anew.
    ///
    /// A 32-bit counter passes zero regularly (a busy gigabit interface every 34 s); a step of more than half its
    /// range is taken for a restart.
    pub(super) fn delta(self, previous: u64, current: u64) -> Option<u64> {
        match (self, u32::try_from(previous), u32::try_from(current)) {
            (Self::Bits32, Ok(previous), Ok(current)) => {
                let delta = current.wrapping_sub(previous);
                (delta <= u32::MAX / 2).then_some(u64::from(delta))
            }
            _ => current.checked_sub(previous),
        }
    }
}

/// `delta` per second of `elapsed`; `None` when no time has passed.
pub(super) fn per_second(delta: u64, elapsed: Duration) -> Option<f64> {
    let seconds = elapsed.as_secs_f64();
    (seconds > 0.0).then(|| round(delta as f64 / seconds, 2))
}

/// The same number of the raw samples' earlier and later fields, as a rate.
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

    /// As [`Self::of`], for counters that this kernel may not have.
    pub(super) fn of_optional(self, previous: Option<u64>, current: Option<u64>) -> Option<f64> {
        self.of(previous?, current?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_32_bit_counter_wraps_and_a_64_bit_one_restarts() {
        let almost = u64::from(u32::MAX) - 9;
        assert_eq!(Width::Bits32.delta(almost, 30), Some(40));
        assert_eq!(Width::Bits64.delta(almost, 30), None);
        // Some counters are 64 bits wide on 32-bit kernels too.
        assert_eq!(Width::Bits32.delta(1 << 40, (1 << 40) + 5), Some(5));
        // From the middle to zero is a restart, whatever the width.
        assert_eq!(Width::Bits32.delta(1 << 31, 5), None);
    }

    #[test]
    fn the_width_is_that_of_the_recorded_kernel() {
        let folder = tempfile::tempdir().unwrap();
        let roots = Roots { procfs: folder.path().into(), ..Roots::default() };
        std::fs::create_dir_all(folder.path().join("sys/kernel")).unwrap();
        for (arch, width) in [
            ("armv7l", Width::Bits32),
            ("aarch64", Width::Bits64),
            ("i686", Width::Bits32),
            ("s390x", Width::Bits64),
        ] {
            std::fs::write(folder.path().join("sys/kernel/arch"), format!("{arch}\n")).unwrap();
            assert_eq!(Width::of_kernel(&roots), width, "{arch}");
        }
    }

    proptest! {
        #[test]
        fn a_delta_is_what_was_added(start: u64, added in 0..u64::from(u32::MAX / 2)) {
            let wrapped = |n: u64| u64::from(n as u32);
            prop_assert_eq!(
                Width::Bits32.delta(wrapped(start), wrapped(start.wrapping_add(added))), Some(added));
            prop_assert_eq!(Width::Bits64.delta(start, start.saturating_add(added)),
                Some(added.min(u64::MAX - start)));
        }

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
