//! Readings as JSON, for SQL queries: `metrics_snapshots`, as in the original.

use sqlx::AssertSqlSafe;

use super::{PostgresStore, partitions};
use crate::store::chunks::Document;
use crate::store::{Result, from_micros, micros};

/// Rows per transaction: a few milliseconds.
const REMOVED_AT_A_TIME: i64 = 1000;
/// How long dropping a partition waits for readers of the table, with new writers queued behind it.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '50ms'";

pub(super) async fn put(store: &PostgresStore, host: &str, documents: &[Document]) -> Result<()> {
    let days = documents.iter().map(|document| from_micros(document.at).date());
    partitions::make_for(store, days).await?;
    // PostgreSQL's JSON cannot contain NUL, so it is left out.
    let text = |document: &Document| String::from_utf8_lossy(&document.json).replace("\\u0000", "");
    sqlx::query(
        "INSERT INTO metrics_snapshots (host, timestamp, metric_type, metric_data)
         SELECT $1, t, m, d::jsonb FROM unnest($2::timestamptz[], $3::text[], $4::text[]) AS rows (t, m, d)
         ON CONFLICT DO NOTHING",
    )
    .bind(host)
    .bind(documents.iter().map(|document| from_micros(document.at)).collect::<Vec<_>>())
    .bind(documents.iter().map(|document| document.metric_type.as_str()).collect::<Vec<_>>())
    .bind(documents.iter().map(text).collect::<Vec<_>>())
    .execute(store.ready().await?)
    .await?;
    Ok(())
}

pub(super) async fn remove_before(store: &PostgresStore, host: &str, before: i64) -> Result<u64> {
    let mut gone = 0;
    for day in partitions::days(store).await? {
        let Some(end) = day.next_day() else { continue };
        if micros(end.midnight().assume_utc()) <= before {
            drop_partition(store, host, day).await?;
        }
    }
    loop {
        let done = sqlx::query(
            "DELETE FROM metrics_snapshots WHERE (metric_type, timestamp, host) IN (
                 SELECT metric_type, timestamp, host FROM metrics_snapshots
                 WHERE host = $1 AND timestamp < $2 LIMIT $3)",
        )
        .bind(host)
        .bind(from_micros(before))
        .bind(REMOVED_AT_A_TIME)
        .execute(store.ready().await?)
        .await?;
        gone += done.rows_affected();
        if done.rows_affected() < REMOVED_AT_A_TIME.unsigned_abs() {
            return Ok(gone);
        }
    }
}

/// Drops a day's partition if no other host has data in it; if that can't be checked quickly, deletes this host's rows
/// instead.
async fn drop_partition(store: &PostgresStore, host: &str, day: time::Date) -> Result<()> {
    let name = partitions::name(day)?;
    // The name consists of digits only.
    let others = format!("SELECT EXISTS (SELECT 1 FROM {name} WHERE host <> $1)");
    let others = sqlx::query_scalar(AssertSqlSafe(others)).bind(host).fetch_one(store.ready().await?).await?;
    if others {
        return Ok(());
    }
    let mut transaction = store.ready().await?.begin().await?;
    sqlx::raw_sql(LOCK_TIMEOUT).execute(&mut *transaction).await?;
    let drop = format!("DROP TABLE {name}");
    if sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut *transaction).await.is_ok() {
        // Before the commit: later documents create the partition again.
        partitions::forget(store, day);
        transaction.commit().await?;
    }
    Ok(())
}
