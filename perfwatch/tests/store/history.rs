//! Storing, rolling up, querying.

use std::sync::Arc;

use perfwatch::history::History;
use perfwatch::history::head::Pushed;
use perfwatch::history::maintenance::DocumentDays;
use perfwatch::history::questions::compare::{Range, compare};
use perfwatch::history::questions::points::Points;
use perfwatch::history::questions::{HistoryQuery, Interval};
use perfwatch::history::rollup::roll;
use perfwatch::history::writer::{LogPlace, Writer};
use perfwatch::snapshot::layout::Layout;
use perfwatch::snapshot::selection::Selection;
use perfwatch::snapshot::{MetricType, Reading, Snapshot};
use perfwatch::store;
use serde_json::{Value, json};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use crate::readings::{self, reading, snapshots};
use crate::{Fresh, HOST, micros, on_every_engine, points};

on_every_engine!(
    points_average_and_keep_extremes,
    ranges_are_inclusive_and_limits_tell,
    rollups_change_no_answer,
    late_data_is_rolled_up_again,
    any_order_gives_the_same_rollups,
    lists_that_change_their_length_keep_all_their_values,
    states_have_the_value_of_most_of_the_time,
    comparison_measures_the_primary_value,
    the_last_snapshots_come_back_whole,
    replays_and_clock_steps_are_kept_once,
    a_question_sees_what_is_stored_what_waits_and_what_was_measured_last,
    a_minute_that_two_runs_share_has_the_readings_of_both,
);

const START: OffsetDateTime = datetime!(2026-01-05 00:00:00 UTC);

fn at(seconds: i64) -> OffsetDateTime {
    START + Duration::seconds(seconds)
}

fn cpu(seconds: i64, usage: f64) -> Reading {
    reading(MetricType::Cpu, at(seconds), &json!({"usage_percent": usage, "per_core": [usage, 1]}))
}

/// The scheduler's document for a tick.
fn scheduler(seconds: i64, n: i64) -> Reading {
    let histogram = json!({
        "unit": "ns", "scheme": "log16", "buckets": [[n % 50, 1], [90, 2]], "count": 3, "sum": n, "max": 200,
    });
    let cores: Vec<Value> =
        (0..2 + n % 3).map(|cpu| json!({"cpu": cpu, "busy_percent": n as f64 / 8.0})).collect();
    let body = json!({
        "elapsed_ms": 15_000 + n % 4,
        "context_switches": n,
        // What follows from the histogram is not stored.
        "runqueue_wait": {"p99_us": 0.416, "histogram": histogram},
        "per_cpu": cores,
    });
    reading(MetricType::Scheduler, at(seconds), &body)
}

/// Readings every 15 s that all differ, with a gap, of two types.
fn varied(from: i64, to: i64) -> Vec<Reading> {
    (from / 15..to / 15)
        .filter(|tick| !(300..400).contains(&(tick % 1000)))
        .flat_map(|tick| {
            let n = tick * 7919 % 1000;
            [cpu(tick * 15, n as f64 / 10.0), scheduler(tick * 15, n)]
        })
        .collect()
}

/// A history entirely in memory, with nothing stored: its answers come from the readings themselves.
async fn in_memory(readings: &[Reading]) -> (Fresh, History) {
    let fresh = crate::sqlite().await.unwrap();
    for snapshot in snapshots(readings) {
        assert!(!matches!(fresh.history.head().push(&snapshot, 15_000_000), Pushed::Refused));
    }
    let history = fresh.history.clone();
    (fresh, history)
}

async fn points_average_and_keep_extremes(fresh: &Fresh) {
    let history = &fresh.history;
    readings::store(history, &[cpu(0, 1.0), cpu(5, 2.0), cpu(10, 6.0), cpu(60, 8.5)]).await;
    let minutes = points(history, MetricType::Cpu, START, Duration::minutes(2), "1m").await;
    assert_eq!(minutes.len(), 2);
    assert_eq!(minutes[0]["timestamp"], "2026-01-05T00:00:00Z");
    assert_eq!(minutes[0]["data"]["usage_percent"], 3);
    assert_eq!(minutes[0]["data"]["per_core"], json!([3, 1]));
    assert_eq!(minutes[0]["min"]["usage_percent"], 1);
    assert_eq!(minutes[0]["max"]["usage_percent"], 6);
    assert_eq!(minutes[0]["max"]["per_core"], json!([6, 1]));
    assert_eq!(minutes[0]["count"], 3);
    assert_eq!(minutes[1]["data"]["usage_percent"], 8.5);
    assert!(points(history, MetricType::Disk, START, Duration::hours(1), "1m").await.is_empty());
}

async fn ranges_are_inclusive_and_limits_tell(fresh: &Fresh) {
    let history = &fresh.history;
    let readings: Vec<Reading> = (0..600).map(|i| cpu(i * 5, i as f64)).collect();
    readings::store(history, &readings).await;
    let five = points(history, MetricType::Cpu, at(10), Duration::seconds(20), "5s").await;
    let values: Vec<_> = five.iter().map(|p| p["data"]["usage_percent"].as_f64().unwrap()).collect();
    assert_eq!(values, [2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(five[0]["data"]["_timestamp"], "2026-01-05T00:00:10Z");

    let query = HistoryQuery {
        limit: 599,
        selection: Selection::of(Layout::of(MetricType::Cpu), &["per_core".to_owned()]),
        ..HistoryQuery::new(MetricType::Cpu, START, at(3000))
    };
    let query = HistoryQuery { interval: Interval::parse("5s").unwrap(), ..query };
    for (limit, truncated) in [(599, true), (600, false)] {
        let mut read = Points::open(history, HistoryQuery { limit, ..query.clone() }).await.unwrap();
        let mut count = 0;
        while let Some(point) = read.next().await.unwrap() {
            count += 1;
            let point: Value = serde_json::from_slice(&point.json).unwrap();
            assert_eq!(point["data"].as_object().unwrap().len(), 1, "only the field asked for");
        }
        assert_eq!((count, read.truncated()), (limit, truncated));
    }
}

/// Every answer the page may request over the varied range.
async fn answers(history: &History) -> Vec<(String, Vec<Value>)> {
    let mut all = Vec::new();
    for metric_type in [MetricType::Cpu, MetricType::Scheduler] {
        for interval in ["5s", "1m", "5m", "15m", "1h", "6h", "1d"] {
            for (from, length) in [(0, 30 * 3600), (1234, 20_000), (3599, 3602), (86_000, 4000)] {
                let found = points(history, metric_type, at(from), Duration::seconds(length), interval).await;
                all.push((format!("{metric_type:?} {interval} {from}+{length}"), found));
            }
        }
    }
    all
}

fn assert_same(before: &[(String, Vec<Value>)], after: &[(String, Vec<Value>)]) {
    for ((name, a), (_, b)) in before.iter().zip(after) {
        assert_eq!(a.len(), b.len(), "{name}: number of points");
        for (a, b) in a.iter().zip(b) {
            assert_close(name, a, b);
        }
    }
}

/// Equal except for the rounding of sums taken in another order, and of averages to six decimals.
fn assert_close(name: &str, a: &Value, b: &Value) {
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            assert_eq!(x.keys().collect::<Vec<_>>(), y.keys().collect::<Vec<_>>(), "{name}");
            x.iter().for_each(|(k, v)| assert_close(&format!("{name} {k}"), v, &y[k]));
        }
        (Value::Array(x), Value::Array(y)) => {
            assert_eq!(x.len(), y.len(), "{name}");
            x.iter().zip(y).for_each(|(x, y)| assert_close(name, x, y));
        }
        (Value::Number(x), Value::Number(y)) => {
            let (x, y) = (x.as_f64().unwrap(), y.as_f64().unwrap());
            assert!((x - y).abs() <= 1e-9 * x.abs() + 1e-6, "{name}: {x} is not {y}");
        }
        _ => assert_eq!(a, b, "{name}"),
    }
}

async fn rollups_change_no_answer(fresh: &Fresh) {
    let history = &fresh.history;
    let readings = varied(0, 30 * 3600);
    let (_kept, unstored) = in_memory(&readings).await;
    let expected = answers(&unstored).await;
    assert!(expected.iter().all(|(_, points)| !points.is_empty()));
    readings::store(history, &readings).await;
    assert_same(&expected, &answers(history).await);
    // In the middle of an hour: some of it is rolled up, some is not.
    assert_eq!(roll(history, micros(at(29 * 3600 + 1830))).await.unwrap(), 29 + 1);
    assert_same(&expected, &answers(history).await);
    roll(history, micros(at(60 * 3600))).await.unwrap();
    assert_same(&expected, &answers(history).await);
    assert_eq!(roll(history, micros(at(60 * 3600))).await.unwrap(), 0, "nothing is computed twice");
}

async fn late_data_is_rolled_up_again(fresh: &Fresh) {
    let history = &fresh.history;
    let readings = varied(0, 30 * 3600);
    let (_kept, unstored) = in_memory(&readings).await;
    let expected = answers(&unstored).await;
    let (early, late): (Vec<Reading>, Vec<Reading>) =
        readings.into_iter().partition(|reading| (reading.at - START).whole_seconds() % 750 != 0);
    readings::store(history, &early).await;
    let now = micros(at(60 * 3600));
    roll(history, now).await.unwrap();
    readings::store(history, &late).await;
    assert_same(&expected, &answers(history).await);
    assert!(roll(history, now).await.unwrap() > 0);
    assert_same(&expected, &answers(history).await);
}

async fn any_order_gives_the_same_rollups(fresh: &Fresh) {
    let history = &fresh.history;
    let mut left = varied(0, 26 * 3600);
    let (_kept, unstored) = in_memory(&left).await;
    let expected = answers(&unstored).await;
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    // Parts of everything in random order, some of them twice, and rolled up now and then.
    while !left.is_empty() {
        let (part, rest): (Vec<Reading>, Vec<Reading>) = left.into_iter().partition(|_| next() % 3 == 0);
        readings::store(history, &part).await;
        if next().is_multiple_of(2) {
            roll(history, micros(at(60 * 3600))).await.unwrap();
        }
        if next().is_multiple_of(2) {
            readings::store(history, &part).await;
        }
        left = rest;
    }
    roll(history, micros(at(60 * 3600))).await.unwrap();
    assert_same(&expected, &answers(history).await);
}

/// A CPU goes offline, a sensor fails, a process appears: each keeps its measurements, and none takes over another's.
async fn lists_that_change_their_length_keep_all_their_values(fresh: &Fresh) {
    let history = &fresh.history;
    let tick = |second: i64| {
        let busy = if second < 20 { 10.0 } else { 90.0 };
        let mut cores = vec![json!(busy); if second < 20 { 4 } else { 3 }];
        if second == 30 {
            cores[0] = json!(null);
        }
        let sensor = if second < 20 { json!(41) } else { json!(null) };
        let body = json!({"per_core": cores, "temperature_celsius": [50, sensor, 90]});
        let quiet = json!({"name": "eth0", "bytes_recv_per_sec": if second < 10 { 0.0 } else { 60.0 }});
        let mut interfaces = vec![quiet, json!({"name": "lo", "bytes_recv_per_sec": 1.0})];
        // At another position from here on.
        if second >= 40 {
            interfaces.insert(0, json!({"name": "veth7", "bytes_recv_per_sec": 5.0}));
        }
        [
            reading(MetricType::Cpu, at(second), &body),
            reading(MetricType::Network, at(second), &json!({ "interfaces": interfaces })),
        ]
    };
    let readings: Vec<Reading> = (0..60).flat_map(tick).collect();
    readings::store(history, &readings).await;
    roll(history, micros(at(200_000))).await.unwrap();
    for interval in ["1m", "1h", "1d"] {
        let found = points(history, MetricType::Cpu, START, Duration::minutes(1), interval).await;
        let point = &found[0];
        let cores = point["data"]["per_core"].as_array().unwrap();
        assert_eq!(cores.len(), 4, "{interval}: {cores:?}");
        let close = |value: &Value, expected: f64| (value.as_f64().unwrap() - expected).abs() < 1e-6;
        assert!(close(&cores[0], (20.0 * 10.0 + 39.0 * 90.0) / 59.0), "{interval}: {cores:?}");
        assert!(close(&cores[1], (20.0 * 10.0 + 40.0 * 90.0) / 60.0), "{interval}: {cores:?}");
        assert!(close(&cores[3], 10.0), "of the time it was there, {interval}: {cores:?}");
        assert_eq!(point["max"]["per_core"], json!([90, 90, 90, 10]), "{interval}");
        assert_eq!(point["data"]["temperature_celsius"], json!([50, 41, 90]), "{interval}");

        let found = points(history, MetricType::Network, START, Duration::minutes(1), interval).await;
        let mut rates: Vec<(&str, f64, f64, f64)> = Vec::new();
        for interface in found[0]["data"]["interfaces"].as_array().unwrap() {
            let name = interface["name"].as_str().unwrap();
            let of = |statistic: &str| {
                let all = found[0][statistic]["interfaces"].as_array().unwrap();
                all.iter().find(|other| other["name"] == name).unwrap()["bytes_recv_per_sec"]
                    .as_f64()
                    .unwrap()
            };
            rates.push((name, of("data"), of("min"), of("max")));
        }
        rates.sort_by_key(|rate| rate.0);
        assert_eq!(rates, [("eth0", 50.0, 0.0, 60.0), ("lo", 1.0, 1.0, 1.0), ("veth7", 5.0, 5.0, 5.0)]);
    }
}

async fn states_have_the_value_of_most_of_the_time(fresh: &Fresh) {
    let history = &fresh.history;
    let tick = |second: i64| {
        let state = if (5..25).contains(&second) { "down" } else { "up" };
        let event = json!({"type": "offline", "second": second});
        let events = if second == 7 || second == 30 { json!([event]) } else { json!([]) };
        [
            reading(
                MetricType::Network,
                at(second),
                &json!({"interfaces": [{"name": "eth0", "state": state}]}),
            ),
            reading(MetricType::Cpu, at(second), &json!({ "events": events })),
        ]
    };
    let readings: Vec<Reading> = (0..60).flat_map(tick).collect();
    readings::store(history, &readings).await;
    roll(history, micros(at(200_000))).await.unwrap();
    for interval in ["30s", "1m", "1h", "1d"] {
        let found = points(history, MetricType::Network, START, Duration::minutes(1), interval).await;
        let expected = if interval == "30s" { "down" } else { "up" };
        assert_eq!(found[0]["data"]["interfaces"][0]["state"], expected, "{interval}");
    }
    // Everything that happened is there, however wide the point.
    let found = points(history, MetricType::Cpu, START, Duration::minutes(1), "1d").await;
    let seconds: Vec<&Value> =
        found[0]["data"]["events"].as_array().unwrap().iter().map(|event| &event["second"]).collect();
    assert_eq!(seconds, [7, 30]);
}

async fn comparison_measures_the_primary_value(fresh: &Fresh) {
    let history = &fresh.history;
    let readings: Vec<Reading> = (0..720).map(|i| cpu(i * 5, 10.0)).collect();
    readings::store(history, &readings).await;
    let day = 86_400;
    let readings: Vec<Reading> = (0..720).map(|i| cpu(day + i * 5, 15.0)).collect();
    readings::store(history, &readings).await;
    let hour = |from: i64| Range { start: at(from), end: at(from + 3599) };
    let minute = Interval::parse("1m").unwrap();
    let found =
        compare([(history, hour(day)), (history, hour(0))], MetricType::Cpu, minute, 1000).await.unwrap();
    assert_eq!((found.current.average, found.comparison.average), (Some(15.0), Some(10.0)));
    assert_eq!(found.change_percent, Some(50.0));
    assert_eq!((found.current.points.len(), found.comparison.points.len()), (60, 60));
    // Averages cover the range even where the points are cut off.
    let found =
        compare([(history, hour(day)), (history, hour(7200))], MetricType::Cpu, minute, 5).await.unwrap();
    assert_eq!((found.current.points.len(), found.current.truncated), (5, true));
    assert_eq!((found.current.average, found.comparison.average), (Some(15.0), None));
    assert_eq!(found.change_percent, None);
}

async fn replays_and_clock_steps_are_kept_once(fresh: &Fresh) {
    let history = &fresh.history;
    let all: Vec<Reading> = [100, 105, 40, 45, 4000].map(|s| cpu(s, s as f64)).into();
    readings::store(history, &all).await;
    readings::store(history, &all).await;
    roll(history, micros(at(10_000))).await.unwrap();
    readings::store(history, &all[..3]).await;
    roll(history, micros(at(10_000))).await.unwrap();
    let hours = points(history, MetricType::Cpu, START, Duration::hours(2), "1h").await;
    let counts: Vec<_> = hours.iter().map(|p| p["count"].as_u64().unwrap()).collect();
    assert_eq!(counts, [4, 1]);
    let raw = points(history, MetricType::Cpu, START, Duration::hours(2), "5s").await;
    let values: Vec<_> = raw.iter().map(|p| p["data"]["usage_percent"].as_f64().unwrap()).collect();
    assert_eq!(values, [40.0, 45.0, 100.0, 105.0, 4000.0]);
    let extent = history.extent().await.unwrap();
    assert_eq!(extent.newest, Some(at(4000)));
    assert!(extent.oldest.is_some_and(|oldest| (START..=at(40)).contains(&oldest)), "{extent:?}");
    assert!(extent.bytes > 1000);
}

fn log_in(dir: &tempfile::TempDir) -> LogPlace {
    LogPlace { dir: dir.path().join("spool"), max_bytes: 1 << 20 }
}

async fn write(history: &History, place: LogPlace, snapshots: impl IntoIterator<Item = Snapshot>) -> Writer {
    let writer = Writer::spawn(history.clone(), place, DocumentDays(7)).unwrap();
    for snapshot in snapshots {
        writer.submit_waiting(Arc::new(snapshot)).await;
    }
    writer
}

async fn the_last_snapshots_come_back_whole(fresh: &Fresh) {
    let dir = tempfile::tempdir().unwrap();
    let sent = snapshots(&varied(0, 9000));
    let writer = write(&fresh.history, log_in(&dir), snapshots(&varied(0, 9000))).await;
    writer.drained().await;
    let back = fresh.history.head().recent(200);
    assert_eq!(back.len(), 200);
    for (back, sent) in back.iter().zip(&sent[sent.len() - 200..]) {
        assert_eq!(back.timestamp, sent.timestamp);
        assert_eq!(back.message(), sent.message());
    }
    writer.close().await;
}

async fn a_question_sees_what_is_stored_what_waits_and_what_was_measured_last(fresh: &Fresh) {
    let dir = tempfile::tempdir().unwrap();
    let readings = varied(0, 9000);
    let (_kept, unstored) = in_memory(&readings).await;
    let writer = write(&fresh.history, log_in(&dir), snapshots(&readings[..600])).await;
    writer.drained().await;
    let ask = async |history: &History, to: i64| {
        let mut all = Vec::new();
        for interval in ["5s", "1m", "5m", "1h"] {
            let length = Duration::seconds(to);
            all.push((interval.to_owned(), points(history, MetricType::Cpu, START, length, interval).await));
        }
        all
    };
    // While this continues, slots end, wait, and are stored.
    for snapshot in snapshots(&readings[600..]) {
        let newest = (snapshot.timestamp - START).whole_seconds();
        writer.submit_waiting(Arc::new(snapshot)).await;
        if newest % 225 == 0 {
            while fresh.history.head().ends().is_none_or(|(_, end)| end < at(newest)) {
                tokio::task::yield_now().await;
            }
            assert_same(&ask(&unstored, newest).await, &ask(&fresh.history, newest).await);
        }
    }
    writer.close().await;
    // Another run has nothing in memory.
    let again = History::new(fresh.store.clone(), HOST);
    assert_same(&ask(&unstored, 9000).await, &ask(&again, 9000).await);
}

async fn a_minute_that_two_runs_share_has_the_readings_of_both(fresh: &Fresh) {
    let readings: Vec<Reading> = (0..180).map(|second| cpu(second, (second * 37 % 90) as f64)).collect();
    let (_kept, unstored) = in_memory(&readings).await;
    let dir = tempfile::tempdir().unwrap();
    // A server restarted in the middle of minutes, over another connection.
    for part in [&readings[..70], &readings[70..100], &readings[100..]] {
        let store = store::open(&fresh.url).await.unwrap();
        let history = History::new(store.clone(), HOST);
        let writer = write(&history, log_in(&dir), snapshots(part)).await;
        writer.close().await;
        store.close().await;
    }
    let ask = async |history: &History| {
        let mut all = Vec::new();
        for interval in ["5s", "1m", "5m", "1h"] {
            all.push((
                interval.to_owned(),
                points(history, MetricType::Cpu, START, Duration::HOUR, interval).await,
            ));
        }
        all
    };
    let expected = ask(&unstored).await;
    assert_same(&expected, &ask(&fresh.history).await);
    roll(&fresh.history, micros(at(10_000))).await.unwrap();
    assert_same(&expected, &ask(&fresh.history).await);
}
