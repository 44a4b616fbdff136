//! History and comparison.

use std::io::Read;

use perfwatch::host::Host;
use perfwatch::host::facts::Facts;
use perfwatch::snapshot::{MetricType, Reading};
use reqwest::Method;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::start;
use crate::readings::{self, reading};
use crate::server::{Server, body, detail, places, snapshot};

/// 2026-01-02T00:00:00Z
const START: i64 = 1_767_312_000;

fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(START + seconds).unwrap()
}

fn cpu(at: OffsetDateTime, usage: f64) -> Reading {
    reading(MetricType::Cpu, at, &json!({"usage_percent": usage, "per_core": [usage, 0.0]}))
}

async fn with_two_minutes(server: &Server) -> String {
    let two_minutes: Vec<Reading> = (0..24).map(|tick| cpu(at(tick * 5), tick as f64)).collect();
    readings::store(&server.history, &two_minutes).await;
    server.token().await
}

async fn metrics(server: &Server, token: &str, query: &str) -> Value {
    body(server.get_as(token, &format!("/api/history/metrics?metric_type=cpu&{query}")).await, 200).await
}

#[tokio::test]
async fn points_come_in_order_with_both_ends_and_say_how_many() {
    let Some(server) = start().await else { return };
    let token = with_two_minutes(&server).await;
    let answer = metrics(&server, &token, "start_time=2026-01-02T00:00:05Z&end_time=2026-01-02T00:00:15Z").await;
    assert_eq!((&answer["metric_type"], &answer["interval"]), (&json!("cpu"), &json!("5s")));
    assert_eq!(answer["start_time"], "2026-01-02T00:00:05Z");
    assert_eq!(answer["end_time"], "2026-01-02T00:00:15Z");
    assert_eq!((&answer["count"], &answer["truncated"]), (&json!(3), &json!(false)));
    let points = answer["data_points"].as_array().unwrap();
    let times: Vec<&str> = points.iter().map(|point| point["timestamp"].as_str().unwrap()).collect();
    assert_eq!(times, ["2026-01-02T00:00:05Z", "2026-01-02T00:00:10Z", "2026-01-02T00:00:15Z"]);
    assert_eq!(points[0]["data"]["usage_percent"], 1.0);
    assert_eq!(points[0].as_object().unwrap().len(), 2, "no statistics unless asked for");
}

#[tokio::test]
async fn every_snapshot_is_a_point_and_so_is_the_whole_range() {
    let Some(server) = start().await else { return };
    let each_second: Vec<Reading> = (0..30).map(|tick| cpu(at(tick), tick as f64)).collect();
    readings::store(&server.history, &each_second).await;
    let token = server.token().await;
    let span = "start_time=2026-01-02T00:00:10Z&end_time=2026-01-02T00:00:19.999Z&stats=min,max,count";
    let answer = metrics(&server, &token, &format!("{span}&interval=1s")).await;
    assert_eq!((&answer["interval"], &answer["count"]), (&json!("1s"), &json!(10)));
    let answer = metrics(&server, &token, &format!("{span}&interval=range")).await;
    assert_eq!((&answer["interval"], &answer["count"]), (&json!("range"), &json!(1)));
    let point = &answer["data_points"][0];
    assert_eq!((&point["timestamp"], &point["count"]), (&json!("2026-01-02T00:00:10Z"), &json!(10)));
    let of = |part: &str| point[part]["usage_percent"].as_f64();
    assert_eq!((of("data"), of("min"), of("max")), (Some(14.5), Some(10.0), Some(19.0)));
}

#[tokio::test]
async fn a_field_of_an_object_is_found_without_the_rest_of_it() {
    let Some(server) = start().await else { return };
    let disk = |tick: i64| {
        let document = json!({"io": {"read_bytes_per_sec": tick as f64 + 0.25, "write_bytes_per_sec": 1},
                              "devices": {"vda": {"read_iops": tick as f64 + 0.25}}, "partitions": []});
        reading(MetricType::Disk, at(tick * 5), &document)
    };
    let pressure = |tick: i64| {
        let document = json!({"available": true, "cpu": {"some": {"avg10": tick as f64 + 0.25, "avg60": 0.0}}});
        reading(MetricType::Pressure, at(tick * 5), &document)
    };
    let all: Vec<Reading> = (0..24).flat_map(|tick| [disk(tick), pressure(tick)]).collect();
    readings::store(&server.history, &all).await;
    let token = server.token().await;
    let range = "start_time=2026-01-02T00:00:00Z&end_time=2026-01-02T00:01:59Z&stats=max";
    // Raw readings, and sums of a minute.
    for (interval, value, most) in [("5s", 0.25, 0.25), ("1m", 5.75, 11.25)] {
        let get = async |query: &str| {
            let path = format!("/api/history/metrics?{range}&interval={interval}&{query}");
            body(server.get_as(&token, &path).await, 200).await["data_points"][0].clone()
        };
        let point = get("metric_type=disk&fields=io.read_bytes_per_sec,devices.read_iops").await;
        let found = |value: f64| {
            json!({"io": {"read_bytes_per_sec": value}, "devices": {"vda": {"read_iops": value}}})
        };
        assert_eq!((&point["data"], &point["max"]), (&found(value), &found(most)), "{interval}");
        let point = get("metric_type=pressure&fields=cpu.some.avg10").await;
        assert_eq!(point["data"], json!({"cpu": {"some": {"avg10": value}}}), "{interval}");
    }
}

#[tokio::test]
async fn every_question_sees_what_was_measured_last() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    let mut second = START;
    // What was passed to the writer a moment ago is not in the store yet.
    let mut measure = async || {
        second += 100;
        server.writer.handle().submit(&snapshot(second, ""));
        let newest = || server.history.head().ends().map(|(_, newest)| newest.unix_timestamp());
        while newest() != Some(second) {
            tokio::task::yield_now().await;
        }
        second
    };
    let range = |second| format!("metric_type=cpu&start_time={}&end_time={}", second - 1, second + 1);

    let now = measure().await;
    let answer = metrics(&server, &token, &format!("start_time={}&end_time={now}", now - 1)).await;
    assert_eq!(answer["data_points"][0]["data"]["usage_percent"], now);
    let export = range(measure().await);
    let answer = server.get_as(&token, &format!("/api/history/export?format=ndjson&{export}")).await;
    assert_eq!(answer.text().await.unwrap().lines().count(), 1);
    let now = measure().await;
    let ranges = format!(
        "start_time_1={}&end_time_1={}&start_time_2={}&end_time_2={}",
        now - 1,
        now + 1,
        now - 9,
        now - 7
    );
    let path = format!("/api/history/compare?metric_type=cpu&{ranges}");
    let answer = body(server.get_as(&token, &path).await, 200).await;
    assert_eq!(answer["current"]["data_points"].as_array().unwrap().len(), 1, "{answer}");
    let now = measure().await;
    let answer = body(server.get_as(&token, "/api/config/retention").await, 200).await;
    assert_eq!(answer["newest_record"], perfwatch::snapshot::rfc3339(at(now - START)));
}

#[tokio::test]
async fn a_compressed_answer_is_whole() {
    let Some(server) = start().await else { return };
    let token = with_two_minutes(&server).await;
    let path = "/api/history/metrics?metric_type=cpu&start_time=1767312000&end_time=1767312119";
    // Browsers accept zstd over HTTPS only.
    for (accepted, encoding) in [("gzip, deflate", "gzip"), ("gzip, deflate, br, zstd", "zstd")] {
        let request = server.request(Method::GET, path).bearer_auth(&token);
        let answer = request.header("accept-encoding", accepted).send().await.unwrap();
        assert_eq!(answer.headers()["content-encoding"], encoding);
        let compressed = answer.bytes().await.unwrap();
        let json = match encoding {
            "zstd" => zstd::decode_all(&compressed[..]).unwrap(),
            _ => {
                let mut plain = Vec::new();
                flate2::read::GzDecoder::new(&compressed[..]).read_to_end(&mut plain).unwrap();
                plain
            }
        };
        let answer: Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(answer["count"], 24);
    }
}

#[tokio::test]
async fn buckets_average_and_keep_extremes_on_demand() {
    let Some(server) = start().await else { return };
    let token = with_two_minutes(&server).await;
    let range = "start_time=1767312000&end_time=1767312119&interval=1m";
    let answer = metrics(&server, &token, &format!("{range}&stats=min,max,count&fields=usage_percent")).await;
    assert_eq!(answer["interval"], "1m");
    let point = &answer["data_points"][1];
    assert_eq!(point["data"], json!({"usage_percent": 17.5}));
    assert_eq!(point["min"], json!({"usage_percent": 12}));
    assert_eq!(point["max"], json!({"usage_percent": 23}));
    assert_eq!(point["count"], 12);
    let answer = metrics(&server, &token, &format!("{range}&limit=1")).await;
    assert_eq!((&answer["count"], &answer["truncated"]), (&json!(1), &json!(true)));
    assert_eq!(answer["data_points"][0]["data"]["per_core"], json!([5.5, 0]));
}

#[tokio::test]
async fn times_come_in_every_spelling_and_mix() {
    let Some(server) = start().await else { return };
    let token = with_two_minutes(&server).await;
    for (start, end) in [
        ("2026-01-02", "2026-01-02T00:00:10"),
        ("1767312000", "2026-01-02T00:00:10Z"),
        ("2026-01-02T02:00:00%2B02:00", "1767312010.0"),
        ("2026-01-02T02:00:00+02:00", "2026-01-01T19:00:10-05:00"),
        ("2026-01-02%2000:00:00", "2026-01-02t00:00:10z"),
    ] {
        let answer = metrics(&server, &token, &format!("start_time={start}&end_time={end}")).await;
        assert_eq!(answer["count"], 3, "{start} {end}");
    }
}

#[tokio::test]
async fn an_empty_range_is_an_answer() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    let answer = metrics(&server, &token, "start_time=2026-01-02&end_time=2026-01-03").await;
    assert_eq!((&answer["count"], &answer["data_points"]), (&json!(0), &json!([])));
}

#[tokio::test]
async fn the_sentences_of_the_original_are_kept() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    let refusal = async |query: &str| {
        detail(server.get_as(&token, &format!("/api/history/metrics?{query}")).await, 400).await
    };
    let range = "start_time=2026-01-02&end_time=2026-01-03";
    let unknown = refusal(&format!("metric_type=gpu&{range}")).await;
    assert!(unknown.starts_with("Invalid metric_type. Must be one of: agent, block_io, cgroups, cpu, disk, "), "{unknown}");
    for order in ["start_time=2026-01-03&end_time=2026-01-02", "start_time=2026-01-02&end_time=2026-01-02"] {
        let refused = refusal(&format!("metric_type=cpu&{order}")).await;
        assert_eq!(refused, "start_time must be before end_time");
    }
    let interval = refusal(&format!("metric_type=cpu&{range}&interval=7s")).await;
    assert!(interval.starts_with("Invalid interval: 7s"), "{interval}");
    let alias = server.get_as(&token, &format!("/api/history/metrics?metric_type=perf&{range}")).await;
    assert_eq!(body(alias, 200).await["metric_type"], "perf_events");
}

#[tokio::test]
async fn missing_and_unreadable_parameters_are_all_named() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    for (query, expected) in [
        ("", vec!["query.metric_type", "query.start_time", "query.end_time"]),
        ("metric_type=cpu&start_time=hunter2&end_time=2026-01-02", vec!["query.start_time"]),
        ("metric_type=cpu&start_time=0&end_time=9&limit=0", vec!["query.limit"]),
        ("metric_type=cpu&start_time=0&end_time=9&limit=10001", vec!["query.limit"]),
        ("metric_type=cpu&start_time=0&end_time=9&limit=x&stats=p99", vec!["query.limit", "query.stats"]),
        ("metric_type=cpu&metric_type=disk&start_time=0&end_time=9", vec!["query"]),
    ] {
        let answer = server.get_as(&token, &format!("/api/history/metrics?{query}")).await;
        assert_eq!(places(answer).await, expected, "{query}");
    }
    let echo = "metric_type=cpu&start_time=hunter2&end_time=2026-01-02";
    let answer = server.get_as(&token, &format!("/api/history/metrics?{echo}")).await;
    assert!(!answer.text().await.unwrap().contains("hunter2"));
}

#[tokio::test]
async fn the_types_are_sorted_and_hold_the_originals() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    let types = body(server.get_as(&token, "/api/history/metrics/types").await, 200).await;
    let types: Vec<&str> =
        types["metric_types"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert!(types.is_sorted());
    for original in ["cpu", "memory", "network", "disk", "perf_events", "memory_bandwidth"] {
        assert!(types.contains(&original), "{original}");
    }
}

#[tokio::test]
async fn an_hour_is_compared_with_yesterdays() {
    let Some(server) = start().await else { return };
    let now = OffsetDateTime::now_utc();
    let three = [
        cpu(now - Duration::minutes(30), 60.0),
        cpu(now - Duration::DAY - Duration::minutes(30), 40.0),
        // Outside both ranges.
        cpu(now - Duration::hours(3), 99.0),
    ];
    readings::store(&server.history, &three).await;
    let token = server.token().await;
    let path = "/api/history/compare?metric_type=cpu&period=hour&compare_to=yesterday";
    let answer = body(server.get_as(&token, path).await, 200).await;
    assert_eq!((&answer["period"], &answer["compare_to"]), (&json!("hour"), &json!("yesterday")));
    assert_eq!(answer["interval"], "1m");
    assert_eq!(
        answer["summary"],
        json!({"current_avg": 60.0, "comparison_avg": 40.0, "change_percent": 50.0})
    );
    for side in ["current", "comparison"] {
        assert_eq!(answer[side]["data_points"].as_array().unwrap().len(), 1, "{side}");
        assert!(answer[side]["start_time"].is_string() && answer[side]["end_time"].is_string());
    }
    let empty = "/api/history/compare?metric_type=disk&period=week&compare_to=last_week";
    let answer = body(server.get_as(&token, empty).await, 200).await;
    assert_eq!(
        answer["summary"],
        json!({"current_avg": null, "comparison_avg": null, "change_percent": null})
    );
}

#[tokio::test]
async fn custom_ranges_win_over_relative_ones() {
    let Some(server) = start().await else { return };
    let token = with_two_minutes(&server).await;
    let times = "start_time_1=2026-01-02T00:01:00Z&end_time_1=2026-01-02T00:01:55Z\
                 &start_time_2=2026-01-02&end_time_2=2026-01-02T00:00:55Z";
    let path = format!("/api/history/compare?metric_type=cpu&period=hour&compare_to=yesterday&{times}");
    let answer = body(server.get_as(&token, &path).await, 200).await;
    assert_eq!((&answer["period"], &answer["compare_to"]), (&json!("custom"), &json!("custom")));
    assert_eq!(answer["current"]["start_time"], "2026-01-02T00:01:00Z");
    assert_eq!(answer["summary"]["current_avg"], 17.5);
    assert_eq!(answer["summary"]["comparison_avg"], 5.5);
}

#[tokio::test]
async fn a_comparison_without_ranges_is_refused_with_the_originals_sentences() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    let ask = async |query: &str| {
        server.get_as(&token, &format!("/api/history/compare?metric_type=cpu{query}")).await
    };
    for query in ["", "&period=hour", "&compare_to=yesterday"] {
        let sentence = detail(ask(query).await, 400).await;
        assert_eq!(sentence, "period and compare_to are required for relative comparison");
    }
    let sentence = detail(ask("&start_time_1=2026-01-02&period=hour&compare_to=yesterday").await, 400).await;
    assert_eq!(
        sentence,
        "start_time_1, end_time_1, start_time_2, end_time_2 are required for custom comparison"
    );
    let unequal = "&start_time_1=0&end_time_1=10&start_time_2=0&end_time_2=11";
    let sentence = detail(ask(unequal).await, 400).await;
    assert_eq!(sentence, "Custom comparison periods must have the same duration");
    let backwards = "&start_time_1=10&end_time_1=0&start_time_2=0&end_time_2=10";
    assert_eq!(detail(ask(backwards).await, 400).await, "start_time must be before end_time");
    assert_eq!(places(ask("&period=year&compare_to=then").await).await, ["query.period", "query.compare_to"]);
    let unreadable = "&start_time_1=x&end_time_1=10&start_time_2=0&end_time_2=11";
    assert_eq!(places(ask(unreadable).await).await, ["query.start_time_1"]);
    assert_eq!(
        places(server.get_as(&token, "/api/history/compare?period=hour&compare_to=yesterday").await).await,
        ["query.metric_type"]
    );
}

#[tokio::test]
async fn history_needs_a_login_before_it_looks_at_parameters() {
    let Some(server) = start().await else { return };
    for path in ["/api/history/metrics", "/api/history/metrics/types", "/api/history/compare?limit=x", "/api/history/changes?limit=x", "/api/history/export"] {
        assert_eq!(detail(server.get(path).await, 401).await, "Not authenticated");
    }
}

#[tokio::test]
async fn changes_are_ranked_with_both_medians() {
    let Some(server) = start().await else { return };
    let two_hours: Vec<Reading> = (0..720)
        .flat_map(|tick| [cpu(at(tick * 5), 10.0 + (tick % 3) as f64), cpu(at(86_400 + tick * 5), 60.0 + (tick % 3) as f64)])
        .collect();
    readings::store(&server.history, &two_hours).await;
    let token = server.token().await;
    let ranges = "start_time_1=2026-01-03T00:00:00Z&end_time_1=2026-01-03T01:00:00Z\
                  &start_time_2=2026-01-02T00:00:00Z&end_time_2=2026-01-02T01:00:00Z";
    let answer = body(server.get_as(&token, &format!("/api/history/changes?{ranges}")).await, 200).await;
    assert_eq!((&answer["period"], &answer["interval"]), (&json!("custom"), &json!("1m")));
    assert_eq!(answer["current"]["start_time"], "2026-01-03T00:00:00Z");
    let changes = answer["changes"].as_array().unwrap();
    let usage = changes.iter().find(|change| change["field"] == "usage_percent").unwrap();
    assert_eq!((&usage["metric_type"], &usage["direction"], &usage["kind"]), (&json!("cpu"), &json!("up"), &json!("number")));
    assert_eq!((&usage["current"]["median"], &usage["comparison"]["median"]), (&json!(61.0), &json!(11.0)));
    assert!(usage["score"].as_f64().unwrap() > 0.8, "{usage}");
    let one = body(server.get_as(&token, &format!("/api/history/changes?{ranges}&limit=1")).await, 200).await;
    assert_eq!(one["changes"].as_array().unwrap().len(), 1);
    let relative = body(server.get_as(&token, "/api/history/changes?period=hour&compare_to=yesterday").await, 200).await;
    assert_eq!((&relative["compare_to"], &relative["changes"]), (&json!("yesterday"), &json!([])));
    let sentence = detail(server.get_as(&token, "/api/history/changes").await, 400).await;
    assert_eq!(sentence, "period and compare_to are required for relative comparison");
    assert_eq!(places(server.get_as(&token, "/api/history/changes?limit=0&period=hour&compare_to=yesterday").await).await, ["query.limit"]);
}

#[tokio::test]
async fn two_machines_are_compared_at_the_same_time() {
    let Some(server) = start().await else { return };
    server.store.introduce(&Host::new("4567ef", "another")).await.unwrap();
    let usage = |percent: f64| (0..720).map(|tick| cpu(at(tick * 5), percent + (tick % 3) as f64)).collect::<Vec<_>>();
    readings::store(&server.history, &usage(60.0)).await;
    readings::store(&server.history.of_host("4567ef"), &usage(10.0)).await;
    let token = server.token().await;
    let get = async |path: &str| body(server.get_as(&token, path).await, 200).await;
    let first = "start_time_1=2026-01-02T00:00:00Z&end_time_1=2026-01-02T01:00:00Z&compare_host=another";
    let second = "start_time_2=2026-01-02T00:00:00Z&end_time_2=2026-01-02T01:00:00Z";
    let answer = get(&format!("/api/history/compare?metric_type=cpu&{first}")).await;
    let summary = &answer["summary"];
    assert_eq!((&summary["current_avg"], &summary["comparison_avg"]), (&json!(61.0), &json!(11.0)));
    assert_eq!(answer["current"]["start_time"], answer["comparison"]["start_time"]);
    assert_eq!(get(&format!("/api/history/compare?metric_type=cpu&{first}&{second}")).await, answer);
    // Whose other side is itself.
    let same = get(&format!("/api/history/compare?metric_type=cpu&{first}&host=4567ef")).await;
    assert_eq!((&same["summary"]["current_avg"], &same["summary"]["change_percent"]), (&json!(11.0), &json!(0.0)));
    let answer = get(&format!("/api/history/changes?{first}")).await;
    let changes = answer["changes"].as_array().unwrap();
    let usage = changes.iter().find(|change| change["field"] == "usage_percent").unwrap();
    assert_eq!((&usage["current"]["median"], &usage["comparison"]["median"]), (&json!(61.0), &json!(11.0)));
    let relative = get("/api/history/compare?metric_type=cpu&period=hour&compare_host=another").await;
    assert_eq!((&relative["compare_to"], &relative["current"]["end_time"]), (&json!("host"), &relative["comparison"]["end_time"]));
    let nobody = "/api/history/compare?metric_type=cpu&period=hour&compare_host=nobody";
    assert_eq!(detail(server.get_as(&token, nobody).await, 400).await, "No history of this host");
    assert_eq!(places(server.get_as(&token, "/api/history/compare?metric_type=cpu&period=year&compare_host=another").await).await, ["query.period"]);
}

#[tokio::test]
async fn exports_are_files_without_formulas() {
    let Some(server) = start().await else { return };
    let token = with_two_minutes(&server).await;
    let interface = json!({"name": "eth0", "state": "=HYPERLINK(\"x\")", "bytes_sent": 7});
    let hostile = json!({"bytes_sent_per_sec": 1.0, "interfaces": [interface]});
    let hostile = reading(MetricType::Network, at(300), &hostile);
    readings::store(&server.history, &[cpu(at(300), 1.0), hostile]).await;
    let range = "start_time=2026-01-02&end_time=2026-01-03";
    let export = async |query: &str| {
        server.get_as(&token, &format!("/api/history/export?format=csv&{range}&{query}")).await
    };
    let answer = export("metric_type=cpu&fields=usage_percent,per_core").await;
    assert_eq!(answer.headers()["content-type"], "text/csv; charset=utf-8; header=present");
    assert_eq!(answer.headers()["content-disposition"], "attachment; filename=\"perfwatch-cpu-2026-01-02.csv\"");
    let text = answer.text().await.unwrap();
    let lines: Vec<&str> = text.split("\r\n").collect();
    assert_eq!(lines.len(), 27, "a header, 25 snapshots and the end");
    assert_eq!(lines[0], "timestamp,\"usage_percent\",\"per_core.0\",\"per_core.1\"");
    assert_eq!(lines[25], "2026-01-02T00:05:00Z,1,1,0");
    let text = export("metric_type=network&fields=bytes_sent_per_sec,interfaces.state").await.text().await.unwrap();
    let lines: Vec<&str> = text.split("\r\n").collect();
    assert_eq!(lines[0], "timestamp,\"bytes_sent_per_sec\",\"interfaces.eth0.state\"");
    assert_eq!(lines[1], "2026-01-02T00:05:00Z,1,\"'=HYPERLINK(\"\"x\"\")\"");

    let range = format!("metric_type=cpu&{range}");
    let answer = server.get_as(&token, &format!("/api/history/export?format=ndjson&{range}&interval=1m&stats=count")).await;
    assert_eq!(answer.headers()["content-type"], "application/x-ndjson");
    let text = answer.text().await.unwrap();
    let counts: Vec<Value> = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["count"].take()).collect();
    assert_eq!(counts, [12, 12, 1]);

    assert_eq!(places(server.get_as(&token, &format!("/api/history/export?{range}")).await).await, ["query.format"]);
    assert_eq!(places(server.get_as(&token, "/api/history/export?format=csv&metric_type=cpu").await).await, ["query.start_time", "query.end_time"]);
}

#[tokio::test]
async fn the_machines_of_the_store_are_told_with_what_they_are() {
    let Some(server) = start().await else { return };
    let facts = Facts { kernel: Some("6.12.0".to_owned()), cpu_count: Some(8), ..Facts::default() };
    server.store.introduce(&Host { facts, ..Host::new("4567ef", "another") }).await.unwrap();
    let token = server.token().await;
    let answer = body(server.get_as(&token, "/api/hosts").await, 200).await;
    let hosts = answer["hosts"].as_array().unwrap();
    assert_eq!((&hosts[0]["id"], &hosts[0]["name"]), (&json!("4567ef"), &json!("another")));
    assert_eq!((&hosts[0]["this"], &hosts[1]["this"]), (&json!(false), &json!(true)));
    // It was never heard of since, and has no history.
    assert_eq!((&hosts[0]["state"], &hosts[0]["newest"]), (&json!("silent"), &json!(null)));
    assert_eq!(hosts[0]["clock_skew_seconds"], json!(null));
    let facts = &hosts[0]["facts"];
    assert_eq!((&facts["kernel"], &facts["cpu_count"], &facts["os"]), (&json!("6.12.0"), &json!(8), &json!(null)));
    assert_eq!(server.get("/api/hosts").await.status(), 401);
}
