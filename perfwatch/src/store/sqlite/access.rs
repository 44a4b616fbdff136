//! API tokens, failed logins, the audit log.

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqlitePool};
use time::OffsetDateTime;

use super::SqliteStore;
use crate::store::access::sql::implement_access;
use crate::store::access::{
    AUDIT_ENTRIES, AUDIT_REFUSALS, Access, ApiToken, AuditEntry, LOGIN_REFUSED, LoginRecord, NewApiToken,
};
use crate::store::{Result, from_micros, micros};

impl SqliteStore {
    /// The tables have been up to date since the store was opened.
    pub(super) async fn reading(&self) -> Result<&SqlitePool> {
        self.read()
    }

    pub(super) async fn writing(&self) -> Result<&SqlitePool> {
        self.write()
    }
}

implement_access!(SqliteStore, SqliteRow, read: reading, write: writing, to: micros, from: from_micros);
