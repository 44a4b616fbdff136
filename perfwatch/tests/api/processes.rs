//! One process over time.

use perfwatch::history::rollup::roll;
use perfwatch::snapshot::{MetricType, Reading};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::start;
use crate::readings::{self, reading};
use crate::server::{Server, body, detail, places};

/// 2026-01-02T00:00:00Z
const START: i64 = 1_767_312_000;

fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(START + seconds).unwrap()
}

fn lists(seconds: i64, top: &Value) -> Reading {
    let body = json!({"active": 40, "top": top, "cgroups": []});
    reading(MetricType::Processes, at(seconds), &body)
}

fn process(pid: u32, name: &str, cpu: f64, counted: Option<(u64, u64)>) -> Value {
    json!({
        "pid": pid, "comm": name, "user": "root", "uid": 0, "cgroup": "/a", "threads": 2, "exited": false,
        "rss_bytes": 4096, "cpu_percent": cpu, "runqueue_wait_ms_per_sec": 1.5, "context_switches_per_sec": 10.0,
        "read_bytes_per_sec": 100.0, "write_bytes_per_sec": null, "cycles": counted.map(|(cycles, _)| cycles),
        "instructions": counted.map(|(_, instructions)| instructions), 
        "ipc": counted.map(|(cycles, instructions)| instructions as f64 / cycles as f64), "llc_mpki": null,
        "branch_mpki": null, "dtlb_mpki": null,
    })
}

async fn ask(server: &Server, token: &str, query: &str) -> Value {
    body(server.get_as(token, &format!("/api/history/processes?{query}")).await, 200).await
}

#[tokio::test]
async fn a_process_is_followed_through_the_lists_it_stands_in() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    let all = [
        lists(0, &json!([process(7, "make \"x\"", 50.0, Some((1000, 3000))), process(8, "cc", 99.0, None)])),
        lists(5, &json!([process(7, "make \"x\"", 100.0, Some((1000, 1000)))])),
        lists(10, &json!([process(8, "cc", 99.0, None)])),
        lists(60, &json!([])),
        Reading::failed(MetricType::Processes, at(120), "no BTF"),
        lists(180, &json!([process(7, "other", 1.0, None)])),
    ];
    readings::store(&server.history, &all).await;
    let range = "start_time=1767312000&end_time=1767312200&interval=1m";
    let answer = ask(&server, &token, &format!("pid=7&{range}")).await;
    assert_eq!((&answer["pid"], &answer["name"], &answer["interval"]), (&json!(7), &Value::Null, &json!("1m")));
    assert_eq!((&answer["start_time"], &answer["count"]), (&json!("2026-01-02T00:00:00Z"), &json!(3)));
    assert_eq!((&answer["truncated"], &answer["names"]), (&json!(false), &json!(["make \"x\"", "other"])));
    let points = answer["data_points"].as_array().unwrap();
    let first = &points[0];
    assert_eq!(first["timestamp"], "2026-01-02T00:00:00Z");
    assert_eq!((&first["snapshots"], &first["listed"]), (&json!(3), &json!(2)));
    assert_eq!((&first["data"]["cpu_percent"], &first["max"]["cpu_percent"]), (&json!(75.0), &json!(100.0)));
    assert_eq!((&first["data"]["ipc"], &first["max"]["ipc"]), (&json!(2.0), &json!(3.0)));
    assert_eq!((&first["data"]["rss_bytes"], &first["data"]["write_bytes_per_sec"]), (&json!(4096.0), &Value::Null));
    assert_eq!(
        points[1],
        json!({"timestamp": "2026-01-02T00:01:00Z", "snapshots": 1, "listed": 0, "data": null, "max": null}),
        "there was a list without it"
    );
    assert_eq!(points[2]["timestamp"], "2026-01-02T00:03:00Z", "a source that failed made no list");

    let named = ask(&server, &token, &format!("pid=7&name=other&{range}")).await;
    let listed: Vec<_> = named["data_points"].as_array().unwrap().iter().map(|point| &point["listed"]).collect();
    assert_eq!(listed, [0, 0, 1]);
    let cut = ask(&server, &token, &format!("pid=7&{range}&limit=2")).await;
    assert_eq!((&cut["count"], &cut["truncated"]), (&json!(2), &json!(true)));
}

#[tokio::test]
async fn processes_of_one_name_are_added_up() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    let workers = |cpu: f64| {
        json!([process(1, "nginx", cpu, None), process(2, "nginx", cpu / 2.0, None), process(3, "cc", 9.0, None)])
    };
    readings::store(&server.history, &[lists(0, &workers(40.0)), lists(5, &workers(60.0))]).await;
    let answer = ask(&server, &token, "name=nginx&start_time=1767312000&end_time=1767312100&interval=30s").await;
    let point = &answer["data_points"][0];
    assert_eq!((&answer["count"], &answer["names"]), (&json!(1), &json!(["nginx"])));
    assert_eq!((&point["data"]["processes"], &point["data"]["cpu_percent"]), (&json!(2.0), &json!(75.0)));
    assert_eq!((&point["max"]["cpu_percent"], &point["data"]["threads"]), (&json!(90.0), &json!(4.0)));
}

#[tokio::test]
async fn long_ranges_lose_no_list() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    let all: Vec<Reading> = (0..24)
        .map(|tick| lists(tick * 5, &json!([process(7, "x", (tick % 12) as f64 + 10.0, None)])))
        .collect();
    readings::store(&server.history, &all).await;
    roll(&server.history, (START + 2 * 86_400) * 1_000_000).await.unwrap();
    for range in [
        "start_time=2026-01-02&end_time=2026-01-02T05:00:00Z&interval=5m",
        "start_time=2026-01-01T12:00:00Z&end_time=2026-01-02T12:00:00Z&interval=5m",
        "start_time=2026-01-01&end_time=2026-01-11&interval=1h",
        "start_time=2025-11-01&end_time=2026-01-11&interval=1d",
    ] {
        let answer = ask(&server, &token, &format!("pid=7&{range}")).await;
        assert_eq!(answer["count"], 1, "{range}");
        let point = &answer["data_points"][0];
        assert_eq!((&point["snapshots"], &point["listed"]), (&json!(24), &json!(24)), "{range}");
        assert_eq!((&point["data"]["cpu_percent"], &point["max"]["cpu_percent"]), (&json!(15.5), &json!(21.0)), "{range}");
    }
}

#[tokio::test]
async fn whoever_is_asked_for_must_be_named_readably() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    let range = "start_time=0&end_time=9";
    for (query, expected) in [
        (range.to_owned(), vec!["query.pid"]),
        (format!("pid=0&{range}"), vec!["query.pid"]),
        (format!("pid=-1&name=&{range}"), vec!["query.pid", "query.name"]),
        (format!("pid=99999999999&{range}"), vec!["query.pid"]),
        ("pid=1&limit=0".to_owned(), vec!["query.start_time", "query.end_time", "query.limit"]),
    ] {
        let answer = server.get_as(&token, &format!("/api/history/processes?{query}")).await;
        assert_eq!(places(answer).await, expected, "{query}");
    }
    let refusal = async |query: &str| {
        detail(server.get_as(&token, &format!("/api/history/processes?pid=1&{query}")).await, 400).await
    };
    assert_eq!(refusal("start_time=9&end_time=0").await, "start_time must be before end_time");
    assert!(refusal("start_time=0&end_time=9&interval=7s").await.starts_with("Invalid interval: 7s"));
    detail(server.get("/api/history/processes").await, 401).await;
}
