use super::*;
use crate::snapshot::MetricType;
use crate::store::from_micros;
use time::macros::datetime;

#[allow(clippy::duplicate_mod)] // the contract's tests share it
#[path = "../../../tests/support/postgres.rs"]
mod cluster;

/// What the planner does with a query over `from..to`.
async fn explain(
    store: &PostgresStore,
    query: &str,
    range: (i64, i64),
    tier: Option<i32>,
    stale: bool,
) -> String {
    let mut connection = store.ready().await.unwrap().acquire().await.unwrap();
    let explain = format!("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {query}");
    let mut query = sqlx::query_scalar(sqlx::AssertSqlSafe(explain)).bind(&store.host);
    query = match (stale, tier) {
        (true, tier) => query.bind(tier).bind(range.0).bind(range.1).bind(30i64),
        (false, _) => query
            .bind(MetricType::Cpu.as_str())
            .bind(from_micros(range.0))
            .bind(from_micros(range.1))
            .bind(256i64),
    };
    if let (false, Some(tier)) = (stale, tier) {
        query = query.bind(tier);
    }
    let lines: Vec<String> = query.fetch_all(&mut *connection).await.unwrap();
    lines.join("\n")
}

#[tokio::test]
async fn queries_are_answered_from_indexes_of_the_days_they_need() {
    let cluster = match cluster::Cluster::start().await {
        Ok(cluster) => cluster,
        Err(reason) => {
            println!("SKIPPED: queries_are_answered_from_indexes_of_the_days_they_need: {reason}");
            return;
        }
    };
    let url = cluster.database().await;
    let store = PostgresStore::open(&url, "test-host").await.unwrap();
    let start = datetime!(2026-01-01 00:00:00 UTC);
    let days: Vec<Row> = (0..5)
        .map(|day| Row {
            timestamp: start + Duration::from_secs(day * 86_400),
            metric_type: MetricType::Cpu,
            json: "{}".into(),
        })
        .collect();
    store.append(&days).await.unwrap();
    let pool = store.ready().await.unwrap();
    let differing: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_attribute child JOIN pg_inherits ON child.attrelid = inhrelid
         JOIN pg_attribute parent ON parent.attrelid = inhparent AND parent.attname = child.attname
         WHERE child.attname = 'metric_data' AND child.attcompression <> parent.attcompression",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    assert_eq!(differing, 0, "days take the parent's compression");
    for fill in [
        "INSERT INTO metrics_snapshots (host, timestamp, metric_type, metric_data)
         SELECT h, t, m, '{\"usage_percent\": 1}' FROM unnest('{test-host,other}'::text[]) h, unnest('{cpu,disk}'::text[]) m,
             generate_series('2026-01-01Z'::timestamptz, '2026-01-05 23:59:50Z', '20 s') t ON CONFLICT DO NOTHING",
        "INSERT INTO metrics_rollups (host, metric_type, tier, timestamp, shape, data)
         SELECT 'test-host', m, 60, t, 1, '\\x00' FROM unnest('{cpu,disk}'::text[]) m,
             generate_series('2026-01-01Z'::timestamptz, '2026-01-05 23:59:50Z', '1 min') t",
        "INSERT INTO rollup_stale (host, tier, bucket, generation)
         SELECT 'test-host', t, b, 1 FROM unnest('{60,300}'::int[]) t, generate_series(1, 200000, 60) b ON CONFLICT DO NOTHING",
        "ANALYZE",
    ] {
        sqlx::raw_sql(fill).execute(pool).await.unwrap();
    }
    let hour = micros(start + Duration::from_secs(2 * 86_400 + 3600));
    let hour = (hour, hour + 3_600_000_000);

    let raw = explain(&store, history::SCAN_RAW, hour, None, false).await;
    assert!(!raw.contains("Seq Scan") && raw.contains("actual rows=180"), "{raw}");
    assert!(raw.contains("metrics_snapshots_20260103_pkey"), "{raw}");
    let days = raw.matches("metrics_snapshots_2").count();
    assert_eq!(days, raw.matches("metrics_snapshots_20260103").count(), "one day is needed: {raw}");

    let rollups = explain(&store, history::SCAN_ROLLUPS, hour, Some(60), false).await;
    assert!(rollups.contains("metrics_rollups_pkey") && !rollups.contains("Seq Scan"), "{rollups}");
    assert!(rollups.contains("actual rows=60"), "{rollups}");

    let stale = explain(&store, history::STALE, (1000, 2000), Some(60), true).await;
    assert!(stale.contains("rollup_stale_pkey") && !stale.contains("Seq Scan"), "{stale}");
    store.close().await;
}
