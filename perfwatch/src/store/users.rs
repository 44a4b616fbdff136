//! Accounts and revoked tokens: the engines' interface, and the statements for both, which differ only in the types of
//! rows and times.

use async_trait::async_trait;
use time::OffsetDateTime;

use super::Result;
use super::access::Access;

#[derive(Debug, Clone)]
pub struct User {
    pub id: i64,
    pub username: String,
    pub password_hash: String,
    /// `admin` or `viewer`.
    pub role: String,
    /// Labels of the hosts that a viewer sees, such as `role=web,site=fra`; empty for all.
    pub hosts: String,
    /// Tokens contain the generation they were issued under; a higher one here invalidates them.
    pub token_generation: i64,
    pub created_at: OffsetDateTime,
    pub last_login: Option<OffsetDateTime>,
}

/// Stores accounts and their permissions.
#[async_trait]
pub trait AccountStore: Access {
    async fn user_by_name(&self, username: &str) -> Result<Option<User>>;
    async fn user_by_id(&self, id: i64) -> Result<Option<User>>;
    async fn users(&self) -> Result<Vec<User>>;
    async fn create_user(&self, username: &str, password_hash: &str, role: &str) -> Result<User>;
    /// Also increments the token generation, which invalidates all earlier tokens; returns the new generation.
    async fn set_password(&self, id: i64, password_hash: &str) -> Result<i64>;
    async fn record_login(&self, id: i64, at: OffsetDateTime) -> Result<()>;

    /// A logged-out token, remembered until it would have expired anyway.
    async fn revoke_token(&self, token_id: &str, expires_at: OffsetDateTime) -> Result<()>;
    async fn is_token_revoked(&self, token_id: &str) -> Result<bool>;
}

/// Defines an engine's functions on `users` and `revoked_tokens`. `$to` converts a time to what the engine binds,
/// `$from` back.
macro_rules! user_statements {
    ($pool:ty, $row:ty, to: $to:expr, from: $from:expr) => {
        impl FromRow<'_, $row> for User {
            fn from_row(row: &$row) -> sqlx::Result<Self> {
                let last_login: Option<_> = row.try_get("last_login")?;
                Ok(Self {
                    id: row.try_get("id")?,
                    username: row.try_get("username")?,
                    password_hash: row.try_get("password_hash")?,
                    role: row.try_get("role")?,
                    hosts: row.try_get("hosts")?,
                    token_generation: row.try_get("token_generation")?,
                    created_at: $from(row.try_get("created_at")?),
                    last_login: last_login.map($from),
                })
            }
        }

        pub(super) async fn by_name(pool: &$pool, username: &str) -> Result<Option<User>> {
            Ok(sqlx::query_as("SELECT * FROM users WHERE username = $1")
                .bind(username)
                .fetch_optional(pool)
                .await?)
        }

        pub(super) async fn by_id(pool: &$pool, id: i64) -> Result<Option<User>> {
            Ok(sqlx::query_as("SELECT * FROM users WHERE id = $1").bind(id).fetch_optional(pool).await?)
        }

        pub(super) async fn all(pool: &$pool) -> Result<Vec<User>> {
            Ok(sqlx::query_as("SELECT * FROM users ORDER BY id").fetch_all(pool).await?)
        }

        pub(super) async fn create(pool: &$pool, username: &str, hash: &str, role: &str) -> Result<User> {
            let now = OffsetDateTime::now_utc();
            sqlx::query_as(
                // A deleted account's id may be reused, and tokens signed for it would match again: generations are
                // never reused.
                "INSERT INTO users (username, password_hash, role, created_at, token_generation)
                 VALUES ($1, $2, $3, $4, $5) RETURNING *",
            )
            .bind(username)
            .bind(hash)
            .bind(role)
            .bind($to(now))
            .bind(micros(now))
            .fetch_one(pool)
            .await
            .map_err(|error| match error.as_database_error() {
                Some(e) if e.is_unique_violation() => StoreError::Conflict("user"),
                _ => error.into(),
            })
        }

        pub(super) async fn set_password(pool: &$pool, id: i64, hash: &str) -> Result<i64> {
            sqlx::query_scalar(
                "UPDATE users SET password_hash = $2, token_generation = token_generation + 1 WHERE id = $1
                 RETURNING token_generation",
            )
            .bind(id)
            .bind(hash)
            .fetch_optional(pool)
            .await?
            .ok_or_else(|| StoreError::Database(format!("no user has id {id}")))
        }

        pub(super) async fn record_login(pool: &$pool, id: i64, at: OffsetDateTime) -> Result<()> {
            sqlx::query("UPDATE users SET last_login = $2 WHERE id = $1")
                .bind(id)
                .bind($to(at))
                .execute(pool)
                .await?;
            Ok(())
        }

        pub(super) async fn revoke_token(
            pool: &$pool,
            token_id: &str,
            expires_at: OffsetDateTime,
        ) -> Result<()> {
            let mut transaction = pool.begin().await?;
            // Expired tokens need no entry; deleting them here keeps the table small.
            sqlx::query("DELETE FROM revoked_tokens WHERE expires_at < $1")
                .bind($to(OffsetDateTime::now_utc()))
                .execute(&mut *transaction)
                .await?;
            sqlx::query(
                "INSERT INTO revoked_tokens (token_id, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            )
            .bind(token_id)
            .bind($to(expires_at))
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
            Ok(())
        }

        pub(super) async fn is_token_revoked(pool: &$pool, token_id: &str) -> Result<bool> {
            Ok(sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM revoked_tokens WHERE token_id = $1)")
                .bind(token_id)
                .fetch_one(pool)
                .await?)
        }
    };
}
pub(in crate::store) use user_statements;
