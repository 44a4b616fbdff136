//! What changed between two ranges: every numeric series and histogram of every type, ranked by how much its
//! distribution moved. The measure is explained where it is computed, in [`rank`].

pub mod rank;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::compare::Range;
use super::points::Points;
use super::{HistoryQuery, Interval};
use crate::snapshot::MetricType;
use crate::store::rollup::accumulator::{Accumulator, Cell};
use crate::store::rollup::histogram::Histogram;
use crate::store::rollup::shape::{KEY, LIST};
use crate::store::{Result, Store};
use rank::{Change, Kind, Series};

/// Points that a range is looked at through, at most: enough for a 99th percentile, few enough for a month of all types.
const POINTS: i64 = 300;
/// Below this, a minute is not worth reading raw documents for.
const SHORT: time::Duration = time::Duration::minutes(10);

/// One series and how it moved.
#[derive(Debug, Clone)]
pub struct Changed {
    pub metric_type: MetricType,
    /// Dotted, as the `fields` of a query name it. The members of a list are one series.
    pub field: String,
    pub change: Change,
}

/// The `limit` series that moved most, and the width of the points they were seen through.
pub async fn changes(
    store: &Arc<dyn Store>,
    (current, comparison): (Range, Range),
    limit: usize,
) -> Result<(Interval, Vec<Changed>)> {
    let interval = interval(current);
    let mut all = Vec::new();
    for metric_type in MetricType::ALL {
        let now = collect(store, metric_type, current, interval).await?;
        if now.is_empty() {
            continue;
        }
        let before = collect(store, metric_type, comparison, interval).await?;
        for (path, series) in &now {
            // A counter's rate has a series of its own where there is one.
            let has_rate = || rate_names(path).iter().any(|name| now.contains_key(name));
            if let Some(before) = before.get(path)
                && let Some(change) = rank::compare(series, before)
                && !(change.kind == Kind::Rate && has_rate())
            {
                let field = path.replace(KEY, ".");
                all.push(Changed { metric_type, field, change });
            }
        }
    }
    all.sort_by(|a, b| b.change.score.total_cmp(&a.change.score));
    all.truncate(limit);
    Ok((interval, all))
}

fn interval(range: Range) -> Interval {
    let length = range.end - range.start;
    Interval::ALL
        .into_iter()
        .filter(|interval| length < SHORT || interval.width() >= 60_000_000)
        .find(|interval| length.whole_microseconds() / i128::from(interval.width()) <= i128::from(POINTS))
        .unwrap_or(Interval::ALL[Interval::ALL.len() - 1])
}

/// What the rate of a counter is called beside it.
fn rate_names(path: &str) -> [String; 2] {
    let (head, name) = path.rsplit_once(KEY).map_or(("", path), |(head, name)| (head, name));
    let separator = if head.is_empty() { String::new() } else { KEY.to_string() };
    [name, name.strip_prefix("total_").unwrap_or(name)].map(|name| format!("{head}{separator}{name}_per_sec"))
}

async fn collect(
    store: &Arc<dyn Store>,
    metric_type: MetricType,
    range: Range,
    interval: Interval,
) -> Result<BTreeMap<String, Series>> {
    let query = HistoryQuery { interval, ..HistoryQuery::new(metric_type, range.start, range.end) };
    let mut points = Points::open(Arc::clone(store), query).await?;
    let mut series = BTreeMap::new();
    while let Some((at, sum)) = points.next_sum().await? {
        add(&mut series, at, &sum);
    }
    Ok(series)
}

fn add(series: &mut BTreeMap<String, Series>, at: i64, sum: &Accumulator) {
    for (leaf, cell) in sum.shape().leaves().iter().zip(sum.cells()) {
        // Members of a list count together.
        let path = leaf.path.split(LIST).next().unwrap_or_default();
        match cell {
            Cell::Number(stat) => match series.get_mut(path) {
                Some(Series::Numbers(values)) => values.push((at, stat.average())),
                Some(Series::Histogram(_)) => {}
                None => drop(series.insert(path.to_owned(), Series::Numbers(vec![(at, stat.average())]))),
            },
            Cell::Histogram(histogram) => match series.get_mut(path) {
                Some(Series::Histogram(merged)) => merged.merge(histogram),
                Some(Series::Numbers(_)) => {}
                None => {
                    let first = Histogram::clone(histogram);
                    series.insert(path.to_owned(), Series::Histogram(first));
                }
            },
            Cell::Vacant | Cell::Events(_) | Cell::Other(_) => {}
        }
    }
}
