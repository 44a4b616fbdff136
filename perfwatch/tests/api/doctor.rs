//! `/api/doctor`: the doctor's findings for the running server.

use std::collections::BTreeSet;

use perfwatch::api::Options;
use perfwatch::config::Roots;
use perfwatch::snapshot::MetricType;
use perfwatch::snapshot::source::{Method, Report, State};
use serde_json::{Value, json};

use super::start_with;
use crate::server::{Setup, body, snapshot_of};

fn named<'a>(findings: &'a Value, list: &str, name: &str) -> &'a Value {
    let mut listed = findings[list].as_array().unwrap().iter();
    listed.find(|finding| finding["name"] == name).unwrap_or_else(|| panic!("no {name} in {findings}"))
}

#[tokio::test]
async fn machine_sources_and_events_are_told_with_reason_and_remedy() {
    let machine = tempfile::tempdir().unwrap();
    let roots = Roots { procfs: machine.path().join("proc"), sysfs: machine.path().into(), rootfs: "/".into() };
    std::fs::create_dir_all(machine.path().join("kernel/btf")).unwrap();
    std::fs::write(machine.path().join("kernel/btf/vmlinux"), "").unwrap();
    let options = Options { roots, ..Options::default() };
    let Some(server) = start_with(Setup { options, ..Setup::default() }).await else { return };
    let token = server.token().await;

    let before = body(server.get_as(&token, "/api/doctor").await, 200).await;
    assert_eq!((&before["sources"], &before["events"]), (&json!([]), &json!([])));
    let names = |list: &str| -> BTreeSet<String> {
        let listed = before[list].as_array().unwrap().iter();
        listed.map(|finding| finding["name"].as_str().unwrap().to_owned()).collect()
    };
    let machine = ["kernel", "environment", "btf", "capabilities", "lockdown", "pmu", "nmi_watchdog", "procfs"];
    for name in machine {
        assert!(names("machine").contains(name), "{name} is missing in {before}");
    }
    for name in ["database", "write access", "free space", "recording"] {
        assert!(names("store").contains(name), "{name} is missing in {before}");
    }
    assert_eq!(named(&before, "machine", "btf")["status"], "ok");
    assert_eq!(named(&before, "machine", "btf")["remedy"], Value::Null);
    // The tree has no /proc: one problem, whatever else is missing.
    let procfs = named(&before, "machine", "procfs");
    assert_eq!((&procfs["status"], procfs["remedy"].is_string()), (&json!("problem"), true), "{procfs}");
    assert_eq!(before["summary"]["to_fix"], before["problems"].as_array().unwrap().len());

    let refused = |name, metric_type| Report {
        state: State::Unavailable,
        reason: Some("not permitted".into()),
        remedy: Some("sudo setcap".into()),
        ..Report::active(name, metric_type, Method::Ebpf)
    };
    let reports = [refused("counters", MetricType::PerfEvents), refused("tcp", MetricType::Tcp)];
    server.source_status.publish(reports.into());
    let events = json!({"events": {
        "cycles": {"value": null, "error": "EACCES"},
        "branches": {"value": null, "error": "EACCES"},
        "cpu-clock": {"value": 1.0},
    }});
    server.hub.publish(&snapshot_of(&[(MetricType::PerfEvents, events)]));
    let after = body(server.get_as(&token, "/api/doctor").await, 200).await;
    let counters = json!({"name": "counters", "status": "problem", "detail": "unavailable: not permitted", "remedy": "sudo setcap"});
    assert_eq!(named(&after, "sources", "counters"), &counters);
    assert_eq!(named(&after, "events", "2 events")["detail"], "EACCES: branches, cycles");
    assert_eq!(named(&after, "events", "1 event"), &json!({"name": "1 event", "status": "ok", "detail": "cpu-clock", "remedy": null}));
    // One fix, one problem.
    let mut problems = after["problems"].as_array().unwrap().iter();
    let problem = problems.find(|problem| problem["remedy"] == "sudo setcap").unwrap();
    assert_eq!(problem["affects"], json!(["counters", "tcp", "2 events"]));
    assert!(!problems.any(|problem| problem["remedy"] == "sudo setcap"), "{after}");
}
