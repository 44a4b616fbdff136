//! A machine of processes for tests, with its files in a directory.

use crate::config::Roots;

/// A `stat` of a process with five threads. `ticks` are user and system time.
pub(super) fn stat(pid: u32, name: &str, flags: u32, ticks: (u64, u64), started: u64, rss: i64) -> String {
    let (user, system) = ticks;
    format!(
        "{pid} ({name}) S 1 1 1 0 -1 {flags} 9 8 7 6 {user} {system} 3 4 20 0 5 0 {started} 99999 {rss} \
         18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0\n"
    )
}

pub(super) struct Machine(pub(super) tempfile::TempDir);

impl Machine {
    pub(super) fn new() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        machine.put("etc/passwd", &format!("me:x:{}:0:::\n", rustix::process::geteuid().as_raw()));
        machine.put("proc/stat", "cpu 0 0 0 0\n");
        machine
    }

    pub(super) fn put(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(super) fn remove(&self, path: &str) {
        let path = self.0.path().join(path);
        if path.is_dir() {
            std::fs::remove_dir_all(path).unwrap();
        } else {
            std::fs::remove_file(path).unwrap();
        }
    }

    pub(super) fn process(&self, pid: u32, name: &str, ticks: u64, started: u64, cgroup: &str) {
        self.put(&format!("proc/{pid}/stat"), &stat(pid, name, 0, (ticks, 0), started, 10));
        self.put(&format!("proc/{pid}/cgroup"), &format!("0::{cgroup}\n"));
    }

    pub(super) fn roots(&self) -> Roots {
        let at = |path: &str| self.0.path().join(path);
        Roots { procfs: at("proc"), sysfs: at("sys"), rootfs: at("") }
    }
}
