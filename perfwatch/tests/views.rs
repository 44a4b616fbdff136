//! The SQL views, and the dashboard that asks them, against real databases.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step fails the test")]
#![allow(clippy::print_stdout)] // a skipped test says so

#[path = "support/postgres.rs"]
mod postgres;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use perfwatch::config::Roots;
use perfwatch::snapshot::source::Tick;
use perfwatch::snapshot::{MetricType, rfc3339};
use perfwatch::store::{self, Row as StoredRow};
use perfwatch::{collectors, probes};
use postgres::Cluster;
use serde_json::Value;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, Row, SqliteConnection};
use time::OffsetDateTime;

const FLAT: [(&str, MetricType); 9] = [
    ("perfwatch_cpu", MetricType::Cpu),
    ("perfwatch_memory", MetricType::Memory),
    ("perfwatch_network", MetricType::Network),
    ("perfwatch_disk", MetricType::Disk),
    ("perfwatch_perf_events", MetricType::PerfEvents),
    ("perfwatch_memory_bandwidth", MetricType::MemoryBandwidth),
    ("perfwatch_pressure", MetricType::Pressure),
    ("perfwatch_scheduler", MetricType::Scheduler),
    ("perfwatch_tcp", MetricType::Tcp),
];

const LISTS: [&str; 6] = [
    "perfwatch_cpu_cores",
    "perfwatch_interfaces",
    "perfwatch_filesystems",
    "perfwatch_devices",
    "perfwatch_processes",
    "perfwatch_block_io",
];

/// Two ticks of this machine, and a document of a source that failed.
fn rows() -> Vec<StoredRow> {
    let mut sources = collectors::all(&Roots::default());
    sources.extend(probes::all(&Roots::default(), 100.0));
    let now = OffsetDateTime::now_utc().replace_millisecond(0).unwrap();
    let mut rows = Vec::new();
    for ago in [5, 0] {
        let timestamp = now - time::Duration::seconds(ago);
        let tick = Tick { timestamp: rfc3339(timestamp), interval: Duration::from_secs(5) };
        for source in &mut sources {
            let document = source.sample(&tick).unwrap();
            rows.push(StoredRow { timestamp, metric_type: document.metric_type, json: document.json });
        }
    }
    let failed = perfwatch::snapshot::Document::failed(MetricType::Disk, "t", "no disk");
    let timestamp = now - time::Duration::seconds(10);
    rows.push(StoredRow { timestamp, metric_type: failed.metric_type, json: failed.json });
    rows
}

/// Column names of a view and its newest row's numbers, in the order of the view; texts are left out.
type Newest = (Vec<String>, BTreeMap<String, Option<f64>>);

fn newest_query(view: &str, columns: &[String]) -> AssertSqlSafe<String> {
    let numbers: Vec<String> = columns.iter().map(|column| format!("\"{column}\" + 0.0")).collect();
    AssertSqlSafe(format!("SELECT {} FROM {view} ORDER BY timestamp DESC LIMIT 1", numbers.join(", ")))
}

const TEXTS: [&str; 11] = [
    "host",
    "timestamp",
    "interface",
    "state",
    "device",
    "mountpoint",
    "fstype",
    "comm",
    "username",
    "cgroup",
    "cpu",
];

fn numbers(columns: &[String]) -> Vec<String> {
    columns.iter().filter(|column| !TEXTS.contains(&column.as_str())).cloned().collect()
}

async fn newest_in_sqlite(connection: &mut SqliteConnection, view: &str) -> Newest {
    let columns: Vec<String> = sqlx::query_scalar("SELECT name FROM pragma_table_info(?) ORDER BY cid")
        .bind(view)
        .fetch_all(&mut *connection)
        .await
        .unwrap();
    let wanted = numbers(&columns);
    let row = sqlx::query(newest_query(view, &wanted)).fetch_optional(connection).await.unwrap();
    let values =
        row.map(|row| wanted.iter().enumerate().map(|(at, name)| (name.clone(), row.get(at))).collect());
    (columns, values.unwrap_or_default())
}

async fn newest_in_postgresql(connection: &mut PgConnection, view: &str) -> Newest {
    let columns: Vec<String> = sqlx::query_scalar(
        "SELECT column_name::text FROM information_schema.columns WHERE table_name = $1 ORDER BY ordinal_position",
    )
    .bind(view)
    .fetch_all(&mut *connection)
    .await
    .unwrap();
    let wanted = numbers(&columns);
    let row = sqlx::query(newest_query(view, &wanted)).fetch_optional(connection).await.unwrap();
    let values =
        row.map(|row| wanted.iter().enumerate().map(|(at, name)| (name.clone(), row.get(at))).collect());
    (columns, values.unwrap_or_default())
}

async fn sqlite_with(rows: &[StoredRow]) -> (tempfile::TempDir, SqliteConnection) {
    let dir = tempfile::tempdir().unwrap();
    let url = store::sqlite_url(dir.path());
    let store = store::open(&url).await.unwrap();
    store.append(rows).await.unwrap();
    store.close().await;
    (dir, SqliteConnection::connect(&url).await.unwrap())
}

async fn postgresql_with(rows: &[StoredRow], test: &str) -> Option<(Cluster, PgConnection)> {
    let cluster = match Cluster::start().await {
        Ok(cluster) => cluster,
        Err(reason) => {
            println!("SKIPPED: {test}: {reason}");
            return None;
        }
    };
    let url = cluster.database().await;
    let store = store::open(&url).await.unwrap();
    store.append(rows).await.unwrap();
    store.close().await;
    let connection = PgConnection::connect(&url).await.unwrap();
    Some((cluster, connection))
}

#[tokio::test]
async fn flat_columns_hold_what_the_documents_say() {
    let rows = rows();
    let (_dir, mut connection) = sqlite_with(&rows).await;
    for (view, metric_type) in FLAT {
        let Some(row) = rows.iter().rev().find(|row| row.metric_type == metric_type && row.json.len() > 90)
        else {
            continue; // this machine has no such source
        };
        let document: Value = serde_json::from_slice(&row.json).unwrap();
        let (columns, values) = newest_in_sqlite(&mut connection, view).await;
        assert_eq!(columns[..2], ["host", "timestamp"], "{view}");
        let mut held = 0;
        for (name, value) in document.as_object().unwrap() {
            if let (Some(number), Some(column)) = (value.as_f64(), values.get(name)) {
                assert_eq!(*column, Some(number), "{view}.{name}");
                held += 1;
            }
        }
        let nested = ["perfwatch_disk", "perfwatch_perf_events", "perfwatch_pressure", "perfwatch_tcp"]
            .contains(&view);
        assert!(nested || held >= 5, "{view} has {held} of the document's numbers");
    }
    let (_, cpu) = newest_in_sqlite(&mut connection, "perfwatch_cpu").await;
    assert!(cpu["load1"].is_some() && cpu["interrupts"] > Some(0.0));
    let (_, disk) = newest_in_sqlite(&mut connection, "perfwatch_disk").await;
    assert!(disk["io_read_bytes"] >= Some(0.0));
}

#[tokio::test]
async fn lists_become_rows_and_failed_documents_none() {
    let rows = rows();
    let (_dir, mut connection) = sqlite_with(&rows).await;
    let count = |document: &'static str, list: &'static str| {
        let of = MetricType::parse(document).unwrap();
        let lists = rows.iter().filter(move |row| row.metric_type == of);
        lists
            .map(|row| match &serde_json::from_slice::<Value>(&row.json).unwrap()[list] {
                Value::Array(items) => items.len(),
                Value::Object(items) => items.len(),
                _ => 0,
            })
            .sum::<usize>()
    };
    for (view, document, list) in [
        ("perfwatch_interfaces", "network", "interfaces"),
        ("perfwatch_filesystems", "disk", "partitions"),
        ("perfwatch_devices", "disk", "devices"),
        ("perfwatch_processes", "processes", "top"),
        ("perfwatch_block_io", "block_io", "devices"),
    ] {
        let query = AssertSqlSafe(format!("SELECT count(*) FROM {view}"));
        let found: i64 = sqlx::query_scalar(query).fetch_one(&mut connection).await.unwrap();
        assert_eq!(found, i64::try_from(count(document, list)).unwrap(), "{view}");
    }
}

#[tokio::test]
async fn both_engines_have_the_same_views() {
    let rows = rows();
    let Some((_cluster, mut postgresql)) = postgresql_with(&rows, "both_engines_have_the_same_views").await
    else {
        return;
    };
    let (_dir, mut sqlite) = sqlite_with(&rows).await;
    for view in FLAT.iter().map(|(view, _)| *view).chain(LISTS) {
        let ours = newest_in_sqlite(&mut sqlite, view).await;
        let theirs = newest_in_postgresql(&mut postgresql, view).await;
        assert_eq!(ours.0, theirs.0, "{view}");
        // Of lists the newest row is any of several.
        if !LISTS.contains(&view) {
            assert_eq!(ours.1, theirs.1, "{view}");
        }
    }
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
fn the_dashboard_shows_every_view_and_no_panel_covers_another() {
    let asked: String = queries().into_iter().map(|(_, query)| query + " ").collect();
    for view in FLAT.iter().map(|(view, _)| *view).chain(LISTS) {
        assert!(asked.contains(&format!(" {view} ")), "{view} is in no panel");
    }
    let role = file("deploy/grafana/reader.sql");
    for view in FLAT.iter().map(|(view, _)| *view).chain(LISTS) {
        assert!(role.contains(&format!(" {view}")), "the reader may not read {view}");
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
    let rows = rows();
    let test = "the_dashboard_is_answered_as_the_reader_and_nothing_else_is";
    let Some((cluster, mut owner)) = postgresql_with(&rows, test).await else { return };
    let about = sqlx::query("SELECT host, current_database()::text FROM metrics_snapshots LIMIT 1");
    let about = about.fetch_one(&mut owner).await.unwrap();
    let (host, database): (String, String) = (about.get(0), about.get(1));
    let mut admin = cluster.options("postgres", &database).connect().await.unwrap();
    let role = file("deploy/grafana/reader.sql").replace(":'password'", "'a password'");
    sqlx::raw_sql(AssertSqlSafe(role)).execute(&mut admin).await.unwrap();

    let mut reader = cluster.options("perfwatch_reader", &database).connect().await.unwrap();
    for (panel, query) in queries() {
        let sql = expanded(&query, &host);
        let answer = sqlx::query(AssertSqlSafe(sql.clone())).fetch_all(&mut reader).await;
        let answer = answer.unwrap_or_else(|error| panic!("{panel}: {error}\n{sql}"));
        // Without rights for eBPF there are none of these.
        let of_ebpf = ["perfwatch_processes", "perfwatch_scheduler", "perfwatch_block_io", "perfwatch_tcp"];
        let needs_ebpf = of_ebpf.iter().any(|view| sql.contains(view));
        assert!(needs_ebpf || !answer.is_empty(), "{panel}: no rows\n{sql}");
    }
    for forbidden in [
        "SELECT * FROM users",
        "SELECT * FROM api_tokens",
        "SELECT * FROM audit_log",
        "SELECT * FROM metrics_snapshots",
        "DELETE FROM perfwatch_cpu",
        "CREATE TABLE mine (id INTEGER)",
    ] {
        let refused = sqlx::query(forbidden).execute(&mut reader).await;
        assert!(refused.is_err(), "the reader may {forbidden}");
    }
}
