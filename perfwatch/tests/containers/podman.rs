//! Podman's, with its name from Podman's files and from its API.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use perfwatch::cgroups::{Kind, Named, Names, Runtime};
use perfwatch::config::Roots;

use crate::measured::is_accounted;
use crate::{BUSY, LeftBehind, TIMEOUT, cgroup_of, named, output, root_file_system};

/// A running container, and the image that it was made from; removed when dropped.
struct Container {
    name: String,
    image: String,
    pid: u32,
    /// The path of its group.
    cgroup: Arc<str>,
    _left: LeftBehind,
}

fn podman(arguments: &[&str]) -> Result<String, String> {
    output("podman", arguments)
}

impl Container {
    fn start() -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("needs root".to_owned());
        }
        podman(&["version"])?;
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        root_file_system(folder.path())?;
        let tar = folder.path().with_extension("tar");
        let packed =
            output("tar", &["-cf", &tar.to_string_lossy(), "-C", &folder.path().to_string_lossy(), "."]);
        let name = format!("perfwatch-test-{}", std::process::id());
        let image = format!("localhost/{name}:1");
        let imported = packed.and_then(|_| podman(&["import", &tar.to_string_lossy(), &image]));
        let _ = std::fs::remove_file(&tar);
        imported?;
        let container =
            Self { cgroup: "".into(), pid: 0, name, image, _left: LeftBehind::by("libpod_parent") };
        container.run()
    }

    fn run(mut self) -> Result<Self, String> {
        let manager = if Path::new("/run/systemd/system").is_dir() { "systemd" } else { "cgroupfs" };
        let common = ["--network", "none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096"];
        let mut tried = Err(String::new());
        // crun refuses hierarchies of both versions side by side.
        for runtime in ["crun", "runc"] {
            let begin =
                ["--runtime", runtime, "--cgroup-manager", manager, "run", "-d", "--name", &self.name];
            tried = podman(&[&begin[..], &common, &[&self.image], &BUSY].concat());
            if tried.is_ok() {
                break;
            }
            let _ = podman(&["rm", "-f", &self.name]);
        }
        tried?;
        let pid = podman(&["inspect", "-f", "{{.State.Pid}}", &self.name])?;
        self.pid = pid.parse().map_err(|_| format!("podman names no process: {pid}"))?;
        self.cgroup = cgroup_of(self.pid)?;
        Ok(self)
    }

    fn check(&self, named: &Named) {
        let identity = &named.identity;
        assert_eq!((identity.kind, named.runtime), (Kind::Container, Some(Runtime::Podman)), "{named:?}");
        assert_eq!(identity.id.as_ref().map(String::len), Some(64));
        assert_eq!(
            (named.name.as_str(), named.image.as_deref()),
            (self.name.as_str(), Some(self.image.as_str()))
        );
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = podman(&["rm", "-f", "-t", "0", &self.name]);
        let _ = podman(&["rmi", "-f", &self.image]);
    }
}

/// Podman's API, while it lives.
struct Service(Child);

impl Service {
    fn start(socket: &Path) -> std::io::Result<Self> {
        let address = format!("unix://{}", socket.display());
        let service = Command::new("podman")
            .args(["system", "service", "-t", "0", &address])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map(Self)?;
        let end = Instant::now() + TIMEOUT;
        while !socket.exists() {
            assert!(Instant::now() < end, "podman made no socket");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(service)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_container_of_podman_has_its_name_from_its_files_and_from_its_api() {
    let container = match Container::start() {
        Ok(container) => container,
        Err(why) => {
            println!("SKIPPED: a_container_of_podman_has_its_name_from_its_files_and_from_its_api: {why}");
            return;
        }
    };
    let has_image = |named: &Named| named.image.is_some();
    container.check(&named(&Names::new(&Roots::default(), &[]), &container.cgroup, has_image));
    // Where its files cannot be read.
    let folder = tempfile::tempdir().unwrap();
    let socket: PathBuf = folder.path().join("podman.sock");
    let _service = Service::start(&socket).unwrap();
    let elsewhere = Roots { rootfs: folder.path().to_owned(), ..Roots::default() };
    container.check(&named(&Names::new(&elsewhere, &[socket]), &container.cgroup, has_image));

    let row = is_accounted(container.pid, &container.cgroup);
    assert_eq!((&row["kind"], &row["runtime"]), (&"container".into(), &"podman".into()), "{row}");
    assert_eq!(
        (row["name"].as_str(), row["image"].as_str()),
        (Some(&*container.name), Some(&*container.image))
    );
}
