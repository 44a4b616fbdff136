use super::*;
use perfwatch_common::histogram::index;
use proptest::prelude::*;

const S: i64 = 1_000_000;

fn shape(function: Function, kind: Kind, seconds: i64, parameter: f64) -> Shape {
    Shape { function, kind, window: seconds * S, parameter }
}

/// The value after one reading every ten seconds.
fn of(shape: &Shape, values: &[f64]) -> Outcome {
    let mut window = Window::default();
    let mut at = 0;
    for value in values {
        at += 10 * S;
        window.add(shape, at, &Input::Number(Stat::one(*value)));
    }
    window.value(shape, at)
}

fn value(outcome: Outcome) -> f64 {
    match outcome {
        Outcome::Value(value) => value,
        other => panic!("{other:?}"),
    }
}

#[test]
fn functions_of_a_window() {
    let values = [1.0, 2.0, 3.0, 6.0];
    for (function, kind, parameter, expected) in [
        (Function::Average, Kind::Gauge, 0.0, 3.0),
        (Function::Min, Kind::Gauge, 0.0, 1.0),
        (Function::Max, Kind::Gauge, 0.0, 6.0),
        (Function::ShareAbove, Kind::Gauge, 2.5, 50.0),
        (Function::Quantile, Kind::Gauge, 0.5, 2.0),
        // 5 more in 30 s.
        (Function::Rate, Kind::Counter, 0.0, 5.0 / 30.0),
        // 2 + 3 + 6 in 30 s; of the first interval it is not known when it began.
        (Function::Rate, Kind::Interval, 0.0, 11.0 / 30.0),
    ] {
        assert_eq!(value(of(&shape(function, kind, 60, parameter), &values)), expected, "{function:?}");
    }
    assert_eq!(of(&shape(Function::Last, Kind::Gauge, 0, 0.0), &values), Outcome::Value(6.0));
}

#[test]
fn a_window_that_is_not_half_full_has_no_value() {
    let average = shape(Function::Average, Kind::Gauge, 100, 0.0);
    assert_eq!(of(&average, &[]), Outcome::Nothing);
    assert_eq!(of(&average, &[5.0; 5]), Outcome::Filling);
    assert_eq!(of(&average, &[5.0; 6]), Outcome::Value(5.0));
}

#[test]
fn what_is_older_than_the_window_is_forgotten() {
    let shape = shape(Function::Max, Kind::Gauge, 60, 0.0);
    let mut values = vec![99.0];
    values.extend([1.0; 7]);
    assert_eq!(of(&shape, &values), Outcome::Value(1.0));
}

#[test]
fn a_counter_that_starts_anew_does_not_fall() {
    let rate = shape(Function::Rate, Kind::Counter, 60, 0.0);
    assert_eq!(value(of(&rate, &[100.0, 110.0, 0.0, 10.0])), 20.0 / 30.0);
}

#[test]
fn forecasts_are_seconds_until_the_line() {
    let forecast = shape(Function::Forecast, Kind::Gauge, 300, 100.0);
    let rising: Vec<f64> = (0..30).map(|n| 50.0 + f64::from(n)).collect();
    assert!((value(of(&forecast, &rising)) - 210.0).abs() < 1.0);
    assert_eq!(value(of(&forecast, &[50.0; 30])), f64::INFINITY);
    let falling: Vec<f64> = rising.iter().rev().copied().collect();
    assert_eq!(value(of(&forecast, &falling)), f64::INFINITY);
    let full: Vec<f64> = rising.iter().map(|value| value + 25.0).collect();
    assert_eq!(value(of(&forecast, &full)), 0.0);
    let to_zero = shape(Function::Forecast, Kind::Gauge, 300, 0.0);
    assert!((value(of(&to_zero, &falling)) - 500.0).abs() < 1.0);
    assert_eq!(of(&forecast, &[50.0; 3]), Outcome::Filling);
}

#[test]
fn without_events_there_is_quiet_instead_of_no_data() {
    let p99 = shape(Function::Quantile, Kind::Histogram, 60, 0.99);
    let mut window = Window::default();
    let empty = Arc::new(Histogram::empty(Unit::Nanoseconds));
    for n in 0..10 {
        window.add(&p99, n * 10 * S, &Input::Histogram(Arc::clone(&empty)));
    }
    assert_eq!(window.value(&p99, 90 * S), Outcome::Quiet);
    assert_eq!(window.value(&p99, 900 * S), Outcome::Nothing);
}

fn histogram(values: &[u64]) -> Histogram {
    let max = values.iter().copied().max().unwrap_or(0);
    let counts = values.iter().map(|value| (index(*value), 1));
    Histogram::from_counts(Unit::Nanoseconds, counts, values.iter().sum(), max)
}

proptest! {
    #[test]
    fn a_quantile_is_that_of_the_histograms_still_in_the_window(
        all in proptest::collection::vec(proptest::collection::vec(0u64..1_000_000, 0..20), 1..60), q in 0.0f64..=1.0,
    ) {
        let p = shape(Function::Quantile, Kind::Histogram, 300, q);
        let mut window = Window::default();
        let mut at = 0;
        for values in &all {
            at += 10 * S;
            window.add(&p, at, &Input::Histogram(Arc::new(histogram(values))));
        }
        // Each reading is a step of its own; the oldest step is partly in the window.
        let kept: Vec<u64> = all.iter().rev().take(31).flatten().copied().collect();
        let expected = histogram(&kept).quantile(q).map(|value| value as f64);
        match window.value(&p, at) {
            Outcome::Value(value) => prop_assert_eq!(Some(value), expected),
            Outcome::Filling => prop_assert!(all.len() < 16),
            _ => prop_assert_eq!(expected, None),
        }
    }

    #[test]
    fn memory_is_bounded(length in 1i64..1_000_000, interval in 1i64..5000, count in 1i64..300) {
        let average = shape(Function::Average, Kind::Gauge, length, 0.0);
        let mut window = Window::default();
        for n in 0..count {
            window.add(&average, n * interval * S, &Input::Number(Stat::one(1.0)));
        }
        prop_assert!(window.steps.len() <= STEPS as usize + 2);
    }
}
