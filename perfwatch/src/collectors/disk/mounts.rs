//! Mounted file systems that hold data, and the space on them.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use procfs::process::MountInfo;
use rustix::fs::StatVfs;
use serde::Serialize;

use super::remote::Remote;
use crate::collectors::fields::lines;
use crate::collectors::file::KernelFile;
use crate::collectors::has_own_procfs;
use crate::config::Roots;
use crate::snapshot::derive::{percent, round};

/// The kernel announces changes of the table; this is for those that it does not, such as another `rootfs`.
const RESCAN: Duration = Duration::from_secs(300);

/// A file system that holds data. The numbers are `null` while it does not answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Partition {
    device: String,
    mountpoint: String,
    fstype: String,
    #[serde(flatten)]
    space: Space,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Space {
    total_bytes: Option<u64>,
    used_bytes: Option<u64>,
    /// That ordinary users may still take.
    free_bytes: Option<u64>,
    /// Of what ordinary users may take, as df(1) has it.
    usage_percent: Option<f64>,
}

impl From<StatVfs> for Space {
    fn from(fs: StatVfs) -> Self {
        let bytes = |blocks: u64| blocks.saturating_mul(fs.f_frsize);
        let used = bytes(fs.f_blocks.saturating_sub(fs.f_bfree));
        let free = bytes(fs.f_bavail);
        Self {
            total_bytes: Some(bytes(fs.f_blocks)),
            used_bytes: Some(used),
            free_bytes: Some(free),
            usage_percent: percent(used, used.saturating_add(free)).map(|p| round(p, 2)),
        }
    }
}

/// Where a partition's space is asked for.
#[derive(Debug)]
enum Access {
    /// At once.
    Local(PathBuf),
    /// On another thread, for a server or a FUSE daemon may never answer.
    Remote(PathBuf),
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
            remote: Remote::new(|path| rustix::fs::statvfs(path).ok().map(Space::from)),
        }
    }

    /// The file systems now; none when there is no mount table.
    pub(super) fn read(&mut self, now: Instant) -> &[Partition] {
        let due = self.scanned.is_none_or(|at| now.saturating_duration_since(at) >= RESCAN);
        if due || self.mountinfo.is_announced() {
            self.scanned = Some(now);
            self.scan();
        }
        let remote = self.access.iter().filter_map(|access| match access {
            Access::Remote(path) => Some(path),
            Access::Local(_) | Access::Hidden => None,
        });
        self.remote.refresh(remote, now);
        for (partition, access) in self.partitions.iter_mut().zip(&self.access) {
            partition.space = match access {
                Access::Local(path) => rustix::fs::statvfs(path).map(Space::from).unwrap_or_default(),
                Access::Remote(path) => self.remote.space(path, now).unwrap_or_default(),
                Access::Hidden => Space::default(),
            };
        }
        &self.partitions
    }

    fn scan(&mut self) {
        let text = self.mountinfo.read_optional().unwrap_or_default();
        let table = lines(text)
            .filter_map(|line| std::str::from_utf8(line).ok())
            .filter_map(|line| MountInfo::from_line(line).ok())
            .collect();
        let (access, partitions) = choose(table)
            .into_iter()
            .map(|mount| {
                let partition = Partition {
                    device: mount.source,
                    mountpoint: mount.point,
                    fstype: mount.fstype,
                    space: Space::default(),
                };
                let path = self.rootfs.join(partition.mountpoint.trim_start_matches('/'));
                let access = match mount.holder {
                    Holder::Remote => Access::Remote(path),
                    Holder::Disk(device) if !is_mounted_at(&path, device) => Access::Hidden,
                    Holder::Disk(_) => Access::Local(path),
                };
                (access, partition)
            })
            .unzip();
        self.access = access;
        self.partitions = partitions;
    }
}

/// Whether `path` leads to the file system of that device number, and not to one mounted over it or to the folder
/// that a mount would have covered.
fn is_mounted_at(path: &PathBuf, device: Option<(u32, u32)>) -> bool {
    let Ok(stat) = rustix::fs::stat(path) else { return false };
    device.is_none_or(|device| device == (rustix::fs::major(stat.st_dev), rustix::fs::minor(stat.st_dev)))
}

#[derive(Debug, PartialEq, Eq)]
struct Mount {
    source: String,
    point: String,
    fstype: String,
    holder: Holder,
}

#[derive(Debug, PartialEq, Eq)]
enum Holder {
    /// With the device number that stat(2) tells of its files, where the file system has only one.
    Disk(Option<(u32, u32)>),
    Remote,
}

const NETWORK: [&str; 13] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "ceph",
    "9p",
    "afs",
    "lustre",
    "beegfs",
    "glusterfs",
    "virtiofs",
    "gpfs",
];

/// Disk file systems whose source is not a path.
const POOLS: [&str; 3] = ["zfs", "btrfs", "bcachefs"];

/// Images that are full by nature.
const IMAGES: [&str; 4] = ["squashfs", "erofs", "iso9660", "cramfs"];

/// FUSE daemons that show something else than stored data.
const VIEWS: [&str; 5] =
    ["fuse.gvfsd-fuse", "fuse.portal", "fuse.lxcfs", "fuse.snapfuse", "fuse.archivemount"];

fn holder(mount: &MountInfo) -> Option<Holder> {
    let fstype = mount.fs_type.as_str();
    let source = mount.mount_source.as_deref().unwrap_or_default();
    if IMAGES.contains(&fstype) || VIEWS.contains(&fstype) {
        return None;
    }
    let is_fuse = fstype == "fuse" || fstype == "fuseblk" || fstype.starts_with("fuse.");
    if is_fuse || NETWORK.contains(&fstype) {
        return Some(Holder::Remote);
    }
    let is_root = mount.mount_point.as_os_str() == "/";
    if !(source.starts_with("/dev/") || POOLS.contains(&fstype) || is_root) {
        return None;
    }
    let device = mount.majmin.split_once(':').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    // btrfs numbers each subvolume for itself, overlayfs each layer.
    Some(Holder::Disk(device.filter(|_| !matches!(fstype, "btrfs" | "overlay"))))
}

/// The mounts to show: of each file system the one nearest to its root, of mounts at one place the last.
fn choose(table: Vec<MountInfo>) -> Vec<Mount> {
    let mut chosen: Vec<(MountInfo, Holder)> = Vec::new();
    for mount in table {
        chosen.retain(|(other, _)| other.mount_point != mount.mount_point);
        let Some(holder) = holder(&mount) else { continue };
        let rank = |mount: &MountInfo| (mount.root != "/", mount.mount_point.as_os_str().len());
        match chosen.iter_mut().find(|(other, _)| other.majmin == mount.majmin) {
            Some((other, _)) if rank(other) <= rank(&mount) => {}
            Some(other) => *other = (mount, holder),
            None => chosen.push((mount, holder)),
        }
    }
    chosen
        .into_iter()
        .map(|(mount, holder)| Mount {
            source: unescape(mount.mount_source.as_deref().unwrap_or_default()),
            point: unescape(&mount.mount_point.to_string_lossy()),
            fstype: mount.fs_type,
            holder,
        })
        .collect()
}

/// Undoes the kernel's escapes of blanks and backslashes: `\040` and the like.
fn unescape(text: &str) -> String {
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.as_bytes();
    while let [first, rest @ ..] = bytes {
        match bytes {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', rest @ ..] => {
                plain.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
                bytes = rest;
            }
            _ => {
                plain.push(*first);
                bytes = rest;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}
