//! The database engines: accounts, settings, saved boards and the chunks of history. All SQL is below this module.
//!
//! Each engine implements the contracts [`AccountStore`], [`AlertStore`], [`BoardStore`], [`ChunkStore`],
//! [`DeliveryStore`], [`FleetStore`], [`LeaseStore`], [`MaintenanceStore`], [`MarkStore`] and [`SettingsStore`]; both pass one
//! test suite.

pub mod access;
pub mod alerts;
pub mod boards;
pub mod check;
pub mod chunks;
pub mod deliveries;
mod error;
pub mod fleet;
pub mod inspect;
pub mod leases;
pub mod maintenance;
pub mod marks;
pub mod overrides;
pub mod source;
pub mod policy;
mod postgres;
pub mod salvage;
pub mod settings;
mod sqlite;
mod users;
pub mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use time::OffsetDateTime;

use alerts::AlertStore;
use boards::BoardStore;
use chunks::ChunkStore;
use deliveries::DeliveryStore;
pub use error::{Result, StoreError};
use fleet::FleetStore;
use leases::LeaseStore;
use maintenance::MaintenanceStore;
use marks::MarkStore;
use settings::SettingsStore;
pub use users::{AccountStore, User};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgresql,
}

impl Engine {
    /// The name used in `/api/db-status` and `/api/config`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgresql => "postgresql",
        }
    }
}

/// A database engine.
#[async_trait]
pub trait Store:
    AccountStore
    + AlertStore
    + BoardStore
    + ChunkStore
    + DeliveryStore
    + FleetStore
    + LeaseStore
    + MaintenanceStore
    + MarkStore
    + SettingsStore
{
    fn engine(&self) -> Engine;
    /// The cheapest round trip that shows that the database responds.
    async fn ping(&self) -> Result<()>;
    async fn close(&self);
    /// How often its tables were brought up to date: another time if it was replaced by an empty one.
    fn times_set_up(&self) -> u64 {
        1
    }
}

/// Opens the store that `url` names (`sqlite:PATH`, `postgres://…`, `postgresql://…`, also with the
/// `+asyncpg` of SQLAlchemy) and brings its tables up to date.
pub async fn open(url: &str) -> Result<Arc<dyn Store>> {
    let scheme = url.split(':').next().unwrap_or_default();
    match scheme {
        "postgres" | "postgresql" | "postgresql+asyncpg" | "postgres+asyncpg" => {
            Ok(Arc::new(postgres::PostgresStore::open(url).await?))
        }
        "sqlite" => Ok(Arc::new(sqlite::SqliteStore::open(url).await?)),
        _ => Err(StoreError::Database(
            "DATABASE_URL must begin with sqlite: or postgres:// (or postgresql://)".into(),
        )),
    }
}

/// The URL of the embedded store in a data directory.
pub fn sqlite_url(data_dir: &Path) -> String {
    url_of_file(&data_dir.join("perfwatch.db"))
}

fn url_of_file(path: &Path) -> String {
    // `?` and `#` would end the path, `%` would start an escape.
    let escaped = path.to_string_lossy().replace('%', "%25").replace('?', "%3F").replace('#', "%23");
    format!("sqlite:{escaped}")
}

/// The file of a SQLite store; `None` for other engines, or if the URL names no file.
pub fn sqlite_path(url: &str) -> Option<PathBuf> {
    sqlite::path(url)
}

pub(crate) fn micros(at: OffsetDateTime) -> i64 {
    // Nanoseconds of years -9999..9999 fit an i128 and, as microseconds, an i64.
    i64::try_from(at.unix_timestamp_nanos().div_euclid(1000)).unwrap_or(i64::MAX)
}

pub(crate) fn from_micros(us: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(us) * 1000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
