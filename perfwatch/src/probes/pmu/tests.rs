//! Machines as their PMU drivers describe them in sysfs.

use super::*;

const MACHINES: &[(&str, &str)] = &[
    ("alder-lake", include_str!("machines/alder-lake.txt")),
    ("zen3", include_str!("machines/zen3.txt")),
    ("rk3399", include_str!("machines/rk3399.txt")),
];

/// The core PMUs of a machine: files of `/sys/bus/event_source/devices`, one a line, as printed by `grep -r ''`.
pub(in super::super) fn machine(name: &str) -> Vec<CorePmu> {
    let (_, files) = MACHINES.iter().find(|(machine, _)| *machine == name).unwrap();
    let directory = tempfile::tempdir().unwrap();
    for line in files.lines().filter(|line| !line.starts_with('#')) {
        let (path, text) = line.split_once(':').unwrap();
        let path = directory.path().join("bus/event_source/devices").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, format!("{text}\n")).unwrap();
    }
    core_pmus(&Roots { sysfs: directory.path().into(), ..Roots::default() })
}

#[test]
fn kinds_of_cores_are_told_apart_and_the_uncore_is_left_out() {
    let pmus = |name| {
        let list = |pmu: CorePmu| (pmu.name, pmu.kind, pmu.cpus.map(|cpus| cpus.to_string()));
        machine(name).into_iter().map(list).collect::<Vec<_>>()
    };
    let pmu = |name: &str, kind, cpus: &str| (name.to_owned(), kind, Some(cpus.to_owned()));
    assert_eq!(pmus("alder-lake"), [pmu("cpu_atom", 10, "16-23"), pmu("cpu_core", 4, "0-15")]);
    assert_eq!(pmus("zen3"), [("cpu".to_owned(), 4, None)]);
    assert_eq!(pmus("rk3399"), [pmu("armv8_cortex_a53", 7, "0-3"), pmu("armv8_cortex_a72", 8, "4-5")]);
    let atom = &machine("alder-lake")[0];
    assert!(atom.counts_on(16) && !atom.counts_on(15));
    assert!(machine("zen3")[0].counts_on(255));
}

#[test]
fn named_events_are_put_together_as_the_format_says() {
    let alder_lake = machine("alder-lake");
    let core = &alder_lake[1];
    assert_eq!(core.named("cpu-cycles"), Some([0x3c, 0, 0]));
    assert_eq!(core.named("mem-loads"), Some([0x1cd, 3, 0]));
    assert_eq!(core.named("no-such-event"), None);
    assert_eq!(machine("zen3")[0].named("cache-references"), Some([0xff60, 0, 0]));
}

#[test]
fn a_field_may_be_in_several_runs() {
    let format = bits("config:0-7,32-35").unwrap();
    let mut config = Config::default();
    deposit(&format, 0x1a9, &mut config);
    assert_eq!(config, [1 << 32 | 0xa9, 0, 0]);
    let mut config = Config::default();
    deposit(&bits("config1:0-63").unwrap(), u64::MAX, &mut config);
    assert_eq!(config, [0, u64::MAX, 0]);
    for bad in ["config", "config9:0", "config:8-1", "config:0-64", "config:x"] {
        assert_eq!(bits(bad), None, "{bad}");
    }
}

#[test]
fn an_empty_tree_has_no_pmu() {
    let directory = tempfile::tempdir().unwrap();
    let roots = Roots { sysfs: directory.path().into(), ..Roots::default() };
    assert_eq!(core_pmus(&roots), []);
}
