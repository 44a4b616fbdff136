//! Counts and histograms of single intervals, summed into Prometheus counters.
//!
//! Starts with the first scrape; from then on each published snapshot is added.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::documents::{Exported, exported};
use super::exposition::{Exposition, Kind};
use crate::snapshot::Snapshot;
use crate::snapshot::dictionary::Export;
use crate::snapshot::histogram::{Histogram, Unit};
use crate::snapshot::value::Value;

/// Devices come and go; beyond this many series no new ones are created.
const MAX_SERIES: usize = 20_000;

#[derive(Debug, Default)]
pub struct Intervals(Mutex<Option<Sums>>);

#[derive(Debug, Default)]
struct Sums {
    /// By field and labels.
    counts: BTreeMap<(usize, String), f64>,
    histograms: BTreeMap<(usize, String), Histogram>,
    /// Values whose series was not created.
    left_out: u64,
}

impl Intervals {
    /// Adds a published snapshot, once there has been a scrape.
    pub fn add(&self, snapshot: &Snapshot) {
        if let Some(sums) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            sums.add(snapshot);
        }
    }

    /// Nothing was counted before the first scrape: it starts with the newest snapshot.
    pub(super) fn write(&self, newest: &Snapshot, exposition: &mut Exposition) {
        let mut sums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sums = sums.get_or_insert_with(|| {
            let mut sums = Sums::default();
            sums.add(newest);
            sums
        });
        sums.write(exposition);
    }
}

fn is_interval(field: &Exported) -> bool {
    matches!(field.export, Export::Interval(..) | Export::Histogram(_))
}

impl Sums {
    fn add(&mut self, snapshot: &Snapshot) {
        for (at, field) in exported().iter().enumerate().filter(|(_, field)| is_interval(field)) {
            let Some(reading) = snapshot.reading(field.metric_type) else { continue };
            for (series, value) in field.values(reading) {
                self.add_one((at, series), field.export, value);
            }
        }
    }

    fn add_one(&mut self, key: (usize, String), export: Export, value: &Value) {
        let is_full = self.counts.len() + self.histograms.len() >= MAX_SERIES;
        match export {
            Export::Interval(_, scale) => {
                let Some(number) = value.as_f64().filter(|number| *number >= 0.0) else { return };
                if !is_full || self.counts.contains_key(&key) {
                    *self.counts.entry(key).or_default() += number * scale;
                } else {
                    self.left_out += 1;
                }
            }
            Export::Histogram(_) => {
                let Value::Histogram(histogram) = value else { return };
                if let Some(sum) = self.histograms.get_mut(&key) {
                    let same_unit = sum.merge(histogram);
                    debug_assert!(same_unit, "a field has one unit");
                } else if !is_full {
                    self.histograms.insert(key, (**histogram).clone());
                } else {
                    self.left_out += 1;
                }
            }
            Export::None | Export::Gauge(..) | Export::Counter(..) => {}
        }
    }

    fn write(&self, exposition: &mut Exposition) {
        exposition.add(
            "interval_values_left_out_total",
            Kind::Counter,
            "Counts and histograms of intervals that are in no series here, because there are 20000 already.",
            &[],
            self.left_out,
        );
        for ((at, series), count) in &self.counts {
            let field = &exported()[*at];
            exposition.add_series(field.name.family, Kind::Counter, field.help, series.clone(), count);
        }
        for ((at, series), histogram) in &self.histograms {
            let field = &exported()[*at];
            let sum = histogram.sum() as f64 / base_unit(histogram.unit());
            let buckets = buckets(histogram);
            let (family, count) = (field.name.family, histogram.count());
            exposition.add_histogram(family, field.help, series, &buckets, count, sum);
        }
    }
}

/// Units per base unit: nanoseconds per second, or 1 for bytes.
fn base_unit(unit: Unit) -> f64 {
    match unit {
        Unit::Nanoseconds => 1e9,
        Unit::Bytes => 1.0,
    }
}

/// The range of bounds, as powers of two: 1 µs to 17 s, 512 bytes to 16 MiB.
fn powers(unit: Unit) -> std::ops::RangeInclusive<u32> {
    match unit {
        Unit::Nanoseconds => 10..=34,
        Unit::Bytes => 9..=24,
    }
}

/// How many values do not exceed each bound. Histogram buckets end just below powers of two, and so do the bounds, so
/// no interpolation is needed.
fn buckets(histogram: &Histogram) -> Vec<(f64, u64)> {
    let mut counted = histogram.buckets().iter().peekable();
    let mut count = 0u64;
    powers(histogram.unit())
        .map(|power| {
            let bound = (1u64 << power) - 1;
            let fits =
                |index| perfwatch_common::histogram::bounds(index).is_some_and(|(_, high)| high <= bound);
            while let Some((_, n)) = counted.next_if(|(index, _)| fits(*index)) {
                count = count.saturating_add(*n);
            }
            (bound as f64 / base_unit(histogram.unit()), count)
        })
        .collect()
}

#[cfg(test)]
mod tests;
