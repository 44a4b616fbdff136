//! The embedded engine: one file, WAL, one writing connection, a few reading ones that nothing blocks.
//!
//! Caches are small on purpose: the whole server has to idle under 40 MB, and the kernel's page cache
//! holds the file anyway.

mod access;
mod history;
mod opening;
mod packing;
mod retention;
mod settings;
mod users;

use std::str::FromStr;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::ConnectOptions;
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use time::OffsetDateTime;

use super::minutes::Minutes;
use super::policy::{ArchivePolicy, Extent};
use super::query::plan::Coverage;
use super::roller::Computed;
use super::rollup::accumulator::Accumulator;
use super::rollup::{Stale, Tier, TierRow};
use super::shapes::Shapes;
use super::{Engine, Result, Row, Store, StoreError, User, micros};
use crate::snapshot::MetricType;

#[derive(Debug)]
pub(super) struct SqliteStore {
    host: String,
    write: SqlitePool,
    read: SqlitePool,
    /// The next mark of staleness; unlike any before it, also in earlier runs.
    generation: AtomicI64,
    minutes: Minutes,
    shapes: Shapes,
}

impl SqliteStore {
    pub(super) async fn open(url: &str, host: &str) -> Result<Self> {
        let options = SqliteConnectOptions::from_str(url)?
            .create_if_missing(true)
            // Documents have up to 10 kB: in pages of 8 kB a quarter of the file stays empty.
            .page_size(16384)
            // Space freed by retention goes back to the file system in small steps.
            .auto_vacuum(SqliteAutoVacuum::Incremental)
            .journal_mode(SqliteJournalMode::Wal)
            // In WAL mode a crash of the process loses nothing and a power cut at most the last
            // transactions; neither corrupts.
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(Duration::from_secs(5))
            .statement_cache_capacity(32)
            // KiB, per connection.
            .pragma("cache_size", "-1024")
            .pragma("journal_size_limit", "16777216")
            // Statements are ours and known; logging each costs more than running it.
            .disable_statement_logging();
        let path = options.get_filename();
        if url.contains(":memory:") || path.as_os_str().is_empty() {
            return Err(StoreError::Database("a SQLite store needs a file".into()));
        }
        opening::check(&options).await?;

        // A file does not go away as a server does: a connection needs no test before each use.
        let pool = || SqlitePoolOptions::new().test_before_acquire(false);
        let write = pool()
            .max_connections(1)
            .acquire_timeout(Duration::from_secs(10))
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options.clone())
            .await?;
        sqlx::migrate!("../migrations/sqlite").run(&write).await?;
        let read = pool()
            .max_connections(4)
            .acquire_timeout(Duration::from_secs(10))
            .idle_timeout(Duration::from_secs(30))
            .connect_lazy_with(options.pragma("query_only", "on"));
        let generation = AtomicI64::new(micros(OffsetDateTime::now_utc()));
        Ok(Self {
            host: host.to_owned(),
            write,
            read,
            generation,
            minutes: Minutes::default(),
            shapes: Shapes::default(),
        })
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn engine(&self) -> Engine {
        Engine::Sqlite
    }

    async fn ping(&self) -> Result<()> {
        sqlx::query("SELECT 1 FROM users LIMIT 1").execute(&self.read).await?;
        Ok(())
    }

    async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }

    async fn user_by_name(&self, username: &str) -> Result<Option<User>> {
        users::by_name(&self.read, username).await
    }

    async fn user_by_id(&self, id: i64) -> Result<Option<User>> {
        users::by_id(&self.read, id).await
    }

    async fn users(&self) -> Result<Vec<User>> {
        users::all(&self.read).await
    }

    async fn create_user(&self, username: &str, password_hash: &str, role: &str) -> Result<User> {
        users::create(&self.write, username, password_hash, role).await
    }

    async fn set_password(&self, id: i64, password_hash: &str) -> Result<i64> {
        users::set_password(&self.write, id, password_hash).await
    }

    async fn record_login(&self, id: i64, at: OffsetDateTime) -> Result<()> {
        users::record_login(&self.write, id, at).await
    }

    async fn revoke_token(&self, token_id: &str, expires_at: OffsetDateTime) -> Result<()> {
        users::revoke_token(&self.write, token_id, expires_at).await
    }

    async fn is_token_revoked(&self, token_id: &str) -> Result<bool> {
        users::is_token_revoked(&self.read, token_id).await
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

    fn shapes(&self) -> &Shapes {
        &self.shapes
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

    async fn minute(&self, bucket: i64) -> Result<Option<Vec<(MetricType, Accumulator)>>> {
        history::minute(self, bucket).await
    }

    async fn put_rollups(&self, tier: Tier, computed: &[Computed]) -> Result<usize> {
        history::put_rollups(self, tier, computed).await
    }

    async fn remove_before(&self, tier: Tier, before: i64, replaced: bool) -> Result<u64> {
        retention::remove_before(self, tier, before, replaced).await
    }

    async fn adopt(&self, tier: Tier, metric_type: MetricType, rows: &[TierRow]) -> Result<()> {
        history::adopt(self, tier, metric_type, rows).await
    }

    async fn adopt_removed(&self, tier: Tier, before: i64) -> Result<()> {
        history::adopt_removed(self, tier, before).await
    }

    async fn archive_policy(&self) -> Result<ArchivePolicy> {
        settings::archive_policy(&self.read, &self.write).await
    }

    async fn set_archive_policy(&self, policy: &ArchivePolicy) -> Result<()> {
        settings::set_archive_policy(&self.write, policy).await
    }

    async fn record_archive_run(&self, at: OffsetDateTime) -> Result<()> {
        settings::record_archive_run(&self.write, at).await
    }

    async fn extent(&self) -> Result<Extent> {
        retention::extent(self).await
    }

    async fn config(&self, key: &str) -> Result<Option<String>> {
        settings::config(&self.read, key).await
    }

    async fn set_config(&self, values: &[(&str, String)]) -> Result<()> {
        settings::set_config(&self.write, values).await
    }
}

#[cfg(test)]
mod tests;
