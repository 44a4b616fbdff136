//! `kernel.perf_event_paranoid`: who may count performance events.
//!
//! The kernel has levels up to 2, which `CAP_PERFMON` overrides. Debian (3, the default there) and Ubuntu (4) added one
//! that requires `CAP_SYS_ADMIN`.

use crate::config::Roots;

/// The lowest level added by a distribution.
const STRICTER: i32 = 3;

/// The command after which `CAP_PERFMON` is enough.
pub const REMEDY: &str = "sudo sysctl kernel.perf_event_paranoid=2";

/// The current level, if the kernel has performance events at all.
pub fn level(roots: &Roots) -> Option<i32> {
    std::fs::read_to_string(roots.proc("sys/kernel/perf_event_paranoid")).ok()?.trim().parse().ok()
}

/// Whether `CAP_PERFMON` may be insufficient.
pub fn is_stricter(roots: &Roots) -> bool {
    level(roots).is_some_and(|level| level >= STRICTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_of_distributions_are_told_from_the_kernels() {
        let directory = tempfile::tempdir().unwrap();
        let roots = Roots { procfs: directory.path().into(), ..Roots::default() };
        assert_eq!((level(&roots), is_stricter(&roots)), (None, false));
        std::fs::create_dir_all(roots.proc("sys/kernel")).unwrap();
        for (text, stricter) in [("-1\n", false), ("2\n", false), ("3\n", true), ("4\n", true)] {
            std::fs::write(roots.proc("sys/kernel/perf_event_paranoid"), text).unwrap();
            assert_eq!(is_stricter(&roots), stricter, "{text}");
        }
    }
}
