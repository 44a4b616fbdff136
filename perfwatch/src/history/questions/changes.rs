//! What changed between two ranges: every numeric series and histogram of every type, ranked by how much its
//! distribution moved. The measure is explained where it is computed, in [`rank`].

pub mod rank;
mod size;

use std::collections::HashMap;

use super::compare::Range;
use super::points::Points;
use super::{HistoryQuery, Interval};
use crate::history::History;
use crate::history::bucket::{Bucket, Cell};
use crate::snapshot::MetricType;
use crate::snapshot::layout::{Form, Layout, TableLayout, joined};
use crate::snapshot::value::Key;
use crate::store::Result;
use rank::{Change, Kind, Series};

/// Maximum points that a range is read as: enough for a 99th percentile, few enough for a month of all types.
const POINTS: i64 = 300;
/// Only ranges shorter than this are read at less than a minute per point, from raw readings.
const SHORT: time::Duration = time::Duration::minutes(10);
/// Rows of one table that are compared.
const MAX_ROWS: usize = 512;

/// One series and how it moved.
#[derive(Debug, Clone)]
pub struct Changed {
    pub metric_type: MetricType,
    /// Dotted, as the `fields` of a query name it. All CPUs are one series.
    pub field: String,
    pub change: Change,
}

/// PerfWatch's own measuring times, which say nothing about the machine.
const ABOUT_MEASURING: [&str; 3] = ["sample_time", "elapsed_ms", "interval_ms"];

/// What changed, and whether there was anything to compare.
#[derive(Debug, Clone)]
pub struct Changes {
    /// Resolution: the width of the points that were compared.
    pub interval: Interval,
    pub current_has_data: bool,
    pub comparison_has_data: bool,
    /// The largest changes, largest first.
    pub changes: Vec<Changed>,
}

/// The `limit` series that changed most.
pub async fn changes(
    [(history, current), (other, comparison)]: [(&History, Range); 2],
    limit: usize,
) -> Result<Changes> {
    let interval = interval(current);
    let mut all = Vec::new();
    let (mut current_has_data, mut comparison_has_data) = (false, false);
    for metric_type in MetricType::ALL.into_iter().filter(|of| of.is_shown()) {
        let now = collect(history, metric_type, current, interval).await?;
        current_has_data |= !now.is_empty();
        if now.is_empty() && comparison_has_data {
            continue;
        }
        let before = collect(other, metric_type, comparison, interval).await?;
        comparison_has_data |= !before.is_empty();
        let layout = Layout::of(metric_type);
        for ((table, key), series) in &now {
            let Some(before) = before.get(&(*table, key.clone())) else { continue };
            for (column, (series, before)) in series.iter().zip(before).enumerate() {
                if ABOUT_MEASURING.contains(&&*layout.tables[*table].columns[column].name) {
                    continue;
                }
                if let (Some(series), Some(before)) = (series, before)
                    && let Some(change) = rank::compare(series, before)
                    && size::matters(&change, unit(&layout.tables[*table], column))
                    // Skip a counter's rate if the rate is a series of its own.
                    && !(change.kind == Kind::Rate && has_rate(&layout.tables[*table], column))
                {
                    let name = &layout.tables[*table].columns[column].name;
                    let field = match key {
                        Some(key) => layout.full_name(*table, key, name),
                        None => joined(&layout.tables[*table].path, name),
                    };
                    all.push(Changed { metric_type, field, change });
                }
            }
        }
    }
    all.sort_by(|a, b| b.change.score.total_cmp(&a.change.score).then_with(|| a.field.cmp(&b.field)));
    all.truncate(limit);
    Ok(Changes { interval, current_has_data, comparison_has_data, changes: all })
}

fn interval(range: Range) -> Interval {
    let length = range.end - range.start;
    Interval::ALL
        .into_iter()
        .filter(|interval| interval.width() >= if length < SHORT { 5_000_000 } else { 60_000_000 })
        .find(|interval| length.whole_microseconds() / i128::from(interval.width()) <= i128::from(POINTS))
        .unwrap_or(Interval::ALL[Interval::ALL.len() - 1])
}

fn unit(table: &TableLayout, column: usize) -> &'static str {
    table.columns[column].field.map_or("", |field| field.unit)
}

/// Whether a row has the rate of a counter as another column.
fn has_rate(table: &TableLayout, column: usize) -> bool {
    let path = &table.columns[column].name;
    let (head, name) = path.rsplit_once('.').map_or(("", &path[..]), |(head, name)| (head, name));
    let separator = if head.is_empty() { "" } else { "." };
    [name, name.strip_prefix("total_").unwrap_or(name)]
        .into_iter()
        .any(|name| table.column(&format!("{head}{separator}{name}_per_sec")).is_some())
}

/// Series of all columns, by table and row; without a key where all rows form one series.
type All = HashMap<(usize, Option<Key>), Vec<Option<Series>>>;

async fn collect(
    history: &History,
    metric_type: MetricType,
    range: Range,
    interval: Interval,
) -> Result<All> {
    let query = HistoryQuery { interval, ..HistoryQuery::new(metric_type, range.start, range.end) };
    let mut points = Points::open(history, query).await?;
    let mut series = All::new();
    while let Some((at, sum)) = points.next_sum().await? {
        add(&mut series, at, &sum);
    }
    Ok(series)
}

fn add(all: &mut All, at: i64, sum: &Bucket) {
    let layout = Layout::of(sum.metric_type());
    for (table, of) in layout.tables.iter().enumerate() {
        // Processes come and go: which one did it is another query.
        if of.labels.contains(&"pid") {
            continue;
        }
        let together = of.form == Form::Positions || of.labels.last() == Some(&"cpu");
        for (row, key) in sum.keys_of(table).iter().enumerate().take(MAX_ROWS) {
            let key = (!together).then(|| key.clone());
            let series = all.entry((table, key)).or_insert_with(|| vec![None; of.columns.len()]);
            for (series, cell) in series.iter_mut().zip(sum.row(table, row)) {
                match (cell, &mut *series) {
                    (Cell::Number(stat), Some(Series::Numbers(values))) => values.push((at, stat.average())),
                    (Cell::Number(stat), None) => {
                        *series = Some(Series::Numbers(vec![(at, stat.average())]));
                    }
                    (Cell::Histogram(histogram), Some(Series::Histogram(merged))) => {
                        // A field has one unit.
                        let _ = merged.merge(histogram);
                    }
                    (Cell::Histogram(histogram), None) => {
                        *series = Some(Series::Histogram((**histogram).clone()));
                    }
                    _ => {}
                }
            }
        }
    }
}
