//! Machines that lack a file: its collector reports that or does without, and the others are unaffected.

use perfwatch::collectors;
use perfwatch::snapshot::source::State;
use serde_json::{Value, json};

use crate::machine::{Machine, SECOND, sample, try_sample};

/// Every recorded file whose absence must not fail any collector.
const DISPENSABLE: [&str; 11] = [
    "/proc/loadavg",
    "/proc/diskstats",
    "/proc/cpuinfo",
    "/proc/sys/kernel/arch",
    "/proc/1/mountinfo",
    "/proc/1/net/sockstat",
    "/proc/1/net/sockstat6",
    "/proc/1/net/snmp",
    "/proc/pressure/cpu",
    "/sys/class/net/eth0/operstate",
    "/sys/devices/system/cpu/cpu0/topology/core_cpus_list",
];

/// The files that a collector cannot do without.
const INDISPENSABLE: [(&str, &[&str]); 4] = [
    ("/proc/stat", &["cpu"]),
    ("/proc/meminfo", &["memory"]),
    ("/proc/vmstat", &["memory_bandwidth"]),
    ("/proc/1/net/dev", &["network"]),
];

fn failing(machine: &Machine) -> Vec<(&'static str, String)> {
    let sources = collectors::all(&machine.roots());
    sources
        .into_iter()
        .filter_map(|mut source| try_sample(source.as_mut()).err().map(|error| (source.name(), error)))
        .collect()
}

#[test]
fn a_missing_file_fails_only_the_collector_that_lives_on_it() {
    for (path, collectors) in INDISPENSABLE {
        let machine = Machine::new("many");
        machine.remove(path);
        let failing = failing(&machine);
        let names: Vec<&str> = failing.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, collectors, "without {path}");
        let file = path.rsplit('/').next().unwrap();
        assert!(failing[0].1.contains(file), "{} names what is missing", failing[0].1);
    }
}

#[test]
fn a_collector_recovers_when_its_file_returns() {
    for (path, collectors) in INDISPENSABLE {
        let machine = Machine::new("many");
        machine.remove(path);
        let mut source = machine.source(collectors[0]);
        assert!(try_sample(source.as_mut()).is_err());
        machine.play(SECOND);
        assert_eq!(sample(source.as_mut())["_error"], Value::Null);
    }
}

#[test]
fn nothing_fails_without_the_files_that_are_dispensable() {
    for path in DISPENSABLE {
        let machine = Machine::new("many");
        machine.remove(path);
        assert_eq!(failing(&machine), [], "without {path}");
    }
    let machine = Machine::new("many");
    DISPENSABLE.into_iter().for_each(|path| machine.remove(path));
    assert_eq!(failing(&machine), []);
}

#[test]
fn what_is_not_known_is_null_and_not_zero() {
    let machine = Machine::new("many");
    DISPENSABLE.into_iter().for_each(|path| machine.remove(path));
    let cpu = sample(machine.source("cpu").as_mut());
    assert_eq!(cpu["load_avg"], Value::Null);
    let network = sample(machine.source("network").as_mut());
    assert_eq!(network["connection_count"], Value::Null);
    assert_eq!(network["connections"]["established"], Value::Null);
    assert_eq!(network["connections"]["udp"], Value::Null);
    assert_eq!(network["interfaces"][1]["state"], Value::Null);
    let disk = sample(machine.source("disk").as_mut());
    assert_eq!((&disk["partitions"], &disk["io"]["read_bytes"]), (&json!([]), &Value::Null));
    let reason = disk["reason"].as_str().unwrap();
    assert!(reason.contains("/diskstats") && reason.contains("/mountinfo"), "{reason}");
    assert_eq!(disk["devices"], json!({}));
}

#[test]
fn malformed_files_are_errors_that_name_the_file() {
    for (path, collectors) in INDISPENSABLE {
        // A line without its number is no counter: that collector has no data, which is not an error.
        let says_nothing = path == "/proc/vmstat";
        let machine = Machine::new("arm64");
        machine.write(path, "# removed by the administrator\n");
        let answer = try_sample(machine.source(collectors[0]).as_mut());
        match answer {
            Ok(document) => {
                assert!(says_nothing, "{path}: {document}");
                assert!(document.get("available").is_none_or(|available| *available == json!(false)));
            }
            Err(error) => assert!(error.contains(path.rsplit('/').next().unwrap()), "{error}"),
        }
    }
}

#[test]
fn pressure_says_why_there_is_none() {
    let machine = Machine::new("bare");
    let mut source = machine.source("pressure");
    let document = sample(source.as_mut());
    assert_eq!((&document["available"], &document["cpu"]), (&json!(false), &Value::Null));
    assert!(document["reason"].as_str().unwrap().contains("CONFIG_PSI"));
    let report = source.report();
    assert_eq!(report.state, State::Unavailable);
    assert!(report.remedy.unwrap().contains("psi=1"));
}

#[test]
fn one_pressure_file_of_three_costs_that_resource_and_is_named() {
    for (missing, text) in [("io", None), ("cpu", Some("")), ("memory", Some("some avg10=nan\n"))] {
        let machine = Machine::new("many");
        let path = format!("/proc/pressure/{missing}");
        match text {
            Some(text) => machine.write(&path, text),
            None => machine.remove(&path),
        }
        let mut source = machine.source("pressure");
        let document = sample(source.as_mut());
        assert_eq!((&document["available"], &document[missing]), (&json!(true), &Value::Null), "{missing}");
        let others = ["cpu", "memory", "io"].into_iter().filter(|resource| *resource != missing);
        others.for_each(|resource| assert!(document[resource]["some"]["avg10"].is_number(), "{resource}"));
        let reason = document["reason"].as_str().unwrap();
        assert!(reason.contains(&format!("pressure/{missing}")), "{reason}");
        assert!(!reason.contains("/proc/pressure does not exist"), "{reason}");
        let report = source.report();
        assert_eq!((report.state, report.reason.as_deref()), (State::Active, Some(reason)));
    }
}

#[test]
fn disks_or_mounts_that_are_missing_are_named_and_cost_nothing_else() {
    let machine = Machine::new("many");
    machine.remove("/proc/diskstats");
    let mut source = machine.source("disk");
    let document = sample(source.as_mut());
    assert!(document["partitions"].as_array().is_some_and(|partitions| !partitions.is_empty()));
    let report = source.report();
    assert!(report.state == State::Active && report.reason.unwrap().contains("diskstats"));
    machine.play(SECOND);
    assert!(sample(source.as_mut())["io"]["read_bytes"].is_number());
    assert_eq!(source.report().reason, None);
    assert_eq!(sample(source.as_mut())["reason"], Value::Null);

    let machine = Machine::new("many");
    machine.remove("/proc/1/mountinfo");
    let mut source = machine.source("disk");
    assert!(sample(source.as_mut())["io"]["read_bytes"].is_number());
    let report = source.report();
    assert!(report.state == State::Active && report.reason.unwrap().contains("mountinfo"));
    machine.play(SECOND);
    assert!(sample(source.as_mut())["partitions"].is_array());
    machine.remove("/proc/diskstats");
    machine.remove("/proc/1/mountinfo");
    let mut source = machine.source("disk");
    sample(source.as_mut());
    assert_eq!(source.report().state, State::Unavailable);
}
