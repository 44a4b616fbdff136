//! The SQL views, and the dashboard that queries them, against real databases.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step fails the test")]
#![allow(clippy::print_stdout)] // a skipped test says so

#[path = "support/postgres.rs"]
mod postgres;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use perfwatch::config::Roots;
use perfwatch::host::Host;
use perfwatch::snapshot::dictionary::Kind;
use perfwatch::snapshot::layout::Layout;
use perfwatch::snapshot::source::Tick;
use perfwatch::snapshot::{MetricType, Reading};
use perfwatch::store::chunks::Document;
use perfwatch::{collectors, probes, store};
use postgres::Cluster;
use serde_json::Value;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use time::OffsetDateTime;

/// What the views and their columns are made of.
fn sql_name(dotted: &str) -> String {
    dotted.replace(|c: char| !c.is_ascii_alphanumeric(), "_").to_ascii_lowercase()
}

/// Every view, with the type and the table it shows.
fn views() -> Vec<(String, MetricType, usize)> {
    let tables = |metric_type: MetricType| {
        (0..Layout::of(metric_type).tables.len()).map(move |table| (metric_type, table))
    };
    MetricType::ALL
        .into_iter()
        .filter(|of| of.is_shown())
        .flat_map(tables)
        .map(|(metric_type, table)| {
            let path = &Layout::of(metric_type).tables[table].path;
            let thing = if table == 0 { String::new() } else { format!("_{}", sql_name(path)) };
            (format!("perfwatch_{}{thing}", metric_type.as_str()), metric_type, table)
        })
        .collect()
}

/// Those used by a dashboard; others show what is rarely needed.
const SHOWN: [&str; 16] = [
    "perfwatch_cpu",
    "perfwatch_cpu_per_core",
    "perfwatch_memory",
    "perfwatch_network",
    "perfwatch_network_interfaces",
    "perfwatch_disk",
    "perfwatch_disk_partitions",
    "perfwatch_disk_devices",
    "perfwatch_perf_events",
    "perfwatch_perf_events_events",
    "perfwatch_memory_bandwidth",
    "perfwatch_pressure",
    "perfwatch_scheduler",
    "perfwatch_tcp",
    "perfwatch_processes_top",
    "perfwatch_block_io_devices",
];

/// Two ticks of this machine, and a reading of a source that failed.
fn readings() -> Vec<Reading> {
    let mut sources = collectors::all(&Roots::default());
    sources.extend(probes::all(&Roots::default(), probes::Options::UNLIMITED));
    let now = OffsetDateTime::now_utc().replace_millisecond(0).unwrap();
    let mut readings = vec![Reading::failed(MetricType::Disk, now - time::Duration::seconds(10), "no disk")];
    for ago in [5, 0] {
        let tick = Tick::new(now - time::Duration::seconds(ago), Duration::from_secs(5));
        readings.extend(sources.iter_mut().map(|source| source.sample(&tick).unwrap()));
    }
    readings
}

fn json(reading: &Reading) -> Value {
    serde_json::from_slice(&reading.json()).unwrap()
}

const HOST: &str = "testbed";

async fn postgresql_with(readings: &[Reading], test: &str) -> Option<(Cluster, PgConnection)> {
    let cluster = match Cluster::start().await {
        Ok(cluster) => cluster,
        Err(reason) => {
            println!("SKIPPED: {test}: {reason}");
            return None;
        }
    };
    let url = cluster.database().await;
    let store = store::open(&url).await.unwrap();
    store.introduce(&Host::new("0123abcd", HOST)).await.unwrap();
    let document = |reading: &Reading| Document {
        at: i64::try_from(reading.at.unix_timestamp_nanos() / 1000).unwrap(),
        metric_type: reading.metric_type,
        json: reading.json(),
    };
    let documents: Vec<Document> = readings.iter().map(document).collect();
    store.put_documents("0123abcd", &documents).await.unwrap();
    store.close().await;
    let connection = PgConnection::connect(&url).await.unwrap();
    Some((cluster, connection))
}

/// Names and types of a view's columns.
async fn columns(connection: &mut PgConnection, view: &str) -> Vec<(String, String)> {
    sqlx::query_as(
        "SELECT column_name::text, data_type::text FROM information_schema.columns WHERE table_name = $1
         ORDER BY ordinal_position",
    )
    .bind(view)
    .fetch_all(connection)
    .await
    .unwrap()
}

async fn rows(connection: &mut PgConnection, view: &str) -> Vec<Value> {
    let query = format!("SELECT to_jsonb(v)::text FROM {view} v ORDER BY timestamp");
    let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(connection).await.unwrap();
    rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect()
}

#[tokio::test]
async fn every_field_of_the_dictionary_is_a_column() {
    let Some((_cluster, mut connection)) =
        postgresql_with(&[], "every_field_of_the_dictionary_is_a_column").await
    else {
        return;
    };
    for (view, metric_type, table) in views() {
        let of = &Layout::of(metric_type).tables[table];
        let found: BTreeMap<String, String> = columns(&mut connection, &view).await.into_iter().collect();
        assert!(found.contains_key("host") && found.contains_key("timestamp"), "{view}: {found:?}");
        assert!(found.len() >= 2 + of.labels.len(), "{view} names its things: {found:?}");
        for column in of.columns.iter().filter(|column| column.field.is_some()) {
            let name = if column.name.is_empty() { "value".into() } else { sql_name(&column.name) };
            let expected = match column.kind {
                Kind::Gauge | Kind::Counter | Kind::Interval => "double precision",
                Kind::State | Kind::Text => "text",
                Kind::Histogram | Kind::Events | Kind::Gate => continue,
            };
            assert_eq!(found.get(&name).map(String::as_str), Some(expected), "{view}.{name}");
        }
    }
}

#[tokio::test]
async fn flat_columns_hold_what_the_documents_say() {
    let readings = readings();
    let Some((_cluster, mut connection)) =
        postgresql_with(&readings, "flat_columns_hold_what_the_documents_say").await
    else {
        return;
    };
    for (view, metric_type, table) in views() {
        let newest = readings.iter().rev().find(|reading| reading.metric_type == metric_type);
        let Some(newest) = newest.filter(|reading| table == 0 && !reading.tables().is_empty()) else {
            continue; // this machine has no such source
        };
        let document = json(newest);
        let rows = rows(&mut connection, &view).await;
        let row = rows.last().unwrap();
        assert_eq!(row["host"], HOST);
        let mut held = 0;
        for column in Layout::of(metric_type).tables[0].columns.iter().filter(|column| column.field.is_some())
        {
            let place = format!("/{}", column.name.replace('.', "/"));
            let Some(number) = document.pointer(&place).and_then(Value::as_f64) else { continue };
            assert_eq!(row[sql_name(&column.name)].as_f64(), Some(number), "{view}.{}", column.name);
            held += 1;
        }
        assert!(held >= 1, "{view} has {held} of the document's numbers");
    }
    let cpu = rows(&mut connection, "perfwatch_cpu").await;
    assert!(cpu[1]["load_avg_0"].is_number() && cpu[1]["interrupts"].as_f64() > Some(0.0));
}

#[tokio::test]
async fn lists_become_rows_and_failed_documents_none() {
    let readings = readings();
    let Some((_cluster, mut connection)) =
        postgresql_with(&readings, "lists_become_rows_and_failed_documents_none").await
    else {
        return;
    };
    for (view, metric_type, table) in views() {
        let things = |reading: &Reading| reading.tables().get(table).map_or(0, |table| table.keys.len());
        let of = readings.iter().filter(|reading| reading.metric_type == metric_type);
        let found = rows(&mut connection, &view).await;
        // A failed document is a row of nulls.
        let expected: usize = of.map(|reading| if table == 0 { 1 } else { things(reading) }).sum();
        assert_eq!(found.len(), expected, "{view}");
    }
    for (view, label, field) in [
        ("perfwatch_network_interfaces", "name", "bytes_recv"),
        ("perfwatch_disk_partitions", "mountpoint", "total_bytes"),
        ("perfwatch_cpu_per_core", "cpu", "value"),
        ("perfwatch_memory_bandwidth", "host", "page_io_bytes_per_sec"),
    ] {
        let found = rows(&mut connection, view).await;
        let newest = found.last().unwrap();
        assert!(!newest[label].is_null() && newest[field].is_number(), "{view}: {newest}");
    }
}

#[tokio::test]
async fn views_of_another_version_are_made_anew_and_nothing_else_is_touched() {
    let test = "views_of_another_version_are_made_anew_and_nothing_else_is_touched";
    let Some((cluster, mut connection)) = postgresql_with(&[], test).await else { return };
    let before = columns(&mut connection, "perfwatch_cpu").await;
    for statement in [
        "DROP VIEW perfwatch_cpu CASCADE",
        "CREATE VIEW perfwatch_cpu AS SELECT 1 AS old",
        "CREATE VIEW perfwatch_gone AS SELECT 1 AS old",
        "CREATE VIEW mine AS SELECT 1 AS old",
        "UPDATE config SET value = 'old' WHERE key = 'views'",
    ] {
        sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
    }
    let database: String =
        sqlx::query_scalar("SELECT current_database()::text").fetch_one(&mut connection).await.unwrap();
    let owner: String =
        sqlx::query_scalar("SELECT current_user::text").fetch_one(&mut connection).await.unwrap();
    let url = cluster.options(&owner, &database).to_url_lossy();
    store::open(url.as_str()).await.unwrap().close().await;
    assert_eq!(columns(&mut connection, "perfwatch_cpu").await, before);
    assert_eq!(columns(&mut connection, "perfwatch_gone").await, []);
    assert_eq!(columns(&mut connection, "mine").await.len(), 1);
}

#[tokio::test]
async fn who_may_read_views_may_read_those_of_the_next_version() {
    let test = "who_may_read_views_may_read_those_of_the_next_version";
    let Some((cluster, mut connection)) = postgresql_with(&[], test).await else { return };
    let database: String =
        sqlx::query_scalar("SELECT current_database()::text").fetch_one(&mut connection).await.unwrap();
    let owner: String =
        sqlx::query_scalar("SELECT current_user::text").fetch_one(&mut connection).await.unwrap();
    let mut admin = cluster.options("postgres", &database).connect().await.unwrap();
    let role = file("deploy/grafana/reader.sql").replace(":'password'", "'a password'");
    sqlx::raw_sql(AssertSqlSafe(role)).execute(&mut admin).await.unwrap();
    sqlx::raw_sql("UPDATE config SET value = 'old' WHERE key = 'views'")
        .execute(&mut connection)
        .await
        .unwrap();
    store::open(cluster.options(&owner, &database).to_url_lossy().as_str()).await.unwrap().close().await;
    let mut reader = cluster.options("perfwatch_reader", &database).connect().await.unwrap();
    let read = sqlx::query("SELECT * FROM perfwatch_cpu").fetch_all(&mut reader).await;
    assert!(read.is_ok(), "{read:?}");
}

fn file(path: &str) -> String {
    let path = format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A panel's query as Grafana sends it, for all machines and the last hour.
fn expanded(query: &str, host: &str) -> String {
    let mut text = query.replace("$host", &format!("'{host}'")).replace("$__interval", "5");
    for (macro_name, sql) in [
        ("$__timeGroupAlias", "to_timestamp(floor(extract(epoch from {}) / 5) * 5) AS \"time\""),
        ("$__timeFilter", "{} BETWEEN now() - interval '1 hour' AND now()"),
    ] {
        while let Some(begin) = text.find(macro_name) {
            let length = text[begin..].find(')').unwrap();
            let arguments = &text[begin + macro_name.len() + 1..begin + length];
            let column = arguments.split(',').next().unwrap();
            text.replace_range(begin..=begin + length, &sql.replace("{}", column));
        }
    }
    assert!(!text.contains('$'), "an unknown macro in {text}");
    text
}

/// Every query of the dashboard with its panel's title, and those of its variables.
fn queries() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&file("deploy/grafana/dashboards/postgresql.json")).unwrap();
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let title = panel["title"].as_str().unwrap().to_owned();
            queries.push((title, target["rawSql"].as_str().unwrap().to_owned()));
        }
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let name = variable["name"].as_str().unwrap().to_owned();
        queries.push((name, variable["query"].as_str().unwrap().to_owned()));
    }
    assert!(queries.len() >= 15);
    queries
}

#[test]
fn the_dashboard_shows_what_matters_and_no_panel_covers_another() {
    let asked: String = queries().into_iter().map(|(_, query)| query + " ").collect();
    let known: BTreeSet<String> = views().into_iter().map(|(view, _, _)| view).collect();
    for view in SHOWN {
        assert!(asked.contains(&format!(" {view} ")), "{view} is in no panel");
        assert!(known.contains(view), "there is no {view}");
    }
    for name in ["postgresql", "prometheus"] {
        let text = file(&format!("deploy/grafana/dashboards/{name}.json"));
        let dashboard: Value = serde_json::from_str(&text).unwrap();
        let (mut ids, mut cells) = (BTreeSet::new(), BTreeSet::new());
        for panel in dashboard["panels"].as_array().unwrap() {
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{name}: two panels {}", panel["id"]);
            let at = |side: &str| panel["gridPos"][side].as_u64().unwrap();
            assert!(at("x") + at("w") <= 24, "{name}: {} is too wide", panel["title"]);
            for (x, y) in (0..at("w")).flat_map(|x| (0..at("h")).map(move |y| (x, y))) {
                let free = cells.insert((at("x") + x, at("y") + y));
                assert!(free, "{name}: {} covers another panel", panel["title"]);
            }
        }
    }
}

#[tokio::test]
async fn the_dashboard_is_answered_as_the_reader_and_nothing_else_is() {
    let readings = readings();
    let test = "the_dashboard_is_answered_as_the_reader_and_nothing_else_is";
    let Some((cluster, mut owner)) = postgresql_with(&readings, test).await else { return };
    let database: String =
        sqlx::query_scalar("SELECT current_database()::text").fetch_one(&mut owner).await.unwrap();
    let mut admin = cluster.options("postgres", &database).connect().await.unwrap();
    let role = file("deploy/grafana/reader.sql").replace(":'password'", "'a password'");
    sqlx::raw_sql(AssertSqlSafe(role)).execute(&mut admin).await.unwrap();

    let mut reader = cluster.options("perfwatch_reader", &database).connect().await.unwrap();
    for (panel, query) in queries() {
        let sql = expanded(&query, HOST);
        let answer = sqlx::query(AssertSqlSafe(sql.clone())).fetch_all(&mut reader).await;
        let answer = answer.unwrap_or_else(|error| panic!("{panel}: {error}\n{sql}"));
        // Without rights for eBPF these are missing.
        let of_ebpf = ["perfwatch_processes", "perfwatch_scheduler", "perfwatch_block_io", "perfwatch_tcp"];
        let needs_ebpf = of_ebpf.iter().any(|view| sql.contains(view));
        assert!(needs_ebpf || !answer.is_empty(), "{panel}: no rows\n{sql}");
    }
    for (view, _, _) in views() {
        let query = AssertSqlSafe(format!("SELECT count(*) FROM {view}"));
        let read: Result<i64, _> = sqlx::query_scalar(query).fetch_one(&mut reader).await;
        assert!(read.is_ok(), "the reader may not read {view}: {read:?}");
    }
    for forbidden in [
        "SELECT * FROM users",
        "SELECT * FROM api_tokens",
        "SELECT * FROM audit_log",
        "SELECT * FROM metrics_snapshots",
        "SELECT * FROM chunks",
        "DELETE FROM perfwatch_cpu",
        "CREATE TABLE mine (id INTEGER)",
    ] {
        let refused = sqlx::query(forbidden).execute(&mut reader).await;
        assert!(refused.is_err(), "the reader may {forbidden}");
    }
}
