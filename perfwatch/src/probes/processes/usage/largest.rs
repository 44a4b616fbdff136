//! Which processes hold the most memory: also those that do nothing.
//!
//! Every process is looked at once a minute, a few at each tick, so that no tick has to look at thousands.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::PathBuf;
use std::time::Duration;

use crate::kernel_files::fields::Fields;

/// How many are found.
const LARGEST: usize = 32;
const MINUTE: Duration = Duration::from_secs(60);

pub(super) struct Largest {
    procfs: PathBuf,
    /// Of the processes that remain to be looked at.
    pids: Vec<u32>,
    per_tick: usize,
    /// Resident pages and PID, the smallest on top.
    found: BinaryHeap<Reverse<(u64, u32)>>,
}

impl Largest {
    pub(super) fn new(procfs: PathBuf) -> Self {
        Self { procfs, pids: Vec::new(), per_tick: 0, found: BinaryHeap::new() }
    }

    /// Looks at some processes.
    pub(super) fn tick(&mut self) {
        let some = self.pids.len().saturating_sub(self.per_tick);
        self.look_at(some);
    }

    /// The largest of this minute; the next begins.
    pub(super) fn end_minute(&mut self, interval: Duration) -> Vec<u32> {
        self.look_at(0);
        let found = self.found.drain().map(|Reverse((_, pid))| pid).collect();
        let entries = std::fs::read_dir(&self.procfs).into_iter().flatten().flatten();
        self.pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        let ticks = (MINUTE.as_secs_f64() / interval.as_secs_f64().max(0.001)).max(1.0);
        self.per_tick = (self.pids.len() as f64 / ticks).ceil() as usize;
        found
    }

    fn look_at(&mut self, left: usize) {
        for pid in self.pids.drain(left..) {
            let Ok(text) = std::fs::read(self.procfs.join(format!("{pid}/statm"))) else { continue };
            let mut fields = Fields::new(&text);
            let Some((_, resident)) = fields.number().zip(fields.number()) else { continue };
            if resident == 0 {
                continue; // a kernel thread
            }
            self.found.push(Reverse((resident, pid)));
            if self.found.len() > LARGEST {
                self.found.pop();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_are_found_whether_they_run_or_not() {
        let machine = tempfile::tempdir().unwrap();
        let put = |pid: u32, pages: u64| {
            std::fs::create_dir_all(machine.path().join(pid.to_string())).unwrap();
            std::fs::write(machine.path().join(format!("{pid}/statm")), format!("9999 {pages} 3\n")).unwrap();
        };
        (1..=100).for_each(|pid| put(pid, pid.into()));
        put(7, 5000);
        put(8, 0);
        let mut largest = Largest::new(machine.path().to_owned());
        let interval = Duration::from_secs(6);
        assert!(largest.end_minute(interval).is_empty(), "nothing was looked at yet");
        for _ in 0..9 {
            largest.tick();
        }
        assert!(largest.pids.len() >= 10, "the last tenth is left");
        let found = largest.end_minute(interval);
        assert_eq!((found.len(), found.contains(&7), found.contains(&100)), (LARGEST, true, true));
        assert!(!found.contains(&8) && !found.contains(&1));
    }
}
