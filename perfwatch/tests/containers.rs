//! Real containers, each started by its runtime with a process in it that keeps a CPU busy: what they are called, and that
//! their CPU time is theirs.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "containers/lxc.rs"]
mod lxc;
#[path = "containers/measured.rs"]
mod measured;
#[path = "containers/podman.rs"]
mod podman;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use perfwatch::cgroups::{Hierarchy, Named, Names};
use perfwatch::config::Roots;

pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// What runs in each of them.
pub(crate) const BUSY: [&str; 3] = ["/bin/sh", "-c", "while :; do :; done"];

/// The output of a command that must succeed; else why it did not.
pub(crate) fn output(program: &str, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(program);
    command.args(arguments);
    answer(command)
}

pub(crate) fn answer(mut command: Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(format!("{program}: {}", text(&output.stderr)))
    }
}

/// A shell and its libraries.
pub(crate) fn root_file_system(folder: &Path) -> Result<(), String> {
    let program = BUSY[0];
    let needed = output("ldd", &[program])?;
    for file in needed.split_whitespace().filter(|word| word.starts_with('/')).chain([program]) {
        let to = folder.join(file.trim_start_matches('/'));
        let copied =
            std::fs::create_dir_all(to.parent().unwrap_or(folder)).and_then(|()| std::fs::copy(file, &to));
        copied.map_err(|error| format!("{file}: {error}"))?;
    }
    for directory in ["dev", "etc", "proc", "sys", "tmp"] {
        std::fs::create_dir_all(folder.join(directory)).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// The groups of one name that a runtime makes and leaves behind: removed at the end, if they were not there before.
pub(crate) struct LeftBehind {
    name: &'static str,
    before: Vec<PathBuf>,
}

impl LeftBehind {
    pub(crate) fn by(name: &'static str) -> Self {
        Self { name, before: Self::found(name) }
    }

    fn found(name: &str) -> Vec<PathBuf> {
        let root = Path::new("/sys/fs/cgroup");
        let mounts = std::fs::read_dir(root).into_iter().flatten().flatten().map(|mount| mount.path());
        let groups = mounts.chain([root.to_owned()]).map(|mount| mount.join(name));
        groups.filter(|group| group.is_dir()).collect()
    }
}

impl Drop for LeftBehind {
    fn drop(&mut self) {
        for group in Self::found(self.name).iter().filter(|group| !self.before.contains(group)) {
            let _ = std::fs::remove_dir(group);
        }
    }
}

/// The path of a process's group.
pub(crate) fn cgroup_of(pid: u32) -> Result<Arc<str>, String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).map_err(|error| error.to_string())?;
    let path = Hierarchy::of_machine(&Roots::default()).path(&text).map(Arc::from);
    path.ok_or_else(|| "it is in no group".to_owned())
}

/// What is known of a group once the look-up has succeeded.
pub(crate) fn named(names: &Names, path: &Arc<str>, is_known: impl Fn(&Named) -> bool) -> Arc<Named> {
    let end = Instant::now() + TIMEOUT;
    loop {
        let named = names.of(path);
        if is_known(&named) {
            return named;
        }
        assert!(Instant::now() < end, "{named:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
