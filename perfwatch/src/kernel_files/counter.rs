//! Counter deltas: the one place that knows how wide kernel counters are.

use std::path::Path;

/// The width of the kernel's `unsigned long`, in which it keeps most counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    Bits32,
    Bits64,
}

impl Width {
    /// From the architecture as the kernel names itself (since 6.1; otherwise from uname(2)).
    pub fn of_kernel(procfs: &Path) -> Self {
        let arch = std::fs::read_to_string(procfs.join("sys/kernel/arch"))
            .unwrap_or_else(|_| rustix::system::uname().machine().to_string_lossy().into_owned());
        // An arm64 kernel calls itself armv8l to 32-bit programs that ask it to; 32-bit ones are armv7l on any CPU.
        let wide = arch.contains("64") || matches!(arch.trim(), "s390x" | "alpha" | "armv8l");
        if wide { Self::Bits64 } else { Self::Bits32 }
    }

    /// The increase between two readings; `None` if the counter went back, that is, restarted.
    ///
    /// A 32-bit counter wraps regularly (a busy gigabit interface every 34 s); a step of more than half its range
    /// counts as a restart.
    pub fn delta(self, previous: u64, current: u64) -> Option<u64> {
        match (self, u32::try_from(previous), u32::try_from(current)) {
            (Self::Bits32, Ok(previous), Ok(current)) => {
                let delta = current.wrapping_sub(previous);
                (delta <= u32::MAX / 2).then_some(u64::from(delta))
            }
            _ => current.checked_sub(previous),
        }
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
        std::fs::create_dir_all(folder.path().join("sys/kernel")).unwrap();
        for (arch, width) in [
            ("armv7l", Width::Bits32),
            ("aarch64", Width::Bits64),
            ("armv8l", Width::Bits64),
            ("i686", Width::Bits32),
            ("s390x", Width::Bits64),
        ] {
            std::fs::write(folder.path().join("sys/kernel/arch"), format!("{arch}\n")).unwrap();
            assert_eq!(Width::of_kernel(folder.path()), width, "{arch}");
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
    }
}
