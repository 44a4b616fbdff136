//! Looking a container, pod or user up in the files of runtimes, and asking the configured sockets. May be slow.

use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::Subject;
use super::found::{Found, of_docker, of_log, of_pod_directory, of_spec, of_storage, text};
use super::socket::Socket;
use crate::cgroups::identity::Runtime;
use crate::config::Roots;

/// Lists of thousands of containers have some megabytes.
const MAX_FILE: u64 = 32 << 20;

/// Directories of containers/storage, by storage driver.
const DRIVERS: [&str; 4] = ["overlay", "vfs", "btrfs", "zfs"];

#[derive(Debug)]
pub(super) struct Runtimes {
    rootfs: PathBuf,
    sockets: Vec<Socket>,
}

/// Files that exist but cannot be read: worth more as a reason than those that do not exist.
#[derive(Debug, Default)]
struct Refused(Option<String>);

impl Refused {
    fn read(&mut self, path: &Path) -> Option<Vec<u8>> {
        let read = || {
            // Users may have put anything into their homes: nothing that one would wait for.
            let mut open = std::fs::OpenOptions::new();
            let file = open.read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
            if !file.metadata()?.is_file() {
                return Err(std::io::Error::other("not a regular file"));
            }
            let mut bytes = Vec::new();
            file.take(MAX_FILE).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        self.checked(path, read())
    }

    fn entries(&mut self, path: &Path) -> Vec<String> {
        let names = |entries: std::fs::ReadDir| {
            entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
        };
        self.checked(path, std::fs::read_dir(path)).map(names).unwrap_or_default()
    }

    fn checked<T>(&mut self, path: &Path, result: std::io::Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) && self.0.is_none()
                {
                    self.0 = Some(format!("{}: {error}", path.display()));
                }
                None
            }
        }
    }
}

impl Runtimes {
    pub(super) fn new(roots: &Roots, sockets: &[PathBuf]) -> Self {
        Self { rootfs: roots.rootfs.clone(), sockets: sockets.iter().cloned().map(Socket::new).collect() }
    }

    /// Everything known of it, or why nothing is.
    pub(super) fn look_up(&mut self, subject: &Subject) -> Result<Found, String> {
        match subject {
            Subject::Container { id, runtime, uid } => self.container(id, *runtime, *uid),
            Subject::Pod(uid) => self.pod(uid),
            Subject::User(uid) => {
                let name = self.user(*uid).map(|user| user.name);
                let why = || format!("{}: no user {uid}", self.at("etc/passwd").display());
                name.map(|name| Found { name: Some(name), ..Found::default() }).ok_or_else(why)
            }
        }
    }

    fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        self.rootfs.join(path)
    }

    fn container(&mut self, id: &str, runtime: Option<Runtime>, uid: Option<u32>) -> Result<Found, String> {
        let mut refused = Refused::default();
        let home = uid.and_then(|uid| self.user(uid)).map(|user| self.at(user.home.trim_start_matches('/')));
        let is_perhaps = |one: Runtime| runtime.is_none_or(|runtime| runtime == one);
        let mut found = Found::default();
        if is_perhaps(Runtime::Docker) {
            found = found.or(self.of_docker(id, home.as_deref(), &mut refused).unwrap_or_default());
        }
        if found.is_empty() && (is_perhaps(Runtime::Podman) || is_perhaps(Runtime::CriO)) {
            found = found.or(self.of_storage(id, uid, home.as_deref(), &mut refused).unwrap_or_default());
        }
        if found.is_empty() && is_perhaps(Runtime::Containerd) {
            found = found.or(self.of_containerd(id, &mut refused).unwrap_or_default());
        }
        if found.is_empty() && runtime != Some(Runtime::Podman) {
            let logs = refused.entries(&self.at("var/log/containers"));
            found = found.or(logs.iter().find_map(|file| of_log(file, id)).unwrap_or_default());
        }
        let mut silent = None;
        if found.is_empty() || found.image.is_none() {
            for socket in &mut self.sockets {
                match socket.ask(id) {
                    Ok(Some(answer)) => {
                        found = found.or(answer);
                        break;
                    }
                    Ok(None) => {}
                    Err(why) => silent = silent.or(Some(why)),
                }
            }
        }
        if !found.is_empty() {
            return Ok(found);
        }
        Err(refused.0.or(silent).unwrap_or_else(|| {
            let who = runtime.map_or("container runtimes", Runtime::as_str);
            let where_else =
                if self.sockets.is_empty() { "; PERFWATCH_CONTAINER_SOCKETS can name its API" } else { "" };
            format!("not in the files of {who} below {}{where_else}", self.rootfs.display())
        }))
    }

    fn of_docker(&self, id: &str, home: Option<&Path>, refused: &mut Refused) -> Option<Found> {
        let moved = refused.read(&self.at("etc/docker/daemon.json"));
        let moved = moved.and_then(|json| serde_json::from_slice::<serde_json::Value>(&json).ok());
        let moved = moved.as_ref().and_then(|json| json["data-root"].as_str());
        let folders = [
            Some(self.at(moved.unwrap_or("var/lib/docker").trim_start_matches('/'))),
            home.map(|home| home.join(".local/share/docker")),
            Some(self.at("var/snap/docker/common/var-lib-docker")),
        ];
        let read = |folder: PathBuf| refused.read(&folder.join("containers").join(id).join("config.v2.json"));
        let found = folders.into_iter().flatten().find_map(read).as_deref().and_then(of_docker)?;
        Some(Found { runtime: Some(Runtime::Docker), ..found })
    }

    /// Podman and CRI-O.
    fn of_storage(
        &self,
        id: &str,
        uid: Option<u32>,
        home: Option<&Path>,
        refused: &mut Refused,
    ) -> Option<Found> {
        let run = match uid {
            Some(uid) => self.at(format!("run/user/{uid}/containers")),
            None => self.at("run/containers/storage"),
        };
        let folders = [
            home.map(|home| home.join(".local/share/containers/storage")),
            Some(self.at("var/lib/containers/storage")),
        ];
        for folder in folders.into_iter().flatten() {
            for driver in DRIVERS {
                let folder = folder.join(format!("{driver}-containers"));
                for list in ["containers.json", "volatile-containers.json"] {
                    if let Some(json) = refused.read(&folder.join(list))
                        && let Some(found) = of_storage(&json, id)
                    {
                        return Some(found);
                    }
                }
            }
        }
        let specs =
            DRIVERS.iter().map(|driver| run.join(format!("{driver}-containers/{id}/userdata/config.json")));
        let found = { specs }.find_map(|spec| refused.read(&spec)).as_deref().and_then(of_spec)?;
        Some(Found { runtime: Some(Runtime::CriO), ..found })
    }

    fn of_containerd(&self, id: &str, refused: &mut Refused) -> Option<Found> {
        for state in ["run/containerd", "run/k3s/containerd"] {
            let tasks = self.at(state).join("io.containerd.runtime.v2.task");
            // Folders are containerd's namespaces: `k8s.io`, `default`, `moby`.
            for namespace in refused.entries(&tasks) {
                let spec = refused.read(&tasks.join(namespace).join(id).join("config.json"));
                if let Some(found) = spec.as_deref().and_then(of_spec) {
                    return Some(Found { runtime: Some(Runtime::Containerd), ..found });
                }
            }
        }
        None
    }

    fn pod(&self, uid: &str) -> Result<Found, String> {
        let mut refused = Refused::default();
        let logs = self.at("var/log/pods");
        let found = refused.entries(&logs).iter().find_map(|folder| of_pod_directory(folder, uid));
        found.ok_or_else(|| refused.0.unwrap_or_else(|| format!("{}: no folder of this pod", logs.display())))
    }

    fn user(&self, uid: u32) -> Option<User> {
        let passwd = std::fs::read(self.at("etc/passwd")).ok()?;
        String::from_utf8_lossy(&passwd).lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let is_theirs = fields.get(2).is_some_and(|number| number.parse() == Ok(uid));
            let user = || Some(User { name: text(fields.first()?)?, home: (*fields.get(5)?).to_owned() });
            is_theirs.then(user).flatten()
        })
    }
}

struct User {
    name: String,
    home: String,
}

#[cfg(test)]
mod tests;
