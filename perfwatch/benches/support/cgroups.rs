//! Real cgroups, below the machine's hierarchy: needs root.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

/// Groups with a process each; removed when dropped.
pub struct Groups {
    folders: Vec<PathBuf>,
    members: Vec<Child>,
}

impl Groups {
    /// So many, below one slice, with names by number.
    pub fn make(count: usize, name: impl Fn(usize) -> String) -> Result<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let v1 = ["memory", "cpu", "cpuacct", "pids", "blkio"].map(|controller| root.join(controller));
        let is_v2 = root.join("cgroup.controllers").exists();
        if is_v2 {
            fs::write(root.join("cgroup.subtree_control"), "+cpu +memory +io +pids")
                .context("controllers")?;
        }
        let mounts = if is_v2 {
            vec![root.to_owned()]
        } else {
            v1.into_iter().filter(|mount| mount.is_dir()).collect()
        };
        anyhow::ensure!(!mounts.is_empty(), "no cgroups are mounted");
        let mut groups = Self { folders: Vec::new(), members: Vec::new() };
        for at in 0..count {
            let member = Command::new("sh")
                .args(["-c", "while read line; do :; done"])
                .stdin(Stdio::piped())
                .spawn()
                .context("no shell")?;
            let pid = member.id().to_string();
            groups.members.push(member);
            for mount in &mounts {
                let slice = mount.join(format!("perfwatch-bench-{}", std::process::id()));
                let folder = slice.join(name(at));
                fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
                if is_v2 && at == 0 {
                    fs::write(slice.join("cgroup.subtree_control"), "+cpu +memory +io +pids")?;
                }
                groups.folders.push(folder.clone());
                fs::write(folder.join("cgroup.procs"), &pid).with_context(|| folder.display().to_string())?;
            }
        }
        Ok(groups)
    }

    /// Lets every member run for a moment.
    pub fn run(&mut self) -> Result<()> {
        for member in &mut self.members {
            member.stdin.as_mut().context("a pipe")?.write_all(b"x\n")?;
        }
        Ok(())
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for member in &mut self.members {
            let _ = member.kill();
            let _ = member.wait();
        }
        for folder in &self.folders {
            // Busy for a moment after the last process has ended.
            for _ in 0..100 {
                if fs::remove_dir(folder).is_ok() || !folder.exists() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        let slices: std::collections::BTreeSet<&Path> =
            self.folders.iter().filter_map(|folder| folder.parent()).collect();
        for slice in slices {
            let _ = fs::remove_dir(slice);
        }
    }
}
