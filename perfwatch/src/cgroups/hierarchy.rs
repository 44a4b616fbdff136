//! Which cgroup hierarchy distinguishes tasks, and the names of its groups.

use std::path::PathBuf;

use crate::config::Roots;

/// Version 1 hierarchies are separate per controller. The memory controller's is used, since service and
/// container managers put everything they run in a group of its own there.
const CONTROLLER: &str = "memory";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hierarchy {
    /// The unified one.
    V2,
    V1,
}

impl Hierarchy {
    /// Version 2 unless the controller is bound to a hierarchy of version 1.
    pub fn of_machine(roots: &Roots) -> Self {
        let text = std::fs::read(roots.proc("cgroups")).unwrap_or_default();
        Self::parse(&String::from_utf8_lossy(&text))
    }

    /// From the lines `controller hierarchy groups enabled` of /proc/cgroups.
    fn parse(text: &str) -> Self {
        let line = text.lines().find(|line| line.split_whitespace().next() == Some(CONTROLLER));
        let fields: Vec<&str> = line.into_iter().flat_map(str::split_whitespace).collect();
        match fields[..] {
            [_, hierarchy, _, "1", ..] if hierarchy != "0" => Self::V1,
            _ => Self::V2,
        }
    }

    /// The path in a process's /proc/\<pid\>/cgroup.
    pub fn path(self, text: &str) -> Option<&str> {
        text.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            let ours = match self {
                Self::V2 => line.starts_with("0::"),
                Self::V1 => controllers.split(',').any(|name| name == CONTROLLER),
            };
            ours.then_some(path)
        })
    }

    /// Where the hierarchy that distinguishes tasks is mounted.
    pub fn mount(self, roots: &Roots) -> PathBuf {
        self.controller(roots, CONTROLLER)
    }

    /// Where the groups of a controller are: service and container managers use the same path in each hierarchy.
    pub fn controller(self, roots: &Roots, name: &str) -> PathBuf {
        let mounts = roots.sys("fs/cgroup");
        match self {
            Self::V1 => mounts.join(name),
            // Beside hierarchies of version 1 that have no controller of memory.
            Self::V2 if mounts.join("unified/cgroup.controllers").exists() => mounts.join("unified"),
            Self::V2 => mounts,
        }
    }

    /// Where a group's directory would have its `cpu.stat`.
    pub fn cpu_stat(self, roots: &Roots, path: &str) -> PathBuf {
        self.controller(roots, "cpu").join(path.trim_start_matches('/')).join("cpu.stat")
    }
}

/// How often and how long a group was throttled by its CPU quota since it was created.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Throttled {
    pub periods: u64,
    pub micros: u64,
}

impl Throttled {
    /// From `cpu.stat`, of version 2 (`throttled_usec`) or 1 (`throttled_time`, ns); `None` for a group without
    /// a CPU controller.
    pub fn parse(text: &str) -> Option<Self> {
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
            line.trim().parse::<u64>().ok()
        };
        let micros = value("throttled_usec").or_else(|| Some(value("throttled_time")? / 1000))?;
        Some(Self { periods: value("nr_throttled")?, micros })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hierarchy_in_use_is_recognized() {
        let bound = "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t1\t3\t1\nmemory\t4\t28\t1\n";
        assert_eq!(Hierarchy::parse(bound), Hierarchy::V1);
        assert_eq!(Hierarchy::parse(&bound.replace("memory\t4", "memory\t0")), Hierarchy::V2);
        assert_eq!(Hierarchy::parse(&bound.replace("28\t1", "28\t0")), Hierarchy::V2, "not enabled");
        assert_eq!(Hierarchy::parse(""), Hierarchy::V2);
    }

    #[test]
    fn a_process_is_in_one_group_of_each_hierarchy() {
        let text = "5:cpu,cpuacct:/a\n4:memory:/docker/1\n1:name=systemd:/c\n0::/system.slice/x.service\n";
        assert_eq!(Hierarchy::V1.path(text), Some("/docker/1"));
        assert_eq!(Hierarchy::V2.path(text), Some("/system.slice/x.service"));
        assert_eq!(Hierarchy::V2.path("4:memory:/a:b\n"), None);
        assert_eq!(Hierarchy::V1.path("4:memory:/a:b\n"), Some("/a:b"));
    }

    #[test]
    fn both_versions_tell_of_throttling() {
        let v2 = "usage_usec 5\nnr_periods 10\nnr_throttled 3\nthrottled_usec 1500\nnr_bursts 0\n";
        assert_eq!(Throttled::parse(v2), Some(Throttled { periods: 3, micros: 1500 }));
        let v1 = "nr_periods 10\nnr_throttled 3\nthrottled_time 1500000\n";
        assert_eq!(Throttled::parse(v1), Throttled::parse(v2));
        assert_eq!(Throttled::parse("usage_usec 5\n"), None);
    }
}
