//! A real container: its group's kind and ID from the path, and its name from Podman's files and from its API.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use perfwatch::cgroups::{Hierarchy, Kind, Named, Names, Runtime};
use perfwatch::config::Roots;

const TIMEOUT: Duration = Duration::from_secs(30);

/// A running container, and the image that it was made from; removed when dropped.
struct Container {
    name: String,
    image: String,
    /// The path of its group.
    cgroup: Arc<str>,
}

fn podman(arguments: &[&str]) -> Result<String, String> {
    let output =
        Command::new("podman").args(arguments).output().map_err(|error| format!("podman: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// `sleep` and its libraries.
fn root_file_system(folder: &Path) -> Result<(), String> {
    let program = "/bin/sleep";
    let needed = Command::new("ldd").arg(program).output().map_err(|error| format!("ldd: {error}"))?;
    let needed = String::from_utf8_lossy(&needed.stdout).into_owned();
    for file in needed.split_whitespace().filter(|word| word.starts_with('/')).chain([program]) {
        let to = folder.join(file.trim_start_matches('/'));
        let copied =
            std::fs::create_dir_all(to.parent().unwrap_or(folder)).and_then(|()| std::fs::copy(file, &to));
        copied.map_err(|error| format!("{file}: {error}"))?;
    }
    Ok(())
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
        let packed = Command::new("tar").arg("-cf").arg(&tar).arg("-C").arg(folder.path()).arg(".").status();
        let name = format!("perfwatch-test-{}", std::process::id());
        let image = format!("localhost/{name}:1");
        let imported = packed
            .map_err(|error| format!("tar: {error}"))
            .and_then(|_| podman(&["import", &tar.to_string_lossy(), &image]));
        let _ = std::fs::remove_file(&tar);
        imported?;
        let container = Self { cgroup: "".into(), name, image };
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
            let end = [self.image.as_str(), "/bin/sleep", "600"];
            tried = podman(&[&begin[..], &common, &end].concat());
            if tried.is_ok() {
                break;
            }
            let _ = podman(&["rm", "-f", &self.name]);
        }
        tried?;
        let pid = podman(&["inspect", "-f", "{{.State.Pid}}", &self.name])?;
        let text =
            std::fs::read_to_string(format!("/proc/{pid}/cgroup")).map_err(|error| error.to_string())?;
        let path = Hierarchy::of_machine(&Roots::default()).path(&text);
        self.cgroup = path.ok_or("it is in no group")?.into();
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

/// What is known once the look-up has succeeded.
fn named(names: &Names, path: &Arc<str>) -> Arc<Named> {
    let end = Instant::now() + TIMEOUT;
    loop {
        let named = names.of(path);
        if named.image.is_some() {
            return named;
        }
        assert!(Instant::now() < end, "{named:?}");
        std::thread::sleep(Duration::from_millis(50));
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
    container.check(&named(&Names::new(&Roots::default(), &[]), &container.cgroup));
    // Where its files cannot be read.
    let folder = tempfile::tempdir().unwrap();
    let socket: PathBuf = folder.path().join("podman.sock");
    let _service = Service::start(&socket).unwrap();
    let elsewhere = Roots { rootfs: folder.path().to_owned(), ..Roots::default() };
    container.check(&named(&Names::new(&elsewhere, &[socket]), &container.cgroup));
}
