//! Settings and the retention policy.

use sqlx::Row as _;
use sqlx::sqlite::{SqlitePool, SqliteRow};
use time::OffsetDateTime;

use super::SqliteStore;
use crate::store::policy::{ArchivePolicy, DownsampleInterval};
use crate::store::{Result, from_micros, micros};

pub(super) async fn config(pool: &SqlitePool, key: &str) -> Result<Option<String>> {
    Ok(sqlx::query_scalar("SELECT value FROM config WHERE key = $1").bind(key).fetch_optional(pool).await?)
}

pub(super) async fn set_config(pool: &SqlitePool, values: &[(&str, String)]) -> Result<()> {
    let mut transaction = pool.begin().await?;
    for (key, value) in values {
        sqlx::query(
            "INSERT INTO config (key, value, updated_at) VALUES ($1, $2, $3)
             ON CONFLICT DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at",
        )
        .bind(key)
        .bind(value)
        .bind(micros(OffsetDateTime::now_utc()))
        .execute(&mut *transaction)
        .await?;
    }
    transaction.commit().await?;
    Ok(())
}

pub(super) async fn archive_policy(store: &SqliteStore) -> Result<ArchivePolicy> {
    const SELECT: &str = "SELECT * FROM archive_policies ORDER BY id LIMIT 1";
    if let Some(row) = sqlx::query(SELECT).fetch_optional(&store.read).await? {
        return Ok(from_row(&row)?);
    }
    let initial = ArchivePolicy::initial(OffsetDateTime::now_utc());
    sqlx::query(
        "INSERT INTO archive_policies (id, retention_days, archive_enabled, downsample_after_days,
             downsample_interval, cleanup_enabled, cleanup_interval_minutes, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8) ON CONFLICT DO NOTHING",
    )
    .bind(initial.id)
    .bind(initial.retention_days)
    .bind(initial.archive_enabled)
    .bind(initial.downsample_after_days)
    .bind(initial.downsample_interval.as_str())
    .bind(initial.cleanup_enabled)
    .bind(initial.cleanup_interval_minutes)
    .bind(micros(initial.created_at))
    .execute(&store.write)
    .await?;
    Ok(from_row(&sqlx::query(SELECT).fetch_one(&store.write).await?)?)
}

fn from_row(row: &SqliteRow) -> sqlx::Result<ArchivePolicy> {
    let interval: String = row.try_get("downsample_interval")?;
    Ok(ArchivePolicy {
        id: row.try_get("id")?,
        retention_days: row.try_get("retention_days")?,
        archive_enabled: row.try_get("archive_enabled")?,
        downsample_after_days: row.try_get("downsample_after_days")?,
        // Only `set_archive_policy` writes here; should someone else have, nothing is thrown away.
        downsample_interval: DownsampleInterval::parse(&interval).unwrap_or(DownsampleInterval::FiveSeconds),
        cleanup_enabled: row.try_get("cleanup_enabled")?,
        cleanup_interval_minutes: row.try_get("cleanup_interval_minutes")?,
        last_archive_run: row.try_get::<Option<i64>, _>("last_archive_run")?.map(from_micros),
        created_at: from_micros(row.try_get("created_at")?),
        updated_at: from_micros(row.try_get("updated_at")?),
    })
}

pub(super) async fn set_archive_policy(pool: &SqlitePool, policy: &ArchivePolicy) -> Result<()> {
    sqlx::query(
        "UPDATE archive_policies SET retention_days = $2, archive_enabled = $3, downsample_after_days = $4,
             downsample_interval = $5, cleanup_enabled = $6, cleanup_interval_minutes = $7, updated_at = $8
         WHERE id = $1",
    )
    .bind(policy.id)
    .bind(policy.retention_days)
    .bind(policy.archive_enabled)
    .bind(policy.downsample_after_days)
    .bind(policy.downsample_interval.as_str())
    .bind(policy.cleanup_enabled)
    .bind(policy.cleanup_interval_minutes)
    .bind(micros(OffsetDateTime::now_utc()))
    .execute(pool)
    .await?;
    Ok(())
}

pub(super) async fn record_archive_run(pool: &SqlitePool, at: OffsetDateTime) -> Result<()> {
    sqlx::query("UPDATE archive_policies SET last_archive_run = $1").bind(micros(at)).execute(pool).await?;
    Ok(())
}
