//! The performance counters that are charged to tasks.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsRawFd;

use aya::Ebpf;
use perfwatch_common::sched::COUNTERS;

use crate::probes::loader::Descriptors;
use crate::probes::perf::{self, Core, Counter};
use crate::probes::pmu::CorePmu;

/// In the order of `Task::counters`. One group per CPU, so that all of them cover the same time.
const EVENTS: [&str; COUNTERS] =
    ["cycles", "instructions", "LLC-load-misses", "branch-misses", "dTLB-load-misses"];

/// The open events of each CPU, and the arrays through which the programs read them.
#[derive(Debug, Default)]
pub(super) struct Counting {
    cpus: BTreeMap<u32, [Option<Counter>; COUNTERS]>,
    /// A bit for each event that counts on some CPU.
    mask: u32,
    arrays: Vec<Descriptors>,
    /// CPUs that are online and offer nothing.
    refused: BTreeSet<u32>,
    /// The kinds of cores: on hybrid machines a generic event counts on only one kind.
    cores: Vec<CorePmu>,
}

impl Counting {
    /// Opens what these CPUs offer; nothing on a machine without a PMU, or without the right to use it.
    pub(super) fn open(cpus: impl Iterator<Item = u32>, cores: Vec<CorePmu>) -> Self {
        let mut counting = Self { cores, ..Self::default() };
        for cpu in cpus {
            let events = open_cpu(cpu, Core::of(&counting.cores, cpu).1);
            for (i, event) in events.iter().enumerate() {
                counting.mask |= u32::from(event.is_some()) << i;
            }
            counting.cpus.insert(cpu, events);
        }
        counting
    }

    pub(super) fn mask(&self) -> u32 {
        self.mask
    }

    /// Passes the events to the programs.
    pub(super) fn attach(&mut self, ebpf: &mut Ebpf) {
        self.arrays =
            (0..COUNTERS).filter_map(|i| Descriptors::take(ebpf, &format!("COUNTER_{i}"))).collect();
        for (cpu, events) in &self.cpus {
            self.put(*cpu, events);
        }
    }

    /// Handles a CPU that has switched tasks since the last reading. Its events are reopened if they did not
    /// `advance`: the CPU was offline when they were opened, or since then, and the kernel has released them.
    pub(super) fn follow(&mut self, cpu: u32, advance: bool) {
        if self.mask == 0 || advance || self.refused.contains(&cpu) {
            return;
        }
        let events = open_cpu(cpu, Core::of(&self.cores, cpu).1);
        if events.iter().all(Option::is_none) {
            self.refused.insert(cpu); // a core of a kind without such events
        }
        self.put(cpu, &events);
        self.cpus.insert(cpu, events);
    }

    fn put(&self, cpu: u32, events: &[Option<Counter>; COUNTERS]) {
        for (array, event) in self.arrays.iter().zip(events) {
            if let Some(event) = event
                && let Err(error) = array.set(cpu, event.as_raw_fd())
            {
                tracing::warn!(cpu, %error, "cannot pass a counter to the scheduler programs");
            }
        }
    }
}

/// An event that cannot be counted together with the others is left out: ratios must cover the same time.
fn open_cpu(cpu: u32, core: Core<'_>) -> [Option<Counter>; COUNTERS] {
    let mut events: [Option<Counter>; COUNTERS] = std::array::from_fn(|_| None);
    let Ok((mut leader, _)) = perf::open(cpu, core, EVENTS[0], None) else { return events };
    for (event, slot) in EVENTS.iter().zip(&mut events).skip(1) {
        *slot = perf::open(cpu, core, event, Some(&mut leader)).ok().map(|(counter, _)| counter);
    }
    if leader.enable().is_ok() {
        events[0] = Some(leader);
        events
    } else {
        std::array::from_fn(|_| None)
    }
}
