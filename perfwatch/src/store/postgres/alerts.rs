//! Alerts: states, episodes, silences, rules.

use std::sync::atomic::Ordering;

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::PostgresStore;
use crate::store::Result;
use crate::store::alerts::sql::implement_alerts;
use crate::store::alerts::{
    Acknowledgement, AlertBatch, AlertState, AlertStore, Batches, EPISODES_KEPT, EVENTS_KEPT, Episode, Event,
    MAX_EPISODES, MAX_OUTBOX, Silence, StoredRule,
};
use crate::store::leases::Lease;

implement_alerts!(PostgresStore, sqlx::Postgres, PgRow, read: ready, write: ready, lock: " FOR SHARE");
