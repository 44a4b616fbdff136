//! A histogram of times as documents show it.

use serde::Serialize;

use super::derive::round;
use super::histogram::Histogram;

/// A histogram of times with the quantiles people ask for; `null` without values.
#[derive(Debug, Serialize, PartialEq)]
pub struct Latency {
    pub mean_us: Option<f64>,
    pub p50_us: Option<f64>,
    pub p90_us: Option<f64>,
    pub p99_us: Option<f64>,
    pub p999_us: Option<f64>,
    pub max_us: Option<f64>,
    pub histogram: Histogram,
}

impl Latency {
    /// `histogram` is one of times in ns.
    pub fn of(histogram: Histogram) -> Self {
        let quantile = |q| histogram.quantile(q).map(micros);
        Self {
            mean_us: histogram.mean().map(|ns| round(ns / 1e3, 3)),
            p50_us: quantile(0.5),
            p90_us: quantile(0.9),
            p99_us: quantile(0.99),
            p999_us: quantile(0.999),
            max_us: (histogram.count() > 0).then(|| micros(histogram.max())),
            histogram,
        }
    }
}

/// ns in µs.
pub fn micros(ns: u64) -> f64 {
    round(ns as f64 / 1e3, 3)
}
