//! What is measured inside the kernel: eBPF programs and performance counters.
//!
//! Each probe loads its own object: one that this kernel rejects does not affect others, and reports reason and remedy.

mod block_io;
mod btf;
mod budget;
mod counters;
mod feed;
mod groups;
mod guarded;
mod kernel;
mod loader;
mod mapped;
pub mod paranoid;
mod perf;
pub mod pmu;
mod processes;
pub mod profile;
pub mod rights;
mod runqueue;
pub mod sched;
mod slot_map;
pub mod target;
mod tcp;

pub use feed::{Feed, Unwound, WaitStack};
pub use kernel::BTF_REMEDY;
pub use processes::ProcessLister;

use std::sync::Arc;
use std::time::Duration;

use crate::cgroups::Names;
use crate::config::Roots;
use crate::snapshot::cpulist::CpuList;
use crate::snapshot::source::Source;

/// Shared by the probes.
#[derive(Debug)]
pub struct Common<'a> {
    roots: &'a Roots,
    kernel: kernel::SharedKernel,
    budget: budget::Budget,
    sched: sched::SharedSched,
    block_io: block_io::SharedBlockIo,
    lister: Arc<ProcessLister>,
    feed: Feed,
    names: Names,
    options: Options,
}

/// What a user may choose.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// CPU time that the programs may use, percent of each CPU.
    pub budget_percent: f64,
    /// Whether history may have processes' command lines.
    pub command_lines: bool,
}

impl Options {
    /// No budget, and everything that can be seen.
    pub const UNLIMITED: Self = Self { budget_percent: 100.0, command_lines: true };
}

/// Makes a probe that is not loaded yet.
pub type New = fn(&Common<'_>) -> Box<dyn Source>;

/// Every probe, in the order of their documents in a snapshot.
pub const REGISTRY: &[(&str, New)] = &[
    (counters::NAME, |common| Box::new(counters::Counters::new(common))),
    (runqueue::NAME, |common| Box::new(runqueue::RunQueue::new(&common.sched))),
    (block_io::NAME, |common| Box::new(block_io::BlockIo::new(common))),
    (tcp::NAME, |common| Box::new(tcp::Tcp::new(common))),
    (processes::NAME, |common| Box::new(processes::Processes::new(common))),
    (groups::NAME, |common| Box::new(groups::Groups::new(common))),
    (processes::USAGE, |common| Box::new(processes::Accounts::new(common))),
    (profile::NAME, |common| Box::new(profile::Profile::new(common))),
];

/// All probes, not yet loaded: that happens in their first sample.
pub fn all(roots: &Roots, options: Options) -> Vec<Box<dyn Source>> {
    retrying_after(roots, options, budget::FIRST_PAUSE)
}

/// The same, with the stacks that they take.
pub fn feeding(roots: &Roots, options: Options, feed: &Feed) -> Vec<Box<dyn Source>> {
    let names = Names::new(roots, &[]);
    let lister = Arc::new(ProcessLister::new(roots, names, options.command_lines));
    make(roots, options, budget::FIRST_PAUSE, lister, feed.clone())
}

/// The same; each tick passes its process measurements to the lister, whose names of cgroups are used, and samples of
/// stacks come to the feed.
pub fn telling(
    roots: &Roots,
    options: Options,
    lister: &Arc<ProcessLister>,
    feed: &Feed,
) -> Vec<Box<dyn Source>> {
    make(roots, options, budget::FIRST_PAUSE, Arc::clone(lister), feed.clone())
}

/// The same with another pause before the first retry of what the budget has switched off.
pub fn retrying_after(roots: &Roots, options: Options, pause: Duration) -> Vec<Box<dyn Source>> {
    let names = Names::new(roots, &[]);
    make(
        roots,
        options,
        pause,
        Arc::new(ProcessLister::new(roots, names, options.command_lines)),
        Feed::default(),
    )
}

/// CPUs of the machine, all of which run the programs: a CPU quota or affinity of this process does not matter.
fn online_cpus(roots: &Roots) -> usize {
    let online = std::fs::read_to_string(roots.sys("devices/system/cpu/online")).ok();
    let online = online.and_then(|list| list.trim().parse::<CpuList>().ok()).filter(|list| !list.is_empty());
    online.map_or_else(
        || std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        |list| list.len(),
    )
}

fn make(
    roots: &Roots,
    options: Options,
    pause: Duration,
    lister: Arc<ProcessLister>,
    feed: Feed,
) -> Vec<Box<dyn Source>> {
    let kernel = kernel::SharedKernel::new(roots);
    let cpus = online_cpus(roots);
    let budget = budget::Budget::new(options.budget_percent, cpus, pause);
    let sched = sched::SharedSched::new(roots, &kernel, &budget, &feed);
    let block_io = block_io::SharedBlockIo::new(&budget);
    let names = lister.groups().clone();
    let common = Common { roots, kernel, budget, sched, block_io, lister, feed, names, options };
    REGISTRY.iter().map(|(_, new)| new(&common)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A container with `cpus: "1"` on a machine with 64: its programs run on all of them, and so much they may cost.
    #[test]
    fn the_budget_is_of_the_machines_cpus() {
        let sys = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(sys.path().join("devices/system/cpu")).unwrap();
        std::fs::write(sys.path().join("devices/system/cpu/online"), "0-61,64-65\n").unwrap();
        assert_eq!(online_cpus(&Roots { sysfs: sys.path().to_owned(), ..Roots::default() }), 64);
        let nothing = Roots { sysfs: sys.path().join("none"), ..Roots::default() };
        assert!(online_cpus(&nothing) >= 1);
    }
}
