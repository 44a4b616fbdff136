//! Accounts and revoked tokens.

use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row as _};
use time::OffsetDateTime;

use super::pool::Pool;
use crate::store::users::user_statements;
use crate::store::{Result, StoreError, User, micros};

user_statements!(Pool, PgRow, to: std::convert::identity, from: std::convert::identity);
