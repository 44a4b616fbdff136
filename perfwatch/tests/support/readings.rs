//! Readings from JSON, and how they get into a history.

#![allow(dead_code, reason = "each test file uses its part")]

use perfwatch::history::{History, rollup};
use perfwatch::snapshot::{MetricType, Reading, Snapshot};
use serde_json::Value;
use time::OffsetDateTime;

/// A document without `_timestamp` and `_error`.
pub fn reading(metric_type: MetricType, at: OffsetDateTime, body: &Value) -> Reading {
    Reading::new(metric_type, at, body).expect("an object is a document")
}

/// Stores readings at once: each type's in chronological order, as a source has them.
pub async fn store(history: &History, readings: &[Reading]) {
    let mut sorted = readings.to_vec();
    sorted.sort_by_key(|reading| (reading.metric_type, reading.at));
    rollup::store_readings(history, &sorted, Vec::new()).await.expect("the store takes readings");
}

/// The same readings tick by tick.
pub fn snapshots(readings: &[Reading]) -> Vec<Snapshot> {
    let mut sorted = readings.to_vec();
    sorted.sort_by_key(|reading| (reading.at, reading.metric_type));
    sorted.chunk_by(|a, b| a.at == b.at).map(|tick| Snapshot::new(tick[0].at, tick.to_vec())).collect()
}
