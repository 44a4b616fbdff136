//! Queries over long ranges: what changed, what a month still shows, what a file contains.

use perfwatch::history::maintenance::{Reach, clean};
use perfwatch::history::questions::changes::rank::{Direction, Kind};
use perfwatch::history::questions::changes::{Changes, changes};
use perfwatch::history::questions::compare::Range;
use perfwatch::history::questions::export::{Export, Format};
use perfwatch::history::questions::points::Points;
use perfwatch::history::questions::{HistoryQuery, Interval, Stats};
use perfwatch::history::rollup::roll;
use perfwatch::snapshot::{MetricType, Reading};
use serde_json::{Value, json};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use crate::readings::{self, reading};
use crate::{Fresh, micros, on_every_engine};

on_every_engine!(
    what_changed_is_ranked_and_constants_and_counters_are_not,
    a_spike_of_one_sample_twenty_days_ago_shows_in_the_months_chart,
    an_export_holds_what_a_query_answers,
);

const NOW: OffsetDateTime = datetime!(2026-03-31 12:00:00 UTC);

async fn what_changed_is_ranked_and_constants_and_counters_are_not(fresh: &Fresh) {
    let history = &fresh.history;
    let hour = |day: i64, slow: bool| -> Vec<Reading> {
        (0..720)
            .flat_map(|tick| {
                let at = NOW - Duration::days(day) - Duration::hours(1) + Duration::seconds(tick * 5);
                let n = (tick * 7919 % 720) as f64 / 720.0;
                let total = 1.0e9 - day as f64 * 1.0e8 + tick as f64 * 1000.0;
                let cpu = json!({
                    "usage_percent": if slow { 80.0 + n } else { 20.0 + n },
                    "core_count": 8, "temperature": 50.0 + n * 10.0, "interrupts": total,
                });
                let network = json!({"total_bytes_sent": total, "bytes_sent_per_sec": 200.0});
                let bucket = if slow { 250 } else { 200 };
                let wait = json!({"unit": "ns", "scheme": "log16", "buckets": [[bucket, 5], [bucket + 8, 2]], "count": 7, "sum": 1, "max": 1});
                [
                    reading(MetricType::Cpu, at, &cpu),
                    reading(MetricType::Network, at, &network),
                    reading(MetricType::Scheduler, at, &json!({ "runqueue_wait": {"histogram": wait}, "context_switches": 100.0 + n })),
                    reading(MetricType::PerfEvents, at, &json!({ "sample_time": f64::from(u8::from(slow)) * 1e6, "elapsed_ms": 1e3 + f64::from(u8::from(slow)) })),
                ]
            })
            .collect()
    };
    readings::store(history, &hour(1, false)).await;
    readings::store(history, &hour(0, true)).await;
    roll(history, micros(NOW)).await.unwrap();
    let today = Range { start: NOW - Duration::hours(1), end: NOW };
    let yesterday = Range { start: today.start - Duration::DAY, end: today.end - Duration::DAY };

    let Changes { interval, changes: found, .. } =
        changes([(history, today), (history, yesterday)], 100).await.unwrap();
    assert_eq!(interval.as_str(), "1m");
    let names: Vec<&str> = found.iter().map(|c| c.field.as_str()).collect();
    assert_eq!(names[..2], ["usage_percent", "runqueue_wait.histogram"], "{found:?}");
    assert_eq!((found[1].change.kind, found[1].change.direction), (Kind::Histogram, Direction::Up));
    assert_eq!((found[0].change.kind, found[0].change.direction), (Kind::Number, Direction::Up));
    assert!(found[0].change.score > 0.8, "{found:?}");
    let usage = found[0].change;
    assert!((usage.current.median - 80.5).abs() < 0.1 && (usage.comparison.median - 20.5).abs() < 0.1);
    // A constant, a counter that grew at its usual pace, and one that already is a rate are no news.
    assert!(!names.contains(&"core_count") && !names.contains(&"total_bytes_sent"), "{names:?}");
    // Changes in PerfWatch's own measuring are no change of the machine.
    assert!(!names.contains(&"sample_time") && !names.contains(&"elapsed_ms"), "{names:?}");
    assert!(found[2..].iter().all(|c| c.change.score < 0.1), "{found:?}");

    let first = changes([(history, today), (history, yesterday)], 1).await.unwrap().changes;
    assert_eq!(first.len(), 1);
    let empty = Range { start: today.start - Duration::WEEK, end: today.end - Duration::WEEK };
    let has_data = |found: &Changes| (found.current_has_data, found.comparison_has_data);
    let nothing = changes([(history, today), (history, empty)], 9).await.unwrap();
    assert!(nothing.changes.is_empty());
    assert_eq!(has_data(&nothing), (true, false));
    assert_eq!(has_data(&changes([(history, empty), (history, today)], 9).await.unwrap()), (false, true));
    assert_eq!(has_data(&changes([(history, empty), (history, empty)], 9).await.unwrap()), (false, false));
}

async fn a_spike_of_one_sample_twenty_days_ago_shows_in_the_months_chart(fresh: &Fresh) {
    let history = &fresh.history;
    let spike = NOW - Duration::days(20) + Duration::seconds(35);
    let day = |from: OffsetDateTime| -> Vec<Reading> {
        (0..6 * 3600 / 5)
            .map(|tick| {
                let at = from + Duration::seconds(tick * 5);
                reading(MetricType::Cpu, at, &json!({"usage_percent": if at == spike { 99.5 } else { 10.0 }}))
            })
            .collect()
    };
    for days in [25, 20, 15, 8, 1] {
        readings::store(history, &day(NOW - Duration::days(days))).await;
    }
    roll(history, micros(NOW)).await.unwrap();
    let month = HistoryQuery {
        interval: Interval::auto(NOW - Duration::days(30), NOW),
        stats: Stats { min: true, max: true, count: true },
        ..HistoryQuery::new(MetricType::Cpu, NOW - Duration::days(30), NOW)
    };
    // Before and after rollups replace raw readings.
    for cleaned in [false, true] {
        if cleaned {
            let done = clean(history, fresh.store.as_ref(), NOW, Reach::All).await.unwrap();
            assert!(done.downsampled_count > 0);
        }
        let mut points = Points::open(history, month.clone()).await.unwrap();
        let (mut highest, mut samples) = (Vec::new(), 0);
        while let Some(point) = points.next().await.unwrap() {
            let point: Value = serde_json::from_slice(&point.json).unwrap();
            samples += point["count"].as_u64().unwrap();
            if point["max"]["usage_percent"] != 10 {
                highest.push(point);
            }
        }
        assert_eq!(samples, 5 * 6 * 3600 / 5);
        let [point] = &highest[..] else { panic!("one point has the spike: {highest:?}") };
        assert_eq!(point["max"]["usage_percent"], 99.5);
        assert_eq!(point["min"]["usage_percent"], 10);
        assert_eq!(point["timestamp"], "2026-03-11T12:00:00Z");
        let average = point["data"]["usage_percent"].as_f64().unwrap();
        assert!((average - (10.0 * 719.0 + 99.5) / 720.0).abs() < 1e-6, "{average}");
    }
}

async fn an_export_holds_what_a_query_answers(fresh: &Fresh) {
    let history = &fresh.history;
    let readings: Vec<Reading> = (0..2000)
        .map(|tick| {
            reading(MetricType::Disk, NOW + Duration::seconds(tick * 5), &json!({"io": {"read_bytes": tick}}))
        })
        .collect();
    readings::store(history, &readings).await;
    let query = HistoryQuery {
        interval: Interval::parse("5s").unwrap(),
        limit: usize::MAX,
        ..HistoryQuery::new(MetricType::Disk, NOW, NOW + Duration::hours(3))
    };
    let mut export = Export::open(history, query, Format::Csv).await.unwrap();
    let mut text = Vec::new();
    let mut pieces = 0;
    while let Some(piece) = export.next_piece().await.unwrap() {
        assert!(piece.len() < 200_000, "an export is never in memory as a whole");
        text.extend(piece);
        pieces += 1;
    }
    assert!(pieces >= 1);
    let text = String::from_utf8(text).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2001);
    assert_eq!(lines[..2], ["timestamp,\"io.read_bytes\"", "2026-03-31T12:00:00Z,0"]);
    assert_eq!(lines[2000], "2026-03-31T14:46:35Z,1999");
}
