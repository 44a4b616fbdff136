//! The points of a range by field: a column of numbers for each, as charts draw them. Many times smaller than the same
//! points as documents.

use std::collections::HashMap;
use std::sync::Arc;

use super::HistoryQuery;
use super::points::Points;
use crate::history::History;
use crate::history::bucket::{Cell, Sums, average};
use crate::snapshot::dictionary::Kind;
use crate::snapshot::histogram::Histogram;
use crate::snapshot::layout::Layout;
use crate::snapshot::selection::Selection;
use crate::snapshot::value::Key;
use crate::store::Result;

/// Points of columns that an answer has at most, in all; it ends before the point that would exceed it.
const MAX_VALUES: usize = 1_000_000;

/// All points of a query.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Columns {
    /// Starts of the points, µs.
    pub times: Vec<i64>,
    /// Snapshots in each.
    pub counts: Vec<u64>,
    pub numbers: Vec<Numbers>,
    pub histograms: Vec<Histograms>,
    /// Whether there were more points.
    pub truncated: bool,
}

/// One field, at each of the times; NaN where it was absent.
#[derive(Debug, Clone, PartialEq)]
pub struct Numbers {
    /// Dotted, with the names of list and map entries.
    pub name: String,
    pub average: Vec<f64>,
    pub extremes: Option<Extremes>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Extremes {
    pub min: Vec<f64>,
    pub max: Vec<f64>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Histograms {
    pub name: String,
    pub each: Vec<Option<Arc<Histogram>>>,
}

/// What `query` selects, of its numbers and histograms; extremes of the fields `with_extremes`.
pub async fn columns(history: &History, query: HistoryQuery, with_extremes: &[String]) -> Result<Columns> {
    let layout = Layout::of(query.metric_type);
    // An empty selection would be everything.
    let extremes = (!with_extremes.is_empty()).then(|| Selection::of(layout, with_extremes));
    let mut filling = Filling::new(layout, query.selection.clone(), extremes);
    let mut points = Points::open(history, query).await?;
    let mut has_room = true;
    while has_room && points.visit_next(|at, sums| has_room = filling.add(at, sums)).await? {}
    let mut columns = filling.finish();
    columns.truncated = points.truncated() || !has_room;
    Ok(columns)
}

struct Filling {
    layout: &'static Layout,
    selection: Selection,
    /// What extremes are wanted of.
    extremes: Option<Selection>,
    tables: Vec<Table>,
    out: Columns,
}

/// The selected columns of one table.
struct Table {
    at: usize,
    columns: Vec<usize>,
    keys: Vec<Key>,
    rows: HashMap<Key, usize>,
    /// By row and column: where its values go.
    targets: Vec<Option<Target>>,
}

#[derive(Debug, Clone, Copy)]
enum Target {
    Nowhere,
    Numbers(usize),
    Histograms(usize),
}

impl Filling {
    fn new(layout: &'static Layout, selection: Selection, extremes: Option<Selection>) -> Self {
        let is_wanted = |table: usize, column: usize| {
            let kind = layout.tables[table].columns[column].kind;
            selection.needs(table, column) && !matches!(kind, Kind::Text | Kind::Events | Kind::Gate)
        };
        let tables = layout.tables.iter().enumerate().map(|(at, table)| Table {
            at,
            columns: (0..table.columns.len()).filter(|column| is_wanted(at, *column)).collect(),
            keys: Vec::new(),
            rows: HashMap::new(),
            targets: Vec::new(),
        });
        let tables = tables.filter(|table| !table.columns.is_empty()).collect();
        Self { layout, selection, extremes, tables, out: Columns::default() }
    }

    /// Adds a point; false if there is no room for it.
    fn add(&mut self, at: i64, sums: &dyn Sums) -> bool {
        let point = self.out.times.len();
        if (point + 1) * (self.out.numbers.len() + self.out.histograms.len()) > MAX_VALUES {
            return false;
        }
        self.out.times.push(at);
        self.out.counts.push(sums.readings().count);
        for table in &mut self.tables {
            for (place, key) in sums.keys(table.at).iter().enumerate() {
                let row = table.row(place, key);
                for (n, column) in table.columns.iter().enumerate() {
                    let target = &mut table.targets[row * table.columns.len() + n];
                    let cell = sums.cell(table.at, place, *column);
                    if matches!(cell, Cell::Number(_) | Cell::Histogram(_)) && target.is_none() {
                        if !self.selection.has(self.layout, table.at, key, *column) {
                            *target = Some(Target::Nowhere);
                            continue;
                        }
                        let name = &self.layout.tables[table.at].columns[*column].name;
                        let name = self.layout.full_name(table.at, key, name.trim_end_matches('?'));
                        let extremes = self.extremes.as_ref();
                        let extremes = extremes.is_some_and(|of| of.has(self.layout, table.at, key, *column));
                        *target = Some(self.out.begin(name, cell, extremes));
                    }
                    match (cell, *target) {
                        (Cell::Number(stat), Some(Target::Numbers(to))) => {
                            let to = &mut self.out.numbers[to];
                            let average = average(sums, table.at, place, *column);
                            put(&mut to.average, point, average.unwrap_or(f64::NAN));
                            if let Some(Extremes { min, max }) = &mut to.extremes {
                                put(min, point, stat.min);
                                put(max, point, stat.max);
                            }
                        }
                        (Cell::Histogram(histogram), Some(Target::Histograms(to))) => {
                            let each = &mut self.out.histograms[to].each;
                            each.resize(point, None);
                            each.push(Some(Arc::clone(histogram)));
                        }
                        _ => {}
                    }
                }
            }
        }
        true
    }

    fn finish(self) -> Columns {
        let mut out = self.out;
        let points = out.times.len();
        for Numbers { average, extremes, .. } in &mut out.numbers {
            average.resize(points, f64::NAN);
            if let Some(Extremes { min, max }) = extremes {
                [min, max].into_iter().for_each(|values| values.resize(points, f64::NAN));
            }
        }
        out.histograms.iter_mut().for_each(|one| one.each.resize(points, None));
        out
    }
}

fn put(values: &mut Vec<f64>, at: usize, value: f64) {
    values.resize(at, f64::NAN);
    values.push(value);
}

impl Columns {
    fn begin(&mut self, name: String, cell: &Cell, with_extremes: bool) -> Target {
        if let Cell::Histogram(_) = cell {
            self.histograms.push(Histograms { name, each: Vec::new() });
            return Target::Histograms(self.histograms.len() - 1);
        }
        let extremes = with_extremes.then(Extremes::default);
        self.numbers.push(Numbers { name, average: Vec::new(), extremes });
        Target::Numbers(self.numbers.len() - 1)
    }
}

impl Table {
    /// The row of a key, which is usually where it was in the point before.
    fn row(&mut self, place: usize, key: &Key) -> usize {
        if self.keys.get(place).is_some_and(|known| known == key) {
            return place;
        }
        *self.rows.entry(key.clone()).or_insert_with(|| {
            self.keys.push(key.clone());
            self.targets.resize(self.keys.len() * self.columns.len(), None);
            self.keys.len() - 1
        })
    }
}
