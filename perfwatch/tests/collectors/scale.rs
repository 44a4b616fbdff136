//! Thousands of one kind: everything is measured, each thing once.

use std::fmt::Write;

use serde_json::json;

use crate::machine::{Machine, sample};

#[test]
fn two_thousand_cpus_with_holes() {
    let machine = Machine::blank();
    let cpus: Vec<u32> = (0..2048).filter(|cpu| cpu % 64 != 63).collect();
    let stat = |busy: u64| {
        let mut text = String::from("cpu 1 1 1 1\n");
        for cpu in &cpus {
            writeln!(text, "cpu{cpu} {busy} 0 0 {}", 25_000 + 9 * busy).unwrap();
        }
        text
    };
    machine.write("/proc/stat", &stat(10));
    let two = machine.before_and_after("cpu", || machine.write("/proc/stat", &stat(20)));
    let per_core = two.second["per_core"].as_array().unwrap();
    assert_eq!((per_core.len(), &two.second["core_count"]), (2047, &json!(cpus.len())));
    assert_eq!((&per_core[62], &per_core[63], &per_core[2046]), (&json!(10.0), &json!(null), &json!(10.0)));
}

#[test]
fn five_thousand_interfaces_of_which_some_come_and_go() {
    let machine = Machine::blank();
    let dev = |bytes: u64, first: u32| {
        let mut text = format!("Inter-|\n face |\n eth0: {bytes} 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n");
        for number in first..first + 5000 {
            writeln!(text, " veth{number:05x}: {bytes} 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0").unwrap();
        }
        text
    };
    machine.write("/proc/1/net/dev", &dev(1000, 0));
    let two = machine.before_and_after("network", || machine.write("/proc/1/net/dev", &dev(3000, 50)));
    two.expect_rate("/bytes_recv_per_sec", 2000.0);
    let interfaces = two.second["interfaces"].as_array().unwrap();
    assert_eq!(interfaces.len(), 5001);
    let known = interfaces.iter().filter(|interface| interface["bytes_recv_per_sec"].is_number());
    assert_eq!(known.count(), 5001 - 50, "those that came have no rate yet");
    assert_eq!(two.second["total_bytes_recv"], json!(3000));
}

#[test]
fn four_thousand_mounts() {
    let machine = Machine::blank();
    let mut text = String::from("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n");
    for number in 0..4000 {
        writeln!(text, "{} 22 0:{} / /vol/{number} rw - tmpfs tmpfs rw", number + 100, number + 100).unwrap();
        writeln!(text, "{} 22 8:1 /sub /bind/{number} rw - ext4 /dev/sda1 rw", number + 10_000).unwrap();
    }
    for number in 0..1000 {
        writeln!(text, "{} 22 259:{number} / /disk/{number} rw - xfs /dev/nvme{number} rw", number + 50_000)
            .unwrap();
    }
    machine.write("/proc/1/mountinfo", &text);
    let document = sample(machine.source("disk").as_mut());
    assert_eq!(document["partitions"].as_array().unwrap().len(), 1001);
}

#[test]
fn a_thousand_disks() {
    let machine = Machine::blank();
    let mut text = String::new();
    for number in 0..1000 {
        writeln!(text, "259 {number} nvme{number}n1 10 0 8 1 10 0 8 1 0 1 1").unwrap();
        machine.write(&format!("/sys/block/nvme{number}n1/dev"), "259:0\n");
    }
    machine.write("/proc/diskstats", &text);
    let document = sample(machine.source("disk").as_mut());
    assert_eq!(document["io"]["read_bytes"], json!(1000 * 8 * 512));
    assert_eq!(document["devices"].as_object().unwrap().len(), 1000);
}
