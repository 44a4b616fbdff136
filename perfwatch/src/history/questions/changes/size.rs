//! Which changes are too small to matter, however far they are outside of what is usual.

use super::rank::{Change, Kind};

/// Of everything without a least size: as many percent.
const LEAST_PERCENT: f64 = 5.0;

/// The least difference of a median or a 99th percentile that anyone would act on, by unit.
fn least(unit: &str) -> f64 {
    match unit {
        "%" => 2.0,
        "ratio" => 0.02,
        "IPC" => 0.1,
        "MPKI" => 0.5,
        "MHz" => 100.0,
        "°C" => 3.0,
        "Mbit/s" => 1.0,
        "bytes/s" => 65_536.0,
        "KiB/s" => 64.0,
        "bytes" => 16_777_216.0,
        "pages" => 4096.0,
        "pages/s" => 100.0,
        "packets/s" => 50.0,
        "requests/s" => 5.0,
        "1/s" => 5.0,
        "ns" => 100_000.0,
        "µs" => 100.0,
        "ms" => 0.1,
        "s" => 1.0,
        "ms/s" | "µs/s" => 5.0,
        // Counts of things, such as connections.
        "" => 5.0,
        _ => 0.0,
    }
}

pub(super) fn matters(change: &Change, unit: &str) -> bool {
    // The growth of a counter is per second: of an amount, that is a rate.
    let unit = match (change.kind, unit) {
        (Kind::Rate, "bytes") => "bytes/s",
        (Kind::Rate, "ms") => "ms/s",
        (Kind::Rate, "") => "1/s",
        (_, unit) => unit,
    };
    let moved = |now: f64, before: f64| {
        let by = (now - before).abs();
        by >= least(unit) && by * 100.0 >= LEAST_PERCENT * before.abs().min(now.abs())
    };
    let (now, before) = (change.current, change.comparison);
    (now.median != before.median || now.p99 != before.p99)
        && (moved(now.median, before.median) || moved(now.p99, before.p99))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::questions::changes::rank::{Direction, Summary};

    fn change(kind: Kind, before: f64, now: f64) -> Change {
        let at = |median| Summary { median, p99: median };
        let (current, comparison) = (at(now), at(before));
        Change { kind, score: 0.9, direction: Direction::Up, current, comparison }
    }

    #[test]
    fn what_nobody_would_act_on_does_not_matter() {
        let number = |unit, before, now| matters(&change(Kind::Number, before, now), unit);
        assert!(!number("ns", 0.0, 0.0) && !number("ns", 400.0, 90_000.0) && number("ns", 400.0, 900_000.0));
        assert!(!number("%", 0.1, 0.9) && number("%", 3.0, 90.0));
        assert!(!number("", 1.0, 4.0) && number("", 1.0, 40.0));
        assert!(!number("bytes", 1e12, 1e12 + 2e7), "less than 5%");
        assert!(
            matters(&change(Kind::Rate, 0.0, 1e6), "bytes") && !matters(&change(Kind::Rate, 0.0, 3.0), "")
        );
    }
}
