//! Channels of alerts, and what is queued for them.

use std::sync::atomic::Ordering;

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::SqliteStore;
use super::alerts::put_event;
use crate::store::Result;
use crate::store::alerts::Event;
use crate::store::deliveries::sql::implement_deliveries;
use crate::store::deliveries::{DeliveryStore, Queued, StoredChannel, Told, Withheld, joined, split};

implement_deliveries!(SqliteStore, SqliteRow, read: reading, write: writing);
