//! Marks.

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use time::OffsetDateTime;

use super::PostgresStore;
use crate::store::Result;
use crate::store::marks::sql::implement_marks;
use crate::store::marks::{Mark, MarkStore};

implement_marks!(PostgresStore, PgRow, read: ready, write: ready, to: std::convert::identity, from: std::convert::identity);
