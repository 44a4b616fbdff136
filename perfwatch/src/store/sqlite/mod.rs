//! The embedded engine: one file, WAL, one writing connection, a few reading ones that nothing blocks.
//!
//! Caches are small on purpose: the whole server has to idle under 40 MB, and the kernel's page cache
//! holds the file anyway.

mod users;

use std::os::unix::fs::OpenOptionsExt;
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, QueryBuilder, Sqlite};
use time::OffsetDateTime;

use super::{Engine, Result, Row, Store, StoreError, User, micros};

/// Rows per INSERT: few enough that one statement's text stays small, enough to amortise the call.
const INSERT_ROWS: usize = 64;

#[derive(Debug)]
pub(super) struct SqliteStore {
    host: String,
    write: SqlitePool,
    read: SqlitePool,
}

impl SqliteStore {
    pub(super) async fn open(url: &str, host: &str) -> Result<Self> {
        let options = SqliteConnectOptions::from_str(url)?
            .create_if_missing(true)
            .page_size(8192)
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
        create_private(path)?;

        let write = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(Duration::from_secs(10))
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options.clone())
            .await?;
        sqlx::migrate!("../migrations/sqlite").run(&write).await?;
        let read = SqlitePoolOptions::new()
            .max_connections(4)
            .acquire_timeout(Duration::from_secs(10))
            .idle_timeout(Duration::from_secs(30))
            .connect_lazy_with(options.pragma("query_only", "on"));
        Ok(Self { host: host.to_owned(), write, read })
    }
}

/// Creates the file readable by its owner only (it holds password hashes); the WAL inherits the mode.
fn create_private(path: &std::path::Path) -> Result<()> {
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map(drop)
        .map_err(|e| StoreError::Unreachable(format!("{}: {e}", path.display())))
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
        if rows.is_empty() {
            return Ok(());
        }
        let mut transaction = self.write.begin().await?;
        for chunk in rows.chunks(INSERT_ROWS) {
            let mut insert = QueryBuilder::<Sqlite>::new(
                "INSERT INTO metrics_snapshots (host, timestamp, metric_type, metric_data) ",
            );
            insert.push_values(chunk, |mut values, row| {
                values
                    .push_bind(&self.host)
                    .push_bind(micros(row.timestamp))
                    .push_bind(row.metric_type.as_str())
                    .push_bind(String::from_utf8_lossy(&row.json));
            });
            insert.push(" ON CONFLICT DO NOTHING");
            insert.build().execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
