//! `/api/doctor`: the doctor's findings of the running server.

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
    let names: BTreeSet<_> =
        before["machine"].as_array().unwrap().iter().map(|finding| finding["name"].as_str().unwrap()).collect();
    for name in [
        "kernel", "environment", "btf", "capabilities", "perf_event_paranoid", "lockdown", "pmu", "nmi_watchdog",
        "psi", "bpf_stats",
    ] {
        assert!(names.contains(name), "{name} is missing in {names:?}");
    }
    assert_eq!(named(&before, "machine", "btf")["status"], "ok");
    assert_eq!(named(&before, "machine", "btf")["remedy"], Value::Null);
    let psi = named(&before, "machine", "psi");
    assert_eq!((&psi["status"], psi["remedy"].is_string()), (&json!("problem"), true), "{psi}");

    let counters = Report {
        state: State::Unavailable,
        reason: Some("not permitted".into()),
        remedy: Some("sudo setcap".into()),
        ..Report::active("counters", MetricType::PerfEvents, Method::Ebpf)
    };
    server.board.publish(vec![counters]);
    let events = json!({"events": {"cycles": {"value": null, "error": "EACCES"}, "cpu-clock": {"value": 1.0}}});
    server.hub.publish(&snapshot_of(&[(MetricType::PerfEvents, events)]));
    let after = body(server.get_as(&token, "/api/doctor").await, 200).await;
    assert_eq!(
        after["sources"],
        json!([{"name": "counters", "status": "problem", "detail": "unavailable: not permitted", "remedy": "sudo setcap"}])
    );
    let cycles = named(&after, "events", "cycles");
    assert_eq!(cycles, &json!({"name": "cycles", "status": "problem", "detail": "EACCES", "remedy": "sudo setcap"}));
    assert_eq!(named(&after, "events", "cpu-clock")["status"], "ok");
}
