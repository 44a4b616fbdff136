//! The newest snapshot's gauges and counts since boot.

use std::sync::OnceLock;

use super::exposition::{Exposition, Kind, Name};
use crate::snapshot::dictionary::{Export, FAMILIES};
use crate::snapshot::layout::{Layout, Place};
use crate::snapshot::value::{Key, Value};
use crate::snapshot::{MetricType, Reading, Snapshot};

/// Maximum rows exported per list or map: CPUs, interfaces, mounts, disks. The rest is only counted.
const MAX_ROWS: usize = 1024;

/// An exported field of the dictionary, prepared for lookup.
#[derive(Debug)]
pub(super) struct Exported {
    pub(super) metric_type: MetricType,
    place: &'static Place,
    pub(super) export: Export,
    pub(super) name: Name,
    /// The family's help text.
    pub(super) help: &'static str,
}

/// Every exported field, in the dictionary's order.
pub(super) fn exported() -> &'static [Exported] {
    static EXPORTED: OnceLock<Vec<Exported>> = OnceLock::new();
    EXPORTED.get_or_init(|| {
        let fields = MetricType::ALL.into_iter().flat_map(|metric_type| {
            Layout::of(metric_type).places.iter().map(move |place| (metric_type, place))
        });
        fields
            .filter_map(|(metric_type, place)| {
                let field = place.field;
                let name = Name::new(field.export.name()?);
                let shared = FAMILIES.iter().find(|(family, _)| *family == name.family);
                let help = shared.map_or(field.help, |(_, help)| help);
                Some(Exported { metric_type, place, export: field.export, name, help })
            })
            .collect()
    })
}

impl Exported {
    /// The field's values in a reading of its type, each with the series it belongs to.
    pub(super) fn values<'r>(&self, reading: &'r Reading) -> impl Iterator<Item = (String, &'r Value)> {
        let Place { table, column, .. } = *self.place;
        let labels = &reading.layout().tables[table].labels;
        let keys: &'r [Key] = reading.tables().get(table).map(|table| &table.keys[..]).unwrap_or_default();
        keys.iter().enumerate().take(MAX_ROWS).filter_map(move |(row, key)| {
            let value = &reading.row(table, row)[column?];
            if !self.place.has(key) {
                return None;
            }
            let fixed = self.place.only.is_some();
            let pairs = labels.iter().zip(key).map(|(label, name)| (*label, name.to_string()));
            // A metric for a single item omits its label.
            let pairs: Vec<(&'static str, String)> = pairs.take(labels.len() - usize::from(fixed)).collect();
            Some((self.name.series(&pairs), value))
        })
    }
}

pub(super) fn write(snapshot: &Snapshot, exposition: &mut Exposition) {
    let seconds = snapshot.timestamp.unix_timestamp_nanos() as f64 / 1e9;
    exposition.add(
        "snapshot_timestamp_seconds",
        Kind::Gauge,
        "Time of the newest snapshot, since the epoch.",
        &[],
        seconds,
    );
    for reading in &snapshot.readings {
        write_left_out(reading, exposition);
        exposition.add(
            "document_failed",
            Kind::Gauge,
            "1 if a document's source failed in the newest snapshot.",
            &[("document", reading.metric_type.as_str().to_owned())],
            u8::from(reading.error.is_some()),
        );
        for field in exported().iter().filter(|field| field.metric_type == reading.metric_type) {
            let (kind, scale) = match field.export {
                Export::Gauge(_, scale) => (Kind::Gauge, scale),
                Export::Counter(_, scale) => (Kind::Counter, scale),
                Export::None | Export::Interval(..) | Export::Histogram(_) => continue,
            };
            for (series, value) in field.values(reading) {
                let family = field.name.family;
                match scaled(value, scale) {
                    Some(Number::Whole(value)) => {
                        exposition.add_series(family, kind, field.help, series, value);
                    }
                    Some(Number::Real(value)) => {
                        exposition.add_series(family, kind, field.help, series, value);
                    }
                    // Missing is not zero: there is no sample.
                    None => {}
                }
            }
        }
    }
}

/// Number of rows of each exported list that were left out.
fn write_left_out(reading: &Reading, exposition: &mut Exposition) {
    let exported_here = || exported().iter().filter(|field| field.metric_type == reading.metric_type);
    let lists = reading.layout().tables.iter().zip(reading.tables()).enumerate().skip(1);
    for (table, (layout, rows)) in lists {
        if exported_here().any(|field| field.place.table == table) {
            exposition.add(
                "rows_left_out",
                Kind::Gauge,
                "Entries of a list beyond the first 1024, which have no series here.",
                &[("document", reading.metric_type.as_str().to_owned()), ("list", layout.path.clone())],
                rows.keys.len().saturating_sub(MAX_ROWS),
            );
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Number {
    /// Exact, however large.
    Whole(u64),
    Real(f64),
}

fn scaled(value: &Value, scale: f64) -> Option<Number> {
    match value {
        Value::Bool(yes) => Some(Number::Whole(u64::from(*yes))),
        Value::Unsigned(whole) if scale == 1.0 => Some(Number::Whole(*whole)),
        _ => value.as_f64().map(|number| Number::Real(rounded(number * scale))),
    }
}

/// Removes the rounding error of scaling: 7.02 % is 0.0702, not 0.07019999999999999.
fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let digits = 12 - value.abs().log10().ceil() as i32;
    if (0..=300).contains(&digits) { crate::snapshot::derive::round(value, digits) } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_exact_and_base_units_are_clean() {
        assert_eq!(scaled(&Value::Unsigned(u64::MAX), 1.0), Some(Number::Whole(u64::MAX)));
        assert_eq!(scaled(&Value::Float(7.02), 0.01), Some(Number::Real(0.0702)));
        assert_eq!(scaled(&Value::Float(2400.1), 1e6), Some(Number::Real(2_400_100_000.0)));
        assert_eq!(scaled(&Value::Bool(true), 1.0), Some(Number::Whole(1)));
        assert_eq!(scaled(&Value::Null, 1.0), None);
        assert_eq!(scaled(&Value::Text("5".into()), 1.0), None);
    }
}
