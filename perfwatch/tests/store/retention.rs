//! What goes, what stays, and that the counts are true.

use perfwatch::snapshot::MetricType;
use perfwatch::store::policy::{ArchivePolicy, DownsampleInterval};
use perfwatch::store::retention::clean;
use perfwatch::store::roller::roll;
use perfwatch::store::{Row, Store};
use serde_json::json;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use crate::{Fresh, micros, on_every_engine, points, row};

on_every_engine!(
    old_rows_leave_their_rollups,
    coarser_policies_leave_coarser_rollups,
    expired_rows_go,
    late_rows_join_what_was_downsampled,
    a_policy_that_keeps_raw_removes_nothing,
);

const NOW: OffsetDateTime = datetime!(2026-02-01 12:00:00 UTC);

/// Twelve rows a minute for ten minutes, `age` ago, one of them a spike.
fn ten_minutes(age: Duration) -> Vec<Row> {
    (0..120)
        .map(|i| {
            let usage = if i == 77 { 99.5 } else { 2.0 };
            row(MetricType::Cpu, NOW - age + Duration::seconds(i * 5), &json!({ "usage_percent": usage }))
        })
        .collect()
}

async fn set(store: &dyn Store, change: impl FnOnce(&mut ArchivePolicy)) {
    let mut policy = store.archive_policy().await.unwrap();
    change(&mut policy);
    store.set_archive_policy(&policy).await.unwrap();
}

async fn old_rows_leave_their_rollups(fresh: &Fresh) {
    let store = &fresh.store;
    for days in [20, 8, 1] {
        store.append(&ten_minutes(Duration::days(days))).await.unwrap();
    }
    let done = clean(store.as_ref(), NOW).await.unwrap();
    assert_eq!((done.deleted_count, done.downsampled_count), (0, 240));
    assert_eq!(store.archive_policy().await.unwrap().last_archive_run, Some(NOW));
    let again = clean(store.as_ref(), NOW).await.unwrap();
    assert_eq!((again.deleted_count, again.downsampled_count), (0, 0));

    let start = NOW - Duration::days(20);
    let minutes = points(store, MetricType::Cpu, start, Duration::hours(1), "5s").await;
    assert_eq!(minutes.len(), 10, "the finest that is left");
    let month = points(store, MetricType::Cpu, NOW - Duration::days(30), Duration::days(30), "1h").await;
    let spikes = month.iter().filter(|p| p["max"]["usage_percent"] == 99.5).count();
    assert_eq!(spikes, 3, "a spike of one sample is seen in any hour");
    let raw = points(store, MetricType::Cpu, NOW - Duration::days(1), Duration::hours(1), "5s").await;
    assert_eq!(raw.len(), 120);
}

async fn coarser_policies_leave_coarser_rollups(fresh: &Fresh) {
    let store = &fresh.store;
    store.append(&ten_minutes(Duration::days(9))).await.unwrap();
    for (interval, left) in [(DownsampleInterval::FiveMinutes, 2), (DownsampleInterval::Hour, 1)] {
        set(store.as_ref(), |policy| policy.downsample_interval = interval).await;
        clean(store.as_ref(), NOW).await.unwrap();
        let found = points(store, MetricType::Cpu, NOW - Duration::days(9), Duration::hours(1), "1m").await;
        assert_eq!(found.len(), left);
        assert_eq!(found.iter().map(|p| p["count"].as_u64().unwrap()).sum::<u64>(), 120);
    }
}

async fn expired_rows_go(fresh: &Fresh) {
    let store = &fresh.store;
    store.append(&ten_minutes(Duration::days(40))).await.unwrap();
    store.append(&ten_minutes(Duration::days(2))).await.unwrap();
    set(store.as_ref(), |policy| policy.archive_enabled = false).await;
    let done = clean(store.as_ref(), NOW).await.unwrap();
    assert_eq!((done.deleted_count, done.downsampled_count), (120, 0));
    roll(store.as_ref(), micros(NOW)).await.unwrap();
    set(store.as_ref(), |policy| policy.retention_days = 1).await;
    // 120 rows, 10 minutes, 2 five minutes, 1 hour, 1 day.
    let done = clean(store.as_ref(), NOW).await.unwrap();
    assert_eq!(done.deleted_count, 134);
    assert_eq!(store.extent().await.unwrap().oldest, None);
}

async fn late_rows_join_what_was_downsampled(fresh: &Fresh) {
    let store = &fresh.store;
    let (late, early): (Vec<Row>, Vec<Row>) =
        ten_minutes(Duration::days(10)).into_iter().partition(|row| row.timestamp.second() % 20 == 0);
    store.append(&early).await.unwrap();
    let done = clean(store.as_ref(), NOW).await.unwrap();
    assert_eq!(done.downsampled_count, 90);
    store.append(&late).await.unwrap();
    clean(store.as_ref(), NOW).await.unwrap();
    for (interval, buckets) in [("1m", 10), ("5m", 2), ("1h", 1), ("1d", 1)] {
        let start = NOW - Duration::days(10);
        let start = if interval == "1d" { start.replace_time(time::Time::MIDNIGHT) } else { start };
        let found = points(store, MetricType::Cpu, start, Duration::hours(23), interval).await;
        assert_eq!(found.len(), buckets, "{interval}");
        let count: u64 = found.iter().map(|p| p["count"].as_u64().unwrap()).sum();
        assert_eq!(count, 120, "{interval}");
    }
}

async fn a_policy_that_keeps_raw_removes_nothing(fresh: &Fresh) {
    let store = &fresh.store;
    store.append(&ten_minutes(Duration::days(20))).await.unwrap();
    set(store.as_ref(), |policy| policy.downsample_interval = DownsampleInterval::FiveSeconds).await;
    let done = clean(store.as_ref(), NOW).await.unwrap();
    assert_eq!((done.deleted_count, done.downsampled_count), (0, 0));
    let raw = points(store, MetricType::Cpu, NOW - Duration::days(20), Duration::hours(1), "5s").await;
    assert_eq!(raw.len(), 120);
}
