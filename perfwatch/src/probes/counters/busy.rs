//! How long each CPU was busy, from `/proc/stat`: cycles are divided by it to get a frequency.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::config::Roots;
use crate::kernel_files::file::KernelFile;
use crate::kernel_files::stat::Stat;

/// Below this, the resolution of `/proc/stat`, 10 ms in each column, would be an error of several percent.
const SHORTEST: Duration = Duration::from_millis(400);

pub(super) struct BusyTime {
    file: KernelFile,
    stat: Stat,
    ticks_per_second: f64,
    /// Ticks in which each CPU did no work of its own.
    previous: Option<(Instant, BTreeMap<u32, u64>)>,
}

impl BusyTime {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            file: KernelFile::new(roots.proc("stat")),
            stat: Stat::default(),
            ticks_per_second: rustix::param::clock_ticks_per_second() as f64,
            previous: None,
        }
    }

    /// Time since the last call that each CPU was neither idle nor stolen by the hypervisor, if it is long
    /// enough to be exact.
    pub(super) fn since_last(&mut self) -> BTreeMap<u32, Duration> {
        let Some(current) = self.read() else { return BTreeMap::new() };
        let now = Instant::now();
        let previous = self.previous.replace((now, current));
        let (Some((then, previous)), Some((_, current))) = (previous, &self.previous) else {
            return BTreeMap::new();
        };
        let elapsed = now - then;
        let busy = |(cpu, idle): (&u32, &u64)| {
            let ticks = idle.checked_sub(*previous.get(cpu)?)?;
            let idle = Duration::try_from_secs_f64(ticks as f64 / self.ticks_per_second).ok()?;
            let busy = elapsed.checked_sub(idle)?;
            (busy >= SHORTEST).then_some((*cpu, busy))
        };
        current.iter().filter_map(busy).collect()
    }

    fn read(&mut self) -> Option<BTreeMap<u32, u64>> {
        self.stat.parse(self.file.read_optional()?)?;
        Some(self.stat.cpus.iter().map(|(cpu, times)| (*cpu, times.not_running())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_that_never_idled_was_busy_all_the_time_and_a_short_time_is_not_told() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("stat"), "cpu0 5 0 0 70 3 0 0 2\ncpu12 1 2 3 4\n").unwrap();
        let mut busy = BusyTime::new(&Roots { procfs: directory.path().into(), ..Roots::default() });
        assert_eq!(busy.since_last(), BTreeMap::new());
        assert_eq!(busy.previous.as_ref().unwrap().1, BTreeMap::from([(0, 75), (12, 4)]));
        assert_eq!(busy.since_last(), BTreeMap::new(), "an instant is too short");
        let (then, _) = busy.previous.as_mut().unwrap();
        *then = then.checked_sub(Duration::from_secs(10)).unwrap();
        assert!(busy.since_last()[&0] >= Duration::from_secs(10));
    }
}
