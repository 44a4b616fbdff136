//! How far a distribution moved: a score from 0 (not at all) towards 1 (beyond comparison).
//!
//! Both distributions are read at the same quantiles, and the mean distance between them is the *shift* (the
//! Wasserstein distance). It is weighed against a *scale*: how widely the values spread anyway (the larger
//! interquartile range of the two) plus 5 % of their magnitude, so that neither noise nor the last digits of
//! something constant look like a change. The score is shift / (shift + scale): 0.5 is a shift as large as the
//! usual spread.
//!
//! Latencies spread over orders of magnitude, so histograms are compared by the logarithms of their
//! quantiles, where a shift is a factor: their score is 0.5 when quantiles moved by a quarter on average.
//!
//! A counter, which only grows in both ranges, always "moved"; its rate of growth is compared instead.

use crate::snapshot::histogram::Histogram;

/// Fewer values are not a distribution.
const FEWEST: usize = 3;
/// Fewer counts are not enough for a histogram's tail.
const FEWEST_COUNTS: u64 = 100;
/// Changes below this part of the magnitude don't count.
const MAGNITUDE: f64 = 0.05;
/// Shift of the logarithms that counts as much as the usual spread: a factor of 1.25.
const FACTOR: f64 = 0.223_143_551_314_209_76;

/// One field over one range.
#[derive(Debug, Clone)]
pub enum Series {
    /// (µs since the epoch, value), in time order; members of a list share their time.
    Numbers(Vec<(i64, f64)>),
    Histogram(Histogram),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Number,
    /// A counter's growth per second.
    Rate,
    Histogram,
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Rate => "rate",
            Self::Histogram => "histogram",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Up,
    Down,
    /// Some parts of the distribution went up and others down: it became wider or narrower.
    Mixed,
}

impl Direction {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Mixed => "mixed",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    pub median: f64,
    pub p99: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    pub kind: Kind,
    /// 0 to 1.
    pub score: f64,
    pub direction: Direction,
    pub current: Summary,
    pub comparison: Summary,
}

/// `None` if there is too little data to compare, or nothing changed.
pub fn compare(current: &Series, comparison: &Series) -> Option<Change> {
    match (current, comparison) {
        (Series::Numbers(current), Series::Numbers(comparison)) => {
            let (kind, current, comparison) = match (growth(current), growth(comparison)) {
                (Some(current), Some(comparison)) => (Kind::Rate, current, comparison),
                _ => (Kind::Number, values(current), values(comparison)),
            };
            numbers(kind, current, comparison)
        }
        (Series::Histogram(current), Series::Histogram(comparison)) => histograms(current, comparison),
        _ => None,
    }
}

fn values(points: &[(i64, f64)]) -> Vec<f64> {
    points.iter().map(|p| p.1).collect()
}

/// The growth per second between points of a series that never falls, rises most of the time, and has one value per
/// time; `None` for any other series.
fn growth(points: &[(i64, f64)]) -> Option<Vec<f64>> {
    if points.len() <= FEWEST {
        return None;
    }
    let steps = points.windows(2);
    let rates: Vec<f64> = steps.map(|w| (w[1].1 - w[0].1) / (w[1].0 - w[0].0) as f64 * 1e6).collect();
    let only_grows = rates.iter().all(|rate| rate.is_finite() && *rate >= 0.0);
    let rising = rates.iter().filter(|rate| **rate > 0.0).count();
    (only_grows && rising * 2 > rates.len()).then_some(rates)
}

fn numbers(kind: Kind, mut current: Vec<f64>, mut comparison: Vec<f64>) -> Option<Change> {
    if current.len() < FEWEST || comparison.len() < FEWEST {
        return None;
    }
    current.sort_unstable_by(f64::total_cmp);
    comparison.sort_unstable_by(f64::total_cmp);
    let at = |p: f64| (quantile(&current, p), quantile(&comparison, p));
    let spread = |sorted: &[f64]| quantile(sorted, 0.75) - quantile(sorted, 0.25);
    let ((low_a, low_b), (high_a, high_b)) = (at(0.01), at(0.99));
    let magnitude = [low_a, low_b, high_a, high_b].into_iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    let scale = spread(&current).max(spread(&comparison)) + MAGNITUDE * magnitude;
    let (score, direction) = score(PERCENTS.map(at), scale)?;
    let summary = |sorted: &[f64]| Summary { median: quantile(sorted, 0.5), p99: quantile(sorted, 0.99) };
    Some(Change { kind, score, direction, current: summary(&current), comparison: summary(&comparison) })
}

fn histograms(current: &Histogram, comparison: &Histogram) -> Option<Change> {
    if current.count().min(comparison.count()) < FEWEST_COUNTS {
        return None;
    }
    let at = |p: f64| (bucket_quantile(current, p).max(1.0), bucket_quantile(comparison, p).max(1.0));
    let logarithms = PERCENTS.map(|p| {
        let (a, b) = at(p);
        (a.ln(), b.ln())
    });
    let (score, direction) = score(logarithms, FACTOR)?;
    let summary = |h: &Histogram| Summary { median: bucket_quantile(h, 0.5), p99: bucket_quantile(h, 0.99) };
    Some(Change {
        kind: Kind::Histogram,
        score,
        direction,
        current: summary(current),
        comparison: summary(comparison),
    })
}

/// Quantiles that are compared: 1 %, 3 %, … 99 %.
const PERCENTS: [f64; 50] = {
    let mut percents = [0.0; 50];
    let mut i = 0;
    while i < 50 {
        percents[i] = (2 * i + 1) as f64 / 100.0;
        i += 1;
    }
    percents
};

fn score(quantiles: [(f64, f64); 50], scale: f64) -> Option<(f64, Direction)> {
    let mean = |f: fn(f64) -> f64| quantiles.iter().map(|(a, b)| f(a - b)).sum::<f64>() / 50.0;
    let shift = mean(f64::abs);
    let signed = mean(|difference| difference);
    if shift <= 0.0 || !shift.is_finite() {
        return None;
    }
    let direction = if signed.abs() * 2.0 < shift {
        Direction::Mixed
    } else if signed > 0.0 {
        Direction::Up
    } else {
        Direction::Down
    };
    Some((shift / (shift + scale), direction))
}

/// Interpolates linearly between neighbouring values.
fn quantile(sorted: &[f64], p: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let at = p * last as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    low + (high - low) * at.fract()
}

/// The middle of the bucket that holds the quantile.
fn bucket_quantile(histogram: &Histogram, p: f64) -> f64 {
    histogram.quantile_bucket(p).map_or(0.0, |(low, high)| (low as f64 + high as f64) / 2.0)
}

#[cfg(test)]
mod tests;
