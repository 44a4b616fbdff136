//! Every process of the machine: `/api/processes`.

use std::sync::Arc;
use std::time::Duration;

use perfwatch::api::Options;
use perfwatch::config::Roots;
use perfwatch::probes::sched::interval::{Interval, TaskInterval, Usage};
use serde_json::{Value, json};

use super::start_with;
use crate::server::{Server, Setup, body, detail, places};

/// A machine of three processes with its files in the directory, owned by whoever runs the test.
fn machine() -> (tempfile::TempDir, Setup) {
    let machine = tempfile::tempdir().unwrap();
    let put = |path: &str, text: &str| {
        let path = machine.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    for (pid, name, pages) in [(1, "systemd", 30), (7, "nginx", 20), (8, "nginx", 40)] {
        let stat = format!("{pid} ({name}) S 0 1 1 0 -1 0 1 1 1 1 9 9 0 0 20 0 1 0 {pid} 5 {pages} 1\n");
        put(&format!("proc/{pid}/stat"), &stat);
        put(&format!("proc/{pid}/cgroup"), &format!("0::/{name}.service\n"));
    }
    let at = |path: &str| machine.path().join(path);
    let options =
        Options { roots: Roots { procfs: at("proc"), sysfs: at("sys"), rootfs: at("") }, ..Options::default() };
    (machine, Setup { options, ..Setup::default() })
}

fn ran(pid: u32, comm: &[u8; 16], cpu_ns: u64, exited: bool) -> TaskInterval {
    let usage = Usage { cpu_ns, switches: 10, read_bytes: 4096, counters: [1000, 2000, 4, 0, 0], ..Usage::default() };
    TaskInterval { pid, tgid: pid, comm: *comm, uid: 0, cgroup: 5, usage, exited }
}

fn tick(server: &Server, timestamp: &str, tasks: Vec<TaskInterval>) {
    let used = tasks.iter().fold(Usage::default(), |sum, task| sum.plus(&task.usage));
    let elapsed = Duration::from_secs(2);
    let interval = Interval { elapsed, tasks, used, storage: true, counting: 0b111, ..Interval::default() };
    server.lister.ticked(timestamp, Some(&Arc::new(interval)));
}

fn pids(answer: &Value) -> Vec<u64> {
    let rows = answer["processes"].as_array().unwrap();
    rows.iter().map(|row| row["pid"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn idle_processes_are_listed_beside_those_that_ran() {
    let (_machine, setup) = machine();
    let Some(server) = start_with(setup).await else { return };
    let token = server.token().await;
    let before = body(server.get_as(&token, "/api/processes?sort=pid").await, 200).await;
    assert_eq!((pids(&before), &before["total"], &before["active"]), (vec![1, 7, 8], &Value::Null, &Value::Null));
    assert_eq!(before["processes"][0]["context_switches_per_sec"], Value::Null, "no tick has measured it yet");

    let tasks = vec![
        ran(8, b"nginx\0\0\0\0\0\0\0\0\0\0\0", 1_000_000_000, false),
        ran(99, b"cc\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 500_000_000, true),
    ];
    tick(&server, "2026-01-02T03:04:05Z", tasks);
    let answer = body(server.get_as(&token, "/api/processes").await, 200).await;
    assert_eq!((&answer["_timestamp"], &answer["elapsed_ms"]), (&json!("2026-01-02T03:04:05Z"), &json!(2000.0)));
    assert_eq!((&answer["active"], &answer["count"], &answer["truncated"]), (&json!(2), &json!(4), &json!(false)));
    assert_eq!((&answer["total"]["cpu_percent"], &answer["total"]["cycles"]), (&json!(75.0), &json!(2000)));
    assert_eq!(pids(&answer), [8, 99, 1, 7]);
    let mut busy = answer["processes"][0].clone();
    assert!(busy["rss_bytes"].as_u64() > Some(0));
    busy["rss_bytes"] = json!(null);
    busy["started"] = json!(null); // boot was at some time
    assert_eq!(
        busy,
        json!({
            "pid": 8, "comm": "nginx", "user": null, "uid": 0, "cgroup": "/nginx.service", "threads": 1,
            "exited": false, "rss_bytes": null, "cpu_percent": 50.0, "runqueue_wait_ms_per_sec": 0.0,
            "context_switches_per_sec": 5.0, "read_bytes_per_sec": 2048.0, "write_bytes_per_sec": 0.0,
            "cycles": 1000, "instructions": 2000, "ipc": 2.0, "llc_mpki": 2.0, "branch_mpki": null,
            "dtlb_mpki": null, "parent_pid": 0, "started": null, "executable": null, "command": null,
            "group": {"kind": "service", "name": "nginx.service", "runtime": null, "image": null, "pod": null, "namespace": null},
        })
    );
    let idle = &answer["processes"][2];
    assert_eq!((&idle["comm"], &idle["cgroup"]), (&json!("systemd"), &json!("/systemd.service")));
    assert_eq!((&idle["cpu_percent"], &idle["cycles"], &idle["ipc"]), (&json!(0.0), &json!(0), &json!(null)));
    assert_eq!((&idle["threads"], idle["rss_bytes"].as_u64() > Some(0)), (&json!(0), true));
    assert_eq!((&answer["processes"][1]["exited"], &answer["processes"][1]["rss_bytes"]), (&json!(true), &Value::Null));
}

#[tokio::test]
async fn a_list_is_ordered_searched_and_cut() {
    let (_machine, setup) = machine();
    let Some(server) = start_with(setup).await else { return };
    let token = server.token().await;
    tick(&server, "2026-01-02T03:04:05Z", Vec::new());
    let ask = async |query: &str| {
        body(server.get_as(&token, &format!("/api/processes?{query}")).await, 200).await
    };
    assert_eq!(pids(&ask("sort=rss_bytes").await), [8, 1, 7]);
    let found = ask("search=NGINX&sort=rss_bytes&limit=1").await;
    assert_eq!((pids(&found), &found["count"], &found["truncated"]), (vec![8], &json!(2), &json!(true)));
    assert_eq!(pids(&ask("search=1").await), [1]);
    let none = ask("search=no+such+thing").await;
    assert_eq!((pids(&none), &none["count"], &none["truncated"]), (Vec::new(), &json!(0), &json!(false)));
    assert_eq!(pids(&ask("search=").await).len(), 3);
}

#[tokio::test]
async fn whoever_asks_must_be_known_and_ask_readably() {
    let (_machine, setup) = machine();
    let Some(server) = start_with(setup).await else { return };
    let token = server.token().await;
    for (query, expected) in [
        ("limit=0", vec!["query.limit"]),
        ("limit=100001&sort=", vec!["query.limit", "query.sort"]),
        ("sort=password", vec!["query.sort"]),
    ] {
        let answer = server.get_as(&token, &format!("/api/processes?{query}")).await;
        assert_eq!(places(answer).await, expected, "{query}");
    }
    assert_eq!(detail(server.get("/api/processes?limit=0").await, 401).await, "Not authenticated");
    let posted = server.send_as(&token, reqwest::Method::POST, "/api/processes", &json!({})).await;
    assert_eq!(detail(posted, 405).await, "Method not allowed");
}

#[tokio::test]
async fn many_who_ask_at_once_all_get_the_list() {
    let (_machine, setup) = machine();
    let Some(server) = start_with(setup).await else { return };
    let token = server.token().await;
    tick(&server, "2026-01-02T03:04:05Z", Vec::new());
    // As many as one user may have waiting.
    let asked = (0..16).map(|_| server.get_as(&token, "/api/processes"));
    for answer in futures_util::future::join_all(asked).await {
        assert_eq!(pids(&body(answer, 200).await).len(), 3);
    }
}
