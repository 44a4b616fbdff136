//! Flat columns for SQL clients such as Grafana: a view for each document, and one for each list in a document. They
//! are generated from the dictionary at startup, and show the documents stored as JSON.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::snapshot::MetricType;
use crate::snapshot::dictionary::Kind;
use crate::snapshot::layout::{Form, Layout};
use crate::store::Result;

const PREFIX: &str = "perfwatch_";
/// The setting that records which views exist.
const KEY: &str = "views";

/// Recreates the views unless they match this version, as part of a transaction that no other server runs meanwhile.
pub(super) async fn make(connection: &mut PgConnection) -> Result<()> {
    let script = script();
    let digest: String =
        Sha256::digest(script.concat().as_bytes()).iter().take(8).map(|b| format!("{b:02x}")).collect();
    let made: Option<String> = sqlx::query_scalar("SELECT value FROM config WHERE key = $1")
        .bind(KEY)
        .fetch_optional(&mut *connection)
        .await?;
    if made.as_ref() == Some(&digest) {
        return Ok(());
    }
    let granted: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT table_name::text, grantee::text, privilege_type::text FROM information_schema.table_privileges
         WHERE table_schema = current_schema() AND table_name LIKE 'perfwatch\\_%' AND grantee <> current_user",
    )
    .fetch_all(&mut *connection)
    .await?;
    let old: Vec<String> = sqlx::query_scalar(
        "SELECT viewname::text FROM pg_views WHERE schemaname = current_schema() AND viewname LIKE 'perfwatch\\_%'",
    )
    .fetch_all(&mut *connection)
    .await?;
    let ours = |name: &String| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    for view in old.iter().filter(|name| ours(name)) {
        // If a user has built on a view, dropping it fails and it stays as it was.
        let drop = format!("DROP VIEW IF EXISTS {view}");
        let mut attempt = connection.begin().await?;
        match sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut *attempt).await {
            Ok(_) => attempt.commit().await?,
            Err(error) => {
                attempt.rollback().await?;
                tracing::warn!(view, %error, "cannot update a view of an earlier version: others depend on it");
            }
        }
    }
    for statement in &script {
        let mut attempt = connection.begin().await?;
        match sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(&mut *attempt).await {
            Ok(_) => attempt.commit().await?,
            // It is one that stayed.
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P07") => {
                attempt.rollback().await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    for (view, grantee, privilege) in granted {
        let grantee =
            if grantee == "PUBLIC" { grantee } else { format!("\"{}\"", grantee.replace('"', "\"\"")) };
        // A view that no longer exists has nothing to grant.
        let grant = format!("GRANT {privilege} ON \"{view}\" TO {grantee}");
        let mut attempt = connection.begin().await?;
        match sqlx::raw_sql(AssertSqlSafe(grant)).execute(&mut *attempt).await {
            Ok(_) => attempt.commit().await?,
            Err(_) => attempt.rollback().await?,
        }
    }
    sqlx::query(
        "INSERT INTO config (key, value, updated_at) VALUES ($1, $2, now())
         ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at",
    )
    .bind(KEY)
    .bind(digest)
    .execute(&mut *connection)
    .await?;
    Ok(())
}

/// The statements that create all views. All names in them come from the dictionary.
fn script() -> Vec<String> {
    let mut script = Vec::new();
    for metric_type in MetricType::ALL.into_iter().filter(|of| of.is_shown()) {
        let layout = Layout::of(metric_type);
        script.extend((0..layout.tables.len()).map(|table| view(metric_type, layout, table)));
    }
    script
}

fn view(metric_type: MetricType, layout: &Layout, table: usize) -> String {
    let of = &layout.tables[table];
    let mut name = format!("{PREFIX}{}", metric_type.as_str());
    if table > 0 {
        name = format!("{name}_{}", column_name(&of.path));
    }
    let mut taken = BTreeSet::new();
    let mut columns = vec!["h.name AS host".to_owned(), "s.timestamp".to_owned()];
    let mut from = "metrics_snapshots s LEFT JOIN hosts h ON h.id = s.host".to_owned();
    let mut things = Vec::new();
    let mut at = table;
    while at != 0 {
        things.push(at);
        at = layout.tables[at].parent;
    }
    let mut row = "s.metric_data".to_owned();
    for (depth, thing) in things.into_iter().rev().enumerate() {
        let of = &layout.tables[thing];
        let item = format!("i{depth}");
        let list = format!("{row} #> '{}'", path(&of.name));
        let own = &of.labels[of.inherited..];
        match of.form {
            Form::Map => {
                from.push_str(&format!(
                    " CROSS JOIN LATERAL jsonb_each(CASE jsonb_typeof({list}) WHEN 'object' THEN {list} END) AS {item} (key, value)"
                ));
                columns.push(format!("{item}.key AS {}", unique(own[0], &mut taken)));
            }
            Form::List | Form::Positions => {
                from.push_str(&format!(
                    " CROSS JOIN LATERAL jsonb_array_elements(CASE jsonb_typeof({list}) WHEN 'array' THEN {list} END)
                     WITH ORDINALITY AS {item} (value, position)"
                ));
                if of.form == Form::Positions {
                    columns.push(format!("{item}.position - 1 AS {}", unique(own[0], &mut taken)));
                } else {
                    for label in &of.label_fields {
                        columns.push(format!("{item}.value ->> '{label}' AS {}", unique(label, &mut taken)));
                    }
                }
            }
        }
        row = format!("{item}.value");
    }
    for column in of.columns.iter().filter(|column| column.field.is_some()) {
        let value = if column.name.is_empty() {
            format!("({row} #>> '{{}}')")
        } else {
            format!("({row} #>> '{}')", path(&column.name))
        };
        let value = match column.kind {
            Kind::Gauge | Kind::Counter | Kind::Interval => format!("{value}::double precision"),
            Kind::State | Kind::Text => value,
            // Distributions and events are read from the document.
            Kind::Histogram | Kind::Events | Kind::Gate => continue,
        };
        let name = if column.name.is_empty() { "value" } else { &column.name };
        columns.push(format!("{value} AS {}", unique(name, &mut taken)));
    }
    format!(
        "CREATE VIEW {name} AS SELECT {} FROM {from} WHERE s.metric_type = '{}';\n",
        columns.join(", "),
        metric_type.as_str()
    )
}

fn path(name: &str) -> String {
    format!("{{{}}}", name.replace('.', ","))
}

fn column_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect()
}

/// A quoted name that is unique within the view.
fn unique(name: &str, taken: &mut BTreeSet<String>) -> String {
    let mut name = column_name(name);
    while ["host", "timestamp"].contains(&&name[..]) || !taken.insert(name.clone()) {
        name.push('_');
    }
    format!("\"{name}\"")
}
