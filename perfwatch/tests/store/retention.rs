//! What is deleted, what stays, and that the counts are right.

use perfwatch::history::History;
use perfwatch::history::growth::growth;
use perfwatch::history::maintenance::{Cleanup, Reach, clean};
use perfwatch::history::rollup::roll;
use perfwatch::history::tier::Tier;
use perfwatch::snapshot::{MetricType, Reading};
use perfwatch::store::Store;
use perfwatch::store::chunks::{Batch, Chunk, Content, Wanted};
use perfwatch::store::policy::{ArchivePolicy, DownsampleInterval};
use serde_json::json;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use crate::readings::{self, reading};
use crate::{Fresh, HOST, micros, on_every_engine, points};

on_every_engine!(
    old_readings_leave_their_rollups,
    coarser_policies_leave_coarser_rollups,
    what_expired_goes,
    growth_is_what_was_written_lately,
    nothing_older_than_the_retention_is_shown,
    late_readings_join_what_was_downsampled,
    a_policy_that_keeps_raw_removes_nothing,
    a_cleanup_by_itself_removes_a_part_at_a_time,
    a_cleanup_by_itself_keeps_up_with_what_is_old_enough_to_be_downsampled,
);

const NOW: OffsetDateTime = datetime!(2026-02-01 12:00:00 UTC);

/// Twelve readings a minute for ten minutes, `age` ago, one of them a spike.
fn ten_minutes(age: Duration) -> Vec<Reading> {
    (0..120)
        .map(|i| {
            let usage = if i == 77 { 99.5 } else { 2.0 };
            reading(MetricType::Cpu, NOW - age + Duration::seconds(i * 5), &json!({ "usage_percent": usage }))
        })
        .collect()
}

async fn set(store: &dyn Store, change: impl FnOnce(&mut ArchivePolicy)) {
    let mut policy = store.archive_policy().await.unwrap();
    change(&mut policy);
    store.set_archive_policy(&policy).await.unwrap();
}

async fn cleaned(fresh: &Fresh) -> Cleanup {
    clean(&fresh.history, fresh.store.as_ref(), NOW, Reach::All).await.unwrap()
}

/// Remaining chunks of a tier.
async fn chunks(history: &History, tier: i64) -> usize {
    let wanted = Wanted { content: MetricType::Cpu.into(), tier, from: 0, to: micros(NOW) };
    history.chunks().find(HOST, wanted, 10_000).await.unwrap().len()
}

async fn growth_is_what_was_written_lately(fresh: &Fresh) {
    let hour = |metric_type, tier, hours_ago: i64, length: i64, bytes: usize| {
        let start = micros(NOW - Duration::hours(hours_ago));
        Chunk {
            content: Content::from(metric_type),
            tier,
            start,
            first: start,
            end: start + length * 60_000_000,
            data: vec![7; bytes].into(),
        }
    };
    let put = vec![
        // Half of the last day, from which a whole one is concluded.
        hour(MetricType::Cpu, 0, 12, 60, 1000),
        hour(MetricType::Cpu, 0, 6, 60, 2000),
        hour(MetricType::Cpu, 0, 1, 60, 3000),
        hour(MetricType::Disk, 0, 1, 60, 100),
        hour(MetricType::Cpu, 3600, 96, 96 * 60, 400),
        // Too old, and too little.
        hour(MetricType::Cpu, 0, 100, 60, 1_000_000),
        hour(MetricType::Cpu, 60, 1, 5, 1_000_000),
    ];
    fresh.store.commit(HOST, &Batch { put, ..Batch::default() }).await.unwrap();
    let found = growth(&fresh.history, NOW).await.unwrap();
    let told: Vec<_> = found.iter().map(|of| (of.tier, of.bytes_per_day.round())).collect();
    assert_eq!(told, [(Tier::Raw, 6000.0 * 2.0 + 100.0 * 24.0), (Tier::Hour, 100.0)]);
    let other = History::new(std::sync::Arc::clone(fresh.history.chunks()), "another");
    assert_eq!(growth(&other, NOW).await.unwrap(), []);
}

async fn old_readings_leave_their_rollups(fresh: &Fresh) {
    let history = &fresh.history;
    for days in [20, 8, 1] {
        readings::store(history, &ten_minutes(Duration::days(days))).await;
    }
    let before = chunks(history, 0).await;
    let done = cleaned(fresh).await;
    assert_eq!(done.deleted_count, 0);
    assert_eq!(done.downsampled_count, (before - chunks(history, 0).await) as u64);
    assert!(done.downsampled_count > 0 && chunks(history, 0).await > 0, "{done:?}");
    assert_eq!(fresh.store.archive_policy().await.unwrap().last_archive_run, Some(NOW));
    let again = cleaned(fresh).await;
    assert_eq!((again.deleted_count, again.downsampled_count), (0, 0));

    let start = NOW - Duration::days(20);
    let minutes = points(history, MetricType::Cpu, start, Duration::hours(1), "5s").await;
    assert_eq!(minutes.len(), 10, "the finest that is left");
    let month = points(history, MetricType::Cpu, NOW - Duration::days(30), Duration::days(30), "1h").await;
    let spikes = month.iter().filter(|p| p["max"]["usage_percent"] == 99.5).count();
    assert_eq!(spikes, 3, "a spike of one reading is seen in any hour");
    let raw = points(history, MetricType::Cpu, NOW - Duration::days(1), Duration::hours(1), "5s").await;
    assert_eq!(raw.len(), 120);
}

async fn coarser_policies_leave_coarser_rollups(fresh: &Fresh) {
    let history = &fresh.history;
    readings::store(history, &ten_minutes(Duration::days(9))).await;
    for (interval, left) in [(DownsampleInterval::FiveMinutes, 2), (DownsampleInterval::Hour, 1)] {
        set(fresh.store.as_ref(), |policy| policy.downsample_interval = interval).await;
        cleaned(fresh).await;
        let found = points(history, MetricType::Cpu, NOW - Duration::days(9), Duration::hours(1), "1m").await;
        assert_eq!(found.len(), left);
        assert_eq!(found.iter().map(|p| p["count"].as_u64().unwrap()).sum::<u64>(), 120);
    }
}

async fn what_expired_goes(fresh: &Fresh) {
    let history = &fresh.history;
    readings::store(history, &ten_minutes(Duration::days(40))).await;
    readings::store(history, &ten_minutes(Duration::days(2))).await;
    set(fresh.store.as_ref(), |policy| policy.archive_enabled = false).await;
    let before = [chunks(history, 0).await, chunks(history, 60).await];
    let done = cleaned(fresh).await;
    let after = [chunks(history, 0).await, chunks(history, 60).await];
    assert_eq!(done.downsampled_count, 0);
    assert_eq!(done.deleted_count, (before.iter().sum::<usize>() - after.iter().sum::<usize>()) as u64);
    assert_eq!(after, [1, 1]);
    let old = NOW - Duration::days(40);
    assert!(points(history, MetricType::Cpu, old, Duration::hours(1), "5s").await.is_empty());
    roll(history, micros(NOW)).await.unwrap();
    set(fresh.store.as_ref(), |policy| policy.retention_days = 1).await;
    assert!(cleaned(fresh).await.deleted_count >= 2);
    for interval in ["5s", "1m", "5m", "1h", "1d"] {
        let found =
            points(history, MetricType::Cpu, NOW - Duration::days(60), Duration::days(60), interval).await;
        assert!(found.is_empty(), "{interval}: {found:?}");
    }
}

/// Rollups of many days in one chunk: expired ones are not shown because of the others.
async fn nothing_older_than_the_retention_is_shown(fresh: &Fresh) {
    let history = &fresh.history;
    // A retention of 30 days began on January 2nd.
    for days in 20..=40 {
        readings::store(history, &ten_minutes(Duration::days(days))).await;
    }
    roll(history, micros(NOW)).await.unwrap();
    cleaned(fresh).await;
    for (interval, kept) in [("5s", 11), ("1m", 11), ("1h", 11), ("1d", 11)] {
        let found =
            points(history, MetricType::Cpu, NOW - Duration::days(60), Duration::days(60), interval).await;
        let days: std::collections::BTreeSet<&str> =
            found.iter().map(|point| &point["timestamp"].as_str().unwrap()[..10]).collect();
        assert_eq!(days.first(), Some(&"2026-01-02"), "{interval}");
        assert_eq!(days.len(), kept, "{interval}: {days:?}");
    }
    let oldest = history.extent().await.unwrap().oldest.unwrap();
    assert!(oldest >= NOW - Duration::days(31), "{oldest} is told to be the oldest");
}

async fn late_readings_join_what_was_downsampled(fresh: &Fresh) {
    let history = &fresh.history;
    let (late, early): (Vec<Reading>, Vec<Reading>) =
        ten_minutes(Duration::days(10)).into_iter().partition(|reading| reading.at.second() % 20 == 0);
    readings::store(history, &early).await;
    assert!(cleaned(fresh).await.downsampled_count > 0);
    readings::store(history, &late).await;
    cleaned(fresh).await;
    for (interval, buckets) in [("1m", 10), ("5m", 2), ("1h", 1), ("1d", 1)] {
        let start = NOW - Duration::days(10);
        let start = if interval == "1d" { start.replace_time(time::Time::MIDNIGHT) } else { start };
        let found = points(history, MetricType::Cpu, start, Duration::hours(23), interval).await;
        assert_eq!(found.len(), buckets, "{interval}");
        let count: u64 = found.iter().map(|p| p["count"].as_u64().unwrap()).sum();
        assert_eq!(count, 120, "{interval}");
    }
}

async fn a_policy_that_keeps_raw_removes_nothing(fresh: &Fresh) {
    let history = &fresh.history;
    readings::store(history, &ten_minutes(Duration::days(20))).await;
    set(fresh.store.as_ref(), |policy| policy.downsample_interval = DownsampleInterval::FiveSeconds).await;
    let done = cleaned(fresh).await;
    assert_eq!((done.deleted_count, done.downsampled_count), (0, 0));
    let raw = points(history, MetricType::Cpu, NOW - Duration::days(20), Duration::hours(1), "5s").await;
    assert_eq!(raw.len(), 120);
}

/// As if the clock were 400 days ahead: each cleanup takes little enough to leave time to notice.
async fn a_cleanup_by_itself_removes_a_part_at_a_time(fresh: &Fresh) {
    let history = &fresh.history;
    for days in (1..=32).rev() {
        readings::store(history, &ten_minutes(Duration::days(days))).await;
    }
    let ahead = NOW + Duration::days(400);
    let oldest = || async { history.extent().await.unwrap().oldest.unwrap() };
    let (before, mut left) = (oldest().await, 32.0);
    for _ in 0..2 {
        clean(history, fresh.store.as_ref(), ahead, Reach::Part).await.unwrap();
        let gone = (oldest().await - before).as_seconds_f64() / 86_400.0;
        assert!(gone > 0.0 && 32.0 - gone > left * 0.85 - 1.0, "{gone} of {left} days");
        left = 32.0 - gone;
    }
    clean(history, fresh.store.as_ref(), ahead, Reach::All).await.unwrap();
    assert_eq!(chunks(history, 0).await, 0);
}

/// Rollups go back much further than readings: how many of these a cleanup may take counts from where they begin.
async fn a_cleanup_by_itself_keeps_up_with_what_is_old_enough_to_be_downsampled(fresh: &Fresh) {
    let history = &fresh.history;
    for days in (1..=80).rev() {
        readings::store(history, &ten_minutes(Duration::days(days))).await;
    }
    let downsampled = |now| clean(history, fresh.store.as_ref(), now, Reach::Part);
    // It takes several runs to get there.
    while downsampled(NOW).await.unwrap().downsampled_count > 0 {}
    let kept = chunks(history, 0).await;
    assert_eq!(downsampled(NOW + Duration::days(1)).await.unwrap().downsampled_count, (kept / 7) as u64);
}
