//! History by column.

use perfwatch::snapshot::histogram::{Histogram, Unit};
use perfwatch::snapshot::latency::Latency;
use perfwatch::snapshot::{MetricType, Reading};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::start;
use crate::readings::{self, reading};
use crate::server::{Server, detail, places};

/// 2026-01-02T00:00:00Z
const START: i64 = 1_767_312_000;

fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(START + seconds).unwrap()
}

fn cpu(at: OffsetDateTime, usage: f64) -> Reading {
    reading(MetricType::Cpu, at, &json!({"usage_percent": usage, "per_core": [usage, 0.0]}))
}

/// The lines of an answer by column.
async fn columns(server: &Server, token: &str, query: &str) -> Vec<Value> {
    let answer = server.get_as(token, &format!("/api/history/columns?{query}")).await;
    assert_eq!((answer.status().as_u16(), &answer.headers()["content-type"]), (200, &"application/x-ndjson".parse().unwrap()));
    answer.text().await.unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn each_type_has_a_line_with_what_its_points_have() {
    let Some(server) = start().await else { return };
    let disk = |tick: i64| {
        // One device is there for the first minute only.
        let mut devices = json!({"vda": {"read_iops": tick}});
        if tick < 12 {
            devices["vdb"] = json!({"read_iops": 100 + tick});
        }
        let document = json!({"io": {"read_bytes_per_sec": tick as f64 + 0.25}, "devices": devices, "partitions": []});
        reading(MetricType::Disk, at(tick * 5), &document)
    };
    let all: Vec<Reading> =
        (0..24).flat_map(|tick| [disk(tick), cpu(at(tick * 5), tick as f64)]).collect();
    readings::store(&server.history, &all).await;
    let token = server.token().await;
    let range = "start_time=1767312000&end_time=1767312119&stats=min,max,count";
    let fields = "fields=disk.devices.read_iops,cpu.usage_percent,disk.io.read_bytes_per_sec,cpu.per_core,memory.usage_percent";
    let lines = columns(&server, &token, &format!("{range}&{fields}&interval=1m&whole=cpu,memory")).await;
    let types: Vec<_> = lines.iter().map(|line| line["metric_type"].as_str().unwrap()).collect();
    assert_eq!(types, ["disk", "cpu", "memory"], "in the order in which they are named");
    let [disk, cpu, memory] = &lines[..] else { unreachable!() };
    let minutes = json!([START * 1000, (START + 60) * 1000]);
    assert_eq!((&disk["times"], &disk["count"], &disk["interval"]), (&minutes, &json!([12, 12]), &json!("1m")));
    assert_eq!(
        disk["average"],
        json!({"devices.vda.read_iops": [5.5, 17.5], "devices.vdb.read_iops": [105.5, null],
               "io.read_bytes_per_sec": [5.75, 17.75]})
    );
    assert_eq!(disk["min"]["devices.vdb.read_iops"], json!([100, null]));
    assert_eq!(disk["max"]["io.read_bytes_per_sec"], json!([11.25, 23.25]));
    assert_eq!(disk.get("whole"), None);
    assert_eq!(cpu["average"], json!({"usage_percent": [5.5, 17.5], "per_core.0": [5.5, 17.5], "per_core.1": [0, 0]}));
    let whole = &cpu["whole"];
    assert_eq!((&whole["data"]["usage_percent"], &whole["max"]["usage_percent"]), (&json!(11.5), &json!(23)));
    assert_eq!(whole["count"], 24);
    assert_eq!((&memory["times"], &memory["average"], memory.get("whole")), (&json!([]), &json!({}), None));

    // Of some fields only; who names the type as well has all of them.
    let some = json!({"usage_percent": 11.5, "per_core": [null, 0]});
    for (whole, is_all) in [("cpu.usage_percent,cpu.per_core.1", false), ("cpu.usage_percent,cpu,cpu.per_core.1", true)] {
        let query = format!("{range}&fields=cpu.user&interval=1m&whole={whole}");
        let line = &columns(&server, &token, &query).await[0];
        let data = &line["whole"]["data"];
        assert_eq!((data == &some, &data["usage_percent"]), (!is_all, &json!(11.5)), "{data}");
        assert_eq!(data["per_core"][0], if is_all { json!(11.5) } else { json!(null) }, "{data}");
    }

    // And nothing else.
    let lines = columns(&server, &token, &format!("{range}&interval=1m&whole=cpu.usage_percent,memory")).await;
    let [line, nothing] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!((&line["times"], &line["average"], &line["whole"]["data"]["usage_percent"]), (&json!([]), &json!({}), &json!(11.5)));
    assert_eq!((&nothing["metric_type"], nothing.get("whole")), (&json!("memory"), None));

    let averages = "fields=cpu.usage_percent&averages=cpu.per_core.1,memory.usage_percent";
    let lines = columns(&server, &token, &format!("{range}&{averages}&interval=1m")).await;
    assert_eq!(lines[0]["average"], json!({"usage_percent": [5.5, 17.5], "per_core.1": [0, 0]}));
    assert_eq!((&lines[0]["max"], &lines[1]["metric_type"]), (&json!({"usage_percent": [11, 23]}), &json!("memory")));

    let lines = columns(&server, &token, &format!("{range}&fields=cpu.usage_percent&interval=5s&limit=3")).await;
    assert_eq!(lines[0]["average"], json!({"usage_percent": [0, 1, 2]}));
    assert_eq!((lines[0].get("min"), &lines[0]["truncated"]), (None, &json!(true)), "single snapshots have no extremes");
}

#[tokio::test]
async fn quantiles_are_those_of_all_values() {
    let Some(server) = start().await else { return };
    // Nine waits of 1 µs and one of 8 ms: the buckets from 992 ns and 7.86 ms on.
    let wait = |tick: i64, (bucket, ns): (u16, u64)| {
        let histogram = Histogram::from_counts(Unit::Nanoseconds, [(bucket, 1)], ns, ns);
        let document = json!({"runqueue_wait": Latency::of(histogram)});
        reading(MetricType::Scheduler, at(tick * 5), &document)
    };
    let all: Vec<Reading> =
        (0..10).map(|tick| wait(tick, if tick == 9 { (318, 8_000_000) } else { (111, 1000) })).collect();
    readings::store(&server.history, &all).await;
    let token = server.token().await;
    let range = "start_time=1767312000&end_time=1767312059&interval=1m";
    let fields = "fields=scheduler.runqueue_wait.histogram,scheduler.runqueue_wait.p50_us,scheduler.runqueue_wait.p99_us";
    let lines = columns(&server, &token, &format!("{range}&{fields}")).await;
    let of = |name: &str| lines[0]["average"][name][0].as_f64().unwrap();
    // Of all values, not means of each reading's.
    assert!((0.9..1.1).contains(&of("runqueue_wait.p50_us")), "{lines:?}");
    assert!((7_000.0..9_000.0).contains(&of("runqueue_wait.p99_us")), "{lines:?}");
    // In quarters of powers of two.
    assert_eq!(lines[0]["histograms"]["runqueue_wait.histogram"], json!([[27, 9, 79, 1]]));
}

#[tokio::test]
async fn what_is_not_known_is_refused() {
    let Some(server) = start().await else { return };
    let token = server.token().await;
    let range = "start_time=2026-01-02&end_time=2026-01-03";
    for (query, expected) in [
        ("fields=gpu.usage", "Invalid metric_type. Must be one of"),
        ("fields=cpu", "fields: expected a path after the metric type, such as cpu.usage_percent"),
        ("fields=cpu.user&averages=cpu", "averages: expected a path after the metric type, such as cpu.usage_percent"),
        ("fields=cpu.user&whole=gpu", "Invalid metric_type. Must be one of"),
        ("fields=cpu.user&interval=7s", "Invalid interval: 7s"),
    ] {
        let answer = server.get_as(&token, &format!("/api/history/columns?{range}&{query}")).await;
        let said = detail(answer, 400).await;
        assert!(said.starts_with(expected), "{query}: {said}");
    }
    let answer = server.get_as(&token, "/api/history/columns?limit=0").await;
    assert_eq!(places(answer).await, ["query.fields", "query.start_time", "query.end_time", "query.limit"]);
}
