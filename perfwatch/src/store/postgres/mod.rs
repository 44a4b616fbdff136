//! The PostgreSQL engine (15 or later): a native partition per UTC day, one statement per batch.
//!
//! Needs a role that may create tables, nothing more; keys hold `host` and `timestamp`, so distributed
//! extensions accept them.

mod history;
mod partitions;
mod retention;
mod settings;
mod users;

use std::collections::HashSet;
use std::str::FromStr;
use std::sync::Mutex;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use time::OffsetDateTime;

use super::policy::{ArchivePolicy, Extent};
use super::query::plan::Coverage;
use super::roller::Computed;
use super::rollup::{Stale, Tier, TierRow};
use super::{Engine, Result, Row, Store, StoreError, User, micros};
use crate::snapshot::MetricType;

/// A statement that takes longer is given up by the server.
const STATEMENT_TIMEOUT: &str = "30s";
/// What a health check waits for an answer.
const PING: Duration = Duration::from_millis(1500);

#[derive(Debug)]
pub(super) struct PostgresStore {
    host: String,
    pool: PgPool,
    /// The next mark of staleness; unlike any before it, also in earlier runs.
    generation: AtomicI64,
    /// Days whose partition is known to exist.
    days: Mutex<HashSet<time::Date>>,
}

impl PostgresStore {
    pub(super) async fn open(url: &str, host: &str) -> Result<Self> {
        // SQLAlchemy names its driver in the scheme.
        let url = url.replacen("+asyncpg://", "://", 1);
        let options = PgConnectOptions::from_str(&url)?
            .application_name("perfwatch")
            .options([("statement_timeout", STATEMENT_TIMEOUT), ("timezone", "UTC"), ("jit", "off")])
            .statement_cache_capacity(64)
            // Statements are ours and known; logging each costs more than running it.
            .disable_statement_logging();
        let pool = PgPoolOptions::new()
            .max_connections(8)
            .acquire_timeout(Duration::from_secs(5))
            .idle_timeout(Duration::from_secs(60))
            .connect_with(options)
            .await?;
        let version: i32 =
            sqlx::query_scalar("SELECT current_setting('server_version_num')::int").fetch_one(&pool).await?;
        if version < 150_000 {
            return Err(StoreError::Database(format!(
                "PostgreSQL 15 or later is needed, this is {}",
                version / 10_000
            )));
        }
        sqlx::migrate!("../migrations/postgres").run(&pool).await?;
        let store = Self {
            host: host.to_owned(),
            pool,
            generation: AtomicI64::new(micros(OffsetDateTime::now_utc())),
            days: Mutex::default(),
        };
        store.prepare(OffsetDateTime::now_utc()).await?;
        Ok(store)
    }
}

#[async_trait]
impl Store for PostgresStore {
    fn engine(&self) -> Engine {
        Engine::Postgresql
    }

    async fn ping(&self) -> Result<()> {
        match tokio::time::timeout(PING, sqlx::query("SELECT 1").execute(&self.pool)).await {
            Ok(answered) => Ok(answered.map(drop)?),
            Err(_) => Err(StoreError::Unreachable("no answer in time".into())),
        }
    }

    async fn close(&self) {
        // A server that hangs must not keep us from ending.
        let _ = tokio::time::timeout(Duration::from_millis(500), self.pool.close()).await;
    }

    async fn prepare(&self, now: OffsetDateTime) -> Result<()> {
        partitions::make_ahead(self, now).await
    }

    async fn user_by_name(&self, username: &str) -> Result<Option<User>> {
        users::by_name(&self.pool, username).await
    }

    async fn user_by_id(&self, id: i64) -> Result<Option<User>> {
        users::by_id(&self.pool, id).await
    }

    async fn users(&self) -> Result<Vec<User>> {
        users::all(&self.pool).await
    }

    async fn create_user(&self, username: &str, password_hash: &str, role: &str) -> Result<User> {
        users::create(&self.pool, username, password_hash, role).await
    }

    async fn set_password(&self, id: i64, password_hash: &str) -> Result<i64> {
        users::set_password(&self.pool, id, password_hash).await
    }

    async fn record_login(&self, id: i64, at: OffsetDateTime) -> Result<()> {
        users::record_login(&self.pool, id, at).await
    }

    async fn revoke_token(&self, token_id: &str, expires_at: OffsetDateTime) -> Result<()> {
        users::revoke_token(&self.pool, token_id, expires_at).await
    }

    async fn is_token_revoked(&self, token_id: &str) -> Result<bool> {
        users::is_token_revoked(&self.pool, token_id).await
    }

    async fn append(&self, rows: &[Row]) -> Result<()> {
        history::append(self, rows).await
    }

    async fn coverage(&self, from: i64, to: i64) -> Result<Coverage> {
        history::coverage(self, from, to).await
    }

    async fn scan(
        &self,
        tier: Tier,
        metric_type: MetricType,
        from: i64,
        to: i64,
        limit: usize,
    ) -> Result<Vec<TierRow>> {
        history::scan(self, tier, metric_type, from, to, limit).await
    }

    async fn shape(&self, key: i64) -> Result<Option<String>> {
        history::shape(self, key).await
    }

    async fn put_shape(&self, key: i64, leaves: &str) -> Result<()> {
        history::put_shape(self, key, leaves).await
    }

    async fn stale(&self, tier: Tier, from: i64, to: i64, limit: usize) -> Result<Vec<Stale>> {
        history::stale(self, tier, from, to, limit).await
    }

    async fn put_rollups(&self, tier: Tier, computed: &[Computed]) -> Result<usize> {
        history::put_rollups(self, tier, computed).await
    }

    async fn remove_before(&self, tier: Tier, before: i64, replaced: bool) -> Result<u64> {
        retention::remove_before(self, tier, before, replaced).await
    }

    async fn archive_policy(&self) -> Result<ArchivePolicy> {
        settings::archive_policy(self).await
    }

    async fn set_archive_policy(&self, policy: &ArchivePolicy) -> Result<()> {
        settings::set_archive_policy(&self.pool, policy).await
    }

    async fn record_archive_run(&self, at: OffsetDateTime) -> Result<()> {
        settings::record_archive_run(&self.pool, at).await
    }

    async fn extent(&self) -> Result<Extent> {
        retention::extent(self).await
    }

    async fn config(&self, key: &str) -> Result<Option<String>> {
        settings::config(&self.pool, key).await
    }

    async fn set_config(&self, values: &[(&str, String)]) -> Result<()> {
        settings::set_config(&self.pool, values).await
    }
}
