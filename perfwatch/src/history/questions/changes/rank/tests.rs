use super::*;
use perfwatch_common::histogram::index;
use proptest::prelude::*;

use crate::snapshot::histogram::Unit;

/// A series with one value per minute.
fn series(values: impl IntoIterator<Item = f64>) -> Series {
    Series::Numbers((0..).step_by(60_000_000).zip(values).collect())
}

fn wave(centre: f64, size: f64, seed: u64) -> Series {
    series((0..200u64).map(|i| {
        let noise =
            (i.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(seed.wrapping_mul(0xd6e8_feb8_6659_fd93))
                >> 40) as f64
                / (1u64 << 24) as f64;
        centre + size * (noise - 0.5)
    }))
}

fn latencies(values: impl IntoIterator<Item = u64>) -> Series {
    let counts = values.into_iter().map(|value| (index(value), 1));
    let histogram = Histogram::from_counts(Unit::Nanoseconds, counts, 0, 0);
    Series::Histogram(histogram)
}

#[test]
fn what_did_not_move_is_not_told_and_noise_scores_low() {
    assert_eq!(compare(&series([7.0; 50]), &series([7.0; 50])), None);
    assert_eq!(compare(&series([1.0, 2.0]), &series([5.0, 9.0])), None, "two values are no distribution");
    let noise = compare(&wave(50.0, 20.0, 1), &wave(50.0, 20.0, 2)).unwrap();
    assert!(noise.score < 0.1, "{noise:?}");
    let digits = compare(&series([100.0; 50]), &series([100.01; 50])).unwrap();
    assert!(digits.score < 0.01, "{digits:?}");
}

#[test]
fn larger_shifts_rank_higher_and_tell_their_direction() {
    let base = wave(50.0, 20.0, 1);
    let near = compare(&wave(55.0, 20.0, 2), &base).unwrap();
    let far = compare(&wave(90.0, 20.0, 2), &base).unwrap();
    assert!(near.score < far.score && far.score > 0.7, "{near:?} {far:?}");
    assert_eq!((near.direction, far.direction), (Direction::Up, Direction::Up));
    assert!((far.current.median - 90.0).abs() < 2.0 && (far.comparison.median - 50.0).abs() < 2.0);
    assert_eq!(compare(&base, &wave(90.0, 20.0, 2)).unwrap().direction, Direction::Down);
    let wider = compare(&wave(50.0, 80.0, 2), &base).unwrap();
    assert_eq!(wider.direction, Direction::Mixed);
    assert!(wider.score > 0.2, "{wider:?}");
}

#[test]
fn one_outlier_does_not_make_a_change() {
    let mut values = vec![10.0; 199];
    values.push(1.0e9);
    let outlier = compare(&series(values), &series([10.0; 200]));
    assert!(outlier.is_none_or(|change| change.score < 0.05), "{outlier:?}");
}

#[test]
fn a_counter_is_compared_by_its_rate() {
    let counter = |start: f64, step: f64| series((0..100).map(|i| start + step * f64::from(i)));
    assert_eq!(compare(&counter(9.0e9, 600.0), &counter(1.0e3, 600.0)), None, "it grew on at the same pace");
    let faster = compare(&counter(9.0e9, 1200.0), &counter(1.0e3, 600.0)).unwrap();
    assert_eq!((faster.kind, faster.direction), (Kind::Rate, Direction::Up));
    assert_eq!((faster.current.median, faster.comparison.median), (20.0, 10.0));
}

#[test]
fn histograms_move_by_factors() {
    let base = latencies((0..1000).map(|i| 1000 + i * 7));
    assert_eq!(compare(&base, &base), None);
    let twice = compare(&latencies((0..1000).map(|i| 2000 + i * 14)), &base).unwrap();
    let half_more = compare(&latencies((0..1000).map(|i| 1500 + i * 10)), &base).unwrap();
    assert!(twice.score > half_more.score && half_more.score > 0.5, "{twice:?} {half_more:?}");
    assert_eq!((twice.kind, twice.direction), (Kind::Histogram, Direction::Up));
    assert_eq!(compare(&latencies([1, 2, 3]), &base), None, "three counts say nothing about a tail");
}

#[test]
fn different_kinds_are_not_compared() {
    assert_eq!(compare(&latencies(0..200), &series([1.0; 9])), None);
}

proptest! {
    #[test]
    fn scores_are_scores(a in prop::collection::vec(-1.0e12..1.0e12f64, 3..60), b in prop::collection::vec(-1.0e12..1.0e12f64, 3..60)) {
        let forth = compare(&series(a.clone()), &series(b.clone()));
        let back = compare(&series(b), &series(a));
        prop_assert_eq!(forth.is_some(), back.is_some());
        if let (Some(forth), Some(back)) = (forth, back) {
            prop_assert!((0.0..=1.0).contains(&forth.score));
            prop_assert!((forth.score - back.score).abs() < 1e-9);
        }
    }

    #[test]
    fn quantiles_lie_between_the_ends(mut values in prop::collection::vec(-1.0e9..1.0e9f64, 1..50), p in 0.0..=1.0f64) {
        values.sort_unstable_by(f64::total_cmp);
        let q = quantile(&values, p);
        prop_assert!(values[0] <= q && q <= values[values.len() - 1]);
    }
}
