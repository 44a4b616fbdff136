//! Impossible numbers: kernels and emulations of `/proc` print unknown or negative values without their sign.

use serde_json::{Value, json};

use crate::machine::{Machine, sample};

fn memory(lines: &str) -> Value {
    let machine = Machine::blank();
    machine.write("/proc/meminfo", lines);
    sample(machine.source("memory").as_mut())
}

#[test]
fn free_swap_is_never_more_than_there_is() {
    // SwapTotal and SwapFree in KiB; free and used in KiB.
    for (total, free, expected) in [
        (0, u64::MAX, (0, 0)),
        (0, (1 << 54) - 4, (0, 0)),
        (2_000_000, 2_000_004, (2_000_000, 0)),
        (2_000_000, u64::MAX, (0, 2_000_000)),
        (2_000_000, (1 << 54) - 4096, (0, 2_000_000)),
        (2_000_000, 500_000, (500_000, 1_500_000)),
    ] {
        let document =
            memory(&format!("MemTotal: 16000000 kB\nSwapTotal: {total} kB\nSwapFree: {free} kB\n"));
        let found = (&document["swap_free_bytes"], &document["swap_used_bytes"]);
        let (free_kib, used_kib) = expected;
        assert_eq!(found, (&json!(free_kib * 1024), &json!(used_kib * 1024)), "{free} of {total}");
    }
}

#[test]
fn no_part_of_memory_is_more_than_the_whole() {
    let document = memory(
        "MemTotal: 16000000 kB\nMemFree: 4000000 kB\nMemAvailable: 100000000 kB\nBuffers: 18446744073709551612 kB\n\
         Cached: 17000000 kB\nShmem: 16000001 kB\nDirty: 18014398509481983 kB\nSlab: 1000 kB\n\
         HugePages_Total: 4\nHugePages_Free: 5\nHugePages_Rsvd: 18446744073709551615\n",
    );
    let kib = |kib: u64| json!(kib * 1024);
    assert_eq!(document["available_bytes"], kib(4_000_000), "as free(1) does");
    assert_eq!((&document["used_bytes"], &document["usage_percent"]), (&kib(12_000_000), &json!(75.0)));
    for unknown in [
        "buffers_bytes",
        "cached_bytes",
        "shared_bytes",
        "dirty_bytes",
        "hugepages_free",
        "hugepages_reserved",
    ] {
        assert_eq!(document[unknown], Value::Null, "{unknown}");
    }
    assert_eq!(document["slab_bytes"], kib(1000));
    let nothing = memory("MemTotal: 16000000 kB\nMemFree: 17000000 kB\nMemAvailable: 18000000 kB\n");
    assert_eq!((&nothing["available_bytes"], &nothing["used_bytes"]), (&Value::Null, &Value::Null));
}

#[test]
fn an_unknown_link_speed_is_null_in_any_width() {
    for speed in ["-1", "65535", "4294967295", "18446744073709551615", "0", "unknown"] {
        let machine = Machine::blank();
        machine.write("/proc/1/net/dev", "Inter-|\n face |\n eth0: 1 2 0 0 0 0 0 0 3 4 0 0 0 0 0 0\n");
        machine.write("/sys/class/net/eth0/operstate", "up\n");
        machine.write("/sys/class/net/eth0/speed", &format!("{speed}\n"));
        let document = sample(machine.source("network").as_mut());
        assert_eq!(document["interfaces"][0]["speed_mbps"], Value::Null, "{speed}");
    }
}

#[test]
fn totals_past_64_bits_are_not_known() {
    let machine = Machine::blank();
    let half = u64::MAX / 2 + 1;
    machine.write(
        "/proc/1/net/dev",
        &format!(
            "Inter-|\n face |\n eth0: {half} 2 0 0 0 0 0 0 3 4 0 0 0 0 0 0\n eth1: {half} 5 0 0 0 0 0 0 3 4 0 0 0 0 0 0\n"
        ),
    );
    let network = sample(machine.source("network").as_mut());
    assert_eq!((&network["total_bytes_recv"], &network["packets_recv"]), (&Value::Null, &json!(7)));
    machine.write("/proc/diskstats", &format!("8 0 sda 10 0 {half} 1 1 0 8 1 0 1 1\n"));
    let disk = sample(machine.source("disk").as_mut());
    assert_eq!((&disk["io"]["read_bytes"], &disk["io"]["write_bytes"]), (&Value::Null, &json!(4096)));
}

const CPUS: &str = "cpu0 250 2 125 25000\ncpu1 250 2 125 25000\n";
const LATER: &str = "cpu0 300 2 150 25125\ncpu1 300 2 150 25125\n";

fn cpu(before: &str, after: &str) -> Value {
    let machine = Machine::blank();
    machine.write("/proc/stat", before);
    machine.before_and_after("cpu", || machine.write("/proc/stat", after)).second
}

#[test]
fn a_total_that_is_no_number_is_the_sum_of_the_cpus() {
    for total in ["cpu  99999999999999999999 1 2 3\n", "cpu\n", "cpu x y z\n", ""] {
        let document = cpu(&format!("{total}{CPUS}"), &format!("{total}{LATER}"));
        assert_eq!(
            (&document["usage_percent"], &document["per_core"]),
            (&json!(37.5), &json!([37.5, 37.5])),
            "{total}"
        );
    }
}

#[test]
fn of_two_totals_the_true_one_counts() {
    let (before, after) = ("cpu 500 4 250 50000\n", "cpu 600 4 300 50250\n");
    let zeros = "cpu 0 0 0 0\n";
    for document in [
        cpu(&format!("{zeros}{before}{CPUS}"), &format!("{zeros}{after}{LATER}")),
        cpu(&format!("{before}{zeros}{CPUS}"), &format!("{after}{zeros}{LATER}")),
    ] {
        assert_eq!(document["usage_percent"], json!(37.5));
    }
}

#[test]
fn times_that_stand_still_are_no_share() {
    let zeros = "cpu 0 0 0 0 0 0 0 0 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0\n";
    let document = cpu(zeros, zeros);
    assert_eq!((&document["usage_percent"], &document["per_core"]), (&Value::Null, &json!([null])));
}

#[test]
fn times_that_go_back_are_unknown_and_move_no_other() {
    let before = "cpu 500 4 250 50000 80 0 0 70\n";
    for after in [
        "cpu 600 4 300 50250 70 0 0 70\n",
        "cpu 600 4 300 50250 80 0 0 60\n",
        // Stolen time that went below zero in the hypervisor.
        "cpu 600 4 300 50250 80 0 0 18446744073709551600\n",
    ] {
        let document = cpu(before, after);
        assert_eq!(document["usage_percent"], json!(37.5), "{after}");
        assert!(document["iowait"].is_null() || document["steal"].is_null(), "{after}");
    }
}

#[test]
fn a_file_that_is_cut_short_tells_what_it_has() {
    let machine = Machine::blank();
    machine.write("/proc/stat", "cpu 500 4 250 50000\ncpu0 250 2 125 25000\ncpu1 250 2 1");
    let document = sample(machine.source("cpu").as_mut());
    assert_eq!((&document["core_count"], &document["interrupts"]), (&json!(1), &Value::Null));
}

#[test]
fn cpus_keep_their_numbers_when_others_are_missing() {
    let document = cpu(
        "cpu 500 4 250 50000\ncpu0 250 2 125 25000\ncpu3 250 2 125 25000\n",
        "cpu 600 4 300 50250\ncpu0 300 2 150 25125\ncpu2 5 5 5 5\ncpu3 300 2 150 25125\n",
    );
    assert_eq!(document["per_core"], json!([37.5, null, null, 37.5]));
    assert_eq!(document["core_count"], json!(3));
}

#[test]
fn times_of_requests_pass_zero_every_seven_weeks() {
    let machine = Machine::blank();
    machine.write("/proc/sys/kernel/arch", "x86_64\n");
    // More columns than are known, and negative requests in flight.
    let line = |reads, ms| format!("8 0 sda {reads} 0 8000 {ms} 5 0 5 5 4294967295 5 5 1 2 3 4 5 6 7 8 9\n");
    machine.write("/proc/diskstats", &line(100, u32::MAX - 49).replace("4294967295", "-1"));
    let two = machine.before_and_after("disk", || machine.write("/proc/diskstats", &line(200, 50)));
    assert_eq!(two.second["devices"]["sda"]["read_latency_ms"], json!(1.0));
}
