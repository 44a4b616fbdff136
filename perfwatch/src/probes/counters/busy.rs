//! How long each CPU was not idle, from `/proc/stat`: what cycles are divided by to give a frequency.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::config::Roots;

/// Below it the grain of `/proc/stat`, 10 ms in each of its columns, would be more than some percent.
const SHORTEST: Duration = Duration::from_millis(400);

pub(super) struct BusyTime {
    path: PathBuf,
    file: Option<File>,
    buffer: Vec<u8>,
    ticks_per_second: f64,
    previous: Option<(Instant, BTreeMap<u32, u64>)>,
}

impl BusyTime {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            path: roots.proc("stat"),
            file: None,
            buffer: vec![0; 1 << 14],
            ticks_per_second: rustix::param::clock_ticks_per_second() as f64,
            previous: None,
        }
    }

    /// Time since the last call that each CPU was neither idle nor taken away by the hypervisor, where it is long
    /// enough to be exact.
    pub(super) fn since_last(&mut self) -> BTreeMap<u32, Duration> {
        let Ok(current) = self.read() else { return BTreeMap::new() };
        let now = Instant::now();
        let previous = self.previous.replace((now, current));
        let (Some((then, previous)), Some((_, current))) = (previous, &self.previous) else {
            return BTreeMap::new();
        };
        let elapsed = now - then;
        let busy = |(cpu, idle): (&u32, &u64)| {
            let ticks = idle.checked_sub(*previous.get(cpu)?)?;
            let busy = elapsed.checked_sub(Duration::from_secs_f64(ticks as f64 / self.ticks_per_second))?;
            (busy >= SHORTEST).then_some((*cpu, busy))
        };
        current.iter().filter_map(busy).collect()
    }

    /// Ticks that each CPU did nothing of its own.
    fn read(&mut self) -> io::Result<BTreeMap<u32, u64>> {
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(File::open(&self.path)?),
        };
        let mut length = 0;
        loop {
            if length == self.buffer.len() {
                self.buffer.resize(2 * length, 0);
            }
            match file.read_at(&mut self.buffer[length..], length as u64)? {
                0 => break,
                more => length += more,
            }
        }
        Ok(parse(&self.buffer[..length]))
    }
}

/// `cpuN user nice system idle iowait irq softirq steal guest guest_nice`; the sum of idle, iowait and steal.
fn parse(stat: &[u8]) -> BTreeMap<u32, u64> {
    let text = String::from_utf8_lossy(stat);
    let lines = text.lines().take_while(|line| line.starts_with("cpu"));
    let cpu = |line: &str| {
        let mut columns = line.split_ascii_whitespace();
        let cpu = columns.next()?.strip_prefix("cpu")?.parse().ok()?; // the first line is of all of them
        let columns: Vec<u64> = columns.map_while(|column| column.parse().ok()).collect();
        let at = |column: usize| columns.get(column).copied().unwrap_or(0);
        Some((cpu, at(3) + at(4) + at(7)))
    };
    lines.filter_map(cpu).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_waiting_and_stolen_time_is_not_busy() {
        let stat =
            b"cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 1 2 3 40 5 6 7 8 0 0\ncpu12 1 2 3 4\nintr 5\ncpu9 1 1 1 1\n";
        assert_eq!(parse(stat), BTreeMap::from([(0, 53), (12, 4)]));
        assert_eq!(parse(b""), BTreeMap::new());
    }

    #[test]
    fn a_cpu_that_never_idled_was_busy_all_the_time_and_a_short_time_is_not_told() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("stat"), "cpu0 5 0 0 70 0 0 0 0\n").unwrap();
        let mut busy = BusyTime::new(&Roots { procfs: directory.path().into(), ..Roots::default() });
        assert_eq!(busy.since_last(), BTreeMap::new());
        assert_eq!(busy.since_last(), BTreeMap::new(), "an instant is too short");
        let (then, _) = busy.previous.as_mut().unwrap();
        *then = then.checked_sub(Duration::from_secs(10)).unwrap();
        assert!(busy.since_last()[&0] >= Duration::from_secs(10));
    }
}
