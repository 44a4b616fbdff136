//! A line, a name or an option that is empty, truncated or not text costs at most that item.

use serde_json::{Value, json};

use crate::machine::{Machine, sample};

/// What is between two intact lines.
const BROKEN: [&[u8]; 7] =
    [b"", b"   ", b"\0\0\0\0\0\0", b"\xff\xfe\xfd \xff", b"8 16", b"a b c d e f g h i j k l m", b":"];

/// `before`, the broken line, `after`.
fn around(before: &str, broken: &[u8], after: &str) -> Vec<u8> {
    [before.as_bytes(), broken, b"\n", after.as_bytes()].concat()
}

#[test]
fn disks_behind_a_broken_line_are_there() {
    for broken in BROKEN {
        let machine = Machine::blank();
        let text = |reads: u64| {
            around(
                &format!("8 0 sda {reads} 0 {} 5 5 0 5 5 0 5 5\n", 8 * reads),
                broken,
                &format!("8 16 sdb {reads} 0 {} 5 5 0 5 5 0 5 5\n", 8 * reads),
            )
        };
        machine.write_bytes("/proc/diskstats", &text(100));
        let two = machine.before_and_after("disk", || machine.write_bytes("/proc/diskstats", &text(200)));
        assert_eq!(two.second["io"]["read_bytes"], json!(2 * 200 * 8 * 512), "{}", broken.escape_ascii());
        two.expect_rate("/devices/sdb/read_iops", 100.0);
    }
}

#[test]
fn interfaces_behind_a_broken_line_are_there() {
    for broken in BROKEN {
        let machine = Machine::blank();
        let numbers = "1000 10 0 0 0 0 0 0 500 5 0 0 0 0 0 0\n";
        let text =
            around(&format!("Inter-|\n face |\n  eth0: {numbers}"), broken, &format!("  eth1: {numbers}"));
        machine.write_bytes("/proc/1/net/dev", &text);
        let document = sample(machine.source("network").as_mut());
        assert_eq!(document["total_bytes_recv"], json!(2000), "{}", broken.escape_ascii());
        assert_eq!(document["interfaces"].as_array().unwrap().len(), 2, "{}", broken.escape_ascii());
    }
}

#[test]
fn counters_behind_a_broken_line_are_there() {
    for broken in BROKEN {
        let machine = Machine::blank();
        machine.write_bytes("/proc/vmstat", &around("pgpgin 5\n", broken, "pgpgout 7\n"));
        let two = machine.before_and_after("memory_bandwidth", || {
            machine.write_bytes("/proc/vmstat", &around("pgpgin 9\n", broken, "pgpgout 9\n"));
        });
        two.expect_rate("/pgpgin_per_sec", 4.0);
        two.expect_rate("/pgpgout_per_sec", 2.0);

        machine.write_bytes("/proc/meminfo", &around("MemTotal: 100 kB\n", broken, "MemFree: 50 kB\n"));
        assert_eq!(
            sample(machine.source("memory").as_mut())["free_bytes"],
            json!(51200),
            "{}",
            broken.escape_ascii()
        );

        machine.write_bytes(
            "/proc/stat",
            &around("cpu 1 1 1 1\ncpu0 1 1 1 1\n", broken, "cpu1 1 1 1 1\nctxt 5\n"),
        );
        assert_eq!(
            sample(machine.source("cpu").as_mut())["core_count"],
            json!(2),
            "{}",
            broken.escape_ascii()
        );

        let some = "some avg10=1.00 avg60=0.10 avg300=0.20 total=1000\n";
        machine.write_bytes("/proc/pressure/cpu", &around(some, broken, &some.replace("some", "full")));
        let pressure = sample(machine.source("pressure").as_mut());
        assert_eq!(pressure["cpu"]["full"]["avg10"], json!(1.0), "{}", broken.escape_ascii());
    }
}

#[test]
fn mounts_behind_a_broken_line_are_there_and_keep_their_names() {
    for broken in BROKEN {
        let machine = Machine::blank();
        let text = around(
            "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n",
            broken,
            "23 22 0:41 / /empty rw - nfs  rw\n24 22 0:42 / /dash rw - cifs - rw\n25 22 8:17 / /data rw - xfs /dev/sdb1 rw\n",
        );
        machine.write_bytes("/proc/1/mountinfo", &text);
        let document = sample(machine.source("disk").as_mut());
        let points: Vec<&Value> = document["partitions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|partition| &partition["mountpoint"])
            .collect();
        assert_eq!(points, ["/", "/empty", "/dash", "/data"], "{}", broken.escape_ascii());
    }
}

#[test]
fn a_mount_whose_name_is_not_utf_8_is_shown_with_its_space() {
    use std::os::unix::ffi::OsStrExt;
    let machine = Machine::blank();
    machine.write_bytes("/proc/1/mountinfo", b"22 1 0:77 / /J\xfcrgen rw - btrfs /dev/sdb1 rw\n");
    let folder = machine.roots().rootfs.join(std::ffi::OsStr::from_bytes(b"J\xfcrgen"));
    std::fs::create_dir_all(folder).unwrap();
    let document = sample(machine.source("disk").as_mut());
    let partition = &document["partitions"][0];
    assert_eq!(partition["mountpoint"], json!("/J\u{fffd}rgen"));
    assert!(partition["total_bytes"].is_number(), "{partition}");
}
