//! All processes of the machine, for whoever asks: see [`crate::snapshot::processes::listing`].
//!
//! Not part of a tick: that only leaves its interval here, and nothing else is done while nobody asks. Of each process
//! `/proc` is asked for its `stat` and its owner; its cgroup is kept for a while, because that takes as long as the two
//! together.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Mode, OFlags};
use time::OffsetDateTime;

use super::names::Names;
use crate::config::Roots;
use crate::snapshot::derive::round;
use crate::snapshot::processes::Details;
use crate::snapshot::processes::listing::{Lister, Listing, Measured, Present};
use crate::snapshot::rfc3339;
use crate::snapshot::sched::Interval;

/// Within a tick a list is made once, unless the tick is longer than this: processes come and go meanwhile.
const FRESH: Duration = Duration::from_secs(5);
/// A process seldom changes its cgroup, and one that was active tells its own.
const CGROUP_KEPT: Duration = Duration::from_secs(30);

/// What is remembered from list to list is forgotten when nobody asks for this long.
const REMEMBERED: Duration = Duration::from_secs(60);

/// A `stat` takes some hundred bytes, a `cgroup` the names of its groups in each hierarchy.
type Buffer = [u8; 16 * 1024];

/// `PF_KTHREAD` of the flags in `stat`.
const KERNEL_THREAD: u32 = 0x0020_0000;
/// `TASK_COMM_LEN` less the NUL.
const COMM: usize = 15;

pub struct Census {
    newest: Mutex<Option<Measured>>,
    inner: Mutex<Inner>,
}

struct Inner {
    roots: Roots,
    names: Names,
    page_bytes: u64,
    ticks_per_second: f64,
    /// Of the processes of the last list, by number.
    known: HashMap<u32, Known>,
    last: Option<(Instant, Arc<Listing>)>,
}

/// What is remembered of a process from list to list.
struct Known {
    /// Tells it from a later one of the same number.
    started: u64,
    cgroup: Option<String>,
    cgroup_read: Instant,
    cpu_ticks: u64,
    seen: Instant,
}

impl std::fmt::Debug for Census {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Census")
    }
}

impl Census {
    pub fn new(roots: &Roots) -> Self {
        let inner = Inner {
            roots: roots.clone(),
            names: Names::new(roots),
            page_bytes: rustix::param::page_size() as u64,
            ticks_per_second: rustix::param::clock_ticks_per_second() as f64,
            known: HashMap::new(),
            last: None,
        };
        Self { newest: Mutex::new(None), inner: Mutex::new(inner) }
    }

    /// What a tick measured; `None` where tasks are not accounted for, or not yet. Waits for no list.
    pub fn ticked(&self, timestamp: &str, interval: Option<&Arc<Interval>>) {
        let measured = Measured { timestamp: timestamp.to_owned(), interval: interval.map(Arc::clone) };
        *lock(&self.newest) = Some(measured);
        if let Ok(mut inner) = self.inner.try_lock() {
            inner.forget();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lister for Census {
    fn list(&self) -> Arc<Listing> {
        let mut inner = lock(&self.inner);
        let newest = lock(&self.newest).clone();
        inner.list(
            newest.unwrap_or_else(|| Measured {
                timestamp: rfc3339(OffsetDateTime::now_utc()),
                interval: None,
            }),
        )
    }
}

impl Inner {
    /// Drops what is as good as never asked for again.
    fn forget(&mut self) {
        let asked_lately = self.last.as_ref().is_some_and(|(made, _)| made.elapsed() < REMEMBERED);
        if !asked_lately && self.last.is_some() {
            self.last = None;
            self.known = HashMap::new();
        }
    }

    fn list(&mut self, measured: Measured) -> Arc<Listing> {
        if let Some((made, listing)) = &self.last
            && listing.timestamp == measured.timestamp
            && made.elapsed() < FRESH
        {
            return Arc::clone(listing);
        }
        // Without the host's /proc only those are known that were active: see `Names`.
        let present = if self.names.sees_host() { self.present() } else { Vec::new() };
        let listing = Arc::new(Listing::join(measured, present, |process| self.names.named(process)));
        self.last = Some((Instant::now(), Arc::clone(&listing)));
        listing
    }

    fn present(&mut self) -> Vec<Present> {
        let mut before = std::mem::take(&mut self.known);
        let Ok(directory) = std::fs::read_dir(&self.roots.procfs) else { return Vec::new() };
        let Ok(procfs) = File::open(&self.roots.procfs).map(OwnedFd::from) else { return Vec::new() };
        let pids = directory.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let mut buffer = [0; size_of::<Buffer>()];
        pids.filter_map(|pid: u32| self.one(&procfs, pid, before.remove(&pid), &mut buffer)).collect()
    }

    /// `None` if it has ended by now.
    fn one(
        &mut self,
        procfs: &OwnedFd,
        pid: u32,
        before: Option<Known>,
        buffer: &mut Buffer,
    ) -> Option<Present> {
        let stat = Stat::parse(read(procfs, &format!("{pid}/stat"), buffer)?)?;
        // The directory belongs to the effective user, whatever else in it does not.
        let owner = rustix::fs::statat(procfs, pid.to_string(), AtFlags::empty()).ok()?;
        let now = Instant::now();
        let before = before.filter(|known| known.started == stat.started);
        let cpu_percent = before.as_ref().and_then(|known| {
            let seconds = (now - known.seen).as_secs_f64();
            let ticks = stat.cpu_ticks.saturating_sub(known.cpu_ticks) as f64;
            (seconds > 0.0).then(|| round(100.0 * ticks / self.ticks_per_second / seconds, 3))
        });
        let kept = before.filter(|known| now - known.cgroup_read < CGROUP_KEPT);
        let (cgroup, cgroup_read) = match kept {
            Some(known) => (known.cgroup, known.cgroup_read),
            None => {
                // A kernel without cgroups has no such file.
                let text = read(procfs, &format!("{pid}/cgroup"), buffer);
                (text.and_then(|text| self.names.path(text)), now)
            }
        };
        let known = Known {
            started: stat.started,
            cgroup: cgroup.clone(),
            cgroup_read,
            cpu_ticks: stat.cpu_ticks,
            seen: now,
        };
        self.known.insert(pid, known);
        let details = Details {
            user: self.names.user(owner.st_uid),
            cgroup,
            rss_bytes: Some(stat.rss_pages.saturating_mul(self.page_bytes)),
        };
        Some(Present { pid, comm: stat.comm, uid: owner.st_uid, details, cpu_percent })
    }
}

/// A file below `procfs`, by as few system calls as there can be: of a process the kernel gives either file whole at
/// the first reading.
fn read<'a>(procfs: &OwnedFd, path: &str, buffer: &'a mut Buffer) -> Option<&'a [u8]> {
    let file = rustix::fs::openat(procfs, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let length = rustix::io::read(&file, &mut buffer[..]).ok()?;
    Some(&buffer[..length])
}

/// What is used of a process's `stat`; see proc_pid_stat(5).
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    comm: String,
    /// User and system time in clock ticks.
    cpu_ticks: u64,
    /// Since boot, in clock ticks.
    started: u64,
    rss_pages: u64,
}

impl Stat {
    fn parse(text: &[u8]) -> Option<Self> {
        // The name is in parentheses and may hold any byte but NUL.
        let open = text.iter().position(|byte| *byte == b'(')?;
        let close = text.iter().rposition(|byte| *byte == b')')?;
        let name = text.get(open + 1..close)?;
        let rest = std::str::from_utf8(&text[close + 1..]).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().take(22).collect();
        // Numbered as in the manual, where the name is the second.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let kernel_thread = fields.get(6)?.parse::<u32>().ok()? & KERNEL_THREAD != 0;
        Some(Self {
            comm: comm(name, kernel_thread),
            cpu_ticks: field(14)?.saturating_add(field(15)?),
            started: field(22)?,
            // Less than nothing for a moment, when the kernel's count is not exact.
            rss_pages: fields.get(21)?.parse::<i64>().ok()?.max(0).unsigned_abs(),
        })
    }
}

/// The kernel's name of a process, as its accounting has it, from how `stat` tells it: with line breaks and
/// backslashes escaped, kernel threads by their full name, and workers with what they work on.
fn comm(name: &[u8], kernel_thread: bool) -> String {
    let mut raw = Vec::with_capacity(name.len());
    let mut bytes = name.iter().copied();
    while let Some(byte) = bytes.next() {
        raw.push(match byte {
            b'\\' => match bytes.next() {
                Some(b'n') => b'\n',
                Some(other) => other,
                None => byte,
            },
            byte => byte,
        });
    }
    if kernel_thread {
        // `kworker/0:1-events` and `kworker/u8:0+flush-254:0`, but not `kworker/R-netns`.
        if raw.starts_with(b"kworker/")
            && let Some(colon) = raw.iter().position(|byte| *byte == b':')
            && let Some(work) = raw[colon..].iter().position(|byte| matches!(byte, b'-' | b'+'))
        {
            raw.truncate(colon + work);
        }
        raw.truncate(COMM);
    }
    String::from_utf8_lossy(&raw).into_owned()
}

#[cfg(test)]
mod tests;
