//! Keeping snapshots and accounts. All SQL lives below this module.
//!
//! [`Store`] is the contract both engines pass with one test suite; [`writer::Writer`] takes snapshots off
//! the tick and never makes it wait.

use async_trait::async_trait;
use time::OffsetDateTime;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached or does not answer; trying again later may work.
    #[error("the database is unreachable: {0}")]
    Unreachable(String),
    #[error("{0} already exists")]
    Conflict(&'static str),
    #[error("database error: {0}")]
    Database(String),
}

pub type Result<T> = std::result::Result<T, StoreError>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgresql,
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
    pub metric_type: crate::snapshot::MetricType,
    pub json: bytes::Bytes,
}

#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug {
    fn engine(&self) -> Engine;
    /// Cheapest round trip that proves the database answers.
    async fn ping(&self) -> Result<()>;
    async fn close(&self);

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
    async fn append(&self, rows: &[Row]) -> Result<()>;
}
