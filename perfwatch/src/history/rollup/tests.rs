use super::*;
use crate::history::maintenance::{Reach, clean};
use crate::history::questions::points::Points;
use crate::history::questions::{HistoryQuery, Interval};
use crate::history::testing::{START, cpu, history, reading};
use crate::snapshot::MetricType;
use crate::snapshot::layout::Layout;
use crate::snapshot::selection::Selection;
use serde_json::json;
use time::Duration;

async fn sums(history: &History, interval: &str, seconds: i64) -> Vec<(u64, f64, f64)> {
    let query = HistoryQuery {
        interval: Interval::parse(interval).unwrap(),
        ..HistoryQuery::new(MetricType::Cpu, START, START + Duration::seconds(seconds - 1))
    };
    let mut points = Points::open(history, query).await.unwrap();
    let mut all = Vec::new();
    while let Some((_, sum)) = points.next_sum().await.unwrap() {
        let stat = sum.stat("usage_percent").unwrap();
        all.push((stat.count, stat.average(), stat.max));
    }
    all
}

fn usage(second: i64) -> f64 {
    (second % 90) as f64
}

fn readings(seconds: impl Iterator<Item = i64>) -> Vec<Reading> {
    seconds.map(|second| cpu(second, usage(second))).collect()
}

/// The points of a given width, computed from all readings.
fn expected(seconds: impl Iterator<Item = i64>, width: i64) -> Vec<(u64, f64, f64)> {
    let mut points: BTreeMap<i64, (u64, f64, f64)> = BTreeMap::new();
    for second in seconds {
        let point = points.entry(second / width).or_insert((0, 0.0, 0.0));
        *point = (point.0 + 1, point.1 + usage(second), point.2.max(usage(second)));
    }
    points.into_values().map(|(count, sum, max)| (count, sum / count as f64, max)).collect()
}

const DAY: i64 = 86_400;

fn after(seconds: i64) -> i64 {
    micros(START + Duration::seconds(seconds))
}

#[tokio::test]
async fn every_tier_has_the_sums_of_the_readings() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, history) = history(dir.path()).await;
    let seconds = || (0..2 * DAY).step_by(10);
    store_readings(&history, &readings(seconds()), Vec::new()).await.unwrap();
    for rolled in [false, true] {
        if rolled {
            assert_eq!(roll(&history, after(3 * DAY)).await.unwrap(), 50);
            assert_eq!(roll(&history, after(3 * DAY)).await.unwrap(), 0);
        }
        for (interval, width) in [("1m", 60), ("5m", 300), ("1h", 3600), ("6h", 21_600), ("1d", DAY)] {
            assert_eq!(
                sums(&history, interval, 2 * DAY).await,
                expected(seconds(), width),
                "{interval} {rolled}"
            );
        }
    }
}

#[tokio::test]
async fn late_readings_of_any_age_are_in_all_tiers_and_none_is_counted_twice() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, history) = history(dir.path()).await;
    let even = || (0..DAY).step_by(20);
    let odd = || (10..DAY).step_by(20);
    store_readings(&history, &readings(even()), Vec::new()).await.unwrap();
    roll(&history, after(2 * DAY)).await.unwrap();
    for _ in 0..2 {
        store_readings(&history, &readings(odd()), Vec::new()).await.unwrap();
        roll(&history, after(2 * DAY)).await.unwrap();
    }
    let all = || (0..DAY).step_by(10);
    for (interval, width) in [("10s", 10), ("1m", 60), ("1h", 3600), ("1d", DAY)] {
        assert_eq!(sums(&history, interval, DAY).await, expected(all(), width), "{interval}");
    }
}

#[tokio::test]
async fn what_retention_leaves_answers_for_what_it_removed() {
    let dir = tempfile::tempdir().unwrap();
    let (store, history) = history(dir.path()).await;
    let seconds = || (0..2 * DAY).step_by(10);
    store_readings(&history, &readings(seconds()), Vec::new()).await.unwrap();
    let mut policy = store.archive_policy().await.unwrap();
    policy.downsample_after_days = 1;
    store.set_archive_policy(&policy).await.unwrap();
    // The first day's readings are removed; minutes stay.
    let done = clean(&history, store.as_ref(), START + Duration::days(2), Reach::All).await.unwrap();
    assert!(done.downsampled_count > 0 && done.deleted_count == 0, "{done:?}");
    for (interval, width) in [("1m", 60), ("1h", 3600), ("1d", DAY)] {
        assert_eq!(sums(&history, interval, 2 * DAY).await, expected(seconds(), width), "{interval}");
    }
    let finest = sums(&history, "10s", 2 * DAY).await;
    assert_eq!(finest.len(), 1440 + 8640);
    // Past retention everything is removed.
    let done = clean(&history, store.as_ref(), START + Duration::days(40), Reach::All).await.unwrap();
    assert!(done.deleted_count > 0);
    assert_eq!(sums(&history, "1d", 2 * DAY).await, []);
    assert_eq!(history.extent().await.unwrap().oldest, None);
}

/// CPUs go offline and sensors fail: a point still covers its whole time.
#[tokio::test]
async fn lists_that_change_their_length_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, history) = history(dir.path()).await;
    let mut all = Vec::new();
    for second in 0..45 {
        let body = if second < 20 {
            json!({"usage_percent": 10.0, "per_core": [10, 10, 10, 10], "temperature_celsius": [50, 41, 90]})
        } else {
            json!({"usage_percent": 90.0, "per_core": [90, 90, 90], "temperature_celsius": [50, 90]})
        };
        all.push(reading(MetricType::Cpu, second, &body));
    }
    store_readings(&history, &all, Vec::new()).await.unwrap();
    let query = HistoryQuery {
        interval: Interval::parse("1m").unwrap(),
        stats: crate::history::questions::Stats { min: true, max: true, count: true },
        ..HistoryQuery::new(MetricType::Cpu, START, START + Duration::minutes(1))
    };
    let mut points = Points::open(&history, query).await.unwrap();
    let point: serde_json::Value =
        serde_json::from_slice(&points.next().await.unwrap().unwrap().json).unwrap();
    assert_eq!(point["max"]["per_core"], json!([90, 90, 90, 10]));
    assert_eq!(point["min"]["per_core"], json!([10, 10, 10, 10]));
    let average = point["data"]["per_core"][0].as_f64().unwrap();
    // Averages are rounded to six decimals.
    assert!((average - 2450.0 / 45.0).abs() < 1e-6, "{average}");
    assert_eq!(point["count"], 45);
}

/// Interfaces, mounts and processes are averaged separately, by name.
#[tokio::test]
async fn things_of_a_list_are_averaged_by_their_names() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, history) = history(dir.path()).await;
    let all: Vec<Reading> = (0..40)
        .map(|second| {
            let rate = if second < 10 { 0.0 } else { 10e6 };
            let eth0 = json!({"name": "eth0", "state": "up", "bytes_recv_per_sec": rate});
            let veth = json!({"name": "veth1", "state": "up", "bytes_recv_per_sec": 4.0});
            let interfaces = if second % 2 == 0 { vec![eth0, veth] } else { vec![eth0] };
            reading(MetricType::Network, second, &json!({"interfaces": interfaces}))
        })
        .collect();
    store_readings(&history, &all, Vec::new()).await.unwrap();
    let query = HistoryQuery {
        interval: Interval::parse("1m").unwrap(),
        ..HistoryQuery::new(MetricType::Network, START, START + Duration::minutes(1))
    };
    let mut points = Points::open(&history, query).await.unwrap();
    let point: serde_json::Value =
        serde_json::from_slice(&points.next().await.unwrap().unwrap().json).unwrap();
    assert_eq!(point["data"]["interfaces"][0]["name"], "eth0");
    assert_eq!(point["data"]["interfaces"][0]["bytes_recv_per_sec"], 7.5e6);
    assert_eq!(point["data"]["interfaces"][1]["bytes_recv_per_sec"], 4);
}

/// Constantly changing names are bounded in what is kept long-term.
#[tokio::test]
async fn ten_thousand_processes_a_minute_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let (store, history) = history(dir.path()).await;
    let all: Vec<Reading> = (0..60)
        .map(|second| {
            let top: Vec<_> = (0..170)
                .map(|n| json!({"pid": second * 170 + n, "comm": format!("job-{second}-{n}"), "cpu_percent": n}))
                .collect();
            reading(MetricType::Processes, second, &json!({ "top": top }))
        })
        .collect();
    store_readings(&history, &all, Vec::new()).await.unwrap();
    let wanted = Wanted { content: MetricType::Processes.into(), tier: 60, from: after(0), to: after(60) };
    let chunk = store.find("test-host", wanted, 9).await.unwrap().remove(0);
    let minutes = chunk::Buckets::decode(&chunk.data, Selection::all(MetricType::Processes)).unwrap();
    let layout = Layout::of(MetricType::Processes);
    let top = layout.tables.iter().position(|table| table.path == "top").unwrap();
    assert_eq!(minutes.bucket(0).keys_of(top).len(), 40);
    assert!(chunk.data.len() < 16 << 10, "{} bytes", chunk.data.len());
}

/// Of groups, those with the most CPU time and those with the most memory are kept, with their devices.
#[tokio::test]
async fn groups_that_churn_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let (store, history) = history(dir.path()).await;
    let device = json!({"vda": {"read_bytes_per_sec": 1}});
    let all: Vec<Reading> = (0..60)
        .map(|second| {
            let group = |name: String, cpu: i64, memory: i64| {
                json!({"cgroup": name, "cpu_percent": cpu, "memory_bytes": memory, "io": device})
            };
            let jobs = (0..20).map(|n| group(format!("/job-{second}-{n}"), 2, 2));
            let lasting = [group("/busy".into(), 90, 0), group("/large".into(), 0, 1 << 30)];
            let groups: Vec<_> = lasting.into_iter().chain(jobs).collect();
            reading(MetricType::Cgroups, second, &json!({ "groups": groups }))
        })
        .collect();
    store_readings(&history, &all, Vec::new()).await.unwrap();
    let wanted = Wanted { content: MetricType::Cgroups.into(), tier: 60, from: after(0), to: after(60) };
    let chunk = store.find("test-host", wanted, 9).await.unwrap().remove(0);
    let minutes = chunk::Buckets::decode(&chunk.data, Selection::all(MetricType::Cgroups)).unwrap();
    let table = |path: &str| {
        Layout::of(MetricType::Cgroups).tables.iter().position(|table| table.path == path).unwrap()
    };
    let bucket = minutes.bucket(0);
    let names: Vec<String> = bucket.keys_of(table("groups")).iter().map(|key| key[0].to_string()).collect();
    assert!(names.len() == 256 && names.contains(&"/busy".into()) && names.contains(&"/large".into()));
    let with_devices: Vec<String> =
        bucket.keys_of(table("groups.io")).iter().map(|key| key[0].to_string()).collect();
    assert_eq!(with_devices, names);
}

#[tokio::test]
async fn a_damaged_chunk_is_a_gap_and_everything_else_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let (store, history) = history(dir.path()).await;
    store_readings(&history, &readings((0..7200).step_by(10)), Vec::new()).await.unwrap();
    let wanted = Wanted { content: MetricType::Cpu.into(), tier: 0, from: after(0), to: after(7200) };
    let mut chunks = store.find("test-host", wanted, 99).await.unwrap();
    let count = chunks.len();
    let mut broken = chunks.remove(0);
    broken.data = broken.data.iter().map(|byte| byte ^ 0x55).collect::<Vec<u8>>().into();
    store.commit("test-host", &Batch { put: vec![broken], ..Batch::default() }).await.unwrap();
    let points = sums(&history, "10s", 7200).await;
    assert!(count > 1 && points.len() == 720 - 360, "{} points of {count} chunks", points.len());
    assert_eq!(history.damaged_chunks(), 1);
    // Existing rollups are unaffected, and so is the next roll-up.
    assert_eq!(roll(&history, after(3 * DAY)).await.unwrap(), 3);
    assert_eq!(sums(&history, "1h", 7200).await, expected((0..7200).step_by(10), 3600));
}
