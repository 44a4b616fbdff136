//! Maintenance windows of alerts.

use async_trait::async_trait;
use sqlx::Row as _;

use super::PostgresStore;
use crate::store::Result;
use crate::store::alerts::Silence;
use crate::store::maintenance::{MaintenanceStore, StoredWindow, implement_maintenance};

implement_maintenance!(PostgresStore, read: ready, write: ready);
