//! A walk over all processes in `/proc`: what each is, and its usage since the previous walk.
//!
//! For each process this reads its `stat`, and its `io` if readable; its owner and its cgroup are cached for a
//! while, because reading them takes as long again.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::fs::AtFlags;
use rustix::io::Errno;
use rustix::time::ClockId;

use super::derive::Details;
use super::hidden::Hidden;
use super::names::Names;
use super::process_files::{Buffer, Io, Stat, read};
use crate::config::Roots;
use crate::snapshot::derive::round;

/// A process seldom changes its user or its cgroup, or who may read its `io`.
const KEPT: Duration = Duration::from_secs(30);

/// The result of one walk.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Walk {
    /// Since the previous walk; `None` for the first.
    pub(super) elapsed: Option<Duration>,
    pub(super) present: Vec<Present>,
    /// Processes hidden from us; `None` if it is not known how many.
    pub(super) hidden: Option<usize>,
    /// CPU time of all processes, including hidden and exited ones, in percent of one CPU.
    pub(super) total_cpu_percent: Option<f64>,
}

impl Walk {
    /// Processes that used a CPU or storage.
    pub(super) fn active(&self) -> usize {
        self.present.iter().filter(|present| present.used.is_any()).count()
    }
}

/// A process as shown by `/proc`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Present {
    pub(super) pid: u32,
    /// As in the kernel's own accounting.
    pub(super) comm: String,
    pub(super) uid: u32,
    pub(super) threads: usize,
    pub(super) details: Details,
    pub(super) used: Used,
}

/// A process's usage between two walks; `None` if unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Used {
    pub(super) cpu_percent: Option<f64>,
    pub(super) read_bytes_per_sec: Option<f64>,
    pub(super) write_bytes_per_sec: Option<f64>,
}

impl Used {
    pub(super) fn is_any(&self) -> bool {
        [self.cpu_percent, self.read_bytes_per_sec, self.write_bytes_per_sec]
            .iter()
            .any(|used| *used > Some(0.0))
    }
}

#[derive(Debug)]
pub(super) struct Walker {
    roots: Roots,
    page_bytes: u64,
    ticks_per_second: f64,
    /// The processes of the last walk, by PID.
    known: HashMap<u32, Known>,
    /// When the last walk began, and the time since boot by then, in clock ticks.
    last: Option<(Instant, u64)>,
    hidden: Hidden,
}

/// What is cached of a process from walk to walk.
#[derive(Debug)]
struct Known {
    /// Distinguishes it from a later one with the same PID.
    started: u64,
    uid: u32,
    cgroup: Option<String>,
    /// Whether reading its `io` was refused.
    io_refused: bool,
    asked: Instant,
    cpu_ticks: u64,
    io: Option<Io>,
    seen: Instant,
}

/// What reading all processes of a walk needs.
struct Reading {
    procfs: OwnedFd,
    /// When the previous walk began, and the time since boot by then, in clock ticks.
    last: Option<(Instant, u64)>,
    /// Whether storage traffic is wanted.
    io: bool,
    buffer: Buffer,
}

/// Why a process is not in a walk.
enum Absent {
    Ended,
    /// It exists, but we may not read more.
    Refused,
}

impl Walker {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            roots: roots.clone(),
            page_bytes: rustix::param::page_size() as u64,
            ticks_per_second: rustix::param::clock_ticks_per_second() as f64,
            known: HashMap::new(),
            last: None,
            hidden: Hidden::new(roots),
        }
    }

    /// Number of cached processes.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.known.len()
    }

    /// Forgets everything, so that the next walk is a first one.
    pub(super) fn forget(&mut self) {
        self.known = HashMap::new();
        self.last = None;
    }

    /// `io`: whether storage traffic is wanted, too.
    pub(super) fn walk(&mut self, names: &mut Names, io: bool) -> Walk {
        let now = Instant::now();
        let last = self.last.replace((now, self.since_boot()));
        let mut walk = Walk { elapsed: last.map(|(at, _)| now - at), ..Walk::default() };
        let mut before = std::mem::take(&mut self.known);
        let Ok(directory) = std::fs::read_dir(&self.roots.procfs) else { return walk };
        let Ok(procfs) = File::open(&self.roots.procfs).map(OwnedFd::from) else { return walk };
        let pids = directory.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let mut reading = Reading { procfs, last, io, buffer: [0; size_of::<Buffer>()] };
        let mut refused = 0;
        for pid in pids {
            match self.one(pid, before.remove(&pid), names, &mut reading) {
                Ok(present) => walk.present.push(present),
                Err(Absent::Refused) => refused += 1,
                Err(Absent::Ended) => {}
            }
        }
        let is_complete = self.known.contains_key(&1) || refused > 0;
        walk.hidden = if is_complete { Some(refused) } else { self.hidden.count(walk.present.len(), now) };
        walk
    }

    fn one(
        &mut self,
        pid: u32,
        before: Option<Known>,
        names: &mut Names,
        Reading { procfs, last, io, buffer }: &mut Reading,
    ) -> Result<Present, Absent> {
        let text = read(procfs, &format!("{pid}/stat"), buffer).map_err(|error| match error {
            Errno::ACCESS | Errno::PERM => Absent::Refused,
            _ => Absent::Ended,
        })?;
        let stat = Stat::parse(text).ok_or(Absent::Ended)?;
        let now = Instant::now();
        let before = before.filter(|known| known.started == stat.started);
        let kept = before.as_ref().filter(|known| now - known.asked < KEPT);
        let (uid, cgroup, io_refused, asked) = match kept {
            Some(known) => (known.uid, known.cgroup.clone(), known.io_refused, known.asked),
            None => {
                // The directory belongs to the effective user, even if other files in it do not.
                let owner = rustix::fs::statat(&*procfs, pid.to_string(), AtFlags::empty());
                let uid = owner.map_err(|_| Absent::Ended)?.st_uid;
                // A kernel without cgroups has no such file.
                let cgroup = read(procfs, &format!("{pid}/cgroup"), buffer).ok();
                (uid, cgroup.and_then(|text| names.path(text)), false, now)
            }
        };
        let io = (*io && !io_refused).then(|| read(procfs, &format!("{pid}/io"), buffer));
        let io_refused = io_refused || matches!(io, Some(Err(Errno::ACCESS | Errno::PERM)));
        let io = io.and_then(Result::ok).and_then(Io::parse);
        // One that was not there before started from zero after the previous walk.
        let born_since = before.is_none() && last.is_some_and(|(_, boot)| stat.started >= boot);
        let earlier = match (&before, *last) {
            (Some(known), _) => Some((known.seen, known.cpu_ticks, known.io)),
            (None, Some((at, _))) if born_since => Some((at, 0, Some(Io { read_bytes: 0, write_bytes: 0 }))),
            _ => None,
        };
        let used = earlier.map(|(seen, ticks, earlier_io)| {
            let seconds = (now - seen).as_secs_f64();
            let per_second = |amount: f64, digits| (seconds > 0.0).then(|| round(amount / seconds, digits));
            let bytes = |of: fn(Io) -> u64| {
                let grown = of(io?).checked_sub(of(earlier_io?))?;
                per_second(grown as f64, 0)
            };
            let cpu_seconds = stat.cpu_ticks.saturating_sub(ticks) as f64 / self.ticks_per_second;
            Used {
                cpu_percent: per_second(100.0 * cpu_seconds, 3),
                read_bytes_per_sec: bytes(|io| io.read_bytes),
                write_bytes_per_sec: bytes(|io| io.write_bytes),
            }
        });
        let known = Known {
            started: stat.started,
            uid,
            cgroup: cgroup.clone(),
            io_refused,
            asked,
            cpu_ticks: stat.cpu_ticks,
            io,
            seen: now,
        };
        self.known.insert(pid, known);
        let rss_bytes = Some(stat.rss_pages.saturating_mul(self.page_bytes));
        let details = Details { user: names.user(uid), cgroup, rss_bytes };
        let used = used.unwrap_or_default();
        Ok(Present { pid, comm: stat.comm, uid, threads: stat.threads, details, used })
    }

    fn since_boot(&self) -> u64 {
        let time = rustix::time::clock_gettime(ClockId::Boottime);
        let seconds = time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
        (seconds * self.ticks_per_second) as u64
    }
}

#[cfg(test)]
mod tests;
