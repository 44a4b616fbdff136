//! What a rule reads of a reading, or of a bucket of history: an input for each thing it is about.

use std::sync::Arc;

use super::compile::Compiled;
use super::window::Input;
use crate::history::bucket::{Bucket, Cell, Stat};
use crate::snapshot::Reading;
use crate::snapshot::histogram::Histogram;
use crate::snapshot::layout::Layout;
use crate::snapshot::value::{Key, Value};

/// The rows of a document at a time, or over one.
pub trait Rows {
    /// Why there are none.
    fn error(&self) -> Option<Arc<str>>;
    fn keys(&self, table: usize) -> &[Key];
    /// A cell; a text is 1 if it is `is`, else 0.
    fn input(&self, table: usize, row: usize, column: usize, is: Option<&str>) -> Input;
    /// The document's own reason for missing values.
    fn reason(&self) -> Option<Arc<str>>;
}

impl Rows for Reading {
    fn error(&self) -> Option<Arc<str>> {
        self.error.clone()
    }

    fn keys(&self, table: usize) -> &[Key] {
        self.tables().get(table).map_or(&[], |table| &table.keys)
    }

    fn input(&self, table: usize, row: usize, column: usize, is: Option<&str>) -> Input {
        input_of(&self.row(table, row)[column], is)
    }

    fn reason(&self) -> Option<Arc<str>> {
        match self.value("reason") {
            Value::Text(reason) => Some(Arc::clone(reason)),
            _ => None,
        }
    }
}

/// What one value says; a text is 1 if it is `is`, else 0.
pub fn input_of(value: &Value, is: Option<&str>) -> Input {
    match (value, is) {
        (Value::Histogram(histogram), _) => Input::Histogram(Arc::clone(histogram)),
        (value @ (Value::Text(_) | Value::Bool(_)), Some(is)) => {
            number(if is_called(value, is) { 1.0 } else { 0.0 })
        }
        (Value::Bool(yes), None) => number(f64::from(u8::from(*yes))),
        (value, _) => value.as_f64().filter(|value| value.is_finite()).map_or(Input::Nothing, number),
    }
}

impl Rows for Bucket {
    fn error(&self) -> Option<Arc<str>> {
        (self.failed() == self.samples()).then(|| "the source failed".into())
    }

    fn keys(&self, table: usize) -> &[Key] {
        self.keys_of(table)
    }

    fn input(&self, table: usize, row: usize, column: usize, is: Option<&str>) -> Input {
        let cells = self.row(table, row);
        let derived = Layout::of(self.metric_type()).tables[table].columns[column].derived;
        if let Some(derived) = derived
            && let Cell::Histogram(histogram) = &cells[derived.histogram]
        {
            return derived.statistic.of(histogram).as_f64().map_or(Input::Quiet, number);
        }
        match &cells[column] {
            Cell::Number(stat) => Input::Number(*stat),
            Cell::Histogram(histogram) => Input::Histogram(Arc::clone(histogram)),
            Cell::States(states) => {
                let is = is.unwrap_or("true");
                let count = |(_, count): &(Value, u64)| *count;
                let total: u64 = states.iter().map(count).sum();
                let these: u64 = states.iter().filter(|(value, _)| is_called(value, is)).map(count).sum();
                let part = |yes: bool| if yes { 1.0 } else { 0.0 };
                let (min, max) = (part(these == total), part(these > 0));
                Input::Number(Stat { sum: these as f64, min, max, count: total })
            }
            _ => Input::Nothing,
        }
    }

    fn reason(&self) -> Option<Arc<str>> {
        None
    }
}

fn number(value: f64) -> Input {
    Input::Number(Stat::one(value))
}

fn is_called(value: &Value, name: &str) -> bool {
    match value {
        Value::Text(text) => **text == *name,
        Value::Bool(yes) => name == if *yes { "true" } else { "false" },
        _ => false,
    }
}

/// What is known of a thing.
#[derive(Debug, Clone)]
pub enum Known {
    Input(Input),
    /// There is nothing to be a percentage of: no limit.
    NoWhole,
}

/// The input of one row.
pub fn of_row(compiled: &Compiled, rows: &impl Rows, row: usize) -> Known {
    let Compiled { table, column, .. } = *compiled;
    let input = rows.input(table, row, column, compiled.is.as_deref());
    let input = match (input, compiled.histogram) {
        (Input::Nothing, Some(histogram)) => match rows.input(table, row, histogram, None) {
            Input::Histogram(histogram) if histogram.count() == 0 => Input::Quiet,
            _ => Input::Nothing,
        },
        (input, _) => input,
    };
    let Some(of) = compiled.of else { return Known::Input(input) };
    match rows.input(table, row, of, None) {
        Input::Number(whole) => percentage(input, whole.average()),
        _ => Known::NoWhole,
    }
}

fn percentage(input: Input, whole: f64) -> Known {
    match input {
        Input::Number(_) if whole <= 0.0 => Known::NoWhole,
        Input::Number(stat) => {
            let factor = 100.0 / whole;
            Known::Input(Input::Number(Stat {
                sum: stat.sum * factor,
                min: stat.min * factor,
                max: stat.max * factor,
                count: stat.count,
            }))
        }
        other => Known::Input(other),
    }
}

/// All rows that the rule is about together; `None` if there are none.
pub fn of_sum(compiled: &Compiled, rows: &impl Rows) -> Option<Known> {
    let Compiled { table, column, .. } = *compiled;
    let mut total: Option<Total> = None;
    for (row, key) in rows.keys(table).iter().enumerate() {
        if compiled.has(key) {
            let total = total.get_or_insert_default();
            total.add(rows.input(table, row, column, compiled.is.as_deref()));
            if let Some(of) = compiled.of
                && let Input::Number(stat) = rows.input(table, row, of, None)
            {
                total.whole += stat.average();
            }
        }
    }
    let Total { stat, histogram, quiet, whole } = total?;
    let input = match (stat, histogram) {
        (Some(stat), _) => Input::Number(stat),
        (None, Some(histogram)) => Input::Histogram(Arc::new(histogram)),
        (None, None) if quiet => Input::Quiet,
        (None, None) => Input::Nothing,
    };
    Some(if compiled.of.is_some() { percentage(input, whole) } else { Known::Input(input) })
}

#[derive(Debug, Default)]
struct Total {
    stat: Option<Stat>,
    histogram: Option<Histogram>,
    quiet: bool,
    whole: f64,
}

impl Total {
    fn add(&mut self, input: Input) {
        match (input, &mut self.stat, &mut self.histogram) {
            (Input::Number(one), Some(stat), _) => {
                stat.sum += one.sum;
                stat.min += one.min;
                stat.max += one.max;
                stat.count = stat.count.max(one.count);
            }
            (Input::Number(one), none, _) => *none = Some(one),
            // A field has one unit.
            (Input::Histogram(one), _, Some(histogram)) => drop(histogram.merge(&one)),
            (Input::Histogram(one), _, none) => *none = Some((*one).clone()),
            (Input::Quiet, ..) => self.quiet = true,
            (Input::Nothing, ..) => {}
        }
    }
}
