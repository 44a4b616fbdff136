//! The embedded engine: one file, WAL, one writing connection, a few reading ones that nothing blocks.
//!
//! Caches are small on purpose: the whole server must idle under 40 MB, and the kernel's page cache holds the file
//! anyway.

mod access;
mod boards;
mod alerts;
mod deliveries;
mod fleet;
mod chunks;
mod leases;
mod maintenance;
mod marks;
mod opening;
mod settings;
mod users;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use async_trait::async_trait;
use rustix::process::Pid;
use sqlx::migrate::MigrateError;
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection};
use time::OffsetDateTime;

use super::chunks::{Batch, Chunk, ChunkStore, Content, Size, Tiers, Wanted};
use super::policy::{ArchivePolicy, Extent};
use super::settings::SettingsStore;
use super::users::AccountStore;
use super::{Engine, Result, Store, StoreError, User};
use crate::host::Host;

const MAX_READERS: u32 = 4;
/// Niceness of SQLite's threads: a third of the CPU that others get who want it as well.
const NICE: i32 = 5;

#[derive(Debug)]
pub(super) struct SqliteStore {
    options: SqliteConnectOptions,
    /// Unset while the disk is too full to open the file for writing.
    pools: OnceLock<Pools>,
    /// Until then.
    reading: Option<SqlitePool>,
    file: PathBuf,
    /// Identity of the file when it was opened.
    identity: Option<(u64, u64)>,
    /// How often events may have been queued.
    queued: AtomicU64,
}

#[derive(Debug)]
struct Pools {
    write: SqlitePool,
    read: SqlitePool,
}

impl SqliteStore {
    pub(super) async fn open(url: &str) -> Result<Self> {
        let options = SqliteConnectOptions::from_str(url)?
            .create_if_missing(true)
            // Chunks are some tens of kB.
            .page_size(16384)
            // Space freed by retention is returned to the file system in small steps.
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
            // Our statements are known; logging each costs more than running it.
            .disable_statement_logging();
        let path = options.get_filename().to_owned();
        if url.contains(":memory:") || path.as_os_str().is_empty() {
            return Err(StoreError::Database("a SQLite store needs a file".into()));
        }
        opening::check(&options).await?;
        let (pools, reading) = match Pools::open(&options).await {
            Ok(pools) => (OnceLock::from(pools), None),
            Err(error) if opening::is_full(&path, &error) => {
                tracing::error!(path = %path.display(), "no space left on the device: the database can only be read until there is");
                (OnceLock::new(), Some(only_read(&path)))
            }
            Err(error) => return Err(opening::explain(&path, error)),
        };
        let identity = identity(&path);
        Ok(Self { options, pools, reading, file: path, identity, queued: AtomicU64::new(0) })
    }

    fn read(&self) -> Result<&SqlitePool> {
        let pools = self.pools.get().map(|pools| &pools.read);
        pools.or(self.reading.as_ref()).ok_or(StoreError::Full)
    }

    fn write(&self) -> Result<&SqlitePool> {
        self.pools.get().map(|pools| &pools.write).ok_or(StoreError::Full)
    }

    /// If the file could only be opened for reading, tries again.
    async fn open_for_writing(&self) -> Result<()> {
        if self.pools.get().is_some() {
            return Ok(());
        }
        match Pools::open(&self.options).await {
            Ok(pools) => {
                tracing::info!(path = %self.file.display(), "there is space again: the database is open for writing");
                // If another caller was faster, these are not needed.
                let _ = self.pools.set(pools);
                Ok(())
            }
            Err(error) if opening::is_full(&self.file, &error) => Err(StoreError::Full),
            Err(error) => Err(opening::explain(&self.file, error)),
        }
    }

    /// A connection keeps using a file that was removed or replaced, and everything it writes is lost.
    fn check_file(&self) -> Result<()> {
        if identity(&self.file) == self.identity {
            return Ok(());
        }
        Err(StoreError::Unreachable(format!(
            "{} was removed or replaced while it was in use: put it back, or restart perfwatch to go on with what is there",
            self.file.display()
        )))
    }
}

impl Pools {
    async fn open(options: &SqliteConnectOptions) -> std::result::Result<Self, MigrateError> {
        // A file doesn't disconnect like a server, so connections need no test before use.
        let pool = || SqlitePoolOptions::new().test_before_acquire(false);
        let write = pool()
            .max_connections(1)
            .acquire_timeout(Duration::from_secs(10))
            .idle_timeout(None)
            .max_lifetime(None)
            // On a full disk SQLite ends the transaction by itself, which sqlx doesn't notice, so no transaction could
            // be started on that connection again. A ping first completes queued commands such as the rollback.
            .after_release(|connection, _| {
                Box::pin(async move {
                    connection.ping().await?;
                    Ok(!connection.is_in_transaction())
                })
            })
            .connect_with(options.clone())
            .await?;
        sqlx::migrate!("../migrations/sqlite").run(&write).await?;
        let read = pool()
            .max_connections(MAX_READERS)
            .after_connect(|_, _| {
                Box::pin(async {
                    make_nice();
                    Ok(())
                })
            })
            .acquire_timeout(Duration::from_secs(10))
            .idle_timeout(Duration::from_secs(30))
            .connect_lazy_with(options.clone().pragma("query_only", "on"));
        Ok(Self { write, read })
    }
}

/// Each connection has a thread of its own, and a long question keeps it busy: it must not keep the machine from its
/// work.
fn make_nice() {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return };
    for thread in threads.flatten() {
        let name = std::fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
        let id = thread.file_name().to_str().and_then(|id| id.parse().ok()).and_then(Pid::from_raw);
        if let Some(id) = id.filter(|_| name.starts_with("sqlx-sqlite")) {
            // On Linux this affects only the thread. Lowering the priority is always permitted.
            let nice = rustix::process::getpriority_process(Some(id)).map_or(NICE, |nice| nice.max(NICE));
            let _ = rustix::process::setpriority_process(Some(id), nice);
        }
    }
}

/// Reads without the files that SQLite needs beside its own, for which there is no space.
fn only_read(path: &Path) -> SqlitePool {
    let options = SqliteConnectOptions::new().filename(path).read_only(true).immutable(true);
    let pool = SqlitePoolOptions::new().max_connections(MAX_READERS).idle_timeout(Duration::from_secs(30));
    pool.connect_lazy_with(options.disable_statement_logging())
}

/// Device and inode.
fn identity(file: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(file).ok().map(|file| (file.dev(), file.ino()))
}

/// The file in a URL, if the URL is for this engine and has one.
pub(super) fn path(url: &str) -> Option<PathBuf> {
    let path = SqliteConnectOptions::from_str(url).ok().filter(|_| url.starts_with("sqlite:"))?;
    Some(path.get_filename().to_owned()).filter(|path| !path.as_os_str().is_empty())
}

#[async_trait]
impl Store for SqliteStore {
    fn engine(&self) -> Engine {
        Engine::Sqlite
    }

    async fn ping(&self) -> Result<()> {
        self.check_file()?;
        self.open_for_writing().await?;
        sqlx::query("SELECT 1 FROM users LIMIT 1").execute(self.read()?).await?;
        Ok(())
    }

    async fn close(&self) {
        if let Some(pools) = self.pools.get() {
            pools.read.close().await;
            pools.write.close().await;
        }
        if let Some(reading) = &self.reading {
            reading.close().await;
        }
    }
}

#[async_trait]
impl AccountStore for SqliteStore {
    async fn user_by_name(&self, username: &str) -> Result<Option<User>> {
        users::by_name(self.read()?, username).await
    }

    async fn user_by_id(&self, id: i64) -> Result<Option<User>> {
        users::by_id(self.read()?, id).await
    }

    async fn users(&self) -> Result<Vec<User>> {
        users::all(self.read()?).await
    }

    async fn create_user(&self, username: &str, password_hash: &str, role: &str) -> Result<User> {
        users::create(self.write()?, username, password_hash, role).await
    }

    async fn set_password(&self, id: i64, password_hash: &str) -> Result<i64> {
        users::set_password(self.write()?, id, password_hash).await
    }

    async fn record_login(&self, id: i64, at: OffsetDateTime) -> Result<()> {
        users::record_login(self.write()?, id, at).await
    }

    async fn revoke_token(&self, token_id: &str, expires_at: OffsetDateTime) -> Result<()> {
        users::revoke_token(self.write()?, token_id, expires_at).await
    }

    async fn is_token_revoked(&self, token_id: &str) -> Result<bool> {
        users::is_token_revoked(self.read()?, token_id).await
    }
}

#[async_trait]
impl ChunkStore for SqliteStore {
    async fn introduce(&self, host: &Host) -> Result<()> {
        chunks::introduce(self.write()?, host).await
    }

    async fn hosts(&self) -> Result<Vec<Host>> {
        chunks::hosts(self.read()?).await
    }

    async fn commit(&self, host: &str, batch: &Batch) -> Result<()> {
        self.check_file()?;
        let mut transaction = self.write()?.begin_with("BEGIN IMMEDIATE").await?;
        chunks::commit(&mut transaction, host, batch).await?;
        settings::put(&mut transaction, &batch.settings).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn find(&self, host: &str, wanted: Wanted, limit: i64) -> Result<Vec<Chunk>> {
        chunks::find(self.read()?, host, wanted, limit).await
    }

    async fn span(&self, host: &str, content: Content, tier: i64) -> Result<Option<(i64, i64)>> {
        chunks::span(self.read()?, host, content, tier).await
    }

    async fn tiers(&self, host: &str) -> Result<Tiers> {
        chunks::tiers(self.read()?, host).await
    }

    async fn remove_before(&self, host: &str, tier: i64, before: i64) -> Result<u64> {
        chunks::remove_before(self, host, tier, before).await
    }

    async fn extent(&self, host: &str) -> Result<Extent> {
        chunks::extent(self, host).await
    }

    async fn sizes(&self, host: &str, tier: i64, after: i64) -> Result<Vec<Size>> {
        chunks::sizes(self.read()?, host, tier, after).await
    }

    async fn newest(&self) -> Result<Vec<(String, i64)>> {
        chunks::newest(self.read()?).await
    }

    async fn stale_hosts(&self, tier: i64, until: i64) -> Result<Vec<String>> {
        chunks::stale_hosts(self.read()?, tier, until).await
    }
}

#[async_trait]
impl SettingsStore for SqliteStore {
    async fn archive_policy(&self) -> Result<ArchivePolicy> {
        settings::archive_policy(self.read()?, self.write()?).await
    }

    async fn set_archive_policy(&self, policy: &ArchivePolicy) -> Result<()> {
        settings::set_archive_policy(self.write()?, policy).await
    }

    async fn record_archive_run(&self, at: OffsetDateTime) -> Result<()> {
        settings::record_archive_run(self.write()?, at).await
    }

    async fn config(&self, key: &str) -> Result<Option<String>> {
        settings::config(self.read()?, key).await
    }

    async fn set_config(&self, values: &[(&str, String)]) -> Result<()> {
        settings::set_config(self.write()?, values).await
    }
}

#[cfg(test)]
mod tests;
