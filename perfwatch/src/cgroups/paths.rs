//! Which path belongs to the kernel's number of a group: the number is the inode of the group's directory, so that a
//! process which was moved cannot rename the group that it left.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::handles::{Handles, Opened};
use super::hierarchy::Hierarchy;
use super::walk::walk;
use crate::config::Roots;

/// Paths kept: machines that make a group per job would fill the memory otherwise.
const MAX_KNOWN: usize = 8192;

/// Pause between two walks over the tree.
const WALK_PAUSE: Duration = Duration::from_secs(30);

/// Directories that a walk visits.
const MAX_VISITED: usize = 16 << 10;

#[derive(Debug)]
pub struct Paths {
    roots: Roots,
    hierarchy: Hierarchy,
    mount: PathBuf,
    /// By number, which is never reused.
    known: HashMap<u64, Arc<str>>,
    handles: Handles,
    walked: Option<Instant>,
    visible: bool,
}

impl Paths {
    pub fn new(roots: &Roots) -> Self {
        let hierarchy = Hierarchy::of_machine(roots);
        let mount = hierarchy.mount(roots);
        Self {
            roots: roots.clone(),
            hierarchy,
            known: HashMap::new(),
            handles: Handles::new(&mount),
            walked: None,
            visible: mount.is_dir(),
            mount,
        }
    }

    /// Why paths cannot be checked against the directories.
    pub fn problem(&self) -> Option<String> {
        (!self.visible).then(|| {
            format!(
                "cgroups have the paths of their processes, unverified: no directory {}",
                self.mount.display()
            )
        })
    }

    /// The path of group `id`; `member` is one of its processes, or has been, if its files can be read. `None` for a
    /// group that is gone, or cannot be found.
    pub fn path(&mut self, id: u64, member: Option<u32>) -> Option<Arc<str>> {
        if let Some(path) = self.known.get(&id) {
            return Some(Arc::clone(path));
        }
        let path = match self.handles.open(id) {
            Opened::At(path) => Some(path),
            Opened::Gone => return None,
            Opened::Refused => self.path_of_member(id, member),
        };
        match path {
            Some(path) => Some(self.learn(id, path)),
            None if self.visible => self.search(id),
            None => None,
        }
    }

    fn learn(&mut self, id: u64, path: Arc<str>) -> Arc<str> {
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        self.known.insert(id, Arc::clone(&path));
        path
    }

    fn path_of_member(&self, id: u64, member: Option<u32>) -> Option<Arc<str>> {
        let text = std::fs::read(self.roots.proc(format!("{}/cgroup", member?))).ok()?;
        let text = String::from_utf8_lossy(&text);
        let path = self.hierarchy.path(&text)?;
        // Seen from another cgroup namespace it begins elsewhere: with `/..`.
        let directory = self.mount.join(path.trim_start_matches('/'));
        let is_same =
            || !path.contains("/..") && std::fs::metadata(directory).is_ok_and(|it| is_of(it.ino(), id));
        (!self.visible || is_same()).then(|| path.into())
    }

    /// Looks through all directories, once in a while.
    fn search(&mut self, id: u64) -> Option<Arc<str>> {
        if self.walked.is_some_and(|at| at.elapsed() < WALK_PAUSE) {
            return None;
        }
        let found = walk(&self.mount, MAX_VISITED);
        self.known = found.into_iter().map(|directory| (directory.inode, directory.path)).collect();
        self.walked = Some(Instant::now());
        let at = self.known.iter().find(|(inode, _)| is_of(**inode, id));
        at.map(|(_, path)| Arc::clone(path))
    }
}

/// Whether a directory with this inode is group `id`: on 32-bit kernels inodes are the lower half of the number.
fn is_of(inode: u64, id: u64) -> bool {
    inode == id || (cfg!(target_pointer_width = "32") && inode == id & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine of version 2 whose process 42 is in `/a`.
    fn machine() -> (tempfile::TempDir, Roots) {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        for directory in ["proc/42", "sys/fs/cgroup/a/inner", "sys/fs/cgroup/b"] {
            std::fs::create_dir_all(at(directory)).unwrap();
        }
        let roots = Roots { procfs: at("proc"), sysfs: at("sys"), rootfs: at("") };
        put_into("/a", &roots);
        (root, roots)
    }

    fn put_into(group: &str, roots: &Roots) {
        std::fs::write(roots.proc("42/cgroup"), format!("0::{group}\n")).unwrap();
    }

    fn id(roots: &Roots, group: &str) -> u64 {
        std::fs::metadata(roots.sys(format!("fs/cgroup{group}"))).unwrap().ino()
    }

    #[test]
    fn a_process_that_moved_does_not_rename_the_group_it_left() {
        let (_root, roots) = machine();
        let (a, b) = (id(&roots, "/a"), id(&roots, "/b"));
        let mut paths = Paths::new(&roots);
        // It ran in /a, and was moved before anyone asked.
        put_into("/b", &roots);
        assert_eq!(paths.path(a, Some(42)).as_deref(), Some("/a"));
        assert_eq!(paths.path(b, Some(42)).as_deref(), Some("/b"));
        put_into("/a", &roots);
        assert_eq!(paths.path(b, Some(42)).as_deref(), Some("/b"));
    }

    #[test]
    fn a_group_whose_processes_are_gone_is_searched_for_once_in_a_while() {
        let (_root, roots) = machine();
        let mut paths = Paths::new(&roots);
        assert_eq!(paths.path(id(&roots, "/a/inner"), None).as_deref(), Some("/a/inner"));
        std::fs::create_dir(roots.sys("fs/cgroup/b/new")).unwrap();
        let new = id(&roots, "/b/new");
        assert_eq!(paths.path(new, None), None, "just looked");
        assert_eq!(paths.path(new, Some(42)), None, "a process of another group does not help");
        paths.walked = paths.walked.and_then(|at| at.checked_sub(WALK_PAUSE));
        assert_eq!(paths.path(new, None).as_deref(), Some("/b/new"));
        assert_eq!(paths.path(u64::MAX, Some(42)), None);
    }

    #[test]
    fn a_path_from_another_namespace_is_not_followed() {
        let (_root, roots) = machine();
        let mut paths = Paths::new(&roots);
        put_into("/../cgroup/a", &roots);
        assert_eq!(
            paths.path(id(&roots, "/a"), Some(42)).as_deref(),
            Some("/a"),
            "as the directory is called"
        );
    }

    #[test]
    fn without_the_directories_the_processes_are_believed_and_it_is_said() {
        let (_root, roots) = machine();
        let roots = Roots { sysfs: roots.sysfs.join("none"), ..roots };
        let mut paths = Paths::new(&roots);
        assert!(paths.problem().unwrap().contains("none/fs/cgroup"));
        assert_eq!(paths.path(7, Some(42)).as_deref(), Some("/a"));
        put_into("/b", &roots);
        assert_eq!(paths.path(7, Some(42)).as_deref(), Some("/a"), "once known it stays");
        assert_eq!(paths.path(8, Some(43)), None);
    }
}
