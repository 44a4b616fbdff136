//! Names for the kernel's numbers: users, cgroups; and what else is known of the listed processes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::derive::{Details, Event, Process};
use super::memory::Memory;
use crate::cgroups::{self, Hierarchy, Paths, Throttled};
use crate::config::Roots;
use crate::kernel_files::file::KernelFile;
use crate::snapshot::derive::round;
use crate::snapshot::processes::CgroupName;

/// A group without a CPU controller may get one: look again after this.
const CONTROLLER_LOOKED_FOR: Duration = Duration::from_secs(30);

/// What people call the cgroup at a path.
pub(super) fn called(groups: &cgroups::Names, path: &Arc<str>) -> CgroupName {
    let named = groups.of(path);
    let text = |text: &Option<String>| text.as_deref().map(Arc::from);
    CgroupName {
        kind: named.identity.kind.as_str().into(),
        name: (&*named.name).into(),
        runtime: named.runtime.map(|runtime| runtime.as_str().into()),
        image: text(&named.image),
        pod: text(&named.pod),
        namespace: text(&named.namespace),
    }
}

pub(super) struct Names {
    roots: Roots,
    hierarchy: Hierarchy,
    users: Users,
    cgroups: Paths,
    /// Of the cgroups that were listed last.
    throttled: HashMap<String, Limit>,
    /// Whether the kernel's PIDs are those of our `/proc`.
    sees_host: bool,
    memory: Memory,
}

impl Names {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            hierarchy: Hierarchy::of_machine(roots),
            users: Users::new(roots.rootfs.join("etc/passwd")),
            cgroups: Paths::new(roots),
            throttled: HashMap::new(),
            sees_host: sees_host(roots),
            memory: Memory::new(roots.procfs.clone()),
            roots: roots.clone(),
        }
    }

    /// Called before the processes of a tick are looked up.
    pub(super) fn begin_tick(&mut self) {
        self.memory.begin_tick();
    }

    pub(super) fn details(&mut self, process: &Process) -> Details {
        let resident = |process: &Process| self.memory.resident(process.pid);
        let rss_bytes = Some(process).filter(|process| self.sees_host && !process.exited).and_then(resident);
        Details { rss_bytes, ..self.named(process) }
    }

    /// User and cgroup.
    pub(super) fn named(&mut self, process: &Process) -> Details {
        Details {
            user: self.users.name(process.uid),
            cgroup: self.cgroup(process.cgroup, process.pid),
            rss_bytes: None,
        }
    }

    pub(super) fn user(&mut self, uid: u32) -> Option<String> {
        self.users.name(uid)
    }

    /// Whether the numbers in our `/proc` are the kernel's.
    pub(super) fn sees_host(&self) -> bool {
        self.sees_host
    }

    /// The path in a process's `cgroup` file.
    pub(super) fn path(&self, text: &[u8]) -> Option<String> {
        self.hierarchy.path(&String::from_utf8_lossy(text)).map(str::to_owned)
    }

    /// The path of a cgroup; `member` is one of its processes. `None` if it is gone, or cannot be found.
    pub(super) fn cgroup(&mut self, id: u64, member: u32) -> Option<String> {
        let member = self.sees_host.then_some(member);
        self.cgroups.path(id, member).map(|path| path.to_string())
    }

    /// Why the paths of cgroups are not certain.
    pub(super) fn uncertain(&self) -> Option<String> {
        self.cgroups.problem()
    }

    /// Which of the listed cgroups were throttled since the last call.
    pub(super) fn throttled<'a>(
        &mut self,
        cgroups: impl Iterator<Item = &'a str>,
        timestamp: &str,
    ) -> Vec<Event> {
        let mut events = Vec::new();
        let mut standing = HashMap::new();
        for path in cgroups {
            let kept = self.throttled.remove_entry(path);
            let new = || (path.to_owned(), Limit::new(self.hierarchy.cpu_stat(&self.roots, path)));
            let (path, mut limit) = kept.unwrap_or_else(new);
            let (before, now) = limit.read();
            if let Some((now, before)) = now.zip(before)
                && now.periods > before.periods
            {
                events.push(Event::CgroupThrottled {
                    timestamp: timestamp.to_owned(),
                    cgroup: path.clone(),
                    periods: now.periods - before.periods,
                    throttled_ms: round(now.micros.saturating_sub(before.micros) as f64 / 1e3, 3),
                });
            }
            standing.insert(path, limit);
        }
        self.throttled = standing;
        events
    }
}

/// How a cgroup was throttled by its CPU quota.
struct Limit {
    file: KernelFile,
    last: Option<Throttled>,
    /// Since when the file has been missing.
    missing: Option<Instant>,
}

impl Limit {
    fn new(path: PathBuf) -> Self {
        Self { file: KernelFile::new(path), last: None, missing: None }
    }

    /// The last and the current reading. A missing file is not retried at once: nearly every tick would pay for a path
    /// that leads nowhere.
    fn read(&mut self) -> (Option<Throttled>, Option<Throttled>) {
        if self.missing.is_some_and(|since| since.elapsed() < CONTROLLER_LOOKED_FOR) {
            return (None, None);
        }
        let now = self.file.read_optional().and_then(|text| Throttled::parse(&String::from_utf8_lossy(text)));
        self.missing = now.is_none().then(Instant::now);
        (std::mem::replace(&mut self.last, now), now)
    }
}

/// The kernel uses the PIDs of its first PID namespace. In a container with its own namespace, those numbers
/// would be other processes in its `/proc`, unless the host's is mounted for us.
fn sees_host(roots: &Roots) -> bool {
    const FIRST: &str = "pid:[4026531836]"; // PROC_PID_INIT_INO
    let own = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    roots.procfs != Path::new("/proc") || own.as_os_str() == FIRST
}

/// `/etc/passwd`, read again when it changes.
struct Users {
    path: PathBuf,
    modified: Option<SystemTime>,
    names: HashMap<u32, String>,
    checked: Option<Instant>,
}

impl Users {
    fn new(path: PathBuf) -> Self {
        Self { path, modified: None, names: HashMap::new(), checked: None }
    }

    fn name(&mut self, uid: u32) -> Option<String> {
        self.refresh();
        self.names.get(&uid).cloned()
    }

    fn refresh(&mut self) {
        const REFRESH: Duration = Duration::from_secs(30);
        if self.checked.is_some_and(|at| at.elapsed() < REFRESH) {
            return;
        }
        self.checked = Some(Instant::now());
        let modified = std::fs::metadata(&self.path).and_then(|file| file.modified()).ok();
        if modified.is_some() && modified == self.modified {
            return;
        }
        self.modified = modified;
        let text = std::fs::read(&self.path).unwrap_or_default();
        self.names = parse_passwd(&String::from_utf8_lossy(&text));
    }
}

/// Lines `name:password:uid:…`; of two names for one number the first counts, as in the C library.
fn parse_passwd(text: &str) -> HashMap<u32, String> {
    let mut names = HashMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(uid)) = (fields.next(), fields.nth(1).and_then(|uid| uid.parse().ok())) {
            names.entry(uid).or_insert_with(|| name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests;
