//! What is measured in the kernel: eBPF programs and performance counters.
//!
//! Each probe loads its own object, so one that this kernel rejects takes no other down, and each degrades to
//! a state with a reason and a remedy.

mod cgroups;
mod counters;
mod kernel;
mod loader;
mod mapped;
mod perf;
pub mod pmu;
mod processes;
mod runqueue;
mod sched;

use crate::config::Roots;
use crate::snapshot::source::Source;

/// What probes are made from.
#[derive(Debug)]
pub struct Common<'a> {
    roots: &'a Roots,
    sched: sched::SharedSched,
}

/// Makes a probe that is not loaded yet.
pub type New = fn(&Common<'_>) -> Box<dyn Source>;

/// Every probe, in the order their documents stand in a snapshot.
pub const REGISTRY: &[(&str, New)] = &[
    (counters::NAME, |common| Box::new(counters::Counters::new(common.roots))),
    (runqueue::NAME, |common| Box::new(runqueue::RunQueue::new(&common.sched))),
    (processes::NAME, |common| Box::new(processes::Processes::new(common))),
];

/// All probes, not yet loaded: that happens in their first sample.
pub fn all(roots: &Roots) -> Vec<Box<dyn Source>> {
    let kernel = kernel::SharedKernel::new(roots);
    let sched = sched::SharedSched::new(roots, &kernel);
    let common = Common { roots, sched };
    REGISTRY.iter().map(|(_, new)| new(&common)).collect()
}
