//! Groups of the tests' own.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;

/// A group made for a test, in the hierarchy that names groups and in that of a controller; removed when dropped, after
/// its members are gone.
pub struct Group {
    pub path: String,
    /// The same one twice with version 2.
    pub named: PathBuf,
    pub limited: PathBuf,
}

impl Group {
    /// Limited by files of a controller, each with its value; all must exist except those that begin with a question
    /// mark. `Err` says why there can be none.
    pub fn new(
        controller: &str,
        v2: &[(&str, &str)],
        v1: &[(&str, &str)],
    ) -> std::result::Result<Self, String> {
        Self::named("", controller, v2, v1)
    }

    /// One of several, with a name of its own.
    pub fn named(
        name: &str,
        controller: &str,
        v2: &[(&str, &str)],
        v1: &[(&str, &str)],
    ) -> std::result::Result<Self, String> {
        let path = format!("/perfwatch-probe-{}{name}", std::process::id());
        let root = Path::new("/sys/fs/cgroup");
        let make = |directory: &Path| {
            std::fs::create_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))
        };
        let is_v2 = root.join("cgroup.controllers").exists();
        let (named, limited, files) = if is_v2 {
            let enable = std::fs::write(root.join("cgroup.subtree_control"), format!("+{controller}"));
            enable.map_err(|error| format!("the controller {controller} cannot be enabled: {error}"))?;
            let directory = root.join(&path[1..]);
            (directory.clone(), directory, v2)
        } else {
            (root.join("memory").join(&path[1..]), root.join(controller).join(&path[1..]), v1)
        };
        if !limited.parent().is_some_and(Path::exists) || !named.parent().is_some_and(Path::exists) {
            return Err(format!("there is no cgroup hierarchy of the controller {controller}"));
        }
        make(&named)?;
        let group = Self { path, named, limited };
        if group.named != group.limited {
            make(&group.limited)?;
        }
        for (file, value) in files {
            let (optional, file) = file.strip_prefix('?').map_or((false, *file), |file| (true, file));
            let file = group.limited.join(file);
            if optional && !file.exists() {
                continue;
            }
            std::fs::write(&file, value).map_err(|error| format!("{}: {error}", file.display()))?;
        }
        Ok(group)
    }

    /// In the form that a hog takes.
    pub fn directories(&self) -> String {
        format!("{},{}", self.named.display(), self.limited.display())
    }

    /// Moves a process into it.
    pub fn take(&self, pid: u32) -> Result<()> {
        for directory in [&self.named, &self.limited] {
            std::fs::write(directory.join("cgroup.procs"), pid.to_string())?;
        }
        Ok(())
    }

    /// Its row in the document `cgroups`; `None` before it has one.
    pub fn row<'a>(&self, document: &'a Value) -> Option<&'a Value> {
        let mut rows = document["groups"].as_array().into_iter().flatten();
        rows.find(|row| row["cgroup"] == self.path.as_str())
    }

    /// A number of the kernel's.
    pub fn number(&self, file: &str, name: &str) -> Result<f64> {
        let text = std::fs::read_to_string(self.limited.join(file))?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.with_context(|| format!("no {name} in {text}"))?.trim().parse()?)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A group is busy for a moment after its last process has ended.
        for directory in [&self.named, &self.limited] {
            let end = Instant::now() + Duration::from_secs(5);
            while std::fs::remove_dir(directory).is_err() && directory.exists() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}
