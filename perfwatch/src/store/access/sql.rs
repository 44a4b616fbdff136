//! The statements for both engines, which differ only in the types of rows and times.

/// Implements [`Access`](super::Access) for a store whose methods `$read` and `$write` return the pools once the tables
/// are up to date. `$to` converts a time to what the engine binds, `$from` back.
macro_rules! implement_access {
    ($store:ty, $row:ty, read: $read:ident, write: $write:ident, to: $to:expr, from: $from:expr) => {
        fn token(row: &$row) -> sqlx::Result<ApiToken> {
            let last_used: Option<_> = row.try_get("last_used")?;
            Ok(ApiToken {
                id: row.try_get("id")?,
                user_id: row.try_get("user_id")?,
                username: row.try_get("username")?,
                name: row.try_get("name")?,
                scopes: row.try_get("scopes")?,
                created_at: $from(row.try_get("created_at")?),
                expires_at: $from(row.try_get("expires_at")?),
                last_used: last_used.map($from),
            })
        }

        fn login(row: &$row) -> sqlx::Result<LoginRecord> {
            Ok(LoginRecord {
                user_hash: row.try_get("user_hash")?,
                address: row.try_get("address")?,
                familiar: row.try_get("familiar")?,
                at: $from(row.try_get("at")?),
            })
        }

        fn audit_entry(row: &$row) -> sqlx::Result<AuditEntry> {
            Ok(AuditEntry {
                id: row.try_get("id")?,
                at: $from(row.try_get("at")?),
                username: row.try_get("username")?,
                address: row.try_get("address")?,
                action: row.try_get("action")?,
                detail: row.try_get("detail")?,
            })
        }

        fn all<T>(rows: Vec<$row>, read: fn(&$row) -> sqlx::Result<T>) -> Result<Vec<T>> {
            rows.iter().map(|row| Ok(read(row)?)).collect()
        }

        #[async_trait]
        impl Access for $store {
            async fn set_role(&self, id: i64, role: &str, keep: &str) -> Result<bool> {
                let changed = sqlx::query(
                    "UPDATE users SET role = $2, token_generation = token_generation + 1 WHERE id = $1
                     AND (role <> $3 OR $2 = $3 OR (SELECT count(*) FROM users WHERE role = $3) > 1)",
                );
                let changed = changed.bind(id).bind(role).bind(keep).execute(self.$write().await?).await?;
                Ok(changed.rows_affected() == 1)
            }

            async fn set_hosts(&self, id: i64, hosts: &str) -> Result<bool> {
                let changed = sqlx::query(
                    "UPDATE users SET hosts = $2, token_generation = token_generation + 1 WHERE id = $1",
                );
                let changed = changed.bind(id).bind(hosts).execute(self.$write().await?).await?;
                Ok(changed.rows_affected() == 1)
            }

            async fn delete_user(&self, id: i64, keep: &str) -> Result<bool> {
                let deleted = sqlx::query(
                    "DELETE FROM users WHERE id = $1
                     AND (role <> $2 OR (SELECT count(*) FROM users WHERE role = $2) > 1)",
                );
                let deleted = deleted.bind(id).bind(keep).execute(self.$write().await?).await?;
                Ok(deleted.rows_affected() == 1)
            }

            async fn accounts_version(&self) -> Result<i64> {
                // Generations only increase, and every account has one.
                let version = sqlx::query_scalar(
                    "SELECT CAST(coalesce(sum(token_generation + id), 0) + count(*) AS BIGINT) FROM users",
                );
                Ok(version.fetch_one(self.$read().await?).await?)
            }

            async fn create_api_token(&self, new: &NewApiToken<'_>) -> Result<ApiToken> {
                let row = sqlx::query(
                    "INSERT INTO api_tokens (user_id, name, scopes, token_hash, created_at, expires_at)
                     VALUES ($1, $2, $3, $4, $5, $6)
                     RETURNING *, (SELECT username FROM users WHERE id = user_id) AS username",
                )
                .bind(new.user_id)
                .bind(new.name)
                .bind(new.scopes)
                .bind(new.hash)
                .bind($to(OffsetDateTime::now_utc()))
                .bind($to(new.expires_at))
                .fetch_one(self.$write().await?)
                .await?;
                Ok(token(&row)?)
            }

            async fn api_tokens(&self, user_id: Option<i64>) -> Result<Vec<ApiToken>> {
                let rows = sqlx::query(
                    "SELECT t.*, u.username FROM api_tokens t JOIN users u ON u.id = t.user_id
                     WHERE $1 IS NULL OR user_id = $1 ORDER BY t.id",
                );
                all(rows.bind(user_id).fetch_all(self.$read().await?).await?, token)
            }

            async fn api_token_by_hash(&self, hash: &str) -> Result<Option<ApiToken>> {
                let row = sqlx::query(
                    "SELECT t.*, u.username FROM api_tokens t JOIN users u ON u.id = t.user_id
                     WHERE token_hash = $1",
                );
                let row = row.bind(hash).fetch_optional(self.$read().await?).await?;
                Ok(row.as_ref().map(token).transpose()?)
            }

            async fn record_token_use(&self, id: i64, at: OffsetDateTime) -> Result<()> {
                let used = sqlx::query("UPDATE api_tokens SET last_used = $2 WHERE id = $1");
                used.bind(id).bind($to(at)).execute(self.$write().await?).await?;
                Ok(())
            }

            async fn delete_api_token(&self, id: i64) -> Result<bool> {
                let deleted = sqlx::query("DELETE FROM api_tokens WHERE id = $1");
                Ok(deleted.bind(id).execute(self.$write().await?).await?.rows_affected() == 1)
            }

            async fn record_failure(&self, failure: &LoginRecord, since: OffsetDateTime) -> Result<()> {
                let mut transaction = self.$write().await?.begin().await?;
                let old = sqlx::query("DELETE FROM login_failures WHERE at < $1");
                old.bind($to(since)).execute(&mut *transaction).await?;
                sqlx::query(
                    "INSERT INTO login_failures (user_hash, address, familiar, at) VALUES ($1, $2, $3, $4)",
                )
                .bind(&failure.user_hash)
                .bind(&failure.address)
                .bind(failure.familiar)
                .bind($to(failure.at))
                .execute(&mut *transaction)
                .await?;
                Ok(transaction.commit().await?)
            }

            async fn login_failures(&self, since: OffsetDateTime) -> Result<Vec<LoginRecord>> {
                let rows = sqlx::query("SELECT * FROM login_failures WHERE at >= $1 ORDER BY at");
                all(rows.bind($to(since)).fetch_all(self.$read().await?).await?, login)
            }

            async fn record_familiar(&self, login: &LoginRecord, since: OffsetDateTime) -> Result<()> {
                let mut transaction = self.$write().await?.begin().await?;
                let old = sqlx::query("DELETE FROM familiar_logins WHERE at < $1");
                old.bind($to(since)).execute(&mut *transaction).await?;
                sqlx::query(
                    "INSERT INTO familiar_logins (user_hash, address, at) VALUES ($1, $2, $3)
                     ON CONFLICT (user_hash, address) DO UPDATE SET at = excluded.at",
                )
                .bind(&login.user_hash)
                .bind(&login.address)
                .bind($to(login.at))
                .execute(&mut *transaction)
                .await?;
                Ok(transaction.commit().await?)
            }

            async fn familiar_logins(&self, since: OffsetDateTime) -> Result<Vec<LoginRecord>> {
                let rows = sqlx::query(
                    "SELECT user_hash, address, TRUE AS familiar, at FROM familiar_logins
                     WHERE at >= $1 ORDER BY at",
                );
                all(rows.bind($to(since)).fetch_all(self.$read().await?).await?, login)
            }

            async fn record_audit(&self, entry: &AuditEntry) -> Result<()> {
                let id: i64 = sqlx::query_scalar(
                    "INSERT INTO audit_log (at, username, address, action, detail)
                     VALUES ($1, $2, $3, $4, $5) RETURNING id",
                )
                .bind($to(entry.at))
                .bind(&entry.username)
                .bind(&entry.address)
                .bind(&entry.action)
                .bind(&entry.detail)
                .fetch_one(self.$write().await?)
                .await?;
                if id % 64 == 0 {
                    for (refusals, kept) in [(true, AUDIT_REFUSALS), (false, AUDIT_ENTRIES)] {
                        sqlx::query(
                            "DELETE FROM audit_log WHERE (action = $1) = $2 AND id <= (
                                 SELECT id FROM audit_log WHERE (action = $1) = $2
                                 ORDER BY id DESC LIMIT 1 OFFSET $3)",
                        )
                        .bind(LOGIN_REFUSED)
                        .bind(refusals)
                        .bind(kept)
                        .execute(self.$write().await?)
                        .await?;
                    }
                }
                Ok(())
            }

            async fn audit(&self, before: Option<i64>, limit: i64) -> Result<Vec<AuditEntry>> {
                let rows = sqlx::query("SELECT * FROM audit_log WHERE id < $1 ORDER BY id DESC LIMIT $2");
                let rows =
                    rows.bind(before.unwrap_or(i64::MAX)).bind(limit).fetch_all(self.$read().await?).await?;
                all(rows, audit_entry)
            }
        }
    };
}
pub(in crate::store) use implement_access;
