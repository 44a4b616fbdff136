//! Mounted file systems that hold data, and the space on them.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::choice::{Chosen, choose};
use super::mountinfo;
use super::remote::Remote;
use super::space::{Place, Space};
use crate::collectors::has_own_procfs;
use crate::config::Roots;
use crate::kernel_files::fields::text;
use crate::kernel_files::file::{KernelFile, ReadError};

/// The kernel announces changes of the table; this is for those it does not announce, such as another `rootfs`.
const RESCAN: Duration = Duration::from_secs(300);

/// A file system that holds data.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Partition {
    device: String,
    mountpoint: String,
    fstype: String,
    #[serde(flatten)]
    space: Space,
    access: mountinfo::Access,
}

/// How a partition's space is queried.
#[derive(Debug)]
enum Access {
    /// Directly.
    Local(Place),
    /// On another thread, because a server or a FUSE daemon may never answer.
    Remote(Place),
    /// Not visible under `rootfs`.
    Hidden,
}

pub(super) struct Mounts {
    mountinfo: KernelFile,
    rootfs: PathBuf,
    scanned: Option<Instant>,
    access: Vec<Access>,
    /// In the order of `access`.
    partitions: Vec<Partition>,
    /// Why there is no mount table.
    missing: Option<String>,
    remote: Remote,
}

impl Mounts {
    pub(super) fn new(roots: &Roots) -> Self {
        // A container's own mounts are not the host's: those are init's.
        let process = if has_own_procfs(roots) { "self" } else { "1" };
        Self {
            mountinfo: KernelFile::new(roots.proc(process).join("mountinfo")),
            rootfs: roots.rootfs.clone(),
            scanned: None,
            access: Vec::new(),
            partitions: Vec::new(),
            missing: None,
            remote: Remote::new(|place| {
                // Without a distinguishing device number, assume that the path leads to the mount.
                let is_it = place.device.is_none() || place.is_visible();
                is_it.then(|| place.ask())?
            }),
        }
    }

    /// Reads the table if it has changed, and queries each file system's space.
    pub(super) fn refresh(&mut self, now: Instant) {
        let due = self.scanned.is_none_or(|at| now.saturating_duration_since(at) >= RESCAN);
        if due || self.missing.is_some() || self.mountinfo.is_announced() {
            self.scanned = Some(now);
            self.missing = self.scan().err().map(|error| format!("mounts are not known: {error}"));
        }
        if self.missing.is_some() {
            self.access.clear();
            self.partitions.clear();
        }
        let remote = self.access.iter().filter_map(|access| match access {
            Access::Remote(place) => Some(place),
            Access::Local(_) | Access::Hidden => None,
        });
        self.remote.refresh(remote, now);
        for (partition, access) in self.partitions.iter_mut().zip(&self.access) {
            partition.space = match access {
                Access::Local(place) => place.ask().unwrap_or_default(),
                Access::Remote(place) => self.remote.space(place, now).unwrap_or_default(),
                Access::Hidden => Space::default(),
            };
        }
    }

    /// The file systems as of the last refresh.
    pub(super) fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    /// Why there are no file systems.
    pub(super) fn missing(&self) -> Option<&str> {
        self.missing.as_deref()
    }

    fn scan(&mut self) -> Result<(), ReadError> {
        let table = mountinfo::parse(self.mountinfo.read()?);
        let (access, partitions) = choose(table, &self.rootfs)
            .into_iter()
            .map(|Chosen { mount, place, may_hang }| {
                let partition = Partition {
                    device: mount.source,
                    mountpoint: text(&mount.point),
                    fstype: mount.fstype,
                    access: mount.access,
                    space: Space::default(),
                };
                let access = match may_hang {
                    true => Access::Remote(place),
                    false if place.is_visible() => Access::Local(place),
                    false => Access::Hidden,
                };
                (access, partition)
            })
            .unzip();
        self.access = access;
        self.partitions = partitions;
        Ok(())
    }
}
