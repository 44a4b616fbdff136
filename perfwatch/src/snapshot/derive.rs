//! Arithmetic shared by derivations.

/// `part` as a percentage of `whole`; `None` if `whole` is 0.
pub fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 * 100.0 / whole as f64)
}

/// Rounds to `digits` decimals, which keeps documents small without losing anything visible in a chart.
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
        fn a_part_never_exceeds_100_percent(part: u64, rest: u64) {
            let whole = part.saturating_add(rest);
            if let Some(p) = percent(part, whole) {
                prop_assert!((0.0..=100.0).contains(&p));
            }
        }
    }
}
