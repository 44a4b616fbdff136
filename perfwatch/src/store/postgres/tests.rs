use super::*;
use crate::host::Host;
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
    assert!(plan.contains("chunks_other_pkey") && !plan.contains("Seq Scan"), "{plan}");
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
    store.introduce(&Host::new("id-1", "first-name")).await.unwrap();
    store.introduce(&Host::new("id-1", "web-1")).await.unwrap();
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

async fn as_administrator(cluster: &cluster::Cluster, database: &str, statement: &'static str) {
    let mut admin: PgConnection = cluster.options("postgres", database).connect().await.unwrap();
    sqlx::raw_sql(statement).execute(&mut admin).await.unwrap();
    admin.close().await.unwrap();
}

/// Failover to an empty server, tables dropped by mistake, a privilege revoked for a while: each is reported, and
/// clears once its cause is gone.
#[tokio::test]
async fn what_others_did_to_the_database_is_told_and_heals_without_a_restart() {
    let name = "what_others_did_to_the_database_is_told_and_heals_without_a_restart";
    let Some((cluster, store)) = started(name).await else { return };
    let now = OffsetDateTime::now_utc();
    let document = Document { at: micros(now), metric_type: MetricType::Cpu, json: "{}".into() };
    let data = "chunk".as_bytes().into();
    let chunk = Chunk { content: MetricType::Cpu.into(), tier: 0, start: 1, first: 1, end: 2, data };
    let batch = Batch { put: vec![chunk], ..Batch::default() };
    store.commit("a", &batch).await.unwrap();
    store.put_documents("a", std::slice::from_ref(&document)).await.unwrap();

    as_administrator(
        &cluster,
        "test0",
        "DROP SCHEMA public CASCADE; CREATE SCHEMA public; GRANT ALL ON SCHEMA public TO PUBLIC",
    )
    .await;
    assert!(matches!(store.ping().await, Err(StoreError::Changed(_))));
    store.ping().await.unwrap();
    assert!(store.hosts().await.unwrap().is_empty());
    store.commit("a", &batch).await.unwrap();
    store.put_documents("a", std::slice::from_ref(&document)).await.unwrap();

    let partition = partitions::name(now.date()).unwrap();
    let dropped = sqlx::AssertSqlSafe(format!("DROP TABLE {partition}"));
    sqlx::raw_sql(dropped).execute(store.ready().await.unwrap()).await.unwrap();
    let refused = store.put_documents("a", std::slice::from_ref(&document)).await;
    assert!(matches!(refused, Err(StoreError::Changed(_))), "{refused:?}");
    store.put_documents("a", std::slice::from_ref(&document)).await.unwrap();

    as_administrator(&cluster, "test0", "ALTER TABLE chunks OWNER TO postgres").await;
    let refused = store.commit("a", &batch).await;
    assert!(matches!(refused, Err(StoreError::Changed(_))), "{refused:?}");
    as_administrator(&cluster, "test0", "ALTER TABLE chunks OWNER TO owner0").await;
    store.commit("a", &batch).await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn why_a_database_cannot_be_used_is_told() {
    let name = "why_a_database_cannot_be_used_is_told";
    let Some((cluster, store)) = started(name).await else { return };
    store.close().await;
    as_administrator(
        &cluster,
        "postgres",
        "CREATE DATABASE latin OWNER owner0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0",
    )
    .await;
    let url = cluster.database().await;
    let reason = async |url: &str| match PostgresStore::open(url).await {
        Ok(store) => store.ping().await.unwrap_err().to_string(),
        Err(error) => error.to_string(),
    };
    let latin = url.replace("owner1@", "owner0@").replace("/test1?", "/latin?");
    for (url, expected) in [
        (latin, "LATIN1"),
        (url.replace("owner1@", "nobody_of_that_name@"), "does not exist"),
        (url.replace("/test1?", "/no_such_database?"), "does not exist"),
        ("postgres://owner1@127.0.0.1:1/test1".to_owned(), "refused"),
        ("postgres://owner1@no-such-host.invalid/test1".to_owned(), "lookup"),
    ] {
        let said = reason(&url).await;
        assert!(said.contains(expected), "{url}: {said}");
    }
}

/// Tables that grow with the number of machines and what they measure: those that Citus distributes by host, and
/// TimescaleDB cuts by time.
const GROWING: [&str; 6] =
    ["chunks", "stale_tiers", "removed_tiers", "metrics_snapshots", "alert_states", "alert_episodes"];

/// Names from the catalogue.
async fn names(store: &PostgresStore, query: &'static str) -> Vec<String> {
    sqlx::query_scalar(query).fetch_all(store.ready().await.unwrap()).await.unwrap()
}

#[tokio::test]
async fn the_schema_keeps_the_rules_of_citus_and_timescaledb() {
    let name = "the_schema_keeps_the_rules_of_citus_and_timescaledb";
    let Some((_cluster, store)) = started(name).await else { return };
    // The distribution column is in each unique index, which no shard could enforce otherwise.
    let unique = names(
        &store,
        "SELECT c.relname || '(' || string_agg(a.attname, ',' ORDER BY a.attname) || ')'
         FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
         WHERE i.indisunique AND n.nspname = current_schema() AND c.relkind IN ('r', 'p') AND NOT c.relispartition
         GROUP BY i.indexrelid, c.relname",
    )
    .await;
    for table in GROWING {
        let of: Vec<&String> =
            unique.iter().filter(|index| index.starts_with(&format!("{table}("))).collect();
        assert_eq!(of.len(), 1, "a table needs a primary key: {table} in {unique:?}");
        let columns: Vec<&str> = of[0][table.len() + 1..].trim_end_matches(')').split(',').collect();
        assert!(columns.contains(&"host"), "{}", of[0]);
        // What TimescaleDB would cut it by.
        let time = match table {
            "chunks" | "stale_tiers" => Some("start"),
            "metrics_snapshots" => Some("timestamp"),
            _ => None,
        };
        assert!(time.is_none_or(|time| columns.contains(&time)), "{}", of[0]);
    }
    // Foreign keys are between small tables only.
    let foreign = names(
        &store,
        "SELECT conrelid::regclass::text || ' to ' || confrelid::regclass::text FROM pg_constraint WHERE contype = 'f'",
    )
    .await;
    let touched = foreign.iter().filter(|key| key.split(" to ").any(|table| GROWING.contains(&table)));
    assert_eq!(touched.count(), 0, "{foreign:?}");
    // Citus distributes no table with triggers, exclusion constraints, or a default that shards could not compute alike.
    let others = names(
        &store,
        "SELECT tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal
         UNION ALL SELECT conrelid::regclass::text FROM pg_constraint WHERE contype = 'x'
         UNION ALL SELECT attrelid::regclass::text FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
             JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE attidentity <> '' AND n.nspname = current_schema()",
    )
    .await;
    assert!(others.iter().all(|table| !GROWING.contains(&table.as_str())), "{others:?}");
    store.close().await;
}

#[tokio::test]
async fn chunks_are_in_the_partition_of_their_week() {
    const WEEK: time::Duration = time::Duration::WEEK;
    let name = "chunks_are_in_the_partition_of_their_week";
    let Some((_cluster, store)) = started(name).await else { return };
    let now = OffsetDateTime::now_utc();
    let chunk = |at: OffsetDateTime| {
        let start = micros(at);
        let data = bytes::Bytes::from_static(b"opaque");
        Chunk { content: MetricType::Cpu.into(), tier: 0, start, first: start, end: start + 1, data }
    };
    // Of this week, long ago, and of weeks that are still to come.
    let times = [now, now - 100 * WEEK, now + 3 * WEEK, now + 4 * WEEK];
    let batch = Batch { put: times.map(chunk).to_vec(), ..Batch::default() };
    store.commit("web", &batch).await.unwrap();
    let places = async || names(&store, "SELECT tableoid::regclass::text FROM chunks ORDER BY start").await;
    let before = places().await;
    assert_eq!(before.iter().filter(|place| *place == "chunks_other").count(), 3, "{before:?}");
    // Their weeks come: they move, and are found as before.
    weeks::keep(&store, now + 3 * WEEK).await.unwrap();
    let after = places().await;
    assert_eq!(after[0], "chunks_other");
    assert_eq!(after.iter().collect::<HashSet<_>>().len(), 4, "each in a place of its own: {after:?}");
    assert_eq!(after[1], before[1]);
    let wanted = Wanted { content: MetricType::Cpu.into(), tier: 0, from: i64::MIN, to: i64::MAX };
    assert_eq!(store.find("web", wanted, 10).await.unwrap().len(), 4);
    assert_eq!(store.span("web", wanted.content, 0).await.unwrap().unwrap().0, micros(now - 100 * WEEK));
    // Retention empties the first week; the third stays.
    let gone = store.remove_before("web", 0, micros(now + WEEK)).await.unwrap();
    assert_eq!(gone, 2);
    weeks::keep(&store, now + 10 * WEEK).await.unwrap();
    let left = weeks::weeks(&store).await.unwrap();
    let of = |at: OffsetDateTime| left.iter().any(|first| at.date() >= *first && at.date() - *first < WEEK);
    assert_eq!(times.map(of), [false, false, true, true], "{left:?}");
    assert_eq!(store.find("web", wanted, 10).await.unwrap().len(), 2);
    // What comes late finds a place.
    store.commit("web", &Batch { put: vec![chunk(now)], ..Batch::default() }).await.unwrap();
    assert_eq!(store.find("web", wanted, 10).await.unwrap().len(), 3);
    store.close().await;
}
