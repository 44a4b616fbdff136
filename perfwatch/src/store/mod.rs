//! Keeping snapshots and accounts. All SQL lives below this module.
//!
//! [`Store`] is the contract both engines pass with one test suite; [`writer::Writer`] takes snapshots off
//! the tick and never makes it wait.

pub mod access;
mod error;
pub mod import;
pub mod maintenance;
mod minutes;
pub mod policy;
mod postgres;
pub mod query;
pub mod retention;
pub mod roller;
pub mod rollup;
pub mod settings;
mod shapes;
pub mod spool;
mod sqlite;
mod users;
pub mod writer;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use time::OffsetDateTime;

pub use error::{Result, StoreError};
use policy::{ArchivePolicy, Extent};
use query::pages::page_length;
use query::plan::{Coverage, Question, Segment};
use roller::Computed;
use rollup::accumulator::Accumulator;
use rollup::{Stale, Tier, TierRow};
use shapes::Shapes;

use crate::snapshot::MetricType;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgresql,
}

impl Engine {
    /// The name `/api/db-status` and `/api/config` give it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgresql => "postgresql",
        }
    }
}

#[derive(Debug, Clone)]
pub struct User {
    pub id: i64,
    pub username: String,
    pub password_hash: String,
    /// `admin` or `viewer`.
    pub role: String,
    /// Tokens carry the number they were issued under; a higher one here invalidates them.
    pub token_generation: i64,
    pub created_at: OffsetDateTime,
    pub last_login: Option<OffsetDateTime>,
}

/// One metric document on its way to the table.
#[derive(Debug, Clone)]
pub struct Row {
    pub timestamp: OffsetDateTime,
    pub metric_type: MetricType,
    pub json: bytes::Bytes,
}

#[async_trait]
pub trait Store: access::Access {
    fn engine(&self) -> Engine;
    /// Cheapest round trip that proves the database answers.
    async fn ping(&self) -> Result<()>;
    async fn close(&self);
    /// Makes ready what the next days' appends need. Called at the start and then every minute.
    async fn prepare(&self, _now: OffsetDateTime) -> Result<()> {
        Ok(())
    }

    async fn user_by_name(&self, username: &str) -> Result<Option<User>>;
    async fn user_by_id(&self, id: i64) -> Result<Option<User>>;
    async fn users(&self) -> Result<Vec<User>>;
    async fn create_user(&self, username: &str, password_hash: &str, role: &str) -> Result<User>;
    /// Also raises the token generation, so every earlier token dies; returns the new generation.
    async fn set_password(&self, id: i64, password_hash: &str) -> Result<i64>;
    async fn record_login(&self, id: i64, at: OffsetDateTime) -> Result<()>;

    /// A logged-out token, remembered until it would have expired anyway.
    async fn revoke_token(&self, token_id: &str, expires_at: OffsetDateTime) -> Result<()>;
    async fn is_token_revoked(&self, token_id: &str) -> Result<bool>;

    /// Appends documents in one transaction; a row with the same timestamp and type is written once.
    /// The buckets they fall into become stale.
    async fn append(&self, rows: &[Row]) -> Result<()>;

    /// What the planner has to know about `from..to` (µs): stale buckets and removed tiers.
    async fn coverage(&self, from: i64, to: i64) -> Result<Coverage>;
    /// The first `limit` rows of one tier and type in `from..to` (µs), in time order.
    async fn scan(
        &self,
        tier: Tier,
        metric_type: MetricType,
        from: i64,
        to: i64,
        limit: usize,
    ) -> Result<Vec<TierRow>>;
    /// Plans what answers a question, and reads its first rows.
    async fn ask(&self, question: &Question) -> Result<(Vec<Segment>, Vec<(usize, TierRow)>)> {
        let segments = question.plan(&self.coverage(question.from, question.to).await?);
        let rows = self.read(question.metric_type, &segments, page_length(&segments)).await?;
        Ok((segments, rows))
    }
    /// The first `limit` rows of segments, one segment after the other, each with its segment's place among them.
    async fn read(
        &self,
        metric_type: MetricType,
        segments: &[Segment],
        limit: usize,
    ) -> Result<Vec<(usize, TierRow)>> {
        let mut read = Vec::new();
        for (place, segment) in segments.iter().enumerate() {
            let left = limit - read.len();
            let rows = self.scan(segment.tier, metric_type, segment.from, segment.to, left).await?;
            read.extend(rows.into_iter().map(|row| (place, row)));
            if read.len() >= limit {
                break;
            }
        }
        Ok(read)
    }
    /// Shapes that were read before.
    fn shapes(&self) -> &Shapes;
    async fn shape(&self, key: i64) -> Result<Option<String>>;
    async fn put_shape(&self, key: i64, leaves: &str) -> Result<()>;
    /// The first `limit` stale buckets of a tier that start in `from..=to`.
    async fn stale(&self, tier: Tier, from: i64, to: i64, limit: usize) -> Result<Vec<Stale>>;
    /// The sums of a minute's documents, by type, where memory has all of them: what reading the raw rows would give.
    async fn minute(&self, bucket: i64) -> Result<Option<Vec<(MetricType, Accumulator)>>>;
    /// Writes each bucket that nothing arrived for since it was computed, and ends its staleness; returns how many.
    async fn put_rollups(&self, tier: Tier, computed: &[Computed]) -> Result<usize>;
    /// Removes a tier's rows before a time (µs), a few at a time so that no writer waits long; returns how
    /// many. With `replaced`, only as far as coarser tiers hold what is removed, and the planner is told.
    async fn remove_before(&self, tier: Tier, before: i64, replaced: bool) -> Result<u64>;

    /// Takes over another store's rollups; a bucket that is here already stays.
    async fn adopt(&self, tier: Tier, metric_type: MetricType, rows: &[TierRow]) -> Result<()>;
    /// Takes over that a tier was removed before a time (µs).
    async fn adopt_removed(&self, tier: Tier, before: i64) -> Result<()>;

    async fn archive_policy(&self) -> Result<ArchivePolicy>;
    async fn set_archive_policy(&self, policy: &ArchivePolicy) -> Result<()>;
    async fn record_archive_run(&self, at: OffsetDateTime) -> Result<()>;
    /// Size and ends of what is stored.
    async fn extent(&self) -> Result<Extent>;

    /// A setting's stored value.
    async fn config(&self, key: &str) -> Result<Option<String>>;
    /// Stores settings, all or none.
    async fn set_config(&self, values: &[(&str, String)]) -> Result<()>;
}

/// Opens the store that `url` names (`sqlite:PATH`, `postgres://…`, `postgresql://…`, also with the
/// `+asyncpg` of SQLAlchemy) and brings its tables up to date.
pub async fn open(url: &str) -> Result<Arc<dyn Store>> {
    let scheme = url.split(':').next().unwrap_or_default();
    match scheme {
        "postgres" | "postgresql" | "postgresql+asyncpg" | "postgres+asyncpg" => {
            Ok(Arc::new(postgres::PostgresStore::open(url, &host_name()).await?))
        }
        "sqlite" => Ok(Arc::new(sqlite::SqliteStore::open(url, &host_name()).await?)),
        _ => Err(StoreError::Database(
            "DATABASE_URL must begin with sqlite: or postgres:// (or postgresql://)".into(),
        )),
    }
}

/// The URL of the embedded store in a data directory.
pub fn sqlite_url(data_dir: &Path) -> String {
    let path = data_dir.join("perfwatch.db");
    // `?` and `#` would end the path, `%` would start an escape.
    let escaped = path.to_string_lossy().replace('%', "%25").replace('?', "%3F").replace('#', "%23");
    format!("sqlite:{escaped}")
}

/// The name this machine's rows are stored under.
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn micros(at: OffsetDateTime) -> i64 {
    // Nanoseconds of years -9999..9999 fit an i128 and, as microseconds, an i64.
    i64::try_from(at.unix_timestamp_nanos().div_euclid(1000)).unwrap_or(i64::MAX)
}

fn from_micros(us: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(us) * 1000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
