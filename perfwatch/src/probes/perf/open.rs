//! With the library's bindings to perf_event_open(2).

use std::io;
use std::os::fd::AsRawFd;

pub(in super::super) use perf_event::Counter;
use perf_event::events::Software;
use perf_event::{Builder, ReadFormat};
use perfwatch_common::counters::{Reading, SLOTS};

use super::super::counters::derive::{self as counters, Absent, slots};
use super::{Core, Refused, event};

/// The open descriptors of one CPU, by slot.
#[derive(Debug)]
pub(in super::super) struct CpuEvents {
    pub cpu: u32,
    counters: [Option<Counter>; SLOTS],
}

impl CpuEvents {
    /// Opens every event this CPU offers, counting at once. The outcome is noted in `pmu`, which keeps what other
    /// CPUs of the kind have noted.
    pub(in super::super) fn open(cpu: u32, core: Core<'_>, pmu: &mut counters::Pmu) -> Result<Self, Refused> {
        let mut counters: [Option<Counter>; SLOTS] = std::array::from_fn(|_| None);
        let mut refused = None;
        let mut next = 0;
        for group in counters::GROUPS {
            let group = next..next + group.len();
            next = group.end;
            let mut leader = None;
            for (slot, (_, event)) in slots().enumerate().skip(group.start).take(group.len()) {
                let joined = leader.and_then(|at: usize| counters[at].take().map(|counter| (at, counter)));
                let (joined, opened) = match joined {
                    Some((at, mut counter)) => {
                        let opened = open(cpu, core, event, Some(&mut counter));
                        counters[at] = Some(counter);
                        (true, opened)
                    }
                    None => (false, open(cpu, core, event, None)),
                };
                match opened {
                    Ok((counter, counted_as)) => {
                        counters[slot] = Some(counter);
                        pmu.counted_as[slot] = counted_as;
                        if !joined {
                            leader = Some(slot);
                        }
                    }
                    Err(error) => {
                        pmu.absent[slot] = Some(classify(event, &error));
                        refused = Some(error);
                    }
                }
            }
            // Instructions without a counterpart would only take a counter from other groups.
            if group.len() > 2 && group.clone().skip(1).all(|slot| counters[slot].is_none()) {
                counters[group.start] = None;
                pmu.absent[group.start] = pmu.absent[group.start + 1].clone();
            }
            // A group counts once its leader is enabled, after all have joined: so their times agree.
            if let Some(counter) = leader.and_then(|slot| counters[slot].as_mut()) {
                counter.enable().map_err(Refused)?;
            }
        }
        match refused {
            Some(error) if counters.iter().all(Option::is_none) => Err(Refused(error)),
            _ => Ok(Self { cpu, counters }),
        }
    }

    /// The descriptors, by slot.
    pub(in super::super) fn descriptors(&self) -> impl Iterator<Item = (usize, i32)> + '_ {
        let open = |(slot, counter): (usize, &Option<Counter>)| Some((slot, counter.as_ref()?.as_raw_fd()));
        self.counters.iter().enumerate().filter_map(open)
    }

    /// Reads every group from user space: one system call and, for another CPU's events, one interrupt there.
    pub(in super::super) fn read_groups(&mut self) -> io::Result<[Reading; SLOTS]> {
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

/// Opens one event, in a group if there is a leader: the kernel's generic one, or else the CPU's own with its name.
/// A leader is not enabled yet.
pub(in super::super) fn open(
    cpu: u32,
    core: Core<'_>,
    event: &str,
    mut leader: Option<&mut Counter>,
) -> io::Result<(Counter, Option<&'static str>)> {
    let mut build = |mut builder: Builder<'_>| {
        let times = ReadFormat::TOTAL_TIME_ENABLED | ReadFormat::TOTAL_TIME_RUNNING;
        builder.any_pid().one_cpu(cpu as usize).include_kernel().include_hv();
        match leader.as_deref_mut() {
            Some(leader) => builder.enabled(true).read_format(times).build_with_group(leader),
            None => builder.enabled(false).read_format(times | ReadFormat::GROUP).build(),
        }
    };
    let generic = match core {
        Core::Hybrid(pmu) if !event::is_software(event) => match build(event::extended(event, pmu)) {
            // Kernels whose driver does not know extended types pick the PMU by the CPU.
            Err(error) if is_unsupported(&error) => build(event::generic(event)),
            opened => opened,
        },
        _ => build(event::generic(event)),
    };
    match (generic, core) {
        (Err(error), Core::Only(pmu) | Core::Hybrid(pmu)) if is_unsupported(&error) => {
            let named =
                event::named(event, pmu).and_then(|(name, builder)| Some((build(builder).ok()?, Some(name))));
            named.ok_or(error)
        }
        (opened, _) => Ok((opened?, None)),
    }
}

/// A timer on `cpu` that expires every `period_ns` from when it is enabled.
///
/// The kernel's cpu-clock event is an hrtimer pinned to its CPU: it expires there whether the CPU idles or runs
/// one task for minutes, and keeps its phase.
pub(in super::super) fn timer(cpu: u32, period_ns: u64) -> io::Result<Counter> {
    Builder::new(Software::CPU_CLOCK)
        .any_pid()
        .one_cpu(cpu as usize)
        .include_kernel()
        .include_hv()
        .sample_period(period_ns)
        .enabled(false)
        .build()
}

fn is_unsupported(error: &io::Error) -> bool {
    const CODES: [i32; 5] = [libc::ENOENT, libc::EOPNOTSUPP, libc::ENODEV, libc::ENXIO, libc::EINVAL];
    error.raw_os_error().is_some_and(|code| CODES.contains(&code))
}

fn classify(event: &str, error: &io::Error) -> Absent {
    match error.raw_os_error() {
        _ if is_unsupported(error) => {
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

    #[test]
    fn what_is_missing_differs_from_what_is_forbidden() {
        let error = |code| io::Error::from_raw_os_error(code);
        assert!(matches!(classify("cycles", &error(libc::ENOENT)), Absent::Unsupported(_)));
        assert!(matches!(classify("cycles", &error(libc::EACCES)), Absent::Failed(_)));
    }
}
