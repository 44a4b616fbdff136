//! Sums of many readings of one type: numbers become an average with min and max, histograms are merged, states become
//! the time spent in each, events are concatenated.
//!
//! Adding readings one by one, or merging sums of any parts of them, gives the same result.

mod accounts;
mod bounds;

use std::collections::HashMap;
use std::sync::Arc;

use crate::snapshot::dictionary::Kind;
use crate::snapshot::histogram::Histogram;
use crate::snapshot::json::{self, Tables};
use crate::snapshot::layout::Layout;
use crate::snapshot::selection::Selection;
use crate::snapshot::value::{Key, Label, Value};
use crate::snapshot::{MetricType, Reading};

use self::bounds::max_rows;
use super::tier::Tier;
use super::{from_micros, micros};

/// Below this many rows an index isn't worth it.
const FEW_THINGS: usize = 16;
/// Distinct states kept per column of a row.
const MAX_STATES: usize = 16;
/// Bytes of events that a bucket keeps.
const MAX_EVENTS: usize = 256 << 10;

/// A number over the readings that had it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stat {
    pub sum: f64,
    pub min: f64,
    pub max: f64,
    pub count: u64,
}

impl Stat {
    pub const fn one(value: f64) -> Self {
        Self { sum: value, min: value, max: value, count: 1 }
    }

    pub const fn merge(&mut self, other: &Self) {
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.count = self.count.saturating_add(other.count);
    }

    /// Exact if all values were the same, however the sum was rounded.
    #[inline]
    pub fn average(&self) -> f64 {
        if self.min == self.max { self.min } else { self.sum / self.count as f64 }
    }
}

/// The value of one cell of a bucket.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Cell {
    #[default]
    Absent,
    Null,
    Present,
    Number(Stat),
    Histogram(Arc<Histogram>),
    /// Texts and booleans, and how many readings had each; first seen comes first.
    States(Arc<Vec<(Value, u64)>>),
    /// The inside of a JSON list, in time order.
    Events(Arc<str>),
}

impl Cell {
    fn of(value: &Value, kind: Kind) -> Self {
        match value {
            Value::Absent => Self::Absent,
            Value::Null => Self::Null,
            Value::Present => Self::Present,
            Value::Histogram(histogram) => Self::Histogram(Arc::clone(histogram)),
            Value::Json(list) if kind == Kind::Events => match list.strip_prefix('[') {
                Some(inside) => Self::Events(inside.trim_end_matches(']').into()),
                None => Self::state(value),
            },
            Value::Unsigned(_) | Value::Signed(_) | Value::Float(_) if kind != Kind::State => {
                Self::Number(Stat::one(value.as_f64().unwrap_or_default()))
            }
            _ => Self::state(value),
        }
    }

    fn state(value: &Value) -> Self {
        Self::States(Arc::new(vec![(value.clone(), 1)]))
    }

    /// How much information it carries: when kinds differ, the higher rank wins.
    const fn rank(&self) -> u8 {
        match self {
            Self::Absent => 0,
            Self::Null => 1,
            Self::Present => 2,
            Self::States(_) => 3,
            Self::Number(_) => 4,
            Self::Events(_) => 5,
            Self::Histogram(_) => 6,
        }
    }

    fn merge(&mut self, later: &Self) {
        match (&mut *self, later) {
            (Self::Number(a), Self::Number(b)) => a.merge(b),
            (Self::Histogram(a), Self::Histogram(b)) => {
                // If the units differ, keep the first.
                let _ = Arc::make_mut(a).merge(b);
            }
            (Self::States(a), Self::States(b)) => {
                b.iter().for_each(|(state, count)| add_state(Arc::make_mut(a), state, *count));
            }
            (Self::Events(a), Self::Events(b)) if !b.is_empty() => {
                if a.is_empty() {
                    *a = Arc::clone(b);
                } else if a.len() + b.len() <= MAX_EVENTS {
                    *a = format!("{a},{b}").into();
                }
            }
            (mine, later) if later.rank() > mine.rank() => *mine = later.clone(),
            _ => {}
        }
    }
}

fn add_state(states: &mut Vec<(Value, u64)>, state: &Value, count: u64) {
    match states.iter().position(|(known, _)| known == state) {
        Some(known) => states[known].1 = states[known].1.saturating_add(count),
        None if states.len() < MAX_STATES => states.push((state.clone(), count)),
        None => {}
    }
}

/// The sums of one table.
#[derive(Debug, Clone, Default)]
pub struct BucketTable {
    keys: Vec<Key>,
    /// Row index by key; empty until needed.
    index: HashMap<Key, usize>,
    /// Row-major, all columns of the layout.
    cells: Vec<Cell>,
}

/// How many readings a bucket sums up.
#[derive(Debug, Clone)]
pub struct Samples {
    pub count: u64,
    /// Readings that failed, and the last error.
    pub failed: u64,
    pub error: Option<Arc<str>>,
    /// Time of the first reading, µs.
    pub first_at: i64,
}

/// The sums of one type's readings over a period.
#[derive(Debug, Clone)]
pub struct Bucket {
    metric_type: MetricType,
    samples: Samples,
    tables: Vec<BucketTable>,
}

/// Anything that has the sums of a type's fields: a bucket, or a chunk that contains one.
pub trait Sums {
    fn metric_type(&self) -> MetricType;
    fn readings(&self) -> &Samples;
    fn keys(&self, table: usize) -> &[Key];
    fn cell(&self, table: usize, row: usize, column: usize) -> &Cell;
}

impl Sums for Bucket {
    fn metric_type(&self) -> MetricType {
        self.metric_type
    }

    fn readings(&self) -> &Samples {
        &self.samples
    }

    fn keys(&self, table: usize) -> &[Key] {
        self.keys_of(table)
    }

    fn cell(&self, table: usize, row: usize, column: usize) -> &Cell {
        &self.row(table, row)[column]
    }
}

impl Bucket {
    pub fn new(metric_type: MetricType) -> Self {
        Self::restored(metric_type, Samples { count: 0, failed: 0, error: None, first_at: i64::MAX })
    }

    /// A bucket read from the store, still without rows.
    pub(super) fn restored(metric_type: MetricType, samples: Samples) -> Self {
        let tables = Layout::of(metric_type).tables.iter().map(|_| BucketTable::default()).collect();
        Self { metric_type, samples, tables }
    }

    pub fn metric_type(&self) -> MetricType {
        self.metric_type
    }

    pub fn is_empty(&self) -> bool {
        self.samples.count == 0
    }

    pub fn samples(&self) -> u64 {
        self.samples.count
    }

    /// Readings whose source failed.
    pub fn failed(&self) -> u64 {
        self.samples.failed
    }

    /// Time of the first reading, µs.
    pub fn first_at(&self) -> i64 {
        self.samples.first_at
    }

    pub fn keys_of(&self, table: usize) -> &[Key] {
        &self.tables[table].keys
    }

    pub fn row(&self, table: usize, row: usize) -> &[Cell] {
        let width = self.width(table);
        &self.tables[table].cells[row * width..(row + 1) * width]
    }

    /// The sums of a top-level number, by name.
    pub fn stat(&self, name: &str) -> Option<&Stat> {
        let column = Layout::of(self.metric_type).tables[0].column(name)?;
        match self.tables[0].cells.get(column)? {
            Cell::Number(stat) => Some(stat),
            _ => None,
        }
    }

    /// The sums of a number in a table row.
    pub fn stat_of(&self, table: &str, key: &[Label], name: &str) -> Option<&Stat> {
        let layout = Layout::of(self.metric_type);
        let table = layout.tables.iter().position(|of| of.path == table)?;
        let row = self.tables[table].keys.iter().position(|known| **known == *key)?;
        match &self.row(table, row)[layout.tables[table].column(name)?] {
            Cell::Number(stat) => Some(stat),
            _ => None,
        }
    }

    fn width(&self, table: usize) -> usize {
        Layout::of(self.metric_type).tables[table].columns.len()
    }

    fn layout(&self) -> &'static Layout {
        Layout::of(self.metric_type)
    }

    /// Adds a reading. Readings may come in any order, but events and states are kept in order of arrival.
    pub fn add(&mut self, reading: &Reading) {
        debug_assert_eq!(self.metric_type, reading.metric_type);
        let samples = &mut self.samples;
        samples.count += 1;
        samples.first_at = samples.first_at.min(micros(reading.at));
        if let Some(error) = &reading.error {
            samples.failed += 1;
            samples.error = Some(Arc::clone(error));
            return;
        }
        let layout = self.layout();
        for (at, given) in reading.tables().iter().enumerate() {
            let table = &layout.tables[at];
            let width = table.columns.len();
            if self.tables[at].keys.is_empty() {
                self.tables[at].keys.reserve_exact(given.keys.len());
                self.tables[at].cells.reserve_exact(given.values.len());
            }
            for (row, key) in given.keys.iter().enumerate() {
                let values = &given.values[row * width..(row + 1) * width];
                let cells = self.tables[at].cells_of(row, key, width);
                for ((cell, column), value) in cells.iter_mut().zip(&table.columns).zip(values) {
                    match (&mut *cell, value) {
                        (Cell::Number(stat), Value::Float(n)) => stat.merge(&Stat::one(*n)),
                        (Cell::Number(stat), Value::Unsigned(n)) => stat.merge(&Stat::one(*n as f64)),
                        (Cell::Present, Value::Present) | (Cell::Null, Value::Null) | (_, Value::Absent) => {}
                        (Cell::States(states), Value::Text(_) | Value::Bool(_)) => {
                            add_state(Arc::make_mut(states), value, 1);
                        }
                        (cell, value) => cell.merge(&Cell::of(value, column.kind)),
                    }
                }
            }
        }
    }

    /// Merges the sums of other readings.
    pub fn merge(&mut self, later: &impl Sums) {
        let (samples, of_later) = (&mut self.samples, later.readings());
        samples.count = samples.count.saturating_add(of_later.count);
        samples.failed = samples.failed.saturating_add(of_later.failed);
        samples.first_at = samples.first_at.min(of_later.first_at);
        if of_later.error.is_some() {
            samples.error.clone_from(&of_later.error);
        }
        for at in 0..self.tables.len() {
            let width = self.width(at);
            for (row, key) in later.keys(at).iter().enumerate() {
                let cells = self.tables[at].cells_of(row, key, width);
                for (column, cell) in cells.iter_mut().enumerate() {
                    cell.merge(later.cell(at, row, column));
                }
            }
        }
    }

    /// Adds a row read from the store.
    pub(super) fn restore(&mut self, table: usize, key: &Key, cells: impl Iterator<Item = Cell>) {
        let of = &mut self.tables[table];
        of.keys.push(key.clone());
        of.cells.extend(cells);
    }

    /// Called when all readings of a bucket have been added. In tables whose rows come and go without end, keeps only the
    /// busiest.
    pub fn bound(&mut self, tier: Tier) {
        if self.metric_type == MetricType::Usage {
            return self.bound_accounts(tier);
        }
        let mut cut = vec![false; self.tables.len()];
        for (at, layout) in self.layout().tables.iter().enumerate() {
            let most = max_rows(layout);
            if cut[layout.parent] {
                // Lists in rows go with the rows.
                let (before, from_here) = self.tables.split_at_mut(at);
                let enclosing = &mut before[layout.parent];
                from_here[0].keep(layout, |key, _| enclosing.find(&key[..layout.inherited]).is_some());
                cut[at] = true;
            } else if layout.inherited == 0 && self.tables[at].keys.len() > most {
                self.tables[at].keep_heaviest(layout, most);
                cut[at] = true;
            }
        }
    }
}

/// Writes the selected fields as a document. A full selection also has `_timestamp` (the first reading's) and `_error`.
pub fn write_json(sums: &impl Sums, selection: &Selection, show: Show, out: &mut Vec<u8>) {
    let Samples { count, failed, error, first_at } = sums.readings();
    let head = json::Head {
        at: from_micros(*first_at),
        error: error.as_deref().filter(|_| failed == count),
        is_wanted: selection.is_all() && show == Show::Average,
    };
    let layout = Layout::of(sums.metric_type());
    json::write_document(layout, head, &Shown { sums, layout, show }, selection, out);
}

/// A number that is computed from the histogram next to it: a quantile of all values, not the mean of several quantiles.
fn derived<S: Sums + ?Sized>(sums: &S, table: usize, row: usize, column: usize) -> Option<Value> {
    let derived = Layout::of(sums.metric_type()).tables[table].columns[column].derived?;
    match sums.cell(table, row, derived.histogram) {
        Cell::Histogram(histogram) => Some(derived.statistic.of(histogram)),
        _ => None,
    }
}

/// The average of a number as a document has it; `None` if the cell is none.
pub fn average(sums: &dyn Sums, table: usize, row: usize, column: usize) -> Option<f64> {
    let Cell::Number(stat) = sums.cell(table, row, column) else { return None };
    derived(sums, table, row, column).map_or_else(|| Some(stat.average()), |value| value.as_f64())
}

impl BucketTable {
    /// The cells of the row with this key, which is usually at the same index as before.
    fn cells_of(&mut self, row: usize, key: &Key, width: usize) -> &mut [Cell] {
        let row = if self.keys.get(row).is_some_and(|known| *known == *key) {
            row
        } else {
            match self.find(key) {
                Some(row) => row,
                None => {
                    let row = self.keys.len();
                    self.keys.push(key.clone());
                    if !self.index.is_empty() {
                        self.index.insert(key.clone(), row);
                    }
                    self.cells.resize(self.cells.len() + width, Cell::Absent);
                    row
                }
            }
        };
        &mut self.cells[row * width..(row + 1) * width]
    }

    /// The index of a row. Small tables are searched linearly.
    fn find(&mut self, key: &[Label]) -> Option<usize> {
        if self.keys.len() < FEW_THINGS {
            return self.keys.iter().position(|known| **known == *key);
        }
        if self.index.is_empty() {
            self.index = self.keys.iter().cloned().zip(0..).collect();
        }
        self.index.get(key).copied()
    }
}

/// Which statistic of the numbers to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// Everything, with numbers as averages.
    Average,
    /// Numbers only.
    Min,
    Max,
}

struct Shown<'a, S> {
    sums: &'a S,
    layout: &'static Layout,
    show: Show,
}

impl<S: Sums> Tables for Shown<'_, S> {
    fn keys(&self, table: usize) -> &[Key] {
        self.sums.keys(table)
    }

    fn gate(&self, table: usize, row: usize, column: usize) -> Value {
        match self.sums.cell(table, row, column) {
            Cell::Absent => Value::Absent,
            Cell::States(states) => longest(states).cloned().unwrap_or_default(),
            Cell::Null => Value::Null,
            _ => Value::Present,
        }
    }

    fn write(&self, table: usize, row: usize, column: usize, out: &mut Vec<u8>) -> bool {
        match self.sums.cell(table, row, column) {
            Cell::Number(stat) => match self.show {
                Show::Average => match derived(self.sums, table, row, column) {
                    Some(value) => return json::write_value(&value, out),
                    None => json::write_average(stat.average(), out),
                },
                Show::Min => json::write_number(stat.min, out),
                Show::Max => json::write_number(stat.max, out),
            },
            _ if self.show != Show::Average => return false,
            Cell::Absent => return false,
            Cell::Null | Cell::Present => out.extend_from_slice(b"null"),
            Cell::Histogram(histogram) => {
                return json::write_value(&Value::Histogram(Arc::clone(histogram)), out);
            }
            Cell::States(states) => {
                return longest(states).is_some_and(|state| json::write_value(state, out));
            }
            Cell::Events(inside) => {
                out.push(b'[');
                out.extend_from_slice(inside.as_bytes());
                out.push(b']');
            }
        }
        true
    }

    fn extra(&self, table: usize, row: usize) -> Option<&str> {
        let extra = self.layout.extra(table);
        match self.sums.cell(table, row, extra) {
            Cell::States(states) => match longest(states) {
                Some(Value::Json(text)) => Some(text),
                _ => None,
            },
            _ => None,
        }
    }
}

/// The state that lasted longest; on a tie, the one seen first.
pub fn longest(states: &[(Value, u64)]) -> Option<&Value> {
    let most = states.iter().map(|(_, count)| *count).max()?;
    states.iter().find(|(_, count)| *count == most).map(|(state, _)| state)
}
