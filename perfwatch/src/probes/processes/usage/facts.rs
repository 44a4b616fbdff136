//! What is known of a process besides its usage: who started it, when, and with which command.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use rustix::time::ClockId;
use time::OffsetDateTime;

use super::command::masked;
use crate::config::Roots;
use crate::probes::processes::names::Names;
use crate::probes::processes::process_files::Stat;
use crate::snapshot::processes::listing::Facts;
use crate::snapshot::rfc3339;

/// Processes that nobody asked for in so many minutes are forgotten.
const KEPT_MINUTES: u32 = 3;

/// Facts of the processes that have rows, read once for each.
pub(in crate::probes::processes) struct FactBook {
    roots: Roots,
    command_lines: bool,
    ticks_per_second: f64,
    known: HashMap<u32, Known>,
    minute: u32,
    /// Since boot, in clock ticks: processes that started later began from zero.
    began: u64,
}

struct Known {
    comm: Arc<str>,
    /// Distinguishes it from a later one with the same PID; `None` if it had ended before it was looked at.
    started: Option<u64>,
    facts: Arc<Facts>,
    /// Page faults by the last minute.
    faults: Option<(u64, u64)>,
    asked: u32,
}

impl FactBook {
    pub(in crate::probes::processes) fn new(roots: &Roots, command_lines: bool) -> Self {
        let ticks_per_second = rustix::param::clock_ticks_per_second() as f64;
        Self {
            roots: roots.clone(),
            command_lines,
            ticks_per_second,
            known: HashMap::new(),
            minute: 0,
            began: (since_boot() * ticks_per_second) as u64,
        }
    }

    /// Facts of a process; those that it can't be asked for any more are missing.
    pub(in crate::probes::processes) fn of(
        &mut self,
        pid: u32,
        comm: &str,
        uid: Option<u32>,
        names: &mut Names,
    ) -> Arc<Facts> {
        let minute = self.minute;
        if let Some(known) = self.known.get_mut(&pid).filter(|known| *known.comm == *comm) {
            known.asked = minute;
            return Arc::clone(&known.facts);
        }
        let (facts, started) = self.look_up(pid, comm, uid, names);
        let facts = Arc::new(facts);
        let known =
            Known { comm: Arc::from(comm), started, facts: Arc::clone(&facts), faults: None, asked: minute };
        self.known.insert(pid, known);
        facts
    }

    fn look_up(&self, pid: u32, comm: &str, uid: Option<u32>, names: &mut Names) -> (Facts, Option<u64>) {
        let mut facts = Facts { user: uid.and_then(|uid| names.user(uid)), ..Facts::default() };
        let stat = names.sees_host().then(|| self.stat(pid)).flatten().filter(|stat| stat.comm == comm);
        let Some(stat) = stat else { return (facts, None) };
        facts.parent_pid = Some(stat.parent);
        let seconds_ago = since_boot() - stat.started as f64 / self.ticks_per_second;
        let started = OffsetDateTime::now_utc() - time::Duration::seconds_f64(seconds_ago);
        facts.started = started.replace_nanosecond(0).ok().map(rfc3339);
        let folder = self.roots.proc(pid.to_string());
        if self.command_lines {
            facts.command = std::fs::read(folder.join("cmdline")).ok().and_then(|text| masked(&text));
        }
        // Only its user and root may see it; a deleted program is marked as such.
        let executable = std::fs::read_link(folder.join("exe")).ok();
        facts.executable = executable.map(|path| path.to_string_lossy().into_owned());
        (facts, Some(stat.started))
    }

    /// Page faults, minor and major, since the last minute; `None` if it has ended, or was not known then.
    pub(super) fn faults(&mut self, pid: u32) -> Option<(u64, u64)> {
        let stat = self.stat(pid)?;
        let known = self.known.get_mut(&pid).filter(|known| known.started == Some(stat.started))?;
        let from_zero = Some((0, 0)).filter(|_| stat.started >= self.began);
        let before = known.faults.replace(stat.faults).or(from_zero)?;
        Some((stat.faults.0.checked_sub(before.0)?, stat.faults.1.checked_sub(before.1)?))
    }

    /// Called when a minute is over.
    pub(in crate::probes::processes) fn end_minute(&mut self) {
        self.minute = self.minute.wrapping_add(1);
        let minute = self.minute;
        self.known.retain(|_, known| minute.wrapping_sub(known.asked) <= KEPT_MINUTES);
    }

    pub(in crate::probes::processes) fn forget(&mut self) {
        self.known = HashMap::new();
    }

    /// Name, user and cgroup of a process that has not run.
    pub(super) fn identity(&self, pid: u32, names: &Names) -> Option<(Arc<str>, u32, Option<Arc<str>>)> {
        let stat = self.stat(pid)?;
        let owner = std::fs::metadata(self.roots.proc(pid.to_string())).ok()?.uid();
        let cgroup = std::fs::read(self.roots.proc(format!("{pid}/cgroup"))).ok();
        let cgroup = cgroup.and_then(|text| names.path(&text)).map(Arc::from);
        Some((stat.comm.into(), owner, cgroup))
    }

    fn stat(&self, pid: u32) -> Option<Stat> {
        Stat::parse(&std::fs::read(self.roots.proc(format!("{pid}/stat"))).ok()?)
    }
}

fn since_boot() -> f64 {
    let time = rustix::time::clock_gettime(ClockId::Boottime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
