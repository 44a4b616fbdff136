//! Which block devices are disks, and which only pass on what is counted below them.
//!
//! How devices are stacked comes from `/sys/block`; names decide only if that says nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Counts towards totals: no other device counts its requests.
    Disk,
    /// dm, md, bcache, a ZFS volume, a multipath head and the like: its requests are counted again below.
    Stacked,
    /// A file as a disk: its requests are those of the disk that holds the file.
    Loop,
    /// In memory.
    Memory,
    /// Part of a disk, which counts its requests.
    Partition,
}

/// The kinds of `names`, in the same order. `block` is `/sys/block`.
pub fn kinds(block: &Path, names: &[&str]) -> Vec<Kind> {
    // Containers may see an empty folder.
    let has_sysfs = fs::read_dir(block).is_ok_and(|mut entries| entries.next().is_some());
    let mut kinds: Vec<Kind> = names.iter().map(|name| kind(block, has_sysfs, name)).collect();
    // The paths to a multipath disk count every request; newer kernels let the head count it again.
    let heads: BTreeSet<String> = names.iter().filter_map(|name| multipath_head(name)).collect();
    for (name, kind) in names.iter().zip(&mut kinds) {
        if heads.contains(*name) {
            *kind = Kind::Stacked;
        }
    }
    // If nothing has a disk below it on this machine, such as a root on a network block device, count what there is.
    if !kinds.contains(&Kind::Disk) {
        for (name, kind) in names.iter().zip(&mut kinds) {
            if *kind == Kind::Stacked && is_network(name) {
                *kind = Kind::Disk;
            }
        }
    }
    kinds
}

fn kind(block: &Path, has_sysfs: bool, name: &str) -> Kind {
    if numbered(name, &["ram", "zram"]) {
        return Kind::Memory;
    }
    if numbered(name, &["loop"]) {
        return Kind::Loop;
    }
    if !has_sysfs {
        return kind_by_name(name);
    }
    let folder = block.join(name.replace('/', "!"));
    if !folder.is_dir() && multipath_head(name).is_none() {
        return Kind::Partition; // it is stacked below its disk
    }
    if folder.join("loop").is_dir() {
        return Kind::Loop;
    }
    // A disk that bcache uses has a folder of that name, too: only stacked devices have slaves.
    let is_stacked = folder.join("dm").is_dir()
        || folder.join("md").is_dir()
        || fs::read_dir(folder.join("slaves")).is_ok_and(|mut slaves| slaves.next().is_some())
        || is_virtual(&folder)
        || numbered(name, &VIRTUAL);
    if is_stacked { Kind::Stacked } else { Kind::Disk }
}

/// Drivers whose devices are stacked on others without listing them in `slaves`.
const VIRTUAL: [&str; 7] = ["dm-", "md", "bcache", "zd", "drbd", "ploop", "nbd"];

/// Whether there is no hardware behind it. Heads of NVMe multipath are elsewhere below `virtual`.
fn is_virtual(folder: &Path) -> bool {
    fs::canonicalize(folder).is_ok_and(|path| {
        let path = path.to_string_lossy();
        path.contains("/devices/virtual/block/")
    })
}

/// Devices whose requests leave the machine, unless the server is this machine.
fn is_network(name: &str) -> bool {
    numbered(name, &["nbd", "drbd"])
}

/// `nvme0n1` of `nvme0c1n1`: subsystem, controller, namespace.
fn multipath_head(name: &str) -> Option<String> {
    let (subsystem, rest) = name.strip_prefix("nvme")?.split_once('c')?;
    let (controller, namespace) = rest.split_once('n')?;
    let all = [subsystem, controller, namespace].into_iter().all(digits);
    all.then(|| format!("nvme{subsystem}n{namespace}"))
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn letters(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase())
}

/// Whether the name is one of these drivers' followed by a number.
fn numbered(name: &str, drivers: &[&str]) -> bool {
    drivers.iter().any(|driver| name.strip_prefix(driver).is_some_and(digits))
}

/// Without `/sys`: by the names that drivers have always used.
fn kind_by_name(name: &str) -> Kind {
    if numbered(name, &VIRTUAL) {
        return Kind::Stacked;
    }
    let lettered = ["sd", "vd", "xvd", "hd", "ubd", "dasd"];
    let lettered = lettered.iter().any(|driver| name.strip_prefix(driver).is_some_and(letters));
    let is_numbered = numbered(name, &["mmcblk", "sr", "rbd", "pmem", "mtdblock", "ubiblock"]);
    let nvme = name
        .strip_prefix("nvme")
        .and_then(|rest| rest.split_once('n'))
        .is_some_and(|(controller, namespace)| digits(controller) && digits(namespace));
    let is_disk = lettered || is_numbered || nvme || multipath_head(name).is_some();
    if is_disk { Kind::Disk } else { Kind::Partition }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A `/sys/block` with these files below it.
    fn sysfs(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        folder
    }

    fn disks<'a>(files: &[&str], names: &[&'a str]) -> Vec<&'a str> {
        let block = sysfs(files);
        let kinds = kinds(block.path(), names);
        names.iter().zip(kinds).filter(|(_, kind)| *kind == Kind::Disk).map(|(name, _)| *name).collect()
    }

    #[test]
    fn names_tell_disks_from_their_partitions() {
        for disk in [
            "sda",
            "sdaa",
            "vda",
            "xvdb",
            "nvme0n1",
            "nvme10n12",
            "nvme0c3n1",
            "mmcblk0",
            "sr0",
            "dasda",
            "pmem0",
        ] {
            assert_eq!(kind_by_name(disk), Kind::Disk, "{disk}");
        }
        for other in ["sda1", "nvme0n1p1", "mmcblk0p2", "mmcblk0boot0", "sd", "nvme0", "zd0p1", "nvme0cn1"] {
            assert_eq!(kind_by_name(other), Kind::Partition, "{other}");
        }
        for stacked in ["dm-0", "md127", "bcache0", "zd16", "drbd0", "ploop42", "nbd3"] {
            assert_eq!(kind_by_name(stacked), Kind::Stacked, "{stacked}");
        }
    }

    #[test]
    fn what_stands_on_disks_is_no_disk() {
        let files = [
            "sda/dev",
            "sda/sda1/dev",
            "sdb/bcache/state",
            "bcache0/slaves/sdb/dev",
            "dm-0/dm/name",
            "md0/md/level",
            "odd!0/slaves/sda/dev",
            "loop0/loop/backing_file",
            "zd0/dev",
            "drbd1/dev",
            "nbd0/dev",
        ];
        let names = [
            "sda", "sda1", "sdb", "bcache0", "dm-0", "md0", "odd/0", "loop0", "zd0", "drbd1", "nbd0", "ram0",
        ];
        assert_eq!(disks(&files, &names), ["sda", "sdb"]);
    }

    #[test]
    fn a_whole_disk_as_cache_or_backing_of_bcache_stays_a_disk() {
        let files =
            ["sdb/bcache/state", "nvme0n1/bcache/x", "bcache0/bcache/state", "bcache0/slaves/sdb/dev"];
        assert_eq!(disks(&files, &["sdb", "nvme0n1", "bcache0"]), ["sdb", "nvme0n1"]);
    }

    #[test]
    fn of_a_multipath_disk_the_paths_count() {
        let files = ["nvme0n1/dev", "nvme0c0n1/hidden", "nvme0c1n1/hidden", "nvme1n1/dev"];
        let names = ["nvme0c0n1", "nvme0c1n1", "nvme0n1", "nvme1n1"];
        assert_eq!(disks(&files, &names), ["nvme0c0n1", "nvme0c1n1", "nvme1n1"]);
        assert_eq!(disks(&files, &names[2..]), ["nvme0n1", "nvme1n1"], "where paths are not listed");
    }

    #[test]
    fn a_device_without_hardware_is_no_disk_whatever_its_name() {
        let block = sysfs(&["sda/dev"]);
        let devices = tempfile::tempdir().unwrap();
        let link = |target: &str, name: &str| {
            let target = devices.path().join(target).join(name);
            fs::create_dir_all(&target).unwrap();
            std::os::unix::fs::symlink(target, block.path().join(name)).unwrap();
        };
        link("devices/virtual/block", "vendor7");
        link("devices/virtual/nvme-subsystem/nvme-subsys0", "nvme0n1");
        link("devices/pci0000:00/0000:00:04.0/virtio1/block", "vda");
        let names = ["sda", "vendor7", "nvme0n1", "vda"];
        let kinds = kinds(block.path(), &names);
        assert_eq!(kinds, [Kind::Disk, Kind::Stacked, Kind::Disk, Kind::Disk]);
    }

    #[test]
    fn an_empty_folder_tells_as_little_as_none() {
        assert_eq!(disks(&[], &["sda", "sda1", "dm-0", "nvme0n1", "nvme0n1p1"]), ["sda", "nvme0n1"]);
    }

    #[test]
    fn a_machine_with_nothing_but_network_disks_has_those() {
        assert_eq!(disks(&["nbd0/dev", "nbd1/dev"], &["nbd0", "nbd1", "ram0"]), ["nbd0", "nbd1"]);
    }
}
