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

/// Likewise with one that reads segments of several tiers.
async fn explain_read(store: &PostgresStore, query: &str, segments: &[(i32, (i64, i64))]) -> String {
    let mut connection = store.ready().await.unwrap().acquire().await.unwrap();
    let explain = format!("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {query}");
    let lines: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(explain))
        .bind(&store.host)
        .bind(MetricType::Cpu.as_str())
        .bind(segments.iter().map(|(tier, _)| *tier).collect::<Vec<_>>())
        .bind(segments.iter().map(|(_, (from, _))| from_micros(*from)).collect::<Vec<_>>())
        .bind(segments.iter().map(|(_, (_, to))| from_micros(*to)).collect::<Vec<_>>())
        .bind(512i64)
        .fetch_all(&mut *connection)
        .await
        .unwrap();
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

    // One question that needs both, as most do.
    let both = explain_read(&store, history::READ, &[(0, hour), (60, hour)]).await;
    let executed: Vec<&str> = both.lines().filter(|line| !line.contains("never executed")).collect();
    assert!(executed.iter().all(|line| !line.contains("Seq Scan")), "{both}");
    assert!(executed.iter().any(|line| line.contains("metrics_rollups_pkey")), "{both}");
    let days: Vec<_> = executed.iter().filter(|line| line.contains("metrics_snapshots_2")).collect();
    assert!(!days.is_empty(), "{both}");
    assert!(days.iter().all(|line| line.contains("metrics_snapshots_20260103")), "one day is needed: {both}");
    assert!(days.iter().any(|line| line.contains("actual rows=180")), "{both}");
    let rollups = explain_read(&store, history::READ_ROLLUPS, &[(60, hour), (300, hour)]).await;
    assert!(rollups.contains("metrics_rollups_pkey") && !rollups.contains("Seq Scan"), "{rollups}");

    let stale = explain(&store, history::STALE, (1000, 2000), Some(60), true).await;
    assert!(stale.contains("rollup_stale_pkey") && !stale.contains("Seq Scan"), "{stale}");
    store.close().await;
}

#[tokio::test]
async fn short_documents_are_compressed_where_the_role_may_make_temporary_tables() {
    let cluster = match cluster::Cluster::start().await {
        Ok(cluster) => cluster,
        Err(reason) => {
            println!(
                "SKIPPED: short_documents_are_compressed_where_the_role_may_make_temporary_tables: {reason}"
            );
            return;
        }
    };
    // As many different keys as a document of its length has, and the same values again and again.
    let members: Vec<String> = (0..40).map(|n| format!("\"name_{n}_per_sec\":0.0")).collect();
    let json = format!("{{{}}}", members.join(","));
    let row = |second| Row {
        timestamp: datetime!(2026-01-01 00:00:00 UTC) + Duration::from_secs(second),
        metric_type: MetricType::Memory,
        json: json.clone().into(),
    };
    for permitted in [true, false] {
        let url = cluster.database().await;
        let database = url.split('?').next().unwrap().rsplit('/').next().unwrap();
        if !permitted {
            let mut admin = cluster.options("postgres", database).connect().await.unwrap();
            let owner = database.replace("test", "owner");
            let revoke = format!("REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC, {owner}");
            sqlx::raw_sql(sqlx::AssertSqlSafe(revoke)).execute(&mut admin).await.unwrap();
        }
        let store = PostgresStore::open(&url, "test-host").await.unwrap();
        // Twice with the same connections, and a row that is there already.
        store.append(&[row(0), row(5)]).await.unwrap();
        store.append(&[row(5), row(10)]).await.unwrap();
        let (rows, compressed, ids): (i64, i64, i64) = sqlx::query_as(
            "SELECT count(*), count(pg_column_compression(metric_data)), count(DISTINCT id) FROM metrics_snapshots
             WHERE metric_data->>'name_7_per_sec' = '0.0'",
        )
        .fetch_one(store.ready().await.unwrap())
        .await
        .unwrap();
        assert_eq!((rows, compressed, ids), (3, if permitted { 3 } else { 0 }, 3));
        let read = store.scan(Tier::Raw, MetricType::Memory, 0, micros(row(60).timestamp), 9).await.unwrap();
        let [first, again]: [serde_json::Value; 2] =
            [&read[0].data[..], json.as_bytes()].map(|text| serde_json::from_slice(text).unwrap());
        assert_eq!(first, again);
        store.close().await;
    }
}
