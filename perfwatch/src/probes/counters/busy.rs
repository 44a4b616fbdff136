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
    /// When it was read last, and ticks in which each CPU did no work of its own.
    newest: Option<(Instant, BTreeMap<u32, u64>)>,
    /// The same of each CPU, at its last reading of counters.
    previous: BTreeMap<u32, (Instant, u64)>,
}

impl BusyTime {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            file: KernelFile::new(roots.proc("stat")),
            stat: Stat::default(),
            ticks_per_second: rustix::param::clock_ticks_per_second() as f64,
            newest: None,
            previous: BTreeMap::new(),
        }
    }

    /// Reads the file, for the CPUs whose counters are read now.
    pub(super) fn look(&mut self) {
        self.newest = self.read().map(|idle| (Instant::now(), idle));
    }

    /// Time since the CPU's last reading of counters, however many ticks ago, that it was neither idle nor stolen by the
    /// hypervisor, if that is long enough to be exact.
    pub(super) fn since_last_reading(&mut self, cpu: u32) -> Option<Duration> {
        let (now, idle) = self.newest.as_ref()?;
        let (now, idle) = (*now, *idle.get(&cpu)?);
        let (then, previous) = self.previous.insert(cpu, (now, idle))?;
        let ticks = idle.checked_sub(previous)?;
        let idle = Duration::try_from_secs_f64(ticks as f64 / self.ticks_per_second).ok()?;
        (now - then).checked_sub(idle).filter(|busy| *busy >= SHORTEST)
    }

    /// The CPU's counters begin again.
    pub(super) fn forget(&mut self, cpu: u32) {
        self.previous.remove(&cpu);
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
        assert_eq!(busy.since_last_reading(0), None, "nothing was read");
        busy.look();
        assert_eq!(busy.newest.as_ref().unwrap().1, BTreeMap::from([(0, 75), (12, 4)]));
        assert_eq!(busy.since_last_reading(0), None, "there was no reading before");
        busy.look();
        assert_eq!(busy.since_last_reading(0), None, "an instant is too short");
        // Ticks without a reading of this CPU's counters count towards the next.
        busy.previous.get_mut(&0).unwrap().0 -= Duration::from_secs(10);
        busy.look();
        busy.look();
        assert!(busy.since_last_reading(0).unwrap() >= Duration::from_secs(10));
        busy.forget(0);
        assert_eq!(busy.since_last_reading(0), None);
    }
}
