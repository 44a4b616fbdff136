//! The newest snapshot's values of the moment and counts since boot.

use std::sync::OnceLock;

use serde_json::Value;

use super::exposition::{Exposition, Kind, Name};
use crate::snapshot::dictionary::{self, Export, FAMILIES, Path};
use crate::snapshot::{MetricType, Snapshot};

/// Of each list and map in a document: CPUs, interfaces, mounts, disks.
pub(super) const MOST: usize = 1024;

/// A field of the dictionary that is exported, ready to be looked up.
#[derive(Debug)]
pub(super) struct Exported {
    pub(super) metric_type: MetricType,
    pub(super) path: Path,
    pub(super) export: Export,
    pub(super) name: Name,
    /// The family's.
    pub(super) help: &'static str,
}

/// Every exported field, in the dictionary's order.
pub(super) fn exported() -> &'static [Exported] {
    static EXPORTED: OnceLock<Vec<Exported>> = OnceLock::new();
    EXPORTED.get_or_init(|| {
        let fields = MetricType::ALL.into_iter().flat_map(|metric_type| {
            dictionary::fields(metric_type).iter().map(move |field| (metric_type, field))
        });
        fields
            .filter_map(|(metric_type, field)| {
                let name = Name::new(field.export.name()?);
                let shared = FAMILIES.iter().find(|(family, _)| *family == name.family);
                let help = shared.map_or(field.help, |(_, help)| help);
                // A test of the dictionary reads every path.
                Some(Exported {
                    metric_type,
                    path: Path::parse(field.path)?,
                    export: field.export,
                    name,
                    help,
                })
            })
            .collect()
    })
}

pub(super) fn write(snapshot: &Snapshot, exposition: &mut Exposition) {
    let seconds = snapshot.timestamp.unix_timestamp_nanos() as f64 / 1e9;
    exposition.add(
        "snapshot_timestamp_seconds",
        Kind::Gauge,
        "When the newest snapshot was taken, since the epoch.",
        &[],
        seconds,
    );
    for document in &snapshot.documents {
        let Ok(json) = serde_json::from_slice::<Value>(&document.json) else { continue };
        exposition.add(
            "document_failed",
            Kind::Gauge,
            "Whether a document's source failed at the newest snapshot.",
            &[("document", document.metric_type.as_str().to_owned())],
            u8::from(!json["_error"].is_null()),
        );
        for field in exported().iter().filter(|field| field.metric_type == document.metric_type) {
            let (kind, scale) = match field.export {
                Export::Gauge(_, scale) => (Kind::Gauge, scale),
                Export::Counter(_, scale) => (Kind::Counter, scale),
                Export::None | Export::Interval(..) | Export::Histogram(_) => continue,
            };
            for place in field.path.places(&json, MOST) {
                let series = field.name.series(&place.labels);
                let family = field.name.family;
                match scaled(place.value, scale) {
                    Some(Number::Whole(value)) => {
                        exposition.add_series(family, kind, field.help, series, value);
                    }
                    Some(Number::Real(value)) => {
                        exposition.add_series(family, kind, field.help, series, value);
                    }
                    // Absent is not zero: there is no sample.
                    None => {}
                }
            }
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
    match (value, value.as_u64()) {
        (Value::Bool(yes), _) => Some(Number::Whole(u64::from(*yes))),
        (_, Some(whole)) if scale == 1.0 => Some(Number::Whole(whole)),
        _ => value.as_f64().map(|number| Number::Real(rounded(number * scale))),
    }
}

/// Without the noise that scaling brings: 7.02 % is 0.0702, not 0.07019999999999999.
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
    use serde_json::json;

    #[test]
    fn numbers_are_exact_and_base_units_are_clean() {
        assert_eq!(scaled(&json!(u64::MAX), 1.0), Some(Number::Whole(u64::MAX)));
        assert_eq!(scaled(&json!(7.02), 0.01), Some(Number::Real(0.0702)));
        assert_eq!(scaled(&json!(2400.1), 1e6), Some(Number::Real(2_400_100_000.0)));
        assert_eq!(scaled(&json!(true), 1.0), Some(Number::Whole(1)));
        assert_eq!(scaled(&Value::Null, 1.0), None);
        assert_eq!(scaled(&json!("5"), 1.0), None);
    }
}
