//! Saved boards.

use async_trait::async_trait;
use sqlx::Row as _;
use time::OffsetDateTime;

use super::SqliteStore;
use crate::store::boards::{Board, BoardStore, implement_boards};
use crate::store::{Result, from_micros, micros};

implement_boards!(SqliteStore, read: reading, write: writing, to: micros, from: from_micros);
