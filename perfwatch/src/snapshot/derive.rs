//! Pure arithmetic from two raw samples and the time between them to rates, ratios and percentages.

use std::time::Duration;

/// Per-second rate of a counter. `None` when it went back (a reset: the true count is unknown) or no time passed.
pub fn rate(previous: u64, current: u64, elapsed: Duration) -> Option<f64> {
    let seconds = elapsed.as_secs_f64();
    let delta = current.checked_sub(previous)?;
    (seconds > 0.0).then(|| delta as f64 / seconds)
}

/// `part` as a percentage of `whole`; `None` when `whole` is 0.
pub fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 * 100.0 / whole as f64)
}

/// Rounds to `digits` decimals, which keeps documents small without losing what a chart can show.
pub fn round(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    let scaled = (value * scale).round();
    if scaled.is_finite() { scaled / scale } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rates_are_never_negative(a: u64, b: u64, ms in 0u64..100_000) {
            match rate(a, b, Duration::from_millis(ms)) {
                Some(r) => { prop_assert!(r >= 0.0 && r.is_finite()); prop_assert!(b >= a && ms > 0); }
                None => prop_assert!(b < a || ms == 0),
            }
        }

        #[test]
        fn a_part_never_exceeds_100_percent(part: u64, rest: u64) {
            let whole = part.saturating_add(rest);
            if let Some(p) = percent(part, whole) {
                prop_assert!((0.0..=100.0).contains(&p));
            }
        }
    }
}
