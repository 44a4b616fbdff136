//! Who used what over a range.

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

/// What was used in the five seconds before.
fn accounts(seconds: i64, processes: &Value) -> Reading {
    reading(MetricType::Usage, at(seconds), &json!({"elapsed_ms": 5000.0, "processes": processes}))
}

/// A process that used this share of a CPU in five seconds.
fn process(pid: u32, name: &str, percent: u64, counted: Option<(u64, u64)>) -> Value {
    json!({
        "cgroup": "/a", "comm": name, "pid": pid, "processes": 1, "exits": 0, "cpu_us": percent * 50_000,
        "runqueue_wait_us": 7500, "context_switches": 50, "read_bytes": 500, "write_bytes": null,
        "cycles": counted.map(|(cycles, _)| cycles), "instructions": counted.map(|(_, instructions)| instructions),
        "llc_misses": null, "branch_misses": null, "dtlb_misses": null, "rss_bytes": 4096, "minor_faults": null,
        "major_faults": null, "user": "root", "parent_pid": 1, "started": null, "executable": null,
        "command": format!("{name} --now"),
    })
}

async fn ask(server: &Server, token: &str, query: &str) -> Value {
    body(server.get_as(token, &format!("/api/history/processes?{query}")).await, 200).await
}

#[tokio::test]
async fn a_process_is_followed_over_time() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    let all = [
        accounts(0, &json!([process(7, "make \"x\"", 50, Some((1000, 3000))), process(8, "cc", 99, None)])),
        accounts(5, &json!([process(7, "make \"x\"", 100, Some((1000, 1000)))])),
        accounts(10, &json!([process(8, "cc", 99, None)])),
        accounts(60, &json!([])),
        Reading::failed(MetricType::Usage, at(120), "no BTF"),
        accounts(180, &json!([process(7, "other", 1, None)])),
    ];
    readings::store(&server.history, &all).await;
    let range = "start_time=1767312000&end_time=1767312200&interval=1m";
    let answer = ask(&server, &token, &format!("pid=7&{range}")).await;
    assert_eq!((&answer["pid"], &answer["name"], &answer["interval"]), (&json!(7), &Value::Null, &json!("1m")));
    assert_eq!((&answer["start_time"], &answer["count"]), (&json!("2026-01-02T00:00:00Z"), &json!(3)));
    assert_eq!((&answer["truncated"], &answer["names"]), (&json!(false), &json!(["make \"x\"", "other"])));
    let points = answer["data_points"].as_array().unwrap();
    let first = &points[0];
    assert_eq!((&first["timestamp"], &first["snapshots"]), (&json!("2026-01-02T00:00:00Z"), &json!(3)));
    assert_eq!((&first["data"]["cpu_percent"], &first["max"]["cpu_percent"]), (&json!(50.0), &json!(100.0)));
    assert_eq!((&first["data"]["ipc"], &first["data"]["llc_mpki"]), (&json!(2.0), &Value::Null));
    assert_eq!((&first["data"]["rss_bytes"], &first["data"]["write_bytes_per_sec"]), (&json!(4096.0), &Value::Null));
    assert_eq!(
        points[1],
        json!({"timestamp": "2026-01-02T00:01:00Z", "snapshots": 1, "data": null, "max": null}),
        "it used nothing"
    );
    assert_eq!(points[2]["timestamp"], "2026-01-02T00:03:00Z", "a source that failed measured nothing");

    let named = ask(&server, &token, &format!("pid=7&name=other&{range}")).await;
    let used: Vec<bool> = named["data_points"].as_array().unwrap().iter().map(|point| !point["data"].is_null()).collect();
    assert_eq!(used, [false, false, true]);
    let cut = ask(&server, &token, &format!("pid=7&{range}&limit=2")).await;
    assert_eq!((&cut["count"], &cut["truncated"]), (&json!(2), &json!(true)));
}

#[tokio::test]
async fn processes_of_one_name_are_added_up() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    let workers = |cpu: u64| {
        json!([process(1, "nginx", cpu, None), process(2, "nginx", cpu / 2, None), process(3, "cc", 9, None)])
    };
    readings::store(&server.history, &[accounts(0, &workers(40)), accounts(5, &workers(60))]).await;
    let answer = ask(&server, &token, "name=nginx&start_time=1767312000&end_time=1767312100&interval=30s").await;
    let point = &answer["data_points"][0];
    assert_eq!((&answer["count"], &answer["names"]), (&json!(1), &json!(["nginx"])));
    assert_eq!((&point["data"]["processes"], &point["data"]["cpu_percent"]), (&json!(2.0), &json!(75.0)));
    assert_eq!((&point["max"]["cpu_percent"], &point["data"]["rss_bytes"]), (&json!(90.0), &json!(8192.0)));
}

#[tokio::test]
async fn the_largest_are_ranked_and_the_parts_are_the_whole() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    let machine = json!([
        process(1, "nginx", 40, None), process(2, "nginx", 20, None), process(3, "cc", 90, None),
        {"cgroup": null, "comm": "", "pid": 0, "processes": 12, "exits": 5, "cpu_us": 500_000},
    ]);
    readings::store(&server.history, &[accounts(0, &machine), accounts(5, &machine)]).await;
    let range = "start_time=1767312000&end_time=1767312100";
    let answer = ask(&server, &token, &format!("{range}&limit=1")).await;
    assert_eq!((&answer["by"], &answer["order"]), (&json!("process"), &json!("cpu_percent")));
    assert_eq!((&answer["seconds"], &answer["count"], &answer["found"]), (&json!(10.0), &json!(1), &json!(3)));
    let row = &answer["rows"][0];
    assert_eq!((&row["pid"], &row["name"], &row["cgroup"]), (&json!(3), &json!("cc"), &json!("/a")));
    assert_eq!((&row["command"], &row["user"]), (&json!("cc --now"), &json!("root")));
    assert_eq!((&row["cpu_seconds"], &row["data"]["cpu_percent"]), (&json!(9.0), &json!(90.0)));
    assert_eq!((&answer["total"]["cpu_seconds"], &answer["other"]["cpu_seconds"]), (&json!(16.0), &json!(7.0)));
    assert_eq!(answer["total"]["exits"], json!(10.0));

    let names = |answer: &Value| -> Vec<String> {
        let rows = answer["rows"].as_array().unwrap().iter();
        rows.map(|row| format!("{}{}", row["name"].as_str().unwrap_or(""), row["cgroup"].as_str().unwrap_or(""))).collect()
    };
    assert_eq!(names(&ask(&server, &token, &format!("{range}&by=name")).await), ["cc/a", "nginx/a"]);
    assert_eq!(names(&ask(&server, &token, &format!("{range}&by=cgroup")).await), ["/a"]);
    let memory = ask(&server, &token, &format!("{range}&by=name&order=rss_bytes")).await;
    assert_eq!(names(&memory), ["nginx/a", "cc/a"]);
    let within = ask(&server, &token, &format!("{range}&by=process&name=nginx&cgroup=/a")).await;
    assert_eq!((within["rows"][0]["pid"].clone(), within["count"].clone()), (json!(1), json!(2)));
    assert_eq!(within["total"]["cpu_seconds"], json!(6.0));
    let nobody = ask(&server, &token, "start_time=0&end_time=100").await;
    assert_eq!((&nobody["seconds"], &nobody["rows"], &nobody["total"]["cpu_seconds"]), (&json!(0.0), &json!([]), &Value::Null));
}

#[tokio::test]
async fn long_ranges_lose_nothing() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    let all: Vec<Reading> =
        (0..24).map(|tick| accounts(tick * 5, &json!([process(7, "x", 10 + tick.unsigned_abs() % 12, None)]))).collect();
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
        assert_eq!(point["snapshots"], json!(24), "{range}");
        assert_eq!((&point["data"]["cpu_percent"], &point["max"]["cpu_percent"]), (&json!(15.5), &json!(21.0)), "{range}");
    }
}

#[tokio::test]
async fn whoever_is_asked_for_must_be_named_readably() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    let range = "start_time=0&end_time=9";
    for (query, expected) in [
        (format!("by=user&{range}"), vec!["query.by"]),
        (format!("order=beauty&{range}"), vec!["query.order"]),
        (format!("cgroup=a&{range}"), vec!["query.cgroup"]),
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

#[tokio::test]
async fn a_spike_is_explained_by_who_made_it() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    let all: Vec<Reading> = (0..120)
        .map(|tick| {
            let percent = if tick >= 100 { 180 } else { 2 };
            accounts(tick * 5, &json!([process(7, "hog", percent, None), process(8, "usual", 30, None)]))
        })
        .collect();
    readings::store(&server.history, &all).await;
    let ask = async |query: &str| server.get_as(&token, &format!("/api/history/explain?{query}")).await;
    // The spike is from 500 s to 595 s.
    let answer = body(ask("start_time=1767312500&end_time=1767312595").await, 200).await;
    assert_eq!((&answer["compare_to"], &answer["current"]["has_data"]), (&json!("before"), &json!(true)));
    let first = &answer["who"][0];
    assert_eq!((&first["name"], &first["cgroup"], &first["command"]), (&json!("hog"), &json!("/a"), &json!("hog --now")));
    let difference = &first["differences"][0];
    assert_eq!((&difference["field"], &difference["now"]), (&json!("cpu_percent"), &json!(180.0)));
    assert!(difference["before"].as_f64().unwrap() < 3.0, "{answer}");
    assert_eq!((answer["who"].as_array().unwrap().len(), &answer["events"]), (1, &json!([])));
    let yesterday = body(ask("start_time=1767312500&end_time=1767312595&compare_to=yesterday").await, 200).await;
    assert_eq!((&yesterday["who"], &yesterday["comparison"]["has_data"]), (&json!([]), &json!(false)));
    assert_eq!(places(ask("start_time=1767312500&compare_to=tomorrow").await).await, ["query.end_time", "query.compare_to"]);
    detail(ask("start_time=9&end_time=9").await, 400).await;
}
