//! Marks.

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use time::OffsetDateTime;

use super::SqliteStore;
use crate::store::marks::sql::implement_marks;
use crate::store::marks::{Mark, MarkStore};
use crate::store::{Result, from_micros, micros};

implement_marks!(SqliteStore, SqliteRow, read: reading, write: writing, to: micros, from: from_micros);
