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
