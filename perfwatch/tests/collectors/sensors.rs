//! Frequencies and temperatures, which no recorded guest has: trees laid out as described in the kernel's
//! Documentation/admin-guide/pm/cpufreq.rst, hwmon/sysfs-interface.rst and driver-api/thermal/sysfs-api.rst.

use serde_json::{Value, json};

use crate::machine::{Machine, sample};

const STAT: &str = "cpu 4 0 4 4\ncpu0 1 0 1 1\ncpu1 1 0 1 1\ncpu2 1 0 1 1\ncpu3 1 0 1 1\n";

fn machine(files: &[(&str, &str)]) -> Machine {
    let machine = Machine::blank();
    machine.write("/proc/stat", STAT);
    for (path, text) in files {
        machine.write(&format!("/sys/{path}"), text);
    }
    machine
}

#[test]
fn each_cpu_has_the_frequency_of_its_policy() {
    let machine = machine(&[
        ("devices/system/cpu/cpufreq/policy0/related_cpus", "0 2\n"),
        ("devices/system/cpu/cpufreq/policy0/scaling_cur_freq", "2400123\n"),
        ("devices/system/cpu/cpufreq/policy1/related_cpus", "1 3\n"),
        ("devices/system/cpu/cpufreq/policy1/scaling_cur_freq", "800000\n"),
    ]);
    let mut source = machine.source("cpu");
    assert_eq!(sample(source.as_mut())["frequency_mhz"], json!([2400.1, 800.0, 2400.1, 800.0]));
    machine.write("/sys/devices/system/cpu/cpufreq/policy1/scaling_cur_freq", "<unknown>\n");
    assert_eq!(sample(source.as_mut())["frequency_mhz"], json!([2400.1, null, 2400.1, null]));
    // CPU 3 goes offline.
    machine.write("/proc/stat", STAT.rsplit_once("cpu3").unwrap().0);
    machine.write("/sys/devices/system/cpu/cpufreq/policy1/scaling_cur_freq", "900000\n");
    assert_eq!(sample(source.as_mut())["frequency_mhz"], json!([2400.1, 900.0, 2400.1]));
}

#[test]
fn only_the_sensors_of_cpus_count() {
    let machine = machine(&[
        ("class/hwmon/hwmon0/name", "nvme\n"),
        ("class/hwmon/hwmon0/temp1_input", "99850\n"),
        ("class/hwmon/hwmon1/name", "coretemp\n"),
        ("class/hwmon/hwmon1/temp1_input", "45000\n"),
        ("class/hwmon/hwmon1/temp1_crit", "100000\n"),
        ("class/hwmon/hwmon1/temp2_input", "51500\n"),
        // The same sensor again, which must not be counted twice.
        ("class/thermal/thermal_zone0/type", "x86_pkg_temp\n"),
        ("class/thermal/thermal_zone0/temp", "45000\n"),
    ]);
    let document = sample(machine.source("cpu").as_mut());
    assert_eq!(document["temperature_celsius"], json!([45.0, 51.5]));
    assert_eq!(document["temperature"], json!(51.5));
}

#[test]
fn thermal_zones_stand_in_for_missing_chips() {
    let machine = machine(&[
        ("class/thermal/thermal_zone0/type", "gpu-thermal\n"),
        ("class/thermal/thermal_zone0/temp", "70000\n"),
        ("class/thermal/thermal_zone1/type", "cpu-thermal\n"),
        ("class/thermal/thermal_zone1/temp", "-3200\n"),
    ]);
    assert_eq!(sample(machine.source("cpu").as_mut())["temperature"], json!(-3.2));
    machine.remove("/sys/class/thermal/thermal_zone1/temp");
    assert_eq!(sample(machine.source("cpu").as_mut())["temperature"], Value::Null);
}

#[test]
fn a_sensor_that_refuses_keeps_its_place() {
    let machine = machine(&[
        ("class/hwmon/hwmon0/name", "coretemp\n"),
        ("class/hwmon/hwmon0/temp1_input", "50000\n"),
        ("class/hwmon/hwmon0/temp2_input", "41000\n"),
        ("class/hwmon/hwmon0/temp10_input", "90000\n"),
    ]);
    let mut source = machine.source("cpu");
    assert_eq!(sample(source.as_mut())["temperature_celsius"], json!([50.0, 41.0, 90.0]));
    for refusal in ["", "garbage\n", "\0\0\n"] {
        machine.write("/sys/class/hwmon/hwmon0/temp2_input", refusal);
        assert_eq!(sample(source.as_mut())["temperature_celsius"], json!([50.0, null, 90.0]), "{refusal:?}");
    }
    machine.write("/sys/class/hwmon/hwmon0/temp2_input", "42000\n");
    assert_eq!(sample(source.as_mut())["temperature_celsius"], json!([50.0, 42.0, 90.0]));
}

#[test]
fn what_silicon_cannot_have_is_no_temperature() {
    for impossible in
        ["65261850", "-274000", "-650789", "255000", "-128000", "9223372036854775807", "18446744073709551615"]
    {
        let machine = machine(&[
            ("class/hwmon/hwmon0/name", "k10temp\n"),
            ("class/hwmon/hwmon0/temp1_input", impossible),
            ("class/hwmon/hwmon0/temp2_input", "61000\n"),
        ]);
        let document = sample(machine.source("cpu").as_mut());
        assert_eq!(document["temperature_celsius"], json!([null, 61.0]), "{impossible}");
        assert_eq!(document["temperature"], json!(61.0));
        machine.remove("/sys/class/hwmon/hwmon0/temp2_input");
        assert_eq!(sample(machine.source("cpu").as_mut())["temperature"], Value::Null, "{impossible}");
        // Then the zone of the same CPU is used instead.
        machine.write("/sys/class/thermal/thermal_zone3/type", "CPU-therm\n");
        machine.write("/sys/class/thermal/thermal_zone3/temp", "41500\n");
        assert_eq!(sample(machine.source("cpu").as_mut())["temperature"], json!(41.5), "{impossible}");
    }
}

#[test]
fn the_hottest_cluster_of_an_arm_board_is_its_temperature() {
    let zones = [
        ("package", "60000"),
        ("bigcore0", "52000"),
        ("bigcore2", "78000"),
        ("littlecore", "47000"),
        ("center", "91000"),
        ("gpu", "95000"),
        ("npu", "96000"),
    ];
    let machine = machine(&[]);
    for (number, (zone, millidegrees)) in zones.iter().enumerate() {
        machine.write(&format!("/sys/class/hwmon/hwmon{number}/name"), &format!("{zone}_thermal\n"));
        machine.write(&format!("/sys/class/hwmon/hwmon{number}/temp1_input"), millidegrees);
    }
    let chips = sample(machine.source("cpu").as_mut());
    assert_eq!(chips["temperature_celsius"], json!([52.0, 78.0, 47.0, 60.0]));
    for (number, (zone, millidegrees)) in zones.iter().enumerate() {
        machine.write(&format!("/sys/class/thermal/thermal_zone{number}/type"), &format!("{zone}-thermal\n"));
        machine.write(&format!("/sys/class/thermal/thermal_zone{number}/temp"), millidegrees);
    }
    let both = sample(machine.source("cpu").as_mut());
    assert_eq!(both["temperature_celsius"], json!([52.0, 78.0, 47.0, 60.0]), "each once");
    assert_eq!(both["temperature"], json!(78.0));
}

#[test]
fn zones_are_known_in_any_spelling() {
    for (cpu, others) in [
        ("CPU-therm", ["AO-therm", "PMIC-Die", "GPU-therm", "thermal-fan-est"]),
        ("mtktscpu", ["mtktsbattery", "mtktspmic", "mtktsdram", "wifi"]),
        ("cpu-0-0-usr", ["gpu-thermal", "ddr-usr", "pm8998-thermal", "battery"]),
        ("BIG", ["G3D", "ISP", "TPU", "gpu"]),
        ("cpuss0_thermal", ["gpuss0_thermal", "memlat", "iwlwifi_1", "acpitz"]),
        ("soc_thermal", ["gpu_thermal", "ddr_thermal", "iwlwifi_1", "acpitz"]),
    ] {
        let machine = machine(&[]);
        for (number, zone) in others.iter().chain([&cpu]).enumerate() {
            let millidegrees = if *zone == cpu { "41500\n" } else { "100000\n" };
            machine.write(&format!("/sys/class/thermal/thermal_zone{number}/type"), &format!("{zone}\n"));
            machine.write(&format!("/sys/class/thermal/thermal_zone{number}/temp"), millidegrees);
        }
        assert_eq!(sample(machine.source("cpu").as_mut())["temperature_celsius"], json!([41.5]), "{cpu}");
    }
}

#[test]
fn labels_tell_a_true_reading_from_one_for_fans() {
    let sensor = |number: u32, file: &str| format!("/sys/class/hwmon/hwmon0/temp{number}_{file}");
    let machine = machine(&[("class/hwmon/hwmon0/name", "k10temp\n")]);
    for (number, label, millidegrees) in
        [(1, "Tctl", "97000\n"), (2, "Tdie", "70000\n"), (3, "Tccd1", "65000\n")]
    {
        machine.write(&sensor(number, "label"), &format!("{label}\n"));
        machine.write(&sensor(number, "input"), millidegrees);
    }
    assert_eq!(sample(machine.source("cpu").as_mut())["temperature"], json!(70.0));
    machine.remove(&sensor(2, "label"));
    machine.remove(&sensor(2, "input"));
    assert_eq!(
        sample(machine.source("cpu").as_mut())["temperature"],
        json!(97.0),
        "newer models have no other"
    );
}

#[test]
fn a_board_whose_chip_labels_the_cpu_has_that() {
    let machine = machine(&[
        ("class/hwmon/hwmon0/name", "nct6798\n"),
        ("class/hwmon/hwmon0/temp1_label", "SYSTIN\n"),
        ("class/hwmon/hwmon0/temp1_input", "99000\n"),
        ("class/hwmon/hwmon0/temp2_label", "CPUTIN\n"),
        ("class/hwmon/hwmon0/temp2_input", "48000\n"),
        ("class/hwmon/hwmon0/temp3_label", "CPU VRM\n"),
        ("class/hwmon/hwmon0/temp3_input", "80000\n"),
    ]);
    assert_eq!(sample(machine.source("cpu").as_mut())["temperature_celsius"], json!([48.0]));
}

#[test]
fn frequencies_that_cannot_be_are_not_known() {
    for unknown in ["<unknown>", "0", "-1", "4294967295", "18446744073709551615", ""] {
        let machine = machine(&[
            ("devices/system/cpu/cpufreq/policy0/related_cpus", "0 1\n"),
            ("devices/system/cpu/cpufreq/policy0/scaling_cur_freq", unknown),
            ("devices/system/cpu/cpufreq/policy2/related_cpus", "2 3\n"),
            ("devices/system/cpu/cpufreq/policy2/scaling_cur_freq", "2400000\n"),
        ]);
        let document = sample(machine.source("cpu").as_mut());
        assert_eq!(document["frequency_mhz"], json!([null, null, 2400.0, 2400.0]), "{unknown}");
    }
}
