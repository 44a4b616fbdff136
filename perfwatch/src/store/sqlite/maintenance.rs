//! Maintenance windows of alerts.

use async_trait::async_trait;
use sqlx::Row as _;

use super::SqliteStore;
use crate::store::Result;
use crate::store::alerts::Silence;
use crate::store::maintenance::{MaintenanceStore, StoredWindow, implement_maintenance};

implement_maintenance!(SqliteStore, read: reading, write: writing);
