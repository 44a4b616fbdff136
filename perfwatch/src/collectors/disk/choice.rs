//! Which mounts are shown, and which may block the caller.

use std::collections::HashMap;
use std::path::Path;

use super::mountinfo::Mount;
use super::space::Place;

/// File systems without data of their own: views of the kernel, in-memory file systems, and layers over others.
const NO_DATA: [&str; 48] = [
    "aufs",
    "autofs",
    "bdev",
    "binder",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "cgroupfs",
    "configfs",
    "cpuset",
    "debugfs",
    "devfs",
    "devpts",
    "devtmpfs",
    "ecryptfs",
    "efivarfs",
    "functionfs",
    "fusectl",
    "gadgetfs",
    "hugetlbfs",
    "ipathfs",
    "mqueue",
    "nfsd",
    "nsfs",
    "ocfs2_dlmfs",
    "none",
    "openpromfs",
    "overlay",
    "overlayfs",
    "pipefs",
    "proc",
    "pstore",
    "ramfs",
    "resctrl",
    "rootfs",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "shiftfs",
    "smackfs",
    "sockfs",
    "spufs",
    "swap",
    "sysfs",
    "tmpfs",
    "tracefs",
    "xenfs",
];

/// Images that are always full.
const IMAGES: [&str; 5] = ["squashfs", "erofs", "iso9660", "cramfs", "romfs"];

/// FUSE daemons that show something other than stored data.
const VIEWS: [&str; 5] =
    ["fuse.gvfsd-fuse", "fuse.portal", "fuse.lxcfs", "fuse.snapfuse", "fuse.archivemount"];

/// Disk file systems whose source is not a path.
const LOCAL: [&str; 7] = ["zfs", "btrfs", "bcachefs", "ubifs", "jffs2", "yaffs2", "nilfs2"];

/// Network file systems whose source may look like a path.
const NETWORK: [&str; 14] = [
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
    "orangefs",
];

/// A mount to show, and how to query its space.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) mount: Mount,
    pub(super) place: Place,
    /// Whether a server or a daemon may never answer.
    pub(super) may_hang: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answers {
    AtOnce,
    MayHang,
}

/// The mounts to show: for each file system the one nearest to its root; of mounts at the same place the last.
/// `rootfs` is where the root of the table is visible.
pub(super) fn choose(table: Vec<Mount>, rootfs: &Path) -> Vec<Chosen> {
    // Only the last mount at a place is visible.
    let mut last: HashMap<Vec<u8>, usize> = HashMap::with_capacity(table.len());
    for (at, mount) in table.iter().enumerate() {
        last.insert(mount.point.clone(), at);
    }
    let slow: Vec<Vec<u8>> = table
        .iter()
        .enumerate()
        .filter(|(at, mount)| last.get(&mount.point) == Some(at) && on_the_way(mount) == Answers::MayHang)
        .map(|(_, mount)| mount.point.clone())
        .collect();
    let slow: std::collections::HashSet<Vec<u8>> = slow.into_iter().collect();

    let mut chosen: Vec<Mount> = Vec::new();
    let mut by_device: HashMap<(u32, u32), usize> = HashMap::new();
    for (at, mount) in table.into_iter().enumerate() {
        if last.get(&mount.point) != Some(&at) || !has_data(&mount) {
            continue;
        }
        let rank = |mount: &Mount| (mount.root != b"/", mount.point.len());
        let known = mount.device.and_then(|device| by_device.get(&device).copied());
        match known {
            Some(known) if rank(&chosen[known]) <= rank(&mount) => {}
            Some(known) => chosen[known] = mount,
            None => {
                if let Some(device) = mount.device {
                    by_device.insert(device, chosen.len());
                }
                chosen.push(mount);
            }
        }
    }
    chosen
        .into_iter()
        .map(|mount| {
            let path = mount.path();
            let place = Place {
                path: rootfs.join(path.strip_prefix("/").unwrap_or(&path)),
                device: mount.device.filter(|_| tells_its_device(&mount)),
            };
            let may_hang = own(&mount) == Answers::MayHang || lies_below(&mount.point, &slow);
            Chosen { mount, place, may_hang }
        })
        .collect()
}

fn has_data(mount: &Mount) -> bool {
    let fstype = mount.fstype.as_str();
    if IMAGES.contains(&fstype) || VIEWS.contains(&fstype) {
        return false;
    }
    // A machine's root is always worth showing.
    mount.point == b"/" || !NO_DATA.contains(&fstype)
}

fn is_fuse(fstype: &str) -> bool {
    fstype == "fuse" || fstype == "fuseblk" || fstype.starts_with("fuse.")
}

/// Of the file system itself. An unknown one may be anywhere.
fn own(mount: &Mount) -> Answers {
    let fstype = mount.fstype.as_str();
    if is_fuse(fstype) || NETWORK.contains(&fstype) {
        return Answers::MayHang;
    }
    let is_local = mount.source.starts_with("/dev/")
        || LOCAL.contains(&fstype)
        || NO_DATA.contains(&fstype)
        || mount.point == b"/";
    if is_local { Answers::AtOnce } else { Answers::MayHang }
}

/// Of a mount that a path leads through. An automount asks its daemon.
fn on_the_way(mount: &Mount) -> Answers {
    if mount.fstype == "autofs" { Answers::MayHang } else { own(mount) }
}

/// Whether the path to `point` leads through one of `places`.
fn lies_below(point: &[u8], places: &std::collections::HashSet<Vec<u8>>) -> bool {
    let above =
        point.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &point[..at.max(1)]);
    above.into_iter().any(|above| above != point && places.contains(above))
}

/// btrfs numbers each subvolume separately, overlayfs each layer; non-local ones report whatever they like.
fn tells_its_device(mount: &Mount) -> bool {
    own(mount) == Answers::AtOnce && !matches!(mount.fstype.as_str(), "btrfs" | "overlay" | "bcachefs")
}

#[cfg(test)]
mod tests;
