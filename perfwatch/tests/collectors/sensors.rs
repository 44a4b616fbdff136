//! Frequencies and temperatures, which no recorded guest has: trees laid out as the kernel's
//! Documentation/admin-guide/pm/cpufreq.rst, hwmon/sysfs-interface.rst and driver-api/thermal/sysfs-api.rst say.

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
        // The same sensor again, which is not to be counted twice.
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
