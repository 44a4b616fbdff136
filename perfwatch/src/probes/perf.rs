//! Opening performance counters: one CPU's events, in groups.

use std::io;
use std::os::fd::AsRawFd;

use perf_event::events::{Cache, CacheId, CacheOp, CacheResult, Hardware, Software};
use perf_event::{Builder, Counter, ReadFormat};
use perfwatch_common::counters::{Reading, SLOTS};

use crate::snapshot::counters::{Absent, slots};

/// The open descriptors of one CPU, by slot.
#[derive(Debug)]
pub(super) struct CpuEvents {
    pub cpu: u32,
    counters: [Option<Counter>; SLOTS],
}

/// Why nothing could be opened at all.
#[derive(Debug)]
pub(super) struct Refused(pub io::Error);

impl CpuEvents {
    /// Opens every event this CPU offers, counting at once. The others are noted in `absent`, which keeps what
    /// other CPUs have noted.
    pub(super) fn open(cpu: u32, absent: &mut [Option<Absent>; SLOTS]) -> Result<Self, Refused> {
        let mut counters: [Option<Counter>; SLOTS] = std::array::from_fn(|_| None);
        let mut leaders = Vec::new();
        let mut leader: Option<(usize, usize)> = None; // its group and slot
        let mut refused = None;
        for (slot, (group, event)) in slots().enumerate() {
            let mut builder = builder(event);
            builder.any_pid().one_cpu(cpu as usize).include_kernel().include_hv();
            let times = ReadFormat::TOTAL_TIME_ENABLED | ReadFormat::TOTAL_TIME_RUNNING;
            let opened = match leader {
                Some((of, at)) if of == group => {
                    let leader = counters[at].as_mut().expect("`leader` is set to slots that were filled");
                    builder.enabled(true).read_format(times).build_with_group(leader)
                }
                // A group counts when its leader is enabled, after all have joined: then their times agree.
                _ => builder.enabled(false).read_format(times | ReadFormat::GROUP).build(),
            };
            match opened {
                Ok(counter) => {
                    if leader.is_none_or(|(of, _)| of != group) {
                        leader = Some((group, slot));
                        leaders.push(slot);
                    }
                    counters[slot] = Some(counter);
                }
                Err(error) => {
                    absent[slot] = Some(classify(event, &error));
                    refused = Some(error);
                }
            }
        }
        for slot in leaders {
            if let Some(leader) = &mut counters[slot] {
                leader.enable().map_err(Refused)?;
            }
        }
        match refused {
            Some(error) if counters.iter().all(Option::is_none) => Err(Refused(error)),
            _ => Ok(Self { cpu, counters }),
        }
    }

    /// The descriptors, by slot.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = (usize, i32)> + '_ {
        let open = |(slot, counter): (usize, &Option<Counter>)| Some((slot, counter.as_ref()?.as_raw_fd()));
        self.counters.iter().enumerate().filter_map(open)
    }

    /// Reads every group from user space: one system call and, for another CPU's events, one interrupt there.
    pub(super) fn read_groups(&mut self) -> io::Result<[Reading; SLOTS]> {
        let mut readings = [Reading::default(); SLOTS];
        let mut group = None; // the group being walked, with its data
        for (slot, (number, _)) in slots().enumerate() {
            let Some(counter) = &mut self.counters[slot] else { continue };
            if group.as_ref().is_none_or(|(of, _)| *of != number) {
                group = Some((number, counter.read_group()?)); // a group's first open slot is its leader
            }
            let Some((_, data)) = &group else { continue };
            let nanoseconds = |time: Option<std::time::Duration>| {
                time.map_or(0, |t| u64::try_from(t.as_nanos()).unwrap_or(u64::MAX))
            };
            readings[slot] = Reading {
                counter: data.get(counter).map_or(0, |entry| entry.value()),
                enabled: nanoseconds(data.time_enabled()),
                running: nanoseconds(data.time_running()),
            };
        }
        Ok(readings)
    }
}

/// A timer on `cpu` that expires every `period_ns`, from when it is enabled.
///
/// The kernel's cpu-clock event is an hrtimer pinned to its CPU: it expires there whether the CPU idles or runs
/// one task for minutes, and keeps its phase.
pub(super) fn timer(cpu: u32, period_ns: u64) -> io::Result<Counter> {
    Builder::new(Software::CPU_CLOCK)
        .any_pid()
        .one_cpu(cpu as usize)
        .include_kernel()
        .include_hv()
        .sample_period(period_ns)
        .enabled(false)
        .build()
}

pub(super) fn builder(event: &str) -> Builder<'static> {
    let cache = |which, result| Builder::new(Cache { which, operation: CacheOp::READ, result });
    match event {
        "cpu-clock" => Builder::new(Software::CPU_CLOCK),
        "context-switches" => Builder::new(Software::CONTEXT_SWITCHES),
        "cpu-migrations" => Builder::new(Software::CPU_MIGRATIONS),
        "page-faults" => Builder::new(Software::PAGE_FAULTS),
        "cycles" => Builder::new(Hardware::CPU_CYCLES),
        "instructions" => Builder::new(Hardware::INSTRUCTIONS),
        "branches" => Builder::new(Hardware::BRANCH_INSTRUCTIONS),
        "branch-misses" => Builder::new(Hardware::BRANCH_MISSES),
        "L1-dcache-loads" => cache(CacheId::L1D, CacheResult::ACCESS),
        "L1-dcache-load-misses" => cache(CacheId::L1D, CacheResult::MISS),
        "LLC-loads" => cache(CacheId::LL, CacheResult::ACCESS),
        "LLC-load-misses" => cache(CacheId::LL, CacheResult::MISS),
        "L1-icache-loads" => cache(CacheId::L1I, CacheResult::ACCESS),
        "dTLB-loads" => cache(CacheId::DTLB, CacheResult::ACCESS),
        "dTLB-load-misses" => cache(CacheId::DTLB, CacheResult::MISS),
        "iTLB-loads" => cache(CacheId::ITLB, CacheResult::ACCESS),
        "iTLB-load-misses" => cache(CacheId::ITLB, CacheResult::MISS),
        other => unreachable!("{other} is not in snapshot::counters::GROUPS"),
    }
}

fn classify(event: &str, error: &io::Error) -> Absent {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::EOPNOTSUPP | libc::ENODEV | libc::ENXIO | libc::EINVAL) => {
            Absent::Unsupported(format!("{event} is not offered by this CPU or virtual machine"))
        }
        Some(libc::EACCES | libc::EPERM) => Absent::Failed(format!("{event}: not permitted ({error})")),
        Some(libc::EMFILE | libc::ENFILE) => Absent::Failed(format!(
            "{event}: too few file descriptors ({error}); raise the limit (ulimit -n)"
        )),
        _ => Absent::Failed(format!("{event}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::counters::EVENTS;

    #[test]
    fn every_event_can_be_built() {
        for event in EVENTS {
            builder(event);
        }
    }

    #[test]
    fn what_is_missing_differs_from_what_is_forbidden() {
        let error = |code| io::Error::from_raw_os_error(code);
        assert!(matches!(classify("cycles", &error(libc::ENOENT)), Absent::Unsupported(_)));
        assert!(matches!(classify("cycles", &error(libc::EACCES)), Absent::Failed(_)));
    }
}
