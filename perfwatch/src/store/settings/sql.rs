//! Statements for settings and the retention policy, for both engines, which differ only in the types of rows and
//! times.

/// Defines an engine's functions on `config` and `archive_policies`. `$to` converts a time to what the engine binds,
/// `$from` back.
macro_rules! settings_statements {
    ($pool:ty, $engine:ty, $row:ty, to: $to:expr, from: $from:expr) => {
        pub(super) async fn config(pool: &$pool, key: &str) -> Result<Option<String>> {
            Ok(sqlx::query_scalar("SELECT value FROM config WHERE key = $1").bind(key).fetch_optional(pool).await?)
        }

        pub(super) async fn set_config(pool: &$pool, values: &[(&str, String)]) -> Result<()> {
            let values: Vec<(String, String)> =
                values.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
            let mut transaction = pool.begin().await?;
            put(&mut transaction, &values).await?;
            transaction.commit().await?;
            Ok(())
        }

        /// Stores settings as part of a transaction.
        pub(super) async fn put(
            transaction: &mut sqlx::Transaction<'_, $engine>,
            values: &[(String, String)],
        ) -> Result<()> {
            for (key, value) in values {
                sqlx::query(
                    "INSERT INTO config (key, value, updated_at) VALUES ($1, $2, $3)
                     ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at",
                )
                .bind(key)
                .bind(value)
                .bind($to(OffsetDateTime::now_utc()))
                .execute(&mut **transaction)
                .await?;
            }
            Ok(())
        }

        pub(super) async fn archive_policy(read: &$pool, write: &$pool) -> Result<ArchivePolicy> {
            const SELECT: &str = "SELECT * FROM archive_policies ORDER BY id LIMIT 1";
            if let Some(row) = sqlx::query(SELECT).fetch_optional(read).await? {
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
            .bind($to(initial.created_at))
            .execute(write)
            .await?;
            Ok(from_row(&sqlx::query(SELECT).fetch_one(write).await?)?)
        }

        fn from_row(row: &$row) -> sqlx::Result<ArchivePolicy> {
            let interval: String = row.try_get("downsample_interval")?;
            let last_archive_run: Option<_> = row.try_get("last_archive_run")?;
            Ok(ArchivePolicy {
                id: row.try_get("id")?,
                retention_days: row.try_get("retention_days")?,
                archive_enabled: row.try_get("archive_enabled")?,
                downsample_after_days: row.try_get("downsample_after_days")?,
                // Only `set_archive_policy` writes this; if something else did, raw data is kept.
                downsample_interval: DownsampleInterval::parse(&interval).unwrap_or(DownsampleInterval::FiveSeconds),
                cleanup_enabled: row.try_get("cleanup_enabled")?,
                cleanup_interval_minutes: row.try_get("cleanup_interval_minutes")?,
                last_archive_run: last_archive_run.map($from),
                created_at: $from(row.try_get("created_at")?),
                updated_at: $from(row.try_get("updated_at")?),
            })
        }

        pub(super) async fn set_archive_policy(pool: &$pool, policy: &ArchivePolicy) -> Result<()> {
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
            .bind($to(OffsetDateTime::now_utc()))
            .execute(pool)
            .await?;
            Ok(())
        }

        pub(super) async fn record_archive_run(pool: &$pool, at: OffsetDateTime) -> Result<()> {
            sqlx::query("UPDATE archive_policies SET last_archive_run = $1").bind($to(at)).execute(pool).await?;
            Ok(())
        }
    };
}
pub(in crate::store) use settings_statements;
