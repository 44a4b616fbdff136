//! What is measured in the kernel: eBPF programs and performance counters.
//!
//! Each probe loads its own object, so one that this kernel rejects takes no other down, and each degrades to
//! a state with a reason and a remedy.

mod counters;
mod loader;
mod perf;

use crate::config::Roots;
use crate::snapshot::source::Source;

/// Makes a probe that is not loaded yet.
pub type New = fn(&Roots) -> Box<dyn Source>;

/// Every probe, in the order their documents stand in a snapshot.
pub const REGISTRY: &[(&str, New)] = &[(counters::NAME, |roots| Box::new(counters::Counters::new(roots)))];

/// All probes, not yet loaded: that happens in their first sample.
pub fn all(roots: &Roots) -> Vec<Box<dyn Source>> {
    REGISTRY.iter().map(|(_, new)| new(roots)).collect()
}
