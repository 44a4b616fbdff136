//! Readings and stores for the tests of history.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use proptest::prelude::*;
use time::OffsetDateTime;
use time::macros::datetime;

use super::{History, from_micros, micros};
use crate::snapshot::histogram::{Histogram, Unit};
use crate::snapshot::layout::Layout;
use crate::snapshot::value::{Key, Label, Value};
use crate::snapshot::{MetricType, Reading, Snapshot, Table};
use crate::store::{self, Store};

pub(crate) const START: OffsetDateTime = datetime!(2026-01-02 00:00:00 UTC);

pub(crate) async fn history(dir: &std::path::Path) -> (Arc<dyn Store>, History) {
    let store = store::open(&store::sqlite_url(dir)).await.unwrap();
    let history = History::new(store.clone(), "test-host");
    (store, history)
}

/// A reading `seconds` after the start.
pub(crate) fn reading(metric_type: MetricType, seconds: i64, body: &serde_json::Value) -> Reading {
    Reading::new(metric_type, START + time::Duration::seconds(seconds), body).unwrap()
}

pub(crate) fn cpu(seconds: i64, usage: f64) -> Reading {
    reading(MetricType::Cpu, seconds, &serde_json::json!({"usage_percent": usage, "per_core": [usage, null]}))
}

pub(crate) fn snapshot(seconds: i64) -> Arc<Snapshot> {
    let at = START + time::Duration::seconds(seconds);
    Arc::new(Snapshot::new(at, vec![cpu(seconds, (seconds % 100) as f64 / 4.0)]))
}

/// Random readings of a type: rows come and go, and values change their kind.
pub(crate) fn readings(metric_type: MetricType, count: usize) -> impl Strategy<Value = Vec<Reading>> {
    let one = (any::<u64>(), 0u8..20);
    proptest::collection::vec(one, 1..=count).prop_map(move |seeds| {
        let mut at = micros(START);
        let mut all = Vec::new();
        for (seed, step) in seeds {
            at += 1_000_000 + i64::from(step / 16) * 120_000_000;
            all.push(random(metric_type, at, seed));
        }
        all
    })
}

/// xorshift: the same seed gives the same sequence.
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

fn random(metric_type: MetricType, at: i64, seed: u64) -> Reading {
    let mut random = Random(seed | 1);
    let at = from_micros(at);
    if random.below(20) == 0 {
        return Reading::failed(metric_type, at, "it did not answer");
    }
    let layout = Layout::of(metric_type);
    let mut tables: Vec<Table> = Vec::new();
    for (n, of) in layout.tables.iter().enumerate() {
        let keys: Vec<Key> = match n {
            0 => vec![Key::default()],
            _ => (0..5u64)
                .filter(|_| random.below(3) > 0)
                .map(|thing| of.labels.iter().map(|_| Label::Text(format!("thing {thing}").into())).collect())
                .collect(),
        };
        let cells = keys.len() * of.columns.len();
        let values = (0..cells)
            .map(|cell| {
                let derived = of.columns[cell % of.columns.len()].derived.is_some();
                if derived { Value::Null } else { value(&mut random, cell) }
            })
            .collect();
        tables.push(Table { keys: keys.into(), values });
    }
    // Values derived from a histogram must match it.
    for (table, of) in tables.iter_mut().zip(&layout.tables) {
        for row in table.values.chunks_exact_mut(of.columns.len()) {
            for (at, column) in of.columns.iter().enumerate() {
                if let Some(derived) = column.derived
                    && let Value::Histogram(histogram) = &row[derived.histogram]
                {
                    row[at] = derived.statistic.of(histogram);
                }
            }
        }
    }
    Reading::from_tables(metric_type, at, None, tables)
}

fn value(random: &mut Random, cell: usize) -> Value {
    match random.below(16) {
        0 => Value::Absent,
        1 => Value::Null,
        2 => Value::Bool(random.below(2) == 0),
        3 => Value::Text(format!("state {}", random.below(4)).into()),
        4 => Value::Signed(-i64::try_from(random.below(1000)).unwrap() - 1),
        5 => {
            let counts = (0..random.below(5)).map(|n| (u16::try_from(n * 7).unwrap(), n + 1));
            Value::Histogram(Arc::new(Histogram::from_counts(Unit::Nanoseconds, counts, cell as u64, 900)))
        }
        6..=9 => Value::Unsigned(random.below(1 << 40)),
        _ => Value::Float(random.below(100_000) as f64 / 100.0),
    }
}
