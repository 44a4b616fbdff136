//! Opening performance counters: one CPU's events, in groups.

#[cfg(target_pointer_width = "64")]
mod event;
#[cfg(target_pointer_width = "64")]
mod open;
#[cfg(not(target_pointer_width = "64"))]
#[path = "perf/without.rs"]
mod open;

use std::io;

pub(super) use self::open::{Counter, CpuEvents, open, timer};
use super::pmu::CorePmu;

/// Why nothing could be opened at all.
#[derive(Debug)]
pub(super) struct Refused(pub io::Error);

/// The kind of core that a CPU is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Core<'a> {
    /// No PMU is visible: ask the kernel all the same.
    Unknown,
    Only(&'a CorePmu),
    /// One kind of several.
    Hybrid(&'a CorePmu),
}

impl<'a> Core<'a> {
    /// Of a CPU, with the index of its kind in `cores`; one past the end if none counts on it.
    pub(super) fn of(cores: &'a [CorePmu], cpu: u32) -> (usize, Self) {
        let kind = cores.iter().position(|core| core.counts_on(cpu)).unwrap_or(cores.len());
        let core = match (cores, cores.get(kind)) {
            (_, None) => Self::Unknown,
            ([only], Some(_)) => Self::Only(only),
            (_, Some(core)) => Self::Hybrid(core),
        };
        (kind, core)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cpu_is_of_the_kind_that_counts_on_it() {
        let cores = crate::probes::pmu::tests::machine("alder-lake");
        let name = |cpu| match Core::of(&cores, cpu) {
            (kind, Core::Hybrid(pmu)) => (kind, pmu.name.clone()),
            other => panic!("CPU {cpu}: {other:?}"),
        };
        assert_eq!(name(15), (1, "cpu_core".to_owned()));
        assert_eq!(name(16), (0, "cpu_atom".to_owned()));
        assert!(matches!(Core::of(&cores, 24), (2, Core::Unknown)));
        assert!(matches!(Core::of(&cores[1..], 3), (0, Core::Only(_))));
    }
}
