//! Samples for tests, taken like the pipeline does.

use std::time::Duration;

use serde_json::Value;

use crate::snapshot::source::{Source, Tick};

pub(super) fn tick() -> Tick {
    Tick::new(time::macros::datetime!(2026-01-02 03:04:05 UTC), Duration::from_secs(1))
}

/// The document as a client sees it.
pub(super) fn sample(source: &mut dyn Source) -> Value {
    let document = source.sample(&tick()).unwrap_or_else(|error| panic!("{}: {error}", source.name()));
    assert_eq!(document.metric_type, source.metric_type());
    serde_json::from_slice(&document.json()).unwrap()
}
