//! How many processes `/proc` hides from us (its mount option `hidepid`): the kernel reveals to anyone whether a PID
//! is in use.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open, test_kill_process};

use crate::config::Roots;
use crate::kernel_files::fields::{self, Fields};

/// Probing every PID takes a while, and the count need not be exact.
const REFRESH: Duration = Duration::from_mins(5);

/// PIDs probed at a time, which takes some ten milliseconds.
const BATCH_SIZE: i32 = 1 << 19;

#[derive(Debug)]
pub(super) struct Hidden {
    procfs: PathBuf,
    /// The number of all processes in the last completed round, and its time.
    all: Option<(Instant, usize)>,
    round: Option<Round>,
}

/// An unfinished round over all PIDs.
#[derive(Debug)]
struct Round {
    next: i32,
    processes: usize,
    tasks: u64,
}

impl Hidden {
    pub(super) fn new(roots: &Roots) -> Self {
        Self { procfs: roots.procfs.clone(), all: None, round: None }
    }

    /// The number of processes besides the `visible` ones; `None` if that is not known, or not yet.
    pub(super) fn count(&mut self, visible: usize, now: Instant) -> Option<usize> {
        let due = self.all.is_none_or(|(at, _)| now.saturating_duration_since(at) >= REFRESH);
        if due && self.shows_our_numbers() {
            let round = self.round.take().unwrap_or(Round { next: 1, processes: 0, tasks: 0 });
            match self.go_on(round)? {
                Ok(all) => self.all = Some((now, all)),
                Err(round) => self.round = Some(round),
            }
        }
        self.all.map(|(_, all)| all.saturating_sub(visible))
    }

    /// Whether the PIDs in that `/proc` are those of our system calls, that is, of our PID namespace.
    fn shows_our_numbers(&self) -> bool {
        let own = std::fs::read_link(self.procfs.join("self")).unwrap_or_default();
        own.to_str().and_then(|pid| pid.parse().ok()) == Some(std::process::id())
    }

    /// How many processes there are, or the unfinished round; `None` if the kernel does not say.
    fn go_on(&self, mut round: Round) -> Option<Result<usize, Round>> {
        // `0.20 0.18 0.12 1/80 11206`: the fourth word has the number of tasks.
        let loadavg = std::fs::read(self.procfs.join("loadavg")).unwrap_or_default();
        let mut words = Fields::new(&loadavg);
        words.skip(3);
        let tasks = words.word().and_then(|word| {
            let slash = word.iter().position(|byte| *byte == b'/')?;
            fields::number(&word[slash + 1..])
        });
        let last = std::fs::read(self.procfs.join("sys/kernel/pid_max")).ok();
        let last = last.and_then(|text| fields::number(&text)).and_then(|last| i32::try_from(last).ok())?;
        let end = last.min(round.next.saturating_add(BATCH_SIZE));
        for number in round.next..=end {
            let Some(pid) = Pid::from_raw(number) else { continue };
            if test_kill_process(pid) == Err(Errno::SRCH) {
                continue;
            }
            round.tasks += 1;
            // Threads have numbers, too; only processes can be opened by theirs.
            match pidfd_open(pid, PidfdFlags::empty()) {
                Ok(_) => round.processes += 1,
                Err(Errno::INVAL | Errno::NOENT | Errno::SRCH) => {}
                Err(_) => return None,
            }
            if tasks.is_some_and(|tasks| round.tasks >= tasks) {
                return Some(Ok(round.processes));
            }
        }
        round.next = end.saturating_add(1);
        Some(if end >= last { Ok(round.processes) } else { Err(round) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_processes_of_the_running_machine_are_counted() {
        let listed = || {
            let entries = std::fs::read_dir("/proc").unwrap().flatten();
            entries
                .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.parse::<u32>().is_ok()))
                .count()
        };
        if std::fs::metadata("/proc/1/stat").is_err() {
            println!("SKIPPED: all_processes_of_the_running_machine_are_counted: /proc hides processes");
            return;
        }
        let hidden = || {
            let mut hidden = Hidden::new(&Roots::default());
            let now = Instant::now();
            (0..64).find_map(|_| hidden.count(0, now))
        };
        // Processes come and go in the meantime.
        let (before, counted, after) = (listed(), hidden().unwrap(), listed());
        let (least, most) = (before.min(after), before.max(after));
        assert!((least.saturating_sub(20)..=most + 20).contains(&counted), "{counted} of {least} to {most}");
    }

    #[test]
    fn another_machine_s_processes_cannot_be_counted() {
        let folder = tempfile::tempdir().unwrap();
        let mut hidden = Hidden::new(&Roots { procfs: folder.path().into(), ..Roots::default() });
        assert_eq!(hidden.count(3, Instant::now()), None);
    }
}
