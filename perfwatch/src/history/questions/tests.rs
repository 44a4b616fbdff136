use super::*;
use time::Duration;
use time::macros::datetime;

#[test]
fn auto_follows_the_contract_and_never_exceeds_a_thousand_points() {
    let end = datetime!(2026-06-01 12:34:56 UTC);
    let auto = |range: Duration| Interval::auto(end - range, end).as_str();
    assert_eq!(auto(Duration::minutes(30)), "5s");
    assert_eq!(auto(Duration::minutes(31)), "1m");
    assert_eq!(auto(Duration::hours(6)), "1m");
    assert_eq!(auto(Duration::hours(24)), "5m");
    assert_eq!(auto(Duration::hours(25)), "1h");
    assert_eq!(auto(Duration::days(7)), "1h");
    assert_eq!(auto(Duration::days(30)), "1h");
    assert_eq!(auto(Duration::days(100)), "6h");
    assert_eq!(auto(Duration::days(365)), "1d");
    for days in 8..900 {
        let interval = Interval::auto(end - Duration::days(days), end);
        assert!(days * 86_400_000_000 / interval.width() < 1000, "{days} days at {}", interval.as_str());
    }
}

#[test]
fn only_known_intervals_and_statistics_parse() {
    assert_eq!(Interval::parse("15m").map(Interval::width), Some(900_000_000));
    assert_eq!(Interval::parse("1s").map(Interval::width), Some(1_000_000));
    assert_eq!(Interval::parse("2m"), None);
    assert_eq!(Interval::parse("auto"), None);
    assert_eq!(Stats::parse("max, count"), Some(Stats { min: false, max: true, count: true }));
    assert_eq!(Stats::parse(""), Some(Stats::default()));
    assert_eq!(Stats::parse("max,p99"), None);
}

#[test]
fn a_range_of_whole_hours_ends_with_the_last_millisecond_of_one() {
    let (start, end) = (datetime!(2026-06-01 10:00 UTC), datetime!(2026-06-01 12:00 UTC));
    let to = |end| HistoryQuery::new(MetricType::Cpu, start, end).question().to;
    assert_eq!(to(end - Duration::milliseconds(1)), micros(end));
    // The end itself belongs to it.
    assert_eq!(to(end), micros(end) + 1000);
}
