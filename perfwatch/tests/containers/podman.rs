//! Podman's, with its name from Podman's files and from its API.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use perfwatch::cgroups::{Kind, Named, Names, Runtime};
use perfwatch::config::Roots;

use crate::measured::is_accounted;
use crate::{BUSY, LeftBehind, TIMEOUT, answer, cgroup_of, named, output, root_file_system};

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
    /// `podman` is the command that it runs with.
    fn start(mut podman: Command, socket: &Path) -> std::io::Result<Self> {
        podman.args(["system", "service", "-t", "0", &format!("unix://{}", socket.display())]);
        let service = podman.stdout(Stdio::null()).stderr(Stdio::null()).spawn().map(Self)?;
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

/// A user's own Podman, with a container in it; nothing of it needs root.
struct Rootless {
    /// Their home, and what else is theirs.
    folder: tempfile::TempDir,
}

/// The numbers of `nobody`.
const NOBODY: u32 = 65534;

impl Rootless {
    fn command(&self, arguments: &[&str]) -> Command {
        let folder = self.folder.path();
        let mut command = Command::new("setpriv");
        let nobody = NOBODY.to_string();
        command.args([
            "--reuid",
            &nobody,
            "--regid",
            &nobody,
            "--clear-groups",
            "podman",
            "--storage-driver",
            "vfs",
        ]);
        command.args(arguments).current_dir(folder).env("HOME", folder.join("home/nobody"));
        command.env("XDG_RUNTIME_DIR", folder.join("run"));
        command
    }

    fn podman(&self, arguments: &[&str]) -> Result<String, String> {
        answer(self.command(arguments))
    }

    fn start() -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("needs root, to become another user".to_owned());
        }
        podman(&["version"])?;
        let rootless = Self { folder: tempfile::tempdir().map_err(|error| error.to_string())? };
        let folder = rootless.folder.path();
        let write = || {
            std::fs::set_permissions(folder, PermissionsExt::from_mode(0o755))?;
            std::fs::create_dir(folder.join("etc"))?;
            std::fs::write(
                folder.join("etc/passwd"),
                format!("nobody:x:{NOBODY}:{NOBODY}::/home/nobody:/bin/sh\n"),
            )?;
            for theirs in ["home/nobody", "run"] {
                std::fs::create_dir_all(folder.join(theirs))?;
                std::os::unix::fs::chown(folder.join(theirs), Some(NOBODY), Some(NOBODY))?;
            }
            Ok::<_, std::io::Error>(())
        };
        write().map_err(|error| error.to_string())?;
        let system = tempfile::tempdir().map_err(|error| error.to_string())?;
        root_file_system(system.path())?;
        let tar = folder.join("image.tar").display().to_string();
        // The only user that there is in their namespace.
        output("tar", &["--owner=0", "--group=0", "-cf", &tar, "-C", &system.path().to_string_lossy(), "."])?;
        rootless.podman(&["import", &tar, "localhost/theirs:2"])?;
        // No process of a user may make a cgroup where systemd has not given them one.
        let run = [
            "run",
            "-d",
            "--name",
            "their-shop",
            "--cgroups",
            "disabled",
            "--network",
            "none",
            "localhost/theirs:2",
        ];
        let mut tried = Err(String::new());
        for runtime in ["crun", "runc"] {
            tried = rootless
                .podman(&[&["--runtime", runtime], &run[..], &["/bin/sh", "-c", "read wait"]].concat());
            if tried.is_ok() {
                break;
            }
            let _ = rootless.podman(&["rm", "-f", "their-shop"]);
        }
        tried.map(|_| rootless)
    }

    /// Where systemd puts such a container.
    fn cgroup(&self) -> Arc<str> {
        let id = self.podman(&["inspect", "-f", "{{.Id}}", "their-shop"]).unwrap();
        let user = format!("/user.slice/user-{NOBODY}.slice/user@{NOBODY}.service/user.slice");
        format!("{user}/libpod-{id}.scope").into()
    }
}

impl Drop for Rootless {
    fn drop(&mut self) {
        let _ = self.podman(&["rm", "-f", "-t", "0", "their-shop"]);
        // Ends the process that keeps their namespace.
        let _ = self.podman(&["system", "migrate"]);
    }
}

#[test]
fn a_rootless_container_has_its_name_from_its_users_files_and_from_their_api() {
    let rootless = match Rootless::start() {
        Ok(rootless) => rootless,
        Err(why) => {
            println!(
                "SKIPPED: a_rootless_container_has_its_name_from_its_users_files_and_from_their_api: {why}"
            );
            return;
        }
    };
    let cgroup = rootless.cgroup();
    let has_image = |named: &Named| named.image.is_some();
    let check = |named: &Named| {
        assert_eq!(
            (named.identity.kind, named.runtime),
            (Kind::Container, Some(Runtime::Podman)),
            "{named:?}"
        );
        assert_eq!((named.name.as_str(), named.image.as_deref()), ("their-shop", Some("localhost/theirs:2")));
    };
    let theirs = Roots { rootfs: rootless.folder.path().to_owned(), ..Roots::default() };
    check(&named(&Names::new(&theirs, &[]), &cgroup, has_image));
    // Where their files cannot be read.
    let nothing = tempfile::tempdir().unwrap();
    let elsewhere = Roots { rootfs: nothing.path().to_owned(), ..Roots::default() };
    let socket = rootless.folder.path().join("run/podman.sock");
    let _service = Service::start(rootless.command(&[]), &socket).unwrap();
    check(&named(&Names::new(&elsewhere, &[socket]), &cgroup, has_image));
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
    let _service = Service::start(Command::new("podman"), &socket).unwrap();
    let elsewhere = Roots { rootfs: folder.path().to_owned(), ..Roots::default() };
    container.check(&named(&Names::new(&elsewhere, &[socket]), &container.cgroup, has_image));

    let row = is_accounted(container.pid, &container.cgroup);
    assert_eq!((&row["kind"], &row["runtime"]), (&"container".into(), &"podman".into()), "{row}");
    assert_eq!(
        (row["name"].as_str(), row["image"].as_str()),
        (Some(&*container.name), Some(&*container.image))
    );
}
