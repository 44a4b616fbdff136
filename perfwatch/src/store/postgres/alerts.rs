//! Alerts: states, episodes, silences, rules.

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::PostgresStore;
use crate::store::Result;
use crate::store::alerts::sql::implement_alerts;
use crate::store::alerts::{
    Acknowledgement, AlertBatch, AlertState, AlertStore, EPISODES_KEPT, EVENTS_KEPT, Episode, Event,
    MAX_EPISODES, MAX_OUTBOX, Silence, StoredRule,
};

implement_alerts!(PostgresStore, sqlx::Postgres, PgRow, read: ready, write: ready);
