//! Each recorded machine's documents against its files, read here in the simplest way.

use serde_json::{Value, json};

use crate::machine::{FIRST, Machine, SECOND, sample};

/// The words of the first line that has `word` at position `at`.
fn line<'a>(text: &'a str, at: usize, word: &str) -> Vec<&'a str> {
    let mut lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines.find(|words| words.get(at) == Some(&word)).unwrap_or_else(|| panic!("no line with {word}"))
}

/// The number at position `at` of the line that begins with `word`.
fn number(text: &str, word: &str, at: usize) -> f64 {
    line(text, 0, word)[at].parse().unwrap()
}

fn keys(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

/// The increase of a number between the two moments.
fn delta(machine: &Machine, path: &str, word: &str, at: usize) -> f64 {
    let at_moment = |recording| number(&machine.text(recording, path), word, at);
    at_moment(SECOND) - at_moment(FIRST)
}

/// The increase of a device's number: `at` counts from its name, the third word.
fn disk_delta(machine: &Machine, device: &str, at: usize) -> f64 {
    let at_moment = |recording| {
        line(&machine.text(recording, "/proc/diskstats"), 2, device)[2 + at].parse::<f64>().unwrap()
    };
    at_moment(SECOND) - at_moment(FIRST)
}

fn interface<'a>(document: &'a Value, name: &str) -> Option<(usize, &'a Value)> {
    let interfaces = document["interfaces"].as_array().unwrap();
    interfaces.iter().enumerate().find(|(_, interface)| interface["name"] == name)
}

/// The share of `busy` in the time between two moments, from the columns of /proc/stat.
fn expect_cpu_shares(machine: &Machine, document: &Value) {
    let stat = "/proc/stat";
    let columns: Vec<f64> = (1..=8).map(|at| delta(machine, stat, "cpu", at)).collect();
    let whole: f64 = columns.iter().sum();
    let names = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
    for (name, ticks) in names.iter().zip(&columns) {
        let share = document[name].as_f64().unwrap();
        assert!((share - ticks * 100.0 / whole).abs() <= 0.005, "{name}: {share}");
    }
    let busy = 100.0 - (columns[3] + columns[4]) * 100.0 / whole;
    assert!((document["usage_percent"].as_f64().unwrap() - busy).abs() <= 0.01);
}

#[test]
fn cpu_times_become_shares_on_every_machine() {
    for name in ["vm", "many", "arm64", "bare"] {
        let machine = Machine::new(name);
        let two = machine.two("cpu");
        assert_eq!(two.first["usage_percent"], Value::Null);
        expect_cpu_shares(&machine, &two.second);
        two.expect_rate("/context_switches_per_sec", delta(&machine, "/proc/stat", "ctxt", 1));
        two.expect_rate("/interrupts_per_sec", delta(&machine, "/proc/stat", "intr", 1));
        two.expect_rate("/forks_per_sec", delta(&machine, "/proc/stat", "processes", 1));
        assert_eq!(two.second["load_avg"].as_array().unwrap().len(), 3);
    }
}

#[test]
fn counts_of_cpus_and_cores() {
    // Sockets × cores × threads of the guests: 2 × 6 × 2, then one thread offline; 4; 1.
    for (name, [first, second], cores) in [("many", [24, 23], 12), ("arm64", [4, 4], 4), ("bare", [1, 1], 1)]
    {
        let two = Machine::new(name).two("cpu");
        assert_eq!((&two.first["core_count"], &two.second["core_count"]), (&json!(first), &json!(second)));
        assert_eq!(two.second["physical_cores"], json!(cores), "{name}");
        // Guests have neither cpufreq nor sensors.
        for absent in ["frequency_mhz", "temperature", "temperature_celsius"] {
            assert_eq!(two.second[absent], Value::Null, "{name} {absent}");
        }
    }
}

#[test]
fn the_first_documents_tell_what_started() {
    // The pipeline shows the first and stores only from the second on.
    let machine = Machine::new("many");
    let mut source = machine.source("cpu");
    let [first, second, third] = std::array::from_fn(|_| sample(source.as_mut()));
    assert_eq!(third["events"], json!([]));
    assert_eq!(first["events"], second["events"]);
    assert_eq!(
        first["events"],
        json!([
            {"kind": "machine_started", "timestamp": "2026-11-21T08:16:33Z"},
            {"kind": "perfwatch_started", "timestamp": "2026-01-02T03:04:05Z"},
        ])
    );
}

#[test]
fn a_cpu_that_went_offline_leaves_a_gap_and_moves_no_other() {
    let machine = Machine::new("many");
    let two = machine.two("cpu");
    let per_core = two.second["per_core"].as_array().unwrap();
    assert_eq!(per_core.len(), 24);
    for (cpu, usage) in per_core.iter().enumerate() {
        assert_eq!(usage.is_null(), cpu == 5, "cpu{cpu}: {usage}");
    }
    let of = |at| delta(&machine, "/proc/stat", "cpu20", at);
    let whole: f64 = (1..=8).map(of).sum();
    let busy = (whole - of(4) - of(5)) * 100.0 / whole;
    assert!((per_core[20].as_f64().unwrap() - busy).abs() <= 0.01);
}

#[test]
fn memory_and_swap_in_bytes() {
    for name in ["vm", "many", "arm64", "bare"] {
        let machine = Machine::new(name);
        let two = machine.two("memory");
        let text = machine.text(SECOND, "/proc/meminfo");
        let bytes = |line: &str| json!(number(&text, line, 1) as u64 * 1024);
        let memory = &two.second;
        assert_eq!(memory["total_bytes"], bytes("MemTotal:"), "{name}");
        assert_eq!(memory["available_bytes"], bytes("MemAvailable:"));
        assert_eq!(memory["free_bytes"], bytes("MemFree:"));
        assert_eq!(memory["shared_bytes"], bytes("Shmem:"));
        assert_eq!(memory["dirty_bytes"], bytes("Dirty:"));
        assert_eq!(memory["slab_bytes"], bytes("Slab:"));
        assert_eq!(memory["swap_total_bytes"], bytes("SwapTotal:"));
        let (total, available) = (number(&text, "MemTotal:", 1), number(&text, "MemAvailable:", 1));
        assert_eq!(memory["used_bytes"], json!((total - available) as u64 * 1024));
        let cached = number(&text, "Cached:", 1) + number(&text, "SReclaimable:", 1);
        assert_eq!(memory["cached_bytes"], json!(cached as u64 * 1024));
        let usage = memory["usage_percent"].as_f64().unwrap();
        assert!((usage - (total - available) * 100.0 / total).abs() <= 0.005);
    }
}

#[test]
fn swapped_pages_are_followed_while_there_is_swap() {
    let machine = Machine::new("many");
    let two = machine.two("memory");
    let page = rustix::param::page_size() as f64;
    for (field, line) in [("swap_sin_bytes", "pswpin"), ("swap_sout_bytes", "pswpout")] {
        let pages = number(&machine.text(SECOND, "/proc/vmstat"), line, 1);
        assert_eq!(two.second[field], json!((pages * page) as u64));
    }
    assert!(two.second["swap_sout_bytes"].as_u64() > two.first["swap_sout_bytes"].as_u64());
    let used = two.second["swap_used_bytes"].as_u64().unwrap();
    assert!(used > 0 && two.second["swap_percent"].as_f64() > Some(0.0));
}

#[test]
fn interfaces_come_and_go_without_a_rate_of_their_past() {
    let machine = Machine::new("many");
    let two = machine.two("network");
    assert!(interface(&two.first, "br0").is_some() && interface(&two.second, "br0").is_none());
    assert!(interface(&two.first, "dummy1").is_none());
    let (_, new) = interface(&two.second, "dummy1").unwrap();
    assert_eq!(new["bytes_sent_per_sec"], Value::Null);
    assert!(new["bytes_sent"].as_u64() > Some(0));
    // What the new interface had sent before it was first seen is not traffic of this tick.
    let sent = delta(&machine, "/proc/1/net/dev", "eth0:", 9);
    two.expect_rate("/bytes_sent_per_sec", sent);
    two.expect_rate("/bytes_recv_per_sec", delta(&machine, "/proc/1/net/dev", "eth0:", 1));
    let (at, eth0) = interface(&two.second, "eth0").unwrap();
    two.expect_rate(&format!("/interfaces/{at}/bytes_sent_per_sec"), sent);
    two.expect_rate(
        &format!("/interfaces/{at}/packets_recv_per_sec"),
        delta(&machine, "/proc/1/net/dev", "eth0:", 2),
    );
    // The kernel reports -1 for a virtual link's speed.
    assert_eq!((&eth0["state"], &eth0["speed_mbps"]), (&json!("up"), &Value::Null));
}

#[test]
fn network_totals_are_of_what_leads_outside() {
    for name in ["many", "arm64", "vm"] {
        let machine = Machine::new(name);
        let document = machine.two("network").second;
        let text = machine.text(SECOND, "/proc/1/net/dev");
        let (mut received, mut sent) = (0, 0);
        // These machines also have loopback, dummy and ifb interfaces, and a bridge.
        for line in text.lines().skip(2).filter(|line| line.trim_start().starts_with("eth0:")) {
            let words: Vec<&str> = line.split_whitespace().collect();
            received += words[1].parse::<u64>().unwrap();
            sent += words[9].parse::<u64>().unwrap();
        }
        assert_eq!(document["total_bytes_recv"], json!(received), "{name}");
        assert_eq!(document["total_bytes_sent"], json!(sent), "{name}");
    }
}

#[test]
fn sockets_are_counted_from_sockstat() {
    let machine = Machine::new("many");
    let document = machine.two("network").second;
    let value = |file: &str, protocol: &str, name: &str| {
        let text = machine.text(SECOND, file);
        let words = line(&text, 0, protocol);
        let at = words.iter().position(|word| *word == name).unwrap();
        words[at + 1].parse::<u64>().unwrap()
    };
    let udp =
        value("/proc/1/net/sockstat", "UDP:", "inuse") + value("/proc/1/net/sockstat6", "UDP6:", "inuse");
    let tcp =
        value("/proc/1/net/sockstat", "TCP:", "inuse") + value("/proc/1/net/sockstat6", "TCP6:", "inuse");
    let waiting = value("/proc/1/net/sockstat", "TCP:", "tw");
    assert_eq!(document["connections"]["udp"], json!(udp));
    assert_eq!(document["connections"]["time_wait"], json!(waiting));
    assert_eq!(document["connection_count"], json!(udp + tcp + waiting));
}

#[test]
fn disks_are_counted_once_however_they_are_stacked() {
    let machine = Machine::new("many");
    let two = machine.two("disk");
    // Disks and what is made of them; no partitions, no loop devices.
    let devices = ["dm-0", "nvme0n1", "vda", "vdb", "vdc", "vdd"];
    assert_eq!(keys(&two.second["devices"]), devices);
    let disks = &devices[1..];
    let total = |at| disks.iter().map(|disk| disk_delta(&machine, disk, at)).sum::<f64>();
    two.expect_rate("/io/read_bytes_per_sec", total(3) * 512.0);
    two.expect_rate("/io/write_bytes_per_sec", total(7) * 512.0);
    for device in devices {
        let rate = |field: &str, delta| two.expect_rate(&format!("/devices/{device}/{field}"), delta);
        rate("read_bytes_per_sec", disk_delta(&machine, device, 3) * 512.0);
        rate("write_iops", disk_delta(&machine, device, 5));
        let (reads, ms) = (disk_delta(&machine, device, 1), disk_delta(&machine, device, 4));
        let latency = &two.second["devices"][device]["read_latency_ms"];
        match latency.as_f64() {
            Some(latency) => assert!((latency - ms / reads).abs() <= 0.001, "{device}: {latency}"),
            None => assert_eq!(reads, 0.0, "{device}"),
        }
    }
    let read: u64 = disks
        .iter()
        .map(|disk| line(&machine.text(SECOND, "/proc/diskstats"), 2, disk)[5].parse::<u64>().unwrap())
        .sum();
    assert_eq!(two.second["io"]["read_bytes"], json!(read * 512));
}

#[test]
fn partitions_are_the_file_systems_that_hold_data_each_once() {
    let place = |partition: &Value| {
        let text = |field: &str| partition[field].as_str().unwrap().to_owned();
        (text("device"), text("mountpoint"), text("fstype"))
    };
    type Place<'a> = (&'a str, &'a str, &'a str);
    let expected: [(&str, &[Place<'_>]); 4] = [
        ("vm", &[("/dev/vda", "/", "ext4")]),
        (
            "many",
            &[
                ("/dev/vda1", "/", "ext4"),
                ("/dev/mapper/data", "/data", "ext4"),
                // Also mounted at "/mnt/one more", which is longer.
                ("/dev/nvme0n1p1", "/srv", "ext4"),
                ("/dev/loop0", "/mnt/loop", "ext2"),
            ],
        ),
        ("arm64", &[("/dev/vda1", "/", "ext4")]),
        ("bare", &[("rootfs", "/", "rootfs")]),
    ];
    for (name, expected) in expected {
        let document = Machine::new(name).two("disk").second;
        let found: Vec<_> = document["partitions"].as_array().unwrap().iter().map(place).collect();
        let expected: Vec<_> =
            expected.iter().map(|(a, b, c)| (a.to_string(), b.to_string(), c.to_string())).collect();
        assert_eq!(found, expected, "{name}");
        // Space on another machine's disks cannot be queried: unknown, not 0.
        assert_eq!(document["partitions"][0]["total_bytes"], Value::Null);
    }
}

#[test]
fn paging_per_second() {
    for name in ["vm", "many", "arm64", "bare"] {
        let machine = Machine::new(name);
        let two = machine.two("memory_bandwidth");
        let vmstat = |line| delta(&machine, "/proc/vmstat", line, 1);
        assert_eq!(two.second["available"], json!(true));
        for line in
            ["pgpgin", "pgpgout", "pswpin", "pswpout", "pgfault", "pgmajfault", "compact_stall", "oom_kill"]
        {
            two.expect_rate(&format!("/{line}_per_sec"), vmstat(line));
        }
        two.expect_rate("/page_io_bytes_per_sec", (vmstat("pgpgin") + vmstat("pgpgout")) * 1024.0);
        // Linux 6.12 has a counter of khugepaged's scans that 5.10 lacks.
        let khugepaged = if name == "bare" { 0.0 } else { vmstat("pgscan_khugepaged") };
        two.expect_rate("/pgscan_per_sec", vmstat("pgscan_kswapd") + vmstat("pgscan_direct") + khugepaged);
    }
}

#[test]
fn pressure_stalls() {
    for name in ["many", "arm64"] {
        let machine = Machine::new(name);
        let two = machine.two("pressure");
        for resource in ["cpu", "memory", "io"] {
            let total = |recording| {
                let text = machine.text(recording, &format!("/proc/pressure/{resource}"));
                line(&text, 0, "some")[4].strip_prefix("total=").unwrap().parse::<f64>().unwrap()
            };
            two.expect_rate(&format!("/{resource}/some/stalled_us_per_sec"), total(SECOND) - total(FIRST));
            let text = machine.text(SECOND, &format!("/proc/pressure/{resource}"));
            let avg10: f64 = line(&text, 0, "some")[1].strip_prefix("avg10=").unwrap().parse().unwrap();
            assert_eq!(two.second[resource]["some"]["avg10"], json!(avg10));
        }
    }
}
