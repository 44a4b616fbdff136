//! API tokens, failed logins, the audit log.

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use time::OffsetDateTime;

use super::SqliteStore;
use crate::store::access::sql::implement_access;
use crate::store::access::{
    AUDIT_ENTRIES, AUDIT_REFUSALS, Access, ApiToken, AuditEntry, LOGIN_REFUSED, LoginRecord, NewApiToken,
};
use crate::store::{Result, from_micros, micros};

implement_access!(SqliteStore, SqliteRow, read: read, write: write, to: micros, from: from_micros);
