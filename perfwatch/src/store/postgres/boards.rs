//! Saved boards.

use async_trait::async_trait;
use sqlx::Row as _;
use time::OffsetDateTime;

use super::PostgresStore;
use crate::store::Result;
use crate::store::boards::{Board, BoardStore, implement_boards};

implement_boards!(PostgresStore, read: ready, write: ready, to: std::convert::identity, from: std::convert::identity);
