//! Documents on their way into the table, compressed.
//!
//! PostgreSQL compresses a value only in a row of more than 2 kB, and most documents are shorter: a day would take a
//! third more. So they pass through a temporary table whose rows are made longer by a padding. What was compressed
//! there stays so when it is copied; the padding stays behind.

use sqlx::PgConnection;

use super::PostgresStore;
use crate::store::{Result, Row};

/// Whether this connection has the table, and whether it may make one.
const LOOK: &str = "SELECT to_regclass('pg_temp.perfwatch_arrivals') IS NOT NULL,
     has_database_privilege(current_database(), 'TEMPORARY')";
/// The target is the least there is: everything that can be is compressed.
const MAKE: &str = "CREATE TEMPORARY TABLE perfwatch_arrivals
         (LIKE metrics_snapshots INCLUDING DEFAULTS INCLUDING COMPRESSION INCLUDING STORAGE, padding TEXT)
     WITH (toast_tuple_target = 128) ON COMMIT DELETE ROWS;
     ALTER TABLE pg_temp.perfwatch_arrivals ALTER COLUMN padding SET STORAGE MAIN";
const ARRIVE: &str =
    "INSERT INTO pg_temp.perfwatch_arrivals (host, timestamp, metric_type, metric_data, padding)
     SELECT $1, t, m, d::jsonb, repeat(' ', 2048)
     FROM unnest($2::timestamptz[], $3::text[], $4::text[]) AS rows (t, m, d)";
const KEEP: &str = "INSERT INTO metrics_snapshots (id, host, timestamp, metric_type, metric_data)
     SELECT id, host, timestamp, metric_type, metric_data FROM pg_temp.perfwatch_arrivals ON CONFLICT DO NOTHING";
/// Where the role may not make temporary tables.
const KEEP_AS_IT_IS: &str = "INSERT INTO metrics_snapshots (host, timestamp, metric_type, metric_data)
     SELECT $1, t, m, d::jsonb FROM unnest($2::timestamptz[], $3::text[], $4::text[]) AS rows (t, m, d)
     ON CONFLICT DO NOTHING";

/// Inserts rows that are not there yet, with the texts of their documents; returns how many they were. `transaction`
/// is in one.
pub(super) async fn insert(
    store: &PostgresStore,
    transaction: &mut PgConnection,
    rows: &[&Row],
    documents: &[String],
) -> Result<u64> {
    let (made, permitted): (bool, bool) = sqlx::query_as(LOOK).fetch_one(&mut *transaction).await?;
    if !made && permitted {
        sqlx::raw_sql(MAKE).execute(&mut *transaction).await?;
    }
    let compress = made || permitted;
    let arrived = sqlx::query(if compress { ARRIVE } else { KEEP_AS_IT_IS })
        .bind(&store.host)
        .bind(rows.iter().map(|r| r.timestamp).collect::<Vec<_>>())
        .bind(rows.iter().map(|r| r.metric_type.as_str()).collect::<Vec<_>>())
        .bind(documents)
        .execute(&mut *transaction)
        .await?;
    let kept = if compress { sqlx::query(KEEP).execute(&mut *transaction).await? } else { arrived };
    Ok(kept.rows_affected())
}
