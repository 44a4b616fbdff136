//! What the kernel's numbers are called: users, cgroups; and what else is known of the listed processes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::derive::{Details, Event, Process};
use super::memory::Memory;
use crate::config::Roots;
use crate::kernel_files::file::KernelFile;
use crate::probes::cgroups::{Hierarchy, Throttled};
use crate::snapshot::derive::round;

/// A group that has no CPU controller may be given one: it is looked for again after this.
const CONTROLLER_LOOKED_FOR: Duration = Duration::from_secs(30);

/// Names kept of cgroups; machines that make a group per job would fill the memory otherwise.
const MAX_CGROUPS: usize = 4096;

pub(super) struct Names {
    roots: Roots,
    hierarchy: Hierarchy,
    users: Users,
    /// Paths by the kernel's number, which is never given twice.
    cgroups: HashMap<u64, String>,
    /// Of the cgroups that were listed last.
    throttled: HashMap<String, Limit>,
    /// Whether the kernel's process numbers are those of our `/proc`.
    sees_host: bool,
    memory: Memory,
}

impl Names {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            hierarchy: Hierarchy::of_machine(roots),
            users: Users::new(roots.rootfs.join("etc/passwd")),
            cgroups: HashMap::new(),
            throttled: HashMap::new(),
            sees_host: sees_host(roots),
            memory: Memory::new(roots.procfs.clone()),
            roots: roots.clone(),
        }
    }

    /// Called before the processes of a tick are asked for.
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

    /// The path of a cgroup. The first time one of its processes is asked; `None` if that has exited.
    pub(super) fn cgroup(&mut self, id: u64, member: u32) -> Option<String> {
        if let Some(path) = self.cgroups.get(&id) {
            return Some(path.clone());
        }
        if !self.sees_host {
            return None;
        }
        let text = std::fs::read(self.roots.proc(format!("{member}/cgroup"))).ok()?;
        let path = self.path(&text)?;
        if self.cgroups.len() >= MAX_CGROUPS {
            self.cgroups.clear();
        }
        self.cgroups.insert(id, path.clone());
        Some(path)
    }

    /// Which of the listed cgroups were held back since the last call.
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

/// How a cgroup was held back by its limit.
struct Limit {
    file: KernelFile,
    last: Option<Throttled>,
    /// Since when there is no such file.
    missing: Option<Instant>,
}

impl Limit {
    fn new(path: PathBuf) -> Self {
        Self { file: KernelFile::new(path), last: None, missing: None }
    }

    /// The last reading and the one of now. Where there is none, nearly every tick would pay for a path that leads
    /// nowhere.
    fn read(&mut self) -> (Option<Throttled>, Option<Throttled>) {
        if self.missing.is_some_and(|since| since.elapsed() < CONTROLLER_LOOKED_FOR) {
            return (None, None);
        }
        let now = self.file.read_optional().and_then(|text| Throttled::parse(&String::from_utf8_lossy(text)));
        self.missing = now.is_none().then(Instant::now);
        (std::mem::replace(&mut self.last, now), now)
    }
}

/// The kernel numbers processes as its first PID namespace does. In a container with one of its own those
/// numbers would name others in its `/proc`, unless the host's is mounted for us.
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

/// Lines `name:password:uid:…`; of two names for one number the first counts, as for the C library.
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
mod tests {
    use super::*;
    use crate::probes::sched::interval::Usage;

    #[test]
    fn users_have_the_first_of_their_names() {
        let names = parse_passwd("root:x:0:0::/root:/bin/sh\n#comment\ntoor:x:0:0::/:\nweb:x:33:33:::\n");
        assert_eq!(names.get(&0).map(String::as_str), Some("root"));
        assert_eq!(names.get(&33).map(String::as_str), Some("web"));
        assert_eq!(names.len(), 2);
    }

    #[test]
    fn a_name_that_is_not_utf_8_costs_no_other_user_its_name() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("passwd");
        let text = b"root:x:0:0::/:\n\njm:x:1000:1000:J\xfcrgen M,,,:/home/jm:/bin/sh\n\0\0:\nno numbers\nweb:x:33:33:::\nold:x:";
        std::fs::write(&path, text).unwrap();
        let mut users = Users::new(path);
        let names = [0, 1000, 33].map(|uid| users.name(uid));
        assert_eq!(names, ["root", "jm", "web"].map(|name| Some(name.to_owned())));
        assert_eq!(users.names.len(), 3);
    }

    /// A machine of version 2 with one process and one limited group.
    fn machine() -> (tempfile::TempDir, Roots) {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        put("proc/42/cgroup", "0::/jobs/build\n");
        put("proc/42/statm", "1000 25 3 1 0 9 0\n");
        put("sys/fs/cgroup/jobs/build/cpu.stat", "nr_throttled 3\nthrottled_usec 1500\n");
        put("etc/passwd", "builder:x:1000:1000:::\n");
        let at = |path: &str| root.path().join(path);
        let roots = Roots { procfs: at("proc"), sysfs: at("sys"), rootfs: at("") };
        (root, roots)
    }

    #[test]
    fn a_process_gets_names_and_memory() {
        let (_root, roots) = machine();
        let mut names = Names::new(&roots);
        let mut process = Process {
            pid: 42,
            comm: "cc".into(),
            uid: 1000,
            cgroup: 7,
            threads: 1,
            exited: false,
            usage: Usage::default(),
        };
        let details = names.details(&process);
        assert_eq!(details.user.as_deref(), Some("builder"));
        assert_eq!(details.cgroup.as_deref(), Some("/jobs/build"));
        assert_eq!(details.rss_bytes, Some(25 * rustix::param::page_size() as u64));
        // Another in the same group, which has exited: the name is known by now.
        (process.pid, process.uid, process.exited) = (43, 5, true);
        let details = names.details(&process);
        assert_eq!((details.user, details.rss_bytes), (None, None));
        assert_eq!(details.cgroup.as_deref(), Some("/jobs/build"));
    }

    #[test]
    fn throttling_is_told_once() {
        let (root, roots) = machine();
        let mut names = Names::new(&roots);
        let groups = || ["/jobs/build", "/without/limit"].into_iter();
        assert_eq!(names.throttled(groups(), "t0"), []);
        let stat = root.path().join("sys/fs/cgroup/jobs/build/cpu.stat");
        std::fs::write(stat, "nr_throttled 5\nthrottled_usec 4000\n").unwrap();
        let event = Event::CgroupThrottled {
            timestamp: "t1".into(),
            cgroup: "/jobs/build".into(),
            periods: 2,
            throttled_ms: 2.5,
        };
        assert_eq!(names.throttled(groups(), "t1"), [event]);
        assert_eq!(names.throttled(groups(), "t2"), []);
    }

    #[test]
    fn a_missing_controller_is_looked_for_again_after_a_while() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cpu.stat");
        let mut limit = Limit::new(path.clone());
        assert_eq!(limit.read(), (None, None));
        let looked = limit.missing.unwrap();
        std::fs::write(&path, "nr_throttled 3\nthrottled_usec 1500\n").unwrap();
        // A machine may stand still for as long: then it is rightly found at once.
        let soon = limit.read();
        assert!(soon == (None, None) || looked.elapsed() >= CONTROLLER_LOOKED_FOR);
        limit.missing = looked.checked_sub(CONTROLLER_LOOKED_FOR);
        limit.last = None;
        let found = Some(Throttled { periods: 3, micros: 1500 });
        assert_eq!(limit.read(), (None, found));
        assert_eq!((limit.read(), limit.missing), ((found, found), None));
    }
}
