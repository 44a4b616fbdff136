use super::*;
use crate::store::rollup::shape::Leaf;
use proptest::prelude::*;
use serde_json::json;

fn round_trip(sum: &Accumulator) -> Accumulator {
    let stored = Shape::from_text(sum.shape().key(), &sum.shape().to_text()).unwrap();
    assert_eq!(stored.key(), sum.shape().key());
    decode(&Arc::new(stored), 0, &encode(sum, 0)).unwrap()
}

#[test]
fn a_rollup_survives_storage() {
    let mut sum = Accumulator::default();
    let long = "x".repeat(1000);
    for (at, usage) in [(5, 12.34), (10, 99.9), (15, 1.0 / 3.0)] {
        let document = json!({
            "usage": usage, "total": 16_777_216_000u64, "gone": null, "text": long, "short": "y", "tiny": 1e-300,
            "list": [1, null, -3.5],
            "wait": {"unit": "ns", "scheme": "log16", "buckets": [[1, 2], [700, 3]], "count": 5, "sum": u64::MAX, "max": 9},
        });
        sum.add_document(at, document.to_string().as_bytes());
    }
    // Absent from later documents.
    sum.add_document(20, br#"{"usage":5}"#);
    let back = round_trip(&sum);
    assert_eq!(back.cells(), sum.cells());
    assert_eq!((back.samples(), back.first_at()), (4, 5));
    assert!(encode(&sum, 0).len() < 150, "{} bytes", encode(&sum, 0).len());
}

#[test]
fn damaged_bytes_are_refused_not_trusted() {
    let mut sum = Accumulator::default();
    sum.add_document(
        1,
        json!({"a": 1.5, "s": "text", "h": {"scheme": "log16", "buckets": [[1, 2]]}}).to_string().as_bytes(),
    );
    let bytes = encode(&sum, 0);
    let shape = sum.shape();
    for end in 0..bytes.len() {
        assert!(decode(shape, 0, &bytes[..end]).is_err(), "cut at {end}");
    }
    assert!(decode(shape, 0, &[&bytes[..], &[0]].concat()).is_err());
}

proptest! {
    #[test]
    fn every_number_is_exact(values in prop::collection::vec(prop_oneof![
        any::<f64>().prop_filter("finite", |f| f.is_finite()),
        any::<i64>().prop_map(|n| n as f64),
        (-100_000i32..100_000, 0usize..4).prop_map(|(n, s)| f64::from(n) / SCALES[s]),
    ], 1..6)) {
        let shape = Arc::new(Shape::new(vec![Leaf { path: "v".into(), kind: Kind::Number }]));
        let mut stat = Stat::one(values[0]);
        for v in &values[1..] {
            stat.merge(&Stat::one(*v));
        }
        let cells = vec![Cell::Number(stat)];
        let sum = Accumulator::from_parts(shape, cells, stat.count + 1, 3);
        let back = round_trip(&sum);
        let Cell::Number(read) = &back.cells()[0] else { panic!("not a number") };
        prop_assert_eq!(read.min.to_bits(), stat.min.to_bits());
        prop_assert_eq!(read.max.to_bits(), stat.max.to_bits());
        prop_assert_eq!(read.count, stat.count);
        if stat.min != stat.max {
            prop_assert_eq!(read.sum.to_bits(), stat.sum.to_bits());
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let leaves =
            [("a", Kind::Number), ("b", Kind::Histogram), ("c", Kind::Other), ("events", Kind::Events)];
        let shape = Arc::new(Shape::new(leaves.map(|(p, kind)| Leaf { path: p.into(), kind }).into()));
        let _ = decode(&shape, 0, &bytes);
    }
}
