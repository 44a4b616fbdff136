//! The files of a group as they are, of both versions of cgroups.

use crate::cgroups::{Hierarchy, Throttled};
use crate::kernel_files::fields::{Fields, lines, number};
use crate::kernel_files::keyed::Keyed;

/// A file of a group, or what version 1 has in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum File {
    Cpu,
    /// Version 1 only: with version 2 these are lines of `cpu.stat`.
    Throttling,
    CpuModes,
    CpuLimit,
    /// Version 1 only: with version 2 it is a word of `cpu.max`.
    CpuPeriod,
    Memory,
    MemoryStat,
    MemoryEvents,
    /// Version 1 only: how often the limit was hit.
    MemoryFailures,
    MemoryMax,
    MemoryHigh,
    Swap,
    SwapMax,
    Io,
    /// Version 1 only: with version 2 they are words of `io.stat`.
    IoRequests,
    CpuPressure,
    MemoryPressure,
    IoPressure,
    Tasks,
    TasksMax,
    Processes,
}

pub(super) const FILES: usize = File::Processes as usize + 1;

impl File {
    /// Its controller and name; `None` if this version has nothing of the kind.
    pub(super) const fn place(self, hierarchy: Hierarchy) -> Option<(&'static str, &'static str)> {
        Some(match hierarchy {
            Hierarchy::V2 => match self {
                Self::Cpu => ("cpu", "cpu.stat"),
                Self::CpuLimit => ("cpu", "cpu.max"),
                Self::Memory => ("memory", "memory.current"),
                Self::MemoryStat => ("memory", "memory.stat"),
                Self::MemoryEvents => ("memory", "memory.events"),
                Self::MemoryMax => ("memory", "memory.max"),
                Self::MemoryHigh => ("memory", "memory.high"),
                Self::Swap => ("memory", "memory.swap.current"),
                Self::SwapMax => ("memory", "memory.swap.max"),
                Self::Io => ("io", "io.stat"),
                Self::CpuPressure => ("cpu", "cpu.pressure"),
                Self::MemoryPressure => ("memory", "memory.pressure"),
                Self::IoPressure => ("io", "io.pressure"),
                Self::Tasks => ("pids", "pids.current"),
                Self::TasksMax => ("pids", "pids.max"),
                Self::Processes => ("memory", "cgroup.procs"),
                Self::Throttling
                | Self::CpuModes
                | Self::CpuPeriod
                | Self::MemoryFailures
                | Self::IoRequests => {
                    return None;
                }
            },
            Hierarchy::V1 => match self {
                Self::Cpu => ("cpuacct", "cpuacct.usage"),
                Self::Throttling => ("cpu", "cpu.stat"),
                Self::CpuModes => ("cpuacct", "cpuacct.stat"),
                Self::CpuLimit => ("cpu", "cpu.cfs_quota_us"),
                Self::CpuPeriod => ("cpu", "cpu.cfs_period_us"),
                Self::Memory => ("memory", "memory.usage_in_bytes"),
                Self::MemoryStat => ("memory", "memory.stat"),
                Self::MemoryEvents => ("memory", "memory.oom_control"),
                Self::MemoryFailures => ("memory", "memory.failcnt"),
                Self::MemoryMax => ("memory", "memory.limit_in_bytes"),
                Self::SwapMax => ("memory", "memory.memsw.limit_in_bytes"),
                Self::Io => ("blkio", "blkio.throttle.io_service_bytes_recursive"),
                Self::IoRequests => ("blkio", "blkio.throttle.io_serviced_recursive"),
                Self::Tasks => ("pids", "pids.current"),
                Self::TasksMax => ("pids", "pids.max"),
                Self::Processes => ("memory", "cgroup.procs"),
                Self::MemoryHigh
                | Self::Swap
                | Self::CpuPressure
                | Self::MemoryPressure
                | Self::IoPressure => {
                    return None;
                }
            },
        })
    }
}

/// CPU time since the group was made, with that of the groups below it, µs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Cpu {
    pub(super) usage: u64,
    pub(super) user: Option<u64>,
    pub(super) system: Option<u64>,
    pub(super) throttled: Option<Throttled>,
}

impl Cpu {
    pub(super) fn parse(text: &[u8], hierarchy: Hierarchy) -> Option<Self> {
        if hierarchy == Hierarchy::V1 {
            return Some(Self { usage: number(text)? / 1000, ..Self::default() });
        }
        let (mut usage, mut user, mut system, mut periods, mut micros) = (None, None, None, None, None);
        for line in lines(text) {
            let mut words = Fields::new(line);
            let value = match words.word() {
                Some(b"usage_usec") => &mut usage,
                Some(b"user_usec") => &mut user,
                Some(b"system_usec") => &mut system,
                Some(b"nr_throttled") => &mut periods,
                Some(b"throttled_usec") => &mut micros,
                _ => continue,
            };
            *value = words.number();
        }
        let throttled = periods.zip(micros).map(|(periods, micros)| Throttled { periods, micros });
        Some(Self { usage: usage?, user, system, throttled })
    }
}

/// User and system time of version 1, in clock ticks.
pub(super) fn modes(text: &[u8]) -> Option<(u64, u64)> {
    let value = |name: &[u8]| {
        let mut words = lines(text).map(Fields::new).find(|words| words.clone().word() == Some(name))?;
        words.skip(1)?;
        words.number()
    };
    Some((value(b"user")?, value(b"system")?))
}

/// Limits have the word `max`, or a number that no machine has the memory for.
pub(super) fn limit(text: &[u8]) -> Option<u64> {
    const NONE_OF_V1: u64 = 1 << 62;
    number(text).filter(|limit| *limit < NONE_OF_V1)
}

/// In CPUs, from `cpu.max`: `50000 100000` is half of one.
pub(super) fn cpu_limit(text: &[u8]) -> Option<f64> {
    let mut words = Fields::new(text.trim_ascii());
    cpus(words.number()?, words.number()?)
}

pub(super) fn cpus(quota: u64, period: u64) -> Option<f64> {
    (period > 0).then(|| quota as f64 / period as f64)
}

/// Bytes, from `memory.stat`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) anon: Option<u64>,
    pub(super) file: Option<u64>,
    pub(super) kernel: Option<u64>,
    pub(super) slab: Option<u64>,
    /// Version 1: with version 2 it has its own file.
    pub(super) swap: Option<u64>,
}

#[derive(Debug)]
pub(super) enum MemoryParser {
    V2(Keyed<5>),
    V1(Keyed<3>),
}

impl MemoryParser {
    pub(super) fn new(hierarchy: Hierarchy) -> Self {
        match hierarchy {
            Hierarchy::V2 => Self::V2(Keyed::new(["anon", "file", "kernel", "slab", "kernel_stack"])),
            Hierarchy::V1 => Self::V1(Keyed::new(["total_rss", "total_cache", "total_swap"])),
        }
    }

    pub(super) fn parse(&mut self, text: &[u8]) -> Memory {
        match self {
            Self::V2(keyed) => {
                let [anon, file, kernel, slab, stacks] = keyed.parse(text);
                // Kernels before 5.18 do not add up what the kernel has.
                let kernel = kernel.or_else(|| Some(slab? + stacks?));
                Memory { anon, file, kernel, slab, swap: None }
            }
            Self::V1(keyed) => {
                let [anon, file, swap] = keyed.parse(text);
                Memory { anon, file, swap, ..Memory::default() }
            }
        }
    }
}

/// How often since the group was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct MemoryEvents {
    /// Slowed down above `memory.high`.
    pub(super) high: Option<u64>,
    /// About to exceed `memory.max`.
    pub(super) max: Option<u64>,
    pub(super) oom: Option<u64>,
    pub(super) oom_kill: Option<u64>,
}

impl MemoryEvents {
    /// From `memory.events`, or `memory.oom_control` of version 1.
    pub(super) fn parse(text: &[u8]) -> Self {
        let mut events = Self::default();
        for line in lines(text) {
            let mut words = Fields::new(line);
            let value = match words.word() {
                Some(b"high") => &mut events.high,
                Some(b"max") => &mut events.max,
                Some(b"oom") => &mut events.oom,
                Some(b"oom_kill") => &mut events.oom_kill,
                _ => continue,
            };
            *value = words.number();
        }
        events
    }
}

/// Transferred since the group was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Transfers {
    pub(super) read_bytes: u64,
    pub(super) write_bytes: u64,
    pub(super) reads: u64,
    pub(super) writes: u64,
}

/// A block device's major and minor number.
pub(super) type Device = (u32, u32);

/// Devices of a group, in the file's order.
pub(super) type Io = Vec<(Device, Transfers)>;

/// Lines `8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0`.
pub(super) fn io(text: &[u8]) -> Io {
    let mut io = Io::new();
    for line in lines(text) {
        let mut words = Fields::new(line);
        let Some(device) = words.word().and_then(device) else { continue };
        let mut transfers = Transfers::default();
        while let Some(word) = words.word() {
            let mut parts = word.splitn(2, |byte| *byte == b'=');
            let (name, value) = (parts.next().unwrap_or_default(), parts.next().and_then(number));
            let to = match name {
                b"rbytes" => &mut transfers.read_bytes,
                b"wbytes" => &mut transfers.write_bytes,
                b"rios" => &mut transfers.reads,
                b"wios" => &mut transfers.writes,
                _ => continue,
            };
            *to = value.unwrap_or_default();
        }
        io.push((device, transfers));
    }
    io
}

/// Lines `8:0 Read 4096` of version 1, in two files.
pub(super) fn io_of_v1(bytes: &[u8], requests: &[u8]) -> Io {
    let mut io = Io::new();
    let mut add = |text: &[u8], of_bytes: bool| {
        for line in lines(text) {
            let mut words = Fields::new(line);
            let Some(device) = words.word().and_then(device) else { continue };
            let (kind, value) = (words.word(), words.number().unwrap_or_default());
            let at = io.iter().position(|(known, _)| *known == device).unwrap_or_else(|| {
                io.push((device, Transfers::default()));
                io.len() - 1
            });
            let transfers = &mut io[at].1;
            match (kind, of_bytes) {
                (Some(b"Read"), true) => transfers.read_bytes = value,
                (Some(b"Write"), true) => transfers.write_bytes = value,
                (Some(b"Read"), false) => transfers.reads = value,
                (Some(b"Write"), false) => transfers.writes = value,
                _ => {}
            }
        }
    };
    add(bytes, true);
    add(requests, false);
    io
}

fn device(word: &[u8]) -> Option<Device> {
    let (major, minor) = std::str::from_utf8(word).ok()?.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Time stalled since the group was made, µs: some of its tasks, and all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Stalled {
    pub(super) some: Option<u64>,
    pub(super) full: Option<u64>,
}

/// Lines `some avg10=0.00 avg60=0.00 avg300=0.00 total=1234`.
pub(super) fn stalled(text: &[u8]) -> Option<Stalled> {
    let mut stalled = Stalled::default();
    for line in lines(text) {
        let mut words = Fields::new(line);
        let to = match words.word() {
            Some(b"some") => &mut stalled.some,
            Some(b"full") => &mut stalled.full,
            _ => continue,
        };
        let total =
            words.rest().rsplit(|byte| *byte == b' ').next().and_then(|word| word.strip_prefix(b"total="));
        *to = total.and_then(number);
    }
    stalled.some.map(|_| stalled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_of_both_versions() {
        let text = b"usage_usec 300\nuser_usec 200\nsystem_usec 100\nnr_periods 9\nnr_throttled 3\nthrottled_usec 50\n";
        let throttled = Some(Throttled { periods: 3, micros: 50 });
        let cpu = Cpu { usage: 300, user: Some(200), system: Some(100), throttled };
        assert_eq!(Cpu::parse(text, Hierarchy::V2), Some(cpu));
        let without = Cpu { throttled: None, ..cpu };
        let controller = b"usage_usec 300\nuser_usec 200\nsystem_usec 100\n";
        assert_eq!(Cpu::parse(controller, Hierarchy::V2), Some(without), "without the controller");
        assert_eq!(Cpu::parse(b"", Hierarchy::V2), None);
        assert_eq!(Cpu::parse(b"300999\n", Hierarchy::V1).unwrap().usage, 300);
        assert_eq!(modes(b"user 12\nsystem 34\n"), Some((12, 34)));
        assert_eq!(modes(b"user 12\n"), None);
    }

    #[test]
    fn no_limit_is_none() {
        assert_eq!(
            (limit(b"max\n"), limit(b"4096\n"), limit(b"9223372036854771712\n")),
            (None, Some(4096), None)
        );
        assert_eq!((cpu_limit(b"max 100000\n"), cpu_limit(b"50000 100000\n")), (None, Some(0.5)));
        assert_eq!((cpu_limit(b""), cpu_limit(b"5 0\n")), (None, None));
    }

    #[test]
    fn memory_of_both_versions() {
        let mut v2 = MemoryParser::new(Hierarchy::V2);
        let new = b"anon 10\nfile 20\nkernel 30\nkernel_stack 1\nslab 5\n";
        let memory = Memory { anon: Some(10), file: Some(20), kernel: Some(30), slab: Some(5), swap: None };
        assert_eq!(v2.parse(new), memory);
        assert_eq!(v2.parse(b"anon 10\nfile 20\nkernel_stack 1\nslab 5\n").kernel, Some(6), "an old kernel");
        assert_eq!(v2.parse(b""), Memory::default());
        let mut v1 = MemoryParser::new(Hierarchy::V1);
        let memory = v1.parse(b"cache 1\nrss 2\ntotal_cache 20\ntotal_rss 10\ntotal_swap 7\n");
        assert_eq!((memory.anon, memory.file, memory.swap), (Some(10), Some(20), Some(7)));
        let events = MemoryEvents::parse(b"low 0\nhigh 1\nmax 2\noom 3\noom_kill 4\noom_group_kill 0\n");
        assert_eq!(events, MemoryEvents { high: Some(1), max: Some(2), oom: Some(3), oom_kill: Some(4) });
        let v1 = MemoryEvents::parse(b"oom_kill_disable 0\nunder_oom 0\noom_kill 4\n");
        assert_eq!(v1, MemoryEvents { oom_kill: Some(4), ..MemoryEvents::default() });
    }

    #[test]
    fn transfers_of_both_versions() {
        let disk = Transfers { read_bytes: 4096, write_bytes: 8192, reads: 1, writes: 2 };
        let text =
            b"8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n253:1 rbytes=x\n\nodd\n8:16 \n";
        let none = Transfers::default();
        assert_eq!(io(text), [((8, 0), disk), ((253, 1), none), ((8, 16), none)]);
        let bytes = b"8:0 Read 4096\n8:0 Write 8192\n8:0 Sync 1\n8:0 Total 12288\nTotal 12288\n";
        assert_eq!(io_of_v1(bytes, b"8:0 Read 1\n8:0 Write 2\nTotal 3\n"), [((8, 0), disk)]);
        assert_eq!(io_of_v1(b"", b""), []);
    }

    #[test]
    fn stalls_are_read_from_their_totals() {
        let text = b"some avg10=1.00 avg60=0.00 avg300=0.00 total=12\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=3\n";
        assert_eq!(stalled(text), Some(Stalled { some: Some(12), full: Some(3) }));
        assert_eq!(stalled(b"some avg10=1.00 total=12\n"), Some(Stalled { some: Some(12), full: None }));
        assert_eq!((stalled(b""), stalled(b"some total=x\n")), (None, None));
    }
}
