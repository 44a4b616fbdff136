//! Latency and size distributions: sent in documents, merged by history and drawn in charts.

use perfwatch_common::histogram::{BUCKETS, bounds};
use serde::{Deserialize, Serialize};

/// What the values of a histogram measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    #[serde(rename = "ns")]
    Nanoseconds,
    #[serde(rename = "bytes")]
    Bytes,
}

impl Unit {
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "ns" => Some(Self::Nanoseconds),
            "bytes" => Some(Self::Bytes),
            _ => None,
        }
    }
}

/// The name of the bucket arithmetic in `perfwatch_common::histogram`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Scheme {
    #[serde(rename = "log16")]
    Log16,
}

/// A distribution over one interval. Merging adds counts, so a quantile over any period is exact to the bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Histogram {
    unit: Unit,
    scheme: Scheme,
    /// `(index, count)`, ascending, without empty buckets.
    buckets: Vec<(u16, u64)>,
    count: u64,
    sum: u64,
    max: u64,
}

/// As found in a stored document, before validation.
#[derive(Deserialize)]
struct Unchecked {
    unit: Unit,
    #[serde(rename = "scheme")]
    _scheme: Scheme,
    buckets: Vec<(u16, u64)>,
    sum: u64,
    max: u64,
}

impl TryFrom<Unchecked> for Histogram {
    type Error = &'static str;

    fn try_from(raw: Unchecked) -> Result<Self, Self::Error> {
        if raw.buckets.iter().any(|(index, _)| usize::from(*index) >= BUCKETS) {
            return Err("a log16 histogram has no such bucket");
        }
        if !raw.buckets.is_sorted_by(|a, b| a.0 < b.0) {
            return Err("the buckets of a histogram are in ascending order");
        }
        let mut histogram = Self::empty(raw.unit);
        histogram.add(&Self {
            count: raw.buckets.iter().fold(0, |total, (_, n)| total.saturating_add(*n)),
            buckets: raw.buckets,
            sum: raw.sum,
            max: raw.max,
            ..Self::empty(raw.unit)
        });
        Ok(histogram)
    }
}

impl Histogram {
    pub fn empty(unit: Unit) -> Self {
        Self { unit, scheme: Scheme::Log16, buckets: Vec::new(), count: 0, sum: 0, max: 0 }
    }

    /// Builds a histogram from counts by bucket. `max` is clamped to the highest non-empty bucket, since a program
    /// updates it and the count at different moments.
    pub fn from_counts(unit: Unit, counts: impl IntoIterator<Item = (u16, u64)>, sum: u64, max: u64) -> Self {
        let mut buckets: Vec<(u16, u64)> = counts.into_iter().filter(|(_, n)| *n > 0).collect();
        buckets.sort_unstable_by_key(|(index, _)| *index);
        buckets.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 = kept.1.saturating_add(next.1);
            }
            same
        });
        let count = buckets.iter().fold(0u64, |total, (_, n)| total.saturating_add(*n));
        let max = match buckets.last().and_then(|(index, _)| bounds(*index)) {
            Some((low, high)) => max.clamp(low, high),
            None => 0,
        };
        Self { unit, scheme: Scheme::Log16, buckets, count, sum, max }
    }

    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// `(index, count)`, ascending, without empty buckets.
    pub fn buckets(&self) -> &[(u16, u64)] {
        &self.buckets
    }

    /// Counts in four buckets for each power of two, as many as a chart has rows for: `(n, count)`, ascending, without
    /// empty ones, where `n` is the buckets `4n` to `4n + 3`.
    pub fn quarters(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        let quarters = self.buckets.chunk_by(|(a, _), (b, _)| a / 4 == b / 4);
        quarters.map(|of| (of[0].0 / 4, of.iter().fold(0u64, |sum, (_, n)| sum.saturating_add(*n))))
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// 0 when there are no values.
    pub fn max(&self) -> u64 {
        self.max
    }

    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64)
    }

    /// Adds another of the same unit; returns `false` and adds nothing if the units differ.
    #[must_use = "histograms of different units do not add"]
    pub fn merge(&mut self, other: &Self) -> bool {
        let same = self.unit == other.unit;
        if same {
            self.add(other);
        }
        same
    }

    fn add(&mut self, other: &Self) {
        // Distributions of neighbouring intervals resemble each other: most buckets are there already.
        let known = self.buckets.len();
        let mut at = 0;
        for (index, count) in other.buckets.iter().filter(|(_, count)| *count > 0) {
            while at < known && self.buckets[at].0 < *index {
                at += 1;
            }
            if at < known && self.buckets[at].0 == *index {
                self.buckets[at].1 = self.buckets[at].1.saturating_add(*count);
            } else {
                self.buckets.push((*index, *count));
            }
        }
        if self.buckets.len() > known {
            // Two ascending runs, which a stable sort only merges.
            self.buckets.sort_by_key(|(index, _)| *index);
        }
        self.count = self.count.saturating_add(other.count);
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
    }

    /// The value that a share `q` (0 to 1) of the values does not exceed: the upper end of its bucket, so at most 6.25%
    /// too high and never too low. `None` without values.
    pub fn quantile(&self, q: f64) -> Option<u64> {
        self.quantile_bucket(q).map(|(_, high)| high.min(self.max))
    }

    /// The bounds of the bucket that the quantile is in.
    pub fn quantile_bucket(&self, q: f64) -> Option<(u64, u64)> {
        if self.count == 0 {
            return None;
        }
        let rank = (q.clamp(0.0, 1.0) * self.count as f64).ceil().max(1.0) as u64;
        let mut seen = 0u64;
        for (index, n) in &self.buckets {
            seen = seen.saturating_add(*n);
            if seen >= rank {
                return bounds(*index);
            }
        }
        Some((self.max, self.max))
    }

    /// A stored histogram; `None` if it is inconsistent.
    pub fn restored(unit: Unit, buckets: Vec<(u16, u64)>, sum: u64, max: u64) -> Option<Self> {
        let fits = |(index, count): &(u16, u64)| usize::from(*index) < BUCKETS && *count > 0;
        let whole = buckets.iter().all(fits) && buckets.is_sorted_by(|a, b| a.0 < b.0);
        let count = buckets.iter().fold(0u64, |total, (_, n)| total.saturating_add(*n));
        whole.then_some(Self { unit, scheme: Scheme::Log16, buckets, count, sum, max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use perfwatch_common::histogram::index;
    use proptest::prelude::*;

    fn of(values: &[u64]) -> Histogram {
        let max = values.iter().copied().max().unwrap_or(0);
        let sum = values.iter().fold(0u64, |a, b| a.saturating_add(*b));
        Histogram::from_counts(Unit::Nanoseconds, values.iter().map(|v| (index(*v), 1)), sum, max)
    }

    #[test]
    fn json_has_the_shape_of_the_dictionary() {
        let json = serde_json::to_value(of(&[3, 3, 40])).unwrap();
        let expected = serde_json::json!({
            "unit": "ns", "scheme": "log16", "buckets": [[3, 2], [36, 1]], "count": 3, "sum": 46, "max": 40
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn four_buckets_are_one_quarter_of_a_power_of_two() {
        let histogram = Histogram::from_counts(Unit::Nanoseconds, [(3, 1), (64, 2), (67, 3), (68, 4)], 0, 0);
        assert_eq!(histogram.quarters().collect::<Vec<_>>(), [(0, 1), (16, 5), (17, 4)]);
        assert_eq!(of(&[]).quarters().next(), None);
    }

    #[test]
    fn what_does_not_hold_together_is_refused() {
        for bad in [
            r#"{"unit":"ns","scheme":"log2","buckets":[],"count":0,"sum":0,"max":0}"#,
            r#"{"unit":"ns","scheme":"log16","buckets":[[976,1]],"count":1,"sum":0,"max":0}"#,
            r#"{"unit":"ns","scheme":"log16","buckets":[[5,1],[5,1]],"count":2,"sum":0,"max":0}"#,
        ] {
            assert!(serde_json::from_str::<Histogram>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_maximum_from_another_moment_is_held_in_the_last_bucket() {
        let counts = [(index(1000), 1)];
        let (low, high) = bounds(index(1000)).unwrap();
        assert_eq!(Histogram::from_counts(Unit::Nanoseconds, counts, 1000, 0).max(), low);
        assert_eq!(Histogram::from_counts(Unit::Nanoseconds, counts, 1000, 1 << 40).max(), high);
    }

    #[test]
    fn units_do_not_mix() {
        let mut time = of(&[1]);
        let sizes = Histogram::from_counts(Unit::Bytes, [(1, 1)], 1, 1);
        assert!(!time.merge(&sizes));
        assert_eq!(time, of(&[1]));
    }

    #[test]
    fn nothing_has_no_quantile() {
        assert_eq!(of(&[]).quantile(0.5), None);
        assert_eq!(of(&[]).mean(), None);
    }

    proptest! {
        #[test]
        fn merging_is_the_histogram_of_all_values(a: Vec<u64>, b: Vec<u64>) {
            let mut merged = of(&a);
            prop_assert!(merged.merge(&of(&b)));
            prop_assert_eq!(merged, of(&[a, b].concat()));
        }

        #[test]
        fn json_round_trips(values: Vec<u64>) {
            let histogram = of(&values);
            let json = serde_json::to_string(&histogram).unwrap();
            prop_assert_eq!(serde_json::from_str::<Histogram>(&json).unwrap(), histogram);
        }

        #[test]
        fn a_quantile_is_within_a_bucket_of_the_exact_one(
            mut values in proptest::collection::vec(0u64..10_000_000_000, 1..200), q in 0.0f64..=1.0,
        ) {
            values.sort_unstable();
            let rank = ((q * values.len() as f64).ceil() as usize).max(1);
            let exact = values[rank - 1];
            let got = of(&values).quantile(q).unwrap();
            prop_assert!(got >= exact && got as f64 <= exact as f64 * 1.0625, "{} for {}", got, exact);
        }
    }
}
