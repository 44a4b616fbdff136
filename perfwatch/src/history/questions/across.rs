//! One field on many hosts: the hosts where it is largest, each by itself, and the band of the rest.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::compare::Range;
use super::points::Points;
use super::{HistoryQuery, Interval};
use crate::history::History;
use crate::history::bucket::{Bucket, Cell, Stat};
use crate::snapshot::MetricType;
use crate::snapshot::histogram::Histogram;
use crate::snapshot::layout::{Layout, Place, joined};
use crate::snapshot::selection::Selection;
use crate::snapshot::value::Label;
use crate::store::Result;

/// Hosts that are read at the same time: while one waits for the store, another is computed.
const AT_ONCE: usize = 4;

/// Which value of each host.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub metric_type: MetricType,
    pub place: &'static Place,
    pub column: usize,
    /// Only things whose label (by its position) has this value.
    pub only: Vec<(usize, String)>,
    /// How the things of a host become one number.
    pub combine: Combine,
    /// Of histograms.
    pub quantile: f64,
}

/// How values of several things become one. Histograms are always merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Combine {
    Sum,
    Average,
    Max,
}

impl Combine {
    pub const ALL: [Self; 3] = [Self::Sum, Self::Average, Self::Max];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Average => "average",
            Self::Max => "max",
        }
    }

    /// What is usual for a unit: two disks together write more, but are not fuller.
    pub fn usual(unit: &str) -> Self {
        if matches!(unit, "%" | "°C" | "MHz") { Self::Max } else { Self::Sum }
    }
}

/// A host's course.
#[derive(Debug, Clone, PartialEq)]
pub struct Course {
    pub host: String,
    pub average: f64,
    pub max: f64,
    /// For each of [`Across::at`].
    pub values: Vec<Option<f64>>,
}

/// The hosts that are not shown one by one; each value over those that have one at the time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Band {
    pub hosts: usize,
    pub min: Vec<Option<f64>>,
    pub average: Vec<Option<f64>>,
    pub max: Vec<Option<f64>>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Across {
    /// Starts of the buckets, µs.
    pub at: Vec<i64>,
    /// The largest average first.
    pub top: Vec<Course>,
    pub rest: Band,
    /// Hosts without a value in the range.
    pub without: usize,
}

/// The course of a field on every host; the `top` hosts by their average one by one.
pub async fn across(
    hosts: Vec<History>,
    wanted: &Wanted,
    range: Range,
    interval: Interval,
    top: usize,
) -> Result<Across> {
    let all = hosts.len();
    let courses = stream::iter(hosts).map(|history| async move {
        let course = course(&history, wanted, range, interval).await?;
        Ok::<_, crate::store::StoreError>((history.host().to_owned(), course))
    });
    let courses: Vec<(String, BTreeMap<i64, f64>)> = courses
        .buffer_unordered(AT_ONCE)
        .try_filter(|(_, course)| std::future::ready(!course.is_empty()))
        .try_collect()
        .await?;
    let without = all - courses.len();
    Ok(Across { without, ..arrange(courses, top) })
}

fn arrange(courses: Vec<(String, BTreeMap<i64, f64>)>, top: usize) -> Across {
    let mut at: Vec<i64> = courses.iter().flat_map(|(_, course)| course.keys().copied()).collect();
    at.sort_unstable();
    at.dedup();
    let mut courses: Vec<Course> = courses
        .into_iter()
        .map(|(host, course)| Course {
            host,
            average: course.values().sum::<f64>() / course.len() as f64,
            max: course.values().copied().fold(f64::MIN, f64::max),
            values: at.iter().map(|at| course.get(at).copied()).collect(),
        })
        .collect();
    courses.sort_by(|a, b| b.average.total_cmp(&a.average).then_with(|| a.host.cmp(&b.host)));
    let rest = courses.split_off(top.min(courses.len()));
    let mut band = Band { hosts: rest.len(), ..Band::default() };
    for n in 0..at.len() {
        let mut stats = rest.iter().filter_map(|course| course.values[n]).map(Stat::one);
        let stat = stats.next().map(|first| {
            stats.fold(first, |mut sum, stat| {
                sum.merge(&stat);
                sum
            })
        });
        band.min.push(stat.map(|stat| stat.min));
        band.average.push(stat.map(|stat| stat.average()));
        band.max.push(stat.map(|stat| stat.max));
    }
    Across { at, top: courses, rest: band, without: 0 }
}

async fn course(
    history: &History,
    wanted: &Wanted,
    range: Range,
    interval: Interval,
) -> Result<BTreeMap<i64, f64>> {
    let layout = Layout::of(wanted.metric_type);
    let table = &layout.tables[wanted.place.table];
    let name = &table.columns[wanted.column].name;
    let query = HistoryQuery {
        interval,
        selection: Selection::of(layout, &[joined(&table.path, name)]),
        ..HistoryQuery::new(wanted.metric_type, range.start, range.end)
    };
    let mut points = Points::open(history, query).await?;
    let mut course = BTreeMap::new();
    while let Some((at, bucket)) = points.next_sum().await? {
        if let Some(value) = wanted.of(&bucket) {
            course.insert(at, value);
        }
    }
    Ok(course)
}

impl Wanted {
    /// The host's value in a bucket.
    fn of(&self, bucket: &Bucket) -> Option<f64> {
        let table = self.place.table;
        let derived = Layout::of(self.metric_type).tables[table].columns[self.column].derived;
        let column = derived.map_or(self.column, |derived| derived.histogram);
        let mut total: Option<Stat> = None;
        let mut merged: Option<Histogram> = None;
        for (row, _) in bucket.keys_of(table).iter().enumerate().filter(|(_, key)| self.has(key)) {
            match bucket.row(table, row).get(column) {
                Some(Cell::Number(stat)) => {
                    let value = Stat::one(stat.average());
                    match &mut total {
                        Some(total) => total.merge(&value),
                        None => total = Some(value),
                    }
                }
                Some(Cell::Histogram(histogram)) => match &mut merged {
                    // A field has one unit.
                    Some(merged) => drop(merged.merge(histogram)),
                    None => merged = Some((**histogram).clone()),
                },
                _ => {}
            }
        }
        let Some(merged) = merged else {
            return total.map(|total| match self.combine {
                Combine::Sum => total.sum,
                Combine::Average => total.average(),
                Combine::Max => total.max,
            });
        };
        match derived {
            Some(derived) => derived.statistic.of(&merged).as_f64(),
            None => merged.quantile(self.quantile).map(|value| value as f64),
        }
    }

    fn has(&self, key: &[Label]) -> bool {
        let is = |(at, value): &(usize, String)| match key.get(*at) {
            Some(Label::Text(text)) => **text == **value,
            Some(Label::Number(number)) => number.to_string() == *value,
            Some(Label::Unnamed) | None => false,
        };
        self.place.has(key) && self.only.iter().all(is)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_are_apart_and_the_rest_is_a_band() {
        let course = |host: &str, values: &[(i64, f64)]| (host.to_owned(), values.iter().copied().collect());
        let courses = vec![
            course("low", &[(0, 1.0), (1, 3.0)]),
            course("high", &[(0, 9.0), (2, 9.0)]),
            course("middle", &[(1, 5.0)]),
        ];
        let across = arrange(courses, 1);
        assert_eq!(across.at, [0, 1, 2]);
        let top: Vec<_> =
            across.top.iter().map(|course| (course.host.as_str(), course.values.clone())).collect();
        assert_eq!(top, [("high", vec![Some(9.0), None, Some(9.0)])]);
        assert_eq!(across.rest.hosts, 2);
        assert_eq!(across.rest.min, [Some(1.0), Some(3.0), None]);
        assert_eq!(across.rest.average, [Some(1.0), Some(4.0), None]);
        assert_eq!(across.rest.max, [Some(1.0), Some(5.0), None]);
    }

    #[test]
    fn no_host_is_no_band() {
        let across = arrange(Vec::new(), 10);
        assert_eq!((across.top.len(), across.rest), (0, Band::default()));
    }
}
