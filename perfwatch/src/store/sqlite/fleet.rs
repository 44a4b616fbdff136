//! Machines that join the fleet.

use async_trait::async_trait;
use sqlx::Row as _;

use super::SqliteStore;
use crate::config::labels::Labels;
use crate::store::Result;
use crate::store::fleet::{FleetStore, JoinToken, Joined, Member, implement_fleet};

implement_fleet!(SqliteStore, read: reading, write: writing);
