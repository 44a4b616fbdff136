use serde_json::{Value as Json, json};

use super::accounts::{Facts, Whose};
use super::amounts::Amounts;
use super::over_time::{UsageHistory, UsagePoint, UsageQuery};
use super::ranking::{By, Ranked, RankingQuery, ranking};
use crate::history::questions::Interval;
use crate::history::rollup;
use crate::history::testing::{START, history, reading};
use crate::history::{History, micros};
use crate::snapshot::MetricType;
use crate::snapshot::Reading;

fn row(cgroup: Option<&str>, comm: &str, pid: u32, cpu_us: u64, others: Json) -> Json {
    let mut row = json!({"cgroup": cgroup, "comm": comm, "pid": pid, "processes": 1, "exits": 0, "cpu_us": cpu_us,
        "read_bytes": 0, "write_bytes": 0});
    for (name, value) in others.as_object().unwrap() {
        row[name] = value.clone();
    }
    row
}

/// Ten seconds of a machine on which three hogs in three services have 50, 30 and 10% of a CPU, another writes
/// 5 MiB/s, and programs come and go.
fn of_ten_seconds(n: i64) -> Reading {
    let pid = u32::try_from(n % 4000).unwrap();
    let rows = [
        row(Some("/a.service"), "hog", 50, 5_000_000, json!({"rss_bytes": 100_000, "command": "hog --fast"})),
        row(Some("/b.service"), "hog", 30, 3_000_000, json!({"rss_bytes": 300_000})),
        row(Some("/c.service"), "small", 10, 1_000_000, json!({"rss_bytes": 1000})),
        row(Some("/c.service"), "writer", 20, 10_000, json!({"write_bytes": 50 << 20})),
        row(Some("/c.service"), "brief", 10_000 + pid, 40_000, json!({"exits": 1})),
        row(Some("/c.service"), "true", 0, 60_000, json!({"exits": 100, "processes": 100})),
        row(Some("/c.service"), "", 0, 20_000, json!({})),
        row(None, "", 0, 70_000, json!({})),
    ];
    reading(MetricType::Usage, n * 10, &json!({"elapsed_ms": 10_000, "processes": rows}))
}

/// Two days of that, with all tiers.
async fn two_days(dir: &std::path::Path) -> History {
    let (_store, history) = history(dir).await;
    let readings: Vec<Reading> = (1..=2 * 24 * 360).map(of_ten_seconds).collect();
    rollup::store_readings(&history, &readings, Vec::new()).await.unwrap();
    rollup::roll(&history, micros(START + time::Duration::days(3))).await.unwrap();
    history
}

fn query(from_seconds: i64, seconds: i64, by: By) -> RankingQuery {
    let start = START + time::Duration::seconds(from_seconds);
    RankingQuery {
        whose: Whose::default(),
        start,
        end: start + time::Duration::seconds(seconds) - time::Duration::microseconds(1),
        by,
        order: Amounts::order("cpu_percent").unwrap(),
        limit: 20,
    }
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 0.02 * b.abs()
}

#[tokio::test]
async fn shares_and_ranks_are_right_in_every_tier() {
    let dir = tempfile::tempdir().unwrap();
    let history = two_days(dir.path()).await;
    // Readings, minutes, five minutes, hours, days, and a range that needs several of them.
    for (from, seconds) in
        [(3600, 60), (3600, 3600), (3600, 12 * 3600), (0, 86_400), (0, 2 * 86_400), (1234, 100_000)]
    {
        let of = |by| ranking(&history, query(from, seconds, by));
        let cgroups = of(By::Cgroup).await.unwrap();
        assert!(near(cgroups.seconds, seconds as f64), "{seconds}: {}", cgroups.seconds);
        let used = |row: &Ranked| row.used.mean(cgroups.seconds);
        let shares: Vec<(&str, f64)> = cgroups
            .rows
            .iter()
            .map(|row| (row.cgroup.as_deref().unwrap(), used(row).cpu_percent.unwrap()))
            .collect();
        for ((path, percent), (wanted, right)) in
            shares.iter().zip([("/a.service", 50.0), ("/b.service", 30.0), ("/c.service", 11.3)])
        {
            assert_eq!(*path, wanted, "{seconds}");
            assert!(near(*percent, right), "{seconds}: {path} {percent}");
        }
        let parts = cgroups.rows.iter().map(|row| row.used.cpu_us()).sum::<f64>() + cgroups.other.cpu_us();
        assert_eq!(parts, cgroups.total.cpu_us(), "{seconds}");
        assert!(near(used(&cgroups.rows[0]).rss_bytes.unwrap(), 100_000.0), "{seconds}");

        let names = of(By::Name).await.unwrap();
        let named = |name: &str| names.rows.iter().find(|row| row.name.as_deref() == Some(name)).unwrap();
        assert!(near(named("hog").used.mean(names.seconds).cpu_percent.unwrap(), 80.0), "{seconds}");
        assert!(near(named("hog").used.mean(names.seconds).rss_bytes.unwrap(), 400_000.0), "{seconds}");
        assert_eq!(named("hog").cgroup, None, "it is in two");
        let exits = named("true").used.total("exits").unwrap();
        assert!(near(exits, 10.0 * seconds as f64), "{seconds}: {exits}");
        assert!(near(named("brief").used.total("exits").unwrap(), 0.1 * seconds as f64), "{seconds}");

        let written = RankingQuery {
            order: Amounts::order("write_bytes_per_sec").unwrap(),
            limit: 1,
            ..query(from, seconds, By::Process)
        };
        let written = ranking(&history, written).await.unwrap();
        assert_eq!(written.rows[0].name.as_deref(), Some("writer"));
        let rate = written.rows[0].used.mean(written.seconds).write_bytes_per_sec.unwrap();
        assert!(near(rate, f64::from(5 << 20)), "{seconds}: {rate}");
        assert!(written.rows[0].course.iter().flatten().all(|percent| near(*percent, 0.1)));
    }
}

#[tokio::test]
async fn one_process_one_name_or_one_cgroup_over_time() {
    let dir = tempfile::tempdir().unwrap();
    let history = two_days(dir.path()).await;
    let points = async |whose: Whose, seconds: i64, interval: &str| {
        let query = UsageQuery {
            whose,
            start: START,
            end: START + time::Duration::seconds(seconds),
            interval: Interval::parse(interval).unwrap(),
            limit: 1000,
        };
        let mut history = UsageHistory::open(&history, query).await.unwrap();
        let mut points = Vec::new();
        while let Some(point) = history.next().await.unwrap() {
            points.push(point);
        }
        points
    };
    let of_pid = |pid| Whose { pid: Some(pid), ..Whose::default() };
    let cpu = |point: &UsagePoint| point.used.and_then(|used| used.mean(point.seconds).cpu_percent);
    // Hours only have names, so that finer tiers are read for a PID.
    for (seconds, interval) in [(3600, "10s"), (3600, "1m"), (86_400, "1h"), (2 * 86_400, "1d")] {
        for point in points(of_pid(50), seconds, interval).await {
            assert!(near(cpu(&point).unwrap(), 50.0), "{interval}: {point:?}");
        }
    }
    let of_name = Whose { name: Some("hog".into()), ..Whose::default() };
    assert!(points(of_name, 86_400, "1h").await.iter().all(|point| near(cpu(point).unwrap(), 80.0)));
    let of_cgroup = Whose { cgroup: Some("/c.service".into()), ..Whose::default() };
    assert!(points(of_cgroup, 86_400, "1h").await.iter().all(|point| near(cpu(point).unwrap(), 11.3)));
    let within = Whose { cgroup: Some("/".into()), ..Whose::default() };
    assert!(points(within, 3600, "1m").await.iter().all(|point| near(cpu(point).unwrap(), 91.3)));
    let other = Whose { cgroup: Some("/c".into()), ..Whose::default() };
    assert!(points(other, 3600, "1m").await.iter().all(|point| point.used.is_none()), "not a path above it");
}

#[tokio::test]
async fn facts_are_those_of_the_process_and_unknown_amounts_stay_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, history) = history(dir.path()).await;
    let facts = json!({"user": "me", "parent_pid": 1, "started": "2026-01-01T00:00:00Z",
        "executable": "/bin/hog", "command": "hog --fast", "read_bytes": null, "write_bytes": null});
    let rows =
        [row(Some("/a"), "hog", 7, 5_000, facts), row(Some("/a"), "hog", 0, 1_000, json!({"exits": 3}))];
    let readings: Vec<Reading> = (1..30)
        .map(|n| reading(MetricType::Usage, n, &json!({"elapsed_ms": 1000, "processes": rows})))
        .collect();
    rollup::store_readings(&history, &readings, Vec::new()).await.unwrap();
    let ranking = ranking(&history, query(0, 60, By::Process)).await.unwrap();
    let [one, several] = &ranking.rows[..] else { panic!("{ranking:?}") };
    assert_eq!((one.pid, several.pid), (Some(7), None));
    assert_eq!(one.facts.command.as_deref(), Some("hog --fast"));
    assert_eq!((one.facts.parent_pid, one.facts.user.as_deref()), (Some(1), Some("me")));
    assert_eq!(several.facts, Facts::default());
    assert_eq!(one.used.total("write_bytes"), None);
    assert_eq!(several.used.total("exits"), Some(87.0));
    assert!(near(one.used.peak().cpu_percent.unwrap(), 0.5));
    // Within a minute, its course has steps of seconds; the second half of this one was not measured.
    let (measured, rest) = one.course.split_at(6);
    assert_eq!((one.course.len(), rest), (12, &[None; 6][..]));
    assert!(measured.iter().all(|percent| near(percent.unwrap(), 0.5)), "{measured:?}");
}
