//! LXC's, which has its name in the path of its group and no image.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use perfwatch::cgroups::{Kind, Named, Names, Runtime};
use perfwatch::config::Roots;

use crate::measured::is_accounted;
use crate::{BUSY, LeftBehind, TIMEOUT, cgroup_of, named, output, root_file_system};

/// A running container; stopped when dropped.
struct Container {
    name: String,
    folder: tempfile::TempDir,
    pid: u32,
    cgroup: Arc<str>,
    _left: LeftBehind,
}

impl Container {
    fn start() -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("needs root".to_owned());
        }
        output("lxc-start", &["--version"])?;
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let name = format!("perfwatch-test-{}", std::process::id());
        let root = folder.path().join(&name).join("rootfs");
        root_file_system(&root)?;
        // Of its command, words are told apart by spaces alone.
        let [shell, _, script] = BUSY;
        std::fs::write(root.join("busy"), script).map_err(|error| error.to_string())?;
        let configuration = format!(
            "lxc.uts.name = {name}\nlxc.rootfs.path = dir:{}\nlxc.net.0.type = empty\nlxc.init.cmd = {shell} /busy\n",
            root.display()
        );
        let file = folder.path().join(&name).join("config");
        std::fs::write(&file, configuration).map_err(|error| error.to_string())?;
        let mut container =
            Self { name, folder, pid: 0, cgroup: "".into(), _left: LeftBehind::by("lxc.pivot") };
        let log = container.folder.path().join("log");
        container.lxc("lxc-start", &["-d", "-o", &log.to_string_lossy(), "-l", "ERROR"]).map_err(|why| {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            format!("{why}: {}", log.lines().next().unwrap_or_default())
        })?;
        let pid = container.lxc("lxc-info", &["-p", "-H"])?;
        container.pid = pid.parse().map_err(|_| format!("lxc-info names no process: {pid}"))?;
        // Its first process may be on its way to the group still.
        let end = Instant::now() + TIMEOUT;
        loop {
            container.cgroup = cgroup_of(container.pid)?;
            if container.cgroup.contains(&container.name) && is_busy(container.pid) {
                return Ok(container);
            }
            if Instant::now() > end {
                return Err(format!("it is in {}", container.cgroup));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn lxc(&self, program: &str, arguments: &[&str]) -> Result<String, String> {
        let path = self.folder.path().to_string_lossy();
        output(program, &[&["-n", &self.name, "-P", &*path], arguments].concat())
    }
}

/// Whether it runs the shell already, not what starts it.
fn is_busy(pid: u32) -> bool {
    std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("comm"))
        .is_ok_and(|comm| comm.trim() == "sh")
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.lxc("lxc-stop", &["-k"]);
    }
}

#[test]
fn a_container_of_lxc_is_known_by_its_group() {
    let container = match Container::start() {
        Ok(container) => container,
        Err(why) => {
            println!("SKIPPED: a_container_of_lxc_is_known_by_its_group: {why}");
            return;
        }
    };
    let is_named = |named: &Named| named.name == container.name;
    let known = named(&Names::new(&Roots::default(), &[]), &container.cgroup, is_named);
    assert_eq!((known.identity.kind, known.runtime), (Kind::Container, Some(Runtime::Lxc)), "{known:?}");
    let row = is_accounted(container.pid, &container.cgroup);
    assert_eq!((&row["kind"], &row["runtime"]), (&"container".into(), &"lxc".into()), "{row}");
    assert_eq!((row["name"].as_str(), &row["image"]), (Some(&*container.name), &serde_json::Value::Null));
}
