//! What holds for every document of every recorded machine.

use perfwatch::collectors;
use serde_json::Value;

use crate::machine::{ALL, Machine};

/// Calls `each` with the key and value of every field at any depth.
fn walk(value: &Value, each: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| {
            each(key, value);
            walk(value, each);
        }),
        Value::Array(items) => items.iter().for_each(|item| walk(item, each)),
        _ => {}
    }
}

#[test]
fn rates_are_null_first_and_never_negative() {
    for name in ALL {
        for (collector, _) in collectors::REGISTRY {
            let two = Machine::new(name).two(collector);
            walk(&two.first, &mut |key, value| {
                assert!(!key.ends_with("_per_sec") || value.is_null(), "{name} {collector} {key}: {value}");
            });
            let mut rates = 0;
            walk(&two.second, &mut |key, value| {
                if let Some(number) = value.as_f64() {
                    assert!(number.is_finite() && number >= 0.0, "{name} {collector} {key}: {value}");
                    rates += u32::from(key.ends_with("_per_sec"));
                    if key.contains("percent") || key.starts_with("avg") {
                        assert!(number <= 100.0, "{name} {collector} {key}: {value}");
                    }
                }
            });
            // The bare machine has no disk and no PSI.
            let is_absent = name == "bare" && ["disk", "pressure"].contains(collector);
            let has_rates = *collector != "memory" && !is_absent;
            assert_eq!(rates > 0, has_rates, "{name} {collector}: {rates} rates");
        }
    }
}

#[test]
fn no_document_of_a_recorded_machine_has_an_error() {
    for name in ALL {
        for (collector, _) in collectors::REGISTRY {
            let two = Machine::new(name).two(collector);
            for document in [&two.first, &two.second] {
                assert_eq!(document["_error"], Value::Null, "{name} {collector}");
                assert_eq!(document["_timestamp"], "2026-01-02T03:04:05Z");
            }
        }
    }
}
