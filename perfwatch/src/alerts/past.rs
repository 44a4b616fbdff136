//! A window's past: the same time a day or a week before, and how far from it the present is.

use std::collections::HashMap;
use std::sync::Arc;

use super::compile::Compiled;
use super::labels::{Pasts, labels_of, name_of};
use super::rows::{self, Known};
use super::rule::Function;
use super::window::{Input, STEPS, Shape, Window};
use crate::history::History;
use crate::history::bucket::Bucket;
use crate::history::from_micros;
use crate::history::questions::changes::rank::{self, Direction, Series};
use crate::history::questions::points::Points;
use crate::history::questions::{HistoryQuery, Interval};
use crate::snapshot::layout::{Layout, joined};
use crate::snapshot::selection::Selection;
use crate::store::Result;

/// The past is read again this often, µs.
pub const GRID: i64 = 300_000_000;

/// How far the present is from the past, 0 to 1: as in what-changed. Only rises of the function's value by `least` count.
pub fn score(present: &Series, past: &Series, value: f64, least: f64, shape: &Shape) -> f64 {
    let Some(then) = value_of(past, shape) else { return 0.0 };
    if value - then < least {
        return 0.0;
    }
    rank::compare(present, past)
        .filter(|change| change.direction != Direction::Down)
        .map_or(0.0, |change| change.score)
}

/// The function's value.
fn value_of(series: &Series, shape: &Shape) -> Option<f64> {
    match (series, shape.function) {
        (Series::Histogram(histogram), _) => histogram.quantile(shape.parameter).map(|value| value as f64),
        (Series::Numbers(values), Function::Quantile) => {
            let mut values: Vec<f64> = values.iter().map(|(_, value)| *value).collect();
            values.sort_unstable_by(f64::total_cmp);
            let rank = (shape.parameter * values.len() as f64).ceil().max(1.0) as usize;
            values.get(rank - 1).copied()
        }
        (Series::Numbers(values), _) if values.is_empty() => None,
        (Series::Numbers(values), _) => {
            Some(values.iter().map(|(_, value)| value).sum::<f64>() / values.len() as f64)
        }
    }
}

/// The columns of a rule, as a query selects them.
pub fn query(compiled: &Compiled, from: i64, to: i64, interval: Interval) -> HistoryQuery {
    let layout = Layout::of(compiled.metric_type);
    let table = &layout.tables[compiled.table];
    let columns = [Some(compiled.column), compiled.of, compiled.histogram].into_iter().flatten();
    let name = |column: usize| joined(&table.path, &table.columns[column].name);
    let fields: Vec<String> = columns.map(name).collect();
    HistoryQuery {
        interval,
        limit: usize::MAX,
        selection: Selection::of(layout, &fields),
        ..HistoryQuery::new(compiled.metric_type, from_micros(from), from_micros(to))
    }
}

/// The points of a range that are about as wide as the steps of a window.
pub fn interval(window: i64) -> Interval {
    let width = window / STEPS;
    let fits = Interval::ALL.into_iter().rev().find(|interval| interval.width() <= width.max(5_000_000));
    fits.unwrap_or(Interval::ALL[1])
}

/// The windows of all things of a rule, in the past.
#[derive(Debug, Default)]
pub struct Shadow(HashMap<Arc<str>, Window>);

impl Shadow {
    pub fn add(&mut self, compiled: &Compiled, shape: &Shape, at: i64, bucket: &Bucket) {
        for (row, key) in bucket.keys_of(compiled.table).iter().enumerate() {
            if compiled.has(key)
                && let Known::Input(input) = rows::of_row(compiled, bucket, row)
                && !matches!(input, Input::Nothing | Input::Quiet)
            {
                self.0.entry(name_of(&labels_of(compiled, key))).or_default().add(shape, at, &input);
            }
        }
    }

    pub fn pasts(&self) -> Pasts {
        self.0.iter().map(|(name, window)| (Arc::clone(name), window.distribution())).collect()
    }
}

/// What each thing did in the window that ended a day or week before a time.
pub async fn load(history: &History, compiled: &Compiled, shape: &Shape, at: i64) -> Result<Pasts> {
    let to = at - compiled.against.map_or(0, |against| against.past.micros());
    let mut shadow = Shadow::default();
    let query = query(compiled, to - shape.window, to, interval(shape.window));
    let mut points = Points::open(history, query).await?;
    while let Some((at, bucket)) = points.next_sum().await? {
        shadow.add(compiled, shape, at, &bucket);
    }
    Ok(shadow.pasts())
}
