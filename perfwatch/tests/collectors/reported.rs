//! More machines of the kinds in public bug reports of other monitors: what each showed wrongly is noted next to
//! it.

use serde_json::{Value, json};

use crate::machine::{Machine, sample};

const STAT: &str = "cpu 4 0 4 4\ncpu0 1 0 1 1\n";

/// The `cpu` document of a machine with these sensors: `/sys` files by path.
fn sensors(files: &[(&str, &str)]) -> Value {
    let machine = Machine::blank();
    machine.write("/proc/stat", STAT);
    files.iter().for_each(|(path, text)| machine.write(&format!("/sys/class/{path}"), text));
    sample(machine.source("cpu").as_mut())
}

/// A chip with its temperatures: label, or none, and millidegrees.
fn chip(number: usize, name: &str, temperatures: &[(&str, &str)]) -> Vec<(String, String)> {
    let folder = format!("hwmon/hwmon{number}");
    let mut files = vec![(format!("{folder}/name"), format!("{name}\n"))];
    for (at, (label, millidegrees)) in temperatures.iter().enumerate() {
        let at = at + 1;
        files.push((format!("{folder}/temp{at}_input"), format!("{millidegrees}\n")));
        if !label.is_empty() {
            files.push((format!("{folder}/temp{at}_label"), format!("{label}\n")));
        }
    }
    files
}

fn zone(number: usize, kind: &str, millidegrees: &str) -> Vec<(String, String)> {
    let folder = format!("thermal/thermal_zone{number}");
    vec![
        (format!("{folder}/type"), format!("{kind}\n")),
        (format!("{folder}/temp"), format!("{millidegrees}\n")),
    ]
}

fn of(files: &[Vec<(String, String)>]) -> Value {
    let files: Vec<(&str, &str)> =
        files.iter().flatten().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    sensors(&files)
}

#[test]
fn a_sensor_that_is_not_connected_is_no_temperature() {
    // lm-sensors 461 (127 °C all the time), netdata 682 (−55 °C: disabled), psutil 2551 (0 K), corsair-cpro 10.
    for end_of_scale in [
        "-55000",
        "-55500",
        "-60000",
        "-127000",
        "-128000",
        "-256000",
        "-273150",
        "-273000",
        "127000",
        "127500",
        "127900",
        "128000",
        "216000",
        "255000",
        "255500",
        "2147483647",
        "4294967295",
        "-2147483648",
    ] {
        let document = of(&[chip(0, "k10temp", &[("Tctl", "48000"), ("Tccd1", end_of_scale)])]);
        assert_eq!(document["temperature_celsius"], json!([48.0, null]), "{end_of_scale}");
        assert_eq!(document["temperature"], json!(48.0), "{end_of_scale}");
        let document = of(&[zone(0, "cpu-thermal", end_of_scale)]);
        assert_eq!(document["temperature"], Value::Null, "{end_of_scale}");
    }
    for possible in ["-40000", "0", "125000", "110500"] {
        let celsius = possible.parse::<f64>().unwrap() / 1e3;
        let document = of(&[zone(0, "cpu-thermal", possible)]);
        assert_eq!(document["temperature"], json!(celsius), "{possible}");
    }
}

#[test]
fn of_two_packages_the_hottest_core_counts() {
    let machine = Machine::blank();
    machine.write("/proc/stat", STAT);
    let package = |number, hottest| {
        chip(number, "coretemp", &[("Package id 0", "50000"), ("Core 0", "49000"), ("Core 9", hottest)])
    };
    let nvme = chip(0, "nvme", &[("Composite", "88850")]);
    for (path, text) in [nvme, package(1, "51000"), package(2, "93000")].concat() {
        machine.write(&format!("/sys/class/{path}"), &text);
    }
    let sysfs = machine.roots().sysfs;
    for (number, package) in [(1, 0), (2, 1)] {
        let device = sysfs.join(format!("devices/platform/coretemp.{package}"));
        std::fs::create_dir_all(&device).unwrap();
        std::os::unix::fs::symlink(device, sysfs.join(format!("class/hwmon/hwmon{number}/device"))).unwrap();
    }
    let document = sample(machine.source("cpu").as_mut());
    assert_eq!(document["temperature_celsius"], json!([50.0, 49.0, 51.0, 50.0, 49.0, 93.0]));
    assert_eq!(document["temperature"], json!(93.0));
}

#[test]
fn boards_have_their_cpu_whatever_their_zones_are_called() {
    // Names of CPU sensors, next to hotter ones that are not.
    for (cpus, others) in [
        (&["cpu0-thermal", "cpu1-thermal"][..], &["gpu-thermal", "soc_max"][..]),
        (&["bigcore0-thermal", "littlecore-thermal"], &["gpu-thermal", "npu-thermal", "center-thermal"]),
        (&["CPU-therm"], &["GPU-therm", "AUX-therm", "AO-therm", "PMIC-Die"]),
        (&["core-cluster"], &["ddr-controller", "serdes"]),
        (&["cls0"], &["pmic-thermal"]),
        (&["soc-thermal"], &["gpu-thermal"]),
        (&["soc_thermal"], &["gpu_thermal"]),
        (&["imx_thermal_zone"], &["battery"]),
        (&["main0-thermal"], &["ddr-thermal"]),
        (&["TCPU"], &["INT3400 Thermal", "SEN1", "pch_skylake", "iwlwifi_1"]),
    ] {
        let mut all: Vec<_> = others.iter().enumerate().map(|(at, kind)| zone(at, kind, "99000")).collect();
        for (at, kind) in cpus.iter().enumerate() {
            all.push(zone(others.len() + at, kind, if at == 0 { "61000" } else { "44000" }));
        }
        let document = of(&all);
        assert_eq!(document["temperature_celsius"].as_array().map(Vec::len), Some(cpus.len()), "{cpus:?}");
        assert_eq!(document["temperature"], json!(61.0), "{cpus:?}");
    }
}

#[test]
fn chips_of_other_architectures_are_known() {
    let power = [("Chip 0 Core 4", "61000"), ("Chip 0 DIMM 13", "80000"), ("Chip 8 GPU 0 Mem", "90000")];
    assert_eq!(of(&[chip(0, "ibmpowernv", &power)])["temperature_celsius"], json!([61.0]));
    let loongson = [("CPU 0 Temperature", "52000"), ("CPU 1 Temperature", "54000")];
    assert_eq!(of(&[chip(0, "cpu_hwmon", &loongson)])["temperature"], json!(54.0));
    let laptop = [("CPU", "62000"), ("Ambient", "70000"), ("SODIMM", "71000"), ("GPU", "72000")];
    assert_eq!(of(&[chip(0, "dell_smm", &laptop)])["temperature_celsius"], json!([62.0]));
    let drives = [chip(0, "drivetemp", &[("", "38000")]), chip(1, "amdgpu", &[("edge", "45000")])];
    assert_eq!(of(&drives)["temperature"], Value::Null, "neither is the CPU's");
}

#[test]
fn a_zone_that_refuses_hides_no_other() {
    // node_exporter 1703: ENODATA from one zone lost all data.
    let machine = Machine::blank();
    machine.write("/proc/stat", STAT);
    for (path, text) in [zone(0, "cpu0-thermal", "50000"), zone(1, "cpu1-thermal", "60000")].concat() {
        machine.write(&format!("/sys/class/{path}"), &text);
    }
    let mut source = machine.source("cpu");
    assert_eq!(sample(source.as_mut())["temperature_celsius"], json!([50.0, 60.0]));
    // Reading a folder fails, like reading a sensor that is switched off.
    machine.remove("/sys/class/thermal/thermal_zone0/temp");
    machine.write("/sys/class/thermal/thermal_zone0/temp/x", "");
    // The descriptor that is still open reads what was removed; a new source reopens it.
    assert_eq!(
        sample(machine.source("cpu").as_mut())["temperature_celsius"],
        json!([null, 60.0]),
        "each at its place"
    );
}

#[test]
fn loads_that_cannot_be_are_not_known() {
    for (text, known) in [
        ("0.00 0.01 0.05 1/80 11206\n", true),
        ("4096.50 0.01 0.05 1/80 11206\n", true),
        ("-1.00 0.01 0.05 1/80 11206\n", false),
        ("0.10 4294967295.99 0.05 1/80 11206\n", false),
        ("nan nan nan 1/80 11206\n", false),
        ("0.10 0.2", false),
        ("", false),
    ] {
        let machine = Machine::blank();
        machine.write("/proc/stat", STAT);
        machine.write("/proc/loadavg", text);
        assert_eq!(sample(machine.source("cpu").as_mut())["load_avg"].is_array(), known, "{text}");
    }
}

#[test]
fn memory_of_which_little_or_nonsense_is_told() {
    let memory = |text: &str| {
        let machine = Machine::blank();
        machine.write("/proc/meminfo", text);
        crate::machine::try_sample(machine.source("memory").as_mut())
    };
    // A kernel before 3.14: no MemAvailable.
    let old = memory("MemTotal: 1000 kB\nMemFree: 200 kB\nBuffers: 50 kB\nCached: 350 kB\nShmem: 100 kB\n");
    assert_eq!(old.unwrap()["available_bytes"], json!(500 * 1024));
    // lxcfs 84: more free and cached than exists.
    let more = memory("MemTotal: 1000 kB\nMemFree: 990 kB\nMemAvailable: 990 kB\nCached: 20 kB\n").unwrap();
    assert_eq!((&more["used_bytes"], &more["usage_percent"]), (&json!(10 * 1024), &json!(1.0)));
    // lxcfs 30: a file of zeros where the host has no memory controller. free(1) and top(1) divided by it.
    for nothing in ["MemTotal: 0 kB\nMemFree: 0 kB\n", "MemTotal: -1 kB\n", "MemFree: 5 kB\n", "\0\0\0\0"] {
        assert!(memory(nothing).unwrap_err().contains("meminfo"), "{nothing}");
    }
    let signed = memory("MemTotal: 1000 kB\nMemFree: -4 kB\nSwapTotal: -4 kB\nSwapFree: -1 kB\n").unwrap();
    for unknown in ["free_bytes", "swap_total_bytes", "swap_free_bytes", "swap_used_bytes", "swap_percent"] {
        assert_eq!(signed[unknown], Value::Null, "{unknown}");
    }
    let pages = memory(&format!("MemTotal: 1000 kB\nHugePages_Total: {}\nHugePages_Free: 1\n", u64::MAX));
    let pages = pages.unwrap();
    assert_eq!((&pages["hugepages_total"], &pages["hugepages_free"]), (&Value::Null, &Value::Null));
    // htop and others: disabled swap is 0 of 0, not unknown.
    let none = memory("MemTotal: 1000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n").unwrap();
    assert_eq!((&none["swap_used_bytes"], &none["swap_percent"]), (&json!(0), &json!(0.0)));
}

#[test]
fn lines_may_end_in_carriage_returns() {
    let crlf = |text: &str| text.replace('\n', "\r\n");
    let machine = Machine::blank();
    machine.write("/proc/stat", &crlf("cpu 4 0 4 4\ncpu0 1 0 1 1\nctxt 7\nprocs_running 2\n"));
    machine.write("/proc/loadavg", &crlf("0.10 0.20 0.30 1/100 1234\n"));
    machine.write("/proc/meminfo", &crlf("MemTotal: 100 kB\nMemFree: 50 kB\nHugePages_Total: 3\n"));
    machine.write("/proc/vmstat", &crlf("pgpgin 5\npgpgout 7\n"));
    machine.write("/proc/diskstats", &crlf("8 0 sda 10 0 80 5 5 0 5 5 0 5 5\n"));
    machine
        .write("/proc/1/net/dev", &crlf("Inter-|\n face |\n eth0: 1000 1 0 0 0 0 0 0 500 1 0 0 0 0 0 0\n"));
    machine.write("/proc/1/net/sockstat", &crlf("TCP: inuse 3 orphan 0 tw 7\nUDP: inuse 2\n"));
    machine.write("/proc/pressure/cpu", &crlf("some avg10=1.00 avg60=0.10 avg300=0.20 total=1000\n"));
    let of = |name: &str| sample(machine.source(name).as_mut());
    let cpu = of("cpu");
    assert_eq!((&cpu["core_count"], &cpu["processes_running"]), (&json!(1), &json!(2)));
    assert_eq!(cpu["load_avg"], json!([0.1, 0.2, 0.3]));
    assert_eq!(of("memory")["hugepages_total"], json!(3));
    assert_eq!(of("disk")["io"]["read_bytes"], json!(80 * 512));
    let network = of("network");
    assert_eq!((&network["total_bytes_recv"], &network["connections"]["udp"]), (&json!(1000), &json!(2)));
    assert_eq!(of("pressure")["cpu"]["some"]["avg10"], json!(1.0));
    assert_eq!(of("memory_bandwidth")["available"], json!(true));
}

#[test]
fn a_file_that_is_cut_anywhere_costs_what_is_cut_off_at_most() {
    let machine = Machine::new("many");
    let paths = [
        "/proc/stat",
        "/proc/meminfo",
        "/proc/vmstat",
        "/proc/diskstats",
        "/proc/1/net/dev",
        "/proc/1/mountinfo",
        "/proc/1/net/sockstat",
        "/proc/1/net/snmp",
        "/proc/loadavg",
        "/proc/pressure/io",
    ];
    for path in paths {
        let text = machine.text(crate::machine::FIRST, path);
        let mut sources: Vec<_> =
            perfwatch::collectors::REGISTRY.iter().map(|(name, _)| (*name, machine.source(name))).collect();
        // Every length up to the size of one call would take long: cuts of all kinds will do.
        for cut in (0..text.len()).step_by(text.len() / 40 + 1).chain([1, 2, text.len() - 1]) {
            for damaged in
                [text.as_bytes()[..cut].to_vec(), [&text.as_bytes()[..cut], b"\0\xff\xfe 7"].concat()]
            {
                machine.write_bytes(path, &damaged);
                for (name, source) in &mut sources {
                    // It may have no data, but then names the file; it does not panic.
                    if let Err(error) = crate::machine::try_sample(source.as_mut()) {
                        assert!(
                            path.contains(error.split(':').next().unwrap().rsplit('/').next().unwrap()),
                            "{name} at {cut} of {path}: {error}"
                        );
                    }
                }
            }
        }
        machine.write(path, &text);
    }
}

fn network(interfaces: &[(&str, u64)], files: &[(&str, &str)]) -> Value {
    let machine = Machine::blank();
    let mut text = "Inter-|\n face |\n".to_owned();
    for (name, bytes) in interfaces {
        text += &format!("{name}: {bytes} 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n");
    }
    machine.write("/proc/1/net/dev", &text);
    files.iter().for_each(|(path, text)| machine.write(&format!("/sys/class/net/{path}"), text));
    sample(machine.source("network").as_mut())
}

#[test]
fn everything_that_can_be_stacked_at_once_counts_once() {
    // htop 646 and 1469, netdata 18185 and 18384: totals of twice to four times the wire's.
    let interfaces = [
        ("lo", 7),
        ("eno1", 1000),
        ("eno2", 2000),
        ("bond0", 3000),
        ("bond0.20", 2500),
        ("br20", 2500),
        ("macvlan0", 40),
        ("macvtap3", 41),
        ("ipvl0", 42),
        ("wg0", 43),
        ("tun0", 44),
        ("tap7", 45),
        ("vethAbc", 46),
        ("vxlan100", 47),
        ("gre1", 48),
        ("gretap1", 49),
        ("dummy0", 50),
        ("ifb0", 51),
        ("team0", 52),
        ("docker0", 53),
        ("virbr0", 54),
        ("vnet12", 55),
        ("sit0", 56),
        ("ip6tnl0", 57),
        ("ovs-system", 58),
        ("geneve1", 59),
        ("bat0", 60),
        ("nlmon0", 61),
        ("macsec0", 62),
        ("hsr0", 63),
    ];
    let files = [
        ("eno1/device/vendor", "0x8086\n"),
        ("eno2/device/vendor", "0x8086\n"),
        ("bond0/bonding/mode", "802.3ad 4\n"),
        ("bond0.20/uevent", "DEVTYPE=vlan\n"),
        ("br20/bridge/bridge_id", "8000.0\n"),
        ("macvlan0/uevent", "DEVTYPE=macvlan\n"),
        ("macvtap3/tun_flags", "0x5002\n"),
        ("ipvl0/lower_eno1/mtu", "1500\n"),
        ("wg0/uevent", "DEVTYPE=wireguard\n"),
        ("tun0/tun_flags", "0x1001\n"),
        ("tap7/tun_flags", "0x5002\n"),
        ("macsec0/lower_eno1/mtu", "1500\n"),
        ("hsr0/lower_eno1/mtu", "1500\n"),
    ];
    let document = network(&interfaces, &files);
    assert_eq!(document["total_bytes_recv"], json!(3000));
    assert_eq!(document["interfaces"].as_array().unwrap().len(), interfaces.len(), "each is shown");
    // The same without /sys: names decide.
    let nameless: Vec<(&str, u64)> = interfaces
        .into_iter()
        .filter(|(name, _)| !["ipvl0", "bat0", "macsec0", "hsr0"].contains(name))
        .collect();
    assert_eq!(network(&nameless, &[])["total_bytes_recv"], json!(3000));
}

fn read_bytes(disks: &[(&str, u64)], files: &[&str]) -> Value {
    let machine = Machine::blank();
    let line = |(name, sectors): &(&str, u64)| format!("8 0 {name} 1 0 {sectors} 1 0 0 0 0 0 1 1\n");
    machine.write("/proc/diskstats", &disks.iter().map(line).collect::<String>());
    files.iter().for_each(|path| machine.write(&format!("/sys/block/{path}"), ""));
    sample(machine.source("disk").as_mut())["io"]["read_bytes"].clone()
}

#[test]
fn a_request_through_the_whole_stack_counts_once() {
    // beats 19766: 17 GB/s of disks that do 2.7, through dm-crypt on LVM on RAID.
    let all = [
        ("nvme0n1", 1000),
        ("nvme0n1p1", 1000),
        ("nvme1n1", 1000),
        ("md0", 2000),
        ("dm-0", 2000),
        ("dm-1", 2000),
        ("loop0", 50),
        ("zram0", 60),
        ("zd0", 70),
        ("zd0p1", 70),
        ("nbd0", 80),
        ("drbd0", 90),
        ("sr0", 0),
        ("mmcblk0", 10),
        ("mmcblk0p1", 9),
        ("mmcblk0boot0", 1),
        ("mmcblk0boot1", 0),
    ];
    let files = [
        "nvme0n1/nvme0n1p1/dev",
        "nvme1n1/dev",
        "md0/md/level",
        "md0/slaves/nvme0n1p1/dev",
        "md0/slaves/nvme1n1/dev",
        "dm-0/dm/name",
        "dm-0/slaves/md0/dev",
        "dm-1/dm/name",
        "dm-1/slaves/dm-0/dev",
        "loop0/loop/backing_file",
        "zram0/disksize",
        "zd0/zd0p1/dev",
        "nbd0/pid",
        "drbd0/drbd/x",
        "sr0/dev",
        "mmcblk0/mmcblk0p1/dev",
        "mmcblk0boot0/force_ro",
        "mmcblk0boot1/force_ro",
    ];
    // Boot partitions of eMMC are separate memory, whose requests the user area does not count.
    assert_eq!(read_bytes(&all, &files), json!(2011 * 512));
    // Synology names its disks sata1.
    let synology = ["sata1/sata1p1/dev", "md2/md/level", "md2/slaves/sata1p1/dev"];
    assert_eq!(read_bytes(&[("sata1", 100), ("sata1p1", 100), ("md2", 100)], &synology), json!(100 * 512));
    // Ceph's disks have no hardware on this machine, and no other device counts their requests.
    let ceph = ["vda/dev", "rbd0/rbd0p1/dev"];
    assert_eq!(read_bytes(&[("vda", 100), ("rbd0", 50), ("rbd0p1", 50)], &ceph), json!(150 * 512));
}
