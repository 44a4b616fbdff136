//! Accounts and revoked tokens.

use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{FromRow, Row as _};
use time::OffsetDateTime;

use crate::store::users::user_statements;
use crate::store::{Result, StoreError, User, from_micros, micros};

user_statements!(SqlitePool, SqliteRow, to: micros, from: from_micros);
