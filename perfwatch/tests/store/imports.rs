//! Moving history between stores, and from the original's database.

use std::sync::Arc;

use perfwatch::snapshot::MetricType;
use perfwatch::store::import::{From, Progress, import};
use perfwatch::store::{Row, Store, StoreError, retention, roller};
use serde_json::{Value, json};
use sqlx::Connection;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use crate::{Fresh, micros, points, postgresql, row, sqlite};

const NOW: OffsetDateTime = datetime!(2026-05-20 12:00:00 UTC);

fn from(url: &str) -> From {
    From { url: url.to_owned(), host: None, set_aside: false }
}

/// Ten days ago downsampled, now raw.
async fn with_history(source: &Fresh) {
    for days in [10, 9, 1] {
        let rows: Vec<Row> = (0..2000)
            .flat_map(|tick| {
                let at = NOW - Duration::days(days) + Duration::seconds(tick * 5);
                let usage = (tick * 7919 % 1000) as f64 / 10.0;
                [
                    row(MetricType::Cpu, at, &json!({"usage_percent": usage})),
                    row(MetricType::Memory, at, &json!({"used_bytes": tick})),
                ]
            })
            .collect();
        source.store.append(&rows).await.unwrap();
    }
    roller::roll(source.store.as_ref(), micros(NOW)).await.unwrap();
    let cleaned = retention::clean(source.store.as_ref(), NOW).await.unwrap();
    assert_eq!(cleaned.downsampled_count, 8000);
}

async fn everything(store: &Arc<dyn Store>) -> Vec<Value> {
    let mut all = Vec::new();
    for (metric_type, interval) in
        [(MetricType::Cpu, "5s"), (MetricType::Cpu, "1h"), (MetricType::Memory, "1d")]
    {
        all.extend(points(store, metric_type, NOW - Duration::days(11), Duration::days(11), interval).await);
    }
    all
}

async fn takes_over_all_of(source: &Fresh, target: &Fresh) {
    with_history(source).await;
    let mut told = Vec::new();
    let done = import(&target.store, &from(&source.url), |progress| told.push(progress)).await.unwrap();
    assert_eq!(done.raw, 4000);
    assert!(done.rollups > 600, "{done:?}");
    assert!(told.is_sorted_by_key(|p| p.done) && told.len() > 5);
    let last = told[told.len() - 1];
    assert_eq!((last.done, last.total), (done.raw + done.rollups, done.raw + done.rollups));
    let expected = everything(&source.store).await;
    assert_eq!(expected.len(), 2000 + 2 * 167 + 9 + 3);
    assert_eq!(everything(&target.store).await, expected);

    // Nothing is left to do, and nothing is done twice.
    let mut told = Vec::new();
    let again = import(&target.store, &from(&source.url), |progress| told.push(progress)).await.unwrap();
    assert_eq!((again.raw, again.rollups), (0, 0));
    assert_eq!(told, [Progress { done: last.total, total: last.total }]);
    assert_eq!(everything(&target.store).await, expected);
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
    // Interrupted as a signal would do it: dropped in the middle of some page.
    let mut pages = 0;
    {
        let store = Arc::clone(&target.store);
        let url = from(&source.url);
        let stop = tokio::sync::Notify::new();
        tokio::select! {
            _ = import(&store, &url, |_| { pages += 1; if pages == 6 { stop.notify_one(); } }) => panic!("it had more to do"),
            () = stop.notified() => {}
        }
    }
    let mut first = None;
    let done = import(&target.store, &from(&source.url), |p| {
        first.get_or_insert(p);
    })
    .await
    .unwrap();
    let first = first.unwrap();
    assert!(first.done > 0, "{first:?}");
    assert_eq!(first.total - first.done, done.raw + done.rollups);
    assert_eq!(everything(&target.store).await, everything(&source.store).await);
}

#[tokio::test]
async fn what_holds_no_history_is_refused_in_words() {
    let (Some(source), Some(target)) = (sqlite().await, sqlite().await) else { return };
    let refused = import(&target.store, &from(&source.url), |_| {}).await.unwrap_err().to_string();
    assert!(refused.contains("no history"), "{refused}");
    let absent = import(&target.store, &from("sqlite:/nowhere/perfwatch.db"), |_| {}).await;
    assert!(matches!(absent, Err(StoreError::Unreachable(_))), "{absent:?}");
    source.store.append(&[row(MetricType::Cpu, NOW, &json!({}))]).await.unwrap();
    let wrong = From { host: Some("elsewhere".into()), ..from(&source.url) };
    let refused = import(&target.store, &wrong, |_| {}).await.unwrap_err().to_string();
    assert!(refused.contains("elsewhere is not among"), "{refused}");
}

/// The tables as SQLAlchemy made them for the original, in both ways it may have spelt times.
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
            // Two at one time: one of them is kept.
            "INSERT INTO metrics_snapshots (timestamp, metric_type, metric_data)
             VALUES ('2026-05-19 23:00:00', 'cpu', '{\"usage_percent\": 0}')"
                .into(),
        ] {
            sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut original).await.unwrap();
        }
        original.close().await.unwrap();

        let done = import(&target.store, &from(&database), |_| {}).await.unwrap();
        assert_eq!((done.raw, done.rollups), (2401, 0));
        let start = datetime!(2026-05-19 23:00:00 UTC);
        let check = async |store: &Arc<dyn Store>| {
            let hours = points(store, MetricType::Cpu, start, Duration::hours(2), "1h").await;
            let counts: Vec<&Value> = hours.iter().map(|p| &p["count"]).collect();
            assert_eq!(counts, [720, 480]);
            assert_eq!(hours[1]["timestamp"], "2026-05-20T00:00:00Z");
            assert_eq!(
                (&hours[0]["min"]["usage_percent"], &hours[0]["max"]["usage_percent"]),
                (&json!(0), &json!(719))
            );
        };
        check(&target.store).await;

        // The same database becomes ours; its old tables are set aside and read from there.
        let ours = perfwatch::store::open(&database).await.unwrap();
        assert!(ours.users().await.unwrap().is_empty());
        let set_aside = From { set_aside: true, ..from(&database) };
        assert_eq!(import(&ours, &set_aside, |_| {}).await.unwrap().raw, 2401);
        check(&ours).await;
        ours.close().await;
    }
}
