//! Access control and its records: roles, API tokens, failed logins, the audit log.
//!
//! The statements are the same for both engines; see [`sql`].

pub(super) mod sql;

use async_trait::async_trait;
use time::OffsetDateTime;

use super::Result;

/// Audit entries kept; failed logins are limited separately, so that a flood of them can't push out the rest.
pub(super) const AUDIT_ENTRIES: i64 = 50_000;
pub(super) const AUDIT_REFUSALS: i64 = 10_000;
/// The action whose entries are limited separately.
pub const LOGIN_REFUSED: &str = "login_refused";

/// An API token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiToken {
    pub id: i64,
    pub user_id: i64,
    /// Its owner.
    pub username: String,
    pub name: String,
    /// Comma-separated.
    pub scopes: String,
    pub created_at: OffsetDateTime,
    pub expires_at: OffsetDateTime,
    pub last_used: Option<OffsetDateTime>,
}

#[derive(Debug)]
pub struct NewApiToken<'a> {
    pub user_id: i64,
    pub name: &'a str,
    pub scopes: &'a str,
    pub hash: &'a str,
    pub expires_at: OffsetDateTime,
}

/// A login attempt that failed, or with [`Access::record_familiar`] one that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginRecord {
    pub user_hash: String,
    pub address: String,
    /// Whether this user had logged in from this address before.
    pub familiar: bool,
    pub at: OffsetDateTime,
}

/// One line of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    pub id: i64,
    pub at: OffsetDateTime,
    pub username: String,
    pub address: String,
    pub action: String,
    pub detail: String,
}

#[async_trait]
pub trait Access: Send + Sync + std::fmt::Debug {
    /// Also ends the account's sessions. `false`: the account is the last one with `keep`'s role, or doesn't exist.
    async fn set_role(&self, id: i64, role: &str, keep: &str) -> Result<bool>;
    /// Sets which hosts the account sees; also ends its sessions. `false`: there is no such account.
    async fn set_hosts(&self, id: i64, hosts: &str) -> Result<bool>;
    /// Removes the account and its API tokens. `false`: the account is the last one with `keep`'s role, or doesn't
    /// exist.
    async fn delete_user(&self, id: i64, keep: &str) -> Result<bool>;
    /// A number that changes whenever an account is added or removed, or its password, role or hosts change.
    async fn accounts_version(&self) -> Result<i64>;

    async fn create_api_token(&self, new: &NewApiToken<'_>) -> Result<ApiToken>;
    /// Tokens of one user or of all, oldest first.
    async fn api_tokens(&self, user_id: Option<i64>) -> Result<Vec<ApiToken>>;
    async fn api_token_by_hash(&self, hash: &str) -> Result<Option<ApiToken>>;
    async fn record_token_use(&self, id: i64, at: OffsetDateTime) -> Result<()>;
    /// `false`: there is no such token.
    async fn delete_api_token(&self, id: i64) -> Result<bool>;

    /// Records a failure and deletes those before `since`.
    async fn record_failure(&self, failure: &LoginRecord, since: OffsetDateTime) -> Result<()>;
    async fn login_failures(&self, since: OffsetDateTime) -> Result<Vec<LoginRecord>>;
    /// Records where a user logged in from, and deletes records before `since`.
    async fn record_familiar(&self, login: &LoginRecord, since: OffsetDateTime) -> Result<()>;
    async fn familiar_logins(&self, since: OffsetDateTime) -> Result<Vec<LoginRecord>>;

    /// The store assigns `entry.id`.
    async fn record_audit(&self, entry: &AuditEntry) -> Result<()>;
    /// The newest `limit` entries older than entry `before`, newest first.
    async fn audit(&self, before: Option<i64>, limit: i64) -> Result<Vec<AuditEntry>>;
}
