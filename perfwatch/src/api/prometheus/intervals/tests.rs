use super::*;
use std::sync::Arc;

use crate::snapshot::{Document, MetricType, Snapshot};
use perfwatch_common::histogram::index;
use proptest::prelude::*;
use serde_json::json;
use time::OffsetDateTime;

fn publish(hub: &Hub, page_faults: u64) {
    let events = json!({"events": {
        "page-faults": {"value": page_faults}, "cpu-clock": {"value": 250.0}, "cycles": {"value": null},
    }});
    let document = Document::new(MetricType::PerfEvents, "t", &events).unwrap();
    hub.publish(&Arc::new(Snapshot::new(OffsetDateTime::UNIX_EPOCH, vec![document])));
}

fn scrape(intervals: &Intervals, hub: &Hub) -> Vec<String> {
    let mut exposition = Exposition::default();
    intervals.write(hub, &mut exposition);
    exposition.finish().lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn intervals_between_scrapes_are_added_each_once() {
    let hub = Hub::default();
    let intervals = Intervals::default();
    publish(&hub, 1000);
    publish(&hub, 1);
    let first = scrape(&intervals, &hub);
    assert_eq!(
        first,
        [
            "perfwatch_perf_cpu_clock_seconds_total 0.25",
            "perfwatch_perf_events_total{event=\"page-faults\"} 1"
        ]
    );
    assert_eq!(scrape(&intervals, &hub), first, "nothing happened since");
    publish(&hub, 20);
    publish(&hub, 300);
    let last = scrape(&intervals, &hub);
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
