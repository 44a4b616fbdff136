//! Which mounts are shown, and which may keep who asks waiting.

use std::collections::HashMap;
use std::path::Path;

use super::mountinfo::Mount;
use super::space::Place;

/// File systems without data of their own: the kernel's views of itself, what lives in memory, and layers over others.
const NO_DATA: [&str; 46] = [
    "aufs",
    "autofs",
    "bdev",
    "binder",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
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

/// Images that are full by nature.
const IMAGES: [&str; 5] = ["squashfs", "erofs", "iso9660", "cramfs", "romfs"];

/// FUSE daemons that show something else than stored data.
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
    "ocfs2_dlmfs",
];

/// A mount to show, and how to ask for its space.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) mount: Mount,
    pub(super) place: Place,
    /// Whether a server or a daemon may keep the answer back for good.
    pub(super) may_hang: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answers {
    AtOnce,
    MayHang,
}

/// The mounts to show: of each file system the one nearest to its root, of mounts at one place the last.
/// `rootfs` is where the root of the table is seen.
pub(super) fn choose(table: Vec<Mount>, rootfs: &Path) -> Vec<Chosen> {
    // Only the last mount at a place can be seen.
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
    // A machine's root is worth showing whatever it is.
    mount.point == b"/" || !NO_DATA.contains(&fstype)
}

fn is_fuse(fstype: &str) -> bool {
    fstype == "fuse" || fstype == "fuseblk" || fstype.starts_with("fuse.")
}

/// Of a file system itself. One that nobody knows may be anywhere.
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

/// Of a mount whose folder a path leads through. An automount asks its daemon.
fn on_the_way(mount: &Mount) -> Answers {
    if mount.fstype == "autofs" { Answers::MayHang } else { own(mount) }
}

/// Whether the way to `point` leads through one of `places`.
fn lies_below(point: &[u8], places: &std::collections::HashSet<Vec<u8>>) -> bool {
    let above =
        point.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &point[..at.max(1)]);
    above.into_iter().any(|above| above != point && places.contains(above))
}

/// btrfs numbers each subvolume for itself, overlayfs each layer; what is not local tells what it likes.
fn tells_its_device(mount: &Mount) -> bool {
    own(mount) == Answers::AtOnce && !matches!(mount.fstype.as_str(), "btrfs" | "overlay" | "bcachefs")
}

#[cfg(test)]
mod tests {
    use super::super::mountinfo::parse;
    use super::*;

    fn chosen(table: &str) -> Vec<Chosen> {
        choose(parse(table.as_bytes()), Path::new("/host"))
    }

    fn points(table: &str) -> Vec<String> {
        chosen(table).iter().map(|chosen| String::from_utf8_lossy(&chosen.mount.point).into_owned()).collect()
    }

    fn slow(table: &str) -> Vec<String> {
        let slow = chosen(table).into_iter().filter(|chosen| chosen.may_hang);
        slow.map(|chosen| String::from_utf8_lossy(&chosen.mount.point).into_owned()).collect()
    }

    #[test]
    fn each_file_system_stands_there_once_and_images_do_not() {
        let table = "22 1 254:0 / / rw - ext4 /dev/vda rw\n\
            23 22 254:0 /srv /srv rw - ext4 /dev/vda rw\n\
            24 22 254:16 /a /data/a rw - ext4 /dev/vdb rw\n\
            25 22 254:16 / /data/whole rw - ext4 /dev/vdb rw\n\
            26 22 7:1 / /snap/core/1 ro - squashfs /dev/loop1 ro\n\
            27 22 0:30 / /net rw - autofs systemd-1 rw\n\
            28 22 0:31 / /run rw - tmpfs tmpfs rw\n\
            29 22 8:1 / /over rw - ext4 /dev/sda1 rw\n\
            30 22 8:17 / /over rw - ext4 /dev/sdb1 rw\n";
        assert_eq!(points(table), ["/", "/data/whole", "/over"]);
        assert_eq!(chosen(table)[2].mount.source, "/dev/sdb1");
    }

    #[test]
    fn types_that_nobody_knows_are_shown_and_asked_with_care() {
        let table = "22 1 254:0 / / rw - ext4 /dev/vda rw\n\
            70 22 0:70 / /share rw - vboxsf share rw\n\
            71 22 0:71 / /prl rw - prl_fs none rw\n\
            73 22 0:73 / /data rw - ubifs ubi0:data rw\n\
            74 22 0:74 / /win rw - drvfs C:\\134 rw\n";
        assert_eq!(points(table), ["/", "/share", "/prl", "/data", "/win"]);
        assert_eq!(slow(table), ["/share", "/prl", "/win"]);
    }

    #[test]
    fn what_is_mounted_below_a_network_mount_is_asked_with_care_too() {
        let table = "22 1 254:0 / / rw - ext4 /dev/vda rw\n\
            30 22 0:40 / /nfs rw - nfs4 server:/export rw\n\
            31 30 8:1 / /nfs/local rw - ext4 /dev/sda1 rw\n\
            32 22 8:17 / /nfsx rw - ext4 /dev/sdb1 rw\n\
            33 22 0:50 / /home/me/.gvfs rw - fuse.gvfsd-fuse gvfsd rw\n\
            34 33 8:33 / /home/me/.gvfs/x rw - xfs /dev/sdc1 rw\n\
            35 22 0:51 / /auto rw - autofs map rw\n\
            36 35 8:49 / /auto/disk rw - xfs /dev/sdd1 rw\n";
        assert_eq!(slow(table), ["/nfs", "/nfs/local", "/home/me/.gvfs/x", "/auto/disk"]);
    }

    #[test]
    fn below_a_root_on_the_network_everything_is_asked_with_care() {
        let table = "22 1 0:40 / / rw - nfs server:/root rw\n31 22 8:1 / /local rw - ext4 /dev/sda1 rw\n";
        assert_eq!(slow(table), ["/", "/local"]);
    }

    #[test]
    fn paths_lead_through_the_root_that_is_shown() {
        let found =
            chosen("22 1 254:0 / / rw - ext4 /dev/vda rw\n23 22 8:1 / /a\\040b rw - btrfs /dev/sda1 rw\n");
        let places: Vec<&Place> = found.iter().map(|chosen| &chosen.place).collect();
        assert_eq!(places[0], &Place { path: "/host".into(), device: Some((254, 0)) });
        assert_eq!(places[1], &Place { path: "/host/a b".into(), device: None });
    }
}
