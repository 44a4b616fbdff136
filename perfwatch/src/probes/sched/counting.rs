//! The performance counters that are charged to tasks.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsRawFd;

use aya::Ebpf;
use perf_event::{Counter, ReadFormat};
use perfwatch_common::sched::COUNTERS;

use crate::probes::loader::Descriptors;
use crate::probes::perf;

/// In the order of `Task::counters`. One group per CPU, so that all of them cover the same moments.
const EVENTS: [&str; COUNTERS] =
    ["cycles", "instructions", "LLC-load-misses", "branch-misses", "dTLB-load-misses"];

/// The open events of each CPU, and the arrays the programs read them through.
#[derive(Debug, Default)]
pub(super) struct Counting {
    cpus: BTreeMap<u32, [Option<Counter>; COUNTERS]>,
    /// A bit for each event that counts on some CPU.
    mask: u32,
    arrays: Vec<Descriptors>,
    /// CPUs that are online and offer nothing.
    refused: BTreeSet<u32>,
}

impl Counting {
    /// Opens what these CPUs offer; nothing on a machine without a PMU, or without the right to use it.
    pub(super) fn open(cpus: impl Iterator<Item = u32>) -> Self {
        let mut counting = Self::default();
        for cpu in cpus {
            let events = open_cpu(cpu);
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

    /// Hands the events to the programs.
    pub(super) fn attach(&mut self, ebpf: &mut Ebpf) {
        self.arrays =
            (0..COUNTERS).filter_map(|i| Descriptors::take(ebpf, &format!("COUNTER_{i}"))).collect();
        for (cpu, events) in &self.cpus {
            self.put(*cpu, events);
        }
    }

    /// Sees to a CPU that has switched tasks since the last reading. Its events are opened anew if they did not
    /// `advance`: the CPU was offline when they were opened, or since then, and the kernel has let go of them.
    pub(super) fn follow(&mut self, cpu: u32, advance: bool) {
        if self.mask == 0 || advance || self.refused.contains(&cpu) {
            return;
        }
        let events = open_cpu(cpu);
        if events.iter().all(Option::is_none) {
            self.refused.insert(cpu); // a core of a kind that has no such events
        }
        self.put(cpu, &events);
        self.cpus.insert(cpu, events);
    }

    fn put(&self, cpu: u32, events: &[Option<Counter>; COUNTERS]) {
        for (array, event) in self.arrays.iter().zip(events) {
            if let Some(event) = event
                && let Err(error) = array.set(cpu, event.as_raw_fd())
            {
                tracing::warn!(cpu, %error, "cannot hand a counter to the scheduler's programs");
            }
        }
    }
}

/// An event that cannot be counted together with the others is left out: ratios need the same moments.
fn open_cpu(cpu: u32) -> [Option<Counter>; COUNTERS] {
    let mut events: [Option<Counter>; COUNTERS] = std::array::from_fn(|_| None);
    let times = ReadFormat::TOTAL_TIME_ENABLED | ReadFormat::TOTAL_TIME_RUNNING;
    let (first, others) = events.split_at_mut(1);
    let mut builder = perf::builder(EVENTS[0]);
    builder.any_pid().one_cpu(cpu as usize).include_kernel().include_hv().enabled(false);
    let Ok(mut leader) = builder.read_format(times | ReadFormat::GROUP).build() else { return events };
    for (event, slot) in EVENTS[1..].iter().zip(others) {
        let mut builder = perf::builder(event);
        builder.any_pid().one_cpu(cpu as usize).include_kernel().include_hv().enabled(true);
        *slot = builder.read_format(times).build_with_group(&mut leader).ok();
    }
    if leader.enable().is_ok() {
        first[0] = Some(leader);
        events
    } else {
        std::array::from_fn(|_| None)
    }
}
