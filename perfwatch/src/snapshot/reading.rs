//! What a source measured at one tick: values, arranged as the dictionary describes them.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde::Serialize;
use time::OffsetDateTime;

use super::MetricType;
use super::flatten::flatten;
use super::json::{self, Tables};
use super::layout::Layout;
use super::selection::Selection;
use super::value::{Key, Label, Value};

/// One metric type's values at one tick.
#[derive(Debug, Clone)]
pub struct Reading {
    pub metric_type: MetricType,
    pub at: OffsetDateTime,
    /// Why the source has no data.
    pub error: Option<Arc<str>>,
    /// In [`Layout`] order; empty if the source failed.
    tables: Vec<Table>,
    json: OnceLock<Bytes>,
}

/// The rows of one table and their values.
#[derive(Debug, Clone, Default)]
pub struct Table {
    pub keys: Arc<[Key]>,
    /// Row-major, all columns of the layout.
    pub values: Vec<Value>,
}

impl Reading {
    /// Converts `body`, which must be a struct or map.
    pub fn new(
        metric_type: MetricType,
        at: OffsetDateTime,
        body: &impl Serialize,
    ) -> Result<Self, serde_json::Error> {
        let tables = flatten(Layout::of(metric_type), body)?;
        let tables = tables.into_iter().map(|rows| Table { keys: rows.keys.into(), values: rows.values });
        let reading = Self::from_tables(metric_type, at, None, tables.collect());
        #[cfg(debug_assertions)]
        reading.check_against(body);
        Ok(reading)
    }

    /// Checks that the body and the values converted from it serialize to the same text, so that the dictionary
    /// describes every field correctly.
    #[cfg(debug_assertions)]
    fn check_against<T: Serialize>(&self, body: &T) {
        let is_typed = !std::any::type_name::<T>().contains("serde_json");
        let written = self.json();
        let body = serde_json::to_vec(body).unwrap_or_default();
        let inside = |text: &[u8]| String::from_utf8_lossy(&text[1..text.len() - 1]).into_owned();
        let (written, body) = (inside(&written), inside(&body));
        debug_assert!(
            !is_typed || written.ends_with(&body),
            "{} of {:?} is written as\n{written}\nand serializes as\n{body}",
            std::any::type_name::<T>(),
            self.metric_type,
        );
    }

    /// The reading of a failed source: only the reason.
    pub fn failed(metric_type: MetricType, at: OffsetDateTime, error: &str) -> Self {
        Self::from_tables(metric_type, at, Some(error.into()), Vec::new())
    }

    pub fn from_tables(
        metric_type: MetricType,
        at: OffsetDateTime,
        error: Option<Arc<str>>,
        tables: Vec<Table>,
    ) -> Self {
        Self { metric_type, at, error, tables, json: OnceLock::new() }
    }

    pub fn layout(&self) -> &'static Layout {
        Layout::of(self.metric_type)
    }

    /// Empty if the source failed.
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// The values of one row.
    pub fn row(&self, table: usize, row: usize) -> &[Value] {
        let width = self.layout().tables[table].columns.len();
        &self.tables[table].values[row * width..(row + 1) * width]
    }

    /// The value of a top-level field, by name: `usage_percent`, `io.read_bytes`.
    pub fn value(&self, name: &str) -> &Value {
        let column = self.layout().tables[0].column(name);
        let row = self.tables.first().filter(|table| !table.keys.is_empty());
        column.zip(row).map_or(&Value::Absent, |(column, table)| &table.values[column])
    }

    /// The value of a field in a table row, by their names: `events`, `cycles` and `value`.
    pub fn value_of(&self, table: &str, thing: &str, name: &str) -> &Value {
        let at = self.layout().tables.iter().position(|of| of.path == table);
        let found = at.and_then(|at| {
            let row = self.tables.get(at)?.keys.iter().position(|key| is_called(key, thing))?;
            Some(&self.row(at, row)[self.layout().tables[at].column(name)?])
        });
        found.unwrap_or(&Value::Absent)
    }

    /// The names of a table's rows.
    pub fn things(&self, table: &str) -> impl Iterator<Item = String> {
        let at = self.layout().tables.iter().position(|of| of.path == table);
        let keys = at.and_then(|at| self.tables.get(at)).map(|table| &table.keys[..]).unwrap_or_default();
        keys.iter().filter_map(|key| key.last()).map(ToString::to_string)
    }

    /// The document as a JSON object that begins with `_timestamp` and `_error`; built on first use.
    pub fn json(&self) -> Bytes {
        self.json
            .get_or_init(|| {
                let mut out = Vec::with_capacity(4096);
                self.write_json(Selection::all(self.metric_type), &mut out);
                out.into()
            })
            .clone()
    }

    /// The same, appended to a larger text.
    pub(super) fn append_json(&self, out: &mut Vec<u8>) {
        match self.json.get() {
            Some(json) => out.extend_from_slice(json),
            None => self.write_json(Selection::all(self.metric_type), out),
        }
    }

    /// Writes the selected fields of the document. A full selection also has `_timestamp` and `_error`.
    pub fn write_json(&self, selection: &Selection, out: &mut Vec<u8>) {
        let head = json::Head { at: self.at, error: self.error.as_deref(), is_wanted: selection.is_all() };
        json::write_document(self.layout(), head, self, selection, out);
    }
}

fn is_called(key: &Key, name: &str) -> bool {
    matches!(key.last(), Some(Label::Text(text)) if **text == *name)
}

impl Tables for Reading {
    fn keys(&self, table: usize) -> &[Key] {
        self.tables.get(table).map_or(&[], |table| &table.keys)
    }

    fn gate(&self, table: usize, row: usize, column: usize) -> Value {
        self.row(table, row)[column].clone()
    }

    fn write(&self, table: usize, row: usize, column: usize, out: &mut Vec<u8>) -> bool {
        json::write_value(&self.row(table, row)[column], out)
    }

    fn extra(&self, table: usize, row: usize) -> Option<&str> {
        match self.row(table, row).last() {
            Some(Value::Json(text)) => Some(text),
            _ => None,
        }
    }
}

/// Two readings are equal if their content is.
impl PartialEq for Reading {
    fn eq(&self, other: &Self) -> bool {
        let same = |(a, b): (&Table, &Table)| a.keys == b.keys && a.values == b.values;
        self.metric_type == other.metric_type
            && self.at == other.at
            && self.error == other.error
            && self.tables.len() == other.tables.len()
            && self.tables.iter().zip(&other.tables).all(same)
    }
}
