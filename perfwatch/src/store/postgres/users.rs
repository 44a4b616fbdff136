//! Accounts and revoked tokens.

use sqlx::postgres::{PgPool, PgRow};
use sqlx::{FromRow, Row as _};
use time::OffsetDateTime;

use crate::store::users::user_statements;
use crate::store::{Result, StoreError, User, micros};

user_statements!(PgPool, PgRow, to: std::convert::identity, from: std::convert::identity);
