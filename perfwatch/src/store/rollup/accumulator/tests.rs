use super::*;
use crate::store::rollup::shape::{KEY, LIST};
use crate::store::rollup::template::{Fields, Show, Template};
use proptest::prelude::*;
use serde_json::json;

fn sum(documents: &[Value]) -> Accumulator {
    let mut sum = Accumulator::default();
    for (at, document) in (0..).zip(documents) {
        sum.add_document(at * 1_000_000, document.to_string().as_bytes());
    }
    sum
}

fn show(sum: &Accumulator, show: Show) -> Value {
    let mut out = Vec::new();
    Template::new(sum.shape(), &Fields::default(), show != Show::Average).write(sum, show, &mut out);
    let mut value: Value = serde_json::from_slice(&out).unwrap();
    if let Some(map) = value.as_object_mut() {
        map.remove("_timestamp");
    }
    value
}

fn average(documents: &[Value]) -> Value {
    show(&sum(documents), Show::Average)
}

#[test]
fn numbers_average_maps_merge_lists_average_by_position_and_nulls_are_skipped() {
    let documents = [
        json!({"a": 1, "m": {"x": 1.0}, "l": [1, 2], "t": null, "s": "first", "o": [{"n": 1}], "e": {}}),
        json!({"a": 2, "m": {"y": 5.0}, "l": [3, 6], "t": 40, "s": "later", "o": [{"n": 9}], "e": {}}),
        json!({"a": 6, "m": {"x": 2.0}, "l": [2, 1], "t": 42, "s": "later", "o": [], "e": {}}),
    ];
    assert_eq!(
        average(&documents),
        json!({"a": 3, "m": {"x": 1.5, "y": 5}, "l": [2, 3], "t": 41, "s": "first", "o": [{"n": 1}], "e": {}})
    );
    let all = sum(&documents);
    assert_eq!(show(&all, Show::Max), json!({"a": 6, "m": {"x": 2, "y": 5}, "l": [3, 6], "t": 42}));
    assert_eq!(show(&all, Show::Min), json!({"a": 1, "m": {"x": 1, "y": 5}, "l": [1, 1], "t": 40}));
    assert_eq!(all.stat("t").unwrap().count, 2);
    assert_eq!(all.samples(), 3);
}

#[test]
fn what_happened_in_any_document_is_in_the_bucket() {
    let at = |second: u32| json!({"events": [{"kind": "oom_kill", "pid": second}], "a": 1});
    let quiet = json!({"events": [], "a": 1});
    let documents = [quiet.clone(), at(1), quiet.clone(), at(3), quiet];
    let all = json!([{"kind": "oom_kill", "pid": 1}, {"kind": "oom_kill", "pid": 3}]);
    assert_eq!(average(&documents)["events"], all);
    for middle in 0..=documents.len() {
        let mut merged = sum(&documents[..middle]);
        merged.merge(sum(&documents[middle..]));
        assert_eq!(show(&merged, Show::Average)["events"], all, "parted at {middle}");
    }
    // Only a list at the top of a document; perf_events has an object of that name.
    let counts = json!({"events": {"cycles": {"value": 4}}});
    assert_eq!(average(&[counts.clone(), counts.clone()]), counts);
}

#[test]
fn the_first_stays_where_documents_contradict_each_other() {
    assert_eq!(average(&[json!({"l": [1, 2, 3]}), json!({"l": [5, 5]})]), json!({"l": [1, 2, 3]}));
    assert_eq!(average(&[json!({"l": [5, 5]}), json!({"l": [1, 2, 3]})]), json!({"l": [5, 5]}));
    assert_eq!(average(&[json!({"a": 1}), json!({"a": "x"})]), json!({"a": 1}));
    assert_eq!(average(&[json!({"a": "x"}), json!({"a": {"b": 1}})]), json!({"a": "x"}));
    assert_eq!(average(&[json!({"a": {"b": 1}}), json!({"a": 3})]), json!({"a": {"b": 1}}));
    assert_eq!(average(&[json!({"a": {"b": 1}}), json!({"a": [1]})]), json!({"a": {"b": 1}}));
    assert_eq!(average(&[json!({"a": [1]}), json!({"a": {"b": 1}})]), json!({"a": [1]}));
}

#[test]
fn what_was_null_or_empty_becomes_what_comes() {
    for vacant in [json!(null), json!({})] {
        for value in [json!(7), json!({"b": {"c": 7}}), json!([7, 8]), json!("x")] {
            let expected = json!({"a": value, "z": 1});
            let documents = [json!({"a": vacant, "z": 1}), json!({"a": value, "z": 1})];
            assert_eq!(average(&documents), expected);
            assert_eq!(average(&[documents[1].clone(), documents[0].clone()]), expected);
        }
    }
}

#[test]
fn histograms_add_up_bucket_by_bucket() {
    let histogram = |buckets: Value, count, sum, max| json!({"h": {"unit": "ns", "scheme": "log16", "buckets": buckets, "count": count, "sum": sum, "max": max}});
    let documents =
        [histogram(json!([[3, 1], [9, 2]]), 3, 30, 20), histogram(json!([[4, 5], [9, 1]]), 6, 60, 90)];
    assert_eq!(average(&documents), histogram(json!([[3, 1], [4, 5], [9, 3]]), 9, 90, 90));
}

#[test]
fn keys_that_hold_separators_or_nothing_do_no_harm() {
    let hostile = format!("a{KEY}b{LIST}c\"\\");
    let document = json!({hostile: {"": 1}, "": 2, "a": 3, "a!": 4});
    let value = average(&[document.clone(), document]);
    assert_eq!(value["a"], 3);
    assert_eq!(value["a!"], 4);
}

fn stored(sum: &Accumulator) -> Accumulator {
    use crate::store::rollup::codec;
    if sum.is_empty() {
        Accumulator::default()
    } else {
        codec::decode(sum.shape(), 0, &codec::encode(sum, 0)).unwrap()
    }
}

fn documents() -> impl Strategy<Value = Vec<Value>> {
    let leaf = prop_oneof![
        Just(Value::Null),
        (-1000i32..1000).prop_map(|n| json!(n)),
        (-1000i32..1000).prop_map(|n| json!(f64::from(n) / 8.0)),
        "[a-z]{0,3}".prop_map(|s| json!(s)),
        prop::collection::vec(-9i32..9, 0..4).prop_map(|l| json!(l)),
    ];
    let value = leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::btree_map("[a-d]", inner.clone(), 0..4).prop_map(|m| json!(m)),
            prop::collection::vec(inner, 0..3).prop_map(|l| json!(l)),
        ]
    });
    let document = prop::collection::btree_map("[a-d]", value, 0..5).prop_map(|m| json!(m));
    prop::collection::vec(document, 1..8)
}

/// Documents that do not contradict each other: what stands under a key is always of one kind, or null, or absent.
fn series() -> impl Strategy<Value = Vec<Value>> {
    let number = || prop_oneof![Just(Value::Null), (-1000i32..1000).prop_map(|n| json!(f64::from(n) / 8.0))];
    let document = (
        prop::option::of(number()),
        prop::option::of(prop::collection::btree_map("[a-d]", number(), 0..4)),
        prop::option::of(prop::collection::vec(number(), 3)),
        prop::option::of("[x-z]"),
        prop::collection::vec((0u32..40, 1u64..9), 0..4),
    );
    let document = document.prop_map(|(n, map, list, text, mut buckets)| {
        buckets.sort_unstable();
        buckets.dedup_by_key(|b| b.0);
        let mut d = serde_json::Map::new();
        d.insert(
            "h".into(),
            json!({"unit": "ns", "scheme": "log16", "buckets": buckets, "count": 1, "sum": 2, "max": 3}),
        );
        d.extend(n.map(|n| ("n".to_owned(), n)));
        d.extend(map.map(|m| ("map".to_owned(), json!(m))));
        d.extend(list.map(|l| ("list".to_owned(), json!(l))));
        d.extend(text.map(|t| ("text".to_owned(), json!(t))));
        Value::Object(d)
    });
    prop::collection::vec(document, 1..9)
}

proptest! {
    /// Rolling up in two steps, through storage, gives what one step gives.
    #[test]
    fn merging_parts_is_adding_all(documents in series(), split in 0usize..9) {
        let whole = sum(&documents);
        let first = &documents[..split.min(documents.len())];
        let mut parts = stored(&sum(first));
        let mut later = Accumulator::default();
        for (at, document) in (0..).zip(&documents).skip(first.len()) {
            later.add_document(at * 1_000_000, document.to_string().as_bytes());
        }
        parts.merge(stored(&later));
        prop_assert_eq!((parts.samples(), parts.first_at()), (whole.samples(), whole.first_at()));
        for what in [Show::Average, Show::Min, Show::Max] {
            prop_assert_eq!(show(&parts, what), show(&whole, what));
        }
    }

    /// A single document comes back as it was, except that null stands for nothing.
    #[test]
    fn one_document_is_itself(documents in documents()) {
        prop_assert_eq!(average(&documents[..1]), canonical(&documents[0]));
    }
}

/// 8.0 and 8 are the same number to a client, not to `Value`.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Number(n) => match n.as_f64() {
            Some(f) if f.fract() == 0.0 => json!(f as i64),
            _ => value.clone(),
        },
        Value::Array(list) if list.iter().all(|v| v.is_number() || v.is_null()) => {
            list.iter().map(canonical).collect()
        }
        Value::Object(map) => map.iter().map(|(k, v)| (k.clone(), canonical(v))).collect(),
        other => other.clone(),
    }
}

#[test]
fn numbers_are_written_as_json_reads_them() {
    for n in [0.0, -0.0, 1.0, -7.0, 10.0, 99.0, 100.0, 8.9e15, -8.9e15, 1.5, -0.25, 1e300] {
        let mut text = Vec::new();
        crate::store::rollup::template::write_number(&mut text, n);
        assert_eq!(serde_json::from_slice::<f64>(&text).unwrap(), n);
    }
    for n in [0, 9, 10, 12_345, u64::MAX] {
        let mut text = Vec::new();
        crate::store::rollup::template::write_whole(&mut text, n);
        assert_eq!(text, n.to_string().into_bytes());
    }
}
