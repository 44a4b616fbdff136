//! What no sequence of readings may cause: negative or invented rates, shares above 100%, panics.

use std::collections::BTreeMap;
use std::fmt::Write;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::machine::{Machine, sample, try_sample};

/// Readings by the name of the thing: an interface, a device, a CPU.
type Readings<const N: usize> = BTreeMap<usize, [u64; N]>;

/// Counters that mostly increase, and sometimes restart; those of a few devices that come and go.
fn readings<const N: usize>() -> impl Strategy<Value = Readings<N>> {
    let counter = prop_oneof![4 => 0..1u64 << 40, 1 => 0..1000u64, 1 => any::<u64>()];
    btree_map(0..6usize, vec(counter, N).prop_map(|counters| counters.try_into().unwrap()), 0..6)
}

const INTERFACES: [&str; 6] = ["lo", "eth0", "wlp3s0", "br-3f21", "veth1@if2", "tun0"];

fn net_dev(readings: &Readings<4>) -> String {
    let mut text = "Inter-|   Receive\n face |bytes packets\n".to_owned();
    for (interface, [received, packets_in, sent, packets_out]) in readings {
        let name = INTERFACES[*interface];
        writeln!(text, "{name}: {received} {packets_in} 0 0 0 0 0 0 {sent} {packets_out} 0 0 0 0 0 0")
            .unwrap();
    }
    text
}

const DISKS: [&str; 6] = ["vda", "sdb", "nvme0n1", "mmcblk0", "xvdaa", "sr0"];

fn diskstats(readings: &Readings<4>) -> String {
    let mut text = String::new();
    for (disk, [reads, sectors_read, writes, sectors_written]) in readings {
        let name = DISKS[*disk];
        writeln!(text, "8 {disk} {name} {reads} 0 {sectors_read} 1 {writes} 0 {sectors_written} 1 0 1 1")
            .unwrap();
    }
    text
}

fn stat(readings: &Readings<8>) -> String {
    let all = (0..8).map(|at| readings.values().fold(0, |sum: u64, times| sum.saturating_add(times[at])));
    let line = |name: String, times: &mut dyn Iterator<Item = u64>| {
        times.fold(name, |line, ticks| format!("{line} {ticks}")) + " 0 0\n"
    };
    let mut text = line("cpu ".into(), &mut all.into_iter());
    for (cpu, times) in readings {
        text += &line(format!("cpu{cpu}"), &mut times.iter().copied());
    }
    text + "ctxt 5\n"
}

/// What everything in both readings counted in between; `None` if any of it went back, or nothing counts.
fn total<const N: usize>(before: &Readings<N>, after: &Readings<N>, at: usize) -> Option<u64> {
    if after.is_empty() {
        return None;
    }
    let both = after.iter().filter_map(|(key, now)| Some((before.get(key)?[at], now[at])));
    both.map(|(before, now)| now.checked_sub(before)).try_fold(0u64, |sum, delta| sum.checked_add(delta?))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn network_rates_are_of_interfaces_seen_twice(before in readings::<4>(), after in readings::<4>()) {
        let machine = Machine::blank();
        machine.write("/proc/1/net/dev", &net_dev(&before));
        let two = machine.before_and_after("network", || machine.write("/proc/1/net/dev", &net_dev(&after)));
        // Bridge, pair and tunnel pass on what the two others count. A machine with only those has their traffic.
        let outside = |readings: &Readings<4>| -> Readings<4> {
            let hardware = [1, 2].iter().any(|key| after.contains_key(key));
            let counts = |key: &usize| if hardware { [1, 2].contains(key) } else { *key != 0 };
            readings.iter().filter(|(key, _)| counts(key)).map(|(key, counters)| (*key, *counters)).collect()
        };
        let expected = total(&outside(&before), &outside(&after), 0);
        match (expected, two.second["bytes_recv_per_sec"].as_f64()) {
            (Some(delta), Some(rate)) => prop_assert!(two.is_rate_of(delta as f64, rate), "{delta} {rate}"),
            (expected, rate) => prop_assert_eq!((expected, rate), (None, None)),
        }
        let interfaces = two.second["interfaces"].as_array().unwrap();
        prop_assert_eq!(interfaces.len(), after.len());
        for ((key, now), interface) in after.iter().zip(interfaces) {
            prop_assert_eq!(&interface["name"], INTERFACES[*key]);
            let delta = before.get(key).and_then(|before| now[2].checked_sub(before[2]));
            match (delta, interface["bytes_sent_per_sec"].as_f64()) {
                (Some(delta), Some(rate)) => prop_assert!(two.is_rate_of(delta as f64, rate), "{delta} {rate}"),
                (delta, rate) => prop_assert_eq!((delta, rate), (None, None)),
            }
        }
    }

    #[test]
    fn disk_rates_are_of_disks_seen_twice(before in readings::<4>(), after in readings::<4>()) {
        let machine = Machine::blank();
        machine.write("/proc/diskstats", &diskstats(&before));
        let two = machine.before_and_after("disk", || machine.write("/proc/diskstats", &diskstats(&after)));
        let bytes = total(&before, &after, 1).and_then(|sectors| sectors.checked_mul(512));
        match (bytes, two.second["io"]["read_bytes_per_sec"].as_f64()) {
            (Some(bytes), Some(rate)) => prop_assert!(two.is_rate_of(bytes as f64, rate), "{bytes} {rate}"),
            (expected, rate) => prop_assert_eq!((expected, rate), (None, None)),
        }
        for (key, now) in &after {
            let device = &two.second["devices"][DISKS[*key]];
            let counted = |at: usize| before.get(key).and_then(|before| now[at].checked_sub(before[at]));
            // A disk that was replaced has no rates at all, even of counters that happen to be higher now.
            let was_replaced = counted(0).is_none() || counted(2).is_none();
            prop_assert!(!was_replaced || device["write_bytes_per_sec"].is_null());
            prop_assert_eq!(device["read_iops"].is_null(), was_replaced);
        }
    }

    #[test]
    fn shares_of_cpu_time_are_parts_of_a_whole(before in readings::<8>(), after in readings::<8>()) {
        let machine = Machine::blank();
        machine.write("/proc/stat", &stat(&before));
        let two = machine.before_and_after("cpu", || machine.write("/proc/stat", &stat(&after)));
        let per_core = two.second["per_core"].as_array().unwrap();
        prop_assert_eq!(per_core.len(), after.keys().max().map_or(0, |last| last + 1));
        for (cpu, usage) in per_core.iter().enumerate() {
            let came_or_went = !before.contains_key(&cpu) || !after.contains_key(&cpu);
            prop_assert!(!came_or_went || usage.is_null(), "cpu{}: {}", cpu, usage);
            prop_assert!(usage.as_f64().is_none_or(|usage| (0.0..=100.0).contains(&usage)));
        }
        for share in ["usage_percent", "user", "system", "idle", "iowait", "steal", "softirq"] {
            let share = two.second[share].as_f64();
            prop_assert!(share.is_none_or(|share| (0.0..=100.0).contains(&share)), "{:?}", share);
        }
        prop_assert_eq!(&two.second["core_count"], &json!(after.len()));
    }

    #[test]
    fn a_part_of_memory_is_never_more_than_the_whole(
        total in 0..1u64 << 40, available: u64, swap_total in 0..1u64 << 40, swap_free: u64,
    ) {
        let machine = Machine::blank();
        let text = format!(
            "MemTotal: {total} kB\nMemAvailable: {available} kB\nSwapTotal: {swap_total} kB\nSwapFree: {swap_free} kB\n"
        );
        machine.write("/proc/meminfo", &text);
        let memory = sample(machine.source("memory").as_mut());
        for (part, whole) in [
            ("available_bytes", "total_bytes"),
            ("used_bytes", "total_bytes"),
            ("swap_used_bytes", "swap_total_bytes"),
            ("swap_free_bytes", "swap_total_bytes"),
        ] {
            let whole = memory[whole].as_u64().unwrap();
            prop_assert!(memory[part].as_u64().is_none_or(|part| part <= whole), "{part}");
        }
        for percent in ["usage_percent", "swap_percent"] {
            let percent = memory[percent].as_f64();
            prop_assert!(percent.is_none_or(|percent| (0.0..=100.0).contains(&percent)));
        }
        // What is not in the file is unknown.
        prop_assert!(memory["dirty_bytes"].is_null() && memory["hugepages_total"].is_null());
    }

    #[test]
    fn a_32_bit_kernel_counts_on_past_zero(from_the_end in 0..1u64 << 30, added in 0..1u64 << 31, wide: bool) {
        let machine = Machine::blank();
        machine.write("/proc/sys/kernel/arch", if wide { "aarch64\n" } else { "armv7l\n" });
        let begin = u64::from(u32::MAX) - from_the_end;
        let end = (begin + added) % (1 << 32);
        let vmstat = |count| format!("pgpgin {count}\npgpgout {count}\n");
        machine.write("/proc/vmstat", &vmstat(begin));
        let two = machine.before_and_after("memory_bandwidth", || machine.write("/proc/vmstat", &vmstat(end)));
        if wide && end < begin {
            // 64 bits do not wrap: the counter restarted.
            prop_assert_eq!(&two.second["pgpgin_per_sec"], &Value::Null);
            prop_assert_eq!(&two.second["page_io_bytes_per_sec"], &Value::Null);
        } else {
            two.expect_rate("/pgpgin_per_sec", added as f64);
            two.expect_rate("/page_io_bytes_per_sec", 2048.0 * added as f64);
        }
    }

    #[test]
    fn no_text_makes_a_collector_panic(
        text in "([a-z_]{0,8}[:=]? ?){0,3}([0-9]{0,22} ?){0,20}\n([a-z0-9 :.=|/-]{0,60}\n){0,6}", twice: bool,
    ) {
        const FILES: [(&str, &str); 12] = [
            ("cpu", "/proc/stat"),
            ("cpu", "/proc/loadavg"),
            ("cpu", "/proc/cpuinfo"),
            ("memory", "/proc/meminfo"),
            ("memory", "/proc/vmstat"),
            ("memory_bandwidth", "/proc/vmstat"),
            ("network", "/proc/1/net/dev"),
            ("network", "/proc/1/net/snmp"),
            ("network", "/proc/1/net/sockstat"),
            ("disk", "/proc/diskstats"),
            ("disk", "/proc/1/mountinfo"),
            ("pressure", "/proc/pressure/io"),
        ];
        for (collector, path) in FILES {
            let machine = Machine::new("bare");
            let mut source = machine.source(collector);
            if twice {
                let _ = try_sample(source.as_mut());
            }
            machine.write(path, &text);
            let _ = try_sample(source.as_mut());
        }
    }
}
