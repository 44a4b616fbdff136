//! Moving history between stores, and from the original's database.

use perfwatch::history::History;
use perfwatch::history::import::{From, Imported, Progress, import};
use perfwatch::history::maintenance::{Reach, clean};
use perfwatch::history::rollup::roll;
use perfwatch::host::Host;
use perfwatch::profiles::archive::Archive;
use perfwatch::profiles::flame::Filter;
use perfwatch::profiles::function::{Function, Who};
use perfwatch::profiles::table::Count;
use perfwatch::snapshot::{MetricType, Reading};
use perfwatch::store::chunks::ProfileKind;
use perfwatch::store::{self, StoreError};
use serde_json::{Value, json};
use sqlx::Connection;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use crate::readings::{self, reading};
use crate::{Fresh, HOST, history_in, micros, points, postgresql, sqlite};

const NOW: OffsetDateTime = datetime!(2026-05-20 12:00:00 UTC);

fn from(url: &str) -> From {
    From { url: url.to_owned(), host: None, set_aside: false }
}

/// Ten days ago downsampled, now raw.
async fn with_history(source: &Fresh) {
    for days in [10, 9, 1] {
        let readings: Vec<Reading> = (0..2000)
            .flat_map(|tick| {
                let at = NOW - Duration::days(days) + Duration::seconds(tick * 5);
                let usage = (tick * 7919 % 1000) as f64 / 10.0;
                [
                    reading(MetricType::Cpu, at, &json!({"usage_percent": usage})),
                    reading(MetricType::Memory, at, &json!({"used_bytes": tick})),
                ]
            })
            .collect();
        readings::store(&source.history, &readings).await;
    }
    roll(&source.history, micros(NOW)).await.unwrap();
    let cleaned = clean(&source.history, source.store.as_ref(), NOW, Reach::All).await.unwrap();
    assert!(cleaned.downsampled_count > 0);
}

/// A day and two hours of profiles, so that there are some of each resolution.
async fn with_profiles(source: &Fresh) {
    let archive = Archive::new(source.store.clone(), HOST);
    let who = Who { process: "p".into(), thread: "t".into(), cgroup: "/a.service".into(), pid: 7 };
    let stack = ["main", "work"].map(|name| Function::new(name, "p"));
    let start = NOW - Duration::hours(40);
    for hour in 0..40 {
        let at = micros(start + Duration::hours(hour));
        archive.add(ProfileKind::Cpu, at, |builder, minute| {
            builder.add(minute, &who, &stack, Count { samples: 1, value: 10 });
        });
        archive.keep(at + 3_600_000_000).await.unwrap();
    }
}

async fn profiles(of: &Fresh) -> (String, i64) {
    let archive = Archive::new(of.store.clone(), HOST);
    let (range, everybody) = ((0, micros(NOW)), Filter::default());
    let (flame, covered) = archive.flame(ProfileKind::Cpu, range, &everybody, 100).await.unwrap();
    (flame.folded(|count| count.samples), covered.resolution)
}

async fn everything(history: &History) -> Vec<Value> {
    let mut all = Vec::new();
    for (metric_type, interval) in [
        (MetricType::Cpu, "5s"),
        (MetricType::Cpu, "5m"),
        (MetricType::Cpu, "1h"),
        (MetricType::Memory, "1d"),
    ] {
        let start = NOW - Duration::days(11);
        all.extend(points(history, metric_type, start, Duration::days(11), interval).await);
    }
    all
}

async fn take(target: &Fresh, from: &From, tell: impl FnMut(Progress)) -> store::Result<Imported> {
    import(&target.history, target.store.as_ref(), from, tell).await
}

async fn takes_over_all_of(source: &Fresh, target: &Fresh) {
    with_history(source).await;
    with_profiles(source).await;
    let mut told = Vec::new();
    let done = take(target, &from(&source.url), |progress| told.push(progress)).await.unwrap();
    assert!(done.rows > 10 && done.refused == 0, "{done:?}");
    assert!(told.is_sorted_by_key(|p| p.done) && told.len() > 5);
    let last = told[told.len() - 1];
    assert_eq!((last.done, last.total), (done.rows, done.rows));
    let expected = everything(&source.history).await;
    assert_eq!(expected.len(), 2000 + 2 * 167 + 3 * 34 + 9 + 3);
    assert_eq!(everything(&target.history).await, expected);
    assert_eq!(profiles(source).await, ("p;main;work 40\n".to_owned(), 86400));
    assert_eq!(profiles(target).await, profiles(source).await);

    // Nothing is left to do, and nothing is done twice.
    let mut told = Vec::new();
    let again = take(target, &from(&source.url), |progress| told.push(progress)).await.unwrap();
    assert_eq!(again, Imported::default());
    assert_eq!(told, [Progress { done: 0, total: 0 }]);
    assert_eq!(everything(&target.history).await, expected);
    // Even if nobody remembers that it was done.
    let moved = From { host: Some(HOST.into()), ..from(&source.url) };
    assert_eq!(take(target, &moved, |_| {}).await.unwrap().rows, done.rows);
    assert_eq!(everything(&target.history).await, expected);
    assert_eq!(profiles(target).await, profiles(source).await);
}

#[tokio::test]
async fn history_moves_to_postgresql() {
    let (Some(source), Some(target)) = (sqlite().await, postgresql().await) else { return };
    takes_over_all_of(&source, &target).await;
}

#[tokio::test]
async fn history_moves_to_sqlite() {
    let (Some(source), Some(target)) = (postgresql().await, sqlite().await) else { return };
    takes_over_all_of(&source, &target).await;
}

#[tokio::test]
async fn an_interrupted_import_goes_on_where_it_stopped() {
    let (Some(source), Some(target)) = (sqlite().await, sqlite().await) else { return };
    with_history(&source).await;
    // Interrupted as by a signal: dropped in the middle of some page.
    let mut whole = 0;
    let mut pages = 0;
    {
        let from = from(&source.url);
        let stop = tokio::sync::Notify::new();
        let tell = |progress: Progress| {
            whole = progress.total;
            pages += 1;
            if pages == 6 {
                stop.notify_one();
            }
        };
        tokio::select! {
            _ = take(&target, &from, tell) => panic!("it had more to do"),
            () = stop.notified() => {}
        }
    }
    let mut first = None;
    let done = take(&target, &from(&source.url), |p| {
        first.get_or_insert(p);
    })
    .await
    .unwrap();
    let first = first.unwrap();
    assert!(first.total < whole, "{first:?} of {whole}");
    assert_eq!(first.total, done.rows);
    assert_eq!(everything(&target.history).await, everything(&source.history).await);
}

#[tokio::test]
async fn what_holds_no_history_is_refused_in_words() {
    let (Some(source), Some(target)) = (sqlite().await, sqlite().await) else { return };
    let dir = tempfile::tempdir().unwrap();
    let nobodys = store::sqlite_url(dir.path());
    store::open(&nobodys).await.unwrap().close().await;
    let refused = take(&target, &from(&nobodys), |_| {}).await.unwrap_err().to_string();
    assert!(refused.contains("no history"), "{refused}");
    let absent = take(&target, &from("sqlite:/nowhere/perfwatch.db"), |_| {}).await;
    assert!(matches!(absent, Err(StoreError::Unreachable(_))), "{absent:?}");
    let wrong = From { host: Some("elsewhere".into()), ..from(&source.url) };
    let refused = take(&target, &wrong, |_| {}).await.unwrap_err().to_string();
    assert!(refused.contains("elsewhere is not among"), "{refused}");
}

#[tokio::test]
async fn one_of_several_machines_is_chosen_by_name_or_id() {
    let (Some(source), Some(target)) = (sqlite().await, sqlite().await) else { return };
    source.store.introduce(&Host::new("other-id", "other")).await.unwrap();
    let other = History::new(source.store.clone(), "other-id");
    readings::store(&source.history, &[reading(MetricType::Cpu, NOW, &json!({"usage_percent": 1}))]).await;
    readings::store(&other, &[reading(MetricType::Cpu, NOW, &json!({"usage_percent": 2}))]).await;
    let refused = take(&target, &from(&source.url), |_| {}).await.unwrap_err().to_string();
    assert!(refused.contains("choose one of several") && refused.contains("other (other-id)"), "{refused}");
    for host in ["other", "other-id"] {
        let chosen = From { host: Some(host.into()), ..from(&source.url) };
        take(&target, &chosen, |_| {}).await.unwrap();
        let found = points(&target.history, MetricType::Cpu, NOW, Duration::SECOND, "5s").await;
        assert_eq!((found.len(), &found[0]["data"]["usage_percent"]), (1, &json!(2)));
    }
}

/// The tables as SQLAlchemy created them for the original, with both spellings of times.
#[tokio::test]
async fn the_originals_database_is_read_before_and_after_it_became_ours() {
    for time in ["TIMESTAMP WITH TIME ZONE", "TIMESTAMP WITHOUT TIME ZONE"] {
        let (Some(database), Some(target)) = (crate::empty_postgresql().await, sqlite().await) else {
            return;
        };
        let mut original = sqlx::PgConnection::connect(&database).await.unwrap();
        for statement in [
            format!(
                "CREATE TABLE metrics_snapshots (id SERIAL PRIMARY KEY, timestamp {time} NOT NULL,
                     metric_type VARCHAR(50) NOT NULL, metric_data JSONB NOT NULL)"
            ),
            "CREATE INDEX idx_metrics_timestamp ON metrics_snapshots (timestamp)".into(),
            "CREATE INDEX idx_metrics_type_timestamp ON metrics_snapshots (metric_type, timestamp)".into(),
            "CREATE TABLE users (id SERIAL PRIMARY KEY, username VARCHAR(50) UNIQUE NOT NULL,
                 password_hash VARCHAR(255) NOT NULL)"
                .into(),
            "CREATE TABLE config (key VARCHAR(100) PRIMARY KEY, value JSONB)".into(),
            "CREATE TABLE archive_policies (id SERIAL PRIMARY KEY, retention_days INTEGER)".into(),
            "INSERT INTO metrics_snapshots (timestamp, metric_type, metric_data)
             SELECT TIMESTAMP '2026-05-19 23:00:00' + n * INTERVAL '5 s', t,
                 jsonb_build_object('usage_percent', n, 'per_core', jsonb_build_array(n, 1), '_error', NULL)
             FROM generate_series(0, 1199) n, unnest('{cpu,memory,unheard_of}'::text[]) t"
                .into(),
            // Two at the same time: one of them is kept.
            "INSERT INTO metrics_snapshots (timestamp, metric_type, metric_data)
             VALUES ('2026-05-19 23:00:00', 'cpu', '{\"usage_percent\": 0}')"
                .into(),
        ] {
            sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut original).await.unwrap();
        }
        original.close().await.unwrap();

        let done = take(&target, &from(&database), |_| {}).await.unwrap();
        assert_eq!(done.rows, 2401);
        check(&target.history).await;
        take(&target, &from(&database), |_| {}).await.unwrap();
        check(&target.history).await;

        // The same database becomes ours; its old tables are set aside and read from there.
        let store = store::open(&database).await.unwrap();
        assert!(store.users().await.unwrap().is_empty());
        let ours = Fresh { history: history_in(&store).await, store, url: database, _dir: None };
        let set_aside = From { set_aside: true, ..from(&ours.url) };
        assert_eq!(take(&ours, &set_aside, |_| {}).await.unwrap().rows, 2401);
        check(&ours.history).await;
        ours.store.close().await;
    }
}

async fn check(history: &History) {
    let start = datetime!(2026-05-19 23:00:00 UTC);
    let hours = points(history, MetricType::Cpu, start, Duration::hours(2), "1h").await;
    let counts: Vec<&Value> = hours.iter().map(|p| &p["count"]).collect();
    assert_eq!(counts, [720, 480]);
    assert_eq!(hours[1]["timestamp"], "2026-05-20T00:00:00Z");
    assert_eq!(
        (&hours[0]["min"]["usage_percent"], &hours[0]["max"]["usage_percent"]),
        (&json!(0), &json!(719))
    );
    for metric_type in [MetricType::Cpu, MetricType::Memory] {
        let every = points(history, metric_type, start, Duration::hours(2), "5s").await;
        // Of the two at the first moment either may be kept.
        for (n, point) in every.iter().enumerate().skip(1) {
            let at = &point["timestamp"];
            let expected = json!({"_timestamp": at, "_error": null, "usage_percent": n, "per_core": [n, 1]});
            assert!(same_numbers(&point["data"], &expected), "{point}");
        }
        assert_eq!(every.len(), 1200);
    }
}

/// 1 and 1.0 are the same number, in whatever order members are.
fn same_numbers(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|b| same_numbers(v, b)))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_numbers(a, b))
        }
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}
