//! The partitions of `metrics_snapshots`: one per UTC day, named after it.

use sqlx::AssertSqlSafe;
use time::macros::format_description;
use time::{Date, Duration, OffsetDateTime};

use super::{PostgresStore, lock};
use crate::store::{Result, StoreError};

/// Number of days whose partitions are created in advance.
const AHEAD: i64 = 3;

const PREFIX: &str = "metrics_snapshots_";

pub(super) async fn make_ahead(store: &PostgresStore, now: OffsetDateTime) -> Result<()> {
    let today = now.to_offset(time::UtcOffset::UTC).date();
    for day in (0..=AHEAD).filter_map(|n| today.checked_add(Duration::days(n))) {
        make(store, day).await?;
    }
    Ok(())
}

/// Creates partitions that don't exist yet: for late data, or after the clock was set.
pub(super) async fn make_for(store: &PostgresStore, days: impl Iterator<Item = Date>) -> Result<()> {
    let mut last = None;
    for day in days {
        if last != Some(day) {
            make(store, day).await?;
            last = Some(day);
        }
    }
    Ok(())
}

async fn make(store: &PostgresStore, day: Date) -> Result<()> {
    if lock(&store.days).contains(&day) {
        return Ok(());
    }
    let next = day.next_day().ok_or_else(|| StoreError::Database("no day follows the last".into()))?;
    let name = name(day)?;
    // DDL takes no parameters; a date's format has only digits and dashes.
    let create = format!(
        "CREATE TABLE IF NOT EXISTS {name} PARTITION OF metrics_snapshots
         FOR VALUES FROM ('{day} 00:00:00+00') TO ('{next} 00:00:00+00')"
    );
    match sqlx::raw_sql(AssertSqlSafe(create)).execute(store.ready().await?).await {
        Ok(_) => {}
        // Another server created it at the same moment.
        Err(sqlx::Error::Database(e)) if matches!(e.code().as_deref(), Some("42P07" | "23505")) => {}
        Err(error) => return Err(error.into()),
    }
    lock(&store.days).insert(day);
    Ok(())
}

pub(super) fn forget(store: &PostgresStore, day: Date) {
    lock(&store.days).remove(&day);
}

pub(super) fn name(day: Date) -> Result<String> {
    named(PREFIX, day)
}

/// The name of a partition that begins with a day.
pub(super) fn named(prefix: &str, day: Date) -> Result<String> {
    let digits = day
        .format(format_description!("[year][month][day]"))
        .map_err(|e| StoreError::Database(format!("{day}: {e}")))?;
    Ok(format!("{prefix}{digits}"))
}

/// The days that have a partition, oldest first.
pub(super) async fn days(store: &PostgresStore) -> Result<Vec<Date>> {
    first_days(store, "metrics_snapshots", PREFIX).await
}

/// The first day of each partition of a table, oldest first.
pub(super) async fn first_days(store: &PostgresStore, table: &str, prefix: &str) -> Result<Vec<Date>> {
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = CAST($1 AS text)::regclass ORDER BY 1",
    )
    .bind(table)
    .fetch_all(store.ready().await?)
    .await?;
    let day = format_description!("[year][month][day]");
    Ok(names.iter().filter_map(|n| Date::parse(n.strip_prefix(prefix)?, day).ok()).collect())
}
