//! A histogram of times, as shown in documents.

use serde::Serialize;

use super::derive::round;
use super::histogram::Histogram;
use super::value::Value;

/// A histogram of times with its usual quantiles; `null` without values.
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
    /// `histogram` must be in ns.
    pub fn of(histogram: Histogram) -> Self {
        let of = |statistic: Statistic| statistic.of(&histogram).as_f64();
        Self {
            mean_us: of(Statistic::MeanMicros),
            p50_us: of(Statistic::P50),
            p90_us: of(Statistic::P90),
            p99_us: of(Statistic::P99),
            p999_us: of(Statistic::P999),
            max_us: of(Statistic::MaxMicros),
            histogram,
        }
    }
}

/// A number in a document that is derived from the histogram next to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistic {
    MeanMicros,
    P50,
    P90,
    P99,
    P999,
    MaxMicros,
    MeanBytes,
    MaxBytes,
}

impl Statistic {
    pub const ALL: [Self; 8] = [
        Self::MeanMicros,
        Self::P50,
        Self::P90,
        Self::P99,
        Self::P999,
        Self::MaxMicros,
        Self::MeanBytes,
        Self::MaxBytes,
    ];

    /// The name of the field.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MeanMicros => "mean_us",
            Self::P50 => "p50_us",
            Self::P90 => "p90_us",
            Self::P99 => "p99_us",
            Self::P999 => "p999_us",
            Self::MaxMicros => "max_us",
            Self::MeanBytes => "mean_bytes",
            Self::MaxBytes => "max_bytes",
        }
    }

    /// `Null` without values.
    pub fn of(self, histogram: &Histogram) -> Value {
        let float = |value: Option<f64>| value.map_or(Value::Null, Value::Float);
        let quantile = |q| float(histogram.quantile(q).map(micros));
        let has_values = histogram.count() > 0;
        match self {
            Self::MeanMicros => float(histogram.mean().map(|ns| round(ns / 1e3, 3))),
            Self::P50 => quantile(0.5),
            Self::P90 => quantile(0.9),
            Self::P99 => quantile(0.99),
            Self::P999 => quantile(0.999),
            Self::MaxMicros => float(has_values.then(|| micros(histogram.max()))),
            Self::MeanBytes => float(histogram.mean().map(|bytes| round(bytes, 0))),
            Self::MaxBytes if has_values => Value::Unsigned(histogram.max()),
            Self::MaxBytes => Value::Null,
        }
    }
}

/// Converts ns to µs.
pub fn micros(ns: u64) -> f64 {
    round(ns as f64 / 1e3, 3)
}
