use super::*;

use crate::snapshot::{MetricType, Reading, Snapshot};
use perfwatch_common::histogram::index;
use proptest::prelude::*;
use serde_json::json;
use time::OffsetDateTime;

fn snapshot(page_faults: u64) -> Snapshot {
    let events = json!({"events": {
        "page-faults": {"value": page_faults}, "cpu-clock": {"value": 250.0}, "cycles": {"value": null},
    }});
    let at = OffsetDateTime::UNIX_EPOCH;
    Snapshot::new(at, vec![Reading::new(MetricType::PerfEvents, at, &events).unwrap()])
}

fn scrape(intervals: &Intervals, newest: &Snapshot) -> Vec<String> {
    let mut exposition = Exposition::default();
    intervals.write(newest, &mut exposition);
    let text = exposition.finish();
    text.lines().filter(|line| line.starts_with("perfwatch_perf_")).map(str::to_owned).collect()
}

#[test]
fn beyond_the_most_series_values_are_left_out_and_counted() {
    let mut sums = Sums::default();
    let at = OffsetDateTime::UNIX_EPOCH;
    // CPU numbers that differ at each reading.
    for first in (0..12_000).step_by(1000) {
        let cpus: Vec<_> =
            (first..first + 1000).map(|cpu| json!({"cpu": cpu, "cycles": 1, "instructions": 1})).collect();
        let reading = Reading::new(MetricType::PerfEvents, at, &json!({"per_cpu": cpus})).unwrap();
        sums.add(&Snapshot::new(at, vec![reading]));
    }
    assert_eq!((sums.counts.len(), sums.left_out), (MAX_SERIES, 4000));
    let mut exposition = Exposition::default();
    sums.write(&mut exposition);
    assert!(exposition.finish().contains("\nperfwatch_interval_values_left_out_total 4000\n"));
}

#[test]
fn intervals_are_added_each_once_from_the_first_scrape_on() {
    let intervals = Intervals::default();
    intervals.add(&snapshot(1000));
    let first = scrape(&intervals, &snapshot(1));
    assert_eq!(
        first,
        [
            "perfwatch_perf_cpu_clock_seconds_total 0.25",
            "perfwatch_perf_events_total{event=\"page-faults\"} 1"
        ]
    );
    assert_eq!(scrape(&intervals, &snapshot(1)), first, "nothing happened since");
    intervals.add(&snapshot(20));
    intervals.add(&snapshot(300));
    let last = scrape(&intervals, &snapshot(300));
    assert_eq!(
        last,
        [
            "perfwatch_perf_cpu_clock_seconds_total 0.75",
            "perfwatch_perf_events_total{event=\"page-faults\"} 321"
        ]
    );
}

#[test]
fn bounds_are_below_powers_of_two_in_seconds() {
    let histogram =
        Histogram::from_counts(Unit::Nanoseconds, [(index(1023), 2), (index(1024), 1)], 3070, 1024);
    let buckets = buckets(&histogram);
    assert_eq!(buckets[0], (0.000_001_023, 2));
    assert_eq!(buckets[1], (0.000_002_047, 3));
    assert_eq!(buckets.len(), 25);
}

proptest! {
    #[test]
    fn each_bucket_counts_what_does_not_exceed_its_bound(
        values in proptest::collection::vec(prop_oneof![0..100_000u64, any::<u64>()], 0..50), bytes: bool,
    ) {
        let unit = if bytes { Unit::Bytes } else { Unit::Nanoseconds };
        let max = values.iter().copied().max().unwrap_or(0);
        let histogram = Histogram::from_counts(unit, values.iter().map(|value| (index(*value), 1)), 0, max);
        for (power, (_, count)) in powers(unit).zip(buckets(&histogram)) {
            let exact = values.iter().filter(|value| **value < 1 << power).count();
            prop_assert_eq!(count, exact as u64, "below 2^{}", power);
        }
    }
}
