//! The PostgreSQL engine (15 or later): a native partition per UTC day, one statement per batch.
//!
//! Needs a role that may create tables, nothing more; keys contain `host` and `timestamp`, so distributed extensions
//! accept them.

mod access;
mod boards;
mod alerts;
mod deliveries;
mod fleet;
mod chunks;
mod documents;
mod leases;
mod maintenance;
mod marks;
mod partitions;
mod pool;
mod settings;
mod users;
mod views;
mod weeks;

use std::collections::HashSet;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection};
use time::OffsetDateTime;

use pool::Pool;

use super::chunks::{Batch, Chunk, ChunkStore, Content, Document, Size, Tiers, Turn, Wanted};
use super::policy::{ArchivePolicy, Extent};
use super::settings::SettingsStore;
use super::users::AccountStore;
use super::{Engine, Result, Store, StoreError, User};
use crate::host::Host;

/// The server cancels statements that take longer.
const STATEMENT_TIMEOUT: &str = "30s";
/// How long a health check waits for a response.
const PING_TIMEOUT: Duration = Duration::from_millis(2000);
/// How long a caller waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// A connection used within this time is reused without a test.
const MAX_UNTESTED_AGE: Duration = Duration::from_secs(1);
/// Pause between two attempts to reach a server that was unreachable at startup.
const SETUP_RETRY_DELAY: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct PostgresStore {
    /// Connects on demand; use it through [`Self::ready`].
    pool: Arc<Pool>,
    /// To connect with, unless there is a pooler.
    options: PgConnectOptions,
    /// True while the tables are up to date, as far as we know.
    is_set_up: AtomicBool,
    times_set_up: AtomicU64,
    /// Held during setup, so that only one runs at a time.
    setting_up: tokio::sync::Mutex<()>,
    /// When the last setup failed, and why.
    refused: Mutex<Option<(Instant, StoreError)>>,
    /// Days whose partition is known to exist.
    days: Mutex<HashSet<time::Date>>,
    /// The week in which the partitions of chunks were last looked at.
    week: Mutex<Option<time::Date>>,
    /// How often events may have been queued.
    queued: AtomicU64,
}

impl PostgresStore {
    /// A server that doesn't respond yet is not an error: the store works as soon as it does.
    pub(super) async fn open(url: &str) -> Result<Self> {
        let options = options(url)?.application_name("perfwatch").statement_cache_capacity(128);
        let pool = PgPoolOptions::new()
            .max_connections(8)
            // Testing each connection first would double every statement's latency; only an idle one may have been
            // closed unnoticed.
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    if meta.idle_for > MAX_UNTESTED_AGE {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            // A pooler accepts connections for which it has none to the server: part of the time limit, too.
            .after_connect(|connection, _| {
                Box::pin(async move { sqlx::raw_sql("SELECT 1").execute(connection).await.map(drop) })
            })
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .idle_timeout(Duration::from_secs(60))
            .connect_lazy_with(with_session(options.clone()));
        let store = Self {
            pool: Arc::new(Pool::new(pool)),
            options,
            is_set_up: AtomicBool::new(false),
            times_set_up: AtomicU64::new(0),
            setting_up: tokio::sync::Mutex::default(),
            refused: Mutex::default(),
            days: Mutex::default(),
            week: Mutex::default(),
            queued: AtomicU64::new(0),
        };
        match store.prepare(OffsetDateTime::now_utc()).await {
            // The store's watch reports it, once.
            Err(error) if error.may_pass() => {}
            answered => answered?,
        }
        Ok(store)
    }

    /// Connections to a database whose tables are up to date.
    async fn ready(&self) -> Result<&Pool> {
        if !self.is_set_up.load(Ordering::Acquire) {
            let _one_at_a_time = self.setting_up.lock().await;
            if !self.is_set_up.load(Ordering::Acquire) {
                self.try_set_up().await?;
                self.times_set_up.fetch_add(1, Ordering::Relaxed);
                self.is_set_up.store(true, Ordering::Release);
            }
        }
        Ok(&self.pool)
    }

    /// If a database lacks its tables, it may have been replaced by another: it is set up again before the next use.
    fn noted<T>(&self, outcome: Result<T>) -> Result<T> {
        if let Err(StoreError::Changed(_)) = &outcome {
            lock(&self.days).clear();
            *lock(&self.week) = None;
            self.is_set_up.store(false, Ordering::Release);
        }
        outcome
    }

    async fn try_set_up(&self) -> Result<()> {
        // While the server is down, callers fail immediately instead of each waiting for a timeout.
        if let Some((at, error)) = lock(&self.refused).as_ref()
            && at.elapsed() < SETUP_RETRY_DELAY
        {
            return Err(error.clone());
        }
        // A separate task: a caller that gives up must not leave a migration and its lock half done.
        let outcome = tokio::spawn(set_up(Arc::clone(&self.pool), self.options.clone())).await;
        let outcome = outcome.unwrap_or_else(|e| Err(StoreError::Database(e.to_string())));
        if let Err(error) = &outcome {
            *lock(&self.refused) = Some((Instant::now(), error.clone()));
        }
        outcome
    }
}

/// How to reach the server that a URL names.
pub(super) fn options(url: &str) -> Result<PgConnectOptions> {
    // SQLAlchemy puts its driver into the scheme.
    let options = PgConnectOptions::from_str(&url.replacen("+asyncpg://", "://", 1))?;
    // It is about numbers as text, of which there are none, and a pooler refuses it.
    let options = options.extra_float_digits(None);
    // Our statements are known; logging each costs more than running it.
    Ok(options.disable_statement_logging())
}

/// Settings of a session of our own. The time zone is always UTC. That a table is there already is not worth a message.
fn with_session(options: PgConnectOptions) -> PgConnectOptions {
    options.options([
        ("statement_timeout", STATEMENT_TIMEOUT),
        ("jit", "off"),
        ("client_min_messages", "warning"),
    ])
}

async fn set_up(pool: Arc<Pool>, options: PgConnectOptions) -> Result<()> {
    if behind_pooler(&options).await? && !pool.is_pooled() {
        tracing::info!("a pooler is in front of the database: each statement is a transaction");
        pool.behind_pooler(options);
    }
    let mut transaction = pool.begin().await?;
    // Servers that start at once do this one after the other. Ends with the transaction, so a pooler knows it.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtext('perfwatch_migrations'))")
        .execute(&mut *transaction)
        .await?;
    let (version, encoding): (i32, String) = sqlx::query_as(
        "SELECT current_setting('server_version_num')::int, current_setting('server_encoding')",
    )
    .fetch_one(&mut *transaction)
    .await?;
    if encoding != "UTF8" {
        return Err(StoreError::Database(format!(
            "the encoding of the database is {encoding}, which cannot hold every name: make one with CREATE DATABASE \
             perfwatch ENCODING 'UTF8' TEMPLATE template0"
        )));
    }
    if version < 150_000 {
        return Err(StoreError::Database(format!(
            "PostgreSQL 15 or later is needed, this is {}",
            version / 10_000
        )));
    }
    let mut migrator = sqlx::migrate!("../migrations/postgres");
    migrator.set_locking(false).run_direct(None, &mut *transaction, false).await?;
    views::make(&mut transaction).await?;
    Ok(transaction.commit().await?)
}

/// Whether a pooler answers: it refuses a session's settings, or ignores them. A direct connection also shows why there
/// is none, where a pool retries and finally reports only a timeout.
async fn behind_pooler(options: &PgConnectOptions) -> Result<bool> {
    let connect = async |options: &PgConnectOptions| {
        let connection = tokio::time::timeout(ACQUIRE_TIMEOUT, PgConnection::connect_with(options)).await;
        connection.map_err(|_| StoreError::Unreachable("no answer within 2 s".into()))
    };
    let mut connection = match connect(&with_session(options.clone())).await? {
        Err(sqlx::Error::Database(error)) if error.message().contains("startup parameter") => {
            return Ok(true);
        }
        connected => connected?,
    };
    let asked = sqlx::raw_sql("SHOW statement_timeout").fetch_one(&mut connection);
    let asked = tokio::time::timeout(ACQUIRE_TIMEOUT, asked).await;
    let row = asked.map_err(|_| StoreError::Unreachable("no answer within 2 s".into()))??;
    connection.close().await?;
    Ok(sqlx::Row::try_get::<String, _>(&row, 0)? != STATEMENT_TIMEOUT)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Store for PostgresStore {
    fn engine(&self) -> Engine {
        Engine::Postgresql
    }

    async fn ping(&self) -> Result<()> {
        let answer = async {
            let pool = self.ready().await?;
            sqlx::query("SELECT 1 FROM users LIMIT 1").execute(pool).await?;
            sqlx::query("SELECT 1 FROM chunks LIMIT 1").execute(pool).await?;
            Ok(())
        };
        match tokio::time::timeout(PING_TIMEOUT, answer).await {
            Ok(answered) => self.noted(answered),
            Err(_) => Err(StoreError::Unreachable("no answer within 2 s".into())),
        }
    }

    fn times_set_up(&self) -> u64 {
        self.times_set_up.load(Ordering::Relaxed)
    }

    async fn close(&self) {
        // A hanging server must not block our exit.
        let _ = tokio::time::timeout(Duration::from_millis(500), self.pool.close()).await;
    }
}

#[async_trait]
impl AccountStore for PostgresStore {
    async fn user_by_name(&self, username: &str) -> Result<Option<User>> {
        users::by_name(self.ready().await?, username).await
    }

    async fn user_by_id(&self, id: i64) -> Result<Option<User>> {
        users::by_id(self.ready().await?, id).await
    }

    async fn users(&self) -> Result<Vec<User>> {
        users::all(self.ready().await?).await
    }

    async fn create_user(&self, username: &str, password_hash: &str, role: &str) -> Result<User> {
        users::create(self.ready().await?, username, password_hash, role).await
    }

    async fn set_password(&self, id: i64, password_hash: &str) -> Result<i64> {
        users::set_password(self.ready().await?, id, password_hash).await
    }

    async fn record_login(&self, id: i64, at: OffsetDateTime) -> Result<()> {
        users::record_login(self.ready().await?, id, at).await
    }

    async fn revoke_token(&self, token_id: &str, expires_at: OffsetDateTime) -> Result<()> {
        users::revoke_token(self.ready().await?, token_id, expires_at).await
    }

    async fn is_token_revoked(&self, token_id: &str) -> Result<bool> {
        users::is_token_revoked(self.ready().await?, token_id).await
    }
}

#[async_trait]
impl ChunkStore for PostgresStore {
    async fn prepare(&self, now: OffsetDateTime) -> Result<()> {
        weeks::keep(self, now).await?;
        partitions::make_ahead(self, now).await
    }

    async fn introduce(&self, host: &Host) -> Result<()> {
        chunks::introduce(self.ready().await?, host).await
    }

    async fn hosts(&self) -> Result<Vec<Host>> {
        chunks::hosts(self.ready().await?).await
    }

    async fn commit(&self, host: &str, batch: &Batch) -> Result<()> {
        let committed = async {
            let mut transaction = self.ready().await?.begin().await?;
            chunks::commit(&mut transaction, host, batch).await?;
            settings::put(&mut transaction, &batch.settings).await?;
            Ok(transaction.commit().await?)
        };
        self.noted(committed.await)
    }

    async fn find(&self, host: &str, wanted: Wanted, limit: i64) -> Result<Vec<Chunk>> {
        chunks::find(self.ready().await?, host, wanted, limit).await
    }

    async fn span(&self, host: &str, content: Content, tier: i64) -> Result<Option<(i64, i64)>> {
        chunks::span(self.ready().await?, host, content, tier).await
    }

    async fn tiers(&self, host: &str) -> Result<Tiers> {
        chunks::tiers(self.ready().await?, host).await
    }

    async fn remove_before(&self, host: &str, tier: i64, before: i64) -> Result<u64> {
        chunks::remove_before(self, host, tier, before).await
    }

    async fn extent(&self, host: &str) -> Result<Extent> {
        chunks::extent(self, host).await
    }

    async fn sizes(&self, host: &str, tier: i64, after: i64) -> Result<Vec<Size>> {
        chunks::sizes(self.ready().await?, host, tier, after).await
    }

    async fn newest(&self) -> Result<Vec<(String, i64)>> {
        chunks::newest(self.ready().await?).await
    }

    async fn stale_hosts(&self, tier: i64, until: i64) -> Result<Vec<String>> {
        chunks::stale_hosts(self.ready().await?, tier, until).await
    }

    async fn turn(&self, host: &str) -> Result<Turn> {
        chunks::turn(self.ready().await?, host).await
    }

    fn wants_documents(&self) -> bool {
        true
    }

    async fn put_documents(&self, host: &str, documents: &[Document]) -> Result<()> {
        self.noted(documents::put(self, host, documents).await)
    }

    async fn remove_documents(&self, host: &str, before: i64) -> Result<u64> {
        documents::remove_before(self, host, before).await
    }
}

#[async_trait]
impl SettingsStore for PostgresStore {
    async fn archive_policy(&self) -> Result<ArchivePolicy> {
        let pool = self.ready().await?;
        settings::archive_policy(pool, pool).await
    }

    async fn set_archive_policy(&self, policy: &ArchivePolicy) -> Result<()> {
        settings::set_archive_policy(self.ready().await?, policy).await
    }

    async fn record_archive_run(&self, at: OffsetDateTime) -> Result<()> {
        settings::record_archive_run(self.ready().await?, at).await
    }

    async fn config(&self, key: &str) -> Result<Option<String>> {
        settings::config(self.ready().await?, key).await
    }

    async fn set_config(&self, values: &[(&str, String)]) -> Result<()> {
        settings::set_config(self.ready().await?, values).await
    }
}

#[cfg(test)]
mod tests;
