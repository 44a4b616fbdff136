use super::super::accumulator::{Accumulator, Cell};
use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

/// A document's text as some serializer might write it: with or without spaces, members in either order.
fn spell(value: &Value, spaced: bool, reversed: bool, out: &mut String) {
    let (comma, colon) = if spaced { (", ", ": ") } else { (",", ":") };
    match value {
        Value::Object(map) => {
            let mut members: Vec<_> = map.iter().collect();
            if reversed {
                members.reverse();
            }
            out.push('{');
            for (i, (key, value)) in members.into_iter().enumerate() {
                out.push_str(if i > 0 { comma } else { "" });
                out.push_str(&json!(key).to_string());
                out.push_str(colon);
                spell(value, spaced, reversed, out);
            }
            out.push('}');
        }
        Value::Array(list) => {
            out.push('[');
            for (i, value) in list.iter().enumerate() {
                out.push_str(if i > 0 { comma } else { "" });
                spell(value, spaced, reversed, out);
            }
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}

fn both(texts: &[String]) -> (Accumulator, Accumulator) {
    let (mut read, mut parsed) = (Accumulator::default(), Accumulator::default());
    let mut reader = Reader::default();
    for (at, text) in (5..).zip(texts) {
        read.read_document(&mut reader, at, text.as_bytes());
        parsed.add_document(at, text.as_bytes());
    }
    (read, parsed)
}

#[track_caller]
fn assert_same((read, parsed): &(Accumulator, Accumulator)) {
    assert_eq!(read.shape().leaves(), parsed.shape().leaves());
    assert_eq!(read.cells(), parsed.cells());
    assert_eq!((read.samples(), read.first_at()), (parsed.samples(), parsed.first_at()));
}

#[test]
fn events_of_every_document_are_read() {
    let at = |n: u32| json!({"a": n, "events": [{"kind": "oom_kill", "pid": n}], "z": "text"}).to_string();
    let quiet = json!({"a": 0, "events": [], "z": "text"}).to_string();
    let texts = [quiet.clone(), at(1), quiet.clone(), at(3), r#"{"events": [1, 2]}"#.into(), quiet];
    let sums = both(&texts);
    assert_same(&sums);
    let position = sums.0.shape().position("events").unwrap();
    let Cell::Events(events) = &sums.0.cells()[position] else { panic!("events are not kept as such") };
    let text = std::str::from_utf8(events.text()).unwrap();
    assert_eq!(text.matches("oom_kill").count(), 2, "{text}");
}

/// Any value, also the awkward ones.
fn values() -> impl Strategy<Value = Value> {
    let histogram = (
        prop::collection::btree_map(0u32..50, 1u64..9, 0..4),
        prop_oneof![Just("log16"), Just("log2")],
        prop::option::of(any::<u64>()),
    );
    let histogram = histogram.prop_map(|(buckets, scheme, sum)| {
        let buckets: Vec<_> = buckets.into_iter().collect();
        let mut h = json!({"unit": "ns", "scheme": scheme, "buckets": buckets, "count": 1, "max": 3});
        if let Some(sum) = sum {
            h["sum"] = json!(sum);
        }
        h
    });
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(|n| json!(n)),
        any::<u64>().prop_map(|n| json!(n)),
        any::<f64>().prop_map(|n| json!(n)),
        (-1000i32..1000).prop_map(|n| json!(f64::from(n) / 8.0)),
        any::<bool>().prop_map(|b| json!(b)),
        "[a-z\"\\\\{\\[,:\u{e9}\n]{0,4}".prop_map(|s| json!(s)),
        prop::collection::vec(prop_oneof![Just(Value::Null), (-9i32..9).prop_map(|n| json!(n))], 0..4)
            .prop_map(|l| json!(l)),
        histogram,
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::btree_map("[a-c\"\\\\\u{1f}]{0,1}", inner.clone(), 0..4).prop_map(|m| json!(m)),
            prop::collection::vec(inner, 0..3).prop_map(|l| json!(l)),
        ]
    })
}

fn documents() -> impl Strategy<Value = Vec<Value>> {
    let document =
        prop::collection::btree_map("[a-c]|_timestamp|scheme", values(), 0..5).prop_map(|m| json!(m));
    prop::collection::vec(document, 1..5)
}

proptest! {
    /// Whatever comes, in whatever spelling and order, the sums are those of parsing.
    #[test]
    fn reading_is_parsing(
        documents in documents(),
        order in prop::collection::vec((0usize..5, any::<bool>(), any::<bool>()), 1..9),
    ) {
        let texts: Vec<String> = order
            .into_iter()
            .map(|(i, spaced, reversed)| {
                let mut text = String::new();
                spell(&documents[i % documents.len()], spaced, reversed, &mut text);
                text
            })
            .collect();
        let (read, parsed) = both(&texts);
        prop_assert_eq!(read.shape().leaves(), parsed.shape().leaves());
        prop_assert_eq!(read.cells(), parsed.cells());
        prop_assert_eq!((read.samples(), read.first_at()), (parsed.samples(), parsed.first_at()));
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..60), text in "[{}\\[\\]\":,a0-9 .e-]{0,60}") {
        let mut reader = Reader::default();
        for json in [&bytes[..], text.as_bytes()] {
            let _ = reader.read(json);
        }
    }
}

#[test]
fn what_changes_its_kind_is_read_too() {
    let histogram = r#"{"unit":"ns","scheme":"log16","buckets":[[3,1]],"count":1,"sum":9,"max":9}"#;
    let of = |a: &str, l: &str| format!(r#"{{"_timestamp":"t","a":{a},"h":{histogram},"l":[{l}],"s":"x"}}"#);
    let kinds = ["null", "1", "{}", "null", "2.5", "\"text\"", "true", "[{\"n\":1}]", histogram, "7", "[]"];
    for first in kinds {
        let texts: Vec<String> =
            [first].iter().chain(&kinds).map(|a| of(a, "1,null")).chain([of("1", "null,3")]).collect();
        assert_same(&both(&texts));
        let mut reader = Reader::default();
        for text in &texts {
            assert!(reader.read(text.as_bytes()).is_some(), "{text}");
        }
        assert_eq!(reader.patterns.len(), 1, "none of them needed another pattern");
    }
    // What has leaves of its own does.
    for other in ["{\"b\":1}", "[1,2]"] {
        assert_same(&both(&[
            of("null", "1"),
            of(other, "1"),
            of("null", "2"),
            of("1", "\"x\""),
            of("3", "1,2"),
        ]));
    }
}

#[test]
fn what_is_not_certain_is_left_to_the_parser() {
    for text in [
        "",
        "7",
        "[]",
        "{",
        r#"{"a":1}x"#,
        r#"{"a":1,"a":2}"#,
        r#"{"a":{"scheme":"log16","buckets":[1]}}"#,
        r#"{"unit":"ns","scheme":"log16","buckets":[],"count":0,"sum":0,"max":0}"#,
    ] {
        assert!(Reader::default().read(text.as_bytes()).is_none(), "{text}");
        assert_same(&both(&[text.to_owned(), r#"{"a":3}"#.to_owned(), text.to_owned()]));
    }
}

#[test]
fn the_shape_is_shared_by_documents_of_the_same_kinds() {
    let mut reader = Reader::default();
    let mut shape = |text: &str| reader.read(text.as_bytes()).unwrap().shape();
    let first = shape(r#"{"a":1,"b":null}"#);
    assert!(Arc::ptr_eq(&first, &shape(r#"{"a":2,"b":null}"#)));
    let other = shape(r#"{"a":2,"b":3}"#);
    assert_eq!(other.leaves()[1].kind, Kind::Number);
    assert!(Arc::ptr_eq(&other, &shape(r#"{"a":5,"b":6}"#)));
}
