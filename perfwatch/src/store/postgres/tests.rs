use super::*;
use crate::snapshot::MetricType;
use crate::store::micros;
use time::macros::datetime;

#[allow(clippy::duplicate_mod)] // the contract's tests share it
#[path = "../../../tests/support/postgres.rs"]
mod cluster;

async fn started(test: &str) -> Option<(cluster::Cluster, PostgresStore)> {
    match cluster::Cluster::start().await {
        Ok(cluster) => {
            let store = PostgresStore::open(&cluster.database().await).await.unwrap();
            Some((cluster, store))
        }
        Err(reason) => {
            println!("SKIPPED: {test}: {reason}");
            None
        }
    }
}

async fn explained(store: &PostgresStore, query: &'static str) -> String {
    let explain = format!("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {query}");
    let lines: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(explain))
        .fetch_all(store.ready().await.unwrap())
        .await
        .unwrap();
    lines.join("\n")
}

#[tokio::test]
async fn a_question_is_answered_from_the_key() {
    let Some((_cluster, store)) = started("a_question_is_answered_from_the_key").await else { return };
    let fill = "INSERT INTO chunks (host, metric_type, tier, start, begins, ends, data)
         SELECT h, m, t, s * 1000, s * 1000, s * 1000 + 999, '\\x00' FROM unnest('{test-host,other}'::text[]) h,
             unnest('{cpu,disk}'::text[]) m, unnest('{0,60}'::bigint[]) t, generate_series(1, 4000) s;
         ANALYZE";
    sqlx::raw_sql(fill).execute(store.ready().await.unwrap()).await.unwrap();
    let plan = explained(
        &store,
        "SELECT start, ends, data FROM chunks WHERE host = 'test-host' AND metric_type = 'cpu' AND tier = 60
         AND start > 1000000 AND start < 1020000 AND ends > 1001000 ORDER BY start LIMIT 16",
    )
    .await;
    assert!(plan.contains("chunks_pkey") && !plan.contains("Seq Scan"), "{plan}");
    store.close().await;
}

#[tokio::test]
async fn documents_land_once_in_the_partition_of_their_day_and_the_views_show_them() {
    let name = "documents_land_once_in_the_partition_of_their_day_and_the_views_show_them";
    let Some((_cluster, store)) = started(name).await else { return };
    let start = datetime!(2026-01-01 23:59:50 UTC);
    let document = |second: i64| Document {
        at: micros(start + time::Duration::seconds(second)),
        metric_type: MetricType::Cpu,
        json: format!(r#"{{"usage_percent":{second},"user":1.5,"per_core":[{second},null]}}"#).into(),
    };
    store.introduce("id-1", "first-name").await.unwrap();
    store.introduce("id-1", "web-1").await.unwrap();
    let documents: Vec<Document> = (0..20).map(document).collect();
    store.put_documents("id-1", &documents[..10]).await.unwrap();
    store.put_documents("id-1", &documents).await.unwrap();
    let pool = store.ready().await.unwrap();
    let rows: Vec<(String, f64)> =
        sqlx::query_as("SELECT host, usage_percent FROM perfwatch_cpu ORDER BY timestamp")
            .fetch_all(pool)
            .await
            .unwrap();
    assert_eq!(rows.len(), 20);
    assert_eq!(rows[7], ("web-1".to_owned(), 7.0));
    let cores: i64 =
        sqlx::query_scalar("SELECT count(*) FROM perfwatch_cpu_per_core WHERE cpu = 1 AND value IS NULL")
            .fetch_one(pool)
            .await
            .unwrap();
    assert_eq!(cores, 20);
    let days = partitions::days(&store).await.unwrap();
    assert!(days.contains(&start.date()) && days.contains(&start.date().next_day().unwrap()));

    let midnight = micros(datetime!(2026-01-02 00:00:00 UTC));
    store.remove_documents("id-1", midnight + 5_000_000).await.unwrap();
    let left: i64 =
        sqlx::query_scalar("SELECT count(*) FROM metrics_snapshots").fetch_one(pool).await.unwrap();
    assert_eq!(left, 5);
    assert!(!partitions::days(&store).await.unwrap().contains(&start.date()), "its day is over");
    store.close().await;
}
