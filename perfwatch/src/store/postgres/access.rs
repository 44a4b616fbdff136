//! API tokens, failed logins, the audit log.

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use time::OffsetDateTime;

use super::PostgresStore;
use crate::store::Result;
use crate::store::access::sql::implement_access;
use crate::store::access::{
    AUDIT_ENTRIES, AUDIT_REFUSALS, Access, ApiToken, AuditEntry, LOGIN_REFUSED, LoginRecord, NewApiToken,
};

implement_access!(PostgresStore, PgRow, read: ready, write: ready, to: std::convert::identity, from: std::convert::identity);
