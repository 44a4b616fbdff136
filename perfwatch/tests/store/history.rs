//! Appending, rolling up, asking.

use std::sync::Arc;

use perfwatch::snapshot::MetricType;
use perfwatch::store::query::compare::{Range, compare};
use perfwatch::store::query::points::Points;
use perfwatch::store::query::recent::recent;
use perfwatch::store::query::{HistoryQuery, Interval};
use perfwatch::store::roller::roll;
use perfwatch::store::rollup::accumulator::Accumulator;
use perfwatch::store::rollup::template::Fields;
use perfwatch::store::rollup::{Tier, codec};
use perfwatch::store::{self, Row, Store};
use serde_json::{Value, json};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use crate::{Fresh, micros, on_every_engine, points, row};

on_every_engine!(
    points_average_and_keep_extremes,
    ranges_are_inclusive_and_limits_tell,
    rollups_change_no_answer,
    late_data_is_rolled_up_again,
    comparison_measures_the_primary_value,
    the_last_snapshots_come_back_whole,
    replays_and_clock_steps_are_kept_once,
    a_minute_just_written_is_rolled_up_from_memory,
    memory_is_not_believed_where_the_table_has_more,
);

const START: OffsetDateTime = datetime!(2026-01-05 00:00:00 UTC);

fn at(seconds: i64) -> OffsetDateTime {
    START + Duration::seconds(seconds)
}

fn cpu(seconds: i64, usage: f64) -> Row {
    let document = json!({"_timestamp": "t", "_error": null, "usage_percent": usage, "per_core": [usage, 1]});
    row(MetricType::Cpu, at(seconds), &document)
}

/// Documents every 15 s that differ from each other, with a gap, of two types.
fn varied(from: i64, to: i64) -> Vec<Row> {
    (from / 15..to / 15)
        .filter(|tick| !(300..400).contains(&(tick % 1000)))
        .flat_map(|tick| {
            let n = tick * 7919 % 1000;
            let usage = n as f64 / 10.0;
            let wait = json!({"unit": "ns", "scheme": "log16", "buckets": [[n % 50, 1], [90, 2]], "count": 3, "sum": n, "max": n});
            let sched = json!({"_timestamp": "t", "wait": wait, "switches": n, "new": {format!("d{}", tick / 300): n}});
            [cpu(tick * 15, usage), row(MetricType::Scheduler, at(tick * 15), &sched)]
        })
        .collect()
}

async fn points_average_and_keep_extremes(fresh: &Fresh) {
    let store = &fresh.store;
    store.append(&[cpu(0, 1.0), cpu(5, 2.0), cpu(10, 6.0), cpu(60, 8.5)]).await.unwrap();
    let minutes = points(store, MetricType::Cpu, START, Duration::minutes(2), "1m").await;
    assert_eq!(minutes.len(), 2);
    assert_eq!(minutes[0]["timestamp"], "2026-01-05T00:00:00Z");
    assert_eq!(minutes[0]["data"]["usage_percent"], 3);
    assert_eq!(minutes[0]["data"]["per_core"], json!([3, 1]));
    assert_eq!(minutes[0]["min"]["usage_percent"], 1);
    assert_eq!(minutes[0]["max"]["usage_percent"], 6);
    assert_eq!(minutes[0]["count"], 3);
    assert_eq!(minutes[1]["data"]["usage_percent"], 8.5);
    assert!(points(store, MetricType::Disk, START, Duration::hours(1), "1m").await.is_empty());
}

async fn ranges_are_inclusive_and_limits_tell(fresh: &Fresh) {
    let store = &fresh.store;
    let rows: Vec<Row> = (0..600).map(|i| cpu(i * 5, i as f64)).collect();
    store.append(&rows).await.unwrap();
    let five = points(store, MetricType::Cpu, at(10), Duration::seconds(20), "5s").await;
    let values: Vec<_> = five.iter().map(|p| p["data"]["usage_percent"].as_f64().unwrap()).collect();
    assert_eq!(values, [2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(five[0]["data"]["_timestamp"], "2026-01-05T00:00:10Z");

    let query = HistoryQuery {
        limit: 599,
        fields: Fields::parse("per_core"),
        ..HistoryQuery::new(MetricType::Cpu, START, at(3000))
    };
    let query = HistoryQuery { interval: Interval::parse("5s").unwrap(), ..query };
    for (limit, truncated) in [(599, true), (600, false)] {
        let mut read =
            Points::open(Arc::clone(store), HistoryQuery { limit, ..query.clone() }).await.unwrap();
        let mut count = 0;
        while let Some(point) = read.next().await.unwrap() {
            count += 1;
            let point: Value = serde_json::from_slice(&point.json).unwrap();
            assert_eq!(point["data"].as_object().unwrap().len(), 1, "only the field asked for");
        }
        assert_eq!((count, read.truncated()), (limit, truncated));
    }
}

/// Every answer the page may ask for over the varied range.
async fn answers(store: &Arc<dyn Store>) -> Vec<(String, Vec<Value>)> {
    let mut all = Vec::new();
    for metric_type in [MetricType::Cpu, MetricType::Scheduler] {
        for interval in ["5s", "1m", "5m", "15m", "1h", "6h", "1d"] {
            for (from, length) in [(0, 30 * 3600), (1234, 20_000), (3599, 3602), (86_000, 4000)] {
                let found = points(store, metric_type, at(from), Duration::seconds(length), interval).await;
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

/// Equal but for the rounding of sums taken in another order.
fn assert_close(name: &str, a: &Value, b: &Value) {
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            assert_eq!(x.keys().collect::<Vec<_>>(), y.keys().collect::<Vec<_>>(), "{name}");
            x.iter().for_each(|(k, v)| assert_close(name, v, &y[k]));
        }
        (Value::Array(x), Value::Array(y)) => {
            assert_eq!(x.len(), y.len(), "{name}");
            x.iter().zip(y).for_each(|(x, y)| assert_close(name, x, y));
        }
        (Value::Number(x), Value::Number(y)) => {
            let (x, y) = (x.as_f64().unwrap(), y.as_f64().unwrap());
            assert!((x - y).abs() <= 1e-9 * x.abs(), "{name}: {x} is not {y}");
        }
        _ => assert_eq!(a, b, "{name}"),
    }
}

async fn rollups_change_no_answer(fresh: &Fresh) {
    let store = &fresh.store;
    for chunk in varied(0, 30 * 3600).chunks(5000) {
        store.append(chunk).await.unwrap();
    }
    let raw = answers(store).await;
    assert!(raw.iter().all(|(_, points)| !points.is_empty()));
    // In the middle of an hour: some buckets are rolled up, some are not.
    assert!(roll(store.as_ref(), micros(at(29 * 3600 + 1830))).await.unwrap() > 1000);
    assert_same(&raw, &answers(store).await);
    roll(store.as_ref(), micros(at(60 * 3600))).await.unwrap();
    assert_same(&raw, &answers(store).await);
    assert_eq!(roll(store.as_ref(), micros(at(60 * 3600))).await.unwrap(), 0, "nothing is computed twice");
}

async fn late_data_is_rolled_up_again(fresh: &Fresh) {
    let store = &fresh.store;
    let (early, late): (Vec<Row>, Vec<Row>) =
        varied(0, 30 * 3600).into_iter().partition(|row| (row.timestamp - START).whole_seconds() % 750 != 0);
    for chunk in early.chunks(5000) {
        store.append(chunk).await.unwrap();
    }
    let now = micros(at(60 * 3600));
    roll(store.as_ref(), now).await.unwrap();
    store.append(&late).await.unwrap();
    let before = answers(store).await;
    assert!(roll(store.as_ref(), now).await.unwrap() > 0);
    assert_same(&before, &answers(store).await);
}

async fn comparison_measures_the_primary_value(fresh: &Fresh) {
    let store = &fresh.store;
    let rows: Vec<Row> = (0..720).map(|i| cpu(i * 5, 10.0)).collect();
    store.append(&rows).await.unwrap();
    let day = 86_400;
    let rows: Vec<Row> = (0..720).map(|i| cpu(day + i * 5, 15.0)).collect();
    store.append(&rows).await.unwrap();
    let hour = |from: i64| Range { start: at(from), end: at(from + 3599) };
    let minute = Interval::parse("1m").unwrap();
    let found = compare(store, MetricType::Cpu, (hour(day), hour(0)), minute, 1000).await.unwrap();
    assert_eq!((found.current.average, found.comparison.average), (Some(15.0), Some(10.0)));
    assert_eq!(found.change_percent, Some(50.0));
    assert_eq!((found.current.points.len(), found.comparison.points.len()), (60, 60));
    // Averages cover the range even where the points are cut off.
    let found = compare(store, MetricType::Cpu, (hour(day), hour(7200)), minute, 5).await.unwrap();
    assert_eq!((found.current.points.len(), found.current.truncated), (5, true));
    assert_eq!((found.current.average, found.comparison.average), (Some(15.0), None));
    assert_eq!(found.change_percent, None);
}

async fn replays_and_clock_steps_are_kept_once(fresh: &Fresh) {
    let store = &fresh.store;
    let rows: Vec<Row> = [100, 105, 40, 45, 4000].map(|s| cpu(s, s as f64)).into();
    store.append(&rows).await.unwrap();
    store.append(&rows).await.unwrap();
    roll(store.as_ref(), micros(at(10_000))).await.unwrap();
    store.append(&rows[..3]).await.unwrap();
    roll(store.as_ref(), micros(at(10_000))).await.unwrap();
    let hours = points(store, MetricType::Cpu, START, Duration::hours(2), "1h").await;
    let counts: Vec<_> = hours.iter().map(|p| p["count"].as_u64().unwrap()).collect();
    assert_eq!(counts, [4, 1]);
    let extent = store.extent().await.unwrap();
    // The hour's rollup begins before its first row.
    assert_eq!((extent.oldest, extent.newest), (Some(START), Some(at(4000))));
    assert!(extent.bytes > 10_000);
}

async fn the_last_snapshots_come_back_whole(fresh: &Fresh) {
    let store = &fresh.store;
    store.append(&varied(0, 9000)).await.unwrap();
    let snapshots = recent(store.as_ref(), at(3000), at(7500)).await.unwrap();
    let ticks: Vec<_> = snapshots.iter().map(|snapshot| snapshot.timestamp).collect();
    let mut expected: Vec<_> = varied(3000, 7500).iter().map(|row| row.timestamp).collect();
    expected.dedup();
    assert_eq!(ticks, expected);
    let message: Value = serde_json::from_slice(&snapshots[0].message()).unwrap();
    assert_eq!(message["type"], "metrics");
    for sent in varied(3000, 7500).iter().filter(|row| row.timestamp == ticks[0]) {
        let document: Value = serde_json::from_slice(&sent.json).unwrap();
        assert_eq!(message["data"][sent.metric_type.as_str()], document);
    }
}

/// The minute that is under way, or about to be.
fn this_minute() -> OffsetDateTime {
    let now = OffsetDateTime::now_utc();
    now.replace_second(0).and_then(|at| at.replace_nanosecond(0)).unwrap()
}

/// Documents of a minute whose values change their kinds on the way.
fn ticks(minute: OffsetDateTime) -> Vec<Vec<Row>> {
    let tick = |second: i64| {
        let at = minute + Duration::seconds(second);
        let latency = (second > 20).then_some(f64::from(second as i32) / 7.0);
        let top: Vec<_> = (0..second % 3).map(|n| json!({"pid": n, "comm": "a \u{0} \\ \"b\""})).collect();
        let wait = json!({"unit": "ns", "scheme": "log16", "buckets": [[second, 1]], "count": 1, "sum": 9, "max": 9});
        let sched =
            json!({"_timestamp": "t", "wait": wait, "latency": latency, "top": top, "list": [second, null]});
        let new = if second == 30 { json!({"d": second}) } else { json!(null) };
        let cpu = json!({"_timestamp": second, "usage": 0.1 * second as f64, "new": new, "frequency": 1e21});
        vec![row(MetricType::Cpu, at, &cpu), row(MetricType::Scheduler, at, &sched)]
    };
    (0..12).map(|n| tick(n * 5)).collect()
}

/// A minute's rollups by parsing what the table has of it.
async fn parsed(store: &Arc<dyn Store>, minute: i64) -> Vec<(MetricType, i64, Vec<u8>)> {
    let mut rollups = Vec::new();
    for metric_type in MetricType::ALL {
        let mut sum = Accumulator::default();
        let end = minute + Tier::Minute.width();
        for row in store.scan(Tier::Raw, metric_type, minute, end, 100).await.unwrap() {
            sum.add_document(row.at, &row.data);
        }
        if !sum.is_empty() {
            rollups.push((metric_type, sum.shape().key(), codec::encode(&sum, minute)));
        }
    }
    rollups
}

/// A minute's rollups as they are stored.
async fn rolled(store: &Arc<dyn Store>, minute: i64) -> Vec<(MetricType, i64, Vec<u8>)> {
    roll(store.as_ref(), minute + Tier::Minute.width()).await.unwrap();
    let mut rollups = Vec::new();
    for metric_type in MetricType::ALL {
        for row in store.scan(Tier::Minute, metric_type, minute, minute + 1, 2).await.unwrap() {
            rollups.push((metric_type, row.shape, row.data));
        }
    }
    rollups
}

async fn a_minute_just_written_is_rolled_up_from_memory(fresh: &Fresh) {
    let store = &fresh.store;
    let start = this_minute();
    let minute = micros(start);
    for tick in ticks(start) {
        store.append(&tick).await.unwrap();
    }
    let expected = parsed(store, minute).await;
    let summed = store.minute(minute).await.unwrap();
    // A machine that took minutes for this has nothing in memory any more.
    if this_minute() == start {
        let summed = summed.expect("memory has all of this minute");
        let summed: Vec<_> = summed
            .iter()
            .map(|(metric_type, sum)| (*metric_type, sum.shape().key(), codec::encode(sum, minute)))
            .collect();
        assert_eq!(summed, expected);
    }
    assert!(store.minute(minute).await.unwrap().is_none(), "it is given once");

    // Of another minute through the roller; then late data, which makes it be read from the table.
    let start = start + Duration::minutes(1);
    let minute = micros(start);
    let mut ticks = ticks(start);
    let late = ticks.remove(7);
    for tick in ticks {
        store.append(&tick).await.unwrap();
    }
    assert_eq!(rolled(store, minute).await, parsed(store, minute).await);
    store.append(&late).await.unwrap();
    let expected = parsed(store, minute).await;
    assert_eq!(rolled(store, minute).await, expected);
    assert!(expected.len() == 2);
}

async fn memory_is_not_believed_where_the_table_has_more(fresh: &Fresh) {
    let store = &fresh.store;
    // A server of the same host, as after a restart within the minute.
    let other = store::open(&fresh.url).await.unwrap();
    let start = this_minute();
    for (n, minute) in (0i64..3).zip([start, start + Duration::minutes(1), start + Duration::minutes(2)]) {
        let ticks = ticks(minute);
        let (theirs, ours) = match n {
            0 => (&ticks[..4], &ticks[4..]), // before
            1 => (&ticks[8..], &ticks[..8]), // after
            _ => (&ticks[3..5], &ticks[..]), // the same ticks
        };
        if n == 1 {
            for tick in ours {
                store.append(tick).await.unwrap();
            }
        }
        for tick in theirs {
            other.append(tick).await.unwrap();
        }
        if n != 1 {
            for tick in ours {
                store.append(tick).await.unwrap();
            }
        }
        let minute = micros(minute);
        assert!(store.minute(minute).await.unwrap().is_none(), "{n}");
        let expected = parsed(store, minute).await;
        assert_eq!(rolled(store, minute).await, expected, "{n}");
        assert_eq!(expected.len(), 2);
    }
    other.close().await;
}
