use std::time::Duration;

use serde_json::{Value, json};

use super::super::derive::Details;
use super::super::testing::Machine;
use super::super::walk::Used;
use super::*;

fn present(pid: u32, cpu: Option<f64>, storage: Option<f64>, cgroup: Option<&str>) -> Present {
    let details = Details {
        user: Some("me".into()),
        cgroup: cgroup.map(str::to_owned),
        rss_bytes: Some(u64::from(pid) * 4096),
    };
    let used = Used { cpu_percent: cpu, read_bytes_per_sec: storage, write_bytes_per_sec: storage };
    Present { pid, comm: format!("p{pid}"), uid: 1000, threads: 2, details, used }
}

fn document(present: Vec<Present>, total: Option<f64>) -> Value {
    let walk =
        Walk { elapsed: Some(Duration::from_secs(2)), present, hidden: Some(3), total_cpu_percent: total };
    serde_json::to_value(Ranking::of(&walk).document(&walk, Vec::new())).unwrap()
}

fn pids(document: &Value) -> Vec<u64> {
    document["top"].as_array().unwrap().iter().map(|row| row["pid"].as_u64().unwrap()).collect()
}

#[test]
fn processes_have_cpu_memory_and_storage_and_the_rest_is_null() {
    let document = document(
        vec![
            present(1, Some(0.0), Some(0.0), Some("/init")),
            present(7, Some(50.0), Some(1000.0), Some("/jobs")),
            present(8, Some(30.0), Some(0.0), Some("/jobs")),
        ],
        Some(95.0),
    );
    assert_eq!(pids(&document), [7, 8, 1], "idle ones fill the list");
    let busy = &document["top"][0];
    assert_eq!(
        (&busy["cpu_percent"], &busy["rss_bytes"], &busy["threads"]),
        (&json!(50.0), &json!(28672), &json!(2))
    );
    assert_eq!((&busy["read_bytes_per_sec"], &busy["user"]), (&json!(1000.0), &json!("me")));
    for unknown in ["runqueue_wait_ms_per_sec", "context_switches_per_sec", "cycles", "ipc"] {
        assert_eq!(busy[unknown], Value::Null, "{unknown}");
    }
    assert_eq!(
        (&document["elapsed_ms"], &document["active"], &document["hidden"]),
        (&json!(2000.0), &json!(2), &json!(3))
    );
    for unknown in ["forks_per_sec", "execs_per_sec", "exits_per_sec", "evicted", "counters_running_ratio"] {
        assert_eq!(document[unknown], Value::Null, "{unknown}");
    }
    assert_eq!(document["total"]["cpu_percent"], json!(95.0));
    assert_eq!((&document["other"]["count"], &document["other"]["cpu_percent"]), (&json!(0), &json!(15.0)));
    let groups = document["cgroups"].as_array().unwrap();
    assert_eq!(
        (&groups[0]["cgroup"], &groups[0]["processes"], &groups[0]["cpu_percent"]),
        (&json!("/jobs"), &json!(2), &json!(80.0))
    );
}

#[test]
fn storage_traffic_that_is_known_of_some_is_no_sum() {
    let document = document(
        vec![present(1, Some(1.0), None, Some("/a")), present(2, Some(2.0), Some(5.0), Some("/b"))],
        Some(3.0),
    );
    assert_eq!(document["total"]["read_bytes_per_sec"], Value::Null);
    assert_eq!(document["top"][0]["read_bytes_per_sec"], json!(5.0));
    assert_eq!(document["cgroups"][0]["read_bytes_per_sec"], json!(5.0));
    assert_eq!(document["cgroups"][1]["read_bytes_per_sec"], Value::Null);
}

#[test]
fn of_ten_thousand_cgroups_the_busiest_are_listed_and_the_others_added_up() {
    let group = |pid: u32| format!("/jobs/{pid}");
    let present = |pid| present(pid, Some(f64::from(pid)), Some(0.0), Some(&group(pid)));
    let document = document((1..=10_000).map(present).collect(), Some(50_005_000.0));
    let groups = document["cgroups"].as_array().unwrap();
    assert_eq!((groups.len(), &groups[0]["cgroup"]), (TOP_CGROUPS, &json!("/jobs/10000")));
    assert_eq!(document["other_cgroups"]["count"], json!(10_000 - TOP_CGROUPS));
    let listed: f64 = groups.iter().map(|group| group["cpu_percent"].as_f64().unwrap()).sum();
    assert_eq!(document["other_cgroups"]["cpu_percent"], json!(50_005_000.0 - listed));
    assert_eq!(pids(&document).len(), TOP);
}

#[test]
fn the_busiest_come_first_and_then_those_with_the_most_storage_traffic() {
    let mut all: Vec<Present> =
        (1..=40).map(|pid| present(pid, Some(f64::from(100 - pid)), Some(0.0), None)).collect();
    all[38].used.write_bytes_per_sec = Some(5e6);
    all[39].used.cpu_percent = Some(0.0);
    let document = document(all, None);
    let listed = pids(&document);
    assert_eq!((listed.len(), listed[0], listed[19], listed[20]), (21, 1, 20, 39));
    assert_eq!(document["other"]["count"], json!(18), "one is idle");
    assert_eq!(
        (&document["total"]["cpu_percent"], &document["other"]["cpu_percent"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(document["cgroups"], json!([]));
}

#[test]
fn a_first_walk_claims_nothing() {
    let walk = Walk { present: vec![present(1, None, None, None)], hidden: Some(0), ..Walk::default() };
    let document = serde_json::to_value(Ranking::of(&walk).document(&walk, Vec::new())).unwrap();
    assert_eq!(
        (&document["elapsed_ms"], &document["active"], &document["top"]),
        (&Value::Null, &Value::Null, &json!([]))
    );
}

#[test]
fn all_cpu_time_is_that_of_the_machine() {
    let machine = Machine::new();
    machine.process(1, "init", 5, 1, "/");
    machine.put("proc/stat", "cpu 100 0 50 900 0 7 7 0 0 0\n");
    let mut names = Names::new(&machine.roots());
    let mut procfs = FromProcfs::new(&machine.roots());
    let mut walk = |forget: bool| {
        if forget {
            procfs.forget();
        }
        procfs.newest = None; // as if it had rested
        procfs.walk(&mut names)
    };
    assert_eq!(walk(false).total_cpu_percent, None);
    machine.put("proc/stat", "cpu 100100 0 50 900 0 7 7 0 0 0\n");
    let second = walk(false);
    assert!(second.total_cpu_percent > Some(0.0) && second.elapsed.is_some());
    machine.put("proc/stat", "cpu 100101 0 50 900 0 7 7 0 0 0\n");
    machine.process(1, "init", 1_000_005, 1, "/");
    let third = walk(false);
    assert_eq!(
        third.total_cpu_percent, third.present[0].used.cpu_percent,
        "a part is never more than the whole"
    );
    machine.put("proc/stat", "cpu 1 0 0 0 0 0 0 0 0 0\n");
    assert_eq!(walk(false).total_cpu_percent, None, "it began anew");
    assert_eq!(walk(true).elapsed, None);
}

#[test]
fn a_walk_that_took_long_stands_for_a_while() {
    let machine = Machine::new();
    machine.process(1, "init", 5, 1, "/");
    let mut names = Names::new(&machine.roots());
    let mut procfs = FromProcfs::new(&machine.roots());
    let first = procfs.walk(&mut names);
    procfs.newest.as_mut().unwrap().took = Duration::from_secs(3600);
    assert!(Arc::ptr_eq(&first, &procfs.walk(&mut names)));
    let newest = procfs.newest.as_ref().unwrap();
    assert!(newest.stands(newest.began + Duration::from_secs(19 * 3600)));
    assert!(!newest.stands(newest.began + Duration::from_secs(20 * 3600)));
    procfs.newest.as_mut().unwrap().took = Duration::ZERO;
    assert!(!Arc::ptr_eq(&first, &procfs.walk(&mut names)));
}
